"""What a proposal shows, word for word: why, what changes, what does not, what it costs, and how to undo it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from core.settings import RetrainSettings
from core.types import GateReport
from retrain.cost import choose_precision, estimate

# The same proposal must be the same run wherever it is approved.
SEED = 7
TRAINED = {"lora": "a LoRA adapter on", "full": "all weights of"}
EXAMPLES = {"dpo": "approved preference pairs", "kto": "thumbs on single answers; pairs judge it"}


def retraining(
    settings: RetrainSettings,
    *,
    deployment: str,
    base: str,
    champion: str,
    reason: str,
    alert: Mapping[str, Any] | None,
    pairs: Mapping[str, int],
    tokens_per_pair: int,
    throughput: float | None,
    gpu: bool,
    around: float | None = None,
    parameters: int = 0,
    dataset: Mapping[Any, Any] | None = None,
) -> dict[str, Any]:
    """The body of a retraining proposal.

    `pairs` counts pairs by state; `throughput` is tokens a second last seen, `around` the seconds of the last run
    beside its training; `parameters` are the model's, asked for where all of them train.
    """
    full = settings.finetuning_type == "full"
    drawn = dataset["train_pairs"] if dataset else math.floor(0.75 * pairs["approved"])
    train = drawn if dataset else min(settings.max_train_pairs, drawn)
    examples = f"the locked dataset {dataset['digest'][:16]}" if dataset else EXAMPLES[settings.trainer]
    steps = min(settings.max_steps, math.ceil(3 * max(1, train) / settings.pairs_per_step))
    device = settings.device if settings.device != "auto" else ("cuda" if gpu else "cpu")
    return {
        "title": f"Retrain {deployment}",
        "reason": reason,
        "alert": dict(alert) if alert else None,
        "pairs": dict(pairs),
        "spec": {
            "deployment": deployment,
            "base": base,
            "champion": champion,
            "trainer": settings.trainer,
            "steps": steps,
            "pairs_per_step": settings.pairs_per_step,
            "tokens_per_batch": settings.tokens_per_batch,
            "precision": settings.precision,
            "lr": settings.full_learning_rate if full else settings.learning_rate,
            "beta": settings.beta,
            "seed": SEED,
            "device": settings.device,
            "max_train_pairs": settings.max_train_pairs,
            "max_held_out_pairs": settings.max_held_out_pairs,
            **({"finetuning_type": "full"} if full else {}),
            **({"dataset": dataset["digest"]} if dataset else {}),
        },
        "estimate": estimate(
            pairs=steps * settings.pairs_per_step,
            tokens_per_pair=tokens_per_pair,
            throughput=throughput,
            around=around,
            device=device,
            tokens_at_once=min(settings.tokens_per_batch, settings.pairs_per_step * tokens_per_pair),
            precision=choose_precision(settings.precision, device),
            parameters=parameters if full else 0,
        ),
        "changes": [
            f"A run of at most {steps} steps trains {TRAINED[settings.finetuning_type]} {champion} from {examples}.",
            "It writes one new version, judges it, and asks again before anything goes live.",
        ],
        "stays": [f"{champion} goes on answering.", "No pair, version or deployment is changed or removed."],
        "undo": "Stop the run at any time on the Runs page; its checkpoint is kept.",
    }


def rollback(*, deployment: str, live: str, to: str, reason: str, alert: Mapping[str, Any] | None) -> dict[str, Any]:
    """The body of a rollback proposal."""
    return {
        "title": f"Roll {deployment} back to {to}",
        "reason": reason,
        "alert": dict(alert) if alert else None,
        "deployment": deployment,
        "from": live,
        "to": to,
        "estimate": {"seconds": 1},
        "changes": [f"{deployment} is answered by {to} within a second; a fingerprint proves it."],
        "stays": [f"{live} is kept and can be promoted again.", "Answers under way are finished."],
        "undo": f"Roll back to {live} by name, or promote it again.",
    }


def promotion(report: GateReport, digest: str, *, deployment: str, run: str) -> dict[str, Any]:
    """The body of a promotion proposal: the gate's report with each check in a line."""
    passed = sum(check.verdict == "pass" for check in report.checks)
    return {
        "title": f"Promote {report.candidate}",
        "reason": f"{report.candidate} passed the gate against {report.champion} on all {passed} checks.",
        "alert": None,
        "deployment": deployment,
        "candidate": report.candidate,
        "champion": report.champion,
        "run": run,
        "report": digest,
        "verdict": report.verdict,
        "checks": [
            {
                "name": check.name,
                "verdict": check.verdict,
                "reason": check.reason,
                "value": check.estimate.value if check.estimate else None,
                "low": check.estimate.low if check.estimate else None,
                "high": check.estimate.high if check.estimate else None,
                "n": check.estimate.n if check.estimate else None,
                "limit": check.limit,
            }
            for check in report.checks
        ],
        "changes": [
            f"{deployment} is answered by {report.candidate} once it is loaded and its fingerprint is proved.",
        ],
        "stays": [f"{report.champion} stays loaded for a rollback.", "Answers under way are finished."],
        "undo": f"Roll back to {report.champion}: one button, under a second.",
    }


def override(report: GateReport, digest: str, *, deployment: str, run: str, reason: str) -> dict[str, Any]:
    """The body of a proposal to promote past a gate that did not pass, with what it says and why that is put aside."""
    body = promotion(report, digest, deployment=deployment, run=run)
    blocking = [check.name for check in report.checks if check.verdict != "pass" and check.required]
    said = "failed" if report.verdict == "fail" else "lacks evidence"
    return {
        **body,
        "title": f"Promote {report.candidate} past its gate",
        "reason": f"Override: the gate {said} on {', '.join(blocking).replace('_', ' ')}. {reason}",
        "override": {"verdict": report.verdict, "blocking": blocking, "reason": reason},
        "changes": [
            f"{report.candidate} goes live although its gate did not pass. The report stays as it is.",
            *body["changes"],
            "Who asked, who approved and both reasons stand in the audit chain for good.",
        ],
    }
