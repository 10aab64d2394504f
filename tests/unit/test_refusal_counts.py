"""The kept counts of the refusal detector are what the rules do today on the labelled completions."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

from monitors.detectors.measured import Confusion, confusions_of
from monitors.detectors.refusal import refuses


def test_kept_counts_are_those_of_the_labelled_completions(public_data: Path) -> None:
    told: Counter[tuple[str, bool, bool]] = Counter()
    with gzip.open(public_data / "xstest" / "completions.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            truth = row["final_label"][0] in "23"
            told[row["model"], truth, bool(refuses(row["prompt"], row["completion"]))] += 1
    kept = confusions_of("refusal")
    assert set(kept) == {"llama2new", "mistralguard", "mistralinstruct"}
    for name, counts in kept.items():
        hits, misses = told[name, True, True], told[name, True, False]
        passed, alarms = told[name, False, False], told[name, False, True]
        assert counts == Confusion(hits, hits + misses, passed, passed + alarms, counts.source)
