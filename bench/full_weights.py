"""Bar L3 for full weights: what a run takes against its forecast, what it learns, and what of that outlives bf16.

    python bench/full_weights.py --model MODELS/chat --pairs PAIRS.jsonl[.gz] --folder FOLDER [--steps 16] [--lr 1e-5]

Trains all weights on pairs of a prompt-disjoint split, judges the candidate on held-out ones, and compares the trained
fp32 weights with their two roundings to bf16 (the nearest number, and as saved) by the margins that they give to
`--scored` held-out pairs. Prints one JSON object. Started again on the same folder it goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
STEP_PAIRS, HELD_OUT = 4, 160


def make_run(folder: Path, given: argparse.Namespace) -> None:
    """The run's folder: its spec, the pairs that it trains on, and those held out."""
    from retrain.pairs.split import split_pairs
    from retrain.training.spec import PairText, parse_pair

    data = given.pairs.read_bytes()
    lines = (gzip.decompress(data) if given.pairs.suffix == ".gz" else data).decode().splitlines()
    pairs: list[PairText] = [parse_pair(json.loads(line)) for line in lines]
    random.Random(given.seed).shuffle(pairs)
    split = split_pairs(pairs, held_out_share=0.25, seed=given.seed)
    sides = {"train": split.train[: given.steps * STEP_PAIRS], "held_out": split.held_out[:HELD_OUT]}
    folder.mkdir(parents=True)
    for name, rows in sides.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), "utf-8")
    spec = {
        "base_model": str(given.model.resolve()),
        "finetuning_type": "full",
        "lr": given.lr,
        "max_steps": given.steps,
        "pairs_per_step": STEP_PAIRS,
        "checkpoint_every_steps": given.steps - 1,
        "seed": given.seed,
        "threads": given.threads,
        "device": "cpu",
    }
    (folder / "spec.json").write_text(json.dumps(spec), "utf-8")


def call(module: str, folder: Path, *flags: str) -> str:
    command = [sys.executable, "-m", module, str(folder), *flags]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def compare_roundings(given: argparse.Namespace) -> dict[str, Any]:
    """The mean margin, nats, that each form of the last checkpoint's weights gives to held-out pairs, and its hits."""
    import torch
    from safetensors.torch import load_file, save_file

    from retrain.training.policy import choose_hardware
    from retrain.training.product import narrow
    from retrain.training.scoring import Scorer, accuracy, reward_hits, reward_margins
    from retrain.training.spec import read_pairs

    (kept,) = (given.folder / "checkpoints").glob("step-*")
    tensors = load_file(kept / "tensors.safetensors")
    trained = {name.removeprefix("weight."): value for name, value in tensors.items() if name.startswith("weight.")}
    generator = torch.Generator().manual_seed(given.seed)
    forms = {
        "fp32": trained,
        "nearest": {name: value.bfloat16().float() for name, value in trained.items()},
        "saved": {name: narrow(value, generator).float() for name, value in trained.items()},
    }
    folders = {}
    for name, weights in forms.items():
        folders[name] = given.folder / "forms" / name
        shutil.copytree(given.model, folders[name], ignore=shutil.ignore_patterns("*.safetensors", "manifest.json"))
        save_file(weights, folders[name] / "model.safetensors", metadata={"format": "pt"})
    scorer = Scorer(given.model, folders, hardware=choose_hardware("cpu", "fp32", given.threads))
    scores = scorer.score(read_pairs(given.folder / "held_out.jsonl")[: given.scored])
    shutil.rmtree(given.folder / "forms")
    return {
        name: {
            "mean_margin": sum(margins := reward_margins(scores, name)) / len(margins),
            "accuracy": asdict(accuracy(reward_hits(scores, name), scores.prompts)),
        }
        for name in forms
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="prepared model folder")
    parser.add_argument("--pairs", type=Path, required=True, help="pairs as JSONL, also gzipped")
    parser.add_argument("--folder", type=Path, required=True, help="folder of the run")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scored", type=int, default=80, help="held-out pairs to compare the roundings on")
    given = parser.parse_args()
    from retrain.training.progress import read_events

    if not given.folder.exists():
        make_run(given.folder, given)
    began = time.perf_counter()
    forecast = json.loads(call("retrain.train", given.folder, "--forecast").strip().splitlines()[-1])
    call("retrain.train", given.folder)
    call("retrain.evaluate", given.folder)
    events = read_events(given.folder / "progress.jsonl")
    (end,) = [row for row in events if row["event"] == "end" and "tokens" in row]
    prepared = sum(row["prepare_s"] for row in events if row["event"] == "start")
    told = json.loads((given.folder / "evaluation.json").read_text("utf-8"))
    found = {
        "steps": given.steps,
        "lr": given.lr,
        "forecast": {name: forecast[name] for name in ("seconds_low", "seconds_high", "memory_mb")},
        "took": {
            "seconds": round(prepared + end["seconds"], 1),
            "memory_mb": end["memory_mb"],
            "tokens": end["tokens"],
        },
        "difference": told["difference"],
        "roundings": compare_roundings(given),
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
