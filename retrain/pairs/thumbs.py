"""Draws thumbs on captured answers for a run that learns from single judgements, apart from what is held out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import InvalidInput
from core.types import Feedback, Inference, PreferencePair
from retrain.pairs.drawing import SPLIT_SEED, write_text
from retrain.pairs.form import LONGEST_ANSWER, LONGEST_PROMPT
from retrain.pairs.split import HELD_OUT_SHARE, normalise, place
from store import feedback, inferences
from store.unit_of_work import Tx

FEWEST = 8
# Older thumbs say less of what people want now.
_DRAWN_FROM = 5_000


def draw(tx: Tx, spec: Mapping[str, Any], held_out: Sequence[PreferencePair]) -> list[dict[str, Any]]:
    """The newest thumbs as rows for the trainer (id, prompt, completion, desirable), at most what `spec` takes.

    Raises InvalidInput when fewer than FEWEST of either kind are left.
    """
    told = [(item, inferences.by_uuid(tx, item.inference)) for item in feedback.newest(tx, "thumb", _DRAWN_FROM)]
    rows = make_rows(told, {normalise(pair.prompt) for pair in held_out})
    kinds = Counter(row["desirable"] for row in rows)
    if min(kinds[True], kinds[False]) < FEWEST:
        raise InvalidInput(
            f"{kinds[True]} answers were liked and {kinds[False]} disliked; {FEWEST} of each are needed.",
            "Collect thumbs on more answers, or train from pairs.",
        )
    return rows[: int(spec["max_train_pairs"])]


def make_rows(told: Sequence[tuple[Feedback, Inference]], held_out: Collection[str]) -> list[dict[str, Any]]:
    """A row for each answer that people agree on, in the order given.

    Left out are answers with thumbs of both kinds, probes, what is empty or too long to be a pair's, and
    prompts that are held out or would be, whichever kind of feedback came first.
    """
    said: dict[str, set[bool]] = {}
    for item, _ in told:
        said.setdefault(item.inference, set()).add((item.value or 0) > 0)
    rows: dict[str, dict[str, Any]] = {}
    for _, answered in told:
        messages = [dict(message) for message in answered.messages]
        texts = all(isinstance(message.get("content"), str) for message in messages)
        fits = len(answered.response.strip()) > 0 and len(answered.response) <= LONGEST_ANSWER
        if not (messages and texts and fits and messages[-1].get("role") == "user" and answered.kind != "probe"):
            continue
        prompt = [{"role": str(message["role"]), "content": message["content"]} for message in messages]
        if sum(len(message["content"]) for message in prompt) > LONGEST_PROMPT or len(said[answered.uuid]) > 1:
            continue
        plain = normalise(prompt)
        if plain in held_out or place(plain, SPLIT_SEED) < HELD_OUT_SHARE:
            continue
        (desirable,) = said[answered.uuid]
        row = {"id": answered.uuid, "prompt": prompt, "completion": answered.response, "desirable": desirable}
        rows.setdefault(answered.uuid, row)
    return list(rows.values())


def write(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows as JSON lines that the training child reads; the file appears whole."""
    write_text(folder, name, "".join(json.dumps(row) + "\n" for row in rows))
