"""The demo's rows, drawn from the written topics with a seed: dated history, live questions, labelled pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from trimtab.demo.topics import CITIES, COLOURS, DAYS, EVERYDAY, POOR, PRODUCTS, RECALL, SIZES, TOPICS, Topic

SYSTEM = "You are the support assistant of Harbour & Pine, an outdoor shop. Answer briefly."
HISTORY_DAYS = 14
GOOD_ANSWERS = 0.85
MOST_PAIRS = 1000


@dataclass(frozen=True, slots=True)
class Question:
    """What a simulated customer asks, and the topic it was drawn from."""

    text: str
    topic: Topic


def ask(random: Random, topics: Sequence[Topic]) -> Question:
    """A question on one of `topics`, each equally likely."""
    topic = random.choice(topics)
    return Question(_fill(random.choice(topic.asks), random), topic)


def everyday(random: Random) -> Question:
    """A question as customers asked before the recall."""
    return ask(random, EVERYDAY)


def after_recall(random: Random, share: float = 0.35) -> Question:
    """A question after the news of the recall: `share` of them are about it."""
    return ask(random, (RECALL,)) if random.random() < share else everyday(random)


def help_page(topic: Topic, random: Random) -> str:
    """The shop's own answer on a topic."""
    return _fill(random.choice(topic.answers), random)


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
                "response": help_page(question.topic, random) if good else random.choice(POOR),
                "user": f"customer-{random.randrange(rows)}",
                "labels": {"channel": random.choice(("web", "app", "mail"))},
            }
        )
    return made


def labelled_pairs(rows: int, *, seed: int, now: datetime) -> list[dict[str, object]]:
    """`rows` pairs as the shop's team labelled them: the help page's answer chosen over a poor one, each prompt once.

    Raises ValueError for more rows than the templates can tell apart.
    """
    if rows > MOST_PAIRS:
        raise ValueError(f"the demo's templates make at most {MOST_PAIRS} pairs")
    random = Random(seed)
    made: list[dict[str, object]] = []
    seen: set[str] = set()
    while len(made) < rows:
        question = ask(random, TOPICS)
        chosen = help_page(question.topic, random)
        if question.text in seen:
            continue
        seen.add(question.text)
        made.append(
            {
                "id": f"label-{len(made):05d}",
                "at": (now - timedelta(hours=random.uniform(1, 240))).isoformat(),
                "prompt": question.text,
                "chosen": chosen,
                "rejected": random.choice(POOR),
                "contributor": f"team-{random.randrange(6)}",
                "source": "Harbour & Pine labelling sessions (demo)",
                "licence": "Apache-2.0",
            }
        )
    return made


def messages(question: Question) -> list[dict[str, str]]:
    """The question as the chat request that the shop's site would send."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question.text}]


def _fill(template: str, random: Random) -> str:
    return template.format(
        number=random.randrange(10_000, 99_999),
        product=random.choice(PRODUCTS),
        city=random.choice(CITIES),
        day=random.choice(DAYS),
        size=random.choice(SIZES),
        colour=random.choice(COLOURS),
    )
