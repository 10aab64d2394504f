"""Embeds texts once: what an encoder has embedded before comes from the store, by content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from store import embeddings
from store.unit_of_work import Store


class Encoder(Protocol):
    """What is needed of models.encoder.Encoder."""

    identity: str

    def embed(self, texts: Sequence[str]) -> Any: ...


class Embedder:
    """Looks texts up in the store's cache and encodes only what is new. The encoder is opened at first use."""

    def __init__(self, store: Store, open_encoder: Callable[[], Encoder], clock: Callable[[], datetime]) -> None:
        self._store = store
        self._open = open_encoder
        self._clock = clock
        self._encoder: Encoder | None = None

    @property
    def identity(self) -> str:
        """What the encoder is, in 64 characters: vectors of two identities are not comparable."""
        return hashlib.sha256(self._opened().identity.encode()).hexdigest()

    def _opened(self) -> Encoder:
        if self._encoder is None:
            self._encoder = self._open()
        return self._encoder

    def __call__(self, texts: Sequence[str]) -> Any:
        """Vectors of `texts`, shape (n, width), float32. Raises what the encoder raises."""
        import numpy as np

        if not texts:
            return np.zeros((0, 0), np.float32)
        name = self.identity
        keys = [embeddings.digest(text) for text in texts]
        with self._store.read() as tx:
            found = embeddings.find(tx, keys, name)
        fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if fresh:
            vectors = np.asarray(self._opened().embed(list(fresh.values())), np.float32)
            made = {key: vector.astype("<f4").tobytes() for key, vector in zip(fresh, vectors, strict=True)}
            if np.isfinite(vectors).all():
                with self._store.write(self._clock()) as tx:
                    embeddings.keep(tx, made, name)
            found |= made
        return np.stack([np.frombuffer(found[key], "<f4") for key in keys]).astype(np.float32)
