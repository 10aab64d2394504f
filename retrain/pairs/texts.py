"""Draws what people asked lately for a run that first adapts to it: no answer of ours, and nothing that is held out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import InvalidInput
from core.types import Inference, PreferencePair
from retrain.pairs.drawing import SPLIT_SEED, write_text
from retrain.pairs.form import LONGEST_PROMPT
from retrain.pairs.split import HELD_OUT_SHARE, normalise, place
from store import inferences
from store.unit_of_work import Tx

FEWEST = 16
# Older traffic says less of how people write now.
_DRAWN_FROM = 4_000


def draw(tx: Tx, spec: Mapping[str, Any], held_out: Sequence[PreferencePair]) -> list[dict[str, Any]]:
    """The newest conversations up to their last question as rows for `adapt` (id, text), at most what `spec` takes.

    Raises InvalidInput when fewer than FEWEST are left.
    """
    deployment = str(spec["deployment"])
    _, last, _ = inferences.key_range(tx, deployment=deployment)
    found = inferences.after(tx, max(0, last - _DRAWN_FROM), deployment=deployment, limit=_DRAWN_FROM)
    rows = make_rows(found[::-1], [normalise(pair.prompt) for pair in held_out])
    if len(rows) < FEWEST:
        raise InvalidInput(
            f"{len(rows)} different questions of recent traffic can be adapted to; {FEWEST} are needed.",
            "Wait for traffic, or approve without adaptation.",
        )
    return rows[: int(spec["adapt_steps"]) * int(spec["pairs_per_step"])]


def make_rows(found: Sequence[Inference], held_out: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each different conversation of texts, in the order given, less what judges or would judge."""
    judging = set(held_out)
    rows: dict[str, dict[str, Any]] = {}
    for asked in found:
        messages = [dict(message) for message in asked.messages]
        if not messages or not all(isinstance(message.get("content"), str) for message in messages):
            continue
        text = [{"role": str(message["role"]), "content": message["content"]} for message in messages]
        if not asked.prompt.strip() or sum(len(message["content"]) for message in text) > LONGEST_PROMPT:
            continue
        plain = normalise(text)
        if plain not in judging and place(plain, SPLIT_SEED) >= HELD_OUT_SHARE:
            rows.setdefault(plain, {"id": asked.uuid, "text": text})
    return list(rows.values())


def write(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows as JSON lines that the training child reads; the file appears whole."""
    write_text(folder, name, "".join(json.dumps(row) + "\n" for row in rows))
