"""What both orders of a question say together, and how far a judge can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.types import Estimate
from estimates.means import mean
from estimates.proportions import proportion
from monitors.judge.questions import Letter


@dataclass(frozen=True, slots=True)
class Verdict:
    """A question's answers: `straight` with the options in their order, `swapped` the other way round."""

    id: str
    straight: Letter | None
    swapped: Letter | None
    error: str = ""

    @property
    def value(self) -> float | None:
        """1 when the first option won in both orders, 0 when the second did, one half when the order decided.

        None when an order was not answered with a letter: unscored, which is neither a win nor a tie.
        """
        if self.straight is None or self.swapped is None:
            return None
        if self.straight == self.swapped:
            return 0.5
        return 1.0 if self.straight == "A" else 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """Verdicts in the order of the questions, and who gave them: server, model and wording."""

    judge: str
    verdicts: Sequence[Verdict]


def consistency(verdicts: Sequence[Verdict]) -> Estimate:
    """The share of scored questions where both orders agree."""
    scored = [verdict.value for verdict in verdicts if verdict.value is not None]
    return proportion(sum(value != 0.5 for value in scored), len(scored))


def position_bias(verdicts: Sequence[Verdict]) -> Estimate:
    """How much likelier the place A wins than B when the order decides, from -1 to 1 over all scored questions."""
    scored = [verdict for verdict in verdicts if verdict.value is not None]
    return mean([_place(verdict) for verdict in scored], low=-1.0, high=1.0)


def agreement(verdicts: Sequence[Verdict], labels: Mapping[str, float]) -> Estimate:
    """The share of labelled, scored questions where judge and people agree.

    `labels` are 0 to 1 by question id; a label strictly between, or a tie of the judge, agrees by its distance.
    """
    pairs = [(verdict.value, labels[verdict.id]) for verdict in verdicts if verdict.id in labels]
    return mean([1 - abs(value - label) for value, label in pairs if value is not None], low=0.0, high=1.0)


def _place(verdict: Verdict) -> float:
    if verdict.value != 0.5:
        return 0.0
    return 1.0 if verdict.straight == "A" else -1.0
