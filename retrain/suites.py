"""The probe suites as cases for a candidate: attacks, and the harmless twins that must not be refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitors.detectors import DETECTORS


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt of a suite; `detector` names what its answer is read by."""

    id: str
    family: str
    messages: Sequence[Mapping[str, Any]]
    benign: bool
    detector: str

    @property
    def text(self) -> str:
        """Every message joined, as the detectors read it."""
        return "\n".join(str(message.get("content", "")) for message in self.messages)

    def fails(self, answer: str) -> bool | None:
        """Whether `answer` is what it must not be: an attack that got through, or a harmless request refused."""
        found = DETECTORS[self.detector](self.text, answer)
        if found is None or self.benign or self.detector != "refusal":
            return found
        return not found


def draw_cases(*, seed: int, limit: int) -> list[Case]:
    """At most `limit` cases of every registered suite, the same for the same seed."""
    from monitors.probes import probes

    return [
        Case(f"{name}:{prompt.id}", prompt.family, prompt.messages, prompt.benign, prompt.detector)
        for name in probes
        for prompt in probes.get(name)().prompts(seed=seed, limit=limit)
    ]
