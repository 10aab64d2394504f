"""What a monitor's run may touch beside its arguments: store, clock, encoder, gateway, child processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from core.errors import Unavailable
from core.ports import ProbePrompt
from core.settings import Settings
from monitors.experts import Experts, no_experts
from monitors.judge.questions import Question
from monitors.judge.verdicts import Judged
from monitors.ranking import Score, no_scores
from store.unit_of_work import Store


class Embed(Protocol):
    """Turns texts into vectors, one float32 row a text. Vectors of two identities are not comparable."""

    @property
    def identity(self) -> str: ...

    def __call__(self, texts: Sequence[str]) -> Any: ...


class Ask(Protocol):
    """Sends prompts to the live version as probe traffic and returns a record a prompt."""

    def __call__(self, prompts: Sequence[ProbePrompt], *, seed: int, deadline_seconds: float) -> Sequence[Any]: ...


class Judge(Protocol):
    """Has a judge model answer questions in both orders; raises Unavailable when none is set."""

    def __call__(self, questions: Sequence[Question], *, seed: int, deadline_seconds: float) -> Judged: ...


class Report(Protocol):
    """Writes the evidence page of a shifted window and returns the file's name, or an empty text."""

    def __call__(self, alert: str, reference: Sequence[str], current: Sequence[str]) -> str: ...


def no_judge(questions: Sequence[Question], *, seed: int, deadline_seconds: float) -> Judged:
    """Stands where no judge is: raises Unavailable."""
    raise Unavailable("No judge is set.", "Set judge.url and judge.model.")


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything a run needs from outside. Tests fake the parts that cost time; the store is always real.

    `left` holds by monitor what its newest run works in: it may have been given up and go on.
    """

    store: Store
    settings: Settings
    clock: Callable[[], datetime]
    embed: Embed
    ask: Ask
    report: Report
    process: str = "monitors"
    score: Score = no_scores
    judge: Judge = no_judge
    experts: Experts = no_experts
    left: dict[str, Future[Any]] = field(default_factory=dict)


def parameter(params: Mapping[str, Any], name: str, default: float) -> float:
    """A number from a monitor's parameters, or the default where it is absent."""
    value = params.get(name, default)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float(default)
