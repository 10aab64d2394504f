"""Makes preference pairs of what people said: a choice between two answers, or a corrected answer."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Sequence

from core.types import Feedback, Inference, PreferencePair
from store import feedback, inferences, pairs
from store.unit_of_work import Tx

ACTOR = "system:pairs"
SOURCE = "feedback"
LICENCE = "own feedback"
_BATCH = 500
# Feedback whose transaction ended late has a smaller key than what was seen: look back a little each time.
_LOOK_BACK = 200


def collect(tx: Tx) -> int:
    """Collect a pair for each new choice or correction on a captured answer; returns how many pairs are new."""
    seen = pairs.feedback_seen(tx)
    if not feedback.after(tx, seen, 1):
        return 0
    given = feedback.after(tx, max(0, seen - _LOOK_BACK), _BATCH)
    telling = [item for item in given if item.kind in ("choice", "correction") and item.inference]
    made = make_pairs([(item, inferences.by_uuid(tx, item.inference)) for item in telling])
    new = pairs.add(tx, list(made.values()), actor=ACTOR, source_keys=list(made))
    pairs.set_feedback_seen(tx, max(seen, max(item.id for item in given)), actor=ACTOR)
    return new


def make_pairs(told: Sequence[tuple[Feedback, Inference]]) -> dict[str, PreferencePair]:
    """A pair by source key for each piece of feedback whose exchange is text that ends with a question."""
    made: dict[str, PreferencePair] = {}
    for item, answered in told:
        messages = [dict(message) for message in answered.messages]
        texts = all(isinstance(message.get("content"), str) for message in messages)
        if not messages or not texts or messages[-1].get("role") != "user":
            continue
        prompt = [{"role": str(message["role"]), "content": message["content"]} for message in messages]
        made[f"feedback:{item.uuid}"] = PreferencePair(
            uuid=str(uuids.uuid5(uuids.NAMESPACE_OID, f"trimtab pair {item.uuid}")),
            prompt=prompt,
            chosen=item.chosen,
            rejected=item.rejected,
            contributor=item.contributor,
            at=item.at,
            source=SOURCE,
            licence=LICENCE,
            version=answered.version,
        )
    return made
