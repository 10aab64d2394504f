"""When two fingerprints that were taken in different places can be of one version."""

from __future__ import annotations

from core.ports import Fingerprint

# Nats. Rounding in bf16 against fp32 moves SmolLM2's by 0.03 in the mean and 0.12 at most (decisions/0029); another
# model, or one whose weights are damaged, by more than one.
ROUNDING = 0.15
LEAST_SHARED = 0.5


def alike(first: Fingerprint, second: Fingerprint) -> bool:
    """Whether both can be of one version whose numbers are rounded otherwise; never a proof that they are.

    Answers may part where two tokens are nearly as likely: compared is what comes before, and the token at which they
    part. At least half of all tokens must be shared, and the mean distance of log-probabilities be within ROUNDING.
    """
    shared, distances = 0, []
    length = sum(map(len, first.tokens))
    if not length or [len(row) for row in first.tokens] != [len(row) for row in second.tokens]:
        return False
    for ours, theirs, left, right in zip(first.tokens, second.tokens, first.logprobs, second.logprobs, strict=True):
        for one, other, a, b in zip(ours, theirs, left, right, strict=True):
            distances.append(abs(a - b))
            if one != other:
                break
            shared += 1
    return shared >= LEAST_SHARED * length and sum(distances) / len(distances) <= ROUNDING
