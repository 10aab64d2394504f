"""Thinning: which rows of very busy traffic are read, told by their keys, so that what they say decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Thinning:
    """Keys from 0 fall into blocks of `one_in`; of each block one key is read, drawn by a hash of `seed` and the block.

    Every key is read with probability 1 / one_in whatever its row holds and whatever the rows around it: of
    exchangeable rows those read are exchangeable too. A draw in each block rather than every n-th key, as traffic has
    rhythms of its own. The keys to read can be listed without looking at the rows between them.
    """

    one_in: int = 1
    seed: int = 0

    def drawn(self, block: int) -> int:
        """The key that is read of the block with this number."""
        if self.one_in == 1:
            return block
        told = blake2b(f"{self.seed}/{self.one_in}/{block}".encode(), digest_size=8).digest()
        return block * self.one_in + int.from_bytes(told, "big") % self.one_in

    def holds(self, key: int) -> bool:
        """Whether `key` is read."""
        return self.drawn(key // self.one_in) == key

    def after(self, key: int, last: int, limit: int) -> list[int]:
        """The first `limit` keys to read above `key` and up to `last`, ascending."""
        blocks = range((key + 1) // self.one_in, last // self.one_in + 1)
        return list(islice((one for one in map(self.drawn, blocks) if key < one <= last), limit))

    def before(self, last: int, first: int, limit: int) -> list[int]:
        """The last `limit` keys to read from `first` up to `last`, descending."""
        blocks = range(last // self.one_in, first // self.one_in - 1, -1)
        return list(islice((one for one in map(self.drawn, blocks) if first <= one <= last), limit))

    def as_json(self) -> dict[str, int]:
        """The rule as an epoch's details keep it."""
        return {"one_in": self.one_in, "seed": self.seed}

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Self:
        """The rule that an epoch's details keep; those from before there was one read every row."""
        return cls(**details.get("thinning", {}))


EVERY = Thinning()
