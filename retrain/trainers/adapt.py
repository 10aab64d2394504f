"""Self-supervised adaptation of a LoRA adapter to unlabelled traffic, left out where it holds personal data."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

from core.errors import InvalidInput
from retrain.training import batches, loop
from retrain.training.batches import make_micros
from retrain.training.policy import start_policy
from retrain.training.texts import encode_texts, is_private, read_texts
from retrain.training.trainer import TRAINERS, Forecast, Job


@TRAINERS.register
class Adapt:
    """Self-supervised adaptation of a LoRA adapter to unlabelled traffic, left out where it holds personal data."""

    def train(self, job: Job) -> int:
        return loop.train(job, NextToken)

    def forecast(self, job: Job) -> Forecast:
        return loop.forecast(job, NextToken)


class NextToken(loop.Objective):
    """The mean negative log-likelihood a token, nats, of texts in which no personal data was found."""

    def __init__(self, job: Job) -> None:
        self.job, spec = job, job.spec
        if spec.eval_every:
            raise InvalidInput("adapt watches no held-out pairs.", "Leave eval_every out.")
        read = read_texts(job.folder / spec.texts)
        texts = [text for text in read if not is_private(text)]
        self.private = len(read) - len(texts)
        if not texts:
            raise InvalidInput(
                f"{spec.texts} holds no text without personal data ({self.private} left out).", "Add texts."
            )
        self.policy = start_policy(spec, job.ranks)
        self.texts, self.skipped = encode_texts(self.policy.tokenizer, texts, spec.max_length)
        if not self.texts:
            raise InvalidInput(f"Every text of {spec.texts} is too long or empty.", "Raise max_length.")
        self.policy.check_rows(min(self.texts, key=lambda text: (len(text.tokens.ids), text.id)))

    def __len__(self) -> int:
        return len(self.texts)

    def identify(self) -> Any:
        ids = [text.tokens.ids for text in self.texts]
        return hashlib.sha256(json.dumps(ids, separators=(",", ":")).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        return {"texts": len(self.texts), "left_out_private": self.private, "skipped_too_long": len(self.skipped)}

    def count_tokens(self, chosen: Sequence[int]) -> int:
        return batches.count_tokens([self.texts[i].sequences for i in chosen])

    def accumulate(self, chosen: Sequence[int]) -> dict[str, float] | None:
        import torch

        spec, policy = self.job.spec, self.policy
        groups = [self.texts[i].sequences for i in chosen]
        predicted = sum(len(tokens.completion) for (tokens,) in groups)
        total, computed = 0.0, 0.0
        every = make_micros(groups, spec.row_tokens, spec.tokens_per_batch, policy.padding, policy.share)
        for micro in policy.ranks.deal(every):
            if self.job.stop():
                return None
            loss = -micro.weight * policy.score(micro.batch).sum() / predicted
            torch.autograd.backward(loss + policy.spread(micro.weight * len(micro.groups) / len(groups)))
            total += float(loss.detach())
            computed += micro.weight * micro.batch.tokens
        told = policy.ranks.sum({"loss": total, "tokens": computed})
        return told | {"perplexity": math.exp(min(told["loss"], 100.0))}
