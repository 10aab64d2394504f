"""All statistical monitors together keep one budget: the share of calm histories in which any of them alarms."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import numpy as np
import pytest

from core.types import Inference
from monitors.defaults import DEFAULTS
from monitors.metrics import Unit, metrics
from monitors.statistics.budget import Budget

AT = datetime(2026, 1, 5, tzinfo=UTC)
PROMPTS = (
    "where is my parcel?",
    "this is terrible, I am angry",
    "wo ist mein Paket und wann kommt es an?",
    "write to a@b.org",
)
ANSWERS = (
    "I cannot help with that.",
    "It comes today, how wonderful!",
    "It is late, I am sorry.",
    "Call +49 30 901820",
)
HISTORIES, REFERENCE, EVENTS, BUDGET = 24, 100, 200, 0.2


def units(name, rows, rng):
    """What the monitor reads of the exchanges; embeddings, and judgements of one answer in two, come by chance."""
    metric = metrics.get(name)
    vectors = rng.normal(size=(len(rows), 16)).astype(np.float32)
    for i, row in enumerate(rows):
        value = float(rng.random() < 0.2) if metric.source == "feedback" else metric.value(row)
        if value is not None and (metric.source != "feedback" or rng.random() < 0.5):
            yield Unit(i, i, row.at, row.prompt, value, vectors[i])


def alarms(run, weights, total):
    """The monitors that alarm in a calm history, as an installation would watch it for one epoch each."""
    rng = np.random.default_rng(run)
    row = Inference("", AT, "a", "v", "live", [], "", "", finish_reason="stop")
    rows = [
        replace(
            row, at=AT + timedelta(minutes=i), prompt=PROMPTS[ask], response=ANSWERS[say] + " and so on" * int(long)
        )
        for i, (ask, say, long) in enumerate(rng.integers(4, size=(3 * (REFERENCE + EVENTS), 3)))
    ]
    ledger = Budget.open(total, weights, dict.fromkeys(weights, 1))
    for name in weights:
        ledger, alpha = ledger.grant(name, "1")
        seed = int.from_bytes(sha256(f"{name}/{run}".encode()).digest()[:4], "big")
        stream = list(units(name, rows, rng))[: REFERENCE + EVENTS]
        tracker = metrics.get(name).start(stream[:REFERENCE], alpha=alpha, horizon=EVENTS, seed=seed, params={})
        if tracker.update(stream[REFERENCE:]).alarm:
            yield name


@pytest.mark.slow
def test_monitors_that_share_a_budget_do_not_exceed_it_together():
    """24 calm histories at budget 0.2: over 13 with an alarm come less than once in 10,000 if the promise is kept."""
    weights = {row["name"]: float(row["weight"]) for row in DEFAULTS if row.get("weight")}
    assert len(weights) >= 4
    assert sum(any(alarms(run, weights, BUDGET)) for run in range(HISTORIES)) <= 13
