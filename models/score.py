"""Log-probabilities of given completions after given prompts, in padded batches without full logit matrices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.adapters import Versions
from models.load import Base

TOKENS_A_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Score:
    """Natural-log probability of a completion, summed over its `tokens`."""

    logprob: float
    tokens: int


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices grouped by similar length so that rows times the longest stays within `budget` where one row does."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if groups and (len(groups[-1]) + 1) * lengths[index] <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def score(
    base: Base, versions: Versions, version: str, items: Sequence[tuple[list[int], list[int]]]
) -> Iterator[list[tuple[int, Score]]]:
    """Yields, batch by batch, (index, Score) of each (prompt, completion) pair of token ids.

    A generator, so that the decoding thread can serve answers between two batches. Only the columns of completions go
    through the output layer.
    """
    import torch

    for group in batches([len(prompt) + len(completion) for prompt, completion in items], TOKENS_A_BATCH):
        rows = [items[index] for index in group]
        longest = max(len(prompt) + len(completion) for prompt, completion in rows)
        keep = max(len(completion) for _, completion in rows) + 1
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for place, (prompt, completion) in enumerate(rows):
            length = len(prompt) + len(completion)
            ids[place, longest - length :] = torch.tensor(prompt + completion)
            mask[place, longest - length :] = 1
        ids, mask = ids.to(base.device), mask.to(base.device)
        with torch.inference_mode():
            versions.route([version] * len(rows))
            logits = base.model(
                input_ids=ids,
                attention_mask=None if bool(mask.all()) else mask,
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
                use_cache=False,
                logits_to_keep=keep,
            ).logits[:, :-1]
            targets = ids[:, longest - keep + 1 :]
            totals = torch.empty(len(rows), targets.shape[1], dtype=torch.float64)
            for place in range(len(rows)):
                chosen = torch.log_softmax(logits[place].float(), -1).gather(-1, targets[place].unsqueeze(-1))
                totals[place] = chosen.squeeze(-1).double().cpu()
        yield [
            (index, Score(float(totals[place, targets.shape[1] - len(completion) :].sum()), len(completion)))
            for place, (index, (_, completion)) in enumerate(zip(group, rows, strict=True))
        ]
