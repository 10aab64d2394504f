"""Both sides of a run from a spec file: its rows read, also packed, and split by prompt."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from core.errors import InvalidInput
from retrain.pairs.drawing import SPLIT_SEED
from retrain.pairs.split import split_pairs, without
from retrain.shared import number_prompts
from retrain.training.spec import PairText

Row = TypeVar("Row")
_SHARE = 0.25


def read_rows(path: Path, read: Callable[[Path], list[Row]]) -> list[Row]:
    """What `read` finds in a file, unpacked first where it is gzip. Raises what `read` raises, and InvalidInput."""
    if not _is_packed(path):
        return read(path)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.name
        try:
            with gzip.open(path) as packed, plain.open("wb") as out:
                shutil.copyfileobj(packed, out)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise InvalidInput(f"{path.name} is a gzip file that is cut off or damaged.", "Get it again.") from None
        return read(plain)


def split(rows: Sequence[PairText]) -> tuple[list[PairText], list[PairText]]:
    """What is learnt and what is held out: no prompt, nor one that is nearly the same, is on both sides."""
    sides = split_pairs(rows, held_out_share=_SHARE, seed=SPLIT_SEED)
    clusters = dict(zip((row.id for row in rows), number_prompts([row.prompt for row in rows]), strict=True))
    return without(sides.train, sides.held_out, lambda row: clusters[row.id]), sides.held_out


def _is_packed(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(2) == b"\x1f\x8b"
    except OSError:
        return False  # whoever reads it says so in its own words
