"""The child process of a training run: `python -m retrain.train RUN_DIR [--forecast]`.

It knows a folder and nothing else. SIGTERM makes it save a checkpoint and end with code 75; started again it goes on.
For several devices it starts itself once for each, through torchrun.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from retrain.adaptation import adapt_first, adapting, add
from retrain.ending import StopRequest, carry_out
from retrain.launch import launch
from retrain.training.progress import Progress
from retrain.training.ranks import join
from retrain.training.spec import load_spec
from retrain.training.trainer import DONE, STOPPED, TRAINERS, Job


def main(arguments: list[str] | None = None) -> int:
    """Run the job in the folder named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m retrain.train", description="Train the run in a folder.")
    parser.add_argument("folder", type=Path, help="folder with spec.json and the pairs that it names")
    parser.add_argument("--forecast", action="store_true", help="say what the run will take here, as JSON, and end")
    parser.add_argument("--started-by", type=int, help=argparse.SUPPRESS)  # who started torchrun, which started this
    given = parser.parse_args(arguments)
    stop = StopRequest()
    stop.install()
    progress = Progress(given.folder / "progress.jsonl")

    def work() -> int:
        spec = load_spec(given.folder)
        if spec.devices > 1 and given.started_by is None:
            return launch(given.folder, spec.devices, ["--forecast"] * given.forecast, lambda: stop.asked)
        with join(spec.device, given.started_by) as ranks:
            own = progress if ranks.is_first else Progress(Path(os.devnull))
            job = Job(given.folder, spec, own, lambda: ranks.any(stop.asked), time.monotonic, ranks)
            code = forecast(job) if given.forecast else train(job)
        # torchrun takes any other code for a failure; `launch` reads how it ended.
        return DONE if code == STOPPED and given.started_by is not None else code

    return carry_out(progress, "train", work)


def train(job: Job) -> int:
    """Adapt first where the spec says so, then train; returns the exit code."""
    code, job = adapt_first(job)
    return TRAINERS.get(job.spec.trainer)().train(job) if code == DONE else code


def forecast(job: Job) -> int:
    """Print what the run will take here as JSON; returns the exit code."""
    found = TRAINERS.get(job.spec.trainer)().forecast(job)
    if job.spec.adapt_steps:
        found = add(TRAINERS.get("adapt")().forecast(adapting(job)), found)
    if job.ranks.is_first:
        print(json.dumps(asdict(found)), flush=True)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
