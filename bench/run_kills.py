"""Bar R6: 50 kills -9 at random points of runs, of the worker and of its trainers, from the queue to the promotion.

    python bench/run_kills.py --kills 50 --at-once 2

Each life is a run of a tiny model, long enough to be hit between checkpoints, on an installation of its own with the
default lease, two kills each (a third crash would end the run by its own rule), drawn by seed. Held against it: nobody
goes on within 60 s of a kill; a version, adapter or checkpoint that can be seen and is not whole; a promotion that does
not end in a proved live version; weights that are not, bit for bit, those of the run that nobody killed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.settings import Settings
from tests import runs_world
from tests.killed_runs import Kill, Life, Outcome, draw_kills

KILLS_A_LIFE = 2
MOST_SECONDS = 60.0
PATIENCE_SECONDS = 900.0
STEPS = 600


def live(template: Settings, folder: Path, kills: list[Kill], steps: int) -> Outcome:
    """One life on a copy of `template`, whose run has `steps`."""
    settings = runs_world.copy(template, folder)
    with runs_world.serving(settings) as store:
        return Life(settings, store, steps=steps).live(kills, patience=PATIENCE_SECONDS)


def main() -> int:
    """Print each life and the sum; returns 1 when anything was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=1, help="lives beside one another")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trimtab-kills-") as place, ThreadPoolExecutor(given.at_once) as pool:
        folder = Path(place)
        template = runs_world.build(folder / "template")
        whole = live(template, folder / "whole", [], given.steps)
        usual = {stage: round(seconds, 1) for stage, seconds in whole.seconds.items()}
        print(f"nobody killed: {whole.digest[:12]}, seconds {usual}, {whole.wrong or 'nothing wrong'}", flush=True)
        lives = []
        for number in range(-(-given.kills // KILLS_A_LIFE)):
            kills = draw_kills(random.Random(given.seed + number), whole.seconds, KILLS_A_LIFE, whole.steps)
            lives.append(pool.submit(live, template, folder / str(number), kills, given.steps))
        outcomes = []
        for number, waited in enumerate(lives):
            outcome = waited.result()
            outcomes.append(outcome)
            if outcome.digest != whole.digest:
                outcome.wrong.append(f"other weights: {outcome.digest[:12] or 'none'}")
            hits = ", ".join(f"{who} in {stage} {seconds:.1f} s" for stage, who, seconds in outcome.killed)
            print(f"{number}: {hits}; resumed at {outcome.resumed_at}; {outcome.wrong or 'nothing wrong'}", flush=True)
    return tell(whole, outcomes)


def tell(whole: Outcome, outcomes: list[Outcome]) -> int:
    """Print what all lives say together."""
    hits = [hit for outcome in outcomes for hit in outcome.killed]
    seconds = sorted(seconds for *_, seconds in hits)
    late = sum(value > MOST_SECONDS for value in seconds)
    wrong = sum(bool(outcome.wrong) for outcome in [whole, *outcomes])
    same = sum(outcome.digest == whole.digest for outcome in outcomes)
    whom = {who: sum(hit[1] == who for hit in hits) for who in ("worker", "trainer")}
    print(
        f"{len(hits)} kills ({whom['worker']} worker, {whom['trainer']} trainer) in {len(outcomes)} runs: "
        f"nobody went on for {statistics.median(seconds):.1f} s in the median, {seconds[-1]:.1f} s at most, "
        f"{late} over {MOST_SECONDS:.0f} s; equal weights {same} of {len(outcomes)}, "
        f"resumed from a checkpoint {sum(step > 0 for o in outcomes for step in o.resumed_at)} times; "
        f"{wrong} runs with something wrong"
    )
    return 1 if late or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
