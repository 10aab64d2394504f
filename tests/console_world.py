"""A small installation for tests and pictures of the console: a real store with a day of a shop's support assistant."""

from __future__ import annotations

import json
import math
import random
import uuid as uuids
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core.gate import combine
from core.settings import DashboardSettings, Settings
from core.types import Check, Estimate, Feedback, GateReport, Inference, ModelVersion
from store import accounts, alerts, decisions, deployments, feedback, inferences, runs, versions
from store import heartbeats as pulses
from store import monitors as monitor_rows
from store.schema import upgrade
from store.tables import alert_comments, channels, heartbeats, measurements, outbox, ticks
from store.tables import alerts as alert_table
from store.unit_of_work import Store, Tx

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
PASSWORD = "a long enough password"
PEOPLE = {"root": "admin", "ann": "approver", "bea": "approver", "otto": "operator", "vera": "viewer"}
Say = Callable[[str], str]


def as_it_is(text: str) -> str:
    """Texts as the shop's customers would write them."""
    return text


@dataclass
class World:
    """The installation and the uuids that pages are asked for."""

    settings: Settings
    store: Store
    now: datetime
    alert: str = ""
    retrain: str = ""
    promote: str = ""
    run: str = ""
    rows: tuple[str, ...] = ()

    def sign_in(self, name: str) -> str:
        """A session's token for `name`."""
        return accounts.sign_in(self.store, name, PASSWORD, now=self.now, hours=12)


def build_empty(folder: Path, *, now: datetime = NOW, port: int = 8702, demo: bool = False) -> World:
    """An installation as the first start leaves it: tables and accounts, nothing else."""
    settings = Settings(home=folder, models_home=folder / "models", dashboard=DashboardSettings(port=port, demo=demo))
    store = Store.open(settings.store_url)
    upgrade(store, now=now - timedelta(days=2))
    with store.write(now - timedelta(days=2)) as tx:
        for name, role in PEOPLE.items():
            accounts.create(tx, name, PASSWORD, role, actor="system:setup")
    return World(settings, store, now)


def build_filled(
    folder: Path, *, say: Say = as_it_is, now: datetime = NOW, port: int = 8702, demo: bool = False
) -> World:
    """The same with a day of traffic, an alert that fires, a proposal, runs, a judged candidate and two releases."""
    world = build_empty(folder, now=now, port=port, demo=demo)
    store = world.store
    with store.write(now - timedelta(days=1)) as tx:
        _models(tx, say)
    with store.write(now - timedelta(hours=20)) as tx:
        _traffic(tx, world, say)
    _monitors(world, say)
    _alerts(world, say)
    _runs(world, say)
    with store.write(now) as tx:
        for role in ("gateway", "monitors", "retrain"):
            pulses.beat(tx, f"{role}-1", role, 4000, now - timedelta(hours=3), {"version": "0.1.0"})
        # The pages' clock stands still in tests, the pulses' does not.
        tx.execute(heartbeats.update().values(at=tx.database_now() + timedelta(hours=1)))
    return world


def _models(tx: Tx, say: Say) -> None:
    at = tx.now
    base = ModelVersion(
        "assistant-base",
        "b" * 64,
        "base",
        "",
        "",
        at,
        fingerprint="f0" * 16,
        card={"model": "SmolLM2-135M-Instruct", "licence": "Apache-2.0"},
    )
    first = ModelVersion(
        "assistant-v1",
        "1" * 64,
        "adapter",
        "assistant-base",
        "versions/1",
        at,
        parent="assistant-base",
        fingerprint="f1" * 16,
        card={"pairs": 214, "note": say("Trained on the first month of feedback.")},
    )
    second = ModelVersion(
        "assistant-v2",
        "2" * 64,
        "adapter",
        "assistant-base",
        "versions/2",
        at + timedelta(hours=22),
        parent="assistant-v1",
        fingerprint="f2" * 16,
        card={"pairs": 256, "note": say("Adds answers about the loyalty programme.")},
    )
    third = ModelVersion(
        "assistant-v3",
        "3" * 64,
        "adapter",
        "assistant-base",
        "versions/3",
        at + timedelta(hours=23),
        parent="assistant-v1",
        fingerprint="f3" * 16,
        card={"pairs": 96},
    )
    for version in (base, first, second, third):
        versions.register(tx, version, actor="system:retrain")
    deployments.install(tx, "assistant", "assistant-base", actor="system:setup")
    uuid = deployments.request_promotion(
        tx, "assistant", "assistant-v1", actor="ann", reason=say("Better on every check.")
    )
    row = next(row for row in deployments.requested(tx) if row["uuid"] == uuid)
    deployments.flip(tx, row["id"], actor="system:retrain", fingerprint="f1" * 16)
    deployments.verify(tx, row["id"], "f1" * 16, actor="system:retrain")


