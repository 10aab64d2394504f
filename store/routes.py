"""Which version each deployment serves, with what a gateway needs to load it: one cheap read for the poll."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from store.tables import routes, versions
from store.unit_of_work import Tx


@dataclass(frozen=True, slots=True)
class Route:
    """A deployment's live version, the one before it, and the generation that every change raises by one."""

    deployment: str
    version: str
    kind: str
    path: str
    previous: str
    previous_kind: str
    previous_path: str
    generation: int


_OWN = ("deployment", "version", "kind", "path", "previous")
_live, _before = versions.alias("live"), versions.alias("before")
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
    )
    .join(_live, _live.c.name == routes.c.version)
    .outerjoin(_before, _before.c.name == routes.c.previous)
    .order_by(routes.c.deployment)
)


def listed(tx: Tx) -> list[Route]:
    """Every route as it stands now."""
    found = []
    for row in tx.all(_ROUTES):
        before = row["previous_kind"] or "", row["previous_path"] or ""
        own = [str(row[name]) for name in _OWN]
        found.append(Route(own[0], own[1], own[2], own[3], own[4], *before, int(row["generation"])))
    return found


def locate(tx: Tx, version: str) -> tuple[str, str] | None:
    """(kind, path) of a version, or None when there is none of that name."""
    row = tx.one(sa.select(versions.c.kind, versions.c.path).where(versions.c.name == version))
    return None if row is None else (str(row["kind"]), str(row["path"]))
