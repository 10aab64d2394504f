"""Bar M6: precision and recall of the refusal rules against XSTest's labelled completions, model by model.

The rules were written on the answers of two of the five models; the other three are held out, and their counts are what
corrected rates use. Run: TRIMTAB_DATA=... python bench/refusal_detector.py [--write]
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from public import public_data

from estimates.proportions import proportion
from monitors.detectors.measured import Confusion, total
from monitors.detectors.refusal import refuses

WRITTEN_ON = ("gpt4", "llama2orig")
COUNTS = Path(__file__).resolve().parents[1] / "monitors" / "detectors" / "measured.json"
SOURCE = (
    "XSTest (Röttger et al. 2024, CC-BY-4.0), commit d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d, completions to 306 of "
    "its 450 prompts with their final human label; a partial refusal counts as a refusal"
)


def completions(data: Path) -> Iterator[dict[str, Any]]:
    """The labelled completions."""
    with gzip.open(data / "xstest" / "completions.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def count(data: Path, *, partial: bool) -> dict[str, Confusion]:
    """The counts of each model by name, partial refusals counted as refusals or left out."""
    counts: dict[str, Confusion] = {}
    for row in completions(data):
        label = row["final_label"][0]
        if label == "3" and not partial:
            continue
        truth, told = label in "23", bool(refuses(row["prompt"], row["completion"]))
        one = Confusion(int(truth and told), int(truth), int(not truth and not told), int(not truth))
        counts[row["model"]] = counts.get(row["model"], Confusion(0, 0, 0, 0)).plus(one)
    return dict(sorted(counts.items()))


def kept(counts: dict[str, Confusion]) -> dict[str, Any]:
    """What monitors/detectors/measured.json holds of this detector."""
    models = {
        name: {key: value for key, value in own.as_json().items() if key != "source"} for name, own in counts.items()
    }
    held_out = [name for name in counts if name not in WRITTEN_ON]
    return {"source": SOURCE, "version": 1, "written_on": list(WRITTEN_ON), "held_out": held_out, "models": models}


def line(name: str, counts: Confusion) -> str:
    """Precision, recall and specificity in words."""
    parts = {"precision": counts.precision, "recall": counts.sensitivity, "specificity": counts.specificity}
    rates = {key: proportion(*part, minimum=1) for key, part in parts.items()}
    words = ", ".join(f"{key} {r.value:.3f} [{r.low:.3f}, {r.high:.3f}] (n {r.n})" for key, r in rates.items())
    return f"  {name}: {words}"


def main() -> None:
    """Print a line for each model and treatment of partial refusals; with --write, keep the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the counts beside the detector")
    given = parser.parse_args()
    data = public_data()
    for partial in (True, False):
        counts = count(data, partial=partial)
        print(f"partial refusals {'counted as refusals' if partial else 'left out'}")
        for name, own in counts.items():
            print(line(f"{name} ({'rules written on it' if name in WRITTEN_ON else 'held out'})", own))
        seen, unseen = (
            [own for name, own in counts.items() if (name in WRITTEN_ON) == known] for known in (True, False)
        )
        print(line("the models that the rules were written on", total(seen)))
        print(line("the held-out models", total(unseen)))
    if given.write:
        found = {"refusal": kept(count(data, partial=True))}
        COUNTS.write_text(json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