ASKED = (
    ("Where is my parcel? It was due on Tuesday.", "I am sorry for the wait. Your parcel left the depot this morning."),
    ("Can I return shoes that I wore once?", "You can return them within 30 days if they look unworn."),
    ("How many loyalty points do I get for a refund?", "I cannot help with that."),
    ("My points disappeared after the update, why?", "I cannot help with that."),
    ("Can I pay with loyalty points and a card together?", "Please contact support."),
)


def _traffic(tx: Tx, world: World, say: Say) -> None:
    rows = []
    for number in range(200):
        prompt, answer = ASKED[number % len(ASKED)]
        rows.append(
            Inference(
                uuid=str(uuids.UUID(int=number + 1)),
                at=tx.now + timedelta(minutes=6 * number),
                deployment="assistant",
                version="assistant-v1",
                kind="live",
                messages=[{"role": "user", "content": say(prompt)}],
                prompt=say(prompt),
                response=say(answer),
                latency_ms=420.0,
                labels={"channel": say("web")},
            )
        )
    inferences.record(tx, rows)
    for row in rows[:30]:
        item = Feedback(
            str(uuids.uuid4()), row.at, "thumb", inference=row.uuid, value=-1.0, comment=say("Not what I asked.")
        )
        feedback.record(tx, item)
    world.rows = tuple(row.uuid for row in rows)


SERIES: dict[str, dict[str, Any]] = {
    "prompt_drift": {"metric": "prompt_drift", "title": "People ask for something new", "level": 0.02, "rise": 0.9},
    "refusal_rate": {"metric": "refusal_rate", "title": "The model refuses more often", "level": 0.04, "rise": 0.02},
    "negative_feedback": {
        "metric": "negative_feedback",
        "title": "People dislike more answers",
        "level": 0.12,
        "rise": 0.05,
    },
    "response_length": {
        "metric": "response_length",
        "title": "Answers have changed in length",
        "level": 212.0,
        "rise": 6.0,
    },
    "latency": {
        "metric": "latency_p95_ms",
        "title": "Answers are slow",
        "level": 640.0,
        "rise": 40.0,
        "limit": 20_000.0,
    },
    "errors": {"metric": "errors", "title": "Requests fail", "level": 0.002, "rise": 0.0, "limit": 0.02},
    "bias_twins": {"metric": "bias_twins", "title": "Some people get worse answers", "level": None},
    "adversarial": {
        "metric": "adversarial",
        "title": "The model can be talked out of its rules",
        "level": 0.31,
        "rise": 0.0,
        "limit": 0.9,
    },
}


def _monitors(world: World, say: Say) -> None:
    draw = random.Random(7)
    with world.store.write(world.now - timedelta(hours=21)) as tx:
        for name, made in SERIES.items():
            limits = (
                [{"metric": made["metric"], "direction": "above", "limit": made["limit"]}] if "limit" in made else []
            )
            monitor_rows.ensure(
                tx,
                name=name,
                metric=name,
                title=say(made["title"]),
                rule={"limits": limits} if limits else {},
                params={},
                plan={},
                every_seconds=600.0,
                enabled=True,
                weight=0.0 if limits else 1.0,
                severity="warning",
            )
        for name in ("prompt_drift", "refusal_rate"):
            monitor = monitor_rows.get(tx, name)
            monitor_rows.start_epoch(
                tx,
                monitor,
                reason="First epoch.",
                reference_first=1,
                reference_last=100,
                reference_rows=100,
                alpha=0.05,
                horizon=10_000,
                seed=1,
                seen_id=100,
                seen_rows=0,
                state=b"",
                details={},
            )
    for look in range(60):
        at = world.now - timedelta(minutes=20 * (60 - look))
        with world.store.write(at) as tx:
            for name, made in SERIES.items():
                _look(tx, name, made, look, draw, say)


