"""The false-alarm ledger of the running period, kept as one row: every new epoch is granted its alpha from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from core.settings import MonitorSettings
from core.thinning import Thinning
from monitors.metrics import metrics
from monitors.statistics.budget import Budget
from store import monitors as rows
from store import options
from store.queries.budget import LEDGER
from store.unit_of_work import Tx

# Rows that were imported with hardly a second between them tell no pace.
SHORTEST = timedelta(minutes=10)


def grant(
    tx: Tx,
    monitor: Mapping[Any, Any],
    epoch: str,
    settings: MonitorSettings,
    *,
    before: Mapping[Any, Any] | None = None,
    one_in: int = 1,
) -> float:
    """The alpha of `monitor`'s epoch called `epoch`; the same when asked again.

    A new period opens a new ledger; when monitors came, went or were re-weighted, or the budget changed, what is
    unspent is divided anew. Where the epoch `before` read its whole horizon, as many more as its pace leaves room for
    in the period share what is left, so that busy traffic does not use it up in a few hours; an epoch that reads one
    unit in `one_in` lasts as many times longer as it reads less often than that one.
    """
    total = rows.budget(tx, settings.budget)
    statistical = {
        row["name"]: row
        for row in rows.listed(tx)
        if (row["enabled"] or row["id"] == monitor["id"])
        and float(row["weight"]) > 0
        and metrics.get(row["metric"]).guarantee == "budget"
    }
    weights = {name: float(row["weight"]) for name, row in statistical.items()}
    kept = options.get(tx, LEDGER)
    started = datetime.fromisoformat(kept["started_at"]) if kept else tx.now
    period = timedelta(days=settings.period_days)
    if kept is None or tx.now - started >= period:
        started = tx.now
        budget = Budget.open(total, weights, _expected(statistical, settings, settings.period_days))
    else:
        budget = Budget.from_dict(kept["budget"])
        if kept["weights"] != weights or budget.total != total:
            left = max((period - (tx.now - started)).total_seconds() / 86_400, 1)
            budget = Budget(total, {}, budget.grants).divide(weights, _expected(statistical, settings, left))
    if epoch not in budget.grants.get(monitor["name"], {}):
        budget = _paced(budget, monitor["name"], before, started + period - tx.now, one_in)
    budget, alpha = budget.grant(monitor["name"], epoch)
    value = {
        "started_at": started.isoformat(),
        "ends_at": (started + period).isoformat(),
        "weights": weights,
        "spent": budget.spent,
        "budget": budget.to_dict(),
    }
    options.put(tx, LEDGER, value, actor=rows.ACTOR)
    return alpha


def _paced(budget: Budget, monitor: str, before: Mapping[Any, Any] | None, left: timedelta, one_in: int) -> Budget:
    """The budget, replanned where the rows of `before`, by their own times, took less time than was expected, or where
    less often reading makes fewer epochs than were planned for at the pace before.
    """
    if before is None or before["seen_rows"] < before["horizon"]:
        return budget
    first, last = before["details"].get("first_at"), before["details"].get("last_at")
    if not first or not last:
        return budget
    slower = one_in / Thinning.of(before["details"]).one_in
    lasted = max(datetime.fromisoformat(last) - datetime.fromisoformat(first), SHORTEST) * slower
    wanted, share = ceil(left / lasted), budget.shares[monitor]
    return budget.expect(monitor, wanted) if slower > 1 or wanted > share.expected - share.granted else budget


def _expected(statistical: Mapping[str, Any], settings: MonitorSettings, days: float) -> dict[str, int]:
    """Epochs to come: by age alone, and as many again where a release begins one."""
    by_age = max(1, ceil(days / max(settings.epoch_days, 1)))
    return {name: by_age * (2 if metrics.get(row["metric"]).per_release else 1) for name, row in statistical.items()}
