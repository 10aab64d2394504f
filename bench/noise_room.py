"""What the benches of poisoned and turned labels share: lots of short pairs, runs on them, and a ledger of cells."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from noise_runs import hits, train
from plants import dress, load

from core.types import Estimate, PreferencePair
from retrain.pairs.clearing import Cleared, clear
from retrain.pairs.split import split_pairs
from retrain.training.policy import choose_hardware
from retrain.training.scoring import PairScore, Scorer
from retrain.training.spec import PairText

LONGEST = 700  # characters of a pair: one cell must take minutes
TRAIN, HELD_OUT = 160, 300
CHAMPION, CANDIDATE = "champion", "candidate"
Row = dict[str, Any]


def options(description: str | None) -> argparse.ArgumentParser:
    """The parser of a bench that trains on lots of a source."""
    home = Path(os.environ.get("TRIMTAB_HOME", Path.home() / ".trimtab"))
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRIMTAB_DATA"), help="folder of the public data")
    parser.add_argument("--model", type=Path, default=home / "models" / "chat")
    parser.add_argument("--cache", type=Path, default=home / "bench", help="finished cells")
    parser.add_argument("--source", choices=("derived-preferences", "hh-rlhf"), default="derived-preferences")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer-path", type=Path, help="folder with TRL and what it needs")
    parser.add_argument("--report", action="store_true", help="print what is finished and train nothing")
    return parser


class Ledger:
    """Finished cells, a line each; those of other sources, sizes or code do not count."""

    def __init__(self, path: Path, setting: Row) -> None:
        self.path, self.setting = path, setting
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        rows = [json.loads(line) for line in lines if line.endswith("}")]
        self.rows = [row for row in rows if all(row.get(name) == value for name, value in setting.items())]

    def find(self, **key: Any) -> Row | None:
        return next((row for row in self.rows if all(row.get(name) == value for name, value in key.items())), None)

    def add(self, row: Row) -> None:
        self.rows.append(row | self.setting)
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(self.rows[-1]) + "\n")


class Room:
    """The pairs of a source, the same ones held out for every cell, and where runs are made."""

    def __init__(self, given: argparse.Namespace) -> None:
        if given.data is None:
            raise SystemExit("the public data is missing: name its folder with --data or TRIMTAB_DATA")
        self.given = given
        short = [pair for pair in load(given.data, given.source) if size(pair) < LONGEST]
        split = split_pairs(short, held_out_share=0.4, seed=0, max_held_out=HELD_OUT)
        self.learning, self.judging = split.train, split.held_out
        self.runs: Path = given.cache / "label_noise"

    def lot(self, seed: int) -> tuple[list[PreferencePair], np.random.Generator]:
        """The pairs to learn from, with contributors and times drawn by `seed`, in another order for each."""
        rng = np.random.default_rng(seed)
        return dress([self.learning[place] for place in rng.permutation(len(self.learning))], rng), rng

    @property
    def setting(self) -> Row:
        """What a finished cell must have in common with this room to count."""
        sizes = {"train": TRAIN, "held_out": len(self.judging), "longest": LONGEST}
        return {"source": self.given.source} | sizes

    def train(self, pairs: Sequence[PreferencePair], loss: str, seed: int) -> Path:
        """The adapter of a new run."""
        folder = self.runs / f"run-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        return train(
            folder,
            pairs,
            loss,
            model=self.given.model,
            seed=seed,
            threads=self.given.threads,
            peer=self.given.peer_path,
        )

    def scorer(self, adapter: Path | None) -> Scorer:
        hardware = choose_hardware("cpu", "bf16", self.given.threads)
        return Scorer(self.given.model, {CHAMPION: None, CANDIDATE: adapter}, hardware=hardware)

    def base(self, pairs: Sequence[PreferencePair]) -> list[PairScore]:
        """The base model's scores of the pairs, kept."""
        asked = texts(pairs)
        key = hashlib.sha256(repr([LONGEST, *map(asdict, asked)]).encode()).hexdigest()[:16]
        kept = self.runs / f"base-{key}.json"
        if not kept.exists():
            scores = self.scorer(None).score(asked)
            self.runs.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps([asdict(score) for score in scores.versions[CHAMPION]]), "utf-8")
        return [PairScore(**row) for row in json.loads(kept.read_text("utf-8"))]

    def rank(self, adapter: Path, pairs: Sequence[PreferencePair]) -> list[float]:
        """Whether the adapter ranks each of the pairs right."""
        hardware = choose_hardware("cpu", "bf16", self.given.threads)
        scores = Scorer(self.given.model, {CANDIDATE: adapter}, hardware=hardware).score(texts(pairs), with_base=False)
        return hits(scores.versions[CANDIDATE], self.base(pairs))


def texts(pairs: Sequence[PreferencePair]) -> list[PairText]:
    """The pairs as a scorer takes them, each known by its place."""
    rows = enumerate(pairs)
    return [PairText(str(n), tuple(dict(m) for m in p.prompt), p.chosen, p.rejected) for n, p in rows]


def size(pair: PreferencePair) -> int:
    return sum(len(message["content"]) for message in pair.prompt) + len(pair.chosen) + len(pair.rejected)


def inspected(pairs: Sequence[PreferencePair]) -> Cleared:
    """What customs say; a key for each pair is its place."""
    return clear([replace(pair, id=place) for place, pair in enumerate(pairs)], share=1.0, seed=0)


def told(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"({estimate.needed} more needed)"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
