"""Shared-prefix rows: several token sequences in one row, each common prefix once, exact under a tree mask.

A row is a prefix tree in depth-first order. A token attends to itself and its ancestors, and its position is its
depth, so every sequence sees just what it would see alone; [prompt | chosen | rejected] is the smallest case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Tokens:
    """One sequence: a prompt and a completion, as token ids."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        return self.prompt + self.completion


class Group(Protocol):
    """Sequences that belong together, such as the two of a pair."""

    @property
    def sequences(self) -> Sequence[Tokens]: ...


@dataclass(frozen=True, slots=True)
class Row:
    """A prefix tree of sequences, depth first. Lists go by node; `end` is one past a node's last descendant."""

    ids: list[int]
    parent: list[int]
    depth: list[int]
    end: list[int]
    paths: list[list[int]]  # a list of nodes for each sequence, in the order given
    completions: list[list[int]]  # the nodes of each sequence's completion

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows stacked for one forward pass. `edges` are predicted tokens; a sequence's log-probability sums its own.

    Shapes: ids, positions, real (false for padding), end (one past a token's last descendant) [rows, length]; edge_at
    (flat index of the predicting token) and edge_id (predicted id) [edges]; member_edge and member_sequence [members].
    """

    ids: Tensor
    positions: Tensor
    real: Tensor
    end: Tensor
    edge_at: Tensor
    edge_id: Tensor
    member_edge: Tensor
    member_sequence: Tensor
    sequences: int
    tokens: int  # nodes computed, padding excluded

    @property
    def mask(self) -> Tensor:
        """Who attends to whom, [rows, 1, length, length]: a token to itself and its ancestors."""
        import torch

        place = torch.arange(self.end.shape[1], device=self.end.device)
        query, key = place[None, :, None], place[None, None, :]
        return ((key <= query) & (query < self.end[:, None, :]))[:, None]

    def to(self, device: str) -> Batch:
        """The batch on `device`."""
        if device == "cpu":
            return self
        return Batch(
            ids=self.ids.to(device),
            positions=self.positions.to(device),
            real=self.real.to(device),
            end=self.end.to(device),
            edge_at=self.edge_at.to(device),
            edge_id=self.edge_id.to(device),
            member_edge=self.member_edge.to(device),
            member_sequence=self.member_sequence.to(device),
            sequences=self.sequences,
            tokens=self.tokens,
        )


def shared_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many leading items two sequences share."""
    limit = min(len(left), len(right))
    for index in range(limit):
        if left[index] != right[index]:
            return index
    return limit


def build_row(sequences: Sequence[Tokens]) -> Row:
    """The prefix tree of `sequences`. Raises ValueError for an empty prompt, which leaves nothing to predict from."""
    row = Row([], [], [], [], [[] for _ in sequences], [[] for _ in sequences])
    order = sorted(range(len(sequences)), key=lambda index: sequences[index].ids)
    last: list[int] = []  # nodes on the path to the sequence inserted before
    for index in order:
        sequence = sequences[index]
        if not sequence.prompt:
            raise ValueError("a sequence needs a prompt of at least one token")
        ids = sequence.ids
        # In lexicographic order the longest shared prefix is always with the sequence just before.
        shared = shared_prefix([row.ids[node] for node in last], ids)
        path = last[:shared]
        for depth in range(shared, len(ids)):
            node = len(row.ids)
            row.ids.append(ids[depth])
            row.parent.append(path[-1] if path else -1)
            row.depth.append(depth)
            row.end.append(node + 1)
            path.append(node)
        row.paths[index] = path
        row.completions[index] = path[len(sequence.prompt) :]
        last = path
    for node in range(len(row.ids) - 1, -1, -1):
        if row.parent[node] >= 0:
            row.end[row.parent[node]] = max(row.end[row.parent[node]], row.end[node])
    return row


def pack(groups: Sequence[Sequence[Tokens]], row_tokens: int) -> list[list[int]]:
    """Which groups (a pair's sequences, kept together) go into which row, each row at most `row_tokens` nodes.

    Returns indices into `groups` by row. A group larger than the limit gets a row of its own. Groups that share a
    prefix are neighbours, and rows are filled evenly, so that stacking them pads little.
    """
    order = sorted(range(len(groups)), key=lambda index: min(s.ids for s in groups[index]))
    fullest = fill(groups, order, row_tokens)
    for limit in range(max(row_tokens // max(len(fullest), 1), 1), row_tokens, max(1, row_tokens // 16)):
        if len(even := fill(groups, order, limit)) == len(fullest):
            return even
    return fullest


def fill(groups: Sequence[Sequence[Tokens]], order: Sequence[int], row_tokens: int) -> list[list[int]]:
    rows: list[list[int]] = []
    size = 0
    last: tuple[int, ...] = ()
    for index in order:
        ids = sorted(s.ids for s in groups[index])
        alone = count_nodes([(), *ids])
        added = count_nodes([last, *ids])
        if rows and size + added <= row_tokens:
            rows[-1].append(index)
            size += added
        else:
            rows.append([index])
            size = alone
        last = ids[-1]
    return rows


def count_nodes(ordered: Sequence[tuple[int, ...]]) -> int:
    """Nodes that the second and later sequences add to the prefix tree of those before, all in sorted order."""
    return sum(len(after) - shared_prefix(before, after) for before, after in pairwise(ordered))


def stack(rows: Sequence[Row], padding: int) -> Batch:
    """The batch of `rows`; sequences are numbered row by row in the order given."""
    import torch

    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), padding)
    positions = torch.zeros((len(rows), length), dtype=torch.long)
    real = torch.zeros((len(rows), length), dtype=torch.bool)
    # A padding token attends to itself alone: a row of the softmax with nothing in it would be NaN.
    end = torch.arange(1, length + 1).repeat(len(rows), 1)
    edge_at: list[int] = []
    edge_id: list[int] = []
    member_edge: list[int] = []
    member_sequence: list[int] = []
    sequence = 0
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row.ids)
        positions[number, : len(row)] = torch.tensor(row.depth)
        real[number, : len(row)] = True
        end[number, : len(row)] = torch.tensor(row.end)
        edges: dict[int, int] = {}
        for nodes in row.completions:
            for node in nodes:
                if node not in edges:
                    edges[node] = len(edge_at)
                    edge_at.append(number * length + row.parent[node])
                    edge_id.append(row.ids[node])
                member_edge.append(edges[node])
                member_sequence.append(sequence)
            sequence += 1
    return Batch(
        ids=ids,
        positions=positions,
        real=real,
        end=end,
        edge_at=torch.tensor(edge_at, dtype=torch.long),
        edge_id=torch.tensor(edge_id, dtype=torch.long),
        member_edge=torch.tensor(member_edge, dtype=torch.long),
        member_sequence=torch.tensor(member_sequence, dtype=torch.long),
        sequences=sequence,
        tokens=sum(len(row) for row in rows),
    )


def join(batch: Batch, multiple: int) -> Batch:
    """The same batch with its rows one after another in a single one, padded only to a `multiple` of tokens.

    Where a mask is kept as blocks, what another row holds costs nothing, and lengths of few kinds compile once.
    """
    import torch

    real = batch.real.flatten()
    place = real.cumsum(0) - 1
    kept = real.nonzero()[:, 0]
    length = -(-batch.tokens // multiple) * multiple
    first = batch.real.sum(1).cumsum(0) - batch.real.sum(1)

    def lay(values: Tensor, padding: Tensor) -> Tensor:
        return torch.cat([values.flatten()[kept], padding[batch.tokens :]])[None]

    nothing = torch.zeros(length, dtype=torch.long, device=real.device)
    return replace(
        batch,
        ids=lay(batch.ids, nothing),
        positions=lay(batch.positions, nothing),
        real=lay(batch.real, nothing.bool()),
        end=lay(batch.end + first[:, None], torch.arange(1, length + 1, device=real.device)),
        edge_at=place[batch.edge_at],
    )
