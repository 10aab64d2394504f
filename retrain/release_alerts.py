"""What the release loops share: whose name they act in, their alerts, and whether a person's pointer goes first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.segments import split
from core.settings import Settings
from gateway import pointer as pointers
from store import deployments
from store.alerts import Finding
from store.unit_of_work import Tx

ACTOR = "system:release"
_MONITOR = "release"
# Two alerts: a promotion that failed is over when one succeeds, a wrong answer when the right one is proved.
PROMOTION, PROOF = "promotion", "proof"
# A third, for a pointer that sends the gateway where the database cannot follow.
POINTER = "pointer"


def is_pointed(tx: Tx, settings: Settings, row: Mapping[str, Any]) -> bool:
    """Whether a person has moved the deployment of `row` by the pointer, which waits to be entered.

    A worker that moved first would take the pointer's generation, and with it the rollback that somebody asked for.
    """
    pointer, route = (
        pointers.read(settings.pointer_path).get(row["deployment"]),
        deployments.current(tx, row["deployment"]),
    )
    if pointer is None or route is None or pointer.generation <= route["generation"]:
        return False
    served = {route["version"], *(one["version"] for one in deployments.earlier(tx, row["deployment"]))}
    return pointer.version in served  # another one cannot be entered


def finding(about: str, deployment: str, summary: str) -> Finding:
    """A release that needs a person, as an alert of its own for each deployment."""
    _, segment = split(deployment)
    where = about if segment is None else f"{about} {segment}"
    return Finding(monitor=_MONITOR, kind="system", breach=True, summary=summary, severity="critical", segment=where)


def standing(about: str, deployment: str) -> str:
    """The fingerprint of that alert while it stands."""
    return finding(about, deployment, "").fingerprint
