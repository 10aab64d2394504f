"""A card's text is its facts': stable, whole, and nothing that people wrote can become Markdown in it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.cards import code, write_card

FACTS: dict[str, Any] = {
    "name": "assistant-v2",
    "kind": "adapter",
    "digest": "2" * 64,
    "fingerprint": "",
    "created_at": "2026-11-20T09:00:00+00:00",
    "parent": "assistant-v1",
    "licence": "Apache-2.0",
    "base": {"name": "assistant-base", "digest": "b" * 64, "licence": "Apache-2.0"},
    "training": {"Trainer": "dpo", "Steps": 64},
    "data": {
        "digest": "d" * 64,
        "pairs": {"train": 192, "held_out": 64},
        "sources": {"feedback": 256},
        "licences": {"own feedback": 256},
        "from": "2026-11-01",
        "to": "2026-11-19",
        "contributors": 31,
    },
    "gate": {
        "verdict": "undecided",
        "champion": "assistant-v1",
        "at": "2026-11-20T10:00:00+00:00",
        "checks": [
            {
                "name": "held_out_accuracy",
                "verdict": "pass",
                "estimate": {"value": 0.12, "low": 0.03, "high": 0.21, "n": 64},
                "limit": 0.0,
            },
            {"name": "refusal_rate", "verdict": "undecided", "estimate": {"value": None, "n": 9}, "limit": 0.1},
            {"name": "integrity", "verdict": "pass", "estimate": None, "limit": None},
        ],
    },
}


def test_a_card_tells_what_it_is_from_what_and_how_it_was_judged() -> None:
    told = write_card(FACTS)
    for line in (
        "# Model card: `assistant-v2`",
        f"- Base model: `assistant-base`, digest `{'b' * 64}`, licence `Apache-2.0`.",
        f"- Dataset version: `{'d' * 64}`",
        "- 192 pairs to train on, 64 held out, no prompt on both sides.",
        "- Licences: `own feedback` 256",
        "- `held_out_accuracy`: pass, difference 0.120 [0.030, 0.210], n = 64, limit 0.",
        "- `refusal_rate`: undecided, not enough data (n = 9).",
        "- Not passed: `refusal_rate`.",
    ):
        assert line in told.splitlines()
    assert write_card(dict(reversed(FACTS.items()))) == told
    assert write_card(FACTS | {"digest": "3" * 64}).splitlines()[-1] != told.splitlines()[-1]


def test_a_base_model_has_a_card_without_training() -> None:
    plain = {"kind": "base", "parent": "", "base": None, "training": {}, "data": None, "gate": None}
    told = write_card(FACTS | plain)
    assert "## Training" not in told and "- No gate judged it." in told.splitlines()


@given(st.text(max_size=300))
def test_no_text_leaves_its_code(text: str) -> None:
    told = code(text)
    assert told[0] == told[-1] == "`" and "`" not in told[1:-1] and "\n" not in told and len(told) > 2
