"""The five doors as protocols: what a metric, probe, detector, channel, trainer, engine or server must offer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from core.notify import Notice
from core.types import Measurement, Window


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a server is asked: OpenAI's messages and the sampling settings it understands."""

    version: str
    messages: Sequence[Mapping[str, Any]]
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop: Sequence[str] = ()
    seed: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatPiece:
    """A piece of an answer. The last one has `finish_reason` and the token counts, and `compute_ms`, the server's
    computing time for it, where the server tells it (0 elsewhere)."""

    text: str
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    compute_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What identifies who answers: a digest of greedy tokens and log-probabilities on fixed prompts.

    `tokens` and their natural-log probabilities `logprobs` are a row a prompt, none where the server tells its texts
    alone. `place` says what rounds the numbers (libraries, processor, number format), `files` is the digest of the
    files that the server read for this version; both are empty where it does not tell.
    """

    digest: str
    tokens: Sequence[Sequence[int]] = ()
    logprobs: Sequence[Sequence[float]] = ()
    place: str = ""
    files: str = ""

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Fingerprint:
        """The fingerprint in a JSON object. Raises KeyError or TypeError for what is none."""
        tokens, logprobs = (tuple(map(tuple, told.get(key) or ())) for key in ("tokens", "logprobs"))
        place, files = (str(told.get(key) or "") for key in ("place", "files"))
        return cls(str(told["digest"]), tokens, logprobs, place, files)


@dataclass(frozen=True, slots=True)
class ExpertLoad:
    """How often a mixture of experts sent the tokens of its newest answers to each expert.

    Sums over answers, one row a layer and one column an expert: `counts` of the tokens sent there, `squares` of those
    counts, and `products` with the answer's tokens. `squared_tokens` is the sum of the squares of the answers' tokens;
    each token goes to `chosen` experts a layer.
    """

    answers: int
    tokens: int
    squared_tokens: int
    chosen: int
    counts: Sequence[Sequence[int]]
    squares: Sequence[Sequence[int]]
    products: Sequence[Sequence[int]]


class Server(Protocol):
    """A model server: generate, score, load, unload, fingerprint, experts. Raises Unavailable where it cannot.

    `experts` is None where the server, or its model, has no expert load to report.
    """

    def generate(self, request: ChatRequest) -> AsyncGenerator[ChatPiece, None]: ...

    async def score(self, version: str, items: Sequence[Mapping[str, Any]]) -> Sequence[float]: ...

    async def load(self, version: str, path: str) -> None: ...

    async def unload(self, version: str) -> None: ...

    async def fingerprint(self, version: str) -> Fingerprint: ...

    async def experts(self, version: str) -> ExpertLoad | None: ...

    async def versions(self) -> Sequence[str]: ...

    async def close(self) -> None: ...


class Detector(Protocol):
    """Reads an answer and says whether it shows something; None when it cannot tell."""

    def __call__(self, prompt: str, response: str) -> bool | None: ...


@dataclass(frozen=True, slots=True)
class ProbePrompt:
    """One prompt of a suite. `family` groups a technique; `benign` marks the over-refusal twin.

    `against` names the prompt whose answer this one's must agree with. `attempt` counts the sampled askings of one
    prompt from 1; 0 is the only asking, a greedy one.
    """

    id: str
    family: str
    messages: Sequence[Mapping[str, str]]
    benign: bool
    detector: str
    against: str = ""
    attempt: int = 0


class Probe(Protocol):
    """A suite of prompts. Its docstring's first line is its name on pages."""

    def prompts(self, *, seed: int, limit: int) -> Sequence[ProbePrompt]: ...


class Metric(Protocol):
    """Turns a sampled window into measurements. Pure: no clock, no store, no network."""

    def measure(
        self, reference: Window | None, current: Window, params: Mapping[str, Any]
    ) -> Sequence[Measurement]: ...


class Channel(Protocol):
    """Sends a notice. Raises Retry when trying again can help, Rejected when it cannot."""

    async def send(self, notice: Notice, config: Mapping[str, Any], *, now: datetime) -> None: ...


class Engine(Protocol):
    """Where training runs: submit, status, log, stop with grace, list."""

    def submit(self, run: str, folder: Path, argv: Sequence[str]) -> str: ...

    def status(self, job: str) -> str: ...

    def log(self, job: str, tail: int = 50) -> str: ...

    def stop(self, job: str, grace_seconds: float) -> None: ...

    def list(self) -> Sequence[str]: ...
