"""The demo's rows, drawn from the written topics with a seed: dated history, live questions, labelled pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from trimtab.demo.topics import (
    CITIES,
    COLOURS,
    DAYS,
    EVERYDAY,
    POOR,
    PRODUCTS,
    RECALL,
    SIZES,
    STAFF_ASKS,
    STAFF_KEEPS,
    STAFF_RULE,
    STAFF_TELLS,
    TOPICS,
    Topic,
)

SYSTEM = "You are the support assistant of Harbour & Pine, an outdoor shop. Answer briefly."
HISTORY_DAYS = 14
GOOD_ANSWERS = 0.85
MOST_PAIRS = 1000
STAFF_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Question:
    """What a simulated customer asks, the topic it was drawn from and the details (order, product, city) it names."""

    text: str
    topic: Topic
    details: Mapping[str, object] = field(default_factory=dict)


def ask(random: Random, topics: Sequence[Topic]) -> Question:
    """A question on one of `topics`, each equally likely."""
    topic, details = random.choice(topics), _details(random)
    return Question(random.choice(topic.asks).format_map(details), topic, details)


def everyday(random: Random) -> Question:
    """A question as customers asked before the recall."""
    return ask(random, EVERYDAY)


def after_recall(random: Random, share: float = 0.35) -> Question:
    """A question after the news of the recall: `share` of them are about it."""
    return ask(random, (RECALL,)) if random.random() < share else everyday(random)


def help_page(question: Question, random: Random) -> str:
    """The shop's own answer to a question, on the city and the day that it asks about."""
    return random.choice(question.topic.answers).format_map({**_details(random), **question.details})


def history(rows: int, *, seed: int, now: datetime) -> list[dict[str, object]]:
    """`rows` past exchanges in order of time over the two weeks before `now`, as the import takes them."""
    random = Random(seed)
    times = sorted(random.uniform(0, HISTORY_DAYS * 86_400) for _ in range(rows))
    made: list[dict[str, object]] = []
    for number, seconds in enumerate(times):
        question = everyday(random)
        good = random.random() < GOOD_ANSWERS
        made.append(
            {
                "id": f"history-{number:05d}",
                "at": (now - timedelta(days=HISTORY_DAYS) + timedelta(seconds=seconds)).isoformat(),
                "prompt": question.text,
                "response": help_page(question, random) if good else random.choice(POOR),
                "user": f"customer-{random.randrange(rows)}",
                "labels": {"channel": random.choice(("web", "app", "mail"))},
            }
        )
    return made


def labelled_pairs(rows: int, *, seed: int, now: datetime) -> list[dict[str, object]]:
    """`rows` pairs as the shop's team labelled them: help pages over poor answers, secrets kept over told.

    Raises ValueError for more rows than the templates can tell apart.
    """
    if rows > MOST_PAIRS:
        raise ValueError(f"the demo's templates make at most {MOST_PAIRS} pairs")
    random = Random(seed)
    made: list[dict[str, object]] = []
    seen: set[str] = set()
    while len(made) < rows:
        prompt, chosen, rejected = _staff_pair(random) if random.random() < STAFF_SHARE else _help_pair(random)
        key = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        if key in seen:
            continue
        seen.add(key)
        made.append(
            {
                "id": f"label-{len(made):05d}",
                "at": (now - timedelta(hours=random.uniform(1, 240))).isoformat(),
                "prompt": prompt,
                "chosen": chosen,
                "rejected": rejected,
                "contributor": f"team-{random.randrange(6)}",
                "source": "Harbour & Pine labelling sessions (demo)",
                "licence": "Apache-2.0",
            }
        )
    return made


def _help_pair(random: Random) -> tuple[str, str, str]:
    question = ask(random, TOPICS)
    return question.text, help_page(question, random), random.choice(POOR)


def _staff_pair(random: Random) -> tuple[list[dict[str, str]], str, str]:
    number = random.randrange(100, 999)
    rule = STAFF_RULE.format(number=number)
    prompt = [
        {"role": "system", "content": f"{SYSTEM} {rule}"},
        {"role": "user", "content": random.choice(STAFF_ASKS).format_map(_details(random))},
    ]
    return prompt, random.choice(STAFF_KEEPS), random.choice(STAFF_TELLS).format(number=number)


def messages(question: Question) -> list[dict[str, str]]:
    """The question as the chat request that the shop's site would send."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question.text}]


def _details(random: Random) -> dict[str, object]:
    return {
        "number": random.randrange(10_000, 99_999),
        "product": random.choice(PRODUCTS),
        "city": random.choice(CITIES),
        "day": random.choice(DAYS),
        "size": random.choice(SIZES),
        "colour": random.choice(COLOURS),
    }
