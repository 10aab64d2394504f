"""A key-value cache that rows join and leave: preallocated, padded on the left, grown by doubling."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

BLOCK = 64


def build_cache(layers: int) -> Any:
    """An empty transformers cache of `layers` growing layers; keys and values are (rows, heads, columns, width)."""
    import torch
    from transformers.cache_utils import Cache, DynamicLayer

    class GrowingLayer(DynamicLayer):  # type: ignore[misc]
        """Appends in place; DynamicLayer copies the whole history at every step."""

        def update(
            self, key_states: "torch.Tensor", value_states: "torch.Tensor", *_args: Any, **_kwargs: Any
        ) -> tuple["torch.Tensor", "torch.Tensor"]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.room = key_states[:, :, :0], value_states[:, :, :0]
                self.used = 0
            end = self.used + key_states.shape[2]
            if end > self.room[0].shape[2]:
                self.room = grow(self.room[0], self.used, end), grow(self.room[1], self.used, end)
            self.room[0][:, :, self.used : end] = key_states
            self.room[1][:, :, self.used : end] = value_states
            self.used = end
            self.keys, self.values = self.room[0][:, :, :end], self.room[1][:, :, :end]
            return self.keys, self.values

        def put(self, keys: "torch.Tensor", values: "torch.Tensor") -> None:
            if not self.is_initialized:
                self.lazy_initialization(keys, values)
            self.room, self.used = (keys, values), keys.shape[2]
            self.keys, self.values = keys, values

    def grow(old: "torch.Tensor", used: int, end: int) -> "torch.Tensor":
        rows, heads, _columns, width = old.shape
        columns = (max(end, used + used // 2) // BLOCK + 1) * BLOCK
        new = torch.zeros(rows, heads, columns, width, dtype=old.dtype, device=old.device)
        new[:, :, :used] = old[:, :, :used]
        return new

    return Cache(layers=[GrowingLayer() for _ in range(layers)])


def select(cache: Any, rows: list[int], skip: int) -> None:
    """Keeps only `rows`, in that order, without their first `skip` columns."""
    for layer in cache.layers:
        layer.put(layer.keys[rows][:, :, skip:], layer.values[rows][:, :, skip:])


def merge(first: Any, second: Any, order: list[int]) -> None:
    """Puts the rows of both into `first`, aligned on the right; row i of the result is row order[i] of the two."""
    import torch

    for mine, theirs in zip(first.layers, second.layers, strict=True):
        columns = max(mine.used, theirs.used)
        merged = []
        for left, right in ((mine.keys, theirs.keys), (mine.values, theirs.values)):
            rows = left.shape[0] + right.shape[0]
            room = torch.zeros(
                rows, left.shape[1], columns + BLOCK, left.shape[3], dtype=left.dtype, device=left.device
            )
            places = [order.index(row) for row in range(rows)]
            room[places[: left.shape[0]], :, columns - mine.used : columns] = left
            room[places[left.shape[0] :], :, columns - theirs.used : columns] = right
            merged.append(room)
        mine.room, mine.used = (merged[0], merged[1]), columns
        mine.keys, mine.values = merged[0][:, :, :columns], merged[1][:, :, :columns]
