"""Which examples make a step and a forward pass: a seeded order, shared-prefix rows, a token budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retrain.training.rows import Batch, Row, Tokens, build_row, count_nodes, pack, stack


@dataclass(frozen=True, slots=True)
class Micro:
    """One forward pass. `groups` are the indices of its groups, in the order in which its sequences are numbered.

    With weight 0 it is made only because others that make theirs need it (retrain.training.ranks).
    """

    batch: Batch
    groups: list[int]
    weight: float = 1.0


def count_steps(pairs: int, step_pairs: int, epochs: float | None, max_steps: int | None) -> int:
    """Optimiser steps of a run; exactly one of `epochs` and `max_steps` is given."""
    if max_steps is not None:
        return max_steps
    return max(1, math.ceil(pairs * (epochs or 1.0) / step_pairs))


def order_pairs(pairs: int, step: int, step_pairs: int, seed: int) -> list[int]:
    """Indices of the pairs in step number `step` (from 0). Each epoch is a seeded permutation, used up before the next.

    A function of its arguments alone, so that a resumed run sees what an uninterrupted one would have seen.
    """
    import numpy

    first = step * step_pairs
    chosen: list[int] = []
    while len(chosen) < step_pairs:
        epoch, offset = divmod(first + len(chosen), pairs)
        order = numpy.random.default_rng([seed, epoch]).permutation(pairs)
        chosen.extend(int(i) for i in order[offset : offset + step_pairs - len(chosen)])
    return chosen


def make_micros(
    groups: Sequence[Sequence[Tokens]], row_tokens: int, tokens_per_batch: int, padding: int, share: bool = True
) -> Iterator[Micro]:
    """Forward passes that cover every group once, each at most `tokens_per_batch` long, padding included.

    Rows of about the same length are stacked. A row over the budget runs alone. `share` False puts every sequence
    in a row of its own, for models whose layers see more than attention lets them.
    """
    planned: list[tuple[list[Row], list[int]]]
    if share:
        planned = [([build_row([s for g in row for s in groups[g]])], row) for row in pack(groups, row_tokens)]
    else:
        planned = [([build_row([s]) for s in group], [index]) for index, group in enumerate(groups)]
    sized = sorted(((max(len(row) for row in rows), rows, members) for rows, members in planned), key=lambda p: -p[0])
    rows: list[Row] = []
    members: list[int] = []
    longest = 0
    for length, more, indices in sized:
        longest = max(longest, length)
        if rows and longest * (len(rows) + len(more)) > tokens_per_batch:
            yield Micro(stack(rows, padding), members)
            rows, members, longest = [], [], length
        rows = rows + more
        members = members + indices
    if rows:
        yield Micro(stack(rows, padding), members)


def count_tokens(groups: Sequence[Sequence[Tokens]]) -> int:
    """About the tokens computed for `groups` in one step, shared prefixes once."""
    return count_nodes([(), *sorted(s.ids for group in groups for s in group)])
