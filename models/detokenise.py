"""Text from tokens as they arrive: never half a character, never past a stop string."""

from typing import Any

PARTIAL = "\ufffd"


class TextStream:
    """Turns one row's tokens into text pieces.

    A piece is held back while it may be the start of a character that needs more bytes or of a stop string.
    `text` is everything given out so far; `stopped` is True once a stop string was met, and it is not part of the text.
    """

    def __init__(self, tokenizer: Any, stops: tuple[str, ...] = ()) -> None:
        self.tokenizer = tokenizer
        self.stops = stops
        self.ids: list[int] = []
        self.begin = 0
        self.read = 0
        self.held = ""
        self.text = ""
        self.stopped = False

    def decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def push(self, token: int) -> str:
        """The text that `token` makes certain; often empty."""
        self.ids.append(token)
        before = self.decode(self.ids[self.begin : self.read])
        after = self.decode(self.ids[self.begin :])
        if after.endswith(PARTIAL) or len(after) <= len(before):
            return ""
        self.begin, self.read = self.read, len(self.ids)
        return self.give(after[len(before) :])

    def give(self, fresh: str) -> str:
        self.held += fresh
        found = [at for at in (self.held.find(stop) for stop in self.stops) if at >= 0]
        if found:
            self.stopped = True
            piece, self.held = self.held[: min(found)], ""
        else:
            keep = max((overlap(self.held, stop) for stop in self.stops), default=0)
            piece, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        self.text += piece
        return piece

    def finish(self) -> str:
        """What was held back, at the end of the answer; an incomplete character comes out as U+FFFD."""
        if self.stopped:
            return ""
        before = self.decode(self.ids[self.begin : self.read])
        after = self.decode(self.ids[self.begin :])
        self.begin = self.read = len(self.ids)
        piece = self.give(after[len(before) :])
        if not self.stopped:
            self.text += self.held
            piece, self.held = piece + self.held, ""
        return piece


def overlap(text: str, stop: str) -> int:
    """Length of the longest proper beginning of `stop` that `text` ends with."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
