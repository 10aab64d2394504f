"""Which conversation a chat goes on with, told by its history: a client that names none still sends what was said."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence

MOST = 50_000
Messages = Sequence[Mapping[str, str]]


class Conversations:
    """The newest exchanges, each by its question and answer, with the conversation that they belong to.

    A request goes on with the conversation whose newest exchange its history ends with; one question and its answer
    tell that even where a client leaves out the beginning. Only what the same caller (`owner`) was told counts. In
    memory, the `most` newest: a conversation that is not remembered begins anew, which only makes it two.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._told: OrderedDict[bytes, str] = OrderedDict()

    def find(self, owner: str, messages: Messages) -> str:
        """The conversation that `messages` go on with; empty where none is known."""
        for place in range(len(messages) - 1, 0, -1):
            if messages[place]["role"] == "assistant":
                asked, told = messages[place - 1]["content"], messages[place]["content"]
                return self._told.get(_key(owner, asked, told), "")
        return ""

    def keep(self, owner: str, messages: Messages, answer: str, conversation: str) -> None:
        """Remember that `messages` were answered so in that conversation."""
        if not answer.strip():
            return
        key = _key(owner, messages[-1]["content"], answer)
        self._told[key] = conversation
        self._told.move_to_end(key)
        if len(self._told) > self._most:
            self._told.popitem(last=False)


def _key(owner: str, asked: str, told: str) -> bytes:
    """Clients trim what they show and send back."""
    parts = (owner, asked.strip(), told.strip())
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).digest()