def _look(tx: Tx, name: str, made: dict[str, Any], look: int, draw: random.Random, say: Say) -> None:
    monitor = monitor_rows.get(tx, name)
    tick = tx.insert(
        ticks,
        monitor_id=monitor["id"],
        scheduled_for=tx.now,
        state="done",
        claimed_by="monitors-1",
        lease_until=tx.now,
        fence=1,
        started_at=tx.now,
        finished_at=tx.now,
    )
    common = {
        "monitor_id": monitor["id"],
        "tick_id": tick,
        "at": tx.now,
        "metric": made["metric"],
        "version": "assistant-v1",
        "first_id": 1,
        "last_id": look,
    }
    if made["level"] is None:
        tx.insert(
            measurements,
            **common,
            status="nodata",
            n=12,
            needed=28,
            method="none",
            reason="28 more prompts are needed.",
            details={},
        )
        return
    share = made["metric"] in ("prompt_drift", "refusal_rate", "negative_feedback", "errors", "adversarial")
    level = made["level"] + made["rise"] * max(look - 45, 0) / 15 * (1 if made["rise"] else 0)
    value = level * (1 + draw.uniform(-0.08, 0.08))
    n = 200 + 5 * look
    width = 1.96 * math.sqrt(max(value * (1 - value), 1e-4) / n) if share and value < 1 else abs(level) * 0.06
    status = "breach" if name == "prompt_drift" and look > 52 else "ok"
    details = {"limit": made["limit"], "direction": "above"} if "limit" in made else {"words": say("seen in topics")}
    tx.insert(
        measurements,
        **common,
        status=status,
        value=value,
        low=max(value - width, 0.0),
        high=value + width,
        n=n,
        method="Clopper-Pearson 95 %" if share else "order statistics 95 %",
        details=details,
    )


def _alerts(world: World, say: Say) -> None:
    fired = world.now - timedelta(hours=2)
    with world.store.write(fired) as tx:
        monitor = monitor_rows.get(tx, "prompt_drift")
        measured = {
            "metric": "prompt_drift",
            "value": 0.43,
            "low": 0.36,
            "high": 0.5,
            "n": 460,
            "method": "sequential",
            "status": "breach",
        }
        alerts.apply(
            tx,
            alerts.Finding(
                "prompt_drift",
                "rule",
                True,
                say("People ask about loyalty points, which the reference did not hold."),
                monitor_id=monitor["id"],
                measurement=measured,
                why={
                    **measured,
                    "sentence": say(
                        "43 % of the last 460 conversations open with something the reference does not know."
                    ),
                    "window": {
                        "rows": 460,
                        "first_id": 101,
                        "last_id": 200,
                        "from": "2026-11-20T09:00:00+00:00",
                        "to": "2026-11-20T13:00:00+00:00",
                    },
                    "reference": {"rows": 1000, "version": "assistant-v1"},
                    "limit": {
                        "alpha": 0.05,
                        "words": "While nothing changes, the chance of any false alarm in this epoch is at most 0.05.",
                    },
                    "view_words": say("the meaning of the prompts"),
                    "rows": [{"uuid": uuid, "topic": say("points loyalty refund")} for uuid in world.rows[2:5]],
                    "topics": [
                        {
                            "name": say("points loyalty refund"),
                            "share_now": 0.41,
                            "share_reference": 0.01,
                            "now": 189,
                            "reference": 10,
                            "p": 1e-9,
                            "significant": True,
                        },
                        {
                            "name": say("parcel late delivery"),
                            "share_now": 0.2,
                            "share_reference": 0.33,
                            "now": 92,
                            "reference": 330,
                            "p": 0.2,
                            "significant": False,
                        },
                    ],
                    "segments": [
                        {
                            "name": say("channel: web"),
                            "share_now": 0.7,
                            "share_reference": 0.64,
                            "now": 322,
                            "reference": 640,
                            "p": 0.4,
                            "significant": False,
                        }
                    ],
                    "changes": [{"at": "2026-11-20T12:41:00+00:00", "what": say("import: 120 rows of traffic")}],
                    "suggested": say(
                        "Read the rows below. If these are real users, collect feedback and propose retraining."
                    ),
                },
            ),
        )
        latency = monitor_rows.get(tx, "latency")
        alerts.apply(
            tx,
            alerts.Finding(
                "latency",
                "rule",
                True,
                say("95 % of answers took up to 23 s."),
                monitor_id=latency["id"],
                measurement={},
            ),
        )
    with world.store.write(fired + timedelta(minutes=30)) as tx:
        alerts.apply(tx, alerts.Finding("latency", "rule", False, "", monitor_id=monitor_rows.get(tx, "latency")["id"]))
        world.alert = str(alerts.open_alerts(tx, "prompt_drift")[0]["uuid"])
        alert_id = int(alerts.get(tx, world.alert)["id"])
        tx.insert(
            alert_comments,
            alert_id=alert_id,
            at=tx.now,
            actor="otto",
            body=say("Marketing announced the loyalty programme today."),
        )
        alerts.silence(
            tx,
            monitor="latency",
            reason=say("The provider is being moved."),
            ends_at=world.now + timedelta(hours=5),
            actor="otto",
        )
        channel = tx.insert(channels, name=say("on-call"), kind="webhook", config={}, enabled=True, created_at=tx.now)
        tx.insert(
            outbox,
            key="k1",
            channel_id=channel,
            alert_id=alert_id,
            notice={},
            state="sent",
            attempts=1,
            next_at=tx.now,
            created_at=tx.now,
            sent_at=tx.now,
        )


