"""Where a sequential monitor's units come from: opening prompts, opening answers, or judgements of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from core.thinning import EVERY, Thinning
from core.types import Inference
from monitors.metrics import SequentialMetric, Unit, read
from store import labelling, pace, streams
from store.unit_of_work import Tx


class Source(Protocol):
    """Units in key order. `version` empty: answers of any; `boundary`: the last inference before a release.

    Of units those are read whose keys `thinning` draws; a conversation is read or not by the key of what opened it.
    """

    @property
    def thinning(self) -> Thinning: ...

    def thinned(self, thinning: Thinning) -> Self: ...

    def pace(self, tx: Tx) -> float: ...

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
    thinning: Thinning = EVERY

    def thinned(self, thinning: Thinning) -> Self:
        """The same units, of which `thinning` says which are read."""
        return replace(self, thinning=thinning)

    def pace(self, tx: Tx) -> float:
        """About how many units there were in the last day, read or not."""
        return pace.openings(tx, deployment=self.deployment)

    def following(self, tx: Tx, after: int, *, version: str, boundary: int, limit: int) -> tuple[list[Unit], int, bool]:
        """The next units, the key of the last row read, and whether more rows may follow."""
        start = max(after, boundary)
        rows, last = streams.openings(
            tx, start, deployment=self.deployment, version=version, limit=limit, thinning=self.thinning
        )
        return self._units(rows), last, last > start

    def spanning(self, tx: Tx, first: int, last: int, *, version: str, wanted: int) -> list[Unit]:
        """The newest `wanted` units with keys from `first` to `last`, without those that people excluded."""
        rows = streams.openings_before(
            tx,
            last,
            deployment=self.deployment,
            wanted=wanted,
            version=version,
            first=first,
            thinning=self.thinning,
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
    thinning: Thinning = EVERY

    def thinned(self, thinning: Thinning) -> Self:
        """The same units, of which `thinning` says which are read."""
        return replace(self, thinning=thinning)

    def pace(self, tx: Tx) -> float:
        """About how many units there were in the last day, read or not."""
        return pace.judgements(tx, deployment=self.deployment)

    def following(self, tx: Tx, after: int, *, version: str, boundary: int, limit: int) -> tuple[list[Unit], int, bool]:
        """The next units, the key of the last one, and whether more may follow."""
        if self.thinning.one_in == 1:
            rows = streams.judgements(
                tx, after, deployment=self.deployment, limit=limit, version=version, from_inference=boundary + 1
            )
            return self._units(rows), rows[-1].key if rows else after, len(rows) == limit
        rows, last = streams.judgements_drawn(
            tx,
            after,
            thinning=self.thinning,
            deployment=self.deployment,
            limit=limit,
            version=version,
            from_inference=boundary + 1,
        )
        return self._units(rows), last, last > after

    def spanning(self, tx: Tx, first: int, last: int, *, version: str, wanted: int) -> list[Unit]:
        """The newest `wanted` units with keys from `first` to `last`, without those that people excluded."""
        return self._newest(tx, None, first=first, last=last, version=version, wanted=wanted)

    def before(self, tx: Tx, boundary: int, *, version: str, wanted: int) -> list[Unit]:
        """The newest `wanted` judgements of answers up to the inference `boundary`."""
        return self._newest(tx, boundary, first=0, last=None, version=version, wanted=wanted)

    def _newest(
        self, tx: Tx, boundary: int | None, *, first: int, last: int | None, version: str, wanted: int
    ) -> list[Unit]:
        units: list[Unit] = []
        rows: list[streams.Judgement] = []
        while (missing := wanted - len(units)) > 0:
            rows = streams.judgements_before(
                tx,
                boundary,
                deployment=self.deployment,
                wanted=missing,
                version=version,
                first=first,
                last=rows[0].key - 1 if rows else last,
                thinning=self.thinning,
            )
            units = without_excluded(tx, self._units(rows)) + units
            if len(rows) < missing:
                break
        return units

    def _units(self, rows: Sequence[streams.Judgement]) -> list[Unit]:
        units = []
        for row in rows:
            if (value := row.negative) is not None:
                units.append(Unit(row.key, row.inference, row.at, "", value, None, row.labels))
        return units


def source_of(metric: Any, deployment: str, seed: int) -> Source:
    """The source that `metric` names; what is thinned of it later is drawn by `seed`."""
    every = Thinning(seed=seed)
    if metric.source == "feedback":
        return Judgements(deployment, every)
    return Exchanges(deployment, metric, every)


def without_excluded(tx: Tx, units: Sequence[Unit]) -> list[Unit]:
    """The units that people left in: a reference is made of these only."""
    left_out = labelling.excluded(tx, [unit.inference for unit in units])
    return [unit for unit in units if unit.inference not in left_out]
