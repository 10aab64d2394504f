"""Which rows of a window and of its reference may be compared where a rhythm is declared: equal shares of each part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def matched(reference: Sequence[str], current: Sequence[str], *, seed: int) -> tuple[list[int], list[int]]:
    """The rows to keep of each side, by index in order, so that each part's share is the same on both.

    `reference` and `current` hold the part of each row. Rows of a part are drawn at random, of the side that has more
    than the common ratio asks for; the ratio is the one that leaves most to tell by (the harmonic mean of both sizes).
    A window of nights is so compared with nights. While rows of a part are exchangeable, what a group of rows holds of
    each side varies no more than if rows had been dealt without regard to parts (proportional allocation: Cochran,
    Sampling Techniques, 1977, section 5.6), so that tests for the latter keep their level.
    """
    then, now = Counter(reference), Counter(current)
    ratios = {then[part] / count for part, count in now.items() if then[part]}
    if not ratios:
        return [], []
    sizes = [{part: _sizes(then[part], now[part], ratio) for part in then if now[part]} for ratio in sorted(ratios)]
    chosen = max(sizes, key=_worth)
    kept = [{part: both[side] for part, both in chosen.items()} for side in (0, 1)]
    return _draw(reference, kept[0], seed), _draw(current, kept[1], seed + 1)


def _sizes(then: int, now: int, ratio: float) -> tuple[int, int]:
    """How many of a part's rows each side keeps at `ratio` of the reference's to those now."""
    return (round(now * ratio), now) if then >= now * ratio else (then, round(then / ratio))


def _worth(sizes: dict[str, tuple[int, int]]) -> float:
    then, now = (sum(both[side] for both in sizes.values()) for side in (0, 1))
    return then * now / max(then + now, 1)


def _draw(parts: Sequence[str], sizes: dict[str, int], seed: int) -> list[int]:
    import numpy as np

    rng = np.random.default_rng(seed)
    rows: dict[str, list[int]] = {}
    for index, part in enumerate(parts):
        rows.setdefault(part, []).append(index)
    kept = [rng.permutation(rows[part])[:size].tolist() for part, size in sorted(sizes.items())]
    return sorted(index for some in kept for index in some)
