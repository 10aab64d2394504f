"""Who gets the candidate of a canary: a keyed hash, so that one person keeps one version while it lasts."""

from __future__ import annotations

import hashlib


def unit_of(user: str, conversation: str, request: str) -> str:
    """What is drawn: the user where one is named, else the conversation, else the request alone."""
    return user or conversation or request


def drawn(salt: str, unit: str, share: int) -> bool:
    """Whether `unit` is among the `share` percent: always the same for one salt, independent for another."""
    if not share:
        return False
    found = hashlib.blake2b(unit.encode("utf-8", "replace"), digest_size=8, key=salt.encode()).digest()
    return int.from_bytes(found, "big") * 100 < share << 64
