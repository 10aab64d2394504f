"""The traffic of the shop for pictures and tests of the console: a topic map, a queue, what would mend the alert."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from core.types import PreferencePair
from store import alerts, commands, inferences, labelling, pairs
from store.unit_of_work import Tx

if TYPE_CHECKING:
    from tests.console_world import World

Say = Callable[[str], str]
TOPICS = ("parcel late delivery", "return shoes worn", "points loyalty refund", "points update disappeared", "pay card")
REFERENCE = 100


def tell_traffic(world: World, say: Say) -> None:
    """A map that was drawn an hour ago, two exchanges in the queue, and what would mend the alert that fires."""
    with world.store.write(world.now - timedelta(hours=1)) as tx:
        mending(tx, world, say)
        labelling.mark(tx, list(world.rows[7:9]), "label", actor="otto")
        labelling.mark(tx, [world.rows[9]], "exclude", actor="otto", reason=say("A load test."))
        uuid = commands.ask(tx, "topic_map", owner="monitors", args={"rows": 1000}, actor="otto")
        row = commands.claim(tx, "monitors", "monitors-1", 60.0, kinds=("topic_map",))
        assert row is not None and row["uuid"] == uuid
        commands.finish(tx, row["id"], topic_map(tx, world, say))


def topic_map(tx: Tx, world: World, say: Say) -> dict[str, Any]:
    """A map as the monitors' process draws it: the first half of the traffic is the reference."""
    draw = random.Random(11)
    ids = [inferences.by_uuid(tx, uuid).id for uuid in world.rows]
    topic = [number % len(TOPICS) for number in range(len(ids))]
    angle = [2 * math.pi * number / len(TOPICS) for number in topic]
    places = [(500 + 320 * math.cos(a) + draw.gauss(0, 40), 500 + 320 * math.sin(a) + draw.gauss(0, 40)) for a in angle]
    now = [int(number >= REFERENCE) for number in range(len(ids))]
    found = []
    for number, name in enumerate(TOPICS):
        own, then = (31, 2) if number == 2 else (17, 24)
        share, was = ({"value": n / 100, "low": n / 125, "high": n / 80, "n": 100} for n in (own, then))
        moved = {
            "value": (own - then) / 100,
            "low": (own - then) / 100 - 0.1,
            "high": (own - then) / 100 + 0.1,
            "n": 100,
        }
        found.append(
            {
                "name": say(name),
                "now": own,
                "reference": then,
                "share_now": own / 100,
                "share_reference": then / 100,
                "p": 1e-6 if number == 2 else 0.8,
                "significant": number == 2,
                "share": share,
                "was": was,
                "difference": moved,
                "examples": [id for id, t, n in zip(ids, topic, now, strict=True) if t == number and n][:4],
            }
        )
    span = {"from": "2026-11-20T09:00:00+00:00", "to": "2026-11-20T13:00:00+00:00"}
    found.sort(key=lambda topic: float(str(topic["p"])))
    topic = [{2: 0, 0: 1, 1: 2}.get(number, number) for number in topic]
    return {
        "at": (world.now - timedelta(hours=1)).isoformat(),
        "against": "prompt_drift",
        "reference": {"rows": REFERENCE, **span},
        "current": {"rows": len(ids) - REFERENCE, **span},
        "topics": found,
        "points": {
            "id": ids,
            "now": now,
            "x": [round(x) for x, _ in places],
            "y": [round(y) for _, y in places],
            "topic": topic,
            "near": [[(number + 5 * step) % len(ids) for step in (1, 2, 3, 4)] for number in range(len(ids))],
            "p": [None if not n else round(draw.random(), 3) for n in now],
        },
    }


def mending(tx: Tx, world: World, say: Say) -> None:
    """One pair held for the topic of the alert, and three answers to label."""
    held = PreferencePair(
        "00000000-0000-4000-a000-000000000001",
        [{"role": "user", "content": say("Do my loyalty points expire?")}],
        say("They expire after two years without an order."),
        say("I cannot help with that."),
        licence="own feedback",
        source="feedback",
    )
    pairs.add(tx, [held], actor="system:pairs")
    told = {
        "topic": say("points loyalty refund"),
        "sentence": say("1 of 105 pairs wanted for this topic; label these 3 first, more must come from new traffic."),
        "wanted": 105,
        "held": 1,
        "pairs": [held.uuid],
        "label": list(world.rows[2:5]),
        "unlabelled": 3,
    }
    alerts.attach(tx, world.alert, {"mending": [told]})
