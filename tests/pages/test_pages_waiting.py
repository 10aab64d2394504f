"""How much waits for whom: the number in the frame is that of the Overview's list, and of what the account may do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.views import overview
from store import alerts, decisions
from store import monitors as monitor_rows
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import texts

NOTHING = "nothing"


def told(page: AppTest) -> tuple[str, str]:
    """What the frame and what the Overview say waits for who looks."""
    frame = [str(link.proto.label) for link in page.get("page_link") if "Waiting for you" in str(link.proto.label)]
    heads = [str(head.value) for head in page.subheader if "Waiting for you" in str(head.value)]
    return (frame or [NOTHING])[0], (heads or [NOTHING])[0]


def links(page: AppTest, word: str) -> int:
    """How many links read `word`."""
    return sum(str(link.proto.label) == word for link in page.get("page_link"))


@pytest.mark.parametrize(
    ("name", "mine", "others"),
    [("ann", "Waiting for you (3)", NOTHING), ("otto", "Waiting for you (1)", "(2)"), ("vera", NOTHING, "(3)")],
)
def test_only_what_an_account_may_decide_waits_for_it(
    filled_folder: World, open_page: Open, name: str, mine: str, others: str
) -> None:
    page = open_page(filled_folder, name=name)
    assert not page.exception
    assert told(page) == (mine, mine)
    waits = [str(head.value) for head in page.subheader if "Waiting for others" in str(head.value)]
    assert waits == ([] if others == NOTHING else [f"Waiting for others {others}"])


def test_ones_own_proposal_waits_for_others_unless_one_may_approve_it_alone(filled: World, open_page: Open) -> None:
    with filled.store.write(filled.now) as tx:
        decisions.reject(tx, filled.retrain, actor="bea", reason="Another one follows.")
        decisions.propose(
            tx,
            kind="retrain",
            subject="assistant",
            proposer="ann",
            reason="Now.",
            body={"spec": {}},
            expires_at=filled.now + timedelta(days=1),
        )
    page = open_page(filled, name="ann")
    assert told(page) == ("Waiting for you (2)",) * 2
    assert "another approver answers it" in texts(page)
    assert told(open_page(filled, name="bea")) == ("Waiting for you (3)",) * 2
    alone = replace(filled.settings, retrain=replace(filled.settings.retrain, allow_self_approval=True))
    filled.settings = alone
    assert told(open_page(filled, name="ann")) == ("Waiting for you (3)",) * 2


def test_more_alerts_than_the_list_holds_are_counted_and_led_to(
    filled: World, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled.store.write(filled.now) as tx:
        monitor = monitor_rows.get(tx, "latency")
        for number in range(4):
            finding = alerts.Finding("latency", "rule", True, "Slow.", monitor_id=monitor["id"], segment=str(number))
            alerts.apply(tx, finding)
    query = overview.queries.waiting
    monkeypatch.setattr(overview.queries, "waiting", lambda tx, now: query(tx, now, limit=2))
    page = open_page(filled, name="otto")
    assert told(page) == ("Waiting for you (5)",) * 2
    assert "And 3 earlier alerts that nobody has taken." in texts(page)
    assert links(page, "All alerts") == 1


def test_the_list_looks_again_with_the_frame(filled: World, open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    again: dict[str, object] = {}
    fragment = overview.st.fragment

    def noted(*args: Any, run_every: Any = None, key: str = "", **more: Any) -> Any:
        again[key] = run_every
        return fragment(*args, run_every=run_every, key=key, **more)

    monkeypatch.setattr(overview.st, "fragment", noted)
    open_page(filled, name="otto")
    assert again["now"] == again["bar"] is not None, "a run is going on"
