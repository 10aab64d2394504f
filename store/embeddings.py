"""Embeddings cached by the content that was embedded and the encoder that did it: computed once, shared by all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from store.tables import embeddings
from store.unit_of_work import Tx

_BATCH = 500


def digest(text: str) -> str:
    """The key of a text: the SHA-256 of its UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def find(tx: Tx, digests: Sequence[str], encoder: str) -> dict[str, bytes]:
    """The cached vectors (little-endian float32) of those `digests` that `encoder` has embedded."""
    found: dict[str, bytes] = {}
    wanted = list(dict.fromkeys(digests))
    for start in range(0, len(wanted), _BATCH):
        query = sa.select(embeddings.c.digest, embeddings.c.vector).where(
            embeddings.c.encoder == encoder, embeddings.c.digest.in_(wanted[start : start + _BATCH])
        )
        found.update((row["digest"], bytes(row["vector"])) for row in tx.all(query))
    return found


def keep(tx: Tx, vectors: Mapping[str, bytes], encoder: str) -> None:
    """Cache vectors by digest; those already there stay as they are."""
    for key, vector in vectors.items():
        tx.insert_once(embeddings, digest=key, encoder=encoder, vector=vector)
