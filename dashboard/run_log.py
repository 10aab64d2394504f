"""A run's log as sentences: what each event of its progress says to somebody who does not train models. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from dashboard import words

Event = Mapping[str, Any]
ADAPTATION = "adapt_"
MOST = 200
# Figures of a step and how each is written. What else a step tells stays in the run's folder.
FIGURES: MappingProxyType[str, Callable[[float], str]] = MappingProxyType(
    {
        "loss": lambda value: f"loss {value:.3g}",
        "margin": lambda value: f"reward margin {value:.3g}",
        "accuracy": lambda value: f"{100 * value:.0f} % ranked right",
        "kl": lambda value: f"KL from the reference {value:.3g} nats a token",
        "tokens_per_second": lambda value: f"{value:,.0f} tokens a second",
    }
)
# What a run learns from, by the field in which its start counts that.
EXAMPLES = {"pairs": "training pair", "thumbs": "thumb", "texts": "text"}
STOPPED_IN = {"customs": "while the model was asked about the labels", "evaluate": "while it was evaluated"}


def sentence(event: Event) -> str:
    """The event in words."""
    name = str(event.get("event", ""))
    if name.startswith(ADAPTATION):
        told = sentence({**event, "event": name.removeprefix(ADAPTATION)})
        return f"Adaptation: {told[:1].lower()}{told[1:]}"
    known = SENTENCES.get(name)
    return (known(event) if known is not None else _anything(name, event))[: 2 * MOST]


def _start(event: Event) -> str:
    step, of = _count(event, "step"), _count(event, "of")
    told = [f"Training goes on after step {step} of {of}" if step else f"Training begins: {words.count(of, 'step')}"]
    told += [words.count(_count(event, field), noun) for field, noun in EXAMPLES.items() if _count(event, field)]
    if _count(event, "held_out"):
        told.append(f"{_count(event, 'held_out'):,} held out")
    if _count(event, "skipped_too_long"):
        told.append(f"{_count(event, 'skipped_too_long'):,} left out as too long")
    if _count(event, "left_out_private"):
        told.append(f"{_count(event, 'left_out_private'):,} left out for personal data")
    told += [str(event["device"])] if event.get("device") else []
    return f"{', '.join(told)}."


def _step(event: Event) -> str:
    told = [f"Step {_count(event, 'step')} of {_count(event, 'of')}", *_figures(event)]
    left = event.get("eta_s")
    if isinstance(left, int | float) and left > 0:
        told.append(f"about {words.span(float(left))} left")
    return f"{told[0]}: {', '.join(told[1:])}." if told[1:] else f"{told[0]}."


def _held_out(event: Event) -> str:
    return f"On held-out pairs after step {_count(event, 'step')}: {', '.join(_figures(event)) or 'no figure'}."


def _checkpoint(event: Event) -> str:
    return f"Checkpoint kept after step {_count(event, 'step')} of {_count(event, 'of')}: the run can go on from here."


def _so_far(doing: str) -> Callable[[Event], str]:
    """A sentence about work that goes on before or after training."""

    def told(event: Event) -> str:
        what = f" ({event['what']})" if event.get("what") else ""
        return f"{doing}{what}: {_count(event, 'step'):,} of {_count(event, 'of'):,}."

    return told


def _customs_end(event: Event) -> str:
    return f"The model was asked about the labels of {words.count(_count(event, 'pairs'), 'pair')}{_took(event)}."


def _evaluated(event: Event) -> str:
    told = f"Scored {words.count(_count(event, 'pairs'), 'held-out pair')}{_took(event)}."
    return f"{told} {event['poison']}" if event.get("poison") else told


def _reliability(event: Event) -> str:
    doubted, noise = event.get("doubted"), event.get("noise_rate")
    share = f" of {100 * doubted:.0f} % of the pairs" if isinstance(doubted, int | float) else ""
    rate = f" It takes {100 * noise:.0f} % of all labels for wrong." if isinstance(noise, int | float) else ""
    return f"After step {_count(event, 'step')} it doubts the labels{share}, which count less from here on.{rate}"


def _end(event: Event) -> str:
    if event.get("repeated"):
        return "Training had ended before; what it made is there."
    tokens = words.count(_count(event, "tokens"), "token")
    memory = f" and {_count(event, 'memory_mb'):,} MiB of memory" if _count(event, "memory_mb") else ""
    return f"Training has ended after {words.count(_count(event, 'step'), 'step')}: {tokens}{_took(event)}{memory}."


def _stopped(event: Event) -> str:
    if event.get("stage"):
        return f"Stopped {STOPPED_IN.get(str(event['stage']), 'as asked')}."
    return f"Stopped after step {_count(event, 'step')} of {_count(event, 'of')}; a checkpoint is kept."


SENTENCES: MappingProxyType[str, Callable[[Event], str]] = MappingProxyType(
    {
        "start": _start,
        "step": _step,
        "eval": _held_out,
        "checkpoint": _checkpoint,
        "reference": _so_far("Scored before training"),
        "customs": _so_far("The model is asked about the labels"),
        "customs_end": _customs_end,
        "evaluate": _so_far("Scored held-out answers"),
        "evaluated": _evaluated,
        "reliability": _reliability,
        "end": _end,
        "stopped": _stopped,
        "warning": lambda event: f"Warning: {event.get('message', '')}",
        "error": lambda event: f"It failed: {event.get('message', '')}",
    }
)


def _figures(event: Event) -> Iterator[str]:
    for field, told in FIGURES.items():
        value = event.get(field)
        if isinstance(value, int | float):
            yield told(float(value))


def _took(event: Event) -> str:
    seconds = event.get("seconds")
    return f" in {words.span(float(seconds))}" if isinstance(seconds, int | float) else ""


def _count(event: Event, field: str) -> int:
    value = event.get(field)
    return int(value) if isinstance(value, int | float) else 0


def _anything(name: str, event: Event) -> str:
    """An event that this console does not know, of a trainer of another release: its plain values."""
    plain = {
        field: value
        for field, value in event.items()
        if field not in ("line", "at", "event") and isinstance(value, str | int | float)
    }
    told = ", ".join(f"{field.replace('_', ' ')} {_short(value)}" for field, value in plain.items())
    return f"{words.title(name) or 'Something'}{f': {told}' if told else ''}."


def _short(value: str | int | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:MOST]
