"""Makes preference pairs of what people said: a choice between two answers, or a corrected answer."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Mapping, Sequence

from core.types import Feedback, Inference, PreferencePair
from store import feedback, inferences, pairs
from store.unit_of_work import Tx

ACTOR = "system:pairs"
SOURCE = "feedback"
# Exchanges that judge: a pair of one must wait for a person's word before it trains.
PROBES = "failed probes"
LICENCE = "own feedback"
SEEN = "pairs.feedback_seen"
_BATCH = 500


def waits(tx: Tx) -> bool:
    """Whether feedback came that `collect` has not seen."""
    return bool(feedback.after(tx, pairs.seen(tx, SEEN), 1))


def collect(tx: Tx, *, consent: str = "") -> int:
    """Collect a pair for each new choice or correction on a captured answer; returns how many pairs are new.

    `consent` is what this installation says of the people who give feedback.
    """
    given = feedback.after(tx, pairs.seen(tx, SEEN), _BATCH)
    if not given:
        return 0
    telling = [item for item in given if item.kind in ("choice", "correction") and item.inference]
    answered = inferences.by_uuids(tx, [item.inference for item in telling])
    told = [(item, answered[item.inference]) for item in telling if item.inference in answered]
    made = make_pairs(told, consent=consent)
    new = pairs.add(tx, list(made.values()), actor=ACTOR, source_keys=list(made))
    pairs.set_seen(tx, SEEN, given[-1].id, actor=ACTOR)
    return new


def make_pairs(told: Sequence[tuple[Feedback, Inference]], *, consent: str = "") -> dict[str, PreferencePair]:
    """A pair by source key for each piece of feedback whose exchange is text that ends with a question."""
    made: dict[str, PreferencePair] = {}
    for item, answered in told:
        if prompt := question(answered):
            made[f"feedback:{item.uuid}"] = PreferencePair(
                uuid=name(item.uuid),
                prompt=prompt,
                chosen=item.chosen,
                rejected=item.rejected,
                contributor=giver(item, answered),
                session=answered.conversation,
                at=item.at,
                source=PROBES if answered.kind == "probe" else SOURCE,
                licence=LICENCE,
                consent=consent,
                version=answered.version,
            )
    return made


def question(answered: Inference) -> list[dict[str, str]]:
    """The exchange's messages as a pair's prompt; empty unless all are text and the user's comes last."""
    messages: Sequence[Mapping[str, object]] = answered.messages
    prompt = [
        {"role": str(message["role"]), "content": content}
        for message in messages
        if isinstance(content := message.get("content"), str) and "role" in message
    ]
    whole = len(prompt) == len(messages)
    return prompt if whole and prompt and prompt[-1]["role"] == "user" else []


def giver(item: Feedback, answered: Inference) -> str:
    """The keyed hash of who gave the feedback; of whoever had asked, where a program passed it on without a name."""
    return item.contributor or (answered.user if item.source != feedback.CONSOLE else "")


def name(*parts: str) -> str:
    """The uuid of a pair made of these pieces: the same ones always make the same pair."""
    return str(uuids.uuid5(uuids.NAMESPACE_OID, f"trimtab pair {' '.join(parts)}"))
