"""Bar R3 (false findings): lots of real prompts without poison in which the trigger search or the reliability of
contributors finds anything, against the level they promise.

The texts of hh-rlhf stay as they are; what the preference model says of each pair is dealt out anew, so that no phrase
and no contributor has anything to do with it.

python bench/customs_false_findings.py --lots 200 --pairs TRIMTAB_DATA/hh-rlhf/pairs.jsonl.gz
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from estimates.proportions import exact_limits
from gateway.imports import read_pairs
from retrain.pairs.customs.lot import Lot
from retrain.pairs.customs.preference import Margins
from retrain.pairs.customs.reliability import LEVEL as CONTRIBUTORS
from retrain.pairs.customs.reliability import Reliability
from retrain.pairs.customs.triggers import PROMISED, Triggers


def main() -> int:
    """Print one JSON line with the shares. Returns 1 where a lower limit lies above what is promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--lots", type=int, default=200)
    parser.add_argument("--contributors", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    found, _ = read_pairs(given.pairs, {})
    named = [replace(pair, contributor=f"c{rng.integers(given.contributors)}") for pair in found]
    lot = Lot(named, seed=given.seed)
    views, began = lot.views, time.process_time()
    assert views
    alarms = {"triggers": 0, "contributors": 0}
    for seed in range(given.lots):
        lot.seed = seed
        dealt = rng.permutation(len(named))
        lot.__dict__["views"] = [Margins(view.values[dealt], view.accuracy) for view in views]
        alarms["triggers"] += any(finding.holds for finding in Triggers().run(lot).findings)
        alarms["contributors"] += any(finding.holds for finding in Reliability().run(lot).findings)
    told, broken = {"pairs": len(named), "lots": given.lots}, False
    for name, promised in (("triggers", PROMISED), ("contributors", CONTRIBUTORS)):
        low, high = exact_limits(alarms[name], given.lots)
        told[name] = {"share": alarms[name] / given.lots, "low": low, "high": high, "promised": promised}
        broken |= low > promised
    print(json.dumps({**told, "cpu_seconds": round(time.process_time() - began, 1)}))
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
