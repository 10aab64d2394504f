"""What the Fairness page shows: the last look of each monitor that compares people, and the answers behind a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from store.queries.monitors import latest_look
from store.tables import monitors
from store.unit_of_work import Tx


@dataclass(frozen=True, slots=True)
class Look:
    """A monitor and everything that it measured at its last look; no rows where it has not looked."""

    monitor: sa.RowMapping
    rows: list[sa.RowMapping]

    @property
    def whole(self) -> sa.RowMapping | None:
        """The measurement of the monitor's own metric."""
        return next((row for row in self.rows if row["metric"] == self.monitor["metric"] and not row["segment"]), None)

    @property
    def apart(self) -> list[sa.RowMapping]:
        """The measurements by segment, as the monitor ordered them."""
        return [row for row in self.rows if row["segment"]]

    @property
    def limit(self) -> float | None:
        """The monitor's plain limit."""
        value: Any = self.monitor["rule"].get("limit")
        return float(value) if isinstance(value, int | float) else None


def looks(tx: Tx, metrics: tuple[str, ...]) -> dict[str, Look]:
    """The last look of the first monitor of each metric, by metric."""
    found: dict[str, Look] = {}
    for row in tx.all(sa.select(monitors).where(monitors.c.metric.in_(metrics)).order_by(monitors.c.id)):
        if row["metric"] not in found:
            found[row["metric"]] = Look(row, latest_look(tx, row["id"]))
    return found
