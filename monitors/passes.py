"""One pass of a metric that asks the live version: what it remembers, the asking, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from core.types import Measurement, Window
from monitors.detectors.measured import Confusion
from monitors.effects import Effects, parameter
from monitors.probes import outcomes
from monitors.probes.outcomes import Memory
from monitors.probes.runner import Record
from store import deployments, labels
from store import monitors as rows
from store.unit_of_work import Tx


def run(
    monitor: Mapping[Any, Any], metric: Any, effects: Effects, window: Window, *, deployment: str, seed: int
) -> tuple[list[Measurement], str]:
    """Ask the live version and judge its answers; returns the measurements and the version that they are about."""
    params = monitor["params"]
    with effects.store.read(effects.clock()) as tx:
        route = deployments.current(tx, deployment)
        version = str(route["version"]) if route is not None else ""
        known = {"memory": recall(tx, monitor, version)} if getattr(metric, "remembers", False) else {}
    prompts = metric.ask(window, params, seed=seed, **known)
    began = effects.clock()
    seconds = parameter(params, "timeout_seconds", 600.0)
    records = effects.ask(prompts, seed=seed, deadline_seconds=seconds * 0.9) if prompts else []
    took = (effects.clock() - began).total_seconds()
    carried = {"earlier": _earlier(monitor, metric, effects, deployment)} if hasattr(metric, "carried") else {}
    first, *rest = metric.judge([_of(version, record) for record in records], params, **known, **carried)
    pace = {"seconds": round(took, 1), "answered": sum(not record.error for record in records)}
    return [replace(first, details={**first.details, **pace}), *rest], version


def epoch_start(tx: Tx, deployment: str, now: datetime, *, days: float) -> datetime:
    """When the present epoch began: epochs of `days` follow each other from the moment the live version went live.

    The grid does not depend on what was measured, so that statements about an epoch hold at each of its looks.
    """
    served, length = deployments.current(tx, deployment), timedelta(days=days)
    if served is None:
        return rows.slot(now, length.total_seconds())
    began: datetime = served["changed_at"]
    return began + (max(now - began, timedelta(0)) // length) * length


def _earlier(
    monitor: Mapping[Any, Any], metric: Any, effects: Effects, deployment: str
) -> list[tuple[str, Mapping[str, Any]]]:
    now = effects.clock()
    with effects.store.read(now) as tx:
        since = epoch_start(tx, deployment, now, days=effects.settings.monitors.epoch_days)
        return rows.details_since(tx, monitor["id"], metric.carried, since)


def recall(tx: Tx, monitor: Mapping[Any, Any], version: str) -> Memory:
    """What the monitor's earlier passes found about `version`, and what people said about its detectors."""
    last = rows.last_of(tx, monitor["id"], monitor["metric"], version=version)
    details = last["details"] if last is not None else {}
    found = outcomes.from_json(details)
    counts = labels.counts(tx, "refusal")
    return Memory(
        found,
        int(details.get("tries", 1)),
        [str(id) for id in details.get("order", [])],
        labels.overruled(tx, [outcome.inference for outcome in found if outcome.inference]),
        Confusion(counts.found, counts.positives, counts.passed, counts.negatives, "labels of this installation"),
    )


def _of(version: str, record: Record) -> Record:
    """The record, unscored where a release came during the pass and another version answered."""
    if not version or not record.version or record.version == version:
        return record
    return replace(record, shown=None, error="another version answered")
