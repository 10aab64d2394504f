"""A print of a loaded version: what it answers to fixed prompts, greedily, with the log-probability of each token.

The prompts run together, in a batch of theirs alone and in the base's own number format, so that in one place
(`models.device.describe_place`) the print does not depend on what else is being answered.
"""

import hashlib
import json
from collections.abc import Generator, Sequence

from core.ports import Fingerprint
from models.adapters import Versions
from models.cache import build_cache
from models.device import describe_place
from models.load import Base

PROMPTS = (
    "Say in one sentence what a promise is.",
    "My parcel has not arrived. What should I do?",
    "List three uses of a brick.",
)
LENGTH = 8
DECIMALS = 3


def take_fingerprint(
    base: Base, versions: Versions, version: str, prompts: Sequence[str] = PROMPTS
) -> Generator[None, None, Fingerprint]:
    """Computes the print of `version`, pausing after every forward pass so that answers can go on in between."""
    import torch

    # Plain text: some chat templates write today's date into the prompt.
    read: list[list[int]] = [base.tokenizer(prompt).input_ids for prompt in prompts]
    longest = max(len(ids) for ids in read)
    # Padded on the left, so that every prompt's newest token stands in the last column.
    ids = torch.tensor([[0] * (longest - len(one)) + one for one in read], device=base.device)
    mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in read], device=base.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = build_cache(base.model.config.get_text_config().num_hidden_layers)
    tokens: list[list[int]] = []
    logprobs: list[list[float]] = []
    for _ in range(LENGTH):
        with torch.inference_mode():
            versions.route([version] * len(read))
            out = base.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            likeliest = torch.log_softmax(out.logits[:, -1].float(), -1).max(-1)
            ids, positions = likeliest.indices[:, None], positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(read), 1)], 1)
        tokens.append(likeliest.indices.tolist())
        logprobs.append([round(value, DECIMALS) for value in likeliest.values.tolist()])
        yield
    # A row a prompt, where the loop made a row a step.
    by_prompt = tuple(zip(*tokens, strict=True)), tuple(zip(*logprobs, strict=True))
    content = json.dumps(by_prompt, separators=(",", ":"))
    made = hashlib.sha256(content.encode()).hexdigest()
    place, files = describe_place(base.device, base.dtype), versions.digest_of(version)
    return Fingerprint(made, *by_prompt, place=place, files=files)
