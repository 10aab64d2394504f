"""Draws the window that a monitor looks at: the sample's size decides the cost, not the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from core.types import Plan, Sampled, Window
from monitors import sampling
from monitors.effects import Effects, parameter
from store import inferences as exchanges
from store import streams
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
    told = {key: judged.negative for key, judged in found.items()}
    return replace(window, rows=tuple(replace(row, negative=told.get(row.inference.id)) for row in window.rows))
