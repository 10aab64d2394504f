"""Adaptation before preference tuning: a run's first steps on unlabelled texts, from which the trainer goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from retrain.training.progress import Progress
from retrain.training.trainer import DONE, TRAINERS, Forecast, Job

FOLDER = "adapt"


class Told(Progress):
    """The run's progress, with the steps of adaptation under names of their own: their loss is another one."""

    def write(self, event: str, **values: Any) -> None:
        super().write(f"adapt_{event}", **values)


def adapt_first(job: Job) -> tuple[int, Job]:
    """Adapt as the spec says, from the last checkpoint if there is one; returns the exit code and the job that follows.

    What follows starts from what was adapted, which is then also its reference. Without `adapt_steps` it is `job`.
    """
    if not job.spec.adapt_steps:
        return DONE, job
    first = adapting(job)
    first.folder.mkdir(exist_ok=True)
    code = TRAINERS.get("adapt")().train(first)
    adapted = str((first.folder / first.spec.product).absolute())
    if job.spec.finetuning_type == "full":
        return code, replace(job, spec=replace(job.spec, init_adapter=None, init_model=adapted))
    return code, replace(job, spec=replace(job.spec, init_adapter=adapted))


def adapting(job: Job) -> Job:
    """The job of the first steps, in a folder of its own within the run's."""
    spec = replace(
        job.spec,
        trainer="adapt",
        texts=str((job.folder / job.spec.texts).absolute()),
        max_steps=job.spec.adapt_steps,
        epochs=None,
        adapt_steps=None,
        eval_every=None,
    )
    return replace(job, folder=job.folder / FOLDER, spec=spec, progress=Told(job.progress.path))


def add(first: Forecast, then: Forecast) -> Forecast:
    """What both take one after the other."""
    return replace(
        then,
        steps=first.steps + then.steps,
        tokens=first.tokens + then.tokens,
        seconds_low=round(first.seconds_low + then.seconds_low, 1),
        seconds_high=round(first.seconds_high + then.seconds_high, 1),
        memory_mb=max(first.memory_mb, then.memory_mb),
    )
