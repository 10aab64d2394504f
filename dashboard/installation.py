"""The installation that this process shows: its settings, its store and its clock, opened once and shared by pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from core.settings import Settings
from store.unit_of_work import Store

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Installation:
    """What every page needs: where the rows are, what is configured, and the time."""

    settings: Settings
    store: Store
    clock: Clock

    @property
    def cookie(self) -> str:
        """The name of the sign-in cookie: cookies ignore ports, so two consoles on one host need two names."""
        return f"trimtab_{self.settings.dashboard.port}"


class _Shelf:
    installation: Installation | None = None


def open_installation(settings: Settings, clock: Clock) -> Installation:
    """Open the store and make this the installation that pages show."""
    opened = Installation(settings, Store.open(settings.store_url), clock)
    _Shelf.installation = opened
    return opened


def current() -> Installation:
    """The installation of this process. Raises RuntimeError before it was opened."""
    if _Shelf.installation is None:
        raise RuntimeError("start the console with: python -m dashboard")
    return _Shelf.installation


def close_installation() -> None:
    """Release the store."""
    if _Shelf.installation is not None:
        _Shelf.installation.store.close()
        _Shelf.installation = None
