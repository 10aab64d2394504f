"""Draws thumbs on captured answers for a run that learns from single judgements, apart from what is held out."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import InvalidInput
from core.types import Feedback, Inference, PreferencePair
from retrain.pairs.building import giver, question
from retrain.pairs.customs.bursts import Bursts
from retrain.pairs.customs.contamination import Contamination
from retrain.pairs.customs.duplicates import Duplicates
from retrain.pairs.customs.findings import Finding
from retrain.pairs.customs.lot import Lot
from retrain.pairs.customs.personal import Personal
from retrain.pairs.customs.shares import allowed
from retrain.pairs.customs.suites import own_texts
from retrain.pairs.drawing import SPLIT_SEED, write_text
from retrain.pairs.form import LONGEST_ANSWER, LONGEST_PROMPT
from retrain.pairs.split import HELD_OUT_SHARE, normalise, place
from store import feedback, inferences
from store.unit_of_work import Tx

FEWEST = 8
# Older thumbs say less of what people want now.
_DRAWN_FROM = 5_000


def draw(tx: Tx, spec: Mapping[str, Any], held_out: Sequence[PreferencePair]) -> list[dict[str, Any]]:
    """The newest thumbs as rows for the trainer (id, prompt, completion, desirable; contributor and at), at most what
    `spec` takes.

    Raises InvalidInput when fewer than FEWEST of either kind are left.
    """
    given = feedback.newest(tx, "thumb", _DRAWN_FROM)
    answered = inferences.by_uuids(tx, [item.inference for item in given])
    told = [(item, answered[item.inference]) for item in given if item.inference in answered]
    rows = make_rows(told, {normalise(pair.prompt) for pair in held_out})
    require_both(rows)
    return rows[: int(spec["max_train_pairs"])]


def require_both(rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise InvalidInput when fewer than FEWEST of either kind are among `rows`."""
    kinds = Counter(row["desirable"] for row in rows)
    if min(kinds[True], kinds[False]) < FEWEST:
        raise InvalidInput(
            f"{kinds[True]} answers were liked and {kinds[False]} disliked; {FEWEST} of each are needed.",
            "Collect thumbs on more answers, or train from pairs.",
        )


def clear(
    rows: Sequence[Mapping[str, Any]], *, share: float, seed: int
) -> tuple[list[Mapping[str, Any]], list[dict[str, Any]]]:
    """(rows that pass customs, what is left out with its flags and reasons). Pure, and slow for thousands.

    The checks of pairs that say something of a single answer look at it as a pair with one side empty: personal data,
    repeats, bursts, prompts that judge models, and a contributor's share, beyond which the oldest rows are left out.
    """
    lot = Lot([_as_pair(row) for row in rows], seed=seed)
    found: dict[int, list[Finding]] = defaultdict(list)
    for check in (Personal(), Duplicates(), Bursts(), Contamination(own_texts())):
        for finding in check.run(lot).findings:
            if finding.holds:
                found[finding.place].append(finding)
    most = allowed(Counter(row["contributor"] for row in rows if row["contributor"]), share)
    given: Counter[str] = Counter()
    for place_, row in enumerate(rows):
        given[row["contributor"]] += place_ not in found
        if row["contributor"] and place_ not in found and given[row["contributor"]] > most:
            reason = f"Its contributor gave more than {most} thumbs, which are drawn from one at most."
            found[place_].append(Finding(place_, "share_cap", reason, 0.1))
    held = [
        {"id": rows[number]["id"], "flags": [f.flag for f in said], "reasons": [f.reason for f in said]}
        for number, said in sorted(found.items())
    ]
    return [row for number, row in enumerate(rows) if number not in found], held


def _as_pair(row: Mapping[str, Any]) -> PreferencePair:
    good, bad = (row["completion"], "") if row["desirable"] else ("", row["completion"])
    return PreferencePair(row["id"], row["prompt"], good, bad, contributor=row["contributor"], at=row["at"])


def make_rows(told: Sequence[tuple[Feedback, Inference]], held_out: Collection[str]) -> list[dict[str, Any]]:
    """A row for each answer that people agree on, in the order given.

    Left out are answers with thumbs of both kinds, probes, what is empty or too long to be a pair's, and
    prompts that are held out or would be, whichever kind of feedback came first.
    """
    said: dict[str, set[bool]] = {}
    for item, _ in told:
        said.setdefault(item.inference, set()).add((item.value or 0) > 0)
    rows: dict[str, dict[str, Any]] = {}
    for item, answered in told:
        prompt = question(answered)
        fits = len(answered.response.strip()) > 0 and len(answered.response) <= LONGEST_ANSWER
        if not (prompt and fits and answered.kind != "probe"):
            continue
        if sum(len(message["content"]) for message in prompt) > LONGEST_PROMPT or len(said[answered.uuid]) > 1:
            continue
        plain = normalise(prompt)
        if plain in held_out or place(plain, SPLIT_SEED) < HELD_OUT_SHARE:
            continue
        (desirable,) = said[answered.uuid]
        row = {"id": answered.uuid, "prompt": prompt, "completion": answered.response, "desirable": desirable}
        rows.setdefault(answered.uuid, {**row, "contributor": giver(item, answered), "at": item.at})
    return list(rows.values())


def write(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows as JSON lines that the training child reads, without who gave them; the file appears whole."""
    told = [{field: row[field] for field in ("id", "prompt", "completion", "desirable")} for row in rows]
    write_text(folder, name, "".join(json.dumps(row) + "\n" for row in told))
