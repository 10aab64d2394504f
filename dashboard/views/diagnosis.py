"""What a run's figures say in plain words. Pure; each sentence names the figures it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

FEW = 8


def diagnose(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences about a training run so far; none before a few steps were made."""
    steps = [event for event in events if event.get("event") == "step" and isinstance(event.get("loss"), int | float)]
    if len(steps) < FEW:
        return []
    quarter = max(len(steps) // 4, 2)
    early, late = steps[:quarter], steps[-quarter:]
    told = [_loss(_mean(early, "loss"), _mean(late, "loss"))]
    accuracy = _mean(late, "accuracy")
    if accuracy is not None:
        told.append(
            f"On the last {quarter} steps it ranks {accuracy * 100:.0f} % of the training pairs right (chance is 50 %)."
        )
    chosen = _mean(early, "chosen_logp"), _mean(late, "chosen_logp")
    if chosen[0] is not None and chosen[1] is not None and chosen[1] < chosen[0] - 10:
        told.append(
            f"Preferred answers became less likely too (log-probability {chosen[0]:.0f} to {chosen[1]:.0f}): "
            "watch the gate's length and refusal checks."
        )
    held = [event for event in events if event.get("event") == "eval" and isinstance(event.get("loss"), int | float)]
    if len(held) >= 2 and held[-1]["loss"] > min(event["loss"] for event in held) * 1.1:
        told.append("The loss on held-out pairs has begun to rise: it may be learning these pairs by heart.")
    return told


def _loss(early: float | None, late: float | None) -> str:
    if early is None or late is None:
        return "The loss is not a number on some steps."
    if late < early * 0.95:
        return f"It is learning: the loss fell from {early:.3f} to {late:.3f}."
    if late > early * 1.1:
        return f"The loss rose from {early:.3f} to {late:.3f}: the learning rate may be too high."
    return f"The loss has hardly moved ({early:.3f} to {late:.3f})."


def _mean(events: Sequence[Mapping[str, Any]], field: str) -> float | None:
    found = [float(event[field]) for event in events if isinstance(event.get(field), int | float)]
    return fmean(found) if found else None
