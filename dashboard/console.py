"""What a page is given: who looks at it, the time, reads that survive a store that is away, and ways to other pages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import streamlit as st

from core import roles
from core.errors import Forbidden, Unavailable
from core.roles import Action
from dashboard import installation as installations
from dashboard.installation import Installation
from store import accounts
from store.queries.overview import Frame
from store.unit_of_work import Tx

Model = TypeVar("Model")
TRUSTED_FOR = timedelta(minutes=10)
KEPT_READS = 64
REFRESH_SECONDS = 10


class SignedOut(Forbidden):
    """The session has ended since the page was opened."""


@dataclass(frozen=True, slots=True)
class Console:
    """A visit: the installation, the account that looks, and when."""

    installation: Installation
    account: Mapping[str, Any]
    now: datetime
    pages: Mapping[str, Any]
    token: str
    away: list[Unavailable] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The account's name."""
        return str(self.account["name"])

    @property
    def deployment(self) -> str:
        """The deployment that the pages are about."""
        return self.installation.settings.deployment

    def may(self, action: Action) -> bool:
        """Whether to offer `action`. What counts is the store's own check at the write."""
        return roles.allows(self.account["role"], action)

    def load(self, name: str, query: Callable[[Tx], Model]) -> Model:
        """The result of `query`; while the store is away, the last one under `name` with a banner."""
        try:
            with self.installation.store.read(self.now) as tx:
                found = query(tx)
        except Unavailable as error:
            from dashboard.show import show_away

            kept = _kept.get(name)
            if not self.away:
                show_away(error, kept[1] if kept else None, self.now)
            self.away.append(error)
            if kept is None:
                if len(self.away) > 1:
                    st.text("This was not read lately, so there is nothing of it to show.")
                st.stop()
            return kept[0]  # type: ignore[no-any-return]
        _kept[name] = (found, self.now)
        _kept.move_to_end(name)
        while len(_kept) > KEPT_READS:
            _kept.popitem(last=False)
        return found

    def looks_again(self, frame: Frame) -> int | None:
        """After how many seconds what every page shows of `frame` looks again; None where nothing is going on."""
        demo = self.installation.settings.dashboard.demo
        return REFRESH_SECONDS if self.away or frame.running or frame.pending or demo else None

    def link(self, page: str, label: str, icon: str | None = None, **params: str) -> None:
        """A link to another page. `label` is the program's own words, never captured text."""
        mark = f":material/{icon}:" if icon else None
        st.page_link(self.pages[page], label=label, icon=mark, query_params=params or None)

    def go(self, page: str, **params: str) -> None:
        """Open another page."""
        st.switch_page(self.pages[page], query_params=params or None)


# What was read last, for the time when nothing can be read. Every account may view every page, so it is shared.
_kept: OrderedDict[str, tuple[Any, datetime]] = OrderedDict()


def forget() -> None:
    """Drop what was kept, as a fresh process would have nothing."""
    _kept.clear()


def presented_token(installation: Installation) -> str:
    """The session's key in the cookie that came with the page's socket."""
    return str(st.context.cookies.to_dict().get(installation.cookie, ""))


def enter(pages: Mapping[str, Any]) -> Console:
    """The visit of this script run. Raises SignedOut without a session, Unavailable when none can be looked up."""
    installation = installations.current()
    now = installation.clock()
    token = presented_token(installation)
    account = identify(installation, token, now)
    return Console(installation, account, now, pages, token)


def identify(installation: Installation, token: str, now: datetime) -> Mapping[str, Any]:
    """The account behind `token`. While the store is away a visitor seen minutes ago may still look at old numbers."""
    try:
        with installation.store.read(now) as tx:
            row = accounts.by_token(tx, token, now=now)
    except Unavailable:
        seen = st.session_state.get("_seen")
        if seen is None or seen["token"] != token or now - seen["at"] > TRUSTED_FOR:
            raise
        account: Mapping[str, Any] = seen["account"]
        return account
    if row is None:
        st.session_state.pop("_seen", None)
        raise SignedOut("You are signed out.", "Sign in again.")
    st.session_state["_seen"] = {"token": token, "at": now, "account": dict(row)}
    return dict(row)
