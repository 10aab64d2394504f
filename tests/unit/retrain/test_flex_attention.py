"""FlexAttention under the tree mask as blocks: the same mask, entry for entry, and the same outputs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_mask

from core.errors import InvalidInput
from retrain.training.attention import BLOCK, FLEX, attend, attend_blocks, build_blocks, register
from retrain.training.batches import make_micros
from retrain.training.policy import Hardware, load_policy
from retrain.training.rows import Batch, build_row, join, stack
from retrain.training.spec import LoraSpec
from tests.unit.retrain.test_rows import SEQUENCES, draw_groups

pytestmark = [
    pytest.mark.slow,
    # torch's own compiler uses what torch deprecates; without it the kernel says that it is slow.
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning"),
]

HARDWARE = Hardware("cpu", "fp32", 1, "test")
ROWS = st.lists(SEQUENCES, min_size=1, max_size=3)


def build_batch(groups: list) -> Batch:
    return stack([build_row(sequences) for sequences in groups], 0)


@settings(max_examples=40)
@given(ROWS)
def test_the_blocks_are_the_dense_mask_entry_for_entry(groups):
    batch = build_batch(groups)
    rows, length = batch.ids.shape
    blocks = build_blocks(batch.end)
    assert torch.equal(create_mask(blocks.mask_mod, rows, 1, length, length, device="cpu"), batch.mask)


def test_blocks_that_nobody_attends_to_are_left_out():
    groups = [[tokens for group in draw_groups(seed) for tokens in group] for seed in range(4)]
    batch = join(build_batch(groups), BLOCK)
    blocks, dense = build_blocks(batch.end), batch.mask[0, 0]
    side = dense.shape[0] // BLOCK
    assert side > 2
    some = dense.view(side, BLOCK, side, BLOCK).any(3).any(1)
    assert torch.equal(blocks.to_dense()[0, 0].bool(), some)
    assert not some.all() and not some.tril().equal(torch.ones(side, side).tril().bool())


@settings(max_examples=40)
@given(ROWS, st.sampled_from([1, 8, BLOCK]))
def test_rows_joined_to_one_keep_what_each_token_sees(groups, multiple):
    batch = build_batch(groups)
    one = join(batch, multiple)
    assert one.ids.shape[0] == 1 and one.ids.shape[1] % multiple == 0 and one.ids.shape[1] < batch.tokens + multiple
    assert int(one.real.sum()) == batch.tokens
    assert torch.equal(one.ids[0, : batch.tokens], batch.ids[batch.real])
    assert torch.equal(one.positions[0, : batch.tokens], batch.positions[batch.real])
    assert torch.equal(one.ids.flatten()[one.edge_at], batch.ids.flatten()[batch.edge_at])
    mask = one.mask[0, 0]
    begun = 0
    for row, real in enumerate(batch.real):
        size = int(real.sum())
        own = slice(begun, begun + size)
        assert torch.equal(mask[own, own], batch.mask[row, 0, :size, :size])
        assert int(mask[own].sum()) == int(mask[own, own].sum()), "nothing of another row"
        begun += size
    padding = mask[begun:]
    assert int(padding.sum()) == padding.shape[0], "padding sees itself alone, as a softmax of nothing is no number"


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (6, 3)])
def test_eager_flex_attention_gives_what_the_dense_mask_gives(heads):
    generator = torch.Generator().manual_seed(0)
    batch = build_batch([[tokens for group in draw_groups(seed) for tokens in group] for seed in (1, 2)])
    (rows, length), (many, few) = batch.ids.shape, heads
    query, key, value = (torch.randn(rows, n, length, 16, generator=generator) for n in (many, few, few))
    module = SimpleNamespace(training=False)
    # Compiled code for a CPU is of no use here: the kernel that trains is the GPU's.
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        blocks, _ = attend_blocks(module, query, key, value, build_blocks(batch.end), scaling=0.3, dropout=0.1)
    dense, _ = attend(module, query, key, value, batch.mask, scaling=0.3)
    torch.testing.assert_close(blocks, dense, atol=1e-5, rtol=1e-5)


def test_a_model_scores_the_same_through_blocks(tiny_model):
    policy = load_policy(tiny_model, None, LoraSpec(r=4), HARDWARE, seed=0)
    policy.model.eval()
    groups = draw_groups(3)
    (pair, *_) = groups
    micros = list(make_micros(groups, 60, 150, policy.padding))
    assert not policy.in_blocks and len(micros) > 1
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        dense = [policy.score(micro.batch) for micro in micros]
        alone = policy.score_alone(pair[0].ids, len(pair[0].prompt))
        policy.causal.set_attn_implementation(FLEX)
        assert policy.in_blocks
        for micro, expected in zip(micros, dense, strict=True):
            torch.testing.assert_close(policy.score(micro.batch), expected, atol=1e-4, rtol=1e-5)
        told = policy.score_alone(pair[0].ids, len(pair[0].prompt))
    torch.testing.assert_close(told, alone, atol=1e-4, rtol=1e-5)


def test_each_device_has_its_attention_and_the_plain_one_refuses_what_it_does_not_know():
    assert (register("cpu"), register("cuda")) == ("trimtab_tree", FLEX)
    some = torch.zeros(1, 1, 2, 4)
    with pytest.raises(InvalidInput, match="softcap"):
        attend(None, some, some, some, torch.ones(1, 1, 2, 2, dtype=torch.bool), softcap=30.0)


@pytest.mark.gpu
def test_on_a_gpu_compiled_blocks_score_and_train_as_the_cpu_does(make_model, tmp_path):
    # The kernel takes heads of 16 columns and more.
    base = make_model(tmp_path / "wide", hidden_size=64)
    groups = draw_groups(3)
    scores, gradients = [], []
    for device in ("cpu", "cuda"):
        policy = load_policy(base, None, LoraSpec(r=4), Hardware(device, "fp32", 1, "test"), seed=0)
        assert policy.in_blocks == (device == "cuda")
        for name, parameter in policy.trainable().items():
            if "lora_B" in name:
                parameter.data.fill_(0.01)
        for micro in make_micros(groups, 60, 300, policy.padding):
            told = policy.score(micro.batch)
            told.square().sum().backward()
            scores.append(told.detach().cpu())
        gradients.append([parameter.grad.cpu() for parameter in policy.trainable().values()])
    half = len(scores) // 2
    for ours, theirs in zip(scores[:half], scores[half:], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=1e-3)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-2 * float(ours.abs().max()), rtol=1e-2)
