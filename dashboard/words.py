"""How times, numbers and estimates read on a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.readings import POINTS as POINTS
from core.readings import compared as compared
from core.readings import incident as incident
from core.readings import interval as interval
from core.readings import limit as limit
from core.readings import missing as missing
from core.readings import number as number
from core.readings import title as title
from core.readings import unit as unit


def count(number: int, noun: str, plural: str = "") -> str:
    """1 alert, 3 alerts, 1,200 alerts."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def span(seconds: float) -> str:
    """A length of time in its two largest units: 45 s, 3 min, 2 h 5 min, 4 days."""
    whole = int(max(seconds, 0))
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    if days < 3:
        return f"{count(days, 'day')} {hours % 24} h" if hours % 24 else count(days, "day")
    return count(days, "day")


def short(text: str, most: int) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]} …"


def size(count: int) -> str:
    """A file's size: 812 bytes, 4.1 kB, 21 MB."""
    if count < 1000:
        return f"{count} bytes"
    scaled, unit = (count / 1e3, "kB") if count < 1e6 else (count / 1e6, "MB")
    return f"{scaled:.1f} {unit}" if scaled < 10 else f"{scaled:,.0f} {unit}"


def ago(at: datetime | None, now: datetime) -> str:
    """How long before `now` something was: 3 min ago, in 2 h, never."""
    if at is None:
        return "never"
    seconds = (now - at).total_seconds()
    if seconds < -1:
        return f"in {span(-seconds)}"
    return "just now" if seconds < 5 else f"{span(seconds)} ago"


def clock_time(at: datetime | None) -> str:
    """A time to read and to compare: 2026-11-20 09:05:03 UTC."""
    return "–" if at is None else at.strftime("%Y-%m-%d %H:%M:%S UTC")


def thinned(one_in: int) -> str:
    """That only a part of busy traffic is read: Reads one conversation in 40; empty where all of it is."""
    return f"Reads one conversation in {one_in:,}" if one_in > 1 else ""


def unfilled(details: Mapping[str, Any]) -> str:
    """Which hours are not judged yet; empty where all are."""
    parts = [f"{part} ({more:,} more needed)" for part, more in details.get("unfilled", {}).items()]
    return f"No reference yet, and not judged, UTC: {', '.join(parts)}" if parts else ""