def _runs(world: World, say: Say) -> None:
    spec = {
        "base_model": "chat",
        "trainer": "dpo",
        "max_steps": 64,
        "lr": 2e-4,
        "beta": 0.1,
        "pairs_per_step": 4,
        "seed": 1,
    }
    estimate = {
        "seconds_low": 240,
        "seconds_high": 600,
        "memory_mb": 2200,
        "device": "cpu",
        "basis": "410 tokens/s in the last run here",
    }
    forecast = estimate
    words = {
        "changes": [
            say("A run of at most 64 steps trains a LoRA adapter on assistant-v1 from approved preference pairs.")
        ],
        "stays": [say("assistant-v1 goes on answering."), "No pair, version or deployment is changed or removed."],
        "undo": say("Stop the run at any time on the Runs page; its checkpoint is kept."),
    }
    with world.store.write(world.now - timedelta(hours=3)) as tx:
        old = decisions.propose(
            tx,
            kind="retrain",
            subject="assistant",
            proposer="system:policy",
            reason=say("Answers about returns were rated badly."),
            body={"spec": spec, "estimate": estimate, "pairs": {"approved": 256}, **words},
            expires_at=world.now + timedelta(days=2),
        )
        decisions.approve(tx, old, actor="ann", digest=decisions.get(tx, old)["digest"], comment=say("Good pairs, go."))
        run = runs.claim(tx, "retrain-1", lease_seconds=3600 * 24 * 365)
        assert run is not None
        _progress(tx, run, steps=64)
        runs.advance(tx, run["id"], run["fence"], "gate")
        runs.note(tx, run["id"], run["fence"], candidate="assistant-v2")
        _gate(tx, say, run["id"])
        runs.finish(tx, run["id"], run["fence"], "succeeded", say("Candidate assistant-v2 passed its gate."))
        world.promote = decisions.propose(
            tx,
            kind="promote",
            subject="assistant-v2",
            proposer="system:policy",
            reason=say("assistant-v2 passed its gate against assistant-v1."),
            body={
                "deployment": "assistant",
                "candidate": "assistant-v2",
                "champion": "assistant-v1",
                "verdict": "pass",
                "changes": [
                    say("assistant is answered by assistant-v2 once it is loaded and its fingerprint is proved.")
                ],
                "stays": ["assistant-v1 stays loaded for a rollback."],
                "undo": "Roll back to assistant-v1: one button, under a second.",
            },
            expires_at=world.now + timedelta(days=3),
        )
    with world.store.write(world.now - timedelta(minutes=8)) as tx:
        uuid = runs.queue(tx, spec=spec, requested_by="bea")
        run = runs.claim(tx, "retrain-1", lease_seconds=3600 * 24 * 365)
        assert run is not None
        runs.advance(tx, run["id"], run["fence"], "train")
        runs.note(tx, run["id"], run["fence"], forecast=forecast)
        _progress(tx, run, steps=23)
        world.run = uuid
    with world.store.write(world.now - timedelta(hours=1)) as tx:
        alert_id = int(alerts.get(tx, world.alert)["id"])
        world.retrain = decisions.propose(
            tx,
            kind="retrain",
            subject="assistant",
            proposer="system:policy",
            alert_id=alert_id,
            reason=say("What people ask has moved, and 312 approved preference pairs are there to learn from."),
            body={"spec": spec, "estimate": estimate, "pairs": {"approved": 312, "quarantined": 7}, **words},
            expires_at=world.now + timedelta(days=3),
        )


