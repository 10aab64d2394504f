"""How far training has moved an adapted policy from its reference, in what they say next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrain.training.policy import Policy

if TYPE_CHECKING:
    from retrain.training.batches import Micro

# A look costs two forward passes; every so many steps they are a few per cent of the work.
EVERY = 10
# Tokens a look at most: the logits of each are as long as the vocabulary.
TOKENS = 128


def measure_kl(policy: Policy, micro: Micro) -> dict[str, float]:
    """{"kl": the mean divergence of the policy's next token from the reference's before a token of the completions, in
    nats}, over at most TOKENS of `micro` (each rank's own); nothing where no reference is in memory.

    Exact over the vocabulary, not over texts: the contexts are the completions' own, not what the policy would say.
    """
    import torch
    from torch.nn.functional import kl_div

    if not policy.adapted:
        return {}
    training = policy.model.training
    policy.model.eval()
    now = torch.log_softmax(policy.logits(micro.batch, TOKENS), -1)
    with policy.as_reference():
        then = torch.log_softmax(policy.logits(micro.batch, TOKENS), -1)
    policy.model.train(training)
    apart = kl_div(then, now, log_target=True, reduction="none").sum(-1)
    told = policy.ranks.sum({"kl": micro.weight * float(apart.sum()), "tokens": micro.weight * len(apart)})
    return {"kl": told["kl"] / told["tokens"]}
