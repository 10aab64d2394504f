"""The probe suites as cases for a candidate: attacks, and the harmless twins that must not be refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt of a suite; `detector` names what its answer must not show."""

    id: str
    family: str
    messages: Sequence[Mapping[str, Any]]
    benign: bool
    detector: str

    @property
    def text(self) -> str:
        """Every message joined, as the detectors read it."""
        return "\n".join(str(message.get("content", "")) for message in self.messages)


def draw_cases(*, seed: int, limit: int) -> list[Case]:
    """At most `limit` cases of every registered suite, the same for the same seed."""
    from monitors.probes import probes

    return [
        Case(f"{name}:{prompt.id}", prompt.family, prompt.messages, prompt.benign, prompt.detector)
        for name in probes
        for prompt in probes.get(name)().prompts(seed=seed, limit=limit)
    ]
