"""Where a sequential monitor's units come from: opening prompts, opening answers, or judgements of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.types import Inference
from monitors.metrics import SequentialMetric, Unit, read
from store import labelling, streams
from store.unit_of_work import Tx


class Source(Protocol):
    """Units in key order. `version` empty: answers of any; `boundary`: the last inference before a release."""

    def following(
        self, tx: Tx, after: int, *, version: str, boundary: int, limit: int
    ) -> tuple[list[Unit], int, bool]: ...

    def spanning(self, tx: Tx, first: int, last: int, *, version: str, wanted: int) -> list[Unit]: ...

    def before(self, tx: Tx, boundary: int, *, version: str, wanted: int) -> list[Unit]: ...


@dataclass(frozen=True, slots=True)
class Exchanges:
    """Opening exchanges of conversations; the metric turns one into its number, where None leaves it out."""

    deployment: str
    metric: SequentialMetric

    def following(self, tx: Tx, after: int, *, version: str, boundary: int, limit: int) -> tuple[list[Unit], int, bool]:
        """The next units, the key of the last row read, and whether more rows may follow."""
        rows, last = streams.openings(
            tx, max(after, boundary), deployment=self.deployment, version=version, limit=limit
        )
        return self._units(rows), last, last > max(after, boundary)

    def spanning(self, tx: Tx, first: int, last: int, *, version: str, wanted: int) -> list[Unit]:
        """The newest `wanted` units with keys from `first` to `last`, without those that people excluded."""
        rows = streams.openings_before(
            tx, last, deployment=self.deployment, wanted=wanted, version=version, first=first
        )
        return without_excluded(tx, self._units(rows))

    def before(self, tx: Tx, boundary: int, *, version: str, wanted: int) -> list[Unit]:
        """The newest `wanted` units up to the inference `boundary`."""
        return self.spanning(tx, 1, boundary, version=version, wanted=wanted)

    def _units(self, rows: Sequence[Inference]) -> list[Unit]:
        units = []
        for row in rows:
            value = self.metric.value(row)
            if value is not None:
                units.append(Unit(row.id, row.id, row.at, read(self.metric, row), value, None, row.labels))
        return units


@dataclass(frozen=True, slots=True)
class Judgements:
    """First judgements of answers, as 1 for negative and 0 for not."""

    deployment: str

    def following(self, tx: Tx, after: int, *, version: str, boundary: int, limit: int) -> tuple[list[Unit], int, bool]:
        """The next units, the key of the last one, and whether more may follow."""
        rows = streams.judgements(
            tx, after, deployment=self.deployment, limit=limit, version=version, from_inference=boundary + 1
        )
        return self._units(rows), rows[-1].key if rows else after, len(rows) == limit

    def spanning(self, tx: Tx, first: int, last: int, *, version: str, wanted: int) -> list[Unit]:
        """The newest `wanted` units with keys from `first` to `last`, without those that people excluded."""
        rows = streams.judgements(
            tx, first - 1, deployment=self.deployment, limit=1_000_000, version=version, until=last
        )
        return without_excluded(tx, self._units(rows))[-wanted:]

    def before(self, tx: Tx, boundary: int, *, version: str, wanted: int) -> list[Unit]:
        """The newest `wanted` judgements of answers up to the inference `boundary`."""
        rows = streams.judgements_before(tx, boundary, deployment=self.deployment, wanted=wanted, version=version)
        return without_excluded(tx, self._units(rows))

    def _units(self, rows: Sequence[streams.Judgement]) -> list[Unit]:
        units = []
        for row in rows:
            if (value := row.negative) is not None:
                units.append(Unit(row.key, row.inference, row.at, "", value, None, row.labels))
        return units


def source_of(metric: Any, deployment: str) -> Source:
    """The source that `metric` names."""
    return Judgements(deployment) if metric.source == "feedback" else Exchanges(deployment, metric)


def without_excluded(tx: Tx, units: Sequence[Unit]) -> list[Unit]:
    """The units that people left in: a reference is made of these only."""
    left_out = labelling.excluded(tx, [unit.inference for unit in units])
    return [unit for unit in units if unit.inference not in left_out]
