"""How well the pairs held for a topic are told from the others, on clinc150 with its own labels as the truth.

Each run takes one intent: some of its queries are the topic that grew, the others are the prompts of held pairs, among
1,000 queries of other intents. Printed are the share of the topic's pairs that is found and the share of the others
that is taken for the topic's. Run: python bench/mending.py --runs 200
"""

import numpy as np
from clinc import load, options

from estimates.means import mean
from monitors.mending import mend

SIZES = (10, 20, 40, 80)
OTHERS = 1000


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=200)
    args = parser.parse_args()
    corpus = load(args)
    rng = np.random.default_rng(20261126)
    names = [name for name in np.unique(corpus.intents) if 120 <= (corpus.intents == name).sum() <= 500]
    for size in SIZES:
        found, wrong = [], []
        for _ in range(args.runs):
            name = rng.choice(names)
            own = rng.permutation(np.flatnonzero(corpus.intents == name))
            others = rng.choice(np.flatnonzero(corpus.intents != name), OTHERS, replace=False)
            held = np.concatenate([corpus.rows[own[size:]], corpus.rows[others]])
            told = mend(name, corpus.rows[own[:size]], held, share=0.5, run=2, free=[False] * size)
            near = np.array(told.near, int)
            found.append(float((near < len(own) - size).sum()) / (len(own) - size))
            wrong.append(float((near >= len(own) - size).sum()) / OTHERS)
        shown = [
            f"{e.value:.4f} [{e.low:.4f}, {e.high:.4f}]"
            for e in (mean(found, low=0, high=1), mean(wrong, low=0, high=1))
        ]
        print(
            f"topic of {size}: {shown[0]} of its pairs found, {shown[1]} of others taken "
            f"(median {np.median(wrong):.4f}), {args.runs} runs"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
