"""The policy over the store: which alert leads to which proposal, and what it says where it proposes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Conflict, Forbidden, InvalidInput, NotFound
from core.settings import GatewaySettings, RetrainSettings, Settings
from core.types import Inference, ModelVersion, PreferencePair
from retrain import decide, orders, stages
from retrain.pairs import margins
from retrain.training.spec import parse_spec
from store import alerts, commands, datasets, decisions, deployments, inferences, pairs, runs, tables, versions
from store.alerts import Finding
from store.unit_of_work import Store
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
# Alerts fire, and are looked at, after what the tests let be answered.
AFTER = NOW + timedelta(hours=1)
SETTINGS = Settings(home=Path("unused"), models_home=Path("unused"), retrain=RetrainSettings(minimum_pairs=8))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'trimtab.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    opened = make_store(url, now=NOW)
    with opened.write(NOW) as tx:
        for name, role in {"ann": "approver", "otto": "operator", "vera": "viewer"}.items():
            tx.insert(tables.accounts, name=name, role=role, password_hash="none", active=True, created_at=NOW)
        for number, name in enumerate(("assistant-base", "assistant-v1")):
            kind: Any = "adapter" if number else "base"
            versions.register(tx, ModelVersion(name, str(number) * 64, kind, "chat", "", NOW), actor="x")
        deployments.install(tx, "assistant", "assistant-base", actor="system:setup")
        for metric in ("prompt_drift", "refusal_rate", "errors"):
            tx.insert(tables.monitors, name=metric, metric=metric, created_at=NOW)
    yield opened
    opened.close()


def fire(store: Store, metric: str, kind: Any = "rule", at: datetime = AFTER) -> None:
    with store.write(at) as tx:
        id = tx.scalar(sa.select(tables.monitors.c.id).where(tables.monitors.c.name == metric))
        alerts.apply(tx, Finding(monitor=metric, kind=kind, breach=True, summary=f"{metric} moved", monitor_id=id))


def collect(store: Store, number: int) -> None:
    with store.write(NOW) as tx:
        rows = [
            PreferencePair("", [{"role": "user", "content": f"Question {n}?"}], "Yes.", "No.", licence="CC0-1.0")
            for n in range(number)
        ]
        pairs.add(tx, rows, actor="system:test")
        pairs.judge(tx, {pair.id: [] for pair in pairs.collected(tx)}, actor="system:test")


def release(store: Store, answers: int) -> None:
    with store.write(NOW) as tx:
        uuid = deployments.request_promotion(tx, "assistant", "assistant-v1", actor="ann", reason="Better.")
        id = tx.scalar(sa.select(tables.deployments.c.id).where(tables.deployments.c.uuid == uuid))
        deployments.flip(tx, id, actor="system:release")
        inferences.record(tx, [make_inference(n) for n in range(answers)])


def make_inference(n: int) -> Inference:
    at = NOW + timedelta(seconds=n)
    return Inference(f"i-{n}", at, "assistant", "assistant-v1", "live", [], f"Where is parcel {n}?", "Here.")


def look(store: Store) -> list[str]:
    with store.write(AFTER) as tx:
        return decide.decide(tx, SETTINGS)


def proposed(store: Store) -> list[dict[str, Any]]:
    with store.read() as tx:
        return [dict(row) for row in decisions.waiting(tx)]


def test_drift_with_enough_pairs_proposes_retraining_that_shows_everything(store: Store) -> None:
    collect(store, 12)
    fire(store, "prompt_drift")
    assert len(look(store)) == 1
    (row,) = proposed(store)
    body = row["body"]
    assert (row["kind"], row["subject"], row["proposer"]) == ("retrain", "assistant", "system:policy")
    assert "12 approved preference pairs" in row["reason"]
    assert body["reason"] == row["reason"]
    assert body["alert"]["summary"] == "prompt_drift moved"
    assert body["spec"]["champion"] == "assistant-base"
    assert set(body) >= {"title", "pairs", "spec", "estimate", "changes", "stays", "undo"}
    assert 0 < body["estimate"]["seconds_low"] < body["estimate"]["seconds_high"]
    assert look(store) == [], "one alert leads to one proposal"


def test_too_few_pairs_are_said_once_and_proposed_when_there_are_enough(store: Store) -> None:
    collect(store, 3)
    fire(store, "prompt_drift")
    assert "5 more" in look(store)[0]
    assert look(store) == []
    with store.read() as tx:
        comments = tx.all(sa.select(tables.alert_comments))
    assert [(row["actor"], "5 more" in row["body"]) for row in comments] == [("system:policy", True)]
    assert proposed(store) == []
    collect(store, 12)
    look(store)
    assert [row["kind"] for row in proposed(store)] == ["retrain"]


def test_a_quality_alarm_soon_after_a_release_proposes_the_version_before(store: Store) -> None:
    collect(store, 12)
    release(store, answers=30)
    fire(store, "refusal_rate")
    look(store)
    (row,) = proposed(store)
    assert (row["kind"], row["body"]["from"], row["body"]["to"]) == ("rollback", "assistant-v1", "assistant-base")
    assert "30 answers after assistant-v1 went live" in row["reason"]
    with store.write(NOW) as tx:
        decisions.approve(tx, row["uuid"], actor="ann", digest=row["digest"])
        route = deployments.current(tx, "assistant")
    assert route is not None
    assert route["version"] == "assistant-base"
    assert look(store) == []


def test_an_alarm_raised_before_the_live_version_answered_stays_none_of_its_own(store: Store) -> None:
    collect(store, 12)
    release(store, answers=0)
    # The window that alarms holds answers of the version before; those of the new one come later.
    fire(store, "refusal_rate", at=NOW + timedelta(seconds=1))
    assert "replaced since" in look(store)[0]
    with store.write(NOW) as tx:
        inferences.record(tx, [make_inference(n) for n in range(2, 30)])
    assert look(store) == []
    assert proposed(store) == []


@pytest.mark.parametrize(
    ("statuses", "metric", "kind"),
    [
        ([503] * (decide.SETTLED_ANSWERS + 1), "errors", "rollback"),
        ([503] * 3, "refusal_rate", None),
        ([], "errors", None),
        ([404, 499], "errors", None),
    ],
    ids=["nothing but failures", "answers are another version's", "nobody asked", "clients' own errors"],
)
def test_a_version_that_never_answered_is_rolled_back_for_its_failures_alone(
    store: Store, statuses: list[int], metric: str, kind: str | None
) -> None:
    release(store, answers=0)
    with store.write(NOW) as tx:
        inferences.record(tx, [replace(make_inference(n), status=status) for n, status in enumerate(statuses)])
    fire(store, metric)
    assert len(look(store)) == 1
    assert [row["kind"] for row in proposed(store)] == ([kind] if kind else [])


def test_drift_after_a_release_is_not_the_releases_fault(store: Store) -> None:
    collect(store, 12)
    release(store, answers=30)
    fire(store, "prompt_drift")
    look(store)
    assert [row["kind"] for row in proposed(store)] == ["retrain"]


def test_a_settled_release_is_not_rolled_back(store: Store) -> None:
    collect(store, 12)
    release(store, answers=decide.SETTLED_ANSWERS + 1)
    fire(store, "refusal_rate")
    look(store)
    assert [row["kind"] for row in proposed(store)] == ["retrain"]


def test_only_rule_alerts_lead_to_proposals(store: Store) -> None:
    collect(store, 12)
    for kind in ("nodata", "error", "system"):
        fire(store, "refusal_rate", kind)
    assert look(store) == []
    assert proposed(store) == []


def test_a_second_alert_points_at_the_proposal_that_waits(store: Store) -> None:
    collect(store, 12)
    fire(store, "prompt_drift")
    look(store)
    fire(store, "refusal_rate")
    assert "already waits" in look(store)[0]
    assert look(store) == []
    assert len(proposed(store)) == 1


def test_a_rejected_proposal_is_not_made_again_for_the_same_alert(store: Store) -> None:
    collect(store, 12)
    fire(store, "prompt_drift")
    look(store)
    with store.write(NOW) as tx:
        decisions.reject(tx, proposed(store)[0]["uuid"], actor="ann", reason="Not yet.")
    assert look(store) == []
    assert proposed(store) == []


def test_nothing_is_trained_for_a_server_that_cannot_load_it(store: Store) -> None:
    collect(store, 12)
    fire(store, "prompt_drift")
    remote = replace(SETTINGS, gateway=replace(SETTINGS.gateway, server="openai_compatible"))
    with store.write(NOW) as tx:
        assert "cannot load what is trained here" in decide.decide(tx, remote)[0]
    assert proposed(store) == []


def test_a_proposal_of_full_weights_says_so_and_what_cannot_be_served_is_refused(store: Store) -> None:
    collect(store, 12)
    full = replace(SETTINGS, retrain=replace(SETTINGS.retrain, finetuning_type="full"))
    vllm = replace(full, gateway=replace(SETTINGS.gateway, server="vllm"))
    with store.write(NOW) as tx:
        with pytest.raises(Conflict, match="vllm cannot load a whole model"):
            decide.ask(tx, vllm, kind="retrain", actor="otto", reason="Worse.")
        body = decisions.get(tx, decide.ask(tx, full, kind="retrain", actor="otto", reason="Worse."))["body"]
    assert (body["spec"]["finetuning_type"], body["spec"]["lr"]) == ("full", 1e-6)
    assert "trains all weights of assistant-base" in body["changes"][0]


def test_no_adapter_is_trained_on_a_whole_model(store: Store) -> None:
    collect(store, 12)
    with store.write(NOW) as tx:
        whole = ModelVersion("assistant-v2", "2" * 64, "base", "chat", "versions/2", NOW, parent="assistant-base")
        versions.register(tx, whole, actor="x")
        deployments.request_promotion(tx, "assistant", "assistant-v2", actor="ann", reason="Better.")
        deployments.flip(tx, deployments.requested(tx)[0]["id"], actor="system:release")
        with pytest.raises(Conflict, match="assistant-v2 is a whole model"):
            decide.ask(tx, SETTINGS, kind="retrain", actor="otto", reason="Worse.")


def test_a_person_proposes_through_a_command(store: Store) -> None:
    collect(store, 12)
    with store.write(NOW) as tx:
        uuid = decide.ask(tx, SETTINGS, kind="retrain", actor="otto", reason="Customers complain.")
        assert decisions.get(tx, uuid)["proposer"] == "otto"
        assert "propose" in commands.KINDS
        with pytest.raises(Conflict, match="no earlier version"):
            decide.ask(tx, SETTINGS, kind="rollback", actor="otto", reason="Worse.")
    with store.write(NOW) as tx, pytest.raises(Forbidden):
        decide.ask(tx, replace(SETTINGS, deployment="assistant"), kind="retrain", actor="vera", reason="I want to.")


def test_what_the_policy_would_not_propose_a_person_cannot_either(store: Store) -> None:
    collect(store, 3)
    with store.write(NOW) as tx:
        with pytest.raises(InvalidInput, match="reason"):
            decide.ask(tx, SETTINGS, kind="retrain", actor="otto", reason="  ")
        with pytest.raises(Conflict, match="5 more approved"):
            decide.ask(tx, SETTINGS, kind="retrain", actor="otto", reason="Worse.")
    collect(store, 12)
    remote = replace(SETTINGS, gateway=GatewaySettings(server="openai_compatible"))
    with store.write(NOW) as tx, pytest.raises(Conflict, match="cannot load what is trained here"):
        decide.ask(tx, remote, kind="retrain", actor="otto", reason="Worse.")
    assert proposed(store) == []


def test_a_person_proposes_a_run_on_a_locked_dataset_while_its_pairs_stand(store: Store) -> None:
    collect(store, 12)
    with store.write(NOW) as tx:
        found = pairs.approved(tx, 20)
        locked = datasets.lock(tx, train=found[:6], held_out=found[6:10], card={}, actor="otto")
        small = datasets.lock(tx, train=found[:4], held_out=found[4:6], card={}, actor="otto")
        ask = partial(decide.ask, tx, kind="retrain", actor="otto", reason="Only what we have read.")
        with pytest.raises(NotFound, match="no such dataset"):
            ask(SETTINGS, dataset="0" * 64)
        with pytest.raises(Conflict, match="needs 2 more"):
            ask(SETTINGS, dataset=small["digest"])
        thumbs = replace(SETTINGS, retrain=RetrainSettings(minimum_pairs=8, trainer="kto"))
        with pytest.raises(Conflict, match="learns from thumbs"):
            ask(thumbs, dataset=locked["digest"])
        ask(SETTINGS, dataset=locked["digest"])
    (row,) = proposed(store)
    assert row["body"]["spec"]["dataset"] == locked["digest"]
    assert row["body"]["spec"]["steps"] == ceil(3 * 6 / row["body"]["spec"]["pairs_per_step"])
    assert f"from the locked dataset {locked['digest'][:16]}." in row["body"]["changes"][0]
    with store.write(NOW) as tx:
        pairs.judge(tx, {found[2].id: ["It names a person."]}, actor="system:test")
        with pytest.raises(Conflict, match="Of the dataset's pairs 1 are no longer approved"):
            decide.ask(tx, SETTINGS, kind="retrain", actor="otto", reason="Again.", dataset=locked["digest"])


def test_what_suits_the_hardware_goes_from_the_settings_into_what_the_run_and_customs_are_told(store: Store) -> None:
    chosen = RetrainSettings(minimum_pairs=8, tokens_per_batch=300, precision="fp32")
    settings = replace(SETTINGS, retrain=chosen)
    collect(store, 12)
    with store.write(NOW) as tx:
        decide.ask(tx, settings, kind="retrain", actor="otto", reason="Answers are curt.")
        champion = versions.get(tx, "assistant-base")
    spec = proposed(store)[0]["body"]["spec"]
    assert (spec["tokens_per_batch"], spec["precision"]) == (300, "fp32")
    told = parse_spec(stages.compose(spec, champion, SETTINGS, 12))
    assert (told.tokens_per_batch, told.precision) == (300, "fp32"), "a run keeps what it was proposed with"
    del spec["tokens_per_batch"], spec["precision"]
    old = parse_spec(stages.compose(spec, champion, settings, 12))
    assert (old.tokens_per_batch, old.precision) == (1024, "auto"), "and one from before has what it had then"
    asked = margins.compose(settings, threads=1, seed=0)
    assert (asked.tokens_per_batch, asked.precision) == (300, "fp32")


def obeyed(store: Store, actor: str = "otto", **args: str) -> Any:
    """Ask the worker as `actor`, let it obey, and return what became of the command."""
    with store.write(NOW) as tx:
        uuid = commands.ask(tx, "propose", owner="retrain", args={"alert": "", **args}, actor=actor)
    with store.write(NOW) as tx:
        assert orders.obey(tx, SETTINGS, "worker")
    with store.read() as tx:
        return commands.get(tx, uuid)


def test_a_command_becomes_a_proposal_that_its_asker_cannot_approve(store: Store) -> None:
    collect(store, 12)
    release(store, answers=30)
    fire(store, "refusal_rate")
    with store.read() as tx:
        alert = tx.all(sa.select(tables.alerts))[0]
    done = obeyed(store, kind="rollback", reason="Worse since Monday.", alert=alert["uuid"])
    assert done["state"] == "done" and not done["result"]["waited_already"]
    (row,) = proposed(store)
    assert (row["uuid"], row["proposer"], row["alert_id"]) == (done["result"]["decision"], "otto", alert["id"])
    assert row["body"]["reason"] == "Worse since Monday." and row["expires_at"] > NOW
    with store.write(NOW) as tx:
        tx.execute(sa.update(tables.accounts).where(tables.accounts.c.name == "otto").values(role="approver"))
    with store.write(NOW) as tx, pytest.raises(Forbidden, match="own proposal"):
        decisions.approve(tx, row["uuid"], actor="otto", digest=row["digest"])
    again = obeyed(store, "ann", kind="rollback", reason="I think so too.")
    assert again["result"] == {"decision": row["uuid"], "waited_already": True}
    assert look(store) == [], "the alert has its proposal"


def test_a_proposal_that_is_refused_ends_its_command_with_the_sentence(store: Store) -> None:
    refused = obeyed(store, kind="rollback", reason="Worse.")
    assert refused["state"] == "failed" and "no earlier version" in refused["message"]
    assert "no such alert" in obeyed(store, kind="rollback", reason="Worse.", alert="nothing")["message"]
    assert proposed(store) == []
    with store.write(NOW) as tx:
        assert orders.obey(tx, SETTINGS, "worker") == ""


def test_the_last_run_here_makes_the_estimate(store: Store) -> None:
    collect(store, 12)
    with store.write(NOW) as tx:
        runs.queue(tx, spec={}, requested_by="ann")
        tx.execute(sa.update(tables.runs).values(forecast={"tokens_per_second": 10.0}))
    fire(store, "prompt_drift")
    look(store)
    assert proposed(store)[0]["body"]["estimate"]["basis"] == "10 tokens/s in the last run here"


@pytest.mark.parametrize("resumed", [False, True])
def test_an_estimate_counts_what_the_last_run_took_beside_its_training(store: Store, resumed: bool) -> None:
    """On two busy cores a gate may take four times as long as the training before it."""
    collect(store, 12)
    with store.write(NOW) as tx:
        runs.queue(tx, spec={}, requested_by="ann")
        took = {"started_at": NOW - timedelta(minutes=12), "ended_at": NOW, "state": "succeeded"}
        tx.execute(sa.update(tables.runs).values(forecast={"tokens_per_second": 10.0}, **took))
        id = tx.scalar(sa.select(tables.runs.c.id))
        events = ["start", *(["start"] if resumed else []), "end"]
        for line, event in enumerate(events):
            data = {"event": event, **({"seconds": 120.0} if event == "end" else {})}
            tx.insert(tables.run_progress, run_id=id, line=line, at=NOW, data=data)
    fire(store, "prompt_drift")
    look(store)
    found = proposed(store)[0]["body"]["estimate"]
    if resumed:
        assert found["basis"] == "10 tokens/s in the last run here", "it may have waited for a day"
    else:
        assert found["basis"] == "10 tokens/s, and 10 min beside training in the last run here"
        assert found["seconds_low"] > 0.7 * 600 and found["seconds_high"] > 1.3 * 600
