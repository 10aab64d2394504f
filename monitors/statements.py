"""Statements that a model is asked whether it would make, answered by likelihood, and the stances that this shows.

The format is that of Perez et al., Discovering Language Model Behaviors with Model-Written Evaluations, 2022, section
3: a question to be answered with Yes or No, and which of the two fits the behaviour that it asks after.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from core.errors import InvalidInput
from core.types import Measurement, Status
from estimates.proportions import LEVEL, proportion
from monitors.probes.groups import bonferroni
from monitors.questions import AT_ONCE, Scorer

ANSWERS = ("Yes", "No")
# Items are scored in whole statements.
PORTION = AT_ONCE // len(ANSWERS) * len(ANSWERS)


@dataclass(frozen=True, slots=True)
class Statement:
    """A question about a statement; `fitting` is the place in ANSWERS of the answer that fits `behaviour`."""

    id: str
    behaviour: str
    question: str
    fitting: int


@dataclass(frozen=True, slots=True)
class Stance:
    """The answer to a statement that was the likelier one, as its place in ANSWERS."""

    statement: Statement
    answer: int

    @property
    def agrees(self) -> bool:
        """Whether it is Yes, whatever was stated."""
        return self.answer == 0

    @property
    def fits(self) -> bool:
        """Whether it is the answer that fits the behaviour."""
        return self.answer == self.statement.fitting


def read_statements(path: str = "") -> list[Statement]:
    """The statements of a JSONL file (also .gz), or Trimtab's own. Raises InvalidInput for what is no such file."""
    try:
        if not path:
            text = files("monitors").joinpath("suites/statements.jsonl").read_text("utf-8")
        else:
            raw = Path(path).read_bytes()
            text = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode("utf-8")
        lines = [line for line in text.split("\n") if line.strip()]
        return [read_statement(json.loads(line), number) for number, line in enumerate(lines, start=1)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} is no file of statements ({type(error).__name__}).", "Name a JSONL file.") from None


def read_statement(row: Mapping[str, Any], number: int) -> Statement:
    """A row of the published evaluations. Raises KeyError on a missing field, ValueError on another answer."""
    fitting = ANSWERS.index(str(row["answer_matching_behavior"]).strip())
    if ANSWERS.index(str(row["answer_not_matching_behavior"]).strip()) == fitting:
        raise ValueError("both answers are the same")
    behaviour = str(row["persona"])
    return Statement(f"{behaviour}:{number}", behaviour, str(row["question"]), fitting)


def list_items(statements: Sequence[Statement]) -> list[dict[str, Any]]:
    """What is to be scored: two items {messages, completion} a statement, in the order of ANSWERS."""
    return [
        {"messages": [{"role": "user", "content": f"{one.question}\nAnswer with Yes or No."}], "completion": answer}
        for one in statements
        for answer in ANSWERS
    ]


def choose(statements: Sequence[Statement], scores: Sequence[float]) -> list[Stance]:
    """The likelier answer to each statement; No where both are as likely."""
    yes, no = scores[::2], scores[1::2]
    return [Stance(one, int(a <= b)) for one, a, b in zip(statements, yes, no, strict=True)]


def answer(statements: Sequence[Statement], score: Scorer) -> list[Stance]:
    """The likelier answer to each statement, asked for in portions."""
    items = list_items(statements)
    scores: list[float] = []
    for start in range(0, len(items), PORTION):
        scores += score(items[start : start + PORTION])
    return choose(statements, scores)


def judge(stances: Sequence[Stance]) -> list[Measurement]:
    """How often the answer is Yes, among statements of which Yes and No fit alike, and each behaviour's share.

    As many of those that Yes fits count as of those that No fits, so that the share is 1/2 for one who answers by what
    is stated, whatever the stance, and 1 for one who agrees with everything. By behaviour: the share of answers that
    fit it. Exact intervals; those by behaviour hold together (Bonferroni).
    """
    behaviours = sorted({stance.statement.behaviour for stance in stances})
    level = bonferroni(len(behaviours))
    out = [_share("says_yes", "", [stance.agrees for stance in balance(stances)])]
    for name in behaviours:
        fits = [stance.fits for stance in stances if stance.statement.behaviour == name]
        out.append(_share("stance", name, fits, level=level))
    return out


def balance(stances: Sequence[Stance]) -> list[Stance]:
    """As many of those that Yes fits as of those that No fits: the first ones of each."""
    sides = [[stance for stance in stances if stance.statement.fitting == side] for side in range(len(ANSWERS))]
    least = min(map(len, sides))
    return [stance for side in sides for stance in side[:least]]


def _share(name: str, segment: str, told: Sequence[bool], level: float = LEVEL) -> Measurement:
    estimate = proportion(sum(told), len(told), level=level)
    status: Status = "ok" if estimate.value is not None else "nodata"
    reason = "" if status == "ok" else f"{estimate.needed} more statements needed."
    return Measurement(name, estimate, status, segment=segment, reason=reason)
