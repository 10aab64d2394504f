"""The state machines, once: each is a table of allowed moves that the store enforces and property tests walk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from core.errors import IllegalMove


@dataclass(frozen=True, slots=True)
class Machine:
    """A named table of moves. `start` are the states a row may be born in; `moves` maps a state to its successors."""

    name: str
    start: tuple[str, ...]
    moves: Mapping[str, tuple[str, ...]]

    @property
    def states(self) -> tuple[str, ...]:
        """Every state, in the table's order."""
        return tuple(self.moves)

    @property
    def final(self) -> tuple[str, ...]:
        """The states that nothing leaves."""
        return tuple(state for state, successors in self.moves.items() if not successors)

    def allows(self, old: str, new: str) -> bool:
        """Whether `old` may become `new`."""
        return new in self.moves.get(old, ())

    def require(self, old: str, new: str) -> None:
        """Raise IllegalMove unless `old` may become `new`."""
        if not self.allows(old, new):
            raise IllegalMove(f"A {self.name} that is {old} cannot become {new}.", "Reload to see its present state.")

    def sources(self, new: str) -> tuple[str, ...]:
        """The states from which `new` can be reached in one move."""
        return tuple(state for state, successors in self.moves.items() if new in successors)

    def mermaid(self) -> str:
        """The table as a Mermaid state diagram, for the docs."""
        lines = ["stateDiagram-v2", *(f"    [*] --> {state}" for state in self.start)]
        lines += [f"    {old} --> {new}" for old, successors in self.moves.items() for new in successors]
        lines += [f"    {state} --> [*]" for state in self.final]
        return "\n".join(lines)


def _machine(name: str, start: tuple[str, ...], moves: dict[str, tuple[str, ...]]) -> Machine:
    return Machine(name, start, MappingProxyType(moves))


# An alert row is one episode: inactive is the absence of a row. Missing data, errors and time-outs move nothing here.
ALERT = _machine(
    "alert",
    ("pending", "firing"),
    {"pending": ("firing", "inactive"), "firing": ("resolved",), "resolved": (), "inactive": ()},
)
DECISION = _machine(
    "decision",
    ("proposed",),
    {
        "proposed": ("approved", "rejected", "expired", "superseded"),
        "approved": ("executed", "expired", "superseded"),
        "executed": (),
        "rejected": (),
        "expired": (),
        "superseded": (),
    },
)
RUN = _machine(
    "run",
    ("queued",),
    {
        "queued": ("running", "cancelled"),
        "running": ("succeeded", "failed", "cancelled", "crashed"),
        "crashed": ("queued", "failed"),
        "cancelled": ("queued",),
        "succeeded": (),
        "failed": ("queued",),
    },
)
RUN_STAGES = ("pairs", "train", "evaluate", "gate")
DEPLOYMENT = _machine(
    "deployment",
    ("requested",),
    {
        "requested": ("shadow", "canary", "live", "reverted"),
        "shadow": ("canary", "live", "reverted"),
        "canary": ("live", "reverted"),
        "live": ("superseded", "reverted"),
        "superseded": (),
        "reverted": (),
    },
)
COMMAND = _machine(
    "command",
    ("asked",),
    {
        "asked": ("claimed", "expired"),
        "claimed": ("done", "failed", "asked"),
        "done": (),
        "failed": (),
        "expired": (),
    },
)
TICK = _machine("tick", ("claimed",), {"claimed": ("done", "failed", "missed"), "done": (), "failed": (), "missed": ()})
NOTICE = _machine("notice", ("pending",), {"pending": ("sent", "dropped"), "sent": (), "dropped": ()})
PAIR = _machine(
    "preference pair",
    ("collected",),
    {
        "collected": ("approved", "quarantined"),
        "quarantined": ("approved", "rejected"),
        "approved": ("quarantined", "rejected"),
        "rejected": ("approved",),
    },
)
MACHINES = (ALERT, DECISION, RUN, DEPLOYMENT, COMMAND, TICK, NOTICE, PAIR)
