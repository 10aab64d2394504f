"""For any text: streamed pieces are whole characters, add up to the text, and never pass a stop string."""

from __future__ import annotations

import json
import struct
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from models.artefacts import ArtefactRefused, read_header
from models.detokenise import TextStream, overlap
from models.protocol import read_stops
from models.tiny import write_tokenizer


@cache
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    with TemporaryDirectory() as name:
        write_tokenizer(Path(name))
        return AutoTokenizer.from_pretrained(name)


def feed(text: str, stops: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    stream = TextStream(tokenizer(), stops)
    pieces = []
    for token in tokenizer()(text, add_special_tokens=False).input_ids:
        pieces.append(stream.push(token))
        if stream.stopped:
            break
    pieces.append(stream.finish())
    return pieces, stream


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), max_size=30)


@settings(deadline=None, max_examples=150)
@given(texts)
def test_pieces_add_up_and_hold_whole_characters(text: str) -> None:
    pieces, stream = feed(text)
    expected = tokenizer().decode(tokenizer()(text, add_special_tokens=False).input_ids, skip_special_tokens=True)
    assert "".join(pieces) == expected == stream.text
    assert not any("\ufffd" in piece for piece in pieces)


@settings(deadline=None, max_examples=200)
@given(st.text("ab·é", max_size=20), st.lists(st.text("ab·é", min_size=1, max_size=4), min_size=1, max_size=3))
def test_text_ends_before_the_first_stop(text: str, stops: list[str]) -> None:
    pieces, stream = feed(text, tuple(stops))
    given_out = "".join(pieces)
    assert given_out == stream.text
    assert text.startswith(given_out)
    assert not any(stop in given_out for stop in stops)
    assert stream.stopped == any(stop in text for stop in stops)
    if not stream.stopped:
        assert given_out == text


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=40))
def test_bytes_that_are_no_text_come_out_replaced(raw: bytes) -> None:
    signs = tokenizer().backend_tokenizer.get_vocab()
    table = {index: byte for byte, index in byte_ids().items()}
    ids = [byte_ids()[byte] for byte in raw]
    assert len(table) == 256
    assert set(ids) <= set(signs.values())
    stream = TextStream(tokenizer())
    text = "".join([*(stream.push(token) for token in ids), stream.finish()])
    assert text == tokenizer().decode(ids, skip_special_tokens=True)


@cache
def byte_ids() -> dict[int, int]:
    """Byte value -> token id of the byte-level alphabet (Radford et al. 2019): unprintable bytes are shifted up."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    shifted = [byte for byte in range(256) if byte not in plain]
    signs = {byte: chr(byte) for byte in plain} | {byte: chr(256 + at) for at, byte in enumerate(shifted)}
    vocabulary = tokenizer().get_vocab()
    return {byte: vocabulary[sign] for byte, sign in signs.items()}


@given(st.text("ab", max_size=8), st.text("ab", min_size=1, max_size=5))
def test_overlap_is_the_longest_open_beginning(text: str, stop: str) -> None:
    expected = max(n for n in range(len(stop)) if n == 0 or text.endswith(stop[:n]))
    assert overlap(text, stop) == expected


@given(st.one_of(st.text(min_size=1, max_size=5), st.lists(st.text(min_size=1, max_size=5), max_size=4)))
def test_stops_are_read_whole(value: str | list[str]) -> None:
    assert list(read_stops(value)) == ([value] if isinstance(value, str) else value)


def whole_file() -> bytes:
    header = {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"format": "pt"}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * 8


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 120), st.binary(max_size=6)), min_size=1, max_size=4), st.integers(0, 200))
def test_a_mutated_weights_file_is_read_or_refused(changes: list[tuple[int, bytes]], length: int) -> None:
    raw = whole_file()
    for place, part in changes:
        raw = raw[:place] + part + raw[place + len(part) :]
    with TemporaryDirectory() as name:
        path = Path(name) / "model.safetensors"
        path.write_bytes(raw[:length])
        try:
            for dtype, shape in read_header(path).values():
                assert isinstance(dtype, str)
                assert all(extent >= 0 for extent in shape)
        except ArtefactRefused:
            pass
