"""Past the gate: only with a reason, a second person and the report that was shown; everything else stays blocked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Conflict, Forbidden, IllegalMove, InvalidInput, TrimtabError
from core.segments import Segment
from core.settings import RetrainSettings, Settings
from core.types import Check, GateReport, Inference, ModelVersion, Verdict
from retrain import orders
from store import apart, audit, commands, decisions, deployments, inferences, tables, versions
from store.unit_of_work import Store, Tx

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
PEOPLE = {"ann": "approver", "abe": "approver", "otto": "operator", "vera": "viewer"}
WHY = "Two weeks of complaints weigh more than nine attacks."


@pytest.fixture
def store(empty_store: Store) -> Store:
    with empty_store.write(NOW) as tx:
        for name, role in PEOPLE.items():
            tx.insert(tables.accounts, name=name, role=role, password_hash="none", active=True, created_at=NOW)
        for number, name in enumerate(("assistant-base", "assistant-v1", "assistant-v2")):
            kind: Any = "adapter" if number else "base"
            version = ModelVersion(name, str(number) * 64, kind, "chat", "", NOW, fingerprint=f"print-{name}")
            versions.register(tx, version, actor="system:setup")
        deployments.install(tx, "assistant", "assistant-base", actor="system:setup")
    return empty_store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    # A person may approve their own proposals here: never their own override.
    return Settings(home=tmp_path, models_home=tmp_path, retrain=RetrainSettings(allow_self_approval=True))


def judge(store: Store, verdict: Verdict, reason: str = "It reaches past the margin.", check: str = "attacks") -> str:
    """Record a gate's report on assistant-v1 and return its digest."""
    checks = (Check("held_out_accuracy", "pass", "Better."), Check(check, verdict, reason))
    with store.write(NOW) as tx:
        report = GateReport("assistant-v1", "assistant-base", verdict, checks, NOW)
        return versions.report(tx, report, run_id=None, actor="system:gate")[1]


def ask(store: Store, settings: Settings, report: str, actor: str = "otto", reason: str = WHY) -> Any:
    """Ask for an override as the page does, let the worker take it, and return the decision that waits."""
    with store.write(NOW) as tx:
        args = {"version": "assistant-v1", "report": report, "reason": reason}
        command = commands.ask(tx, "override", owner="retrain", args=args, actor=actor)
    with store.write(NOW) as tx:
        orders.obey(tx, settings, "w1")
    found = read(store, lambda tx: commands.get(tx, command))
    if found["state"] == "failed":
        raise Conflict(found["message"])
    return read(store, lambda tx: decisions.get(tx, found["result"]["decision"]))


def approve(store: Store, row: Any, actor: str = "ann", comment: str = "Agreed.") -> str:
    with store.write(NOW) as tx:
        return decisions.approve(tx, row["uuid"], actor=actor, digest=row["digest"], comment=comment, allow_self=True)


def read(store: Store, reading: Callable[[Tx], Any]) -> Any:
    with store.read() as tx:
        return reading(tx)


def requested(store: Store) -> list[Any]:
    return read(store, deployments.requested)  # type: ignore[no-any-return]


def gate_proposal(store: Store, report: str) -> Any:
    with store.write(NOW) as tx:
        uuid = decisions.propose(
            tx,
            kind="promote",
            subject="assistant-v1",
            proposer="system:gate",
            reason="It passed.",
            body={"deployment": "assistant", "report": report},
            expires_at=NOW + timedelta(hours=72),
        )
        return decisions.get(tx, uuid)


@pytest.mark.parametrize("verdict", ["undecided", "fail"])
def test_a_gate_that_did_not_pass_blocks_a_promotion_whoever_proposed_it(store: Store, verdict: Verdict) -> None:
    row = gate_proposal(store, judge(store, verdict))
    with pytest.raises(Conflict, match="did not pass assistant-v1"):
        approve(store, row)
    with store.write(NOW) as tx, pytest.raises(Forbidden, match="The gate proposes promotions"):
        decisions.propose(
            tx, kind="promote", subject="assistant-v1", proposer="ann", reason="I like it.",
            body={"deployment": "assistant"}, expires_at=NOW + timedelta(hours=1),
        )  # fmt: skip
    assert requested(store) == []


