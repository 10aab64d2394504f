"""No bar: how well turned labels are told with and without the chat model's own margins, and what asking it takes.

    TRIMTAB_DATA=... python bench/model_margins.py [--rates 0.1 0.3] [--seeds 0] [--pairs 200] [--source ...]

The lots are those of label_noise.py: pairs of a public source, a share of whose labels is turned round. The model is
asked as a run asks it (retrain.crossfit): its margin as it is, and those of four short fits, each on the other folds of
prompts. Printed for each set of margins: the area under the curve by which the probability that a label is right tells
turned from sound labels, the lower limit of the share turned, and how many of either are held. Answers are kept in
`--cache`, known by their task and the code. No text of a pair is printed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence

import numpy as np
from histories import code
from label_noise import turn
from noise_room import Room, options
from noise_runs import ROOT, run
from scipy.stats import rankdata

from core.types import PreferencePair
from retrain.pairs import margins
from retrain.pairs.customs.labels import judge
from retrain.pairs.customs.lot import HELD_OUT, REFERENCE, Lot
from retrain.training.spec import RunSpec

SETS: dict[str, tuple[str, ...]] = {
    "answers' words": (),
    "and the model as it is": (REFERENCE,),
    "and its fits, as customs do": (HELD_OUT,),
    "and both": (REFERENCE, HELD_OUT),
}


def ask(room: Room, lot: Sequence[PreferencePair], steps: int) -> tuple[margins.Known, float]:
    """What the model says of the lot's labels, and the seconds that it took when it was asked."""
    given = room.given
    spec = RunSpec(
        base_model=str(given.model.resolve()),
        reference_cache=str(room.runs / "reference"),
        held_out=None,
        max_steps=steps,
        device="cpu",
        precision="bf16",
        threads=given.threads,
    )
    told = hashlib.sha256(repr([spec, margins.keys(lot), code("retrain/training", "retrain/trainers")]).encode())
    folder = room.runs / f"ask-{told.hexdigest()[:16]}"
    answer = folder / margins.FOLDER / margins.ANSWER
    if not answer.exists():
        margins.ask(folder / margins.FOLDER, lot, spec, most=len(lot), folds=True, seed=0)
        run(["-m", "retrain.crossfit", str(folder)], given.threads, [ROOT])
    return margins.read(answer), json.loads(answer.read_text("utf-8"))["seconds"]


def area(right: np.ndarray, turned: np.ndarray) -> float:
    """The share of (turned, sound) couples of which the turned label is the less believed, ties one half."""
    ranks = rankdata(-right)
    count = turned.sum()
    return float((ranks[turned].sum() - count * (count + 1) / 2) / (count * (~turned).sum()))


def report(room: Room, seed: int, rate: float) -> None:
    """Print one lot's figures by what is asked."""
    steps = room.given.steps
    pairs, rng = room.lot(seed)
    pairs = pairs[: room.given.pairs]
    lot, which = turn(pairs, rate, "pair", rng)
    turned = np.array(which)
    known, seconds = ask(room, lot, steps)
    told = margins.align(lot, known)
    line = f"seed {seed}, {rate:.0%} of {len(lot)} turned, {steps} steps a fit: asked in {seconds:.0f} s"
    print(f"{line}, threads {room.given.threads}")
    sound = np.where(turned, -1, 1)
    for kind, view in told.items():
        hits = (np.sign(view * sound) + 1)[~np.isnan(view)] / 2
        line = f"    {kind} margins: n {len(hits)}, area alone {area(view, turned):.3f}"
        print(f"{line}, agree with {hits.mean():.3f} of the labels before any was turned")
    seen = Lot(lot)
    for name, kinds in SETS.items():
        labels = judge([*(view.values for view in seen.views), *(told[kind] for kind in kinds)], seen.groups)
        held = (labels.right < 0.5) & (labels.least > 0)
        print(
            f"    {name}: area {area(labels.right, turned):.3f}, at least {labels.least:.3f} turned "
            f"(most likely {labels.share:.2f}), held {int((held & turned).sum())} of {int(turned.sum())} turned and "
            f"{int((held & ~turned).sum())} of {int((~turned).sum())} sound",
            flush=True,
        )


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--pairs", type=int, help="lots of so many pairs; all that there are if not given")
    parser.add_argument("--steps", type=int, default=64, help="optimiser steps of a fit at most")
    given = parser.parse_args()
    room = Room(given)
    for seed in given.seeds:
        for rate in given.rates:
            report(room, seed, rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
