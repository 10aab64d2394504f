"""The start that a version's prompts share, read once and kept: a deployment's system prompt begins every chat of it.

Kept under the digest of the version's content, never under its name: a name that is loaded anew with other weights must
not answer from the keys of the old ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.adapters import Versions
from models.cache import build_cache
from models.load import Base
from models.requests import BASE, Request

if TYPE_CHECKING:
    import torch

# A start of fewer tokens saves less than it costs to put in place; one of more would hold too much memory.
FEWEST, MOST = 8, 4096


@dataclass(frozen=True, slots=True)
class Start:
    """Tokens, and for each layer their keys and values (heads, tokens, width)."""

    ids: tuple[int, ...]
    layers: tuple[tuple["torch.Tensor", "torch.Tensor"], ...]


def count_common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with, at least one of each left over."""
    limit = min(len(first), len(second)) - 1
    return next((index for index in range(limit) if first[index] != second[index]), max(limit, 0))


class Starts:
    """One start a version, learnt from two prompts that begin alike. Not thread-safe: the decoding thread owns it."""

    def __init__(self, base: Base, versions: Versions) -> None:
        self.base, self.versions = base, versions
        settings = base.model.config.get_text_config()
        self.count: int = settings.num_hidden_layers
        # A sliding window counts columns, padding among them, and rows with and without a start are padded in between.
        kinds = set(getattr(settings, "layer_types", None) or ()) or {"full_attention"}
        sliding = getattr(settings, "sliding_window", None) and getattr(settings, "use_sliding_window", True)
        self.usable = kinds == {"full_attention"} and not sliding
        self.kept: dict[str, Start] = {}
        self.last: dict[str, list[int]] = {}

    def digest(self, version: str) -> str:
        """What the version's content is called."""
        return self.base.digest if version == BASE else self.versions.loaded[version].digest

    def find(self, request: Request) -> Start | None:
        """The start that the request's prompt goes beyond."""
        kept = self.kept.get(self.digest(request.version))
        return kept if kept and len(request.prompt) > len(kept.ids) and begins(request.prompt, kept.ids) else None

    def unread(self, request: Request) -> int:
        """Tokens of the prompt that still have to be read."""
        kept = self.find(request)
        return len(request.prompt) - (len(kept.ids) if kept else 0)

    def place(self, requests: Sequence[Request]) -> tuple[Any, "torch.Tensor"]:
        """A cache with a row for each request that holds its start, and its mask (rows, columns of the longest)."""
        import torch

        found = [self.find(request) for request in requests]
        columns = max((len(start.ids) for start in found if start), default=0)
        cache, mask = build_cache(self.count), torch.zeros(len(found), columns, dtype=torch.long)
        for row, start in enumerate(found):
            mask[row, : len(start.ids) if start else 0] = 1
        for number, layer in enumerate(cache.layers if columns else ()):
            like = next(start for start in found if start).layers[number]
            room = [old.new_zeros(len(found), old.shape[0], columns, old.shape[2]) for old in like]
            for row, start in enumerate(found):
                if start is not None:
                    for new, old in zip(room, start.layers[number], strict=True):
                        new[row, :, : len(start.ids)] = old
            layer.put(*room)
        return cache, mask.to(self.base.device)

    def learn(self, requests: Sequence[Request], cache: Any, mask: "torch.Tensor") -> None:
        """Keeps what a prompt just read has in common with the one before it, where the kept start was of no use."""
        if not self.usable:
            return
        for row, request in enumerate(requests):
            name, before = self.digest(request.version), self.last.get(self.digest(request.version), [])
            self.last[name] = request.prompt
            common = min(count_common(before, request.prompt), MOST)
            if self.find(request) is None and common >= FEWEST:
                columns = mask[row].nonzero()[:common, 0]
                layers = tuple(
                    (layer.keys[row, :, columns].clone(), layer.values[row, :, columns].clone())
                    for layer in cache.layers
                )
                self.kept[name] = Start(tuple(request.prompt[:common]), layers)
        present = {self.base.digest, *(adapter.digest for adapter in self.versions.loaded.values())}
        self.kept = {name: start for name, start in self.kept.items() if name in present}
        self.last = {name: prompt for name, prompt in self.last.items() if name in present}


def begins(prompt: Sequence[int], start: Sequence[int]) -> bool:
    return tuple(prompt[: len(start)]) == tuple(start)
