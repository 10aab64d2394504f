"""Bar M7: counterfactual twins find a planted gap of 10 points, with the pairs that took, and invent none without.

Run: [TRIMTAB_DATA=...] python bench/fairness.py [--runs 500] [--part twins]. A scripted answerer refuses at random,
and one side of one dimension by 10 points more where a gap is planted; the monitor's own code pairs, carries and
judges look after look, all seven dimensions together. Then group gaps over windows of live traffic, and twins made of
public prompts (identity templates and HateCheck, whose texts are never printed). Exit code 1 when the bar is missed:
findings without a gap in more than 5 % of the epochs or looks (by the lower 95 % limit), or a gap of 10 points found
in less than 95 % of the epochs of twins where 5 % or fewer of the answers are refused at random.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from public import public_data

from core.types import Inference, Measurement, Plan, Sampled, Window
from estimates.proportions import proportion
from monitors.identities import DIMENSIONS, INTRODUCTIONS
from monitors.metrics import group_gaps, metrics
from monitors.probes.runner import Record
from monitors.twins import Twins, make_twins

REFUSED, ANSWERED = "I cannot help with that.", "A full answer. " * 20
LIMITS = (0.0, 0.02)
PUBLIC = {"identity-templates/templates.jsonl.gz": "phrase", "hatecheck/cases.jsonl.gz": "test_case"}
# Whether the answer to a side's prompt refuses: (dimension, source, side, prompt).
Refuses = Callable[[str, int, str, str], bool]
Pair = tuple[str, int, str, str]


def looks(refuses: Refuses, asked: Iterator[Sequence[Pair]], dimensions: Sequence[str]) -> Iterator[list[Measurement]]:
    """What each look of one epoch measures; a look's pairs are (dimension, source, prompt a, prompt b)."""
    metric = metrics.get("bias_twins")
    earlier: list[tuple[str, Mapping[str, Any]]] = []
    for pairs in asked:
        records = []
        for dimension, source, *prompts in pairs:
            for side, prompt in zip("ab", prompts, strict=True):
                refused = refuses(dimension, source, side, prompt)
                answer = REFUSED if refused else ANSWERED
                records.append(Record(f"{source}:{source}:{side}", dimension, True, "refusal", answer, refused))
        found = list(metric.judge(records, {"dimensions": list(dimensions)}, earlier=earlier))
        earlier += [(m.segment, m.details) for m in found if m.metric == "twin_gap"]
        yield found


def refusing(seed: int, *, gap: float, noise: float, planted: str) -> Refuses:
    """Refuses a `noise` share of all answers, each side for itself, and side b of `planted` by `gap` more."""
    rng = random.Random(seed)

    def refuses(dimension: str, source: int, side: str, prompt: str) -> bool:
        extra = gap / (1 - noise) if side == "b" and dimension == planted else 0.0
        return rng.random() < noise or rng.random() < extra

    return refuses


def first_findings(found: Iterator[list[Measurement]]) -> dict[float, int]:
    """By limit, the pairs behind the worst gap at the first look that puts its whole interval past the limit."""
    out: dict[float, int] = {}
    for measured in found:
        for limit in LIMITS:
            if limit not in out and (measured[0].estimate.low or 0.0) > limit:
                out[limit] = measured[0].estimate.n
        if len(out) == len(LIMITS):
            break
    return out


def simulated(noises: Sequence[float], gaps: Sequence[float], runs: int, count: int, pairs: int) -> bool:
    """Print false findings and power over `runs` epochs of `count` looks; returns whether the bar is kept."""
    kept = True
    for noise in noises:
        for gap in gaps:
            told: list[dict[float, int]] = []
            for seed in range(runs):
                batches = (
                    [
                        (name, look * 10**6 + i * 10 + place, "", "")
                        for i in range(pairs)
                        for place, name in enumerate(DIMENSIONS)
                    ]
                    for look in range(count)
                )
                refuses = refusing(seed, gap=gap, noise=noise, planted=DIMENSIONS[0])
                told.append(first_findings(looks(refuses, batches, DIMENSIONS)))
            kept &= tell(f"twins: gap {gap:.0%}, random refusals {noise:.0%}", told, gap=gap, bar=noise <= 0.05)
    return kept


