"""How often the sentiment descriptor agrees with people, beside a younger library with a bundled lexicon.

The texts and the mean ratings of twenty people each are those of VADER's authors: the unpacked archive
additional_resources/hutto_ICWSM_2014.tar.gz of a checkout of github.com/cjhutto/vaderSentiment. A rating, from -4 to 4,
counts as neutral where it is nearer to 0 than the limit of the descriptor on its own scale of -1 to 1, and as clear
from 1 on. `--peer-path` names a folder with textblob (`pip install --no-deps --target FOLDER textblob`).
Run: python bench/sentiment.py --rated FOLDER
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from estimates.proportions import proportion
from monitors.descriptors.sentiment import LIMIT, sentiment

CORPORA = ("tweets", "amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets")
SCALE, CLEAR = 4.0, 1.0


def named(score: float) -> str:
    """The sentiment of a score from -1 to 1."""
    return "negative" if score <= -LIMIT else "positive" if score >= LIMIT else "neutral"


def read(path: Path) -> list[tuple[float, str]]:
    """Each text with its mean rating from -4 to 4."""
    lines = [line.rstrip("\n").split("\t") for line in path.read_text("latin-1").splitlines()]
    return [(float(line[1]), line[2]) for line in lines if len(line) > 2]


def ways_of(peer_path: str | None) -> dict[str, Callable[[str], str | None]]:
    ways: dict[str, Callable[[str], str | None]] = {"trimtab": sentiment}
    if peer_path:
        sys.path.append(peer_path)
        from textblob.en.sentiments import PatternAnalyzer

        analyzer = PatternAnalyzer()
        ways["textblob"] = lambda text: named(analyzer.analyze(text).polarity)
    return ways


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rated", type=Path, required=True)
    parser.add_argument("--peer-path")
    args = parser.parse_args()
    for corpus in CORPORA:
        rated = read(args.rated / f"{corpus}_GroundTruth.txt")
        for name, way in ways_of(args.peer_path).items():
            began = time.process_time()
            told = [(named(rating / SCALE), abs(rating) >= CLEAR, way(text)) for rating, text in rated]
            spent = (time.process_time() - began) / len(rated)
            read_ones = [(truth, clear, found) for truth, clear, found in told if found is not None]
            agreed = proportion(sum(truth == found for truth, _, found in read_ones), len(read_ones))
            clear_ones = [truth == found for truth, clear, found in read_ones if clear]
            sure = proportion(sum(clear_ones), len(clear_ones))
            shown = [f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}] of {e.n:,}" for e in (agreed, sure)]
            print(
                f"{corpus}, {name}: the same as people for {shown[0]}, of clearly rated ones {shown[1]}; "
                f"{len(told) - len(read_ones)} left out; {spent * 1e6:.0f} us a text",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
