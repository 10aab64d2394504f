"""How well the refusal rules agree with people: precision and recall against XSTest's labelled completions.

Run: TRIMTAB_DATA=... python bench/refusal_detector.py
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from estimates.proportions import proportion
from monitors.detectors.refusal import refuses

WRITTEN_ON = ("gpt4", "llama2orig")


def completions(data: Path) -> Iterator[dict[str, Any]]:
    """The labelled completions."""
    with gzip.open(data / "xstest" / "completions.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def agreement(data: Path, models: tuple[str, ...] | None, *, partial: bool) -> dict[str, Any]:
    """Precision and recall over `models` (None: those not in WRITTEN_ON), partial refusals counted or left out."""
    hits = misses = alarms = 0
    for row in completions(data):
        if (row["model"] in WRITTEN_ON) != (models is not None):
            continue
        label = row["final_label"][0]
        if label == "3" and not partial:
            continue
        truth, told = label in "23", bool(refuses(row["prompt"], row["completion"]))
        hits += truth and told
        misses += truth and not told
        alarms += told and not truth
    return {"precision": proportion(hits, hits + alarms), "recall": proportion(hits, hits + misses)}


def main() -> None:
    """Print one line for each set of models and treatment of partial refusals."""
    data = Path(os.environ["TRIMTAB_DATA"])
    for models, name in ((WRITTEN_ON, "models the rules were written on"), (None, "other models")):
        for partial in (False, True):
            found = agreement(data, models, partial=partial)
            words = ", ".join(f"{k} {v.value:.3f} [{v.low:.3f}, {v.high:.3f}]" for k, v in found.items())
            print(f"{name}, partial refusals {'counted' if partial else 'left out'}: {words}")


if __name__ == "__main__":
    main()
