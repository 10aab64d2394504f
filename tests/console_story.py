"""A day in the shop for pictures and tests of the console: looks, an alert, proposals, runs and a gate."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from store import alerts, decisions, options, runs
from store import monitors as monitor_rows
from store.queries.budget import LEDGER
from store.tables import alert_comments, channels, measurements, outbox, ticks
from store.unit_of_work import Tx
from tests.console_gates import tell_gates

if TYPE_CHECKING:
    from tests.console_world import World

Say = Callable[[str], str]

# name: what is measured, the alert's title, its level, its rise at the end, its limit
SERIES: dict[str, tuple[str, str, float | None, float, float | None]] = {
    "prompt_drift": ("prompt_drift", "People ask for something new", 0.02, 0.9, None),
    "refusal_rate": ("refusal_rate", "The model refuses more often", 0.04, 0.02, None),
    "negative_feedback": ("negative_feedback", "People dislike more answers", 0.12, 0.05, None),
    "response_length": ("response_length", "Answers have changed in length", 212.0, 6.0, None),
    "latency": ("latency_p95_ms", "Answers are slow", 640.0, 40.0, 20_000.0),
    "errors": ("errors", "Requests fail", 0.002, 0.0, 0.02),
    "bias_twins": ("bias_twins", "Some people get worse answers", None, 0.0, None),
    "adversarial": ("adversarial", "The model can be talked out of its rules", 0.31, 0.0, 0.9),
}


def tell_monitors(world: World, say: Say) -> None:
    """Sixty looks of each monitor; what people ask moves near the end."""
    draw = random.Random(7)
    with world.store.write(world.now - timedelta(hours=21)) as tx:
        for name, (metric, title, _, _, limit) in SERIES.items():
            limits = [{"metric": metric, "direction": "above", "limit": limit}] if limit is not None else []
            monitor_rows.ensure(
                tx,
                name=name,
                metric=name,
                title=say(title),
                rule=limits[0] if limits else {},
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
        _ledger(tx)
    for look in range(60):
        at = world.now - timedelta(minutes=20 * (60 - look))
        with world.store.write(at) as tx:
            for name in SERIES:
                _look(tx, name, look, draw, say)


def _ledger(tx: Tx) -> None:
    """What the two epochs were given out of the period's budget."""
    given = {name: {f"{name}/1": 0.05} for name in ("prompt_drift", "refusal_rate")}
    value = {
        "started_at": tx.now.isoformat(),
        "ends_at": (tx.now + timedelta(days=90)).isoformat(),
        "weights": {},
        "spent": 0.1,
        "budget": {"total": 1.0, "shares": {}, "grants": given},
    }
    options.put(tx, LEDGER, value, actor="system:monitors")


def _look(tx: Tx, name: str, look: int, draw: random.Random, say: Say) -> None:
    metric, _, usual, rise, limit = SERIES[name]
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
        "metric": metric,
        "version": "assistant-v1",
        "first_id": 1,
        "last_id": look,
    }
    if usual is None:
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
    share = metric in ("prompt_drift", "refusal_rate", "negative_feedback", "errors", "adversarial")
    level = usual + rise * max(look - 45, 0) / 15
    value = level * (1 + draw.uniform(-0.08, 0.08))
    n = 200 + 5 * look
    width = 1.96 * math.sqrt(max(value * (1 - value), 1e-4) / n) if share and value < 1 else abs(level) * 0.06
    status = "breach" if name == "prompt_drift" and look > 52 else "ok"
    details = {"limit": limit, "direction": "above"} if limit is not None else {"words": say("seen in topics")}
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


def tell_alerts(world: World, say: Say) -> None:
    """One alert that fires, one that is over, a comment, a silence and a notice."""
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


def tell_runs(world: World, say: Say) -> None:
    """A run that made a candidate, one that is training, and two proposals that wait."""
    spec = {
        "base_model": "chat",
        "champion": "assistant-v1",
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
        tell_gates(tx, say, run["id"])
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
        runs.note(tx, run["id"], run["fence"], forecast=estimate)
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
