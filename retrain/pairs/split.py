"""Training and held-out pairs, split by prompt: no prompt, nor one written a little differently, is on both sides."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from core.errors import InvalidInput


class Prompted(Protocol):
    """Anything with a prompt: text, or messages with role and content."""

    @property
    def prompt(self) -> str | Sequence[Mapping[str, Any]]: ...


Pair = TypeVar("Pair", bound=Prompted)
Item = TypeVar("Item")
HELD_OUT_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Split(Generic[Pair]):
    """Two sides without a prompt in common. `left_out` counts pairs beyond the limits asked for."""

    train: list[Pair]
    held_out: list[Pair]
    left_out: int


def normalise(prompt: str | Sequence[Mapping[str, Any]]) -> str:
    """The words of a prompt, whatever their case, accents' encoding, punctuation and spacing; roles are kept."""
    if isinstance(prompt, str):
        return words(prompt)
    # A single question is the same prompt whether it came as text or as a message.
    if len(prompt) == 1 and prompt[0]["role"] == "user":
        return words(str(prompt[0]["content"]))
    return "\n".join(f"{message['role']}: {words(str(message['content']))}" for message in prompt)


def words(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = " ".join("".join(c if c.isalnum() else " " for c in folded).split())
    return kept or text.strip()


def place(prompt: str, seed: int) -> float:
    """A number in [0, 1) that only a normalised prompt and the seed decide."""
    digest = hashlib.sha256(f"{seed}\n{prompt}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def split_pairs(
    pairs: Sequence[Pair],
    *,
    held_out_share: float = HELD_OUT_SHARE,
    seed: int = 0,
    max_train: int | None = None,
    max_held_out: int | None = None,
) -> Split[Pair]:
    """Split `pairs` by prompt; about `held_out_share` of the prompts are held out.

    A prompt's side follows from the prompt and the seed alone, so it keeps its side when other pairs come and go.
    Limits take pairs of as many prompts as they can. Raises InvalidInput for fewer than two prompts.
    """
    if not 0 < held_out_share < 1:
        raise InvalidInput(
            f"A held-out share of {held_out_share} leaves one side empty.", "Choose one between 0 and 1."
        )
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(normalise(pair.prompt), []).append(pair)
    if len(groups) < 2:
        raise InvalidInput(f"{len(groups)} different prompts cannot be split.", "Collect pairs of more prompts.")
    ordered = sorted(groups, key=lambda prompt: (place(prompt, seed), prompt))
    held = [prompt for prompt in ordered if place(prompt, seed) < held_out_share]
    # With few prompts one side may come out empty; the prompt next to the boundary then changes sides.
    held = held or ordered[:1]
    held = held if len(held) < len(ordered) else ordered[:-1]
    rest = ordered[len(held) :]
    held_out = spread([groups[prompt] for prompt in held], max_held_out)
    train = spread([groups[prompt] for prompt in rest], max_train)
    return Split(train, held_out, len(pairs) - len(train) - len(held_out))


def spread(groups: Sequence[list[Item]], limit: int | None) -> list[Item]:
    """The first member of every group, then the second of each that has one, and so on, at most `limit`."""
    longest = max(len(group) for group in groups)
    ordered = [group[rank] for rank in range(longest) for group in groups if rank < len(group)]
    return ordered if limit is None else ordered[:limit]


def without(train: Sequence[Pair], held_out: Sequence[Pair], key: Callable[[Pair], Hashable | None]) -> list[Pair]:
    """`train` less the pairs whose key is also that of a held-out one; None is nobody's key."""
    told = {key(pair) for pair in held_out} - {None}
    return [pair for pair in train if key(pair) not in told]
