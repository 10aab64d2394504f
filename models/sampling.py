"""Draws the next token of a row from its logits with the row's own seeded generator."""

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

NARROW = 256


def choose(logits: "torch.Tensor", temperature: float, top_p: float, source: random.Random) -> int:
    """A token id from one row of logits (vocabulary,).

    Temperature 0 is greedy. Otherwise one uniform number goes through the inverse distribution function over the
    smallest set of most likely tokens whose probability reaches `top_p` (Holtzman et al. 2020, section 3.1).
    """
    import torch

    if temperature == 0.0:
        return int(logits.argmax())
    scaled = logits.float() / temperature
    if top_p >= 1.0:
        cumulative = torch.softmax(scaled, -1).cumsum(-1)
        ids = None
    else:
        normaliser = torch.logsumexp(scaled, -1)
        values, ids = scaled.topk(min(NARROW, scaled.numel()))
        cumulative = (values - normaliser).exp().cumsum(-1)
        if float(cumulative[-1]) < top_p:
            values, ids = scaled.sort(descending=True)
            cumulative = (values - normaliser).exp().cumsum(-1)
        kept = int((cumulative < top_p).sum()) + 1
        cumulative = cumulative[:kept]
    point = source.random() * float(cumulative[-1])
    index = min(int((cumulative <= point).sum()), cumulative.numel() - 1)
    return index if ids is None else int(ids[index])
