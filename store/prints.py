"""The fingerprints of versions, one a place: how each answers the fixed prompts there, and whether that is still so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from core.errors import InvalidInput, NotFound
from core.ports import Fingerprint
from core.prints import alike
from core.roles import Action
from store import accounts
from store.tables import prints, versions
from store.unit_of_work import Tx

# Its own, as was seen in that place before; its first at all; the first in this place; or somebody else's.
Judged = Literal["own", "first", "moved", "other"]


def judge(tx: Tx, name: str, found: Fingerprint) -> Judged:
    """Whether `found` is how the version `name` answers (decisions/0029). Raises NotFound.

    In a place where a print of it was taken only that very one is its own. In another place rounding changes the
    digits: there its first print counts where the server has read the version's files, told by their digest, and the
    print is like those of other places as far as they keep what was answered.
    """
    return _judge(found, row := _row(tx, name), _kept(tx, row))


def accept(tx: Tx, name: str, found: Fingerprint, *, actor: str) -> bool:
    """Whether `found` is how the version `name` answers; a first print, at all or in a place, is kept from here on."""
    row = _row(tx, name)
    judged = _judge(found, row, _kept(tx, row))
    if judged in ("own", "other"):
        return judged == "own"
    # One print a place: of two workers the slower one is held to what the faster one kept.
    values = {"tokens": _lists(found.tokens), "logprobs": _lists(found.logprobs), "at": tx.now}
    if not tx.insert_once(prints, version_id=row["id"], place=found.place, digest=found.digest, **values):
        return judge(tx, name, found) == "own"
    first = versions.c.id == row["id"], versions.c.fingerprint == ""
    tx.execute(sa.update(versions).where(*first).values(fingerprint=found.digest))
    body = {"fingerprint": found.digest, "place": found.place, "before": row["fingerprint"]}
    tx.audit(actor, "version.fingerprinted", name, body)
    return True


def knows(tx: Tx, version_id: int, digest: str) -> bool:
    """Whether a print of the version with the integer key `version_id` has this digest, in whichever place."""
    first = tx.scalar(sa.select(versions.c.fingerprint).where(versions.c.id == version_id))
    kept = sa.select(prints.c.id).where(prints.c.version_id == version_id, prints.c.digest == digest)
    return bool(digest) and (first == digest or tx.scalar(kept) is not None)


def renew(tx: Tx, name: str, *, actor: str, reason: str) -> None:
    """`forget`, asked for by a person in the console. Raises Forbidden for one who is no approver."""
    accounts.require(tx, actor, Action.RENEW_FINGERPRINT)
    forget(tx, name, actor=actor, reason=reason)


def forget(tx: Tx, name: str, *, actor: str, reason: str) -> None:
    """Have the version `name` fingerprinted anew at the next look, as when its server was exchanged on purpose.

    What was known stays in the audit chain. Raises InvalidInput without a reason, NotFound.
    """
    if not reason.strip():
        raise InvalidInput("A fingerprint is taken anew only for a reason.", "Say what was exchanged, and why.")
    row = _row(tx, name)
    places = [kept["place"] for kept in listed(tx, row["id"])]
    tx.execute(sa.delete(prints).where(prints.c.version_id == row["id"]))
    tx.execute(sa.update(versions).where(versions.c.id == row["id"]).values(fingerprint=""))
    body = {"fingerprint": row["fingerprint"], "places": places, "reason": reason.strip()}
    tx.audit(actor, "version.fingerprint_forgotten", name, body)


def listed(tx: Tx, version_id: int) -> list[sa.RowMapping]:
    """The prints of the version with the integer key `version_id`, oldest first."""
    return tx.all(sa.select(prints).where(prints.c.version_id == version_id).order_by(prints.c.id))


def _judge(found: Fingerprint, row: sa.RowMapping, kept: Mapping[str, Fingerprint]) -> Judged:
    if not kept:
        return "first"
    if found.place in kept:
        return "own" if kept[found.place].digest == found.digest else "other"
    if any(one.digest == found.digest for one in kept.values()):
        return "moved"
    read = bool(found.place) and found.files == row["digest"]
    return "moved" if read and all(alike(one, found) for one in kept.values() if one.tokens) else "other"


def _row(tx: Tx, name: str) -> sa.RowMapping:
    row = tx.one(sa.select(versions).where(versions.c.name == name))
    if row is None:
        raise NotFound(f"There is no version {name}.", "See the Models page for those there are.")
    return row


def _kept(tx: Tx, row: sa.RowMapping) -> dict[str, Fingerprint]:
    """By place. Of versions registered before places were kept the first digest alone is known, in none."""
    kept = {one["place"]: Fingerprint(one["digest"], one["tokens"], one["logprobs"]) for one in listed(tx, row["id"])}
    return kept or ({"": Fingerprint(row["fingerprint"])} if row["fingerprint"] else {})


def _lists(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(row) for row in rows]
