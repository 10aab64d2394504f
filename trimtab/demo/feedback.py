"""Feedback on the imported history, by the same rule as on live answers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from random import Random

from core.types import Feedback, Inference
from trimtab.demo.corpus import Question
from trimtab.demo.customers import react
from trimtab.demo.topics import TOPICS, Topic


def on_history(rows: Sequence[Inference], *, seed: int) -> Iterator[Feedback]:
    """The thumbs that customers of the past gave; reproducible from `seed`."""
    random = Random(seed)
    for row in rows:
        reaction = react(Question(row.prompt, topic_of(row.prompt)), row.response, random)
        if reaction is not None:
            name = str(uuid.UUID(int=random.getrandbits(128), version=4))
            yield Feedback(name, row.at, "thumb", row.uuid, float(reaction.thumb), source="demo customers")


def topic_of(prompt: str) -> Topic:
    """The topic whose templates share most words with `prompt`: the corpus forgets which one it was drawn from."""
    asked = set(prompt.lower().split())
    return max(
        TOPICS, key=lambda topic: max(len(asked & set(ask.lower().split())) / len(ask.split()) for ask in topic.asks)
    )
