"""One look of a monitor of windows: draw, measure as the metric's kind asks for, and say in which window it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import Unavailable
from core.types import Measurement, Window
from monitors import passes, ranking
from monitors.effects import Effects, parameter
from monitors.ranking import CHOICES
from monitors.window import draw, recent_only, with_judgements
from store import deployments, feedback, pairs
from store import monitors as rows
from store.unit_of_work import Tx

TRAINED = 2000
PAIRS_A_PROMPT = 4
TIMEOUT_SECONDS = 600.0
# Of a run's time, what asking may take; the rest is for judging and writing.
ASKING = 0.9


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found and in which window. `version` is the one version that it is about, where there is one."""

    window: Window
    measured: list[Measurement]
    version: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a kind of metric is given to measure with."""

    monitor: Mapping[Any, Any]
    metric: Any
    effects: Effects
    window: Window
    deployment: str
    seed: int

    @property
    def params(self) -> Mapping[str, Any]:
        """The monitor's parameters."""
        params: Mapping[str, Any] = self.monitor["params"]
        return params

    @property
    def seconds(self) -> float:
        """How long asking may take."""
        return parameter(self.params, "timeout_seconds", TIMEOUT_SECONDS) * ASKING


def measure(monitor: Mapping[Any, Any], metric: Any, effects: Effects, *, seed: int) -> Look:
    """Draw and measure; the window comes back beside the measurements, for their rows and their explanation."""
    deployment = str(monitor["params"].get("deployment") or effects.settings.deployment)
    with effects.store.read(effects.clock()) as tx:
        window = draw(tx, monitor["plan"], deployment=deployment, seed=seed)
        if getattr(metric, "judged", False):
            window = with_judgements(tx, window)
    window = recent_only(window, effects, monitor["params"])
    kind = next(kind for method, kind in KINDS.items() if hasattr(metric, method))
    measured, version = kind(Asked(monitor, metric, effects, window, deployment, seed))
    return Look(window, list(measured), version)


Found = tuple[Sequence[Measurement], str]


def _windowed(asked: Asked) -> Found:
    return asked.metric.measure(None, asked.window, asked.params), ""


def _probed(asked: Asked) -> Found:
    return passes.run(
        asked.monitor, asked.metric, asked.effects, asked.window, deployment=asked.deployment, seed=asked.seed
    )


def _told_by_a_judge(asked: Asked) -> Found:
    with asked.effects.store.read(asked.effects.clock()) as tx:
        labels = _labels(tx, asked.window, asked.deployment)
    questions = asked.metric.questions(asked.window, labels, asked.params)
    judged = asked.effects.judge(questions, seed=asked.seed, deadline_seconds=asked.seconds)
    return asked.metric.conclude(judged, labels, asked.params), ""


def _routed(asked: Asked) -> Found:
    version = _live(asked)
    load = asked.effects.experts(version=version, deadline_seconds=asked.seconds) if version else None
    return asked.metric.weigh(load, asked.params), version


def _examined(asked: Asked) -> Found:
    version = _live(asked)

    def score(items: Sequence[Mapping[str, Any]]) -> Sequence[float]:
        if not version:
            raise Unavailable("Nothing is deployed yet.", "Start the gateway.")
        return asked.effects.score(items, version=version, deadline_seconds=asked.seconds)

    return asked.metric.examine(score, asked.params), version


def _live(asked: Asked) -> str:
    """The version that serves; empty before anything does."""
    with asked.effects.store.read(asked.effects.clock()) as tx:
        route = deployments.current(tx, asked.deployment)
    return str(route["version"]) if route is not None else ""


def _ranked(asked: Asked) -> Found:
    """How people's choices rank, or why there are none. A server that cannot score is such a reason."""
    size = int(parameter(asked.params, "choices", CHOICES))
    with asked.effects.store.read(asked.effects.clock()) as tx:
        held = ranking.held_choices(tx, asked.deployment, size)
        last = rows.last_of(tx, asked.monitor["id"], asked.monitor["metric"], version=held.live) if held.live else None
    earlier = last["details"] if last is not None else {}
    known = {int(key): float(margin) for key, margin in earlier.get("margins", {}).items()}
    try:
        first, newest = ranking.rank(held, asked.effects.score, known, deadline_seconds=asked.seconds)
        missing = held.missing
    except Unavailable as error:
        first, newest, missing = [], [], error.message
    return asked.metric.rank(newest, missing, first=first, earlier=earlier), held.live


def _compared_with_training(asked: Asked) -> Found:
    limit = int(parameter(asked.params, "prompts", TRAINED))
    with asked.effects.store.read(asked.effects.clock()) as tx:
        trained = trained_prompts(tx, limit)
    current = asked.effects.embed([row.inference.prompt for row in asked.window.rows])
    return asked.metric.compare(asked.effects.embed(trained), current, asked.window, asked.params), ""


# What each kind of metric is known by (monitors.metrics) and how it is measured.
KINDS: Mapping[str, Callable[[Asked], Found]] = {
    "questions": _told_by_a_judge,
    "ask": _probed,
    "examine": _examined,
    "rank": _ranked,
    "weigh": _routed,
    "compare": _compared_with_training,
    "measure": _windowed,
}


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
