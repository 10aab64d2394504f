"""What a held-out side shares with what a run trains on: found before it, kept in its folder, told in its report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.types import PreferencePair
from retrain.pairs.customs.lot import Lot
from retrain.pairs.split import normalise
from retrain.training.checkpoint import write_whole
from retrain.training.spec import PairText

Prompt = str | Sequence[Mapping[str, str]]
FILE = "shared.json"


def find_shared(learnt: Sequence[Any], held_out: Sequence[PairText]) -> dict[str, Any] | None:
    """How much of a held-out side asks what the run trains on, by the rule of `sides.split`; None where nothing does.

    `learnt` are rows with a prompt (pairs, thumbs) or a text. Returns {"pairs", "of", "prompts", "warning"}.
    """
    asked: list[Prompt] = [row.prompt if hasattr(row, "prompt") else row.text for row in learnt]
    judged = [row.prompt for row in held_out]
    clusters = number_prompts([*asked, *judged])
    words, near = {normalise(prompt) for prompt in asked}, set(clusters[: len(asked)])
    places = zip(judged, clusters[len(asked) :], strict=True)
    found = [normalise(prompt) for prompt, cluster in places if cluster in near or normalise(prompt) in words]
    if not found:
        return None
    prompts = len(set(found))
    warning = (
        f"{len(found)} of the {len(judged)} held-out pairs ask what the run trains on ({prompts} "
        f"prompt{'s' if prompts > 1 else ''}, the same or nearly so): its held-out accuracy is too good, and says "
        "little of prompts that it has not seen. Take those prompts out of one of the two files."
    )
    return {"pairs": len(found), "of": len(judged), "prompts": prompts, "warning": warning}


def note_shared(folder: Path, found: Mapping[str, Any] | None) -> None:
    """Keep in the run's folder, for its report, what `find_shared` found."""
    if found is None:
        (folder / FILE).unlink(missing_ok=True)
    else:
        write_whole(folder / FILE, json.dumps(found) + "\n")


def read_shared(folder: Path) -> dict[str, Any] | None:
    """What `note_shared` kept in the folder, or None."""
    path = folder / FILE
    found: dict[str, Any] | None = json.loads(path.read_text("utf-8")) if path.exists() else None
    return found


def number_prompts(prompts: Sequence[Prompt]) -> list[int]:
    """A number for each prompt, equal for those that are nearly the same."""
    groups: list[int] = Lot([PreferencePair("", _messages(prompt), "", "") for prompt in prompts]).groups.tolist()
    return groups


def _messages(prompt: Prompt) -> Sequence[Mapping[str, str]]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