def test_a_pass_is_approved_unless_the_gate_judged_anew(store: Store) -> None:
    row = gate_proposal(store, judge(store, "pass"))
    judge(store, "pass", reason="Measured again.")
    with pytest.raises(Conflict, match="judged assistant-v1 anew"):
        approve(store, row)
    newest = judge(store, "pass", reason="And once more.")
    approve(store, gate_proposal(store, newest))
    assert [row["version"] for row in requested(store)] == ["assistant-v1"]


def test_a_pass_against_a_version_that_is_no_longer_live_is_none(store: Store) -> None:
    """Of two candidates that both beat one champion, the second to be approved never met the first."""
    row = gate_proposal(store, judge(store, "pass"))
    go_live(store, "assistant", "assistant-v2")
    with pytest.raises(Conflict, match="compares with assistant-base, and assistant-v2 is live"):
        approve(store, row)
    assert requested(store) == []


def test_a_pass_holds_for_a_segment_only_against_what_answers_that_segment(store: Store) -> None:
    row, pro = gate_proposal(store, judge(store, "pass")), Segment("plan", "pro")
    with store.write(NOW) as tx:
        asked = [{"role": "user", "content": "Hello"}]
        told = Inference("asked", NOW, "assistant", "assistant-base", "live", asked, "Hello", "Good morning.")
        inferences.record(tx, [replace(told, labels={"plan": "pro"})])
        own = apart.set_apart(tx, "assistant", pro, actor="ann")
    go_live(store, own, "assistant-v2")
    with pytest.raises(Conflict, match="assistant-v2 is live"), store.write(NOW) as tx:
        decisions.approve(tx, row["uuid"], actor="ann", digest=row["digest"], segment=pro)
    approve(store, row)
    assert [one["deployment"] for one in requested(store)] == ["assistant"], "everybody else has what it was judged by"


def go_live(store: Store, deployment: str, version: str) -> None:
    with store.write(NOW) as tx:
        deployments.request_promotion(tx, deployment, version, actor="ann", reason="Better.")
        deployments.flip(tx, deployments.requested(tx)[0]["id"], actor="system:release")


def test_an_override_takes_two_people_and_a_reason_and_is_on_record(store: Store, settings: Settings) -> None:
    report = judge(store, "fail")
    before = read(store, lambda tx: tx.all(sa.select(tables.gate_reports)))
    row = ask(store, settings, report)
    assert (row["proposer"], row["body"]["verdict"]) == ("otto", "fail")
    assert WHY in row["reason"] and "failed on attacks" in row["reason"]
    approve(store, row)
    assert [waiting["version"] for waiting in requested(store)] == ["assistant-v1"]
    events = read(store, lambda tx: [event for event in audit.events(tx) if event.kind == "gate.overridden"])
    assert [(event.actor, event.subject) for event in events] == [("ann", "assistant-v1")]
    told = {name: events[0].body[name] for name in ("report", "asked_by", "reason", "comment", "blocking", "verdict")}
    assert told == {
        "report": report, "asked_by": "otto", "reason": WHY, "comment": "Agreed.", "blocking": ["attacks"],
        "verdict": "fail",
    }  # fmt: skip
    assert read(store, lambda tx: tx.all(sa.select(tables.gate_reports))) == before, "the report stays as it is"
    assert read(store, audit.verify).bad is None
    with pytest.raises(IllegalMove):
        approve(store, row, "abe")


def test_nobody_overrides_alone_whatever_the_settings_say(store: Store, settings: Settings) -> None:
    row = ask(store, settings, judge(store, "undecided"), actor="ann")
    with pytest.raises(Forbidden, match="second person"):
        approve(store, row, "ann")
    assert requested(store) == []
    approve(store, row, "abe")
    assert len(requested(store)) == 1


