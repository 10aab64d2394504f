"""Bar R3 (joined thumbs): how often two questions that thumbs would be joined over ask for the same, by CLINC150.

The interval takes the pairs as independent; some share a question.

python bench/near_questions.py --clinc TRIMTAB_DATA/clinc150/clinc150.jsonl.gz
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from estimates.proportions import exact_limits
from retrain.pairs.customs.minhash import clusters, jaccard
from retrain.pairs.customs.words import Numbered
from retrain.pairs.joining import NEAR
from retrain.pairs.split import words


def main() -> int:
    """Print one JSON line a share of common words: pairs of different questions, and how many have the same intent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clinc", type=Path, required=True)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.7, NEAR, 0.9])
    given = parser.parse_args()
    with gzip.open(given.clinc, "rt", encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if row["intent"] != "oos"]
    intents = {words(row["text"]): row["intent"] for row in reversed(rows)}
    texts = list(intents)
    bags = [np.unique(row) for row in Numbered(text.split() for text in texts).rows]
    numbers = [sorted(word for word in text.split() if any(sign.isdigit() for sign in word)) for text in texts]
    for share in given.shares:
        found: set[tuple[int, int]] = set()

        def alike(one: int, other: int, share: float = share, found: set[tuple[int, int]] = found) -> bool:
            near = numbers[one] == numbers[other] and jaccard(bags[one], bags[other]) >= share
            if near:
                found.add((one, other))
            return near

        clusters(bags, alike)
        same = sum(intents[texts[one]] == intents[texts[other]] for one, other in found)
        low, high = exact_limits(same, len(found))
        told = {"share": share, "questions": len(texts), "pairs": len(found), "same_intent": same / len(found)}
        print(json.dumps({**told, "low": round(low, 4), "high": round(high, 4)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
