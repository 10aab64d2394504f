"""Journeys in a real browser: sign in and out, decide once however often one clicks, acknowledge, roll back."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from store import accounts, audit, decisions, runs
from store.tables import approvals, deployments, routes
from store.tables import runs as runs_table
from tests.browser.conftest import Served, Visitor

pytestmark = pytest.mark.browser
ROUNDS = 10
Visit = Callable[..., Visitor]


def test_signing_in_and_out(console: Served, visit: Visit) -> None:
    me = visit(console.url)
    me.page.goto(f"{console.url}/alerts?alert={console.world.alert}")
    assert "/auth/login" in me.page.url
    me.page.fill("#name", "ann")
    me.page.fill("#password", "wrong password")
    me.page.click("button")
    assert "Name or password is wrong" in me.page.inner_text("main")
    me.page.fill("#password", "a long enough password")
    me.page.click("button")
    me.settle()
    assert f"/alerts?alert={console.world.alert}" in me.page.url
    assert "People ask about loyalty points" in me.text()
    cookie = next(cookie for cookie in me.page.context.cookies() if cookie["name"].startswith("trimtab_"))
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    me.page.get_by_role("button", name="Sign out").click()
    me.page.wait_for_url("**/auth/login")
    me.page.goto(f"{console.url}/")
    assert "/auth/login" in me.page.url
    assert not me.foreign
    assert not me.errors


def test_a_page_left_open_shows_nothing_after_the_session_ended(console: Served, visit: Visit) -> None:
    me = visit(console.url)
    me.sign_in("ann")
    with console.world.store.write(console.world.now) as tx:
        accounts.deactivate(tx, "ann", actor="root")
    me.page.get_by_role("link", name="Alerts").click()
    me.page.get_by_text("You are signed out").wait_for(timeout=10_000)
    assert "loyalty" not in me.text()


def test_an_alert_is_acknowledged_commented_and_silenced(console: Served, visit: Visit) -> None:
    me = visit(console.url)
    me.sign_in("otto")
    me.open(f"alerts?alert={console.world.alert}")
    me.page.get_by_role("button", name="Acknowledge").click()
    me.page.get_by_text("acknowledged by otto").wait_for()
    me.page.get_by_label("Add a comment").fill("Looking into it.")
    me.page.get_by_role("button", name="Comment", exact=True).click()
    me.page.get_by_text("Your comment was added.").wait_for()
    silence = me.page.get_by_role("button", name="Silence …")
    expect(silence).to_have_count(1)  # the message moved it: for a moment the page shows its old place too
    silence.click()
    me.page.get_by_label("Why?").fill("Announced by marketing")
    me.page.get_by_role("dialog").get_by_role("button", name="Silence", exact=True).click()
    me.page.get_by_text("Announced by marketing").first.wait_for()
    with console.world.store.read() as tx:
        kinds = [event.kind for event in audit.events(tx)]
        assert audit.verify(tx).bad is None
    assert {"alert.acknowledged", "alert.commented", "silence.created"} <= set(kinds)


def test_two_people_and_double_clicks_make_one_run(console: Served, visit: Visit) -> None:
    """Ten rounds: a fresh proposal, two approvers with the dialog open, both click twice at once."""
    ann, bea = visit(console.url), visit(console.url)
    ann.sign_in("ann")
    bea.sign_in("bea")
    for number in range(ROUNDS):
        uuid = propose(console, number)
        for person in (ann, bea):
            person.open(f"runs?decision={uuid}")
            person.page.get_by_role("button", name="Approve and start …").click()
            person.page.get_by_role("dialog").get_by_role("button", name="Approve and start").wait_for()
        for person in (ann, bea):
            person.page.evaluate(
                """() => { const all = [...document.querySelectorAll("[role=dialog] button")];
                const one = all.find(b => b.innerText.includes("Approve and start")); one.click(); one.click(); }"""
            )
        made = wait_for_runs(console, uuid)
        assert made == 1
        for person in (ann, bea):
            person.page.get_by_test_id("stDialog").wait_for(state="hidden", timeout=15_000)
            person.settle()
        told = f"{ann.text()} {bea.text()}"
        assert "The run is queued" in told
    with console.world.store.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(approvals)) == ROUNDS + 1
        assert audit.verify(tx).bad is None


def propose(console: Served, number: int) -> str:
    """A fresh proposal to retrain; runs of the rounds before have ended."""
    world = console.world
    with world.store.write(world.now) as tx:
        for row in decisions.waiting(tx):
            if row["kind"] == "retrain":
                decisions.reject(tx, row["uuid"], actor="ann", reason="Another round.")
        tx.execute(runs_table.update().where(runs_table.c.state == "queued").values(state="cancelled"))
        return decisions.propose(
            tx,
            kind="retrain",
            subject="assistant",
            proposer="system:policy",
            reason=f"Round {number}.",
            body={"spec": {"steps": 8, "round": number}},
            expires_at=world.now + timedelta(days=1),
        )


def wait_for_runs(console: Served, uuid: str) -> int:
    """How many runs the proposal has once one was made and clicks had time to make more."""
    deadline = time.monotonic() + 15
    count = 0
    while time.monotonic() < deadline and not count:
        time.sleep(0.2)
        with console.world.store.read() as tx:
            id = decisions.get(tx, uuid)["id"]
            count = tx.scalar(sa.select(sa.func.count()).where(runs_table.c.decision_id == id))
    time.sleep(1.0)
    with console.world.store.read() as tx:
        return int(tx.scalar(sa.select(sa.func.count()).where(runs_table.c.decision_id == id)))


def test_a_proposal_that_changed_meanwhile_is_not_approved(console: Served, visit: Visit) -> None:
    me = visit(console.url)
    me.sign_in("ann")
    me.open(f"runs?decision={console.world.retrain}")
    me.page.get_by_role("button", name="Approve and start …").click()
    confirm = me.page.get_by_role("dialog").get_by_role("button", name="Approve and start")
    confirm.wait_for()
    with console.world.store.write(console.world.now) as tx:
        decisions.reject(tx, console.world.retrain, actor="bea", reason="Not these pairs.")
    confirm.click()
    me.page.get_by_text("cannot become approved").wait_for()


def test_who_may_not_approve_cannot_click(console: Served, visit: Visit) -> None:
    me = visit(console.url)
    me.sign_in("otto")
    me.open(f"runs?decision={console.world.retrain}")
    assert me.page.get_by_role("button", name="Approve and start …").is_disabled()
    assert "An approver can answer this." in me.text()


def test_a_demoted_approver_with_the_dialog_open_is_refused(console: Served, visit: Visit) -> None:
    me = visit(console.url)
    me.sign_in("ann")
    me.open(f"runs?decision={console.world.retrain}")
    me.page.get_by_role("button", name="Approve and start …").click()
    confirm = me.page.get_by_role("dialog").get_by_role("button", name="Approve and start")
    confirm.wait_for()
    with console.world.store.write(console.world.now) as tx:
        accounts.set_role(tx, "ann", "viewer", actor="root")
    confirm.click()
    me.page.get_by_text("The role viewer may not approve.").wait_for()


def test_promote_and_roll_back(console: Served, visit: Visit) -> None:
    me = visit(console.url)
    me.sign_in("ann")
    me.open("models")
    me.page.get_by_role("button", name="Promote …").click()
    me.page.get_by_role("dialog").get_by_role("button", name="Promote", exact=True).click()
    me.page.get_by_text("Approved. The version is loaded and proved").wait_for()
    with console.world.store.read() as tx:
        asked = tx.all(sa.select(deployments).where(deployments.c.state == "requested"))
    assert len(asked) == 1
    me.settle()  # until then what stood there before is drawn beside what is new
    me.page.get_by_role("button", name="Roll back …").click()
    me.page.get_by_label("What is wrong?").fill("Answers got shorter")
    me.page.get_by_role("dialog").get_by_role("button", name="Roll back", exact=True).click()
    me.page.get_by_text("assistant-base serves again").wait_for()
    with console.world.store.read() as tx:
        assert tx.scalar(sa.select(routes.c.version)) == "assistant-base"
        assert audit.verify(tx).bad is None


def test_a_live_run_is_stopped_and_resumed(console: Served, visit: Visit) -> None:
    me = visit(console.url)
    me.sign_in("ann")
    me.open(f"runs?run={console.world.run}")
    assert "Step 23 of 64" in me.text()
    me.page.get_by_role("button", name="Stop and keep the checkpoint").click()
    me.page.get_by_text("Stopping …").wait_for()
    with console.world.store.write(console.world.now) as tx:
        row = runs.get(tx, console.world.run)
        assert row["stop_requested"]
        runs.finish(tx, row["id"], row["fence"], "cancelled", "Stopped at step 23.")
    me.page.get_by_role("button", name="Resume from step 23").click(timeout=20_000)
    me.page.get_by_text("goes on from its checkpoint").first.wait_for()
    with console.world.store.read() as tx:
        assert runs.get(tx, console.world.run)["state"] == "queued"


@pytest.mark.parametrize("path", ["", "models"])
def test_a_row_of_a_list_has_the_whole_width_of_a_phone(console: Served, visit: Visit, path: str) -> None:
    """Beside its badge and its button a reason became a column of single words."""
    me = visit(console.url)
    me.page.set_viewport_size({"width": 390, "height": 844})
    me.sign_in("otto")
    me.open(path)
    rows = ", ".join(f'[class*="st-key-{name}-"]' for name in ("waits", "alert", "run", "version"))
    shown = me.page.locator(f".stHorizontalBlock:is({rows})").filter(has=me.page.locator('[class*="st-key-strong"]'))
    assert shown.count()
    for place in range(shown.count()):
        row, text = shown.nth(place), shown.nth(place).locator('[class*="st-key-strong"]').first
        outer, inner = row.bounding_box(), text.bounding_box()
        assert outer is not None and inner is not None
        assert inner["width"] > 0.8 * outer["width"]
