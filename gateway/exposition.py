"""Counters and timings in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
Sample = tuple[Mapping[str, str], float]


@dataclass(slots=True)
class Histogram:
    """Seconds in cumulative buckets."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.total += seconds
        for index, edge in enumerate(BUCKETS):
            if seconds <= edge:
                self.counts[index] += 1
                return
        self.counts[-1] += 1


@dataclass(slots=True)
class Meters:
    """What the gateway counts itself."""

    requests: dict[tuple[str, int], int] = field(default_factory=dict)
    answer: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)

    def count(self, route: str, status: int) -> None:
        """Count a finished request."""
        self.requests[route, status] = self.requests.get((route, status), 0) + 1


def write(families: Iterable[tuple[str, str, str, Iterable[Sample]]], histograms: Mapping[str, Histogram]) -> str:
    """The exposition of `families` (name, type, help, samples) and `histograms` by name."""
    lines = []
    for name, kind, about, samples in families:
        lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{_labels(labels)} {value:g}" for labels, value in samples]
    for name, histogram in histograms.items():
        lines.append(f"# TYPE {name} histogram")
        running = 0
        for edge, count in zip((*map(str, BUCKETS), "+Inf"), histogram.counts, strict=True):
            running += count
            lines.append(f'{name}_bucket{{le="{edge}"}} {running}')
        lines += [f"{name}_sum {histogram.total:.6f}", f"{name}_count {running}"]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
