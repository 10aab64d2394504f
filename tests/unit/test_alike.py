"""When two prints that were taken in different places can be of one version."""

from __future__ import annotations

from core.ports import Fingerprint
from core.prints import ROUNDING, alike

TOKENS = ((5, 6, 7, 8), (9, 10, 11, 12))
LOGPROBS = ((-0.5, -1.0, -0.1, -2.0), (-0.2, -0.3, -1.5, -0.7))
HERE = Fingerprint("here", TOKENS, LOGPROBS)


def moved(by: float) -> Fingerprint:
    return Fingerprint("there", TOKENS, tuple(tuple(value + by for value in row) for row in LOGPROBS))


def test_rounding_may_differ_and_nothing_larger() -> None:
    assert alike(HERE, moved(ROUNDING - 0.01)) and alike(HERE, moved(0.01 - ROUNDING))
    assert not alike(HERE, moved(ROUNDING + 0.01))


def test_answers_may_part_where_two_tokens_are_nearly_as_likely() -> None:
    parted = ((5, 6, 7, 99), (9, 10, 99, 98))
    after = (LOGPROBS[0], (-0.2, -0.3, -1.45, -9.0))
    assert alike(HERE, Fingerprint("there", parted, after)), "what follows the parting says nothing"
    assert not alike(HERE, Fingerprint("there", parted, (LOGPROBS[0], (-0.2, -0.3, -6.0, -0.7))))


def test_most_tokens_must_be_shared() -> None:
    assert not alike(HERE, Fingerprint("there", ((5, 99, 98, 97), (9, 99, 98, 97)), LOGPROBS))


def test_prints_of_other_prompts_or_without_tokens_are_never_alike() -> None:
    assert not alike(HERE, Fingerprint("there", TOKENS[:1], LOGPROBS[:1]))
    assert not alike(HERE, Fingerprint("there", tuple(row[:3] for row in TOKENS), LOGPROBS))
    assert not alike(Fingerprint("a"), Fingerprint("b"))
