"""Kahneman-Tversky optimisation of a LoRA adapter: learns from single answers that were liked or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput
from retrain.training import batches, loop, margins
from retrain.training.batches import make_micros
from retrain.training.policy import Policy, start_policy
from retrain.training.reference import count_waiting, score_reference
from retrain.training.reference_cache import ReferenceCache
from retrain.training.rows import Tokens
from retrain.training.spec import RunSpec
from retrain.training.thumbs import Thumb, encode_thumbs, read_thumbs
from retrain.training.trainer import TRAINERS, Forecast, Job

if TYPE_CHECKING:
    from torch import Tensor


@TRAINERS.register
class Kto:
    """Kahneman-Tversky optimisation of a LoRA adapter: learns from single answers that were liked or not."""

    def train(self, job: Job) -> int:
        return loop.train(job, Prospect)

    def forecast(self, job: Job) -> Forecast:
        return loop.forecast(job, Prospect)


def kto(ratios: Tensor, desirable: Tensor, z0: float, beta: float, lambdas: tuple[float, float]) -> Tensor:
    """lambda - value of each answer, shape [answers] (Ethayarajh et al. 2024, eq. 8).

    `ratios` are summed log-ratios of policy to reference, `desirable` is boolean, `z0` the reference point in nats. The
    value is lambda_D sigmoid(beta (ratio - z0)) of a liked answer and lambda_U sigmoid(beta (z0 - ratio)) of another.
    """
    import torch

    liked, disliked = lambdas
    kind = desirable.to(ratios.dtype)
    gain = liked * kind + disliked * (1 - kind)
    return gain * (1 - torch.sigmoid((2 * kind - 1) * beta * (ratios - z0)))


def balance(liked: int, disliked: int, spec: RunSpec) -> tuple[float, float]:
    """lambda_D and lambda_U. Those not given make lambda_D n_D = lambda_U n_U, with the smaller of them 1.

    The paper wants that ratio between 1 and 4/3: the rarer kind of thumb must not be drowned.
    """
    given = spec.lambda_desirable, spec.lambda_undesirable
    if not (liked and disliked):
        return given[0] or 1.0, given[1] or 1.0
    if given[0] is None and given[1] is None:
        return max(1.0, disliked / liked), max(1.0, liked / disliked)
    first = given[0] if given[0] is not None else (given[1] or 1.0) * disliked / liked
    return first, given[1] if given[1] is not None else first * liked / disliked


class Prospect(loop.Objective):
    """The mean KTO loss over thumbs, its reference point the policy's drift on mismatched answers."""

    def __init__(self, job: Job) -> None:
        self.job, spec = job, job.spec
        texts = read_thumbs(job.folder / spec.thumbs)
        if not texts:
            raise InvalidInput(f"{spec.thumbs} holds no thumbs.", "Add thumbs and start again.")
        self.policy: Policy = start_policy(spec, job.ranks)
        self.thumbs, self.skipped = encode_thumbs(self.policy.tokenizer, texts, spec.max_length, spec.seed)
        if not self.thumbs:
            raise InvalidInput(f"Every thumb of {spec.thumbs} is too long.", "Raise max_length.")
        self.policy.check_rows(min(self.thumbs, key=lambda thumb: (len(thumb.own.ids), thumb.id)))
        self.liked = sum(thumb.desirable for thumb in self.thumbs)
        self.lambdas = balance(self.liked, len(self.thumbs) - self.liked, spec)
        self.held_out = margins.read_held_out(job, self.policy)
        self.cache: ReferenceCache | None = None

    def __len__(self) -> int:
        return len(self.thumbs)

    def identify(self) -> Any:
        return [(thumb.key, thumb.desirable) for thumb in self.thumbs]

    def describe(self) -> dict[str, Any]:
        return {
            "thumbs": len(self.thumbs),
            "desirable": self.liked,
            "lambda_desirable": self.lambdas[0],
            "lambda_undesirable": self.lambdas[1],
            "held_out": len(self.held_out),
            "skipped_too_long": len(self.skipped),
        }

    def prepare(self) -> bool:
        self.cache = score_reference(self.job, self.policy, [*self.thumbs, *self.held_out])
        return self.cache is not None

    def unprepared(self) -> int:
        return count_waiting(self.job, self.policy, self.thumbs)

    def count_tokens(self, chosen: Sequence[int]) -> int:
        both = ([[self.thumbs[i].sequences[side]] for i in chosen] for side in (0, 1))
        return sum(batches.count_tokens(groups) for groups in both)

    def accumulate(self, chosen: Sequence[int]) -> dict[str, float] | None:
        import torch

        spec, thumbs = self.job.spec, [self.thumbs[i] for i in chosen]
        drift = self.measure_drift(thumbs)
        if drift is None:
            return None
        z0, tokens = drift
        found = torch.zeros(len(thumbs), 2, dtype=torch.float64, device=self.job.ranks.device)
        for micro in self.micros([thumb.own for thumb in thumbs]):
            if self.job.stop():
                return None
            members = [thumbs[i] for i in micro.groups]
            ratios = self.ratios(self.policy.score(micro.batch), members, side=0)
            desirable = torch.tensor([thumb.desirable for thumb in members], device=ratios.device)
            losses = kto(ratios, desirable, z0, spec.beta, self.lambdas)
            share = micro.weight / len(thumbs)
            torch.autograd.backward(losses.sum() * share + self.policy.spread(len(members) * share))
            found[micro.groups] = micro.weight * torch.stack([losses, ratios], 1).detach().to(found)
            tokens += micro.weight * micro.batch.tokens
        told = self.job.ranks.add(found).tolist()
        rows = [(thumb, *row) for thumb, row in zip(thumbs, told, strict=True)]
        return summarise(rows, z0, spec.beta) | self.job.ranks.sum({"tokens": tokens})

    def measure_drift(self, thumbs: Sequence[Thumb]) -> tuple[float, float] | None:
        """The reference point, nats, and the tokens it took here: the mean log-ratio on mismatched answers, at least 0.

        It estimates the divergence of the policy from the reference without a gradient, as the paper does; a stop
        gives None.
        """
        import torch

        total = tokens = 0.0
        self.policy.model.eval()
        try:
            with torch.no_grad():
                for micro in self.micros([thumb.mismatched for thumb in thumbs]):
                    if self.job.stop():
                        return None
                    members = [thumbs[i] for i in micro.groups]
                    ratios = self.ratios(self.policy.score(micro.batch), members, side=1)
                    total += micro.weight * float(ratios.double().sum())
                    tokens += micro.weight * micro.batch.tokens
        finally:
            self.policy.model.train()
        return max(0.0, self.job.ranks.sum({"total": total})["total"] / len(thumbs)), tokens

    def micros(self, sequences: Sequence[Tokens]) -> Any:
        groups, spec = [[tokens] for tokens in sequences], self.job.spec
        every = make_micros(groups, spec.row_tokens, spec.tokens_per_batch, self.policy.padding, self.policy.share)
        return self.policy.ranks.deal(every)

    def ratios(self, scores: Tensor, members: Sequence[Thumb], side: int) -> Tensor:
        """Log-ratios to the reference, which without a cache is the policy itself."""
        if self.cache is None:
            return scores - scores.detach()
        return scores - scores.new_tensor([self.cache.get(thumb.key)[side] for thumb in members])

    def evaluate(self) -> dict[str, float] | None:
        if not self.held_out or self.cache is None:
            return None
        return margins.evaluate(self.job, self.policy, self.held_out, self.cache)


def summarise(found: Sequence[tuple[Thumb, float, float]], z0: float, beta: float) -> dict[str, float]:
    """A step's figures: mean loss, KL, rewards of both kinds, their difference, the share on its side of z0.

    A kind that the step has none of gives NaN.
    """
    rewards: dict[bool, list[float]] = {True: [], False: []}
    for thumb, _, ratio in found:
        rewards[thumb.desirable].append(beta * ratio)
    liked, disliked = (sum(told) / len(told) if told else math.nan for told in (rewards[True], rewards[False]))
    above = [(ratio > z0) - (ratio < z0) for _, _, ratio in found]
    right = [(1 + (side if thumb.desirable else -side)) / 2 for (thumb, _, _), side in zip(found, above, strict=True)]
    return {
        "loss": sum(loss for _, loss, _ in found) / len(found),
        "kl": z0,
        "margin": liked - disliked,
        "accuracy": sum(right) / len(right),
        "chosen_reward": liked,
        "rejected_reward": disliked,
    }
