"""Bar R4: held-out accuracy after training with flipped labels, customs on and off, by loss.

    TRIMTAB_DATA=... python bench/label_noise.py [--rates 0 0.1 0.3] [--seeds 3] [--peer-path DIR]

A cell trains SmolLM2 once through the pairs that a run would draw of a lot in which a share of the labels is turned
round (`--by pair`: any pairs; `--by contributor`: all labels of as many people) and ranks held-out pairs that nobody
touched. With customs, what they hold does not train and what they doubt weighs less. Each loss is held against customs
off and TRL on the same flipped labels, and against DPO without flipped labels, paired by held-out pair, intervals
clustered by prompt over all seeds; flips are never told to a loss (label smoothing 0.1).
Finished cells are lines of a ledger in `--cache`; `--report` only prints it. No text of a pair is printed. Exit code 1
when DPO with customs may lose more than 2 points to what it is held against.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from histories import code
from noise_room import TRAIN, Ledger, Room, Row, inspected, options, told
from noise_runs import LOSSES, TRL_LOSSES

from core.types import PreferencePair
from estimates.means import mean, paired_difference
from retrain.pairs.clearing import weigh
from retrain.pairs.split import normalise

LOST = 0.02  # the most that the bar lets be lost


def turn(
    pairs: Sequence[PreferencePair], rate: float, by: str, rng: np.random.Generator
) -> tuple[list[PreferencePair], list[bool]]:
    """The lot with labels turned round, and which: a share of the pairs, or all those of a share of the people."""
    turned = np.zeros(len(pairs), bool)
    if by == "pair":
        turned[rng.choice(len(pairs), round(rate * len(pairs)), replace=False)] = True
    else:
        people = sorted({pair.contributor for pair in pairs})
        liars = set(rng.choice(people, round(rate * len(people)), replace=False).tolist())
        turned = np.array([pair.contributor in liars for pair in pairs])
    lot = [replace(p, chosen=p.rejected, rejected=p.chosen) if t else p for p, t in zip(pairs, turned, strict=True)]
    return lot, turned.tolist()


def cells(given: argparse.Namespace) -> Iterator[Row]:
    """Every cell, seed by seed, so that a run that is cut off has whole comparisons. Customs are none of TRL's."""
    for seed in range(given.seeds):
        for customs in (False, True):
            for loss in given.losses if not customs else [name for name in given.losses if name in LOSSES]:
                for rate in given.rates:
                    if loss in LOSSES or given.peer_path:
                        yield {"seed": seed, "rate": rate, "customs": customs, "loss": loss}


def trained(cell: Row) -> str:
    """The digest of the code that trains a cell: ours, or what prepares TRL."""
    if cell["loss"] in TRL_LOSSES:
        return code("bench/noise_runs.py", "bench/trl_side.py")
    return code("retrain/training", "retrain/trainers", "bench/noise_runs.py")


def watched(cell: Row) -> str:
    """The digest of the code that decides what comes of a cell."""
    return trained(cell) + (code("retrain/pairs/customs") if cell["customs"] else "")


def measure(room: Room, ledger: Ledger, cell: Row, by: str) -> Row:
    """Train and rank the pairs of a cell; a lot that another cell trained on alike is not trained on again."""
    pairs, rng = room.lot(cell["seed"])
    lot, turned = turn(pairs, cell["rate"], by, rng)
    held: set[int] = set()
    if cell["customs"]:
        cleared = inspected(lot)
        held, lot = set(cleared.reasons), weigh([replace(pair, id=place) for place, pair in enumerate(lot)], cleared)
    drawn = [place for place in range(len(lot)) if place not in held][:TRAIN]
    taught = [(lot[place].uuid, turned[place], round(lot[place].weight, 6)) for place in drawn]
    digest = hashlib.sha256(repr(taught).encode()).hexdigest()[:16]
    facts = {
        "held": len(held),
        "held_turned": sum(turned[place] for place in held),
        "turned": sum(turned[place] for place in drawn),
        "turned_weight": sum(lot[place].weight * turned[place] for place in drawn)
        / sum(lot[place].weight for place in drawn),
        "lot": digest,
    }
    facts |= {"code": watched(cell), "trained": trained(cell)}
    if alike := ledger.find(loss=cell["loss"], seed=cell["seed"], lot=digest, trained=facts["trained"]):
        return cell | facts | {"hits": alike["hits"]}
    adapter = room.train([lot[place] for place in drawn], cell["loss"], cell["seed"])
    return cell | facts | {"hits": room.rank(adapter, room.judging)}


def report(room: Room, ledger: Ledger) -> bool:
    """Print each kind of cell with its figures; returns whether DPO with customs keeps the bar where measured."""
    by_kind: dict[tuple[Any, ...], dict[int, Row]] = defaultdict(dict)
    for row in ledger.rows:
        if row["code"] == watched(row):
            by_kind[row["rate"], row["customs"], row["loss"]][row["seed"]] = row
    prompts = [normalise(pair.prompt) for pair in room.judging]
    kept = True
    for (rate, customs, loss), rows in sorted(by_kind.items(), key=str):
        every = mean([hit for row in rows.values() for hit in row["hits"]], low=0, high=1, clusters=prompts * len(rows))
        line = f"{rate:.0%} flipped, customs {'on' if customs else 'off'}, {loss}: {len(rows)} seeds, {told(every)}"
        line += f", flipped {np.mean([row['turned_weight'] for row in rows.values()]):.3f} of what trained"
        if customs:
            held, turned = (sum(row[name] for row in rows.values()) for name in ("held", "held_turned"))
            line += f", held {held} (flipped {turned})"
        print(line)
        for title, other in against(rate, customs, loss):
            both = sorted(rows.keys() & by_kind[other].keys())
            if not both:
                continue
            new, old = ([hit for seed in both for hit in side[seed]["hits"]] for side in (rows, by_kind[other]))
            change = paired_difference(new, old, clusters=prompts * len(both))
            print(f"    against {title}: {told(change)}, {len(both)} seeds")
            if customs and loss == "dpo":
                kept &= change.low is None or change.low >= -LOST
    return kept


def against(rate: float, customs: bool, loss: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """What a kind of cell is held against."""
    if (rate, customs, loss) != (0.0, False, "dpo"):
        yield "dpo on sound labels, customs off", (0.0, False, "dpo")
    if customs:
        yield f"{loss}, customs off", (rate, False, loss)
        for peer in TRL_LOSSES:
            yield peer, (rate, False, peer)


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.3, 0.1])
    every = [*LOSSES, *TRL_LOSSES]
    parser.add_argument("--losses", nargs="+", choices=every, default=every)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--by", choices=("pair", "contributor"), default="pair")
    given = parser.parse_args()
    room = Room(given)
    ledger = Ledger(given.cache / "label_noise.jsonl", room.setting | {"by": given.by})
    if not given.peer_path:
        print("TRL is not measured: name its folder with --peer-path")
    for cell in cells(given) if not given.report else ():
        if not ledger.find(**cell, code=watched(cell)):
            ledger.add(measure(room, ledger, cell, given.by))
    return int(not report(room, ledger))


if __name__ == "__main__":
    sys.exit(main())