def grouped(gaps: Sequence[float], runs: int, rows: int) -> bool:
    """Live windows: how often any interval of a look leaves out 0 (or 2 points) with and without a gap of 10 points."""
    kept = True
    # The windows' answers repeat: each is read once.
    group_gaps.sentiment, group_gaps.refuses = cache(group_gaps.sentiment), cache(group_gaps.refuses)
    for users in (0, rows // 5):
        for gap in gaps:
            past = dict.fromkeys(LIMITS, 0)
            for seed in range(runs):
                measured = metrics.get("group_gaps").measure(None, live_window(seed, rows, users=users, gap=gap), {})
                for limit in past:
                    past[limit] += (measured[0].estimate.low or 0.0) > limit
            for limit, times in past.items():
                share = proportion(times, runs, minimum=1)
                who = f"{users} users who repeat" if users else "each row a user"
                print(
                    f"groups: gap {gap:.0%}, {rows} rows, {who}, limit {limit:.0%}: "
                    f"found in {times} of {runs} [{share.low:.3f}, {share.high:.3f}]",
                    flush=True,
                )
                kept &= gap > 0.0 or (share.low or 0.0) <= 0.05
    return kept


def live_window(seed: int, rows: int, *, users: int, gap: float) -> Window:
    """Rows of three labels (4, 3 and 6 groups); a fifth is refused, `gap` more of the channel "phone"."""
    rng = np.random.default_rng(seed)
    own = rng.beta(0.8, 3.2, users) if users else np.full(1, 0.2)
    told = []
    labels = {
        "channel": ("web", "app", "phone", "mail"),
        "plan": ("free", "paid", "trial"),
        "age_group": tuple("abcdef"),
    }
    sides = {name: rng.integers(len(groups), size=max(users, 1)) for name, groups in labels.items()}
    for key in range(1, rows + 1):
        user = int(rng.integers(len(own)))
        mine = {n: groups[sides[n][user] if users else rng.integers(len(groups))] for n, groups in labels.items()}
        refused = rng.random() < own[user] + (gap if mine["channel"] == "phone" else 0.0)
        made = Inference(
            uuid=str(key),
            at=datetime(2026, 1, 1, tzinfo=UTC),
            deployment="a",
            version="v",
            kind="live",
            messages=[],
            prompt="where is it",
            response=REFUSED if refused else ANSWERED + "." * int(rng.integers(100)),
            latency_ms=float(rng.exponential(100)),
            labels=mine,
            user=f"u{user}" if users else "",
            id=key,
        )
        told.append(Sampled(made, 1.0, float(rng.random() < 0.15) if rng.random() < 0.3 else None))
    return Window("current", 1, rows, Plan("all", rows, rows, 0), told)


def public(runs: int, data: Path) -> bool:
    """The same on prompts of public data, each asked about once an epoch; returns whether nothing was invented."""
    prompts = []
    for name, field in PUBLIC.items():
        with gzip.open(data / name, "rt", encoding="utf-8") as lines:
            prompts += [str(json.loads(line)[field]) for line in lines]
    numbered = list(enumerate(prompts, start=1))
    made = make_twins(numbered, count=7 * len(numbered), seed=1)
    introduced = tuple(sentence for pairs in INTRODUCTIONS.values() for pair in pairs for sentence in pair)
    own = {name: sum(t.group == name and not t.first.startswith(introduced) for t in made) for name in DIMENSIONS}
    print(f"public prompts: {len(prompts)}; those that mention a person, by dimension: {own}", flush=True)
    kept = True
    for gap in (0.0, 0.1):
        told = []
        for seed in range(runs):
            some = random.Random(seed).sample(numbered, 600)
            twins = make_twins(some, count=7 * 300, seed=seed)
            ordered = [(t.group, t.source, *by_column(t)) for t in twins]
            batches = (ordered[start : start + 100] for start in range(0, len(ordered), 100))
            refuses = refusing(seed, gap=gap, noise=0.02, planted="religion")
            told.append(first_findings(looks(refuses, batches, DIMENSIONS)))
        kept &= tell(f"public prompts: gap {gap:.0%} for religion, random refusals 2%", told, gap=gap, bar=False)
    return kept


def by_column(twins: Twins) -> tuple[str, str]:
    """The prompts of column a and b."""
    return (twins.first, twins.second) if twins.sides == ("a", "b") else (twins.second, twins.first)


def tell(words: str, told: Sequence[Mapping[float, int]], *, gap: float, bar: bool) -> bool:
    """Print a line a limit; whether the share found is as the bar wants it."""
    kept = True
    for limit in LIMITS:
        pairs = sorted(found[limit] for found in told if limit in found)
        share = proportion(len(pairs), len(told), minimum=1)
        line = f"{words}, limit {limit:.0%}: found in {len(pairs)} of {len(told)} [{share.low:.3f}, {share.high:.3f}]"
        if gap and len(pairs) > 0.9 * len(told):
            middle, most = pairs[len(pairs) // 2], pairs[int(0.9 * len(told))]
            line += f"; pairs of the dimension: median {middle}, nine in ten within {most}"
        print(line, flush=True)
        if gap == 0.0:
            kept &= (share.low or 0.0) <= 0.05
        elif bar and limit == 0.0:
            kept &= (share.value or 0.0) >= 0.95
    return kept


def main() -> int:
    """Run the parts asked for. Returns 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--looks", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=25, help="pairs a dimension and look")
    parser.add_argument(
        "--noise", type=float, nargs="+", default=[0.02, 0.05, 0.2], help="random refusals of each side"
    )
    parser.add_argument("--gaps", type=float, nargs="+", default=[0.0, 0.1], help="planted gaps")
    parser.add_argument("--rows", type=int, default=4000, help="rows of a live window")
    parser.add_argument("--part", choices=["twins", "groups", "public", "all"], default="all")
    given = parser.parse_args()
    kept = True
    if given.part in ("twins", "all"):
        kept &= simulated(given.noise, given.gaps, given.runs, given.looks, given.pairs)
    if given.part in ("groups", "all"):
        kept &= grouped(given.gaps, given.runs, given.rows)
    if given.part in ("public", "all") and os.environ.get("TRIMTAB_DATA"):
        kept &= public(given.runs, public_data())
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
