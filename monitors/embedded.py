"""The tracker that watches embedded texts (prompts, or answers) with the drift detector."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from core.errors import InvalidInput
from core.types import Estimate, Measurement
from monitors.metrics import Step, Unit
from monitors.rhythm import runs
from monitors.statistics.drift import DriftDetector, Look

RECENT = 1000
Noun = Literal["prompt", "answer"]


def describe_views(noun: Noun) -> dict[str, str]:
    """What each view of the detector means, in words."""
    return {
        "meaning": f"{noun}s unlike any in the reference",
        "wording": f"{noun}s in words the reference does not use",
        "length": f"{noun}s of unusual length",
        "capitals": "an unusual share of capital letters",
        "punctuation": "an unusual share of punctuation",
        "mixture": "a different mix of topics than in the reference",
        "diffuse": f"a small change in most {noun}s at once",
    }


class DriftTracker:
    """An epoch of the drift detector, with the inference keys of the latest texts for its explanations."""

    def __init__(self, name: str, noun: Noun, detector: DriftDetector, recent: list[int]) -> None:
        self.name = name
        self.noun = noun
        self.views = describe_views(noun)
        self.detector = detector
        self.recent = recent
        self.level, self.view, self.firing = 0.0, "meaning", False

    @property
    def seen(self) -> int:
        """Texts taken in this epoch."""
        return self.detector.seen

    @property
    def remaining(self) -> int:
        """Texts the epoch can still take."""
        return self.detector.remaining

    @property
    def sizes(self) -> Mapping[str, int]:
        """Texts of each stratum, the reference's included."""
        return self.detector.sizes

    def update(self, units: Sequence[Unit]) -> Step:
        """Take texts in, oldest first. Raises InvalidInput where an embedding is missing or not finite."""
        if any(unit.vector is None for unit in units):
            raise InvalidInput(f"A {self.noun} has no embedding.", "Check the encoder, then run the monitor again.")
        judged: list[Unit] = []
        looks: list[Look] = []
        for ready, some in runs(units, self.detector.sizes):
            given = _stacked(some), [unit.text for unit in some], [unit.stratum for unit in some]
            if ready:
                judged += some
                looks += self.detector.update(*given)
            else:
                self.detector.fill(*given)
        if not looks:
            return Step(False, self.firing)
        self.recent = (self.recent + [unit.inference for unit in judged])[-RECENT:]
        # A crossing inside the batch counts, so that how texts are cut into batches hides none.
        self.firing = any(look.firing for look in looks)
        top = max(looks, key=lambda look: look.level) if self.firing else looks[-1]
        self.level, self.view = top.level, top.view
        at = next((index for index, look in enumerate(looks) if look.alarm), None)
        return Step(at is not None, self.firing, judged[at].key if at is not None else None)

    def measure(self) -> list[Measurement]:
        """The share of the latest texts that are novel, with its interval, and where the test stands."""
        estimate = self.detector.novel_share() if self.seen else Estimate.missing(0, "clopper-pearson 95%", 20)
        view = self.view
        details = {
            "level": round(self.level, 6),
            "view": view,
            "seen": self.seen,
            "horizon": self.detector.horizon,
            "alpha": self.detector.alpha,
            "alarmed_at": self.detector.alarmed_at,
        }
        if self.firing:
            reason = f"{self.views[view].capitalize()}."
            return [Measurement(self.name, estimate, "breach", reason=reason, details=details)]
        if estimate.value is None:
            words = (
                f"{estimate.needed} more {self.noun}s needed for the share of novel ones; the alarm watches already."
            )
            return [Measurement(self.name, estimate, "nodata", reason=words, details=details)]
        return [Measurement(self.name, estimate, "ok", details=details)]

    def why(self) -> dict[str, Any]:
        """Which view moved, since which text, and the inference keys of the texts that drive it."""
        first = self.seen - len(self.recent)
        onset = self.detector.onset()
        rows = [
            {"inference": self.recent[item.index - first], "view": item.view, "score": item.score}
            for item in self.detector.responsible(5)
            if item.index >= first
        ]
        view, since = self.view, self.recent[max(onset - first, 0) :]
        return {
            "view": view,
            "view_words": self.views[view],
            "onset_index": onset,
            "onset_key": since[0] if since else None,
            "since_onset": since,
            "rows": rows,
        }

    def to_bytes(self) -> bytes:
        """The whole state; `restored` goes on exactly from it."""
        words = json.dumps(
            {"recent": self.recent, "level": self.level, "view": self.view, "firing": self.firing}
        ).encode()
        return struct.pack("<I", len(words)) + words + self.detector.to_bytes()


def started(name: str, noun: Noun, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int) -> DriftTracker:
    """A new epoch on the reference given. Raises InvalidInput when it is too small or not finite."""
    if not reference:
        raise InvalidInput("The drift reference is empty.", "Wait for traffic, or import some.")
    texts = [unit.text for unit in reference]
    strata = [unit.stratum for unit in reference]
    detector = DriftDetector.fit(_stacked(reference), texts, alpha=alpha, seed=seed, horizon=horizon, strata=strata)
    return DriftTracker(name, noun, detector, [])


def restored(name: str, noun: Noun, state: bytes) -> DriftTracker:
    """The tracker that `to_bytes` wrote. Raises InvalidInput when the bytes are not such a state."""
    try:
        (size,) = struct.unpack_from("<I", state)
        words = json.loads(state[4 : 4 + size])
        tracker = DriftTracker(name, noun, DriftDetector.from_bytes(state[4 + size :]), list(words["recent"]))
        tracker.level, tracker.view = float(words["level"]), str(words["view"])
        tracker.firing = bool(words["firing"])
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"The stored state of {name} cannot be read.", "Start a new epoch.") from error
    return tracker


def _stacked(units: Sequence[Unit]) -> Any:
    return np.stack([np.asarray(unit.vector, np.float32) for unit in units])
