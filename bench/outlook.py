"""Issue 4, run doctor: the forecast of what retraining gains keeps its interval, on simulated and on real preferences.

    TRIMTAB_DATA=... python bench/outlook.py [--runs 400] [--sources hh-rlhf derived-preferences] [--cache FOLDER]

Simulated: pairs of a Bradley-Terry preference, with prompts of one or several pairs, with many contributors whose taste
differs, without any preference; the truth is the mean accuracy of heads fitted on as many fresh pairs. Real: a draw of
a quarter of a source's prompts foresees what that quarter and its double reach; the truth is the mean accuracy of heads
on as many pairs, judged on prompts that none of them saw. Draws of one source overlap, so its coverage is a mean over
draws, not a count of independent trials. Exit code 1 when an interval covers less than 93 % of a cell, or when training
is called likely to help in over 4 % of the runs without any preference. No text is printed.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from public import public_data

from estimates.learning import Gains, deal, fit_head, gains, hits, outlook, trace

WORTH, COVERED, FALSE = 0.02, 0.93, 0.04
TRUTHS = 60


@dataclass(frozen=True, slots=True)
class World:
    """Preferences of strength `signal` over `d` features; `each` pairs a prompt, `people` whose tastes differ."""

    name: str
    d: int = 8
    signal: float = 1.0
    each: int = 1
    people: int = 0

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Any, Any, Any]:
        """(differences, prompt, contributor) of n labelled pairs."""
        prompts = np.arange(n) // self.each
        who = rng.integers(0, self.people, n) if self.people else np.full(n, -1)
        rows = rng.normal(size=(n, self.d)) + 0.7 * (self.each > 1) * rng.normal(size=(n, self.d))[prompts]
        utility = self.signal * rows[:, 0]
        if self.people:
            utility += (rows * rng.normal(size=(self.people, self.d))[who]).sum(1) / np.sqrt(self.d)
        rows[rng.random(n) > expit(utility)] *= -1
        return rows, prompts, who

    def reached(self, n: int) -> float:
        """The true gain over a coin of heads that a run over n pairs fits."""
        rng = np.random.default_rng(99)
        fresh, _, _ = self.draw(rng, 20_000)
        found = []
        for _ in range(TRUTHS):
            rows, prompts, who = self.draw(rng, n)
            kept = (prompts % 4 > 0) & ((who % 4 > 0) | (who < 0))
            found.append(hits(fresh @ fit_head(rows[kept])).mean())
        return float(np.mean(found)) - 0.5


WORLDS = (
    World("no preference", signal=0.0),
    World("no preference, 64 features", d=64, signal=0.0),
    World("clear"),
    World("faint, 64 features", d=64, signal=0.5),
    World("clear, four pairs a prompt", each=4),
    World("80 contributors with tastes", people=80),
)


def look(rows: Any, prompts: Any, who: Any, seed: int) -> Gains:
    units = [prompts.tolist(), *([who.tolist()] if (who >= 0).all() else [])]
    return gains(trace(rows, deal(prompts, who, seed=seed), np.zeros(len(rows), bool)), units)


def tell(name: str, found: Sequence[Gains], now: float, twice: float, *, none: bool = False) -> bool:
    """Print a cell; returns whether it keeps its promise."""
    told = [one for one in found if one.now.value is not None]
    if not told:
        print(f"{name:<46} not enough pairs in every run", flush=True)
        return True
    rates, widths = [], []
    for truth, ends in ((now, [one.now for one in told]), (twice, [one.twice for one in told])):
        rates.append(float(np.mean([end.low <= truth <= end.high for end in ends])))
        widths.append(float(np.mean([end.high - end.low for end in ends])))
    words = Counter(outlook(one.now, worth=WORTH)[0] for one in told)
    kept = min(rates) >= COVERED and not (none and words["likely to help"] > FALSE * len(told))
    point = float(np.mean([one.twice.value for one in told]))
    print(
        f"{name:<46} now {now:+.3f} covered {rates[0]:.3f} width {widths[0]:.3f}; twice {twice:+.3f} "
        f"(foreseen {point:+.3f}) covered {rates[1]:.3f} width {widths[1]:.3f}; {dict(words)}"
        f"{'' if kept else '  MISSED'}",
        flush=True,
    )
    return kept


def embed(source: str, cache: Path | None) -> tuple[Any, Any]:
    """(differences, prompts) of a public source's pairs, embedded once where a cache is named."""
    file = cache / f"outlook-{source}.npz" if cache else None
    if file is not None and file.exists():
        held = np.load(file)
        return held["rows"], held["prompts"]
    import config
    from gateway.imports import read_pairs
    from models.encoder import Encoder
    from retrain.pairs.customs.lot import Lot

    pairs, wrong = read_pairs(public_data() / source / "pairs.jsonl.gz", {})
    assert wrong is None
    encoder = Encoder(config.load().encoder_path)
    rows = encoder.embed([pair.chosen for pair in pairs]) - encoder.embed([pair.rejected for pair in pairs])
    prompts = Lot(pairs).groups
    if file is not None:
        np.savez(file, rows=rows, prompts=prompts)
    return rows, prompts


def real(source: str, rows: Any, prompts: Any, runs: int) -> bool:
    """Foresee from a quarter of the prompts, and look how well heads on as many pairs and on twice as many do."""
    names = np.unique(prompts)
    found, reached = [], []
    for seed in range(runs):
        order = np.random.default_rng(seed).permutation(names)
        parts = np.array_split(order, 8)
        first = np.isin(prompts, np.concatenate(parts[:2]))
        found.append(look(rows[first].astype(float), prompts[first], np.full(int(first.sum()), -1), seed))
        fresh = np.isin(prompts, np.concatenate(parts[4:]))
        # As a run does, a head learns from three quarters: of a quarter of the prompts, and of twice as many.
        ends = []
        for quarters in (2, 4):
            kept = order[: round(0.75 * len(np.concatenate(parts[:quarters])))]
            own = np.isin(prompts, kept)
            ends.append(hits(rows[fresh] @ fit_head(rows[own].astype(float))).mean() - 0.5)
        reached.append(ends)
    now, twice = np.mean(reached, axis=0)
    return tell(f"{source}, a quarter of {len(rows)} pairs", found, float(now), float(twice))


def main() -> int:
    """Measure every cell. Returns 1 when a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--sizes", type=int, nargs="+", default=[120, 300])
    parser.add_argument("--sources", nargs="*", default=["hh-rlhf", "derived-preferences"])
    parser.add_argument("--cache", type=Path)
    given = parser.parse_args()
    kept = True
    for world in WORLDS:
        for n in given.sizes:
            found = []
            for seed in range(given.runs):
                rows, prompts, who = world.draw(np.random.default_rng([seed, n]), n)
                found.append(look(rows, prompts, who, seed))
            truths = world.reached(n), world.reached(2 * n)
            kept &= tell(f"{world.name}, {n} pairs", found, *truths, none=not world.signal)
    for source in given.sources:
        rows, prompts = embed(source, given.cache)
        kept &= real(source, rows, prompts, min(given.runs, 100))
        found = look(rows.astype(float), prompts, np.full(len(rows), -1), 0)
        ends = [f"{end.value:+.3f} [{end.low:+.3f}, {end.high:+.3f}]" for end in (found.now, found.twice)]
        print(f"{source}, all {len(rows)} pairs: gain {ends[0]}, with twice as many {ends[1]}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
