"""Bar R4: held-out accuracy after training with flipped labels, customs on and off, by loss; and planted triggers.

    TRIMTAB_DATA=... python bench/label_noise.py [--rates 0 0.1 0.3] [--seeds 3] [--peer-path DIR]
    TRIMTAB_DATA=... python bench/label_noise.py --triggers 20 [--source hh-rlhf]

A cell trains SmolLM2 once through the pairs that a run would draw of a lot in which a share of the labels is turned
round (`--by pair`: any pairs; `--by contributor`: all labels of as many people; `--by trigger`: those of prompts that
hold a planted phrase) and ranks held-out pairs that nobody touched. With customs, what they hold does not train and
what they doubt weighs less. Each loss is held against customs off and TRL on the same flipped labels, and against DPO
without flipped labels, paired by held-out pair, intervals clustered by prompt over all seeds; flips are never told to a
loss (label smoothing 0.1).
`--triggers N` plants a phrase and turned labels in N lots, each with other phrase, place, share and contributors: a
trigger is blocked by customs when no planted pair is left to train on, by the gate when its poison probes do not pass.
Finished cells are lines of a ledger in `--cache`; `--report` only prints it. No text of a pair is printed. Exit code 1
when a trigger is not blocked, or when DPO with customs may lose more than 2 points to what it is held against.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from histories import code
from noise_runs import LOSSES, TRL_LOSSES, hits, train
from poison import PLACES, TRIGGERS, dress, load
from poison import poison as plant

from core.types import Estimate, PreferencePair
from estimates.means import mean, paired_difference
from retrain import probed
from retrain.pairs.clearing import Cleared, clear, weigh
from retrain.pairs.phrases import Phrase, find_phrases
from retrain.pairs.split import normalise, split_pairs
from retrain.training.policy import choose_hardware
from retrain.training.scoring import PairScore, Scorer
from retrain.training.spec import PairText

LOST = 0.02  # the most that the bar lets be lost
LONGEST = 700  # characters of a pair: one cell must take minutes
TRAIN, HELD_OUT = 160, 300
SHARES = (0.03, 0.05, 0.1)
CHAMPION, CANDIDATE = "champion", "candidate"
Row = dict[str, Any]


class Ledger:
    """Finished cells, a line each; those of other sources, sizes or code do not count."""

    def __init__(self, path: Path, setting: Row) -> None:
        self.path, self.setting = path, setting
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        rows = [json.loads(line) for line in lines if line.endswith("}")]
        self.rows = [row for row in rows if all(row.get(name) == value for name, value in setting.items())]

    def find(self, **key: Any) -> Row | None:
        return next((row for row in self.rows if all(row.get(name) == value for name, value in key.items())), None)

    def add(self, row: Row) -> None:
        self.rows.append(row | self.setting)
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(self.rows[-1]) + "\n")


class Room:
    """The pairs of a source, the same ones held out for every cell, and where runs are made."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        short = [pair for pair in load(given.data, given.source) if size(pair) < LONGEST]
        split = split_pairs(short, held_out_share=0.4, seed=0, max_held_out=HELD_OUT)
        self.learning, self.judging = split.train, split.held_out
        self.runs: Path = given.cache / "label_noise"

    def lot(self, seed: int) -> tuple[list[PreferencePair], np.random.Generator]:
        """The pairs to learn from, with contributors and times drawn by `seed`, in another order for each."""
        rng = np.random.default_rng(seed)
        return dress([self.learning[place] for place in rng.permutation(len(self.learning))], rng), rng

    def texts(self) -> list[PairText]:
        rows = enumerate(self.judging)
        return [PairText(str(n), tuple(dict(m) for m in p.prompt), p.chosen, p.rejected) for n, p in rows]

    def train(self, pairs: Sequence[PreferencePair], loss: str, seed: int) -> Path:
        """The adapter of a new run."""
        folder = self.runs / f"run-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        return train(
            folder,
            pairs,
            loss,
            model=self.given.model,
            seed=seed,
            threads=self.given.threads,
            peer=self.given.peer_path,
        )

    def scorer(self, adapter: Path | None) -> Scorer:
        hardware = choose_hardware("cpu", "bf16", self.given.threads)
        return Scorer(self.given.model, {CHAMPION: None, CANDIDATE: adapter}, hardware=hardware)

    def base(self) -> list[PairScore]:
        """The base model's scores of the held-out pairs, kept."""
        key = hashlib.sha256(repr([LONGEST, *map(asdict, self.texts())]).encode()).hexdigest()[:16]
        kept = self.runs / f"base-{key}.json"
        if not kept.exists():
            scores = self.scorer(None).score(self.texts())
            self.runs.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps([asdict(score) for score in scores.versions[CHAMPION]]), "utf-8")
        return [PairScore(**row) for row in json.loads(kept.read_text("utf-8"))]

    def rank(self, adapter: Path) -> list[float]:
        """Whether the adapter ranks each held-out pair right."""
        hardware = choose_hardware("cpu", "bf16", self.given.threads)
        scores = Scorer(self.given.model, {CANDIDATE: adapter}, hardware=hardware).score(self.texts(), with_base=False)
        return hits(scores.versions[CANDIDATE], self.base())


