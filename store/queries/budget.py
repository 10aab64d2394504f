"""The false-alarm budget of the running period: what was given out, and which share of the rest each monitor has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from store import monitors as rows
from store import options
from store.unit_of_work import Tx

LEDGER = "monitors.ledger"


@dataclass(frozen=True, slots=True)
class Part:
    """A statistical monitor's part: its weight, its share of what is left (0 to 1), and what its epochs were given."""

    monitor: str
    enabled: bool
    weight: float
    share: float
    left: float
    spent: float
    epochs: int


@dataclass(frozen=True, slots=True)
class Period:
    """The running period; `ends_at` None: no epoch has begun yet. `spent` and `total` count expected false alarms."""

    total: float
    spent: float
    ends_at: datetime | None
    parts: Sequence[Part]

    @property
    def left(self) -> float:
        """What epochs to come may still be given."""
        return max(0.0, self.total - self.spent)


def period(tx: Tx, allowed: float, *, weights: Mapping[str, float] | None = None) -> Period:
    """The period as the next epoch will find it. `weights` are tried in place of those that are kept.

    Paused monitors have no share of what is left: it is divided anew among the others, and again when they resume.
    """
    kept: dict[str, Any] = options.get(tx, LEDGER) or {}
    ends_at = datetime.fromisoformat(kept["ends_at"]) if kept else None
    running = ends_at is not None and tx.now < ends_at
    grants: Mapping[str, Mapping[str, float]] = kept["budget"]["grants"] if running else {}
    total = rows.budget(tx, allowed)
    spent = sum(sum(given.values()) for given in grants.values())
    left = max(0.0, total - spent)
    statistical = [row for row in rows.listed(tx) if row["weight"] > 0]
    tried = {row["name"]: float((weights or {}).get(row["name"], row["weight"])) for row in statistical}
    whole = sum(tried[row["name"]] for row in statistical if row["enabled"])
    parts = []
    for row in statistical:
        given = grants.get(row["name"], {})
        share = tried[row["name"]] / whole if row["enabled"] else 0.0
        parts.append(
            Part(
                row["name"],
                row["enabled"],
                tried[row["name"]],
                share,
                left * share,
                sum(given.values()),
                len(given),
            )
        )
    return Period(total, spent, ends_at if running else None, parts)
