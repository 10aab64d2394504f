"""Exports the evidence of a period for a page: the file lies in the installation's folder, its digest in the chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.errors import InvalidInput
from monitors.effects import Effects
from store.evidence import bundle, shelf
from store.evidence.period import Period


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked: the period, and by whom."""

    period: Period
    actor: str

    @classmethod
    def read(cls, args: Mapping[str, Any], actor: str) -> Asked:
        """From a command's arguments, both times in ISO 8601. Raises InvalidInput."""
        try:
            since, until = (datetime.fromisoformat(str(args[name])) for name in ("since", "until"))
        except (KeyError, ValueError):
            raise InvalidInput("The period cannot be read.", "Give its first and last day.") from None
        return cls(Period(since, until), actor)


def run(asked: Asked, effects: Effects, report: Callable[[float], None]) -> dict[str, Any]:
    """Write the export; returns its file's name, size and digest, and how many controls have records."""
    now = effects.clock()
    made = bundle.export(
        effects.store,
        shelf.place(effects.settings.home, asked.period, now=now),
        asked.period,
        deployment=effects.settings.deployment,
        actor=asked.actor,
        now=now,
        report=report,
    )
    return {
        "file": made.path.name,
        "bytes": made.bytes,
        "digest": made.digest,
        "records": made.records,
        "events": made.events,
        "controls": {name: dict(counted) for name, counted in made.controls.items()},
    }
