"""What operators change from pages: limits tried on the past, weights with everybody's share, proposals by hand."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import Unavailable
from dashboard import actions
from dashboard.console import Console
from dashboard.installation import Installation
from store import audit, commands
from store import monitors as monitor_rows
from store.queries import commands as command_queries
from store.unit_of_work import Store
from tests.console_world import World
from tests.pages.conftest import Open

LIMIT = ("errors", "limit", "limit-value-errors")
WEIGHT = ("prompt_drift", "weight", "weight-value")


def texts(page: AppTest) -> str:
    return "\n".join(str(element.value) for part in (page.text, page.caption, page.subheader) for element in part)


def visit(world: World, name: str) -> Console:
    installation = Installation(world.settings, world.store, lambda: world.now)
    return Console(installation, {"name": name, "role": "admin"}, world.now, {}, world.sign_in(name))


def monitor(world: World, name: str) -> dict[str, object]:
    with world.store.read() as tx:
        return dict(monitor_rows.get(tx, name))


def test_a_limit_is_tried_on_the_past_then_saved(filled: World, open_page: Open) -> None:
    page = open_page(filled, "monitors", name="otto", monitor="errors")
    page.button(key="open-limit").click().run()
    assert not page.exception
    assert page.query_params["change"] == "limit"
    assert "it would not have fired in the last 7 d" in texts(page)
    assert "60 of 60 looks since" in texts(page)
    assert page.button(key="limit-save").disabled
    page.number_input(key="limit-value-errors").set_value(0.0)
    page.number_input(key="limit-hold-errors").set_value(60)
    page.run()
    # The errors' intervals begin at 0: only the value alone could be past it.
    assert "it would not have fired" in texts(page)
    page.selectbox(key="limit-direction-errors").set_value("below")
    page.number_input(key="limit-value-errors").set_value(5.0).run()
    assert "it would have fired once in the last 7 d" in texts(page)
    assert "and it would be firing now" in texts(page)
    assert "With the present limit it would not have fired" in texts(page)
    page.button(key="limit-save").click().run()
    assert not page.exception
    assert "The new limit counts from the next look" in texts(page)
    assert "change" not in page.query_params
    saved = monitor(filled, "errors")
    assert saved["rule"] == {
        "metric": "errors",
        "direction": "below",
        "limit": pytest.approx(0.05),
        "hold_seconds": 60.0,
    }
    with filled.store.read() as tx:
        event = list(audit.events(tx))[-1]
    assert (event.actor, event.kind) == ("otto", "monitor.changed")


def test_a_limit_that_somebody_else_changed_meanwhile_is_not_saved(filled: World, open_page: Open) -> None:
    page = open_page(filled, "monitors", name="otto", monitor="errors", change="limit")
    page.number_input(key="limit-value-errors").set_value(9.0).run()
    with filled.store.write(filled.now) as tx:
        monitor_rows.edit(tx, "errors", revision=1, actor="ann", severity="critical")
    page.button(key="limit-save").click().run()
    assert not page.exception
    assert "errors was changed since it was shown." in texts(page)
    assert monitor(filled, "errors")["revision"] == 2
    page.button(key="limit-save").click().run()
    assert monitor(filled, "errors")["revision"] == 3, "what was shown after the refusal may be saved"


@pytest.mark.parametrize(("name", "change", "field"), [LIMIT, WEIGHT])
def test_a_change_that_could_not_be_kept_is_kept_as_it_was_shown(
    filled: World, open_page: Open, monkeypatch: pytest.MonkeyPatch, name: str, change: str, field: str
) -> None:
    """The revision that was shown stays with it: what somebody else changed meanwhile is not overwritten unseen."""
    page = open_page(filled, "monitors", name="otto", monitor=name, change=change)
    page.number_input(key=field).set_value(9.0).run()
    with filled.store.write(filled.now) as tx:
        monitor_rows.edit(tx, name, revision=1, actor="ann", severity="critical")
    with monkeypatch.context() as patch:

        def busy(*_: object) -> None:
            raise Unavailable("The database is busy.", "Try again.")

        patch.setattr(Store, "write", busy)
        page.button(key=f"{change}-save").click().run()
        assert "The database is busy. Try again." in texts(page)
    assert page.number_input(key=field).value == 9.0
    page.button(key=f"{change}-save").click().run()
    assert f"{name} was changed since it was shown." in texts(page)
    assert monitor(filled, name)["revision"] == 2


def test_a_panel_that_does_not_fit_the_monitor_is_not_there(filled_folder: World, open_page: Open) -> None:
    for name, change in (("errors", "weight"), ("prompt_drift", "limit"), ("errors", "nothing")):
        page = open_page(filled_folder, "monitors", name="otto", monitor=name, change=change)
        assert not page.exception
        assert not [button for button in page.button if button.key == "panel-close"]


def test_a_viewer_reads_a_panel_and_saves_nothing(filled_folder: World, open_page: Open) -> None:
    for name, change, save in (("errors", "limit", "limit-save"), ("prompt_drift", "weight", "weight-save")):
        page = open_page(filled_folder, "monitors", name="vera", monitor=name, change=change)
        assert not page.exception
        assert page.button(key=save).disabled


def test_a_weight_is_saved_with_everybodys_share_in_view(filled: World, open_page: Open) -> None:
    page = open_page(filled, "monitors", name="otto", monitor="prompt_drift", change="weight")
    assert "0.1 of 1 expected false alarms in 91 days given out, to 2 epochs" in texts(page)
    page.number_input(key="weight-value").set_value(4.0).run()
    shares = next(frame.value for frame in page.dataframe if "Share then" in frame.value)
    row = shares[shares["Monitor"] == "Prompt drift"].iloc[0]
    assert (row["Share now"], row["Share then"]) == ("20.0 %", "50.0 %")
    assert row["Of what is left"] == "0.45 of 0.9"
    page.button(key="weight-save").click().run()
    assert not page.exception
    assert monitor(filled, "prompt_drift")["weight"] == 4.0
    assert "divided anew when the next epoch begins" in texts(page)


def test_the_list_shows_the_periods_spend(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "monitors")
    assert "0.1 of 1 expected false alarms in 91 days given out, to 2 epochs" in texts(page)
    (table,) = (frame.value for frame in page.dataframe if "Weight" in frame.value)
    assert set(table["Share of what is left"]) == {"20.0 %"}


def test_what_was_proposed_by_hand_is_followed_on_the_page(
    filled: World, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, object] = {}
    with monkeypatch.context() as patch:
        patch.setattr(actions.st, "session_state", told)
        otto = visit(filled, "otto")
        assert not actions.propose(otto, "rollback", "  ", alert=filled.alert)
        assert "needs a reason" in str(told["_told"])
        assert not actions.propose(visit(filled, "vera"), "rollback", "Worse.", alert=filled.alert)
        assert actions.propose(otto, "rollback", "Answers got worse.", alert=filled.alert)
    with filled.store.read() as tx:
        (row,) = command_queries.recent(tx, "propose", {"alert": filled.alert})
    assert row["args"] == {"kind": "rollback", "reason": "Answers got worse.", "alert": filled.alert, "dataset": ""}
    page = open_page(filled, "alerts", name="otto", alert=filled.alert)
    assert not page.button(key="propose").disabled
    assert "Waiting for the retraining worker." in texts(page)
    with filled.store.write(filled.now) as tx:
        held = commands.claim(tx, "retrain", "worker", 60)
        assert held is not None
        commands.fail(tx, held["id"], "There is no earlier version to go back to.")
    assert "There is no earlier version to go back to." in texts(page.run())
    assert "Asked by otto" not in texts(open_page(filled, "runs", name="otto"))


def test_a_reference_is_asked_for_with_its_reason(filled: World, open_page: Open) -> None:
    page = open_page(filled, "monitors", name="otto", monitor="refusal_rate", change="reference")
    assert not page.exception
    assert "It compares with 100 rows" in texts(page)
    assert page.button(key="reference-do").disabled
    page.number_input(key="reference-rows").set_value(60)
    page.text_input(key="reference-why").set_value("The shop has moved.").run()
    page.button(key="reference-do").click().run()
    assert not page.exception
    assert "Waiting for the monitor scheduler." in texts(page)
    with filled.store.read() as tx:
        (row,) = command_queries.recent(tx, "take_reference", {"monitor": "refusal_rate"})
    assert row["args"] == {
        "monitor": "refusal_rate",
        "units": 60,
        "reason": "The shop has moved.",
        "epoch": 1,
        "confirmed": False,
    }


def test_a_reference_that_ends_an_alert_needs_a_word_on_it(filled: World, open_page: Open) -> None:
    page = open_page(filled, "monitors", name="otto", monitor="prompt_drift", change="reference")
    page.text_input(key="reference-why").set_value("The campaign stays.")
    page.segmented_control(key="reference-by").set_value("Since a date").run()
    assert page.button(key="reference-do").disabled
    page.checkbox(key="reference-ends-alert").check().run()
    page.button(key="reference-do").click().run()
    assert not page.exception
    with filled.store.read() as tx:
        (row,) = command_queries.recent(tx, "take_reference", {"monitor": "prompt_drift"})
    assert (row["args"]["confirmed"], row["args"]["since"]) == (True, "2026-11-20T00:00:00+00:00")


def test_a_monitor_without_an_epoch_has_no_reference_to_replace(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "monitors", name="otto", monitor="response_length", change="reference")
    assert "still collecting its first reference" in texts(page)
    assert not [button for button in page.button if button.key == "reference-do"]


def looks(alarm_at: int | None) -> dict[str, object]:
    """The result of a backtest of 600 rows, as the scheduler writes it."""
    found = [
        {
            "look": number,
            "seen": 300 + 50 * number,
            "value": None if number == 1 else 0.1 * number,
            "low": None,
            "high": None if number == 1 else 0.2 * number,
            "n": 50 * number,
            "alarm": number == alarm_at,
        }
        for number in range(1, 7)
    ]
    summary = {
        "monitor": "refusal_rate",
        "rows": 600,
        "reference": 300,
        "budget": 0.1,
        "looks": 6,
        "alarms": int(alarm_at is not None),
        "first_alarm_seen": None if alarm_at is None else 300 + 50 * alarm_at,
        "from": "2026-11-01T08:00:00+00:00",
        "to": "2026-11-20T08:00:00+00:00",
    }
    return {"looks": found, "summary": summary}


@pytest.mark.parametrize(
    ("alarm_at", "sentence"),
    [
        (4, "The first alarm of 1 came 200 rows after the reference, in 6 looks over 600 rows."),
        (None, "No alarm in 6 looks over 600 rows."),
    ],
)
def test_a_backtest_is_asked_for_followed_and_shown(
    filled: World, open_page: Open, alarm_at: int | None, sentence: str
) -> None:
    page = open_page(filled, "monitors", name="otto", monitor="refusal_rate", change="backtest")
    assert "No result yet." in texts(page)
    page.number_input(key="backtest-rows").set_value(600)
    page.number_input(key="backtest-reference").set_value(300)
    page.number_input(key="backtest-every").set_value(50).run()
    page.button(key="backtest-do").click().run()
    assert not page.exception
    with filled.store.write(filled.now) as tx:
        held = commands.claim(tx, "monitors", "p1", 600, kinds=("backtest",))
        assert held is not None
        assert held["args"] == {
            "monitor": "refusal_rate",
            "rows": 600,
            "reference": 300,
            "every": 50,
            "one_in": 1,
            "budget": 0.1,
        }
        commands.progress(tx, held["id"], 0.4, process="p1", lease_seconds=600)
    page.run()
    assert "The monitor scheduler is at it." in texts(page)
    with filled.store.write(filled.now) as tx:
        commands.finish(tx, held["id"], looks(alarm_at))
    page.run()
    assert not page.exception
    assert sentence in texts(page)
    table = next(frame.value for frame in page.dataframe if "Rows read" in frame.value)
    assert list(table["Rows read"])[-1] == "600" and len(table) == 6
    assert list(table["Alarm"]).count("alarm") == int(alarm_at is not None)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("errors", "limit"),
        ("prompt_drift", "weight"),
        ("prompt_drift", "reference"),
        ("prompt_drift", "backtest"),
    ],
)
def test_a_panel_stays_with_a_banner_while_the_store_is_away(
    filled_folder: World, open_page: Open, monkeypatch: pytest.MonkeyPatch, name: str, change: str
) -> None:
    page = open_page(filled_folder, "monitors", name="otto", monitor=name, change=change)
    before = texts(page)

    def away(*_: object) -> None:
        raise Unavailable("The database does not answer.", "Check that it runs.")

    monkeypatch.setattr(filled_folder.store.__class__, "_transaction", away)
    page.run()
    assert not page.exception
    after = texts(page)
    assert "The database does not answer." in after and "Last good data" in after
    assert len(after) > 0.8 * len(before)
