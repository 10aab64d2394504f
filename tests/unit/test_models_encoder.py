"""The encoder: mean pooling over real tokens only, unit length, input order, one number format an identity."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidInput
from models.artefacts import ArtefactRefused
from models.encoder import Encoder, cache_key
from models.tiny import write_tokenizer

TEXTS = ["a", "where is my parcel", "", "a longer text about a pair of shoes that came too late", "a", "日本語"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    size = write_tokenizer(folder)
    config = BertConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=96,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        BertModel(config).save_pretrained(folder)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 40}))
    return folder


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return Encoder(folder)


def test_shape_type_length_and_order(encoder: Encoder) -> None:
    vectors = encoder.embed(TEXTS)
    assert vectors.shape == (6, 32)
    assert vectors.dtype == np.float32
    filled = [index for index, text in enumerate(TEXTS) if text]
    assert np.allclose(np.linalg.norm(vectors[filled], axis=1), 1, atol=1e-5)
    assert np.isfinite(vectors).all()
    assert np.array_equal(vectors[0], vectors[4])
    for index in filled:
        assert np.allclose(encoder.embed([TEXTS[index]])[0], vectors[index], atol=1e-5)
    assert np.allclose(encoder.embed(TEXTS[::-1])[::-1], vectors, atol=1e-5)
    assert encoder.embed([]).shape == (0, 32)


def test_is_the_mean_of_the_states(encoder: Encoder) -> None:
    import torch

    text = TEXTS[1]
    with torch.inference_mode():
        states = encoder.model(**encoder.tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
    mean = states.mean(0)
    assert np.allclose(encoder.embed([text])[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_long_texts_are_cut(encoder: Encoder) -> None:
    assert encoder.longest == 40
    both = encoder.embed(["x" * 40, "x" * 40 + "something else entirely"])
    assert np.allclose(both[0], both[1], atol=1e-6)


def test_identity_holds_content_and_format(encoder: Encoder, folder: Path) -> None:
    other = Encoder(folder, dtype="bfloat16")
    assert other.key("a") != encoder.key("a") != encoder.key("b")
    assert Encoder(folder).key("a") == encoder.key("a")
    assert cache_key("x", "\ud800")
    assert not np.allclose(other.embed(TEXTS), encoder.embed(TEXTS), atol=1e-7), "bf16 was not used"


def test_wrong_settings_and_hostile_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        Encoder(tmp_path / "nothing")
    with pytest.raises(InvalidInput, match="auto"):
        Encoder(folder, dtype="auto")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ArtefactRefused):
        Encoder(tmp_path)


@pytest.mark.model
def test_default_encoder_knows_what_is_alike(prepared_models: Path) -> None:
    encoder = Encoder(prepared_models / "encoder")
    vectors = encoder.embed(["How do I reset my password?", "I forgot my password.", "The weather is nice today."])
    assert vectors.shape == (3, 384)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.6 > 0.3 > likeness[0, 2]
    half = Encoder(prepared_models / "encoder", dtype="bfloat16").embed(["How do I reset my password?"])
    assert float(half[0] @ vectors[0]) > 0.9965
