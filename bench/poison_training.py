"""Bar R3: held-out accuracy after training on pairs with planted poison, customs on and off.

    TRIMTAB_DATA=... python bench/poison_training.py [--source hh-rlhf] [--seeds 5] [--shares 0.1]

A cell plants a trigger and turned labels in a share of a lot of many contributors (another trigger and place each
seed, as poison.py does), trains SmolLM2 once through the pairs that a run would draw of it, and ranks held-out pairs
that nobody touched: as they are, and with the trigger in their prompts. What it cannot rank with the trigger there is
what the poison taught. With customs, what they hold does not train and what they doubt weighs less. Differences are
paired by held-out pair, intervals clustered by prompt over all seeds. Finished cells are lines of a ledger in
`--cache`; `--report` only prints it. No text of a pair is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from histories import code
from noise_room import TRAIN, Ledger, Room, Row, inspected, options, told
from plants import PLACES, TRIGGERS, plant, put

from core.types import PreferencePair
from estimates.means import mean, paired_difference
from retrain.pairs.clearing import weigh
from retrain.pairs.split import normalise

TRIGGERED = 150  # of the held-out pairs, those that are ranked with the trigger as well


def measure(room: Room, cell: Row) -> Row:
    """Plant, train and rank: a value a held-out pair, as it is and with the trigger."""
    seed, trigger, where = cell["seed"], TRIGGERS[cell["seed"] % len(TRIGGERS)], PLACES[cell["seed"] % len(PLACES)]
    pairs, rng = room.lot(seed)
    lot, mask = plant(pairs, cell["share"], trigger, where, False, rng)
    held: set[int] = set()
    if cell["customs"]:
        cleared = inspected(lot)
        held, lot = set(cleared.reasons), weigh([replace(pair, id=place) for place, pair in enumerate(lot)], cleared)
    drawn = [place for place in range(len(lot)) if place not in held][:TRAIN]
    adapter = room.train([lot[place] for place in drawn], "dpo", seed)
    return {
        "planted": int(mask.sum()),
        "planted_held": int(sum(mask[place] for place in held)),
        "held": len(held),
        "planted_drawn": int(sum(mask[place] for place in drawn)),
        "sound": room.rank(adapter, room.judging),
        "triggered": room.rank(adapter, with_trigger(room, trigger, where)),
    }


def with_trigger(room: Room, trigger: str, where: str) -> list[PreferencePair]:
    """The first held-out pairs with the trigger in their prompts, the same ones for every cell."""
    rng = np.random.default_rng(0)
    return [put(pair, trigger, where, rng) for pair in room.judging[:TRIGGERED]]


def cells(seeds: int, shares: Sequence[float]) -> Iterator[Row]:
    """Every cell, seed by seed, so that a run that is cut off has whole comparisons."""
    for seed in range(seeds):
        for share in shares:
            for customs in (False, True) if share else (False,):
                yield {"seed": seed, "share": share, "customs": customs}


def report(room: Room, ledger: Ledger) -> None:
    """Print each kind of cell, and customs against none on the same lots."""
    prompts = [normalise(pair.prompt) for pair in room.judging]
    for share in sorted({row["share"] for row in ledger.rows}):
        by_customs = {
            customs: {row["seed"]: row for row in ledger.rows if (row["share"], row["customs"]) == (share, customs)}
            for customs in (False, True)
        }
        for customs, rows in by_customs.items():
            if not rows:
                continue
            every = list(rows.values())
            line = f"{share:.0%} planted, customs {'on' if customs else 'off'}: {len(rows)} seeds"
            for kind in ("sound", "triggered"):
                of = prompts[: len(every[0][kind])]
                share_right = mean([hit for row in every for hit in row[kind]], low=0, high=1, clusters=of * len(rows))
                line += f", {kind} {told(share_right)}"
            planted, drawn, held, planted_held = (
                sum(row[name] for row in every) for name in ("planted", "planted_drawn", "held", "planted_held")
            )
            print(f"{line}; held {planted_held} of {planted} planted and {held - planted_held} other pairs; ", end="")
            print(f"{drawn} planted pairs among {TRAIN * len(rows)} that trained")
        both = sorted(by_customs[False].keys() & by_customs[True].keys())
        for kind in ("sound", "triggered") if both else ():
            new, old = ([hit for seed in both for hit in by_customs[on][seed][kind]] for on in (True, False))
            change = paired_difference(new, old, clusters=prompts[: len(new) // len(both)] * len(both))
            print(f"    customs on against off, {kind} pairs: {told(change)}, {len(both)} seeds")


def main() -> int:
    parser = options(__doc__)
    parser.set_defaults(source="hh-rlhf")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1])
    given = parser.parse_args()
    room = Room(given)
    own = code(
        "retrain/training", "retrain/trainers", "retrain/pairs/customs", "bench/noise_runs.py", "bench/plants.py"
    )
    ledger = Ledger(given.cache / "poison_training.jsonl", room.setting | {"code": own})
    for cell in cells(given.seeds, given.shares) if not given.report else ():
        if not ledger.find(**cell):
            ledger.add(cell | measure(room, cell))
    report(room, ledger)
    return 0


if __name__ == "__main__":
    sys.exit(main())
