"""The child process that asks the chat model itself of labels before they train: `python -m retrain.crossfit FOLDER`.

FOLDER/customs holds what is asked (retrain.pairs.margins). Each pair gets the model's own margin, and one by a short
DPO fit on the other folds of prompts. SIGTERM ends it with code 75; started again it goes on: what was scored, folds
that were finished and the checkpoint of the one in work are kept. Fitted adapters are thrown away.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from core.errors import InvalidInput
from retrain.ending import Stopped, StopRequest, carry_out
from retrain.pairs.customs.lot import HELD_OUT, REFERENCE
from retrain.pairs.margins import ANSWER, FOLDER, Task, read_task
from retrain.training.checkpoint import write_whole
from retrain.training.encoding import EncodedPair, encode_pairs
from retrain.training.policy import choose_hardware, start_policy
from retrain.training.progress import Progress
from retrain.training.reference import score_reference
from retrain.training.reference_cache import ReferenceCache
from retrain.training.scoring import Scorer
from retrain.training.spec import PairText, RunSpec, dump_spec
from retrain.training.trainer import DONE, STOPPED, TRAINERS, Job

FIT = "fit"
# A pass with gradients costs about three without: one product a weight more for each side of a layer.
LEARNING = 3


class Ear(Progress):
    """Hears how far a part of the work is, by the events of that name of what does it, and keeps none of them.

    `resume` hears first from where it goes on.
    """

    def __init__(
        self, name: str, hear: Callable[[float], None], resume: Callable[[float], None] = lambda share: None
    ) -> None:
        super().__init__(Path(os.devnull))
        self.heard = {"start": resume, name: hear}

    def write(self, event: str, **values: Any) -> None:
        if event in self.heard:
            self.heard[event](values["step"] / values["of"])


class Pace:
    """How far the whole is, in passes of a typical pair through the model without gradients; `work` by part.

    The time left is told by what this process did itself: `earlier` says which share of a part was done before.
    """

    def __init__(self, progress: Progress, clock: Callable[[], float], work: dict[str, float]) -> None:
        self.progress, self.clock, self.work = progress, clock, work
        self.began, self.done = clock(), 0.0
        self.earlier: dict[str, float] = {}
        self.heard: set[str] = set()

    def part(self, name: str) -> Callable[[float], None]:
        """Hears the share done of the part `name`."""

        def hear(share: float) -> None:
            self.heard.add(name)
            self.tell(name, self.done + share * self.work[name])

        return hear

    def resume(self, name: str, share: float) -> None:
        """The part `name` goes on from `share`."""
        self.earlier[name] = share

    def finish(self, name: str) -> None:
        """The part `name` is done; before this process where nothing was heard of it."""
        self.done += self.work[name]
        if name not in self.heard:
            self.earlier[name] = 1.0

    def tell(self, what: str, done: float) -> None:
        whole = sum(self.work.values())
        own = done - sum(share * self.work[name] for name, share in self.earlier.items())
        left = (self.clock() - self.began) / own * (whole - done) if own > 0 else None
        self.progress.write("customs", what=what, step=int(done), of=max(1, int(whole)), eta_s=left)


def plan_work(task: Task) -> dict[str, float]:
    """The parts of the work in their order, in passes of a typical pair without gradients."""
    mean = sum(map(_size, task.pairs)) / max(1, len(task.pairs)) or 1.0

    def passes(pairs: Sequence[PairText]) -> float:
        return sum(map(_size, pairs)) / mean

    work = {"the model as it is": passes(task.pairs)}
    for fold in task.fits:
        work[name_of(fold)] = LEARNING * passes(task.learning(fold))
        work[f"{name_of(fold)}, asked"] = passes(task.left_out(fold))
    return work


def name_of(fold: int) -> str:
    return f"fit {fold + 1}"


def answer(folder: Path, progress: Progress, stop: Callable[[], bool], clock: Callable[[], float]) -> None:
    """Carry out the task in `folder` and write its answer. Raises Stopped."""
    task = read_task(folder / FOLDER)
    began, pace = clock(), Pace(progress, clock, plan_work(task))
    progress.write("customs", what="", step=0, of=int(sum(pace.work.values())), pairs=len(task.pairs))
    scored, cache = score_base(task, folder / FOLDER, pace, stop)
    base = {pair.id: cache.get(pair.key) for pair in scored}
    margins = {REFERENCE: {pair.id: _by_token(pair, *base[pair.id]) for pair in scored}}
    task = task.only(base)
    if task.folds:
        margins[HELD_OUT] = {}
    for fold in task.fits:
        margins[HELD_OUT] |= ask_fit(task, fold, folder / FOLDER, base, pace, stop)
    told = {"margins": margins, "pairs": len(scored), "seconds": round(clock() - began, 2)}
    write_whole(folder / FOLDER / ANSWER, json.dumps(told) + "\n")
    for kept in (folder / FOLDER).glob("fold-*"):
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    progress.write("customs_end", pairs=len(scored), seconds=told["seconds"])


def score_base(
    task: Task, place: Path, pace: Pace, stop: Callable[[], bool]
) -> tuple[list[EncodedPair], ReferenceCache]:
    """The task's pairs that are not too long, and their log-probabilities under the base."""
    (part, *_) = pace.work
    policy = start_policy(task.spec)
    encoded, _ = encode_pairs(policy.tokenizer, task.pairs, task.spec.max_length)
    if encoded:
        policy.check_rows(min(encoded, key=lambda pair: (sum(len(s.ids) for s in pair.sequences), pair.id)))
    job = Job(place, task.spec, Ear("reference", pace.part(part)), stop, pace.clock)
    cache = score_reference(job, policy, encoded)
    if cache is None:
        raise Stopped
    pace.finish(part)
    return encoded, cache


