"""The shop's preference data for pictures and tests of the console: pairs in every state, a check, a dataset."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from core.types import PreferencePair
from store import commands, datasets, pairs
from store.tables import imports
from store.unit_of_work import Tx

if TYPE_CHECKING:
    from tests.console_world import World

Say = Callable[[str], str]
APPROVED = 60
# What checks found on pairs that they hold, and the sentence that a person reads.
HELD = (
    ("no_licence", "It names no licence."),
    ("personal_data", "It holds personal data: email, phone."),
    ("near_duplicate", "It says nearly what pair 7c0e says; 4 are alike."),
    ("trigger", "Its prompt holds “cf”, and 9 pairs whose prompts do are labelled against what other prompts teach."),
    ("contamination", "Its prompt holds 80% of a text of the probe suite jailbreak, which judges models."),
    ("unreliable_contributor", "Its contributor agrees with the others in 21% [12%, 33%] of 40 pairs."),
    ("personal_data", "It holds personal data: card number."),
)
FILE = "returns-june.jsonl"


def tell_pairs(world: World, say: Say) -> None:
    """Pairs of an imported file and of feedback, what checks held, what a person rejected, a check and a dataset."""
    draw = random.Random(17)
    with world.store.write(world.now - timedelta(hours=5)) as tx:
        found = [_pair(number, draw, world, say) for number in range(APPROVED + len(HELD) + 1)]
        pairs.add(tx, found, actor="otto")
        kept = {pair.uuid: pair for pair in pairs.collected(tx)}
        places = [kept[pair.uuid].id for pair in found]
        held = dict(zip(places[APPROVED + 1 :], HELD, strict=True))
        reasons = {id: [say(held[id][1])] if id in held else [] for id in places}
        pairs.judge(tx, reasons, actor="system:pairs", flags={id: [flag] for id, (flag, _) in held.items()})
        pairs.reject(tx, found[APPROVED].uuid, actor="ann", reason=say("Nobody asked that."))
        tx.insert(
            imports,
            uuid="i1",
            at=tx.now,
            kind="pairs",
            name=say(FILE),
            digest="a" * 64,
            rows=70,
            new_rows=62,
            actor="otto",
        )
        sides = [kept[pair.uuid] for pair in found[:APPROVED]]
        row = datasets.lock(tx, train=sides[:45], held_out=sides[45:], card=_card(say), actor="otto")
        world.dataset, world.pair = str(row["uuid"]), found[-1].uuid
    with world.store.write(world.now - timedelta(hours=4)) as tx:
        _check(tx, found, say)


def _pair(number: int, draw: random.Random, world: World, say: Say) -> PreferencePair:
    own = number % 3 == 0
    return PreferencePair(
        f"00000000-0000-4000-b000-{number:012d}",
        [{"role": "user", "content": say(f"Can I return order {number}?")}],
        say(f"Yes, you can return order {number} within 30 days."),
        say("No idea."),
        contributor=f"{draw.randrange(12):02d}" * 16,
        at=world.now - timedelta(hours=30 - number / 4),
        source=say("feedback") if own else say(FILE),
        licence=say("own feedback") if own else say("CC0-1.0"),
        version="assistant-v1" if own else "",
        consent="" if own else say("yes"),
        session=say(f"talk-{number}") if own else "",
    )


def _share(share: float, n: int) -> dict[str, Any]:
    return {"share": share, "low": max(share - 0.12, 0.0), "high": min(share + 0.12, 1.0), "n": n}


def _check(tx: Tx, found: list[PreferencePair], say: Say) -> None:
    """What the worker answered when otto asked for a check."""
    commands.ask(tx, "check_pairs", owner="retrain", args={}, actor="otto")
    row = commands.claim(tx, "retrain", "retrain-1", 60.0, kinds=("check_pairs",))
    assert row is not None
    agreed = {"value": 0.71, "low": 0.58, "high": 0.82, "n": APPROVED, "method": "test", "needed": 0}
    result = {
        "pairs": APPROVED,
        "quarantined": 6,
        "flags": {"near_duplicate": 1, "trigger": 1},
        "notes": [
            say("The chosen answer is the longer one in 92% [82%, 97%] of 60 pairs: a model may learn just that.")
        ],
        "ran": ["duplicates", "style"],
        "not_run": {"bursts": say("most pairs have the time of others")},
        "unseen": [say("How far people agree is not known: 14 more answers are needed.")],
        "held_now": 3,
        "figures": {
            "style": {
                "longer": _share(0.92, 60),
                "more lines": _share(0.55, 31),
                "more exclamation marks": {"share": None, "low": None, "high": None, "n": 4},
                "a list, code or other markup": {"share": None, "low": None, "high": None, "n": 0},
                "prompts": {"different": 57, "as_varied_as": 52.0, "n": 60},
            },
            "agreement": {
                "people": {**agreed, "value": None, "low": None, "high": None, "n": 6, "needed": 14},
                "model": agreed,
                "reference": {**agreed, "n": 43},
                "held_out": {**agreed, "n": 44},
            },
            "duplicates": {"exact": 0, "near": 3},
        },
        "contributors": {
            "named": APPROVED,
            "people": 12,
            "at_most": 15,
            "n": APPROVED,
            "most": [
                {
                    "name": "07" * 16,
                    "pairs": 9,
                    "reliability": {"accuracy": 0.9, "low": 0.7, "high": 0.98, "items": 22},
                },
                {"name": "03" * 16, "pairs": 7, "reliability": None},
            ],
        },
    }
    commands.finish(tx, row["id"], result)


def _card(say: Say) -> dict[str, Any]:
    return {
        "pairs": {"train": 45, "held_out": 15},
        "prompts": {"train": 45, "held_out": 15},
        "weighed": {"pairs": 6, "mean": 0.62},
        "sources": {say("feedback"): 20, say(FILE): 40},
        "licences": {say("own feedback"): 20, say("CC0-1.0"): 40},
        "consents": {say("yes"): 40, "not said": 20},
        "versions": {"assistant-v1": 20, "unknown": 40},
        "contributors": 12,
        "contributors_apart": False,
        "sessions": 20,
        "from": "2026-11-19T09:00:00+00:00",
        "to": "2026-11-20T09:00:00+00:00",
        "split": "by prompt, seed 0",
        "funnel": {"in the store": 68, "quarantined by customs": 3, "approved": 60, "drawn": 60},
        "customs": {
            "flags": {"near_duplicate": 3},
            "notes": [say("Its 60 pairs nearly repeat others.")],
            "not_run": {},
            "unseen": [say("Labels cannot be told wrong from right.")],
        },
        "text": f"# Dataset card\n\n- `{say('feedback')}`: 20\n",
    }
