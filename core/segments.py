"""Segments: people whose requests carry one label (plan=pro), answered by a version of their own where one is released.

A segment with a version of its own is a deployment beside the base, named assistant@plan=pro: whatever is true of a
deployment (states, generation, trial, rollback, proof) is true of it. No request can name it; labels lead to it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from core.errors import InvalidInput

MARK = "@"
LONGEST = 120  # of a deployment's name in the store


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """Those whose requests carry `label` with exactly this `value`; written label=value."""

    label: str
    value: str

    def __str__(self) -> str:
        return f"{self.label}={self.value}"


def parse(text: str) -> Segment:
    """The segment written as label=value. Raises InvalidInput."""
    label, equals, value = text.partition("=")
    if not label or not equals or not value:
        raise InvalidInput(f"{text[:80]} is no segment.", "Write a label and its value, like plan=pro.")
    return Segment(label, value)


def deployment_of(base: str, segment: Segment) -> str:
    """The name of the segment's own deployment beside `base`. Raises InvalidInput for one that cannot be kept."""
    name = f"{base}{MARK}{segment}"
    if "=" in segment.label or not segment.label or not segment.value or len(name) > LONGEST:
        room = LONGEST - len(base) - len(MARK)
        raise InvalidInput(
            f"{str(segment)[:80]} cannot be a segment.",
            f"Use a label without an equals sign, with its value at most {room} characters.",
        )
    return name


def split(deployment: str) -> tuple[str, Segment | None]:
    """The base of a deployment, and the segment that it is for (None: for everybody)."""
    base, mark, rest = deployment.partition(MARK)
    label, _, value = rest.partition("=")
    return (base, Segment(label, value)) if mark else (base, None)


def resolve(base: str, labels: Mapping[str, str], served: Container[str]) -> str:
    """Which of the deployments `served` answers a request for `base` that carries `labels`: one, and always the same.

    Of the segments of `base` that the labels match, the first in the order of labels; `base` where there is none.
    """
    for label in sorted(labels):
        if "=" not in label and (name := f"{base}{MARK}{label}={labels[label]}") in served:
            return name
    return base
