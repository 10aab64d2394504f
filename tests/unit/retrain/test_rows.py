"""Shared-prefix rows: the tree, its packing, and log-probabilities equal to those of separate texts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retrain.training.batches import make_micros, order_pairs
from retrain.training.encoding import encode_pairs
from retrain.training.policy import Hardware, Policy, load_policy
from retrain.training.rows import Tokens, build_row, pack, stack
from retrain.training.spec import LoraSpec, PairText, read_pairs

HARDWARE = Hardware("cpu", "fp32", 1, "test")
TOKEN = st.integers(3, 6)
SEQUENCES = st.lists(
    st.builds(
        lambda prompt, completion: Tokens(tuple(prompt), tuple(completion)),
        st.lists(TOKEN, min_size=1, max_size=5),
        st.lists(TOKEN, min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=7,
)


@given(SEQUENCES)
def test_each_sequence_reads_itself_along_its_path(sequences):
    row = build_row(sequences)
    for sequence, path, completion in zip(sequences, row.paths, row.completions, strict=True):
        assert tuple(row.ids[node] for node in path) == sequence.ids
        assert [row.depth[node] for node in path] == list(range(len(path)))
        assert tuple(row.ids[node] for node in completion) == sequence.completion


@given(SEQUENCES)
def test_the_mask_shows_a_token_its_ancestors_and_nothing_else(sequences):
    row = build_row(sequences)
    mask = stack([row], padding=0).mask[0, 0]
    for node in range(len(row)):
        ancestors = {node}
        while row.parent[min(ancestors)] >= 0:
            ancestors.add(row.parent[min(ancestors)])
        assert set(mask[node].nonzero().flatten().tolist()) == ancestors


@given(SEQUENCES)
def test_no_two_nodes_of_a_row_stand_for_the_same_prefix(sequences):
    row = build_row(sequences)
    prefixes = {s.ids[:length] for s in sequences for length in range(1, len(s.ids) + 1)}
    assert len(row) == len(prefixes)


@given(st.lists(SEQUENCES, min_size=1, max_size=12), st.integers(5, 60))
def test_packing_places_every_group_once_and_keeps_the_limit(groups, limit):
    rows = pack(groups, limit)
    assert sorted(index for row in rows for index in row) == list(range(len(groups)))
    for row in rows:
        if len(row) > 1:
            assert len(build_row([s for index in row for s in groups[index]])) <= limit


@given(st.lists(SEQUENCES, min_size=1, max_size=8), st.integers(5, 60), st.integers(20, 200), st.booleans())
def test_micro_batches_cover_every_sequence_once(groups, row_tokens, tokens_per_batch, share):
    seen: list[int] = []
    for micro in make_micros(groups, row_tokens, tokens_per_batch, 0, share):
        seen += micro.groups
        assert micro.batch.sequences == sum(len(groups[index]) for index in micro.groups)
        lengths = torch.bincount(micro.batch.member_sequence, minlength=micro.batch.sequences).tolist()
        assert lengths == [len(s.completion) for index in micro.groups for s in groups[index]]
    assert sorted(seen) == list(range(len(groups)))


def test_a_prompt_without_tokens_is_refused():
    with pytest.raises(ValueError, match="prompt"):
        build_row([Tokens((), (3,))])


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 5))
def test_an_epoch_takes_every_pair_once(pairs, step_pairs, seed):
    order = [i for step in range(pairs) for i in order_pairs(pairs, step, step_pairs, seed)]
    for epoch in range(step_pairs):
        assert sorted(order[epoch * pairs : (epoch + 1) * pairs]) == list(range(pairs))


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> Policy:
    """A policy whose adapter does something: its second factor is random instead of zero."""
    loaded = load_policy(tiny_model, None, LoraSpec(r=4, alpha=8), HARDWARE, seed=0)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in loaded.trainable().items():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    loaded.model.eval()
    return loaded


def draw_groups(seed: int) -> list[list[Tokens]]:
    """Pairs of which several share a prompt, or an answer, or a few first tokens."""
    draw = random.Random(seed)
    prompts = [tuple(draw.choices(range(3, 60), k=draw.randint(3, 12))) for _ in range(3)]
    prompts.append(prompts[0][:3] + prompts[1])
    answers = [tuple(draw.choices(range(3, 60), k=draw.randint(1, 20))) for _ in range(4)]
    drawn = [(draw.choice(prompts), draw.sample(answers, 2)) for _ in range(9)]
    return [[Tokens(prompt, answer) for answer in pair] for prompt, pair in drawn]


@pytest.mark.parametrize("row_tokens", [1, 40, 400])
def test_shared_rows_score_as_separate_texts_do(policy, row_tokens):
    groups = draw_groups(row_tokens)
    with torch.no_grad():
        for micro in make_micros(groups, row_tokens, 300, policy.padding):
            scores = policy.score(micro.batch)
            sequences = [s for index in micro.groups for s in groups[index]]
            alone = torch.stack([policy.score_alone(s.ids, len(s.prompt)) for s in sequences])
            torch.testing.assert_close(scores, alone, atol=1e-5, rtol=1e-6)


def test_gradients_through_shared_rows_equal_those_of_separate_texts(policy):
    groups = draw_groups(5)
    gradients = []
    for share in (True, False):
        policy.model.zero_grad()
        for micro in make_micros(groups, 200, 300, policy.padding, share):
            policy.score(micro.batch).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in policy.trainable().values()])
    for shared, separate in zip(*gradients, strict=True):
        torch.testing.assert_close(shared, separate, atol=1e-3, rtol=1e-4)


def test_a_model_that_masks_do_not_reach_falls_back_to_separate_rows(policy, monkeypatch):
    pair = encode_pairs(policy.tokenizer, [PairText("a", "say", "ABC", "abcdef")], 100)[0][0]
    policy.check_rows(pair)
    assert policy.share
    decoder = policy.decoder

    def recurrent(**given):
        length = given["input_ids"].shape[1]
        return decoder(**(given | {"attention_mask": torch.ones(length, length, dtype=torch.bool).tril()[None, None]}))

    monkeypatch.setattr(policy, "decoder", recurrent)
    policy.check_rows(pair)
    assert not policy.share
    policy.share = True


def test_an_answer_ends_with_the_token_that_ends_a_turn(policy):
    pair = encode_pairs(policy.tokenizer, [PairText("a", "say it", "AB", "b")], 100)[0][0]
    end = policy.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert pair.chosen.completion[-1] == end
    assert len(pair.chosen.completion) == 3
    text = policy.tokenizer.decode(pair.chosen.prompt).replace("\n", "|")
    assert text == "<|im_start|>user|say it<|im_end|>|<|im_start|>assistant|"


def test_pairs_that_are_too_long_are_named_not_cut(policy):
    pairs = [PairText("short", "a", "B", "b"), PairText("long", "a", "B" * 200, "b")]
    encoded, skipped = encode_pairs(policy.tokenizer, pairs, 100)
    assert [pair.id for pair in encoded] == ["short"]
    assert skipped == ["long"]


def test_a_prompt_as_messages_equals_the_same_prompt_as_text(policy):
    messages = ({"role": "user", "content": "say"},)
    encoded, _ = encode_pairs(
        policy.tokenizer, [PairText("a", "say", "B", "b"), PairText("b", messages, "B", "b")], 100
    )
    assert encoded[0].key == encoded[1].key


def test_pair_files_are_refused_by_line(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"id": 1, "prompt": "a", "chosen": "b", "rejected": "c"}\n{"id": 2, "prompt": "a"}\n', "utf-8")
    with pytest.raises(Exception, match="line 2 is not a pair"):
        read_pairs(path)
