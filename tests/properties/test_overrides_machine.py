"""Whatever people and gates do in whatever order: nothing goes past a gate without a reason and two people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import TrimtabError
from core.settings import RetrainSettings, Settings
from core.types import Check, GateReport, ModelVersion, Verdict
from retrain import decide
from store import decisions, deployments, overrides, tables, versions
from store.unit_of_work import Store, Tx
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
PEOPLE = {"ann": "approver", "abe": "approver", "otto": "operator", "vera": "viewer"}
PERSON = st.sampled_from(sorted(PEOPLE))
ACTS = st.one_of(
    st.tuples(st.just("judge"), st.sampled_from(["pass", "fail", "undecided"]), st.integers(0, 2)),
    st.tuples(st.just("propose"), st.just("system:gate"), st.booleans()),
    st.tuples(st.just("propose"), PERSON, st.booleans()),
    st.tuples(st.just("ask"), PERSON, st.booleans()),
    st.tuples(st.just("approve"), PERSON, st.booleans()),
    st.tuples(st.just("approve"), PERSON, st.just(True)),
)
NUMBERS = iter(range(1, 1_000_000))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = make_store(f"sqlite:///{tmp_path_factory.mktemp('overrides') / 'trimtab.db'}", now=NOW)
    with opened.write(NOW) as tx:
        for name, role in PEOPLE.items():
            tx.insert(tables.accounts, name=name, role=role, password_hash="none", active=True, created_at=NOW)
        versions.register(tx, ModelVersion("base", "0" * 64, "base", "chat", "", NOW), actor="system:setup")
    yield opened
    opened.close()


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(ACTS, max_size=14))
def test_nothing_goes_past_a_gate_alone(store: Store, acts: list[tuple[str, Any, Any]]) -> None:
    number = next(NUMBERS)
    name, candidate = f"assistant-{number}", f"assistant-{number}-v1"
    home = Path(".")
    config = Settings(home, home, deployment=name, retrain=RetrainSettings(allow_self_approval=True))
    with store.write(NOW) as tx:
        versions.register(tx, ModelVersion(candidate, f"{number:064d}", "adapter", "chat", "", NOW), actor="x")
        deployments.install(tx, name, "base", actor="x")
    for act in acts:
        with suppress(TrimtabError), store.write(NOW) as tx:
            move(tx, config, candidate, *act)
    with store.read() as tx:
        decided = tables.decisions.c.id == tables.deployments.c.decision_id
        made = tx.all(sa.select(tables.decisions).join(tables.deployments, decided).where(
            tables.deployments.c.deployment == name
        ))  # fmt: skip
        report = overrides.standing(tx, candidate)
    assert len(made) <= 1, "one approval makes one promotion"
    for row in made:
        assert PEOPLE[row["decided_by"]] == "approver"
        told = row["body"].get("override")
        if told is None:
            assert (row["proposer"], row["body"]["verdict"]) == ("system:gate", "pass")
        else:
            assert told["verdict"] != "pass" and told["reason"].strip()
            assert row["comment"].strip()
            assert row["proposer"] != row["decided_by"] and PEOPLE[row["proposer"]] in ("operator", "approver")
        assert report is not None


def move(tx: Tx, config: Settings, candidate: str, act: str, who: Any, how: Any) -> None:
    """One act. `how` says whether what is handed on is what was shown, or which report is made."""
    found = overrides.standing(tx, candidate)
    shown = found["digest"] if found is not None and how else "0" * 64
    waiting = [row for row in decisions.waiting(tx) if row["subject"] == candidate]
    if act == "judge":
        verdict: Verdict = who
        report = GateReport(candidate, "base", verdict, (Check("attacks", verdict, f"Made {how} times."),), NOW)
        versions.report(tx, report, run_id=None, actor="system:gate")
    elif act == "propose":
        # Also what no gate would propose: the newest report, whatever it says.
        body = {"deployment": config.deployment, "report": shown, "verdict": found["verdict"] if found else ""}
        decisions.propose(
            tx, kind="promote", subject=candidate, proposer=who, reason="So it says.", body=body,
            expires_at=NOW + timedelta(hours=1),
        )  # fmt: skip
    elif act == "ask":
        decide.ask_override(tx, config, actor=who, version=candidate, report=shown, reason="It must.")
    elif waiting:
        digest = waiting[0]["digest"] if how else "0" * 64
        comment = "It must." if who != "abe" else " "  # who never says why
        decisions.approve(tx, waiting[0]["uuid"], actor=who, digest=digest, comment=comment, allow_self=True)
