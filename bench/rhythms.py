"""Bar M1, rhythms: how many histories whose nights and weekends differ, and nothing else, make any monitor alarm.

Every part of the day (or of the week) has its own mix of clinc150's domains, of hh-rlhf's answers (their lengths and
how many refuse) and its own share of dislikes, drawn anew for each history; there is less traffic at night and at
weekends. "steps": what is asked changes where the parts declared to the monitors do, as their promise supposes.
"smooth": each part goes over into the next little by little, which their promise does not cover. The monitors are those
that start enabled and share one budget; their references fill in two weeks. Run: python bench/rhythms.py --processes 2;
with --undeclared the monitors are told of no rhythm. Resumable: every finished history is a line of
<cache>/rhythms.jsonl; --fresh forgets them. Exit code 1 when the upper 95 % limit of a share of "steps" histories with
any alarm exceeds 1.5 times its budget.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import product

import chat
import numpy as np
from clinc import Corpus, load
from histories import Job, Outcome, at_budgets, code_of, finish, options, share
from monitors_false_alarms import JUDGED, alarmed, watched

from core.types import Inference
from monitors.metrics import Unit, metrics
from monitors.rhythm import DAY_PART_HOURS, SATURDAY, WEEK_PART_HOURS, mark

REFERENCE = {"day": 1000, "week": 1500}  # what the guide advises
HOURS = {"day": DAY_PART_HOURS, "week": WEEK_PART_HOURS}
PARTS = 8  # in either cycle
SHAPES = ("steps", "smooth")
FILLED = 14  # days that a reference spans
QUIET = 0.3  # traffic at midnight, of that at noon
WEEKEND = 0.5  # traffic at weekends, of that on workdays


@dataclass(frozen=True)
class Material:
    """clinc150 with its queries by domain; hh-rlhf's answers: standardised log lengths, and each monitor's values."""

    corpus: Corpus
    domains: list[np.ndarray]
    lengths: np.ndarray
    values: dict[str, list[float | None]]


def material(args: argparse.Namespace) -> Material:
    """Return what histories are made of."""
    corpus = load(args)
    domains = [np.flatnonzero(corpus.domains == name) for name in sorted(set(corpus.domains) - {"oos", "attack"})]
    answers = sorted({row["response"] for row in chat.load(args.data).rows})
    told = [Inference("", chat.AT, "a", "v", "live", [], "", answer) for answer in answers]
    names = [name for name in watched(False, 0) if metrics.get(name).source == "answers"]
    lengths = np.log([len(answer) + 1 for answer in answers])
    values = {name: [metrics.get(name).value(one) for one in told] for name in names}
    return Material(corpus, domains, (lengths - lengths.mean()) / lengths.std(), values)


def moments(rng: np.random.Generator, n: int, per_day: float) -> list[datetime]:
    """Return n moments from a Monday on, at most `per_day` a day, fewer at night and at weekends."""
    out: list[datetime] = []
    at = chat.AT
    while len(out) < n:
        at += timedelta(days=float(rng.exponential(1 / per_day)))
        busy = QUIET + (1 - QUIET) * (0.5 - 0.5 * np.cos(2 * np.pi * (at.hour + at.minute / 60) / 24))
        if rng.random() < busy * (WEEKEND if at.weekday() >= SATURDAY else 1):
            out.append(at)
    return out


def parts(rng: np.random.Generator, at: Sequence[datetime], rhythm: str, shape: str) -> np.ndarray:
    """Return the part of the cycle, from 0 to PARTS - 1, whose ways each moment has.

    In a smooth cycle a moment between the middles of two parts has either's, the nearer one's more often.
    """
    hours = HOURS[rhythm]
    cycle = 24 // hours
    second = cycle * np.array([rhythm == "week" and moment.weekday() >= SATURDAY for moment in at])
    place = np.array([(moment.hour + moment.minute / 60) / hours for moment in at])
    if shape == "smooth":
        place = place - 0.5 + rng.random(len(at))
    return np.floor(place).astype(int) % cycle + second


def watch(stuff: Material, events: int, job: Job) -> Outcome:
    """Return one history's outcome: which monitors alarmed."""
    rhythm, reference = job["rhythm"], REFERENCE[job["rhythm"]]
    rng = np.random.default_rng([20261127, job["run"], *rhythm.encode(), *job["shape"].encode()])
    monitors = watched(False, reference)
    # One exchange in three or so is judged: their reference spans more exchanges than the others'.
    before = round(1.3 * reference / JUDGED)
    n = before + events
    at = moments(rng, n, reference / FILLED)
    part = parts(rng, at, rhythm, job["shape"])
    refused = np.array([bool(value) for value in stuff.values["refusal_rate"]])
    likely = np.exp(rng.normal(size=(PARTS, 1)) * stuff.lengths + rng.normal(size=(PARTS, 1)) * refused)
    asked, told, bad = np.empty(n, int), np.empty(n, int), np.empty(n)
    for i in range(PARTS):
        own = part == i
        domains = rng.choice(len(stuff.domains), own.sum(), p=rng.dirichlet(np.full(len(stuff.domains), 0.5)))
        asked[own] = [rng.choice(stuff.domains[domain]) for domain in domains]
        told[own] = rng.choice(len(stuff.lengths), own.sum(), p=likely[i] / likely[i].sum())
        bad[own] = rng.random(own.sum()) < rng.beta(2, 8)
    said = [float(bad[i]) if rng.random() < JUDGED else None for i in range(n)]
    values = {"prompt_drift": [0.0] * n, "negative_feedback": said}
    values |= {name: [own[i] for i in told] for name, own in stuff.values.items()}
    texts, rows = [stuff.corpus.texts[i] for i in asked], stuff.corpus.rows[asked]
    whole = [Unit(i, i, at[i], texts[i], None, rows[i]) for i in range(n)]
    marked = mark(whole, rhythm if job["declared"] else "none")
    streams = {
        name: [replace(u, value=v) if v is not None else None for u, v in zip(marked, values[name], strict=True)]
        for name in monitors
    }
    return {"alarmed": alarmed(monitors, streams, before, events, job["budget"], job["run"])}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--rhythms", choices=list(REFERENCE), nargs="+", default=list(REFERENCE))
    parser.add_argument("--shapes", choices=SHAPES, nargs="+", default=list(SHAPES))
    parser.add_argument("--undeclared", action="store_true")
    args = parser.parse_args()
    kinds = [
        {"rhythm": rhythm, "shape": shape, "declared": not args.undeclared}
        for rhythm, shape in product(args.rhythms, args.shapes)
    ]
    setting = {"events": args.events, "code": code_of(watched(False, 0))}
    jobs = [{**kind, **job} for kind in kinds for job in at_budgets(args)]
    done = finish(args, "rhythms.jsonl", setting, jobs, partial(watch, material(args), args.events))
    kept = True
    for kind, budget in product(kinds, args.budgets):
        own = [outcome["alarmed"] for outcome in done if {**outcome, **kind, "budget": budget} == outcome]
        words, inside = share(sum(map(bool, own)), len(own), budget)
        by = {name: sum(name in names for names in own) for name in watched(False, 0)}
        told = "declared" if kind["declared"] else "undeclared"
        print(f"{kind['rhythm']}, {kind['shape']}, {told}, budget {budget}: {words}; {by}", flush=True)
        kept &= inside or kind["shape"] != "steps" or args.undeclared
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
