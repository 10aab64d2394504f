"""Direct preference optimisation of a LoRA adapter, with the served version as its frozen reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput
from retrain.training import batches, loop, reliability
from retrain.training.divergence import EVERY, measure_kl
from retrain.training.encoding import EncodedPair, encode_pairs
from retrain.training.joining import Joint
from retrain.training.losses import JOINED
from retrain.training.margins import (
    FIGURES,
    add_figures,
    evaluate,
    margins,
    micros,
    pair_losses,
    read_held_out,
    score_margins,
)
from retrain.training.policy import Policy, start_policy
from retrain.training.reference import count_waiting, score_reference
from retrain.training.reference_cache import ReferenceCache
from retrain.training.spec import read_pairs
from retrain.training.trainer import TRAINERS, Forecast, Job

if TYPE_CHECKING:
    from torch import Tensor


@TRAINERS.register
class Dpo:
    """Direct preference optimisation of a LoRA adapter, with the served version as its frozen reference."""

    def train(self, job: Job) -> int:
        return loop.train(job, Preference)

    def forecast(self, job: Job) -> Forecast:
        return loop.forecast(job, Preference)


class Preference(loop.Objective):
    """A loss of the pairs' margins, each pair weighed, if asked, by how likely its label is right."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.policy, self.pairs, self.skipped = prepare(job)
        self.held_out = read_held_out(job, self.policy)
        self.cache: ReferenceCache | None = None
        self.right = [1.0] * len(self.pairs)
        self.noise_rate, self.estimated_at = job.spec.noise_rate, 0
        self.step: int | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def identify(self) -> Any:
        return [(pair.key, pair.weight) for pair in self.pairs]

    def describe(self) -> dict[str, Any]:
        return {"pairs": len(self.pairs), "held_out": len(self.held_out), "skipped_too_long": len(self.skipped)}

    def prepare(self) -> bool:
        self.cache = score_reference(self.job, self.policy, [*self.pairs, *self.held_out])
        return self.cache is not None

    def unprepared(self) -> int:
        return count_waiting(self.job, self.policy, self.pairs)

    def count_tokens(self, chosen: Sequence[int]) -> int:
        return batches.count_tokens([self.pairs[i].sequences for i in chosen])

    def begin_step(self, step: int) -> bool:
        self.step = step
        every = self.job.spec.reliability_every
        if not every or step % every or step == self.estimated_at:
            return True
        margins = score_margins(self.job, self.policy, self.pairs, self.cache)
        if margins is None:
            return False
        found = reliability.estimate(margins, self.noise_rate, margins.new_tensor([pair.weight for pair in self.pairs]))
        self.right, self.noise_rate, self.estimated_at = found.right.tolist(), found.noise_rate, step
        if self.job.ranks.is_first:
            reliability.write(self.job.folder, [pair.id for pair in self.pairs], found)
        self.job.progress.write("reliability", step=step, **reliability.describe(found))
        return True

    def accumulate(self, chosen: Sequence[int]) -> dict[str, float] | None:
        pairs = [replace(self.pairs[i], weight=self.pairs[i].weight * self.right[i]) for i in chosen]
        figures = accumulate(self.job, self.policy, pairs, self.cache)
        if figures is not None and self.step is not None and self.step % EVERY == 0:
            figures |= measure_kl(self.policy, next(micros(self.job.spec, self.policy, pairs)))
        return figures

    def evaluate(self) -> dict[str, float] | None:
        if not self.held_out or self.cache is None:
            return None
        return evaluate(self.job, self.policy, self.held_out, self.cache)

    def state(self) -> dict[str, Tensor]:
        import torch

        wide = torch.float64
        return {
            "right": torch.tensor(self.right, dtype=wide),
            "noise_rate": torch.tensor(self.noise_rate, dtype=wide),
            "estimated_at": torch.tensor(self.estimated_at),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        self.right = state["right"].tolist()
        self.noise_rate, self.estimated_at = float(state["noise_rate"]), int(state["estimated_at"])


def prepare(job: Job) -> tuple[Policy, list[EncodedPair], list[str]]:
    """The policy as it starts, the training pairs as tokens, and the ids of pairs that are too long."""
    spec = job.spec
    texts = read_pairs(job.folder / spec.pairs)
    if not texts:
        raise InvalidInput(f"{spec.pairs} holds no pairs.", "Add pairs and start again.")
    policy = start_policy(spec, job.ranks)
    train, skipped = encode_pairs(policy.tokenizer, texts, spec.max_length)
    train = [pair for pair in train if pair.weight > 0]
    if not train:
        raise InvalidInput(f"Every pair of {spec.pairs} is too long or has no weight.", "Raise max_length.")
    policy.check_rows(min(train, key=lambda pair: (sum(len(s.ids) for s in pair.sequences), pair.id)))
    return policy, train, skipped


def accumulate(
    job: Job, policy: Policy, pairs: Sequence[EncodedPair], cache: ReferenceCache | None
) -> dict[str, float] | None:
    """Add the gradient of the weighted loss over `pairs`; returns the step's figures, or None after a stop."""
    import torch

    spec = job.spec
    joint = Joint(policy.trainable().values(), spec.beta_prime) if spec.loss in JOINED else None
    total = sum(pair.weight for pair in pairs)
    sums: dict[str, float] = dict.fromkeys(FIGURES, 0.0)
    tokens = 0.0
    for micro in micros(spec, policy, pairs):
        if job.stop():
            return None
        members = [pairs[i] for i in micro.groups]
        shares = [micro.weight * pair.weight / total for pair in members]
        weights = torch.tensor(shares, device=policy.hardware.device)
        chosen, rejected, scores = margins(policy, micro, members, cache)
        losses = pair_losses(spec, members, chosen, rejected)
        if joint is None:
            torch.autograd.backward((losses * weights).sum() + policy.spread(float(weights.sum())))
        else:
            joint.add(losses, weights)
        with torch.no_grad():
            add_figures(sums, spec.beta, weights, losses, chosen, rejected, scores)
        tokens += micro.weight * micro.batch.tokens
    if joint is not None:
        sums["loss"] = joint.finish()
    return policy.ranks.sum(sums | {"tokens": tokens})
