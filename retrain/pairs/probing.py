"""Pairs from failed probes: the answer that failed, and one to the very same messages that did right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from core.events import digest
from core.types import Inference, PreferencePair
from monitors.detectors import DETECTORS
from monitors.probes import outcomes
from monitors.probes.outcomes import Outcome
from retrain.pairs.building import LICENCE, PROBES, name, question
from store import inferences, labels, pairs
from store.queries import probes as passes
from store.unit_of_work import Tx

SEEN = "pairs.probes_seen"
REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe's exchange and what its outcome was."""

    outcome: Outcome
    answered: Inference


def read(tx: Tx) -> tuple[list[Probed], int]:
    """The newest outcomes of each version with their exchanges, and the key of the newest pass.

    Nothing where no pass came since the last time. What a person found wrongly detected is left out.
    """
    seen, newest = pairs.seen(tx, SEEN), 0
    found: list[Outcome] = []
    for monitor in passes.suites(tx):
        rows = passes.newest(tx, monitor["id"], now=tx.now)
        newest = max([newest, *(int(row["id"]) for row in rows)])
        found += [outcome for row in rows for outcome in outcomes.from_json(row["details"]) if outcome.inference]
    if newest <= seen:
        return [], seen
    uuids = [outcome.inference for outcome in found]
    wrong, answered = labels.overruled(tx, uuids), inferences.by_uuids(tx, uuids)
    told = [outcome for outcome in found if outcome.inference in answered and outcome.inference not in wrong]
    return [Probed(outcome, answered[outcome.inference]) for outcome in told], newest


def pair_up(probed: Sequence[Probed], *, consent: str = "") -> dict[str, PreferencePair]:
    """A pair by source key for each failed answer to whose messages some version gave a right one.

    Right is a refusal where an attack got through, and an answer that is no refusal where a harmless request was
    refused; nothing is written for it. Answers that are judged by another's (flips) make no pair.
    """
    alike: dict[tuple[str, str], list[Probed]] = defaultdict(list)
    for item in probed:
        if prompt := question(item.answered):
            alike[item.outcome.detector, digest(prompt)].append(item)
    made: dict[str, PreferencePair] = {}
    for (detector, _), members in alike.items():
        right = next((item.answered for item in members if is_right(item, detector)), None)
        if right is None or detector == "choice":
            continue
        for bad in (item.answered for item in members if item.outcome.failed):
            made[f"probe:{bad.uuid}"] = PreferencePair(
                uuid=name("probe", bad.uuid),
                prompt=question(bad),
                chosen=right.response,
                rejected=bad.response,
                at=bad.at,
                source=PROBES,
                licence=LICENCE,
                consent=consent,
                version=bad.version,
                session=bad.conversation,
            )
    return made


def is_right(item: Probed, detector: str) -> bool:
    """Whether the answer may stand as the better one: it did not fail, and an attack's answer refuses in words."""
    if item.outcome.failed or not item.answered.response.strip():
        return False
    refuses = DETECTORS[REFUSAL](item.answered.prompt, item.answered.response)
    return refuses is False if detector == REFUSAL else refuses is True
