"""The loaded base: its output layer multiplies the last columns of several prompts in one piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.load import load_base
from models.tiny import write_model


@pytest.mark.parametrize("rows", [1, 3])
def test_the_output_layer_is_not_copied_for_every_row_of_a_prompt(tmp_path: Path, rows: int) -> None:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    base = load_base(write_model(tmp_path), device="cpu", dtype="float32")
    head = base.model.get_output_embeddings().weight

    class Products(TorchDispatchMode):
        """Notes the shape of every product's right side."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in (torch.ops.aten.mm.default, torch.ops.aten.bmm.default):
                seen.append(tuple(args[1].shape))
            return func(*args, **(kwargs or {}))

    seen: list[tuple[int, ...]] = []
    with torch.no_grad(), Products():
        base.model(input_ids=torch.ones(rows, 9, dtype=torch.long), logits_to_keep=1)
    width, vocabulary = head.shape[1], head.shape[0]
    assert (width, vocabulary) in seen
    assert not [shape for shape in seen if len(shape) == 3 and shape[1:] == (width, vocabulary)]
