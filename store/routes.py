"""Which version each deployment serves, with what a gateway needs to load it: one cheap read for the poll."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from store.tables import routes, versions
from store.unit_of_work import Tx


@dataclass(frozen=True, slots=True)
class Route:
    """A deployment's live version, the one before it, and the generation that every change of it raises by one.

    While a promotion is on `trial` (shadow or canary), `candidate` gets `share` percent, drawn with `salt`.
    """

    deployment: str
    version: str
    kind: str
    path: str
    previous: str
    previous_kind: str
    previous_path: str
    generation: int
    trial: str = ""
    candidate: str = ""
    candidate_kind: str = ""
    candidate_path: str = ""
    share: int = 0
    salt: str = ""


_OWN = ("deployment", "version", "kind", "path", "previous")
_live, _before, _tried = versions.alias("live"), versions.alias("before"), versions.alias("tried")
_ROUTES = (
    sa.select(
        routes.c.deployment,
        routes.c.version,
        _live.c.kind,
        _live.c.path,
        routes.c.previous,
        _before.c.kind.label("previous_kind"),
        _before.c.path.label("previous_path"),
        routes.c.generation,
        routes.c.trial,
        routes.c.candidate,
        _tried.c.kind.label("candidate_kind"),
        _tried.c.path.label("candidate_path"),
        routes.c.share,
        routes.c.salt,
    )
    .join(_live, _live.c.name == routes.c.version)
    .outerjoin(_before, _before.c.name == routes.c.previous)
    .outerjoin(_tried, _tried.c.name == routes.c.candidate)
    .order_by(routes.c.deployment)
)


def listed(tx: Tx) -> list[Route]:
    """Every route as it stands now."""
    found = []
    for row in tx.all(_ROUTES):
        before = row["previous_kind"] or "", row["previous_path"] or ""
        own = [str(row[name]) for name in _OWN]
        tried = row["candidate_kind"] or "", row["candidate_path"] or ""
        found.append(
            Route(
                own[0],
                own[1],
                own[2],
                own[3],
                own[4],
                *before,
                int(row["generation"]),
                row["trial"],
                row["candidate"],
                *tried,
                int(row["share"]),
                row["salt"],
            )
        )
    return found


def locate(tx: Tx, version: str) -> tuple[str, str] | None:
    """(kind, path) of a version, or None when there is none of that name."""
    row = tx.one(sa.select(versions.c.kind, versions.c.path).where(versions.c.name == version))
    return None if row is None else (str(row["kind"]), str(row["path"]))
