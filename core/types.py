"""The nouns of the domain as frozen dataclasses. Times are aware UTC; a UUID outside, an integer key inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Verdict = Literal["pass", "fail", "undecided"]
Status = Literal["ok", "breach", "nodata", "error"]
TrafficKind = Literal["live", "probe", "shadow", "import"]
FeedbackKind = Literal["thumb", "rating", "choice", "correction"]


def micros(at: datetime) -> int:
    """Microseconds since 1970 of an aware time. Raises ValueError for a naive one."""
    if at.tzinfo is None:
        raise ValueError("a time needs its zone")
    delta = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number from a sample. `value` None means not enough data; `needed` then says how many more rows would do.

    `low` and `high` are the ends of the interval named in `method` (95 % unless it says otherwise).
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    needed: int = 0

    @classmethod
    def missing(cls, n: int, method: str, needed: int = 0) -> Estimate:
        """An estimate that says there is not enough data."""
        return cls(None, None, None, n, method, needed)


@dataclass(frozen=True, slots=True)
class Inference:
    """One exchange: what was asked, what was answered, by which version, how fast. Texts are hostile input.

    `compute_ms` is the answer's part of the server's computing time; None where a server does not tell it.
    """

    uuid: str
    at: datetime
    deployment: str
    version: str
    kind: TrafficKind
    messages: Sequence[Mapping[str, Any]]
    prompt: str
    response: str
    status: int = 200
    error: str = ""
    finish_reason: str = ""
    streamed: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_ms: float | None = None
    first_token_ms: float | None = None
    compute_ms: float | None = None
    conversation: str = ""
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person said of an answer. thumb: value -1 or 1; rating: 0 to 1; others: chosen and rejected."""

    uuid: str
    at: datetime
    kind: FeedbackKind
    inference: str = ""
    value: float | None = None
    chosen: str = ""
    rejected: str = ""
    comment: str = ""
    contributor: str = ""
    source: str = "api"
    id: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a window was sampled: `size` of `population` rows by `kind`, reproducible from `seed`."""

    kind: Literal["all", "uniform", "stratified", "recent"]
    size: int
    population: int
    seed: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """A drawn row and the probability with which the plan included it.

    `negative` is what people said of the answer: 1 for a negative first judgement, 0 for another, None where nobody
    judged or the metric did not ask.
    """

    inference: Inference
    probability: float
    negative: float | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A set of rows to measure: integer keys from `first` to `last`, both included, and the sample drawn of them."""

    role: Literal["reference", "current"]
    first: int
    last: int
    plan: Plan
    rows: Sequence[Sampled]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a monitor found at one look: an estimate for each metric name, its status, and the details a page shows."""

    metric: str
    estimate: Estimate
    status: Status
    segment: str = ""
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """A preference with its provenance. `prompt` is a list of chat messages ending with the user's.

    `contributor` is a keyed hash of who preferred, `session` the conversation it came from, `version` who answered.
    """

    uuid: str
    prompt: Sequence[Mapping[str, str]]
    chosen: str
    rejected: str
    contributor: str = ""
    at: datetime | None = None
    source: str = ""
    licence: str = ""
    version: str = ""
    weight: float = 1.0
    id: int = 0
    consent: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """An immutable, content-addressed model: the base itself, a LoRA adapter on it, or a model trained from it.

    `path` is empty for the installation's own base; a trained model is a base too, one with a folder.
    """

    name: str
    digest: str
    kind: Literal["base", "adapter", "remote"]
    base: str
    path: str
    created_at: datetime
    parent: str = ""
    run: str = ""
    fingerprint: str = ""
    card: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it is a model with weights of its own, trained from the installation's base."""
        return self.kind == "base" and bool(self.path)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a gate: a difference or a fact, the limit it is held to, and what follows.

    One that is not `required` had no data, which blocks nothing; it is listed so that nobody takes it for passed.
    """

    name: str
    verdict: Verdict
    reason: str
    estimate: Estimate | None = None
    limit: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    required: bool = True


@dataclass(frozen=True, slots=True)
class GateReport:
    """Every check of a candidate against the champion, and the verdict they make together."""

    candidate: str
    champion: str
    verdict: Verdict
    checks: Sequence[Check]
    at: datetime
