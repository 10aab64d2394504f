"""Bar M1, all monitors together: how many drift-free histories make any statistical monitor alarm, at one budget.

Each history permutes real chat (bench/chat.py): references, then 3,000 exchanges; every monitor looks after each of its
units. Three answers in ten are judged, one in five of those badly. As shipped: the monitors that start enabled, their
weights and references, the ledger's grants for a period of one epoch each. `--every-monitor` adds those that start
paused, `--reference` gives all of them as many units. Run: python bench/monitors_false_alarms.py --every-monitor
--reference 1000 --processes 2. Resumable: every finished history is a line of <cache>/monitors-false-alarms.jsonl;
--fresh forgets them. Exit code 1 when the upper 95 % limit (Clopper-Pearson) of a share of histories with any alarm
exceeds 1.5 times its budget.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import chat
import numpy as np
from chat import Chat
from histories import Job, Outcome, at_budgets, code_of, finish, options, seed, share

from monitors.defaults import DEFAULTS
from monitors.metrics import Unit, metrics
from monitors.statistics.budget import Budget

JUDGED, DISLIKED = 0.3, 0.2
CHUNK = 100


def watched(every: bool, reference: int) -> dict[str, tuple[float, int]]:
    """Return weight and reference size of the statistical monitors that start enabled, or of all."""
    return {
        row["name"]: (float(row["weight"]), reference or int(row["params"].get("reference", 1000)))
        for row in DEFAULTS
        if float(row.get("weight", 0)) > 0 and (every or row.get("enabled", True))
    }


def judgements(rng: np.random.Generator, n: int) -> list[Unit | None]:
    """Return what people said of n answers: 1 where they disliked one, None where they said nothing."""
    judged, bad = rng.random(n) < JUDGED, rng.random(n) < DISLIKED
    return [
        Unit(i + 1, i + 1, chat.AT + timedelta(seconds=i), value=float(bad[i])) if judged[i] else None for i in range(n)
    ]


def watch(corpus: Chat, monitors: dict[str, tuple[float, int]], events: int, job: Job) -> Outcome:
    """Return one history's outcome: which monitors alarmed within `events` exchanges after the references."""
    budget, run = job["budget"], job["run"]
    rng = np.random.default_rng([20261126, run])
    order = rng.permutation(len(corpus.rows)).tolist()
    streams = {
        name: judgements(rng, len(order))
        if metrics.get(name).source == "feedback"
        else [corpus.units[name][i] for i in order]
        for name in monitors
    }
    before = max(_filled(streams[name], reference) for name, (_, reference) in monitors.items())
    if before + events > len(order):
        raise SystemExit(f"The references take {before} exchanges: too few are left for {events} more.")
    return {"alarmed": alarmed(monitors, streams, before, events, budget, run)}


def alarmed(
    monitors: dict[str, tuple[float, int]],
    streams: dict[str, list[Unit | None]],
    before: int,
    events: int,
    budget: float,
    run: int,
) -> list[str]:
    """Return the monitors that alarm in the `events` exchanges after the first `before`, which end every reference.

    `streams` holds each monitor's unit of every exchange, None where it reads none.
    """
    ledger = Budget.open(budget, {name: weight for name, (weight, _) in monitors.items()}, dict.fromkeys(monitors, 1))
    out = []
    for name, (_, reference) in monitors.items():
        ledger, alpha = ledger.grant(name, "1")
        first = [unit for unit in streams[name][:before] if unit is not None][-reference:]
        later = [unit for unit in streams[name][before : before + events] if unit is not None]
        tracker = metrics.get(name).start(first, alpha=alpha, horizon=events, seed=seed(name, run), params={})
        if any(tracker.update(later[i : i + CHUNK]).alarm for i in range(0, len(later), CHUNK)):
            out.append(name)
    return out


def _filled(stream: Sequence[Unit | None], reference: int) -> int:
    """Return how many exchanges bring `reference` units."""
    return int(np.flatnonzero([unit is not None for unit in stream])[reference - 1]) + 1


def read(args, names: Sequence[str]) -> Chat:
    """Return the chat with the units of the monitors `names`, embedded where one reads embeddings."""
    corpus = chat.load(args.data)
    sides = {"prompts": "prompt", "answers": "response"}
    for side in {sides[metrics.get(name).source] for name in names if metrics.get(name).embedded}:
        corpus.embed([row[side] for row in corpus.rows], args.encoder, args.cache)
    for name in names:
        if metrics.get(name).source != "feedback":
            corpus.units[name] = chat.units(name, corpus.rows, corpus.vectors)
    return corpus


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--reference", type=int, default=0, help="units in every reference; 0: as shipped")
    parser.add_argument("--every-monitor", action="store_true")
    args = parser.parse_args()
    monitors = watched(args.every_monitor, args.reference)
    setting = {"monitors": monitors, "events": args.events, "code": code_of(monitors)}
    corpus = read(args, list(monitors))
    work = partial(watch, corpus, monitors, args.events)
    done = finish(args, "monitors-false-alarms.jsonl", setting, at_budgets(args), work)
    kept = True
    for budget in args.budgets:
        own = [outcome["alarmed"] for outcome in done if outcome["budget"] == budget]
        words, inside = share(sum(map(bool, own)), len(own), budget)
        by = {name: sum(name in names for names in own) for name in monitors}
        print(f"budget {budget}, reference {args.reference or 'as shipped'}: {words}; {by}", flush=True)
        kept &= inside
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
