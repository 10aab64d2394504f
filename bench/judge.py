"""Bar M3: coverage of the judge-corrected share, by simulation and on PandaLM with scripted judges.

Run: TRIMTAB_DATA=... python bench/judge.py [--runs 4000]. Simulated: labels of a known rate and judges from perfect to
reversed. PandaLM: 999 comparisons with three annotators each; the truth is the share that their majority gives to the
first answer (a tie counts one half), the judges prefer the longer or the shorter answer, the one that shares more
words with the instruction, or always the first place (all ties once both orders are asked). Rows are drawn with
replacement, so that the 999 are the population. Exit code 1 when a nominal 95 % interval covers less than 94 % anywhere
(three standard errors of simulation allowed).
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Callable, Iterator
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from public import public_data

from estimates.means import mean
from estimates.predicted import predicted_mean

BAR = 0.94
TEXTS = ("instruction", "input", "response1", "response2")
Rows = tuple[np.ndarray, np.ndarray]  # verdicts and labels, 0 to 1


def simulated() -> Iterator[tuple[str, float, Callable[[np.random.Generator, int], Rows]]]:
    """Yield (cell, truth, draw of n rows): judges by sensitivity and specificity, a tenth of their verdicts ties."""
    for rate in (0.0, 0.01, 0.05, 0.3, 0.5, 0.9, 1.0):
        for se, sp in ((1.0, 1.0), (0.95, 0.95), (0.9, 0.5), (0.5, 0.5), (0.2, 0.3)):

            def draw(g: np.random.Generator, n: int, r=rate, a=se, b=sp) -> Rows:
                labels = (g.random(n) < r).astype(float)
                right = g.random(n) < np.where(labels == 1, a, b)
                return np.where(g.random(n) < 0.1, 0.5, np.where(right, labels, 1 - labels)), labels

            yield f"rate={rate} se={se} sp={sp}", rate, draw


def pandalm(data: Path) -> Iterator[tuple[str, float, Callable[[np.random.Generator, int], Rows]]]:
    """Yield the same for each scripted judge over the labelled comparisons."""
    with gzip.open(data / "pandalm" / "pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        read = [row for row in map(json.loads, lines) if row["preferred"] is not None]
    # A few texts stand in the file as truth values.
    rows = [{**row, **{name: str(row[name]) for name in TEXTS}} for row in read]
    labels = np.array([{0: 0.5, 1: 1.0, 2: 0.0}[row["preferred"]] for row in rows])
    judges = {
        "longer": lambda row: len(row["response1"]) - len(row["response2"]),
        "shorter": lambda row: len(row["response2"]) - len(row["response1"]),
        "shared words": lambda row: shared(row, "response1") - shared(row, "response2"),
        "first place": lambda row: 0,
    }
    for name, prefer in judges.items():
        verdicts = np.array([(np.sign(prefer(row)) + 1) / 2 for row in rows])

        def draw(g: np.random.Generator, n: int, v=verdicts) -> Rows:
            place = g.integers(0, len(labels), n)
            return v[place], labels[place]

        agreed = 1 - float(np.abs(verdicts - labels).mean())
        yield f"pandalm, {name} (agrees {agreed:.3f}, says {verdicts.mean():.3f})", float(labels.mean()), draw


def shared(row: dict[str, Any], name: str) -> int:
    """How many words an answer shares with its instruction and input."""
    return len(set(row[name].lower().split()) & set(f"{row['instruction']} {row['input']}".lower().split()))


def main() -> int:
    """Print a line a cell, then the worst; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    cells = [*simulated(), *pandalm(public_data())]
    worst, failed = (2.0, ""), False
    for number, (cell, truth, draw) in enumerate(cells):
        for anchors, judged in ((50, 700), (200, 700), (200, 100)):
            g = np.random.default_rng([given.seed, number, anchors, judged])
            hits = alone = 0
            width = own = total = 0.0
            for _ in range(given.runs):
                verdicts, labels = draw(g, anchors + judged)
                found = predicted_mean(verdicts[anchors:], verdicts[:anchors], labels[:anchors])
                raw = mean(verdicts, low=0, high=1)
                human = mean(labels[:anchors], low=0, high=1)
                hits += found.low - 1e-12 <= truth <= found.high + 1e-12
                alone += raw.low - 1e-12 <= truth <= raw.high + 1e-12
                width += found.high - found.low
                own += human.high - human.low
                total += found.value
            cover = hits / given.runs
            print(
                f"{cell}\tanchors={anchors} judged={judged}\tcoverage {cover:.4f}\tjudge alone {alone / given.runs:.3f}"
                f"\tmean {total / given.runs:.3f} of {truth:.3f}"
                f"\twidth {width / given.runs:.3f}, labels alone {own / given.runs:.3f}",
                flush=True,
            )
            worst = min(worst, (cover, f"{cell} anchors={anchors} judged={judged}"))
            failed |= cover < BAR - 3 * sqrt(BAR * (1 - BAR) / given.runs)
    print(f"worst\t{worst[0]:.4f}\t{worst[1]}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
