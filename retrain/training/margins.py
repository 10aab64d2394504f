"""Margins of preference pairs under a policy: by how much more than its reference it prefers the chosen answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from retrain.training.batches import Micro, make_micros
from retrain.training.encoding import EncodedPair, encode_pairs
from retrain.training.losses import LOSSES, PER_TOKEN
from retrain.training.policy import Policy
from retrain.training.reference_cache import ReferenceCache
from retrain.training.spec import RunSpec, read_pairs
from retrain.training.trainer import Job

if TYPE_CHECKING:
    from torch import Tensor

FIGURES = ("loss", "margin", "accuracy", "chosen_logp", "rejected_logp", "chosen_reward", "rejected_reward")


def read_held_out(job: Job, policy: Policy) -> list[EncodedPair]:
    """The held-out pairs to watch during training; none unless the spec asks for them."""
    if not (job.spec.eval_every and job.spec.held_out):
        return []
    pairs, _ = encode_pairs(policy.tokenizer, read_pairs(job.folder / job.spec.held_out), job.spec.max_length)
    return pairs


def micros(spec: RunSpec, policy: Policy, pairs: Sequence[EncodedPair]) -> Iterator[Micro]:
    """The forward passes over `pairs` that are this rank's."""
    groups = [pair.sequences for pair in pairs]
    every = make_micros(groups, spec.row_tokens, spec.tokens_per_batch, policy.padding, policy.share)
    return policy.ranks.deal(every)


def margins(
    policy: Policy, micro: Micro, members: Sequence[EncodedPair], cache: ReferenceCache | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-ratios of chosen and rejected and the policy's log-probabilities [pairs, 2]; without a cache its own."""
    import torch

    scores = policy.score(micro.batch).view(-1, 2)
    if cache is None:
        reference = scores.detach()
    else:
        reference = torch.tensor([cache.get(pair.key) for pair in members], device=scores.device)
    ratios = scores - reference
    return ratios[:, 0], ratios[:, 1], scores


def score_margins(
    job: Job, policy: Policy, pairs: Sequence[EncodedPair], cache: ReferenceCache | None
) -> Tensor | None:
    """The scaled margin of each of `pairs` now, without dropout or gradients, fp64 [pairs]; None after a stop."""
    import torch

    found = torch.zeros(len(pairs), dtype=torch.float64)
    policy.model.eval()
    try:
        with torch.no_grad():
            for micro in micros(job.spec, policy, pairs):
                if job.stop():
                    return None
                chosen, rejected, _ = margins(policy, micro, [pairs[i] for i in micro.groups], cache)
                found[micro.groups] = micro.weight * job.spec.beta * (chosen - rejected).double().cpu()
    finally:
        policy.model.train()
    return policy.ranks.add(found.to(policy.ranks.device)).cpu()


def pair_losses(spec: RunSpec, members: Sequence[EncodedPair], chosen: Tensor, rejected: Tensor) -> Tensor:
    """The loss of each pair, shape [pairs]."""
    import torch

    if spec.loss in PER_TOKEN:
        chosen = chosen / torch.tensor([len(p.chosen.completion) for p in members], device=chosen.device)
        rejected = rejected / torch.tensor([len(p.rejected.completion) for p in members], device=chosen.device)
    return LOSSES[spec.loss](chosen, rejected, spec.beta, spec.label_smoothing)


def add_figures(
    sums: dict[str, float],
    beta: float,
    weights: Tensor,
    losses: Tensor,
    chosen: Tensor,
    rejected: Tensor,
    scores: Tensor,
) -> None:
    """Add the weighted sums of what is logged; a tie counts one half, rewards are beta times the log-ratio."""
    margin = beta * (chosen - rejected)
    right = (margin > 0).float() + 0.5 * (margin == 0).float()
    values = (losses, margin, right, scores[:, 0], scores[:, 1], beta * chosen, beta * rejected)
    for name, value in zip(FIGURES, values, strict=True):
        sums[name] += float((weights * value.detach()).sum())


def evaluate(job: Job, policy: Policy, pairs: Sequence[EncodedPair], cache: ReferenceCache) -> dict[str, float] | None:
    """The figures over the held-out pairs, without gradients; None after a stop, as sums over some are no figures."""
    import torch

    sums: dict[str, float] = dict.fromkeys(FIGURES, 0.0)
    policy.model.eval()
    try:
        with torch.no_grad():
            for micro in micros(job.spec, policy, pairs):
                if job.stop():
                    return None
                members = [pairs[i] for i in micro.groups]
                weights = torch.full((len(members),), micro.weight / len(pairs), device=policy.hardware.device)
                chosen, rejected, scores = margins(policy, micro, members, cache)
                losses = pair_losses(job.spec, members, chosen, rejected)
                add_figures(sums, job.spec.beta, weights, losses, chosen, rejected, scores)
    finally:
        policy.model.train()
    return policy.ranks.sum(sums)
