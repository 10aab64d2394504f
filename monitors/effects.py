"""What a monitor's run may touch beside its arguments: store, clock, encoder, gateway, child processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from core.errors import Unavailable
from core.ports import ProbePrompt
from core.settings import Settings
from store.unit_of_work import Store


class Embed(Protocol):
    """Turns texts into vectors, one float32 row a text. Vectors of two identities are not comparable."""

    @property
    def identity(self) -> str: ...

    def __call__(self, texts: Sequence[str]) -> Any: ...


class Ask(Protocol):
    """Sends prompts to the live version as probe traffic and returns a record a prompt."""

    def __call__(self, prompts: Sequence[ProbePrompt], *, seed: int, deadline_seconds: float) -> Sequence[Any]: ...


class Score(Protocol):
    """The log-probability of each item {messages, completion} under the live version. Raises Unavailable."""

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> Sequence[float]: ...


class Report(Protocol):
    """Writes the evidence page of a shifted window and returns the file's name, or an empty text."""

    def __call__(self, alert: str, reference: Sequence[str], current: Sequence[str]) -> str: ...


def _cannot_score(items: Sequence[Mapping[str, Any]]) -> Sequence[float]:
    raise Unavailable("Nobody here can score given answers.", "Start the gateway.")


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything a run needs from outside. Tests fake the parts that cost time; the store is always real."""

    store: Store
    settings: Settings
    clock: Callable[[], datetime]
    embed: Embed
    ask: Ask
    report: Report
    process: str = "monitors"
    score: Score = _cannot_score


def parameter(params: Mapping[str, Any], name: str, default: float) -> float:
    """A number from a monitor's parameters, or the default where it is absent."""
    value = params.get(name, default)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float(default)
