"""What the monitors of descriptors read in an exchange: the kind or rate of each, and the rows that they leave out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core.types import Inference
from monitors.descriptors.form import FORMS
from monitors.descriptors.language import LANGUAGES
from monitors.descriptors.sentiment import SENTIMENTS
from monitors.metrics import metrics, read

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def exchange(**values: Any) -> Inference:
    told: dict[str, Any] = {"prompt": "Where is the parcel that I ordered?", "response": "It is on its way to you."}
    return Inference("u", AT, "a", "v", "live", [], **{**told, **values})


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("prompt_language", {}, LANGUAGES.index("en")),
        (
            "prompt_language",
            {"prompt": "Wo ist das Paket, das ich bestellt habe?", "status": 503},
            LANGUAGES.index("de"),
        ),
        ("prompt_language", {"prompt": "12345"}, LANGUAGES.index("und")),
        ("prompt_language", {"prompt": " "}, None),
        ("prompt_pii", {}, 0),
        ("prompt_pii", {"prompt": "Write to anna.keller@firma.de, please."}, 1),
        ("prompt_pii", {"prompt": ""}, None),
        ("response_pii", {}, 0),
        ("response_pii", {"response": "Anna's number is +49 30 9018 2045."}, 1),
        ("response_pii", {"prompt": "I am anna@firma.de.", "response": "Hello, anna@firma.de!"}, 0),
        ("response_pii", {"response": " "}, None),
        ("response_pii", {"status": 503}, None),
        ("response_language", {}, 0),
        ("response_language", {"response": "Es ist auf dem Weg zu Ihnen und wird bald da sein."}, 1),
        ("response_language", {"response": "42"}, None),
        ("response_language", {"prompt": "42"}, None),
        ("response_language", {"status": 500}, None),
        ("response_format", {}, FORMS.index("prose")),
        ("response_format", {"finish_reason": "length"}, FORMS.index("cut off")),
        ("response_format", {"response": ""}, FORMS.index("empty")),
        ("response_format", {"status": 500}, None),
        ("prompt_sentiment", {}, SENTIMENTS.index("neutral")),
        ("prompt_sentiment", {"prompt": "This is awful.", "status": 503}, SENTIMENTS.index("negative")),
        ("prompt_sentiment", {"prompt": "Wo ist das Paket, das ich bestellt habe?"}, None),
        ("prompt_sentiment", {"prompt": " "}, None),
        ("response_sentiment", {"response": "Gladly, what a nice idea!"}, SENTIMENTS.index("positive")),
        ("response_sentiment", {"response": "Es ist auf dem Weg zu Ihnen und wird bald da sein."}, None),
        ("response_sentiment", {"response": ""}, None),
        ("response_sentiment", {"status": 500}, None),
        ("response_drift", {}, 0),
        ("response_drift", {"response": "\n"}, None),
        ("response_drift", {"status": 404}, None),
    ],
)
def test_the_value_of_an_exchange(name: str, values: dict[str, Any], expected: float | None) -> None:
    assert metrics.get(name).value(exchange(**values)) == expected


def test_imports_without_answers_have_no_form() -> None:
    row = Inference("u", AT, "a", "v", "import", [], "Where is it?", "")
    assert metrics.get("response_format").value(row) is None


def test_units_carry_the_text_that_their_monitor_embeds() -> None:
    row = exchange()
    assert read(metrics.get("response_drift"), row) == row.response
    for name in ("prompt_drift", "refusal_rate", "response_format", "prompt_pii"):
        assert read(metrics.get(name), row) == row.prompt
