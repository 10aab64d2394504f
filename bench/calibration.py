"""Bar M8: calibration of preference margins against held-out choices, before and after training on derived pairs.

Run: TRIMTAB_DATA=... python bench/calibration.py [--steps 48] [--held-out 500] [--folder RUN]. Trains one adapter on
the derived preferences (split by prompt), scores the held-out pairs once under the base and the candidate, and prints
error and Brier score with their intervals and the reliability by confidence. Exit code 1 when there were too few pairs
for an interval.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from public import public_data

from retrain.local import train
from retrain.pairs.split import split_pairs
from retrain.training.spec import PairText, read_pairs


def make_spec(folder: Path, given: argparse.Namespace) -> Path:
    """Write the derived pairs, split by prompt, and the spec of a run on them; returns the spec's place."""
    source = public_data() / "derived-preferences" / "pairs.jsonl.gz"
    (folder / "all.jsonl").write_bytes(gzip.decompress(source.read_bytes()))
    split = split_pairs(
        read_pairs(folder / "all.jsonl"),
        held_out_share=0.5,
        seed=given.seed,
        max_train=given.train,
        max_held_out=given.held_out,
    )
    for name, side in (("train", split.train), ("held", split.held_out)):
        (folder / f"{name}.jsonl").write_text(lines(side), "utf-8")
    spec = {
        "pairs": "train.jsonl",
        "held_out": "held.jsonl",
        "max_steps": given.steps,
        "seed": given.seed,
        "output": "run",
    }
    (folder / "spec.json").write_text(json.dumps(spec), "utf-8")
    return folder / "spec.json"


def lines(pairs: list[PairText]) -> str:
    """Pairs as JSONL."""
    return "".join(json.dumps(asdict(pair)) + "\n" for pair in pairs)


def told(estimate: dict[str, Any]) -> str:
    """An estimate in one phrase."""
    return f"{estimate['value']:.4f} [{estimate['low']:.4f}, {estimate['high']:.4f}], n = {estimate['n']}"


def main() -> int:
    """Train, score and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path.home() / ".trimtab" / "models" / "chat")
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--train", type=int, default=256)
    parser.add_argument("--held-out", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the run is kept, to go on after a stop")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        spec = folder / "spec.json" if (folder / "spec.json").exists() else make_spec(folder, given)
        found = train(spec, base=str(given.model))["evaluation"]
    calibration = found["calibration"]
    if calibration["brier_difference"]["value"] is None:
        print(f"{calibration['brier_difference']['needed']} more pairs needed")
        return 1
    print(f"{found['pairs']} held-out pairs of {found['prompts']} prompts, beta {calibration['beta']}")
    for name in ("champion", "candidate"):
        version = calibration["versions"][name]
        accuracy = found["versions"][name]["accuracy"]
        print(f"{name}\terror {told(version['error'])}\tBrier {told(version['brier'])}\taccuracy {told(accuracy)}")
        for part in version["reliability"]:
            right = "too few" if part["right"]["value"] is None else told(part["right"])
            bounds = f"{part['low']:.2f} to {part['high']:.2f}"
            print(f"\t{bounds}\tn {part['n']}\tsays {part['confidence']:.3f}\tright {right}")
    print(f"Brier difference candidate - champion\t{told(calibration['brier_difference'])}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