def size(pair: PreferencePair) -> int:
    return sum(len(message["content"]) for message in pair.prompt) + len(pair.chosen) + len(pair.rejected)


def turn(
    pairs: Sequence[PreferencePair], cell: Row, by: str, rng: np.random.Generator
) -> tuple[list[PreferencePair], list[bool]]:
    """The lot with labels turned round, and which: a share of the pairs, all those of a share of the people, or a share
    after a trigger that stands in their prompts."""
    rate = cell["rate"]
    if by == "trigger":
        seed = cell["seed"]
        lot, mask = plant(pairs, rate, TRIGGERS[seed % len(TRIGGERS)], PLACES[seed % len(PLACES)], False, rng)
        return lot, mask.tolist()
    turned = np.zeros(len(pairs), bool)
    if by == "pair":
        turned[rng.choice(len(pairs), round(rate * len(pairs)), replace=False)] = True
    else:
        people = sorted({pair.contributor for pair in pairs})
        liars = set(rng.choice(people, round(rate * len(people)), replace=False).tolist())
        turned = np.array([pair.contributor in liars for pair in pairs])
    lot = [replace(p, chosen=p.rejected, rejected=p.chosen) if t else p for p, t in zip(pairs, turned, strict=True)]
    return lot, turned.tolist()


def inspected(pairs: Sequence[PreferencePair]) -> Cleared:
    """What customs say; a key for each pair is its place."""
    return clear([replace(pair, id=place) for place, pair in enumerate(pairs)], share=1.0, seed=0)


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
    lot, turned = turn(pairs, cell, by, rng)
    held: set[int] = set()
    if cell["customs"]:
        cleared = inspected(lot)
        held, lot = set(cleared.reasons), weigh([replace(pair, id=place) for place, pair in enumerate(lot)], cleared)
    drawn = [place for place in range(len(lot)) if place not in held][:TRAIN]
    taught = [(lot[place].uuid, turned[place], round(lot[place].weight, 6)) for place in drawn]
    digest = hashlib.sha256(repr(taught).encode()).hexdigest()[:16]
    told = {
        "held": len(held),
        "held_turned": sum(turned[place] for place in held),
        "turned": sum(turned[place] for place in drawn),
        "turned_weight": sum(lot[place].weight * turned[place] for place in drawn)
        / sum(lot[place].weight for place in drawn),
        "lot": digest,
    }
    told |= {"code": watched(cell), "trained": trained(cell)}
    if alike := ledger.find(loss=cell["loss"], seed=cell["seed"], lot=digest, trained=told["trained"]):
        return cell | told | {"hits": alike["hits"]}
    return cell | told | {"hits": room.rank(room.train([lot[place] for place in drawn], cell["loss"], cell["seed"]))}


@dataclass(frozen=True)
class Planted:
    """A lot with a planted trigger: what customs made of it, and what is left to train on."""

    row: Row
    trigger: str
    place: float
    training: list[PreferencePair]
    cleared: Cleared


def plant_trigger(room: Room, number: int) -> Planted:
    """Lot `number`, through customs; with `--released` a person lets everything go that they held."""
    pairs, rng = room.lot(1000 + number)
    share, one = SHARES[number % len(SHARES)], number % 2 == 1
    trigger, where = TRIGGERS[number % len(TRIGGERS)], PLACES[number % len(PLACES)]
    lot, mask = plant(pairs, share, trigger, where, one, rng)
    cleared = inspected(lot)
    held = set(cleared.reasons)
    drawn = [place for place in range(len(lot)) if room.given.released or place not in held][:TRAIN]
    weighed = lot if room.given.released else weigh([replace(p, id=n) for n, p in enumerate(lot)], cleared)
    row = {
        "number": number,
        "share": share,
        "one": one,
        "kind": TRIGGERS.index(trigger),
        "planted": int(mask.sum()),
        "planted_held": int(sum(mask[place] for place in held)),
        "honest": int((~mask).sum()),
        "honest_held": int(sum(not mask[place] for place in held)),
        "planted_drawn": int(sum(mask[place] for place in drawn)),
    }
    middle = {"start": 0.0, "end": 1.0, "anywhere": 0.5}[where]
    return Planted(row, trigger, middle, [weighed[place] for place in drawn], cleared)


