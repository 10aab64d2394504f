"""Log-probabilities under the frozen reference, on disk, a line a pair: computed once for all runs that share them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Values = tuple[float, float]  # summed log-probability of chosen and of rejected, nats


def reference_key(model: str, adapter: str, tokenizer: Any, precision: str) -> str:
    """Names a cache: digests of the model and adapter folders, the tokenizer's template, the precision.

    Pairs are keyed by their token ids, which already follow the vocabulary; the template is part of the name so
    that a change of it shows in the folder too.
    """
    template = hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()
    parts = [model, adapter, template, type(tokenizer).__name__, precision]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


class ReferenceCache:
    """Values by pair key in `folder`/`name`.jsonl. Lines are appended whole; a torn last line is passed over."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.jsonl"
        self._values: dict[str, Values] = {}
        if self.path.exists():
            for line in self.path.read_bytes().splitlines():
                try:
                    key, chosen, rejected = json.loads(line)
                    self._values[str(key)] = (float(chosen), float(rejected))
                except (ValueError, TypeError):
                    continue

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that have no value yet, once each, in order."""
        return [key for key in dict.fromkeys(keys) if key not in self._values]

    def get(self, key: str) -> Values:
        """The values of the pair `key`. Raises KeyError."""
        return self._values[key]

    def put(self, rows: Sequence[tuple[str, float, float]], *, keep: bool = True) -> None:
        """Append values and flush them to the operating system in one write; only remember them where not to `keep`."""
        self._values.update({key: (chosen, rejected) for key, chosen, rejected in rows})
        if not keep:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A line torn by a crash must not swallow the next one, so every write begins on a line of its own.
        data = "".join("\n" + json.dumps(row) for row in rows) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, data.encode())
        finally:
            os.close(handle)