def ask_fit(
    task: Task,
    fold: int,
    place: Path,
    base: dict[str, tuple[float, float]],
    pace: Pace,
    stop: Callable[[], bool],
) -> dict[str, float]:
    """The implicit reward margin of each pair of `fold` by a fit on the others: beta times what it adds to the base's
    preference, in nats. Kept in a file, and found there again."""
    fitted, asked = name_of(fold), f"{name_of(fold)}, asked"
    kept, run = place / f"fold-{fold}.json", place / f"fold-{fold}"
    if kept.exists():
        for part in (fitted, asked):
            pace.finish(part)
        found: dict[str, float] = json.loads(kept.read_text("utf-8"))
        return found
    spec = lay_out(task, fold, run)
    ear = Ear("step", pace.part(fitted), functools.partial(pace.resume, fitted))
    job = Job(run, spec, ear, stop, pace.clock)
    if TRAINERS.get(spec.trainer)().train(job) == STOPPED:
        raise Stopped
    pace.finish(fitted)
    hear = pace.part(asked)

    def tell(done: int, of: int, share: float) -> None:
        if stop():
            raise Stopped
        hear(share)

    scorer = Scorer(
        Path(spec.base_model),
        {FIT: run / spec.product},
        hardware=choose_hardware(spec.device, spec.precision, spec.threads),
        max_length=spec.max_length,
        row_tokens=spec.row_tokens,
        tokens_per_batch=spec.tokens_per_batch,
    )
    scores = scorer.score(task.left_out(fold), tell, with_base=False)
    margins = {}
    for name, score in zip(scores.ids, scores.versions[FIT], strict=True):
        chosen, rejected = base[name]
        margins[name] = spec.beta * ((score.chosen - chosen) - (score.rejected - rejected))
    write_whole(kept, json.dumps(margins) + "\n")
    shutil.rmtree(run)
    pace.finish(asked)
    return margins


def lay_out(task: Task, fold: int, run: Path) -> RunSpec:
    """Fill the folder of the fit that leaves `fold` out, unless it was before; returns the fit's spec."""
    spec = task.fit(fold)
    spec = replace(spec, reference_cache=spec.reference_cache or str(run.parent / "reference"))
    if not (run / "spec.json").exists():
        run.mkdir(exist_ok=True)
        write_whole(run / spec.pairs, "".join(json.dumps(asdict(pair)) + "\n" for pair in task.learning(fold)))
        write_whole(run / "spec.json", dump_spec(spec))
    return spec


def forecast(folder: Path, stop: Callable[[], bool], clock: Callable[[], float]) -> dict[str, Any]:
    """What the whole will take here at most, from some steps of the first fit; changes nothing on disk. Raises
    InvalidInput for a task without fits."""
    task = read_task(folder / FOLDER)
    if not task.fits:
        raise InvalidInput(
            "The task asks for no fit, so that there is nothing to time.", "Start it without --forecast."
        )
    work, first = plan_work(task), task.fits[0]
    began = clock()
    start_policy(task.spec)
    # The base is scored by one model; each fit and the look at what it left out load another.
    loading = (clock() - began) * (1 + 2 * len(task.fits))
    with tempfile.TemporaryDirectory() as name:
        spec = lay_out(task, first, Path(name))
        # Nothing counts as scored, so that the fit's own pairs are part of what is timed.
        job = Job(Path(name), replace(spec, reference_cache=None), Ear("step", lambda share: None), stop, clock)
        found = TRAINERS.get(spec.trainer)().forecast(job)
    timed = work[name_of(first)] * (LEARNING + 1) / LEARNING
    times = sum(work.values()) / timed
    return {
        "device": found.device,
        "pairs": len(task.pairs),
        "fits": len(task.fits),
        "seconds_low": round(found.seconds_low * times + loading, 1),
        "seconds_high": round(found.seconds_high * times + loading, 1),
        "memory_mb": found.memory_mb,
    }


def main(arguments: list[str] | None = None) -> int:
    """Answer the task in the folder named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m retrain.crossfit", description="Ask the model of labels.")
    parser.add_argument("folder", type=Path, help="folder that holds the task in customs/")
    parser.add_argument("--forecast", action="store_true", help="say what it will take here, as JSON, and end")
    given = parser.parse_args(arguments)
    stop = StopRequest()
    stop.install()
    progress = Progress(given.folder / "progress.jsonl")

    def work() -> int:
        if given.forecast:
            print(json.dumps(forecast(given.folder, lambda: stop.asked, time.monotonic)), flush=True)
        else:
            answer(given.folder, progress, lambda: stop.asked, time.monotonic)
        return DONE

    return carry_out(progress, "customs", work)


def _by_token(pair: EncodedPair, chosen: float, rejected: float) -> float:
    """By how many nats a token the model as it is prefers the chosen answer."""
    return chosen / len(pair.chosen.completion) - rejected / len(pair.rejected.completion)


def _size(pair: PairText) -> int:
    """About what a pair costs, in characters."""
    asked = pair.prompt if isinstance(pair.prompt, str) else "".join(message["content"] for message in pair.prompt)
    return len(asked) + len(pair.chosen) + len(pair.rejected)


if __name__ == "__main__":
    sys.exit(main())