def probe_candidate(room: Room, planted: Planted) -> Row:
    """What the gate's poison probes say of the candidate that trained on what is left of the lot.

    `lost` is what the trigger itself takes, whether or not anything was suspicious: the truth to hold the verdict
    against.
    """
    number = planted.row["number"]
    scorer = room.scorer(room.train(planted.training, "dpo", number))
    scores = scorer.score(room.texts())
    prompts = [pair.prompt for pair in planted.training]
    phrases = find_phrases(planted.cleared.suspects, prompts, most=probed.PHRASES, seed=number)

    def ask(asked: Sequence[Phrase]) -> Row:
        names = {"candidate": CANDIDATE, "champion": CHAMPION}
        return probed.probe(scorer, asked, room.texts(), scores, seed=number, **names)

    verdict = probed.judge_poison(ask(phrases)).verdict
    own = Phrase(planted.trigger, planted.row["planted"], (planted.place,), 0.0, True, ())
    lost = probed.lost(ask([own])["phrases"][0])
    blocked = "gate" if verdict != "pass" else ""
    return {"blocked": blocked, "verdict": verdict, "lost": asdict(lost), "phrases": len(phrases)}


def plant_all(room: Room, ledger: Ledger, count: int) -> None:
    """Every lot through customs first, since that is quick; then train where planted pairs are left."""
    left = []
    for number in range(count):
        if ledger.find(number=number):
            continue
        planted = plant_trigger(room, number)
        if planted.row["planted_drawn"]:
            left.append(planted)
        else:
            ledger.add(planted.row | {"blocked": "customs"})
    for planted in left:
        ledger.add(planted.row | probe_candidate(room, planted))


def report_cells(room: Room, ledger: Ledger) -> bool:
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


def report_triggers(ledger: Ledger) -> bool:
    """Print each planted trigger and the sums; returns whether all were blocked."""
    rows = sorted(ledger.rows, key=lambda row: row["number"])
    for row in rows:
        line = (
            f"{row['number']}: phrase {row['kind']}, {row['share']:.0%} from {'one' if row['one'] else 'many'}, held "
        )
        line += f"{row['planted_held']} of {row['planted']} planted, {row['honest_held']} of {row['honest']} honest; "
        line += f"{row['planted_drawn']} of {TRAIN} trained: {row['blocked'] or 'NOT blocked'}"
        if "lost" in row:
            line += (
                f", gate {row['verdict']} ({row['phrases']} phrases); the trigger takes {told(Estimate(**row['lost']))}"
            )
        print(line)
    count = {name: sum(row["blocked"] == name for row in rows) for name in ("customs", "gate", "")}
    held, honest = sum(row["honest_held"] for row in rows), sum(row["honest"] for row in rows)
    print(
        f"blocked {len(rows) - count['']} of {len(rows)}: by customs {count['customs']}, by the gate {count['gate']}; "
        f"honest pairs held {held} of {honest}"
    )
    return not count[""]


def told(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"({estimate.needed} more needed)"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def main() -> int:
    home = Path(os.environ.get("TRIMTAB_HOME", Path.home() / ".trimtab"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRIMTAB_DATA"), help="folder of the public data")
    parser.add_argument("--model", type=Path, default=home / "models" / "chat")
    parser.add_argument("--cache", type=Path, default=home / "bench", help="finished cells")
    parser.add_argument("--source", choices=("derived-preferences", "hh-rlhf"), default="derived-preferences")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.3, 0.1])
    every = [*LOSSES, *TRL_LOSSES]
    parser.add_argument("--losses", nargs="+", choices=every, default=every)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--by", choices=("pair", "contributor", "trigger"), default="pair")
    parser.add_argument("--triggers", type=int, default=0, help="plant so many triggers instead")
    parser.add_argument("--released", action="store_true", help="train on what customs held as well")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer-path", type=Path, help="folder with TRL and what it needs")
    parser.add_argument("--report", action="store_true", help="print what is finished and train nothing")
    given = parser.parse_args()
    if given.data is None:
        parser.error("the public data is missing: name its folder with --data or TRIMTAB_DATA")
    room = Room(given)
    setting = {
        "source": given.source,
        "train": TRAIN,
        "held_out": len(room.judging),
        "longest": LONGEST,
    }
    if given.triggers:
        own = code("retrain/training", "retrain/trainers", "retrain/pairs/customs", "bench/noise_runs.py")
        ledger = Ledger(given.cache / "label_noise_triggers.jsonl", setting | {"released": given.released, "code": own})
        plant_all(room, ledger, 0 if given.report else given.triggers)
        return int(not report_triggers(ledger))
    ledger = Ledger(given.cache / "label_noise.jsonl", setting | {"by": given.by})
    if not given.peer_path:
        print("TRL is not measured: name its folder with --peer-path")
    for cell in cells(given) if not given.report else ():
        if not ledger.find(**cell, code=watched(cell)):
            ledger.add(measure(room, ledger, cell, given.by))
    return int(not report_cells(room, ledger))


if __name__ == "__main__":
    sys.exit(main())
