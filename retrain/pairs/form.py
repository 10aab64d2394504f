"""What a pair must look like before it may train; each failure is a reason that a person can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.types import PreferencePair

LONGEST_ANSWER = 8_000
LONGEST_PROMPT = 24_000
SAME = "Both answers are the same."


def inspect(pair: PreferencePair) -> list[str]:
    """The reasons why `pair` may not train by itself; an empty list when there is none."""
    reasons = list(_inspect_prompt(pair.prompt))
    for name, text in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        if not text.strip():
            reasons.append(f"The {name} answer is empty.")
        elif len(text) > LONGEST_ANSWER:
            reasons.append(f"The {name} answer has {len(text)} characters; {LONGEST_ANSWER} are taken.")
    if pair.chosen.strip() and pair.chosen.split() == pair.rejected.split():
        reasons.append(SAME)
    if not pair.weight > 0:
        reasons.append("Its weight is not above 0.")
    return reasons


def _inspect_prompt(prompt: Sequence[Mapping[str, str]]) -> list[str]:
    if not prompt or not str(prompt[-1].get("content", "")).strip():
        return ["The prompt is empty."]
    if prompt[-1].get("role") not in ("user", "tool"):
        return ["The prompt does not end with the user's words."]
    length = sum(len(str(message.get("content", ""))) for message in prompt)
    return [f"The prompt has {length} characters; {LONGEST_PROMPT} are taken."] if length > LONGEST_PROMPT else []
