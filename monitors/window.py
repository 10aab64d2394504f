"""Draws the window that a monitor looks at and measures it: the sample's size decides the cost, not the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from core.types import Measurement, Plan, Sampled, Window
from monitors import sampling
from monitors.effects import Effects, parameter
from store import feedback, streams
from store import inferences as exchanges
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


def measure(
    monitor: Mapping[Any, Any], metric: Any, effects: Effects, *, seed: int
) -> tuple[Window, list[Measurement]]:
    """Draw and measure; the window comes back beside the measurements, for their rows and their explanation."""
    deployment = str(monitor["params"].get("deployment") or effects.settings.deployment)
    with effects.store.read(effects.clock()) as tx:
        window = draw(tx, monitor["plan"], deployment=deployment, seed=seed)
    window = recent_only(window, effects, monitor["params"])
    if hasattr(metric, "questions"):
        with effects.store.read(effects.clock()) as tx:
            labels = _labels(tx, window, deployment)
        questions = metric.questions(window, labels, monitor["params"])
        seconds = parameter(monitor["params"], "timeout_seconds", 600.0)
        judged = effects.judge(questions, seed=seed, deadline_seconds=seconds * 0.9)
        return window, list(metric.conclude(judged, labels, monitor["params"]))
    if hasattr(metric, "ask"):
        prompts = metric.ask(window, monitor["params"], seed=seed)
        seconds = parameter(monitor["params"], "timeout_seconds", 600.0)
        records = effects.ask(prompts, seed=seed, deadline_seconds=seconds * 0.9) if prompts else []
        return window, list(metric.judge(records, monitor["params"]))
    return window, list(metric.measure(None, window, monitor["params"]))


def _labels(tx: Tx, window: Window, deployment: str) -> dict[int, float]:
    """What people first said of the window's answers, from 0 to 1, by key: thumbs and ratings."""
    found: dict[int, float] = {}
    for key, _, said in feedback.for_inferences(tx, window.first, window.last, deployment=deployment):
        if said.value is not None and said.kind in ("thumb", "rating"):
            found.setdefault(key, (said.value + 1) / 2 if said.kind == "thumb" else said.value)
    return found