def test_the_second_person_says_why_too(store: Store, settings: Settings) -> None:
    row = ask(store, settings, judge(store, "undecided"))
    with pytest.raises(InvalidInput, match="your reason too"):
        approve(store, row, comment=" ")
    assert requested(store) == []
    approve(store, gate_proposal(store, judge(store, "pass")), comment="")


@pytest.mark.parametrize("changed", [{"verdict": "pass"}, {"champion": "assistant-v2"}, {"checks": []}])
def test_a_report_changed_behind_our_back_is_neither_approved_nor_overridden(
    store: Store, settings: Settings, changed: dict[str, Any]
) -> None:
    report = judge(store, "undecided")
    told = gate_proposal(store, report)
    with store.write(NOW) as tx:
        tx.execute(sa.update(tables.gate_reports).values(**changed))
    with pytest.raises(Conflict, match="was changed after it was made"):
        approve(store, told)
    with pytest.raises(Conflict, match="was changed after it was made"):
        ask(store, settings, report)
    assert requested(store) == []


def test_an_override_is_of_the_report_that_was_shown(store: Store, settings: Settings) -> None:
    report = judge(store, "undecided")
    row = ask(store, settings, report)
    judge(store, "fail")
    with pytest.raises(Conflict, match="judged assistant-v1 anew"):
        approve(store, row)
    with pytest.raises(Conflict, match="judged assistant-v1 anew"):
        ask(store, settings, report)
    assert requested(store) == []


def test_roles_are_those_of_the_moment(store: Store, settings: Settings) -> None:
    report = judge(store, "undecided")
    with pytest.raises(Forbidden):
        ask(store, settings, report, actor="vera")
    row = ask(store, settings, report)
    for name in ("otto", "vera", "nobody", "system:gate"):
        with pytest.raises(Forbidden):
            approve(store, row, name)
    with store.write(NOW) as tx:
        tx.execute(sa.update(tables.accounts).where(tables.accounts.c.name == "ann").values(role="operator"))
    with pytest.raises(Forbidden):
        approve(store, row, "ann")
    assert requested(store) == []


def test_what_cannot_be_overridden_is_said(store: Store, settings: Settings) -> None:
    with pytest.raises(Conflict, match="not judged by a gate"):
        ask(store, settings, "0" * 64)
    report = judge(store, "undecided")
    with pytest.raises(TrimtabError, match="needs a reason"):
        ask(store, settings, report, reason="  ")
    with pytest.raises(Conflict, match="Approve its promotion"):
        ask(store, settings, judge(store, "pass"))
    with pytest.raises(Conflict, match="not those that were trained"):
        ask(store, settings, judge(store, "fail", "Its files differ.", "integrity"))


def test_a_report_against_a_version_that_is_no_longer_live_is_none(store: Store, settings: Settings) -> None:
    report = judge(store, "undecided")
    row = ask(store, settings, report)
    go_live(store, "assistant", "assistant-v2")
    with pytest.raises(Conflict, match="assistant-v2 is live"):
        approve(store, row)
    with pytest.raises(Conflict, match="assistant-v2 is live"):
        ask(store, settings, report)


def test_a_body_changed_behind_our_back_is_not_approved(store: Store, settings: Settings) -> None:
    row = ask(store, settings, judge(store, "fail"))
    with store.write(NOW) as tx:
        changed = {name: value for name, value in row["body"].items() if name != "override"}
        tx.execute(sa.update(tables.decisions).values(body=changed))
    with pytest.raises(Conflict, match="not what you were shown"):
        approve(store, row)


def test_an_unknown_command_is_refused(store: Store, settings: Settings) -> None:
    with store.write(NOW) as tx, pytest.raises(InvalidInput):
        commands.ask(tx, "promote", owner="retrain", args={}, actor="ann")
