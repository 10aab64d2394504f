"""The fused LoRA layer and tree attention against the plain ones: same values, same gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain.training.attention import attend
from retrain.training.lora import build_product, fuse


class Two(torch.nn.Module):
    """Two linear layers, one with a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(6, 8)
        self.second = torch.nn.Linear(8, 5, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


def build(**changes):
    from peft import LoraConfig, get_peft_model  # seconds, which only the process that builds it should pay

    torch.manual_seed(0)
    config = LoraConfig(r=3, lora_alpha=5, target_modules=["first", "second"], init_lora_weights=False, **changes)
    return get_peft_model(Two(), config)


@pytest.mark.slow
def test_the_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 4, 6), (8, 6), (8,), (3, 6), (8, 3)]
    x, weight, bias, down, up = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    for tensor in (x, down, up):
        tensor.requires_grad_()
    # The adapter's gradients come in fp32, its master precision, so double-precision tolerance is out of reach.
    assert torch.autograd.gradcheck(
        lambda *free: build_product().apply(free[0], weight, bias, free[1], free[2], 1.7), (x, down, up), atol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("training", [True, False])
def test_a_fused_model_equals_the_plain_one(dropout, training):
    plain = build(lora_dropout=dropout)
    fused = copy.deepcopy(plain)
    assert fuse(fused) == 2
    x = torch.randn(4, 7, 6, generator=torch.Generator().manual_seed(1))
    gradients = []
    for model in (plain, fused):
        model.train(training)
        torch.manual_seed(2)
        given = x.clone().requires_grad_()
        model(given).square().sum().backward()
        gradients.append([given.grad, *(p.grad for p in model.parameters() if p.requires_grad)])
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_a_disabled_adapter_leaves_the_base():
    model = build()
    fuse(model)
    x = torch.randn(3, 6)
    base = Two()
    base.load_state_dict(
        {
            name.replace(".base_layer", ""): value
            for name, value in model.get_base_model().state_dict().items()
            if "lora" not in name
        }
    )
    with model.disable_adapter():
        torch.testing.assert_close(model(x), base(x))
    assert not torch.allclose(model(x), base(x))


@pytest.mark.slow
def test_a_variant_keeps_its_own_forward_pass():
    assert fuse(build(use_dora=True)) == 0


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(1, 3), st.sampled_from([(4, 4), (4, 2), (6, 1)]), st.integers(1, 9), st.integers(0, 99))
def test_tree_attention_equals_torch_with_the_same_mask(batch, heads, length, seed):
    generator = torch.Generator().manual_seed(seed)
    many, few = heads
    query, key, value = (
        torch.randn(batch, n, length, 8, generator=generator, requires_grad=True) for n in (many, few, few)
    )
    mask = torch.rand(batch, 1, length, length, generator=generator) < 0.5
    mask |= torch.eye(length, dtype=torch.bool)
    ours = attend(None, query, key, value, mask)[0].transpose(1, 2)
    repeated = [tensor.repeat_interleave(many // few, 1) for tensor in (key, value)]
    theirs = torch.nn.functional.scaled_dot_product_attention(query, *repeated, attn_mask=mask)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    weights = torch.randn(theirs.shape, generator=generator)
    gradients = [torch.autograd.grad((out * weights).sum(), (query, key, value)) for out in (ours, theirs)]
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)


def test_attention_without_a_tree_mask_is_refused():
    with pytest.raises(ValueError, match="boolean mask"):
        attend(None, *(torch.zeros(1, 1, 2, 4) for _ in range(3)), None)
