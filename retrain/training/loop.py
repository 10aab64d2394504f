"""The loop that every trainer shares: steps in a seeded order, schedule, checkpoints, stop and resume, progress."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from core.errors import InvalidInput
from models.artefacts import digest
from retrain.training.batches import count_steps, order_pairs
from retrain.training.checkpoint import (
    Checkpoint,
    gather,
    get_generators,
    load_checkpoint,
    publish,
    restore,
    save_checkpoint,
    set_generators,
)
from retrain.training.policy import Policy
from retrain.training.product import gather_state, save_product
from retrain.training.progress import peak_memory_mb
from retrain.training.shards import add_gradients, clip, group
from retrain.training.spec import RESULTS, RunSpec
from retrain.training.trainer import DONE, STOPPED, Forecast, Job
from retrain.training.work import measure_peak

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter
    from torch.optim import Optimizer

TIMED_STEPS = 3
# Settings that change how a run goes about it, not the weights it ends with.
WITHOUT_EFFECT = (
    "threads",
    "devices",
    "reference_cache",
    "checkpoint_every_s",
    "checkpoint_every_steps",
    "eval_every",
    "held_out",
    "encoder",
)

Figures = dict[str, float]


class Objective(Protocol):
    """What a trainer adds to the loop: its examples, and the gradient of its loss over some of them.

    Examples are numbered from 0. A method that asks the model looks at the job's `stop` before each forward pass.
    What has a body here is for trainers that need nothing there.
    """

    policy: Policy

    def __len__(self) -> int:
        """How many examples there are."""
        ...

    def identify(self) -> Any:
        """What of the examples decides the weights, as JSON values."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the start of the run says of the examples."""
        ...

    def prepare(self) -> bool:
        """The work before the first step, on the policy as it starts, kept on disk as it goes; False after a stop."""
        return True

    def unprepared(self) -> int:
        """About the tokens that `prepare` would still pass through the model."""
        return 0

    def count_tokens(self, chosen: Sequence[int]) -> int:
        """About the tokens computed in a step of the examples `chosen`."""
        ...

    def begin_step(self, step: int) -> bool:
        """What comes before step number `step` (from 0), if anything; False after a stop, with nothing changed."""
        return True

    def accumulate(self, chosen: Sequence[int]) -> Figures | None:
        """Add the gradient over the examples `chosen`; the step's figures with "tokens", or None after a stop."""
        ...

    def evaluate(self) -> Figures | None:
        """Figures over what is held out, without gradients; None when nothing is watched, and after a stop."""
        return None

    def state(self) -> dict[str, Tensor]:
        """What `begin_step` keeps from step to step, for a checkpoint."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""


Build = Callable[[Job], Objective]


def train(job: Job, build: Build) -> int:
    """Train to the end or to a stop, from the last checkpoint if there is one; returns the exit code."""
    spec, progress = job.spec, job.progress
    began = job.clock()
    product = job.folder / spec.product
    if (job.folder / RESULTS[spec.finetuning_type]).exists():
        progress.write("end", **{spec.product: digest(product)}, repeated=True)
        return DONE
    objective = build(job)
    policy = objective.policy
    steps = count_steps(len(objective), spec.step_pairs, spec.epochs, spec.max_steps)
    parameters = policy.trainable()
    optimizer = build_optimizer(spec, parameters, spec.lr)
    identity = identify(spec, objective)
    resumed = load_checkpoint(job.folder / "checkpoints", identity)
    # What is prepared belongs to the policy as it starts, so a checkpoint's weights come back after it.
    if not objective.prepare():
        progress.write("stopped", step=resumed.state["step"] if resumed else 0, of=steps)
        return STOPPED
    first, tokens_done, spent = 0, 0, 0.0
    if resumed is not None:
        set_generators(restore(resumed.tensors, parameters, optimizer), policy.hardware.device)
        objective.restore(take_state(resumed.tensors))
        first, tokens_done = resumed.state["step"], resumed.state["tokens"]
        spent = resumed.state["seconds"]
    peak = measure_peak(policy.hardware, job.clock)
    progress.write(
        "start",
        step=first,
        of=steps,
        **objective.describe(),
        device=policy.hardware.name,
        precision=policy.hardware.precision,
        shared_rows=policy.share,
        parameters=sum(p.numel() for p in parameters.values()),
        peak_gflops=peak / 1e9 if peak is not None else None,
        prepare_s=job.clock() - began,
    )
    policy.model.train()
    began = saved_at = job.clock()
    saved_step = first
    for step in range(first, steps):
        step_began, policy.operations = job.clock(), 0.0
        # A stop inside a step throws its gradients away and keeps the state from before it.
        generators = get_generators(policy.hardware.device)
        chosen = order_pairs(len(objective), step, spec.step_pairs, spec.seed)
        figures = objective.accumulate(chosen) if objective.begin_step(step) else None
        if figures is None:
            optimizer.zero_grad(set_to_none=True)
            tensors = gather(parameters, optimizer, generators, keep=job.ranks.is_first) | give_state(objective)
            save(job, step, identity, tensors, tokens_done, spent + job.clock() - began)
            progress.write("stopped", step=step, of=steps)
            return STOPPED
        figures |= take_step(job, step, steps, parameters, optimizer)
        tokens_done += int(figures["tokens"])
        elapsed = job.clock() - step_began
        progress.write(
            "step",
            step=step + 1,
            of=steps,
            **figures,
            **(policy.router.tell() if policy.router is not None else {}),
            tokens_per_second=figures["tokens"] / elapsed,
            mfu=policy.operations / elapsed / peak if peak is not None else None,
            memory_mb=peak_memory_mb(policy.hardware.device),
            eta_s=(job.clock() - began) / (step + 1 - first) * (steps - step - 1),
        )
        if spec.eval_every and (step + 1) % spec.eval_every == 0 and (held_out := objective.evaluate()) is not None:
            progress.write("eval", step=step + 1, of=steps, **held_out)
        due = job.ranks.any(job.clock() - saved_at >= spec.checkpoint_every_s)
        if spec.checkpoint_every_steps and step + 1 - saved_step >= spec.checkpoint_every_steps:
            due = True
        if due and step + 1 < steps:
            generators = get_generators(policy.hardware.device)
            tensors = gather(parameters, optimizer, generators, keep=job.ranks.is_first) | give_state(objective)
            save(job, step + 1, identity, tensors, tokens_done, spent + job.clock() - began)
            progress.write("checkpoint", step=step + 1, of=steps)
            saved_at, saved_step = job.clock(), step + 1
    # Saving a whole model copies it, for which there is room where the moments were.
    optimizer.state.clear()
    state = gather_state(policy, keep=job.ranks.is_first)
    if job.ranks.is_first:
        publish(product, lambda folder: save_product(policy, spec, folder, state))
    job.ranks.wait()
    progress.write(
        "end",
        step=steps,
        of=steps,
        tokens=tokens_done,
        seconds=spent + job.clock() - began,
        memory_mb=peak_memory_mb(policy.hardware.device),
        **{spec.product: digest(product)},
    )
    return DONE


def forecast(job: Job, build: Build) -> Forecast:
    """Time a few steps, the largest among them, and say what the whole run will take. Changes nothing on disk."""
    spec = job.spec
    objective = build(job)
    policy = objective.policy
    steps = count_steps(len(objective), spec.step_pairs, spec.epochs, spec.max_steps)
    # At a rate of 0 a step moves nothing, yet takes its time and the memory of its moments.
    optimizer = build_optimizer(spec, policy.trainable(), 0.0)
    policy.model.train()
    rates: list[float] = []
    planned = [order_pairs(len(objective), step, spec.step_pairs, spec.seed) for step in range(steps)]
    # The largest step decides the memory, one of the usual size most of the time.
    planned.sort(key=objective.count_tokens)
    for chosen in (planned[0], planned[len(planned) // 4], planned[len(planned) // 2], planned[-1]):
        began = job.clock()
        figures = objective.accumulate(chosen)
        if figures is None:
            raise InvalidInput("The forecast was stopped.", "Ask for it again.")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rates.append((job.clock() - began) / figures["tokens"])
    # The first step also pays for what later ones find ready: allocations, kernels, caches.
    fastest, slowest = min(rates[1:]), max(rates[1:])
    trained = sum(objective.count_tokens(chosen) for chosen in planned)
    # A pass without gradients costs about a third of a step with them: one product a weight instead of three.
    work = trained + objective.unprepared() / 3
    return Forecast(
        device=policy.hardware.name,
        pairs=len(objective),
        steps=steps,
        tokens=trained,
        seconds_low=round(work * fastest, 1),
        seconds_high=round(work * slowest, 1),
        memory_mb=peak_memory_mb(policy.hardware.device),
        basis=f"{TIMED_STEPS} steps of {spec.step_pairs} examples timed here in {policy.hardware.precision}",
    )


def build_optimizer(spec: RunSpec, parameters: dict[str, Parameter], lr: float) -> Optimizer:
    import torch

    groups = [{"params": kind} for kind in group(parameters.values())]
    return torch.optim.AdamW(groups, lr=lr, weight_decay=spec.weight_decay, fused=True)


def take_step(
    job: Job, step: int, steps: int, parameters: dict[str, Parameter], optimizer: Optimizer
) -> dict[str, float]:
    """Move the parameters by their gradients; returns the rate and the gradient's norm before it was cut."""
    spec = job.spec
    add_gradients(parameters, job.ranks)
    rate = spec.lr * schedule(spec, step, steps)
    for settings in optimizer.param_groups:
        settings["lr"] = rate
    norm = clip(parameters, spec.max_grad_norm, job.ranks)
    if not math.isfinite(norm):
        raise InvalidInput(f"Step {step + 1} gave a gradient that is not a number.", "Lower lr or use precision fp32.")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {"lr": rate, "grad_norm": norm}


def schedule(spec: RunSpec, step: int, steps: int) -> float:
    """The share of the peak learning rate at `step` (from 0): linear warm-up, then linear, cosine or constant."""
    warmup = math.ceil(spec.warmup_ratio * steps)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}[spec.schedule]


def identify(spec: RunSpec, objective: Objective) -> str:
    """A digest of all that decides the weights: a checkpoint of another identity is not continued."""
    told = asdict(spec)
    for name in WITHOUT_EFFECT:
        told.pop(name)
    told["examples"] = objective.identify()
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def save(job: Job, step: int, identity: str, tensors: dict[str, Tensor], tokens: int, seconds: float) -> None:
    state = {"step": step, "identity": identity, "tokens": tokens, "seconds": seconds}
    if job.ranks.is_first:
        save_checkpoint(job.folder / "checkpoints", step, Checkpoint(tensors, state))
    job.ranks.wait()


STATE = "objective."


def give_state(objective: Objective) -> dict[str, Tensor]:
    return {f"{STATE}{name}": value for name, value in objective.state().items()}


def take_state(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(STATE): value for name, value in tensors.items() if name.startswith(STATE)}
