"""Bar M8 (out-of-distribution rate): the false rate kept, the interval's coverage and what of foreign prompts is seen.

Each run draws "approved" clinc150 queries of five domains and "live" ones: of the same domains only, or with a share
from the five other domains or out of scope. Says how often prompts like the approved ones are flagged at 0.05, how
often the flagged share's interval covers the share that the set flags of all such queries, and whether the stated lower
limit of the foreign share holds. Run: python bench/ood.py --runs 600. Exit code 1 when the lower 95 % limit of the
false rate is above its level, or a coverage is below 0.94.
"""

import sys

import numpy as np
from clinc import load, options

from estimates.proportions import exact_limits, proportion
from monitors.statistics.membership import Membership, foreign_share

LEVEL, LIVE, FOREIGN = 0.05, 300, 0.3


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=600)
    parser.add_argument("--approved", type=int, nargs="+", default=[100, 400, 2000])
    args = parser.parse_args()
    corpus = load(args)
    domains = sorted(set(corpus.domains) - {"oos", "attack"})
    failed = False
    for approved in args.approved:
        alone, covered, held, shares, limits = 0, 0, 0, [], []
        for run in range(args.runs):
            rng = np.random.default_rng([run, approved])
            own = rng.choice(domains, 5, replace=False)
            like = rng.permutation(np.flatnonzero(np.isin(corpus.domains, own)))
            other = rng.permutation(np.flatnonzero(~np.isin(corpus.domains, [*own, "attack"])))
            members = Membership.fit(corpus.rows[like[:approved]], seed=run)
            rest = members.p_values(corpus.rows[like[approved:]]) <= LEVEL
            alone += bool(rest[0])
            calm = proportion(int(rest[:LIVE].sum()), LIVE)
            covered += calm.low <= rest.mean() <= calm.high
            foreign = rng.random(LIVE) < FOREIGN
            flags = np.where(foreign, members.p_values(corpus.rows[other[:LIVE]]) <= LEVEL, rest[:LIVE])
            told = proportion(int(flags.sum()), LIVE)
            limits.append(foreign_share(told.low, members.false_share(LEVEL)))
            shares.append((flags & foreign).sum() / foreign.sum())
            held += limits[-1] <= FOREIGN
        low, high = exact_limits(alone, args.runs)
        print(
            f"{approved} approved, {args.runs} runs: false rate {alone / args.runs:.4f} [{low:.4f}, {high:.4f}] at "
            f"{LEVEL}; interval covers {covered / args.runs:.4f}; of foreign prompts {np.mean(shares):.3f} flagged; "
            f"lower limit of the foreign share ({FOREIGN}) holds in {held / args.runs:.4f}, median "
            f"{np.median(limits):.3f}"
        )
        failed |= low > LEVEL or covered / args.runs < 0.94 or held / args.runs < 0.94
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
