"""Make monitors/statistics/thresholds.json: quantiles of the betting statistic's maximum, free of data.

Run: python bench/drift_thresholds.py --side small --out small.json (likewise the other sides), then --merge
*.json
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from monitors.statistics.bets import CONFIDENCE, simulate_maxima, upper_quantiles

HORIZONS = sorted({round(100 * 2 ** (i / 4)) for i in range(31)} | {500, 1000, 2000, 3000, 4000, 5000, 10000, 20000})
HORIZONS = [h for h in HORIZONS if h <= 20000]
ALPHAS = [round(5e-4 * 2 ** (i / 6), 7) for i in range(52)]
TARGET = Path(__file__).resolve().parent.parent / "monitors" / "statistics" / "thresholds.json"


def round_up(x: float) -> float | None:
    """Return x rounded up to five significant digits, None when infinite."""
    if math.isinf(x):
        return None
    unit = 10.0 ** (math.floor(math.log10(x)) - 4)
    return math.ceil(x / unit) * unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=["small", "both", "rise", "fall", "change"])
    parser.add_argument("--runs", type=int, default=150_000)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--merge", type=Path, nargs="+")
    args = parser.parse_args()
    if args.merge:
        parts = [json.loads(p.read_text()) for p in args.merge]
        table: dict[str, object] = {}
        for part in parts:
            table |= part
        TARGET.write_text(json.dumps(table, separators=(",", ":")) + "\n")
        return
    maxima = simulate_maxima(args.side, HORIZONS, args.runs, np.random.default_rng([args.seed, *args.side.encode()]))
    rows = []
    for i, horizon in enumerate(HORIZONS):
        limits = upper_quantiles(maxima[:, i], ALPHAS)
        rows.append([round_up(min(float(x), horizon / a)) for x, a in zip(limits, ALPHAS, strict=True)])
    args.out.write_text(
        json.dumps(
            {
                "about": f"runs {args.runs}, seed {args.seed}, confidence {CONFIDENCE}",
                "horizons": HORIZONS,
                "alphas": ALPHAS,
                args.side: rows,
            }
        )
    )


if __name__ == "__main__":
    main()
