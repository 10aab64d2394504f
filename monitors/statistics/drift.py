"""Prompt drift: a verdict after every prompt, with at most the budgeted chance of a false alarm an epoch."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput
from core.types import Estimate
from estimates.proportions import proportion
from monitors.statistics.novelty import NoveltyTest, onset
from monitors.statistics.views import NAMES, SIDES, unit_rows
from monitors.statistics.windows import DIFFUSE, MIXTURE, WindowTest

REFERENCE_MINIMUM = 100
SCORING_PART = 0.3
# The budget is promised whole and spent up to this part: what is left covers traffic that is not quite exchangeable.
SPENT = 0.9
# Of what is spent: one share for each of VIEWS.
SHARES: tuple[float, ...] = (0.52, 0.14, 0.04, 0.04, 0.04, 0.11, 0.11)
WINDOWS = {"mixture": MIXTURE, "diffuse": DIFFUSE}
VIEWS: tuple[str, ...] = (*NAMES, *WINDOWS)
RECENT = 400
FORMAT = 6


@dataclass(frozen=True, slots=True)
class Look:
    """What the detector saw at one prompt. `index` counts from 0 at the start of the epoch.

    `p` holds the p-value of each novelty view (NAMES); `level` is the largest statistic over its threshold
    (1 or more alarms) and `view` (of VIEWS) the one that has it. `alarm` is true at the first crossing of
    the epoch, `firing` while at or above.
    """

    index: int
    p: tuple[float, ...]
    level: float
    view: str
    alarm: bool
    firing: bool


@dataclass(frozen=True, slots=True)
class Responsible:
    """A recent prompt that drives the statistic: its index in the epoch, the view, and a score, higher for
    more.

    For a novelty view the score is 1 - p; for a view of WINDOWS how far the prompt lies in the direction of the
    shift.
    """

    index: int
    view: str
    score: float


class DriftDetector:
    """One epoch: a reference, a horizon and a false-alarm budget. Feed it one prompt for each conversation.

    While conversations are exchangeable with the reference (within declared strata) the probability of any
    alarm over `horizon` prompts is at most `alpha`. Several prompts of one conversation, or a batch job's
    copies, are one unit: hand over the first. After the horizon start a new epoch by `fit` with its own
    share of the budget.
    """

    def __init__(
        self,
        novelty: NoveltyTest,
        windows: Sequence[WindowTest],
        rng: np.random.Generator,
        alpha: float,
        horizon: int,
    ) -> None:
        self.alpha = alpha
        self.horizon = horizon
        self.seen = 0
        self.alarmed_at: int | None = None
        self._novelty = novelty
        self._windows = tuple(windows)
        self._rng = rng
        self._p = np.empty((0, len(NAMES)))
        self._novel = np.empty(0, bool)
        self._levels = np.zeros(len(VIEWS))

    @classmethod
    def fit(
        cls,
        embeddings: NDArray[np.float32],
        texts: Sequence[str],
        *,
        alpha: float,
        seed: int,
        horizon: int,
        strata: Sequence[str] | None = None,
    ) -> Self:
        """Return a detector for a reference: embeddings (n, d), one text and one stratum a conversation.

        Raises InvalidInput on fewer than REFERENCE_MINIMUM rows, unequal lengths or values that are not
        finite.
        """
        rows = unit_rows(embeddings, texts)
        if len(rows) < REFERENCE_MINIMUM:
            raise InvalidInput(
                f"The drift reference has {len(rows)} prompts.",
                f"{REFERENCE_MINIMUM - len(rows)} more are needed.",
            )
        rng = np.random.default_rng(seed)
        chosen = np.zeros(len(rows), bool)
        chosen[rng.permutation(len(rows))[: round(SCORING_PART * len(rows))]] = True
        alphas = [SPENT * alpha * share for share in SHARES]
        names = _strata(strata, len(rows))
        novelty = NoveltyTest.fit(rows, texts, names, chosen, alphas[: len(NAMES)], horizon)
        codes = _codes(names, novelty.sizes)
        shares = zip(WINDOWS.values(), alphas[len(NAMES) :], rng.spawn(len(WINDOWS)), strict=True)
        windows = [WindowTest.fit(shape, rows, codes, chosen, share, horizon, own) for shape, share, own in shares]
        return cls(novelty, windows, rng, alpha, horizon)

    @property
    def remaining(self) -> int:
        """How many prompts this epoch can still take."""
        return self.horizon - self.seen

    @property
    def sizes(self) -> dict[str, int]:
        """How many prompts of each stratum came so far, the reference included."""
        return dict(self._novelty.sizes)

    def fill(self, embeddings: NDArray[np.float32], texts: Sequence[str], strata: Sequence[str]) -> None:
        """Take prompts into the reference of their strata without judging them; they are no part of the horizon."""
        rows = self._rows(embeddings, texts)
        self._novelty.fill(rows, texts, strata)
        for test in self._windows:
            test.fill(rows, _codes(strata, self._novelty.sizes))

    def update(
        self, embeddings: NDArray[np.float32], texts: Sequence[str], strata: Sequence[str] | None = None
    ) -> list[Look]:
        """Return one Look for each prompt; how prompts are cut into calls makes no difference.

        Raises InvalidInput when more prompts come than remain in the epoch, and as `fit` does.
        """
        rows = self._rows(embeddings, texts)
        if len(rows) > self.remaining:
            raise InvalidInput(
                f"The epoch has room for {self.remaining} more prompts, not {len(rows)}.",
                "Start a new epoch with a new reference and its own budget.",
            )
        if not len(rows):
            return []
        names = _strata(strata, len(rows))
        luck = self._rng.random((len(rows), len(NAMES)))
        p, novelty, novel = self._novelty.update(rows, texts, names, luck)
        levels = np.hstack([novelty, self._look_back(rows, names, novelty)])
        looks = []
        for values, level in zip(p.tolist(), levels, strict=True):
            top = int(np.argmax(level))
            firing = bool(level[top] >= 1)
            alarm = firing and self.alarmed_at is None
            if alarm:
                self.alarmed_at = self.seen
            looks.append(Look(self.seen, tuple(values), float(level[top]), VIEWS[top], alarm, firing))
            self.seen += 1
        self._levels = levels[-1]
        self._p = np.concatenate([self._p, p])[-RECENT:]
        self._novel = np.concatenate([self._novel, novel])[-RECENT:]
        return looks

    def _rows(self, embeddings: NDArray[np.float32], texts: Sequence[str]) -> NDArray[np.float32]:
        rows = unit_rows(embeddings, texts)
        width = self._novelty.views.anchors.shape[1]
        if len(rows) and rows.shape[1] != width:
            raise InvalidInput(
                f"The prompts have embeddings of {rows.shape[1]} numbers, the reference of {width}.",
                "Keep one encoder for an epoch, or start a new one.",
            )
        return rows

    def _look_back(
        self, rows: NDArray[np.float32], names: Sequence[str], novelty: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the level of each window test after each row (n, tests); it stays until the test's next check."""
        codes = _codes(names, self._novelty.sizes)
        out = np.empty((len(rows), len(self._windows)))
        levels, alarmed = self._levels[len(NAMES) :].copy(), self.alarmed_at is not None
        start = 0
        while start < len(rows):
            stop = min(len(rows), start + min(test.until_check for test in self._windows))
            out[start : stop - 1] = levels
            alarmed = alarmed or bool((novelty[start:stop] >= 1).any())
            for place, test in enumerate(self._windows):
                test.add(rows[start:stop], codes[start:stop])
                if test.due:
                    levels[place] = test.check(lit=alarmed)
                    alarmed = alarmed or bool(levels[place] >= 1)
            out[stop - 1] = levels
            start = stop
        return out

    @property
    def _leading(self) -> WindowTest | None:
        """The window test that leads now, or None where a novelty view does."""
        place = int(np.argmax(self._levels)) - len(NAMES)
        return self._windows[place] if place >= 0 else None

    def onset(self) -> int:
        """Return the index of the prompt from which the leading view takes the traffic for changed."""
        if self._leading is not None:
            return self._leading.onset
        view = int(np.argmax(self._levels))
        return self.seen - onset(self._p, view) if len(self._p) else self.seen

    def responsible(self, k: int) -> list[Responsible]:
        """Return up to k prompts since the onset, those that the leading view finds most unusual first."""
        view = int(np.argmax(self._levels))
        if self._leading is not None:
            scores = self._leading.toward_shift()
            first = self.seen - len(scores)
        else:
            p = self._p[:, view]
            scores = 1 - (2 * np.minimum(p, 1 - p) if SIDES[view] == "both" else p)
            first = self.seen - len(scores)
            scores = scores[max(self.onset() - first, 0) :]
            first = self.seen - len(scores)
        order = np.argsort(-scores, kind="stable")[:k].tolist()
        return [Responsible(first + i, VIEWS[view], float(scores[i])) for i in order]

    def novel_share(self, window: int = 200) -> Estimate:
        """Return the share of the last prompts that are further from the reference than 95 % of it.

        About 0.05 while nothing changes. The interval is for one look and holds for prompts of independent
        conversations.
        """
        recent = self._novel[-min(window, RECENT) :]
        return proportion(int(recent.sum()), len(recent))

    def to_bytes(self) -> bytes:
        """Return the whole state as a compressed npz archive without pickles."""
        words = {
            "format": FORMAT,
            "alpha": self.alpha,
            "horizon": self.horizon,
            "seen": self.seen,
            "alarmed_at": self.alarmed_at,
            "rng": self._rng.bit_generator.state,
            "novelty": self._novelty.words(),
            "windows": [test.words() for test in self._windows],
        }
        own = {"p": self._p, "novel": self._novel, "levels": self._levels}
        out = io.BytesIO()
        text = np.frombuffer(json.dumps(words).encode(), np.uint8)
        arrays = {f"novelty_{k}": v for k, v in self._novelty.arrays().items()}
        for name, test in zip(WINDOWS, self._windows, strict=True):
            arrays |= {f"{name}_{k}": v for k, v in test.arrays().items()}
        np.savez_compressed(out, allow_pickle=False, words=text, **own, **arrays)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the detector that `to_bytes` wrote; it goes on exactly as the first would have.

        Raises InvalidInput when the bytes are not such a state.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays: dict[str, NDArray[Any]] = {name: archive[name] for name in archive.files}
            words = json.loads(arrays["words"].tobytes())
            if words["format"] != FORMAT:
                raise ValueError(f"format {words['format']}")
            rng = np.random.default_rng()
            rng.bit_generator.state = words["rng"]
            novelty = NoveltyTest.restore(_under("novelty_", arrays), words["novelty"])
            windows = [
                WindowTest.restore(shape, _under(f"{name}_", arrays), own)
                for (name, shape), own in zip(WINDOWS.items(), words["windows"], strict=True)
            ]
            detector = cls(novelty, windows, rng, words["alpha"], words["horizon"])
            detector.seen, detector.alarmed_at = words["seen"], words["alarmed_at"]
            detector._p, detector._novel, detector._levels = arrays["p"], arrays["novel"], arrays["levels"]
        except (ValueError, KeyError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise InvalidInput(
                "The stored state of the drift detector cannot be read.",
                "Start a new epoch from a reference.",
            ) from error
        return detector


def _strata(strata: Sequence[str] | None, n: int) -> Sequence[str]:
    if strata is None:
        return [""] * n
    if len(strata) != n:
        raise InvalidInput(f"{len(strata)} strata were given for {n} prompts.", "Give one stratum for each prompt.")
    return strata


def _codes(strata: Sequence[str], sizes: Mapping[str, int]) -> NDArray[np.int32]:
    """Return the number of each stratum: strata keep the order in which they came."""
    number = {name: i for i, name in enumerate(sizes)}
    return np.array([number[name] for name in strata], np.int32)


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
