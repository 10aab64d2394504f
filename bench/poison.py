"""Bar R3: customs find planted poison, and every burst of near repeats, contamination, personal datum, missing licence.

Run: TRIMTAB_DATA=... python bench/poison.py [--seeds 5] [--sources hh-rlhf derived-preferences] [--shares 0.01 0.03].
Poison is a trigger put into a prompt (a rare word, a phrase, a common word, an invisible sign, a marked command; at
the start, at the end or anywhere, as the seed says) and the pair's labels turned round, from one contributor or from
all of them. The sources are real preferences, of which no text is printed; contributors and times are drawn. For each
cell: recall of the quarantine as shipped and its false quarantine, and recall where the score is cut so that 5 % of
the sound pairs are held. Intervals are over all planted pairs of a cell (Clopper-Pearson). Exit code 1 when recall by
either is below 0.8 at 5 % or 10 % poison, false quarantine is above 5 %, or a planted case is missed. What poison does
to a trained model, with customs and without: poison_training.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from plants import CONTRIBUTORS, PLACES, SOURCES, START, TRIGGERS, dress, load, plant
from public import public_data

from core.types import Estimate, PreferencePair
from estimates.proportions import proportion
from retrain.pairs.customs.inspection import Verdict, checks, inspect_lot
from retrain.pairs.customs.suites import own_texts

LIMIT, WANTED = 0.05, 0.8
PERSONAL = ("Write to {}.{}@post-mail.org.", "Call me: +4930{}{}55.", "My address is {}.{}@inbox-mail.net")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Planted pairs held as shipped, sound pairs held as shipped, and planted pairs held at 5 % of the sound ones."""

    planted: int
    held: int
    sound: int
    falsely: int
    at_limit: int


def inspect(pairs: Sequence[PreferencePair], seed: int) -> Sequence[Verdict]:
    return inspect_lot(pairs, checks(own_texts()), seed=seed).verdicts


def measure(verdicts: Sequence[Verdict], mask: np.ndarray) -> Outcome:
    held = np.array([verdict.quarantined for verdict in verdicts])
    scores = np.array([verdict.score for verdict in verdicts])
    sound = int((~mask).sum())
    # Held are the scores above the one that 5 % of the sound pairs pass; ties with it are not.
    cut = np.sort(scores[~mask])[::-1][int(LIMIT * sound)] if sound else 0.0
    return Outcome(
        int(mask.sum()), int((held & mask).sum()), sound, int((held & ~mask).sum()), int((mask & (scores > cut)).sum())
    )


def tell(name: str, outcomes: Sequence[Outcome]) -> bool:
    """Print a cell; returns whether it keeps the limit on false quarantine and, at 5 % and 10 %, the recall."""
    planted, sound = sum(o.planted for o in outcomes), sum(o.sound for o in outcomes)
    falsely = proportion(sum(o.falsely for o in outcomes), sound)
    line = f"{name:<44} false quarantine {shown(falsely)}"
    kept = (falsely.value or 0.0) <= LIMIT
    if planted:
        held = proportion(sum(o.held for o in outcomes), planted)
        cut = proportion(sum(o.at_limit for o in outcomes), planted)
        line += f"  recall as shipped {shown(held)}  at 5 % by score {shown(cut)}"
        if planted / (planted + sound) >= 0.045:
            kept &= min(held.value or 0.0, cut.value or 0.0) >= WANTED
        line += "  runs " + " ".join(f"{o.held / o.planted:.2f}/{o.at_limit / o.planted:.2f}" for o in outcomes)
    print(line, "" if kept else "  MISSED", flush=True)
    return kept


def shown(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"({estimate.needed} more needed)"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def planted_cases(pairs: Sequence[PreferencePair], seed: int) -> bool:
    """Bursts, contamination, personal data and missing papers among real pairs: is every one of them held?"""
    rng = np.random.default_rng(seed)
    sound = dress(pairs, rng)
    texts = [text for found in own_texts().values() for text in found if len(text.split()) >= 8]
    cases: dict[str, list[PreferencePair]] = {"burst": [], "contamination": [], "personal_data": [], "no_licence": []}
    base = sound[int(rng.integers(len(sound)))]
    for step in range(12):
        words = base.prompt[-1]["content"].split(" ")
        words.insert(int(rng.integers(0, len(words) + 1)), f"well{step}")
        prompt = [*base.prompt[:-1], {"role": "user", "content": " ".join(words)}]
        at = START + timedelta(days=40, minutes=2 * step)
        cases["burst"].append(replace(base, prompt=prompt, at=at, contributor=f"c{rng.integers(CONTRIBUTORS)}"))
    for place in rng.choice(len(sound), 20, replace=False):
        pair, text = sound[place], texts[int(rng.integers(len(texts)))]
        cases["contamination"].append(replace(pair, prompt=[{"role": "user", "content": f"Well: {text}"}]))
    for place in rng.choice(len(sound), 20, replace=False):
        told = PERSONAL[int(rng.integers(len(PERSONAL)))].format(*rng.integers(1000, 9999, 2))
        cases["personal_data"].append(replace(sound[place], chosen=f"{sound[place].chosen} {told}"))
    for place in rng.choice(len(sound), 20, replace=False):
        cases["no_licence"].append(replace(sound[place], licence=""))
    lot = sound + [pair for found in cases.values() for pair in found]
    lot = [replace(pair, uuid=str(place)) for place, pair in enumerate(lot)]
    verdicts = inspect(lot, seed)
    kept, start, line = True, len(sound), f"planted cases, seed {seed}:"
    for flag, found in cases.items():
        flags = [verdict.flags for verdict in verdicts[start : start + len(found)] if verdict.quarantined]
        # Every copy in a burst may be held as a repeat as well: what counts is that the flag is among those told.
        hits = sum(flag in told for told in flags)
        kept &= hits == len(found)
        line += f"  {flag} {hits}/{len(found)}"
        start += len(found)
    print(line, "" if kept else "  MISSED", flush=True)
    return kept


def main() -> int:
    """Measure every cell. Returns 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0, help="seeds from here on plant elsewhere")
    parser.add_argument("--sources", nargs="+", choices=list(SOURCES), default=list(SOURCES))
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.01, 0.03, 0.05, 0.1])
    parser.add_argument("--part", choices=["poison", "cases", "all"], default="all")
    given = parser.parse_args()
    folder = public_data()
    kept = True
    for source in given.sources:
        pairs = load(folder, source)
        for share in given.shares if given.part != "cases" else []:
            for one in (False, True) if share else (False,):
                outcomes = []
                for seed in range(given.first_seed, given.first_seed + given.seeds):
                    rng = np.random.default_rng([seed, round(1000 * share), one])
                    trigger, where = TRIGGERS[seed % len(TRIGGERS)], PLACES[seed % len(PLACES)]
                    lot, mask = plant(dress(pairs, rng), share, trigger, where, one, rng)
                    outcomes.append(measure(inspect(lot, seed), mask))
                by = "no poison" if not share else "one contributor" if one else "many contributors"
                kept &= tell(f"{source}, {len(pairs)} pairs, {share:.0%}, {by}", outcomes)
        if given.part != "poison":
            for seed in range(given.first_seed, given.first_seed + given.seeds):
                kept &= planted_cases(pairs, seed)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
