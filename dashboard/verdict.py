"""The sentence that answers the overview's question: healthy, look, act, or not known. Silence is never healthy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dashboard.words import count, span
from store.queries.overview import Frame, Tile

Level = Literal["good", "attention", "bad", "unknown"]
SILENT_SECONDS = 60.0
PARTS = {"gateway": "gateway", "monitors": "monitor scheduler", "retrain": "retraining worker"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A level and its sentence."""

    level: Level
    sentence: str


def newest(frame: Frame) -> dict[str, Mapping[str, Any]]:
    """The process of each role that gave a sign last."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in frame.processes:
        if row["role"] not in found or row["age"] < found[row["role"]]["age"]:
            found[row["role"]] = row
    return found


def trouble(frame: Frame) -> dict[str, str]:
    """What the newest process of a role says that it cannot do now, by role; silent ones say nothing."""
    alive = {role: row.get("info", {}) for role, row in newest(frame).items() if row["age"] <= SILENT_SECONDS}
    return {role: str(info["trouble"]) for role, info in alive.items() if info.get("trouble")}


def silent(frame: Frame) -> list[str]:
    """Parts of Trimtab whose newest pulse is over a minute old or that never had one, in words."""
    ages = {role: float(row["age"]) for role, row in newest(frame).items()}
    words = []
    for role, name in PARTS.items():
        if role not in ages:
            words.append(f"the {name} is not running")
        elif ages[role] > SILENT_SECONDS:
            words.append(f"the {name} has been silent for {span(ages[role])}")
    return words


def blocked(frame: Frame) -> bool:
    """Whether not even the console, which draws this, can show a pulse: nothing can be written into the database."""
    own = newest(frame).get("dashboard")
    return own is not None and own["age"] > SILENT_SECONDS


def status(tile: Tile) -> str:
    """The state of a monitor for people: paused, firing while an alert of its rule does, none before any measurement,
    or that of its last look."""
    if not tile.monitor["enabled"]:
        return "paused"
    if tile.firing:
        return "firing"
    return str(tile.latest["status"]) if tile.latest is not None else "none"


def running(tiles: Sequence[Tile]) -> list[Tile]:
    """The monitors that are not paused, those that need somebody first."""
    order = ("firing", "breach", "error", "ok", "nodata", "none")
    return sorted((tile for tile in tiles if status(tile) != "paused"), key=lambda tile: order.index(status(tile)))


def judge(frame: Frame, tiles: Sequence[Tile]) -> Verdict:
    """The overview's verdict, worst first."""
    states = [status(tile) for tile in tiles]
    if frame.firing:
        return Verdict("bad", f"{count(frame.firing, 'alert')} firing. Look at what moved and decide.")
    if blocked(frame):
        return Verdict(
            "unknown",
            "Trimtab cannot tell: nothing can be written into its database, so that no part of it shows a pulse. "
            "Look at the space on the database's disk, and whether something that stands still holds it.",
        )
    quiet = silent(frame)
    if quiet:
        listed = quiet[0] if len(quiet) == 1 else f"{', '.join(quiet[:-1])} and {quiet[-1]}"
        return Verdict("unknown", f"Trimtab cannot tell: {listed}.")
    if frame.route is None:
        return Verdict("unknown", "No model is deployed yet.")
    for role, told in trouble(frame).items():
        return Verdict("attention", f"Nothing is firing, but the {PARTS.get(role, role)} reports: {told}")
    if frame.last_sample_at is None:
        return Verdict("unknown", "No traffic has been captured yet.")
    if "error" in states:
        failed = count(states.count("error"), "monitor")
        return Verdict("attention", f"Nothing is firing, but {failed} failed at the last look.")
    if "breach" in states:
        return Verdict("attention", "Something is past its limit but has not lasted long enough to fire.")
    decided = states.count("ok")
    if not decided:
        return Verdict("unknown", "Nothing is firing, but no monitor has enough data to say that all is well.")
    rest = len([state for state in states if state in ("nodata", "none")])
    if rest:
        more = f"{rest} of {decided + rest} have not enough data yet."
        return Verdict("good", f"Nothing has moved as far as {count(decided, 'monitor')} can tell; {more}")
    return Verdict("good", f"Healthy: {count(decided, 'monitor')} looked and nothing has moved.")
