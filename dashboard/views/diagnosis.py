"""What a run's figures say in plain words. Pure; each sentence names the figures it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any

Event = Mapping[str, Any]

FEW = 8
# Where a pair's loss is this small, its gradient is about a hundredth of what it was at the start.
NOTHING_LEFT = 0.01
DIVERGED, EXPLODED = 2.0, 10.0
LONELY = 0.5
RATE = "retrain.learning_rate (where all weights train: retrain.full_learning_rate)"


def diagnose(events: Sequence[Event]) -> list[str]:
    """Sentences about a training run so far, the loss first; none before a few steps were made."""
    steps = [event for event in events if event.get("event") == "step" and isinstance(event.get("loss"), int | float)]
    if len(steps) < FEW:
        return []
    quarter = max(len(steps) // 4, 2)
    early, late = steps[:quarter], steps[-quarter:]
    told = [
        _loss(early, late, over=any(event.get("event") == "end" for event in events)),
        _accuracy(events, late),
        _chosen(early, late),
        _held_out(events, _mean(early, "loss"), _mean(late, "loss")),
        _experts(late),
        _reliability(events),
        _poison(events),
    ]
    return [sentence for sentence in told if sentence]


def _poison(events: Sequence[Event]) -> str:
    """What the evaluation found with suspicious phrases in the prompt, each named so that it can be seen."""
    found = next((event for event in reversed(events) if event.get("event") == "evaluated"), {})
    return str(found.get("poison") or "")


def _loss(early: Sequence[Event], late: Sequence[Event], *, over: bool) -> str:
    first, last = _mean(early, "loss"), _mean(late, "loss")
    if first is None or last is None:
        return "The loss is not a number on some steps."
    norms = _values(early, "grad_norm"), _values(late, "grad_norm")
    exploded = bool(norms[0] and norms[1]) and median(norms[1]) > EXPLODED * max(median(norms[0]), 1e-12)
    if last > first * DIVERGED or (exploded and last > first):
        grew = f" and the gradients grew from {median(norms[0]):.3g} to {median(norms[1]):.3g}" if exploded else ""
        told, stop = ("It diverged", "Lower") if over else ("It diverges", "Stop it, lower")
        return f"{told}: the loss rose from {first:.3f} to {last:.3f}{grew}. {stop} {RATE}, and propose anew."
    if last < NOTHING_LEFT:
        return (
            f"The loss is at 0 ({last:.4f}): nothing is left to learn here, and further steps only lead away from "
            "the reference."
        )
    if last < first * 0.95:
        return f"{'It learnt' if over else 'It is learning'}: the loss fell from {first:.3f} to {last:.3f}."
    if last > first * 1.1:
        return f"The loss rose from {first:.3f} to {last:.3f}: the learning rate ({RATE}) may be too high."
    return f"The loss has hardly moved ({first:.3f} to {last:.3f})."


def _accuracy(events: Sequence[Event], late: Sequence[Event]) -> str:
    accuracy = _mean(late, "accuracy")
    if accuracy is None:
        return ""
    what = "thumbs" if any("thumbs" in event for event in events if event.get("event") == "start") else "training pairs"
    return f"On the last {len(late)} steps it ranks {accuracy * 100:.0f} % of the {what} right (chance is 50 %)."


def _chosen(early: Sequence[Event], late: Sequence[Event]) -> str:
    """Preferred answers that lose probability: the reward tells, because it leaves out how likely they were before."""
    watch = "watch the gate's length and refusal checks."
    rewards = _values(late, "chosen_reward")
    if len(rewards) >= 2:
        mean, error = fmean(rewards), stdev(rewards) / math.sqrt(len(rewards))
        if mean + 2 * error < 0:
            return (
                "Preferred answers became less likely than under the reference "
                f"(reward {mean:.2f} ± {2 * error:.2f} on the last {len(rewards)} steps): {watch}"
            )
        return ""
    first, last = _mean(early, "chosen_logp"), _mean(late, "chosen_logp")
    if first is not None and last is not None and last < first - 10:
        return f"Preferred answers became less likely too (log-probability {first:.0f} to {last:.0f}): {watch}"
    return ""


def _held_out(events: Sequence[Event], first: float | None, last: float | None) -> str:
    held = _values([event for event in events if event.get("event") == "eval"], "loss")
    if len(held) < 2 or held[-1] <= min(held) * 1.1:
        return ""
    if first is not None and last is not None and last < first * 0.95:
        return (
            f"Held-out pairs get worse ({min(held):.3f} to {held[-1]:.3f}) while training gets better "
            f"({first:.3f} to {last:.3f}): it is learning these pairs by heart. Propose one with "
            "fewer retrain.max_steps, or collect more pairs."
        )
    return "The loss on held-out pairs has begun to rise: it may be learning these pairs by heart."


def _experts(late: Sequence[Event]) -> str:
    layers = [event["router_entropy"] for event in late if event.get("router_entropy")]
    if not layers:
        return ""
    means = [fmean(values) for values in zip(*layers, strict=True)]
    lowest = min(means)
    if lowest >= LONELY:
        return ""
    return (
        f"Few experts do the work in layer {means.index(lowest) + 1} (evenness {lowest:.2f} of 1): "
        "`trimtab train` spreads it with router_aux_weight; proposed runs have no setting for that."
    )


def _reliability(events: Sequence[Event]) -> str:
    found = [event for event in events if event.get("event") == "reliability"]
    if not found or not isinstance(found[-1].get("doubted"), int | float):
        return ""
    return (
        f"It doubts the labels of {found[-1]['doubted'] * 100:.0f} % of the pairs and lets them count less; "
        "reliability.jsonl in the run's folder names them."
    )


def _values(events: Sequence[Event], field: str) -> list[float]:
    return [float(event[field]) for event in events if isinstance(event.get(field), int | float)]


def _mean(events: Sequence[Event], field: str) -> float | None:
    found = _values(events, field)
    return fmean(found) if found else None
