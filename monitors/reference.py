"""An operator's decision that a monitor compares with another window from now on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from core.errors import Conflict, InvalidInput
from monitors.epochs import Plan, Release
from monitors.sources import Source
from store import streams
from store.unit_of_work import Tx

# A sequential test keeps its reference in memory and in its state.
MOST = 5000


@dataclass(frozen=True, slots=True)
class Asked:
    """The window that was asked for: the last `units`, or with `since` those from then on.

    `epoch` is the number of the one that was shown, 0 for whichever runs; `confirmed` says that the asker was told of
    the alert that this ends.
    """

    actor: str
    reason: str
    units: int = 0
    since: datetime | None = None
    epoch: int = 0
    confirmed: bool = False

    @classmethod
    def read(cls, args: Mapping[str, Any], actor: str) -> Self:
        """What a command's arguments ask for. Raises InvalidInput where they are no window or give no reason."""
        reason, units, since = str(args.get("reason", "")).strip(), args.get("units"), args.get("since")
        if not reason:
            raise InvalidInput("Another reference needs a reason.", "Say in a sentence why the old one no longer fits.")
        confirmed, epoch = args.get("confirmed") is True, args.get("epoch", 0)
        if not isinstance(epoch, int):
            raise InvalidInput("That is no epoch.", "Give the number that the page shows.")
        if isinstance(since, str) and since:
            try:
                at = datetime.fromisoformat(since)
            except ValueError:
                raise InvalidInput(f"{since} is no date.", "Give one like 2026-11-20.") from None
            return cls(
                actor, reason, since=at if at.tzinfo else at.replace(tzinfo=UTC), epoch=epoch, confirmed=confirmed
            )
        if not isinstance(units, int) or not 1 <= units <= MOST:
            raise InvalidInput("That is no window.", f"Give 1 to {MOST:,} rows, or a date.")
        return cls(actor, reason, units, epoch=epoch, confirmed=confirmed)


def plan(
    tx: Tx,
    source: Source,
    metric: Any,
    epoch: Mapping[Any, Any] | None,
    asked: Asked,
    *,
    release: Release | None,
    alert: Mapping[Any, Any] | None,
) -> Plan:
    """The epoch that compares with the asked window and reads on where `epoch` stopped.

    Only rows that the monitor has read count, so that none is both reference and evidence. Where answers are compared,
    they are those of the version that serves. Raises Conflict while there is no epoch, and for an unconfirmed end of a
    firing alert; InvalidInput where the window holds fewer rows than were asked for, or than the metric needs.
    """
    if epoch is None:
        raise Conflict("The monitor is still collecting its first reference.", "Wait until it has begun.")
    if asked.epoch not in (0, epoch["number"]):
        raise Conflict("Another epoch has begun since.", "Reload, look at its reference, then decide again.")
    if alert is not None and alert["state"] == "firing" and not asked.confirmed:
        raise Conflict(
            "An alert of this monitor fires.", "Reload, read what another reference does to it, then confirm."
        )
    details = epoch["details"]
    version, boundary = details.get("version", ""), int(details.get("boundary", 0))
    if metric.per_release and release is not None and release.generation != details.get("generation", 0):
        version = release.version
        boundary = streams.last_key(tx, deployment=release.deployment, before=release.changed_at)
    units = source.spanning(tx, 1, epoch["seen_id"], version=version, wanted=asked.units or MOST)
    if asked.since is not None:
        units = [unit for unit in units if unit.at >= asked.since]
    wanted = max(metric.minimum, asked.units)
    if len(units) < wanted:
        raise InvalidInput(
            f"The window holds {len(units)} rows that the monitor has read; {wanted} are needed.",
            "Choose another window, or wait for more traffic.",
        )
    why = f"{asked.actor} took {len(units)} rows as the reference: {asked.reason}"
    return Plan(units, epoch["seen_id"], why, version, version, boundary, source.thinning)
