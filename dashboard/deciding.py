"""Who may decide what waits: the proposals that an account may answer, and how much waits for it."""

from __future__ import annotations

from typing import Any

from core.roles import Action
from dashboard.console import Console
from store.queries.overview import Frame

NEEDS = {"retrain": Action.APPROVE, "promote": Action.PROMOTE, "rollback": Action.ROLL_BACK}


def may_answer(row: Any, console: Console) -> bool:
    """Whether who looks at the proposal may approve it."""
    return console.may(NEEDS[row["kind"]]) and not is_own(row, console)


def is_own(row: Any, console: Console) -> bool:
    """Whether who looks at the proposal made it, and may therefore not approve it."""
    alone = console.installation.settings.retrain.allow_self_approval and "override" not in row["body"]
    return row["proposer"] == console.name and not alone


def waiting(frame: Frame, console: Console) -> int:
    """How much waits for who looks: proposals that this account may answer, and alerts that it may take."""
    untaken = frame.untaken if console.may(Action.ACKNOWLEDGE) else 0
    return untaken + sum(may_answer(row, console) for row in frame.proposed)