def _progress(tx: Tx, run: Any, *, steps: int) -> None:
    draw = random.Random(3)
    lines: list[dict[str, Any]] = [
        {
            "event": "start",
            "step": 0,
            "of": 64,
            "pairs": 256,
            "held_out": 64,
            "device": "CPU, 2 threads",
            "precision": "bf16",
        }
    ]
    for step in range(1, steps + 1):
        fall = math.exp(-step / 30)
        loss = 0.35 + 0.343 * fall + draw.uniform(-0.03, 0.03)
        lines.append(
            {
                "event": "step",
                "step": step,
                "of": 64,
                "loss": loss,
                "margin": 1.1 * (1 - fall) + draw.uniform(-0.1, 0.1),
                "accuracy": min(0.5 + 0.3 * (1 - fall) + draw.uniform(-0.1, 0.1), 1.0),
                "chosen_logp": -80.0,
                "eta_s": 6.0 * (64 - step),
                "tokens_per_second": 410.0,
            }
        )
        if step % 16 == 0:
            lines.append(
                {
                    "event": "eval",
                    "step": step,
                    "of": 64,
                    "loss": 0.4 + 0.29 * fall,
                    "margin": 0.9 * (1 - fall),
                    "accuracy": 0.5 + 0.22 * (1 - fall),
                }
            )
    latest = {key: lines[-1].get(key) for key in ("step", "of", "eta_s")}
    runs.progress(tx, run["id"], run["fence"], latest=latest, lines=list(enumerate(json.loads(json.dumps(lines)), 1)))


def _gate(tx: Tx, say: Say, run_id: int) -> None:
    method = "paired, 95 %"
    sound = Check(
        "integrity", "pass", say("safetensors and JSON only, and its digest is the one it was adopted under.")
    )
    better = say("The candidate is better: the whole interval is above the limit.")
    same = say("No worse than the margin allows.")
    good = (
        sound,
        Check("held_out_accuracy", "pass", better, Estimate(0.11, 0.04, 0.18, 256, method), 0.0),
        Check("refusal_rate", "pass", same, Estimate(-0.02, -0.05, 0.01, 120, method), 0.1),
        Check("attack_success", "pass", same, Estimate(0.01, -0.05, 0.07, 60, method), 0.1),
        Check("over_refusal", "pass", same, Estimate(-0.03, -0.09, 0.03, 60, method), 0.1),
        Check("shorter_answers", "pass", same, Estimate(0.04, 0.01, 0.07, 120, method), 0.25),
    )
    unsure = say("The interval reaches past the margin: not enough evidence.")
    poor = (
        sound,
        Check("held_out_accuracy", "undecided", unsure, Estimate(0.02, -0.05, 0.09, 96, method), 0.0),
        Check(
            "shorter_answers",
            "fail",
            say("Worse than the margin allows."),
            Estimate(0.31, 0.27, 0.35, 120, method),
            0.25,
        ),
        Check("refusal_rate", "undecided", say("Not enough data (12 rows)."), Estimate.missing(12, method, 28), 0.1),
    )
    for name, checks, run in (("assistant-v2", good, run_id), ("assistant-v3", poor, None)):
        report = GateReport(name, "assistant-v1", combine(checks), checks, tx.now)
        versions.report(tx, report, run_id=run, actor="system:retrain")


def resolved(world: World) -> None:
    """End every alert, for pages about quiet."""
    with world.store.write(world.now) as tx:
        tx.execute(alert_table.update().values(state="resolved", resolved_at=world.now - timedelta(minutes=30)))
