"""Draws the window that a monitor looks at and measures it: the sample's size decides the cost, not the traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from core.errors import Unavailable
from core.types import Measurement, Plan, Sampled, Window
from monitors import passes, ranking, sampling
from monitors.effects import Effects, parameter
from store import deployments, feedback, pairs, streams
from store import inferences as exchanges
from store.unit_of_work import Tx

SIZE = 500
SPAN = 5000
TRAINED = 2000
PAIRS_A_PROMPT = 4
CHOICES = 100


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


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found and in which window. `version` is the one version that it is about, where there is one."""

    window: Window
    measured: list[Measurement]
    version: str = ""


def measure(monitor: Mapping[Any, Any], metric: Any, effects: Effects, *, seed: int) -> Look:
    """Draw and measure; the window comes back beside the measurements, for their rows and their explanation."""
    deployment = str(monitor["params"].get("deployment") or effects.settings.deployment)
    with effects.store.read(effects.clock()) as tx:
        window = draw(tx, monitor["plan"], deployment=deployment, seed=seed)
        if getattr(metric, "judged", False):
            window = with_judgements(tx, window)
    window = recent_only(window, effects, monitor["params"])
    if hasattr(metric, "questions"):
        with effects.store.read(effects.clock()) as tx:
            labels = _labels(tx, window, deployment)
        questions = metric.questions(window, labels, monitor["params"])
        seconds = parameter(monitor["params"], "timeout_seconds", 600.0)
        judged = effects.judge(questions, seed=seed, deadline_seconds=seconds * 0.9)
        return Look(window, list(metric.conclude(judged, labels, monitor["params"])))
    if hasattr(metric, "ask"):
        measured, version = passes.run(monitor, metric, effects, window, deployment=deployment, seed=seed)
        return Look(window, measured, version)
    if hasattr(metric, "examine"):
        return _examined(monitor, metric, effects, window, deployment)
    if hasattr(metric, "rank"):
        ranked, missing = _ranked(deployment, effects, monitor["params"])
        return Look(window, list(metric.rank(ranked, missing, monitor["params"])))
    if hasattr(metric, "compare"):
        limit = int(parameter(monitor["params"], "prompts", TRAINED))
        with effects.store.read(effects.clock()) as tx:
            trained = trained_prompts(tx, limit)
        current = effects.embed([row.inference.prompt for row in window.rows])
        return Look(window, list(metric.compare(effects.embed(trained), current, window, monitor["params"])))
    return Look(window, list(metric.measure(None, window, monitor["params"])))


def _examined(monitor: Mapping[Any, Any], metric: Any, effects: Effects, window: Window, deployment: str) -> Look:
    with effects.store.read(effects.clock()) as tx:
        route = deployments.current(tx, deployment)
    version = str(route["version"]) if route is not None else ""
    seconds = parameter(monitor["params"], "timeout_seconds", 600.0)

    def score(items: Sequence[Mapping[str, Any]]) -> Sequence[float]:
        if not version:
            raise Unavailable("Nothing is deployed yet.", "Start the gateway.")
        return effects.score(items, version=version, deadline_seconds=seconds * 0.9)

    return Look(window, list(metric.examine(score, monitor["params"])), version)


def _ranked(deployment: str, effects: Effects, params: Mapping[str, Any]) -> tuple[list[ranking.Ranked], str]:
    """The ranked choices, and why there are none where that is so. A server that cannot score is such a reason."""
    with effects.store.read(effects.clock()) as tx:
        held = ranking.held_choices(tx, deployment, int(parameter(params, "choices", CHOICES)))
    seconds = parameter(params, "timeout_seconds", 600.0)
    try:
        return ranking.rank(held, effects.score, deadline_seconds=seconds * 0.9), held.missing
    except Unavailable as error:
        return [], error.message


def trained_prompts(tx: Tx, limit: int) -> list[str]:
    """The last user messages of the newest approved pairs, each text once, at most `limit`."""
    found = [str(pair.prompt[-1].get("content", "")) for pair in pairs.approved(tx, limit * PAIRS_A_PROMPT)]
    return list(dict.fromkeys(text for text in reversed(found) if text.strip()))[:limit]


def _labels(tx: Tx, window: Window, deployment: str) -> dict[int, float]:
    """What people first said of the window's answers, from 0 to 1, by key: thumbs and ratings."""
    found: dict[int, float] = {}
    for key, _, said in feedback.for_inferences(tx, window.first, window.last, deployment=deployment):
        if said.value is not None and said.kind in ("thumb", "rating"):
            found.setdefault(key, (said.value + 1) / 2 if said.kind == "thumb" else said.value)
    return found
