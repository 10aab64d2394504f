"""Files that were brought in: their rows under a source key each, and one row and one audit event a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import sqlalchemy as sa

from core.roles import Action
from core.types import Inference, PreferencePair
from store import accounts, inferences, pairs
from store.tables import imports
from store.tables import inferences as inferences_table
from store.tables import pairs as pairs_table
from store.unit_of_work import Tx


def require(tx: Tx, actor: str) -> None:
    """Raise Forbidden unless `actor` may import: a process ("system:..."), or an account with that action."""
    if actor != "system" and not actor.startswith("system:"):
        accounts.require(tx, actor, Action.IMPORT)


def add_traffic(tx: Tx, rows: Sequence[Inference], source_keys: Sequence[str], *, actor: str) -> int:
    """Write past exchanges; returns how many are new. A source key seen before is left as it is."""
    before = _known(tx, inferences_table, source_keys)
    inferences.record(tx, rows, source_keys=source_keys)
    return _known(tx, inferences_table, source_keys) - before


def add_pairs(tx: Tx, rows: Sequence[PreferencePair], source_keys: Sequence[str], *, actor: str) -> int:
    """Collect preference pairs; returns how many are new. A source key seen before is left as it is.

    Contributors are kept as the same keyed hash as those of feedback, so that a person is one and the same in both.
    """
    before, salt = _known(tx, pairs_table, source_keys), inferences.salt_of(tx)
    known = [replace(row, contributor=inferences.hash_user(salt, row.contributor)) for row in rows]
    pairs.add(tx, known, actor=actor, source_keys=list(source_keys))
    return _known(tx, pairs_table, source_keys) - before


def finish(tx: Tx, kind: str, name: str, digest: str, *, rows: int, new_rows: int, actor: str) -> str:
    """Note the file and return the note's uuid. Nothing of the rows' content goes into the audit chain."""
    uuid = str(uuid4())
    tx.insert(
        imports,
        uuid=uuid,
        at=tx.now,
        kind=kind,
        name=name[:200],
        digest=digest,
        rows=rows,
        new_rows=new_rows,
        actor=actor,
    )
    body = {"name": name[:200], "digest": digest, "rows": rows, "new_rows": new_rows}
    tx.audit(actor, f"{kind}.imported", uuid, body)
    return uuid


def listed(tx: Tx, limit: int = 100) -> list[sa.RowMapping]:
    """The files brought in, newest first."""
    return tx.all(sa.select(imports).order_by(imports.c.id.desc()).limit(limit))


def by_digest(tx: Tx, digest: str) -> list[sa.RowMapping]:
    """The imports of a file with this content."""
    return tx.all(sa.select(imports).where(imports.c.digest == digest))


def _known(tx: Tx, table: sa.Table, source_keys: Sequence[str]) -> int:
    return int(tx.scalar(sa.select(sa.func.count()).where(table.c.source_key.in_(list(source_keys)))))
