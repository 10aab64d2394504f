"""What a caller asks of the decoder and what comes back, free of any web or tensor library."""

from collections.abc import Callable
from dataclasses import dataclass, field

BASE = "base"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn. Temperature 0 is greedy; `max_tokens` counts new tokens."""

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds from submission: to the first computation, to the first token, to the end.

    `compute_ms` is the answer's part of the computing time of the passes that it was in, which other work on the
    machine does not lengthen.
    """

    queue_ms: float
    first_token_ms: float
    total_ms: float
    compute_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer. The last one has a `finish` (stop, length, cancelled or error) and the timing."""

    text: str
    finish: str | None = None
    tokens: int = 0
    timing: Timing | None = None
    error: str | None = None


@dataclass(slots=True)
class Request:
    """One answer to compute. `emit` is called on the decoding thread, in order, and must not block."""

    version: str
    prompt: list[int]
    sampling: Sampling
    emit: Callable[[Piece], None]
    cancelled: bool = False
    submitted: float = 0.0
    started: float = 0.0
    first: float = 0.0
    computed: float = 0.0
    ids: list[int] = field(default_factory=list)

    def cancel(self) -> None:
        """The caller is gone: the row is freed before the next step."""
        self.cancelled = True
