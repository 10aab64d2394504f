"""What the worker foresaw for a proposal and what a candidate learnt by topic, for tests of the console."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from store import commands
from store.tables import run_progress, runs
from store.unit_of_work import Tx

if TYPE_CHECKING:
    from tests.console_world import World

Say = Callable[[str], str]


def tell_prospects(world: World, say: Say) -> None:
    """Whether the proposal that waits will help, and what the run that made a candidate taught it."""
    with world.store.write(world.now - timedelta(hours=1)) as tx:
        _tell_outlook(tx, world.retrain, say)
        run = tx.one(sa.select(runs.c.id, runs.c.uuid).where(runs.c.candidate == "assistant-v2"))
        assert run is not None
        world.trained = run["uuid"]
        data = {"event": "evaluated", "pairs": 72, "seconds": 61.0, "topics": _learnt(say)}
        tx.insert(run_progress, run_id=run["id"], line=999, at=tx.now, data=data)


def _tell_outlook(tx: Tx, decision: str, say: Say) -> None:
    within = timedelta(days=2)
    args = {"decision": decision}
    commands.ask(tx, "foresee", owner="retrain", args=args, actor="system:policy", expires_in=within)
    row = commands.claim(tx, "retrain", "retrain-1", 3600.0, kinds=("foresee",))
    assert row is not None
    topics = [topic(say("parcel · late"), 46, 0.48), topic(say("points · loyalty"), 12, 0.31)]
    curve = [(24, 0.55, 0.42, 0.68), (48, 0.58, 0.46, 0.70), (96, 0.60, 0.49, 0.71), (192, 0.61, 0.52, 0.70)]
    told = {
        "outlook": "not enough pairs",
        "sentence": "Not enough pairs: cheap models gain 4 points [-2, 10]; about 320 more needed to tell.",
        "needed": 320,
        "pairs": 256,
        "prompts": 201,
        "known": 192,
        "contributors_apart": True,
        "gain": estimate(0.04, -0.02, 0.10, 256),
        "twice": estimate(0.06, -0.02, 0.19, 256),
        "curve": [{"learnt": n, "accuracy": estimate(*ends, 256)} for n, *ends in curve],
        "topics": topics,
        "label": [
            say(
                "parcel · late: 46 pairs, of whose labels cheap models expect to guess 48 % wrong (a coin: 50 %); "
                "about 47 more would tell."
            )
        ],
    }
    commands.finish(tx, row["id"], told, process="retrain-1")


def _learnt(say: Say) -> list[dict[str, Any]]:
    """Topics of held-out prompts with a sure gain, an unsure one, and one with too few pairs."""
    few = {"value": None, "low": None, "high": None, "n": 9, "method": "x", "needed": 11}
    return [
        {"name": say("return · refund"), "pairs": 34, "gain": estimate(0.24, 0.06, 0.41, 34), "sure": True},
        {"name": say("parcel · late"), "pairs": 29, "gain": estimate(0.03, -0.15, 0.21, 29), "sure": False},
        {"name": say("points · loyalty"), "pairs": 9, "gain": few, "sure": False},
    ]


def topic(name: str, pairs: int, doubt: float) -> dict[str, Any]:
    right = estimate(0.55, 0.41, 0.69, pairs)
    return {"name": name, "pairs": pairs, "right": right, "doubt": doubt, "wanted": 93 - pairs}


def estimate(value: float, low: float, high: float, n: int) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n, "method": "x", "needed": 0}
