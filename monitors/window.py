"""Draws the window that a monitor looks at and measures it: the sample's size decides the cost, not the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from core.types import Measurement, Plan, Sampled, Window
from monitors import sampling
from monitors.effects import Effects, parameter
from monitors.sources import negative
from store import deployments, streams
from store import inferences as exchanges
from store import monitors as rows
from store.unit_of_work import Tx

SIZE = 500
SPAN = 5000


def draw(tx: Tx, plan: Mapping[str, Any], *, deployment: str, seed: int, version: str = "") -> Window:
    """The rows that `plan` draws of the newest `span` rows (of `version`), each with its inclusion probability.

    Kinds: latest (the newest `size` rows), all, uniform, recent, stratified (`label` names the label).
    """
    kind, size = str(plan.get("kind", "latest")), int(plan.get("size", SIZE))
    span = size if kind == "latest" else int(plan.get("span", SPAN))
    keys = streams.newest_keys(tx, deployment=deployment, version=version, limit=span)
    if not keys:
        return Window("current", 0, 0, Plan("all", 0, 0, seed), ())
    first, last, count = keys[-1], keys[0], len(keys)
    named: Any = kind
    if kind in ("latest", "all"):
        draws, named = [sampling.Draw(key, 1.0) for key in sorted(keys)], "all"
    elif kind == "uniform":
        draws = sampling.draw_uniform(first, last, count=count, size=size, seed=seed)
    elif kind == "recent":
        draws = sampling.draw_recent(first, last, count=count, size=size, seed=seed)
    else:
        strata = streams.keys_by_label(tx, sorted(keys), str(plan.get("label", "")))
        draws, named = sampling.draw_stratified(strata, size=size, seed=seed), "stratified"
    wanted = {draw.key: draw.probability for draw in draws}
    watched = set(keys)
    found = exchanges.by_ids(tx, [key for key in wanted if key in watched])
    rows = tuple(Sampled(row, wanted[row.id]) for row in found)
    return Window("current", first, last, Plan(named, len(rows), count, seed), rows)


def recent_only(window: Window, effects: Effects, params: Mapping[str, Any]) -> Window:
    """The window without rows older than the parameter window_seconds, where that is set."""
    seconds = parameter(params, "window_seconds", 0.0)
    if seconds <= 0:
        return window
    oldest = effects.clock() - timedelta(seconds=seconds)
    kept = tuple(row for row in window.rows if row.inference.at >= oldest and row.inference.kind == "live")
    return Window(window.role, window.first, window.last, window.plan, kept)


def with_judgements(tx: Tx, window: Window) -> Window:
    """The window with what people said of its answers."""
    found = streams.judgements_of(tx, [row.inference.id for row in window.rows])
    told = {key: negative(judged.kind, judged.value) for key, judged in found.items()}
    return replace(window, rows=tuple(replace(row, negative=told.get(row.inference.id)) for row in window.rows))


def epoch_start(tx: Tx, deployment: str, now: datetime, *, days: float) -> datetime:
    """When the present epoch began: epochs of `days` follow each other from the moment the live version went live.

    The grid does not depend on what was measured, so that statements about an epoch hold at each of its looks.
    """
    served, length = deployments.current(tx, deployment), timedelta(days=days)
    if served is None:
        return rows.slot(now, length.total_seconds())
    began: datetime = served["changed_at"]
    return began + (max(now - began, timedelta(0)) // length) * length


def measure(
    monitor: Mapping[Any, Any], metric: Any, effects: Effects, *, seed: int
) -> tuple[Window, list[Measurement]]:
    """Draw and measure; the window comes back beside the measurements, for their rows and their explanation."""
    deployment = str(monitor["params"].get("deployment") or effects.settings.deployment)
    with effects.store.read(effects.clock()) as tx:
        window = draw(tx, monitor["plan"], deployment=deployment, seed=seed)
        if getattr(metric, "judged", False):
            window = with_judgements(tx, window)
    window = recent_only(window, effects, monitor["params"])
    if hasattr(metric, "ask"):
        prompts = metric.ask(window, monitor["params"], seed=seed)
        seconds = parameter(monitor["params"], "timeout_seconds", 600.0)
        records = effects.ask(prompts, seed=seed, deadline_seconds=seconds * 0.9) if prompts else []
        carried = {"earlier": _carried(monitor, metric, effects, deployment)} if hasattr(metric, "carried") else {}
        return window, list(metric.judge(records, monitor["params"], **carried))
    if hasattr(metric, "examine"):
        return window, list(metric.examine(effects.score, monitor["params"]))
    return window, list(metric.measure(None, window, monitor["params"]))


def _carried(
    monitor: Mapping[Any, Any], metric: Any, effects: Effects, deployment: str
) -> list[tuple[str, Mapping[str, Any]]]:
    now = effects.clock()
    with effects.store.read(now) as tx:
        since = epoch_start(tx, deployment, now, days=effects.settings.monitors.epoch_days)
        return rows.details_since(tx, monitor["id"], metric.carried, since)
