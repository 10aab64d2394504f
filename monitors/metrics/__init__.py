"""The metrics: one a file, registered under the file's name. The first docstring line is what operators read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

from core.ports import ExpertLoad, ProbePrompt
from core.registry import Registry
from core.types import Inference, Measurement, Window
from monitors.judge.questions import Question
from monitors.judge.verdicts import Judged
from monitors.ranking import Ranked

Guarantee = Literal["budget", "interval", "none"]


@dataclass(frozen=True, slots=True)
class Unit:
    """One conversation as a sequential test sees it: its first prompt, or one number of its first answer.

    `key` is the position in the stream read (an inference's or a feedback's key), `inference` the row to show. Units of
    one `stratum` are compared with each other only.
    """

    key: int
    inference: int
    at: datetime
    text: str = ""
    value: float | None = None
    vector: Any = None
    labels: Mapping[str, str] = field(default_factory=dict)
    stratum: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What a tracker says after a batch of units: whether it alarms for the first time, and whether it still fires."""

    alarm: bool
    firing: bool
    alarmed_unit: int | None = None


class Tracker(Protocol):
    """The running state of a sequential test: one epoch with its own share of the false-alarm budget.

    `seen` and `remaining` count units that are judged; `sizes` those of each stratum, the reference's included. A unit
    of a declared stratum that has too few (monitors.rhythm.runs) fills its reference instead.
    """

    @property
    def seen(self) -> int: ...

    @property
    def remaining(self) -> int: ...

    @property
    def sizes(self) -> Mapping[str, int]: ...

    def update(self, units: Sequence[Unit]) -> Step: ...

    def measure(self) -> Sequence[Measurement]: ...

    def why(self) -> Mapping[str, Any]: ...

    def to_bytes(self) -> bytes: ...


class SequentialMetric(Protocol):
    """A metric watched by a sequentially valid test. `source` says what its units are made of.

    `per_release`: a release begins a new epoch, with the answers before it as reference. `embedded`: its units carry
    embeddings. `minimum`: units a reference needs.
    """

    guarantee: Guarantee
    source: Literal["prompts", "answers", "feedback"]
    per_release: bool
    embedded: bool
    minimum: int

    def value(self, inference: Inference) -> float | None: ...

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> Tracker: ...

    def restore(self, state: bytes, params: Mapping[str, Any]) -> Tracker: ...


class WindowMetric(Protocol):
    """A metric of the newest window, held to a plain limit that carries no guarantee.

    One with a true attribute `judged` is given what people said of the answers (Sampled.negative).
    """

    guarantee: Guarantee

    def measure(
        self, reference: Window | None, current: Window, params: Mapping[str, Any]
    ) -> Sequence[Measurement]: ...


class TrainingMetric(Protocol):
    """A metric of the newest window against what preference training had, held to a plain limit.

    `trained` are embeddings (n, d) of the distinct prompts of approved pairs, `current` those of the window's prompts,
    one row each in order.
    """

    guarantee: Guarantee

    def compare(
        self, trained: Any, current: Any, window: Window, params: Mapping[str, Any]
    ) -> Sequence[Measurement]: ...


class RankingMetric(Protocol):
    """A metric of how the live version ranks people's choices; `missing` says why there are none, where that is so.

    `newest` and `first` are choices since its release, none in both, in order; `earlier` the details of the version's
    last look, whose `margins` (by key) need no scoring again.
    """

    guarantee: Guarantee

    def rank(
        self, newest: Sequence[Ranked], missing: str, *, first: Sequence[Ranked], earlier: Mapping[str, Any]
    ) -> Sequence[Measurement]: ...


class ProbingMetric(Protocol):
    """A metric that asks the live version: prompts out, scored records back, measurements from those.

    One with an attribute `carried`, the name of one of its measurements, is also given as `earlier` the (segment,
    details) of those that the epoch's looks before left (passes.run).
    """

    guarantee: Guarantee

    def ask(self, current: Window, params: Mapping[str, Any], *, seed: int) -> Sequence[ProbePrompt]: ...

    def judge(self, records: Sequence[Any], params: Mapping[str, Any]) -> Sequence[Measurement]: ...


class ExaminingMetric(Protocol):
    """A metric that asks the live version how likely it finds given answers. `score` raises Unavailable."""

    guarantee: Guarantee

    def examine(
        self, score: Callable[[Sequence[Mapping[str, Any]]], Sequence[float]], params: Mapping[str, Any]
    ) -> Sequence[Measurement]: ...


class RoutedMetric(Protocol):
    """A metric of where a mixture of experts sends its tokens; `load` is None where the server reports none."""

    guarantee: Guarantee

    def weigh(self, load: ExpertLoad | None, params: Mapping[str, Any]) -> Sequence[Measurement]: ...


class JudgedMetric(Protocol):
    """A metric that a judge model tells: questions about captured answers out, verdicts back, measurements from those.

    `labels` are what people said of answers, from 0 to 1, by the inference's key.
    """

    guarantee: Guarantee

    def questions(
        self, current: Window, labels: Mapping[int, float], params: Mapping[str, Any]
    ) -> Sequence[Question]: ...

    def conclude(
        self, judged: Judged, labels: Mapping[int, float], params: Mapping[str, Any]
    ) -> Sequence[Measurement]: ...


metrics: Registry[Any] = Registry("metric", "monitors.metrics")


def read(metric: SequentialMetric, inference: Inference) -> str:
    """The text that a unit of `metric` carries: the answer where answers are embedded, the prompt everywhere else."""
    return inference.response if metric.embedded and metric.source == "answers" else inference.prompt


Made = TypeVar("Made")


def metric(kind: type[Made]) -> type[Made]:
    """Class decorator: register one instance under its file's name."""
    metrics.register(kind())
    return kind
