"""What a monitor alarms at, as people change it: a plain limit, or its weight in the false-alarm budget."""

from __future__ import annotations

import math
from datetime import timedelta

import sqlalchemy as sa

from core.errors import Conflict, InvalidInput
from core.rules import Threshold, thresholds, with_limit
from store import monitors as rows
from store.tables import alerts
from store.unit_of_work import Tx

LONGEST_HOLD = timedelta(days=7)
HEAVIEST = 1000.0


def set_limit(
    tx: Tx,
    name: str,
    about: str,
    new: Threshold,
    *,
    revision: int,
    actor: str,
    confirmed: bool = False,
    reason: str = "",
) -> None:
    """Hold the metric `about` of a monitor to `new` from its next look on.

    Raises Conflict for a revision that was changed since, and while the monitor's rule alert fires and the change was
    not `confirmed`; InvalidInput for a limit that is no number, a hold over LONGEST_HOLD, a confirmed change without a
    reason, or a metric that has no plain limit.
    """
    monitor = rows.get(tx, name)
    if about not in thresholds(monitor["rule"], monitor["metric"]):
        raise InvalidInput(f"{name} holds {about} to no plain limit.", "Choose one of the limits that its page shows.")
    if not math.isfinite(new.limit):
        raise InvalidInput("A limit must be a number.", "Give one in the unit that the page shows.")
    if not timedelta(0) <= new.hold <= LONGEST_HOLD:
        raise InvalidInput("A breach cannot be held for that long.", "Give between 0 seconds and 7 days.")
    if firing(tx, name):
        if not confirmed:
            raise Conflict(f"An alert of {name} fires.", "Reload, read what the change does to it, then confirm.")
        if not reason.strip():
            raise InvalidInput("Changing the limit of a firing monitor needs a reason.", "Say in a sentence why.")
    rule = with_limit(monitor["rule"], monitor["metric"], about, new)
    rows.edit(tx, name, revision=revision, actor=actor, rule=rule, reason=reason.strip())


def set_weight(tx: Tx, name: str, weight: float, *, revision: int, actor: str) -> None:
    """Give a statistical monitor another weight: epochs to come share what is left of the budget by it.

    Raises InvalidInput for a monitor without a weight (a plain limit spends nothing) and outside (0, HEAVIEST].
    """
    monitor = rows.get(tx, name)
    if monitor["weight"] <= 0:
        raise InvalidInput(f"{name} has no share of the false-alarm budget.", "Its limit carries no guarantee.")
    if not 0 < weight <= HEAVIEST:
        raise InvalidInput("A weight must be above 0.", f"Give at most {HEAVIEST:g}, or pause the monitor.")
    rows.edit(tx, name, revision=revision, actor=actor, weight=float(weight))


def firing(tx: Tx, name: str) -> bool:
    """Whether an alert of the monitor's rule fires."""
    query = sa.select(alerts.c.id).where(alerts.c.monitor == name, alerts.c.kind == "rule", alerts.c.state == "firing")
    return tx.scalar(query.limit(1)) is not None
