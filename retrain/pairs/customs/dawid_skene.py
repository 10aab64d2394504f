"""Who is right when several people judge the same things (Dawid and Skene 1979, one accuracy a person)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# Two right and one wrong vote to begin with, so that nobody is held infallible or worse than chance on a few votes.
_RIGHT, _WRONG = 2.0, 1.0
_ROUNDS = 200
_STILL = 1e-6


def agree(items: Sequence[Mapping[str, bool]]) -> dict[str, tuple[float, int]]:
    """(accuracy, items judged) of each person; `items` hold each person's yes or no about one thing.

    Expectation maximisation from the majority's view; the accuracy is the posterior mode under a Beta(3, 2) prior.
    """
    people = sorted({name for item in items for name in item})
    column = {name: number for number, name in enumerate(people)}
    votes = np.zeros((len(items), len(people)))
    for row, item in enumerate(items):
        for name, said in item.items():
            votes[row, column[name]] = 1.0 if said else -1.0
    given = np.abs(votes)
    judged = given.sum(0)
    yes = (votes.sum(1) / np.maximum(given.sum(1), 1) + 1) / 2
    accuracy = np.full(len(people), 0.5)
    for _ in range(_ROUNDS):
        right = ((votes > 0) * yes[:, None] + (votes < 0) * (1 - yes[:, None])).sum(0)
        fresh = (right + _RIGHT) / (judged + _RIGHT + _WRONG)
        yes = 1 / (1 + np.exp(-(votes @ np.log(fresh / (1 - fresh)))))
        if np.abs(fresh - accuracy).max(initial=0.0) < _STILL:
            break
        accuracy = fresh
    return {name: (float(accuracy[number]), int(judged[number])) for name, number in column.items()}
