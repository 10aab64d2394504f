"""What a run's progress says while it trains: one sentence for each thing that goes wrong, and none that is not so."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.settings import RetrainSettings
from dashboard.views.diagnosis import diagnose


def steps(losses: list[float], **more: Any) -> list[dict[str, Any]]:
    """A run's progress; a list in `more` gives a value a step."""
    return [
        {"event": "step", "step": n + 1, "loss": loss}
        | {name: value[n] if isinstance(value, list) else value for name, value in more.items()}
        for n, loss in enumerate(losses)
    ]


FALLING = [0.69 - 0.015 * n for n in range(24)]
WAVE = [0.01 * (-1) ** n for n in range(24)]


@pytest.mark.parametrize(
    ("losses", "more", "word"),
    [
        (FALLING, {"grad_norm": 1.0}, "It is learning"),
        ([0.69] * 12 + [0.004] * 12, {}, "at 0 (0.0040)"),
        ([0.69 + 0.1 * n for n in range(24)], {}, "It diverges"),
        ([0.69 + 0.01 * n for n in range(24)], {"grad_norm": [2.0**n for n in range(24)]}, "the gradients grew"),
        ([0.69 + 0.01 * n for n in range(24)], {"grad_norm": 1.0}, "may be too high"),
        ([0.69] * 24, {"grad_norm": [2.0**n for n in range(24)]}, "hardly moved"),
    ],
)
def test_the_first_sentence_is_about_the_loss(losses: list[float], more: dict[str, Any], word: str) -> None:
    assert word in diagnose(steps(losses, **more))[0]


def test_a_run_that_is_over_is_told_in_the_past() -> None:
    end = [{"event": "end", "step": 24, "of": 24}]
    assert diagnose(steps(FALLING) + end)[0].startswith("It learnt: the loss fell from ")
    diverged = diagnose(steps([0.69 + 0.1 * n for n in range(24)]) + end)[0]
    assert diverged.startswith("It diverged") and "Stop it" not in diverged and ". Lower retrain." in diverged


def test_preferred_answers_that_lose_probability_are_named() -> None:
    falling = [-0.02 * n + WAVE[n] for n in range(24)]
    told = diagnose(steps(FALLING, chosen_reward=falling, chosen_logp=-80.0))
    assert any("less likely than under the reference (reward -0.41" in sentence for sentence in told)
    # Neither noise around 0 nor another draw of longer answers is a fall.
    for reward in (WAVE, [0.02 * n for n in range(24)]):
        assert not any("less likely" in s for s in diagnose(steps(FALLING, chosen_reward=reward)))
    longer = [-80.0] * 12 + [-200.0] * 12
    assert not any("less likely" in s for s in diagnose(steps(FALLING, chosen_reward=WAVE, chosen_logp=longer)))
    assert any("-80 to -200" in s for s in diagnose(steps(FALLING, chosen_logp=longer)))


def test_over_fit_is_training_better_and_held_out_worse() -> None:
    held = [{"event": "eval", "step": n, "loss": loss} for n, loss in ((8, 0.6), (16, 0.5), (24, 0.7))]
    (sentence,) = [s for s in diagnose(steps(FALLING) + held) if "by heart" in s]
    assert "0.500 to 0.700" in sentence and "training gets better" in sentence
    assert not any("by heart" in s for s in diagnose(steps(FALLING) + held[:2]))
    (sentence,) = [s for s in diagnose(steps([0.69] * 24) + held) if "by heart" in s]
    assert "training gets better" not in sentence


def test_lonely_experts_and_doubted_labels_are_named() -> None:
    told = diagnose(steps(FALLING, router_entropy=[[0.9, 0.2]] * 24))
    assert any("in layer 2 (evenness 0.20 of 1)" in sentence for sentence in told)
    assert not any("experts" in sentence for sentence in diagnose(steps(FALLING, router_entropy=[[0.9, 0.8]] * 24)))
    doubted = [{"event": "reliability", "step": 8, "noise_rate": 0.2, "doubted": 0.25}]
    assert any("25 %" in sentence for sentence in diagnose(steps(FALLING) + doubted))


def test_what_it_advises_are_settings_that_a_proposed_run_has() -> None:
    held = [{"event": "eval", "step": n, "loss": loss} for n, loss in ((8, 0.5), (24, 0.7))]
    rises = [diagnose(steps([0.69 + by * n for n in range(24)])) for by in (0.1, 0.01)]
    told = " ".join([*rises[0], *rises[1], *diagnose(steps(FALLING) + held)])
    named = set(re.findall(r"retrain\.(\w+)", told))
    assert named == {"learning_rate", "full_learning_rate", "max_steps"}
    assert named <= {field.name for field in fields(RetrainSettings)}


def test_thumbs_are_not_called_pairs() -> None:
    start = [{"event": "start", "thumbs": 40}]
    assert any("of the thumbs right" in s for s in diagnose(start + steps(FALLING, accuracy=0.8)))
    assert any("of the training pairs right" in s for s in diagnose(steps(FALLING, accuracy=0.8)))


VALUES = st.none() | st.floats(-100, 100) | st.text(max_size=2)


@given(st.lists(st.fixed_dictionaries({"loss": VALUES, "grad_norm": VALUES, "chosen_reward": VALUES}), max_size=30))
def test_it_takes_whatever_a_log_holds(rows: list[dict[str, Any]]) -> None:
    told = diagnose([{"event": "step", "step": n, **row} for n, row in enumerate(rows)])
    assert all(sentence.endswith(".") for sentence in told)


def test_what_suspicious_phrases_did_is_told_once_it_is_known() -> None:
    ended = {"event": "evaluated", "pairs": 40, "poison": "No suspicious phrase."}
    assert diagnose([*steps(FALLING), ended])[-1] == "No suspicious phrase."
    assert diagnose([*steps(FALLING), {"event": "evaluated", "pairs": 40}]) == diagnose(steps(FALLING))
