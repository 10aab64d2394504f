"""What a pair must pass before it may train; each failure is a reason that a person can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.types import PreferencePair
from store import pairs
from store.pairs import content_digest
from store.unit_of_work import Tx

ACTOR = "system:pairs"
LONGEST_ANSWER = 8_000
LONGEST_PROMPT = 24_000
SAME = "Both answers are the same."
CONFLICT = "Another pair prefers the opposite for the same prompt."


def judge_collected(tx: Tx) -> tuple[int, int]:
    """Check the pairs that wait and approve or quarantine each; returns (approved, quarantined)."""
    waiting = pairs.collected(tx)
    if not waiting:
        return 0, 0
    opposites = pairs.by_digests(tx, [opposite(pair) for pair in waiting])
    verdicts: dict[int, list[str]] = {}
    for pair in waiting:
        reasons = inspect(pair)
        found = opposites.get(opposite(pair))
        if found is not None and found[0] != pair.id and found[1] != "rejected":
            reasons.append(CONFLICT)
            # What was approved before the contradiction came must not train either.
            verdicts.setdefault(found[0], []).append(CONFLICT)
        verdicts.setdefault(pair.id, []).extend(reason for reason in reasons if reason not in verdicts.get(pair.id, ()))
    return pairs.judge(tx, verdicts, actor=ACTOR)


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
    if not pair.licence.strip():
        reasons.append("It names no licence.")
    if not pair.weight > 0:
        reasons.append("Its weight is not above 0.")
    return reasons


def opposite(pair: PreferencePair) -> str:
    """The content digest of the pair that prefers the other answer."""
    return content_digest([dict(message) for message in pair.prompt], pair.rejected, pair.chosen)


def _inspect_prompt(prompt: Sequence[Mapping[str, str]]) -> list[str]:
    if not prompt or not str(prompt[-1].get("content", "")).strip():
        return ["The prompt is empty."]
    if prompt[-1].get("role") != "user":
        return ["The prompt does not end with the user's words."]
    length = sum(len(str(message.get("content", ""))) for message in prompt)
    return [f"The prompt has {length} characters; {LONGEST_PROMPT} are taken."] if length > LONGEST_PROMPT else []
