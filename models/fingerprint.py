"""A print of a loaded version: what it answers to fixed prompts, greedily, with the log-probability of each token.

Every prompt runs alone, unbatched and in the base's own number format, so on one machine the print does not depend on
what else is being answered. Across machines compare with `matches`, which allows for rounding.
"""

import hashlib
import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from models.adapters import Versions
from models.cache import build_cache
from models.load import Base

PROMPTS = (
    "Say in one sentence what a promise is.",
    "My parcel has not arrived. What should I do?",
    "List three uses of a brick.",
)
LENGTH = 8
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Greedy tokens and their natural-log probabilities for each fixed prompt, and the digest of both."""

    digest: str
    tokens: tuple[tuple[int, ...], ...]
    logprobs: tuple[tuple[float, ...], ...]


def matches(first: Fingerprint, second: Fingerprint, tolerance: float = 0.02) -> bool:
    """True when both have the same tokens and no log-probability differs by more than `tolerance`."""
    return first.tokens == second.tokens and all(
        abs(a - b) <= tolerance
        for left, right in zip(first.logprobs, second.logprobs, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def take_fingerprint(
    base: Base, versions: Versions, version: str, prompts: Sequence[str] = PROMPTS
) -> Generator[None, None, Fingerprint]:
    """Computes the print of `version`, pausing after every forward pass so that answers can go on in between."""
    import torch

    tokens: list[tuple[int, ...]] = []
    logprobs: list[tuple[float, ...]] = []
    for prompt in prompts:
        # Plain text: some chat templates write today's date into the prompt.
        ids: list[int] = base.tokenizer(prompt).input_ids
        cache = build_cache(base.model.config.get_text_config().num_hidden_layers)
        taken: list[int] = []
        values: list[float] = []
        for _ in range(LENGTH):
            with torch.inference_mode():
                versions.route([version])
                out = base.model(
                    input_ids=torch.tensor([ids], device=base.device),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                spread = torch.log_softmax(out.logits[0, -1].float(), -1)
                best = int(spread.argmax())
            taken.append(best)
            values.append(round(float(spread[best]), DECIMALS))
            ids = [best]
            yield
        tokens.append(tuple(taken))
        logprobs.append(tuple(values))
    content = json.dumps([tokens, logprobs], separators=(",", ":"))
    return Fingerprint(hashlib.sha256(content.encode()).hexdigest(), tuple(tokens), tuple(logprobs))
