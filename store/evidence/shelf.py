"""Where exports that a page asked for lie: a folder of the installation, the newest few."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from core.errors import InvalidInput, NotFound
from store.evidence.period import Period

KEPT = 10
# What a process that was killed had begun is taken away after so long.
TORN = timedelta(days=1)
_NAME = re.compile(r"evidence-\d{8}-\d{8}-\d{8}T\d{6}\d{6}\.zip")


def place(home: Path, period: Period, *, now: datetime) -> Path:
    """A name for a new export in the folder of `home`; exports beyond the newest are taken away."""
    folder = home / "evidence"
    old = sorted(folder.glob("evidence-*.zip"), key=lambda path: path.name[-25:])[: -KEPT + 1]
    with suppress(OSError):  # another process may sweep at the same moment
        old += [path for path in folder.glob(".partial-*") if path.stat().st_mtime < (now - TORN).timestamp()]
    for path in old:
        with suppress(OSError):
            path.unlink()
    return folder / f"evidence-{period.since:%Y%m%d}-{period.until:%Y%m%d}-{now:%Y%m%dT%H%M%S%f}.zip"


def find(home: Path, name: str) -> Path:
    """The export of this name. Raises InvalidInput for what is no such name, NotFound where it is no longer kept."""
    if not _NAME.fullmatch(name):
        raise InvalidInput("This names no export.", "Export the evidence again.")
    path = home / "evidence" / name
    if not path.is_file():
        raise NotFound(f"The export {name} is not here.", f"The newest {KEPT} are kept: export it again.")
    return path
