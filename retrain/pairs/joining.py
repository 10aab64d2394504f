"""Joins thumbs into pairs: an answer that was liked and one that was not, to the same question or nearly the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from core.types import Feedback, Inference, PreferencePair
from retrain.pairs.building import LICENCE, giver, name, question
from retrain.pairs.customs.minhash import clusters, jaccard
from retrain.pairs.customs.words import Ids, Numbered
from retrain.pairs.form import LONGEST_ANSWER, LONGEST_PROMPT
from retrain.pairs.split import normalise, words
from store import feedback, inferences, pairs
from store.unit_of_work import Tx

SOURCE = "joined thumbs"
SEEN = "pairs.thumbs_seen"
# Two questions are nearly the same when they share so much of their words. A greeting more passes from six words on,
# one word exchanged for another from thirteen on: with a lower share one question would get the answer to another.
NEAR = 0.85
# Older thumbs say less of what people want now.
NEWEST = 2_000
Told = Sequence[tuple[Feedback, Inference]]


@dataclass(frozen=True, slots=True)
class _Judged:
    """An answer on which all thumbs agree: its question, the words of its last message, and the last thumb on it."""

    answered: Inference
    prompt: list[dict[str, str]]
    words: Ids
    thumb: Feedback

    @property
    def giver(self) -> str:
        return giver(self.thumb, self.answered)


def read(tx: Tx) -> tuple[Told, frozenset[str], int]:
    """The newest thumbs with their exchanges, oldest first, the exchanges joined before, and the last thumb's key.

    Nothing where no thumb came since the last time.
    """
    seen = pairs.seen(tx, SEEN)
    newest = feedback.newest(tx, "thumb", 1)
    if not newest or newest[0].id <= seen:
        return [], frozenset(), seen
    given = feedback.newest(tx, "thumb", NEWEST)[::-1]
    answered = inferences.by_uuids(tx, [item.inference for item in given])
    told = [(item, answered[item.inference]) for item in given if item.inference in answered]
    used = frozenset(uuid for key in pairs.source_keys(tx, "thumbs:") for uuid in key.split(":")[1:])
    return told, used, given[-1].id


def join(told: Told, used: Collection[str], *, consent: str = "") -> dict[str, PreferencePair]:
    """Pairs by source key of liked and disliked answers to questions that are the same or nearly so.

    Each answer is in one pair at most, so that many thumbs on one question do not multiply, and none in `used` is in
    any. The pair asks what was asked of the disliked answer. Two people made it: it counts as a pair of the one who
    gave more of `told`, so that nobody hides behind others; of the one who disliked where both gave as many.
    """
    given = Counter(giver(item, answered) for item, answered in told)
    made: dict[str, PreferencePair] = {}
    for group in _groups(_agreed(told, used)):
        liked = [judged for judged in group if (judged.thumb.value or 0) > 0]
        for bad in group:
            if (bad.thumb.value or 0) > 0:
                continue
            fitting = [(jaccard(good.words, bad.words), -place) for place, good in enumerate(liked) if _fits(good, bad)]
            if not fitting:
                continue
            best = liked.pop(-max(fitting)[1])
            uuids = best.answered.uuid, bad.answered.uuid
            made[f"thumbs:{':'.join(uuids)}"] = PreferencePair(
                uuid=name("thumbs", *uuids),
                prompt=bad.prompt,
                chosen=best.answered.response,
                rejected=bad.answered.response,
                contributor=max((bad.giver, best.giver), key=lambda who: (bool(who), given[who])),
                session=bad.answered.conversation,
                at=max(best.thumb.at, bad.thumb.at),
                source=SOURCE,
                licence=LICENCE,
                consent=consent,
                version=bad.answered.version,
            )
    return made


def _agreed(told: Told, used: Collection[str]) -> list[_Judged]:
    """The answers whose thumbs all point the same way, in the order of their first thumb; no probes."""
    said: dict[str, set[bool]] = defaultdict(set)
    last: dict[str, tuple[Feedback, Inference]] = {}
    for item, answered in told:
        said[answered.uuid].add((item.value or 0) > 0)
        last[answered.uuid] = (item, answered)
    kept = []
    for uuid, (item, answered) in last.items():
        prompt = question(answered)
        length = sum(len(message["content"]) for message in prompt)
        fits = answered.response.strip() and len(answered.response) <= LONGEST_ANSWER and length <= LONGEST_PROMPT
        if prompt and fits and answered.kind != "probe" and uuid not in used and len(said[uuid]) == 1:
            kept.append((item, answered, prompt))
    asked = Numbered(words(prompt[-1]["content"]).split() for _, _, prompt in kept)
    bags = [np.unique(row) for row in asked.rows]
    return [_Judged(answered, prompt, bag, item) for (item, answered, prompt), bag in zip(kept, bags, strict=True)]


def _groups(judged: Sequence[_Judged]) -> Iterator[list[_Judged]]:
    """Those that may be joined: the same talk before, the same numbers, and many of the same words in the question."""
    talks: dict[tuple[str, tuple[str, ...]], list[_Judged]] = defaultdict(list)
    for item in judged:
        said = words(item.prompt[-1]["content"]).split()
        # One order is not another, however alike the sentences around their numbers are.
        numbers = tuple(sorted(word for word in said if any(sign.isdigit() for sign in word)))
        talks[normalise(item.prompt[:-1]), numbers].append(item)
    for members in talks.values():
        if len({(item.thumb.value or 0) > 0 for item in members}) < 2:
            continue
        labels = clusters([item.words for item in members], partial(_alike, members))
        groups: dict[int, list[_Judged]] = defaultdict(list)
        for item, label in zip(members, labels.tolist(), strict=True):
            groups[label].append(item)
        yield from groups.values()


def _alike(members: Sequence[_Judged], one: int, other: int) -> bool:
    return jaccard(members[one].words, members[other].words) >= NEAR


def _fits(good: _Judged, bad: _Judged) -> bool:
    near = jaccard(good.words, bad.words) >= NEAR
    return near and words(good.answered.response) != words(bad.answered.response)
