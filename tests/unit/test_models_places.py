"""The default model's print where numbers are rounded otherwise, and where the model is damaged (decisions/0029)."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
import torch

from core.ports import Fingerprint
from core.prints import ROUNDING, alike
from models.adapters import Versions
from models.fingerprint import take_fingerprint
from models.load import Base, load_base
from models.requests import BASE

pytestmark = pytest.mark.model


def take(base: Base) -> Fingerprint:
    found: list[Fingerprint] = []

    def whole() -> Generator[None, None, None]:
        found.append((yield from take_fingerprint(base, Versions(base), BASE)))

    for _ in whole():
        pass
    return found[0]


@pytest.fixture(scope="module")
def coarse(prepared_models: Path) -> Fingerprint:
    return take(load_base(prepared_models / "chat", device="cpu", dtype="bfloat16"))


def test_another_number_format_gives_another_digest_and_a_like_print(
    prepared_models: Path, coarse: Fingerprint
) -> None:
    fine = take(load_base(prepared_models / "chat", device="cpu", dtype="float32"))
    assert fine.digest != coarse.digest and fine.place != coarse.place and fine.files == coarse.files
    assert alike(fine, coarse) and alike(coarse, fine)
    told = [
        abs(a - b)
        for left, right in zip(fine.logprobs, coarse.logprobs, strict=True)
        for a, b in zip(left, right, strict=True)
    ]
    assert sum(told) / len(told) < ROUNDING / 3, "room for machines that differ more"


@pytest.mark.parametrize("layer", [0, 15, 29])
def test_a_layer_that_is_damaged_in_memory_is_not_alike(prepared_models: Path, coarse: Fingerprint, layer: int) -> None:
    base = load_base(prepared_models / "chat", device="cpu", dtype="bfloat16")
    with torch.no_grad():
        base.model.model.layers[layer].mlp.down_proj.weight.zero_()
    assert not alike(coarse, take(base))
