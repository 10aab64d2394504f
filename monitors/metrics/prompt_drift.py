"""What people ask has moved away from what they asked before."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.errors import InvalidInput
from core.types import Estimate, Inference, Measurement
from monitors.metrics import Guarantee, Step, Unit, metric
from monitors.statistics.drift import DriftDetector

NAME = "prompt_drift"
RECENT = 1000
VIEWS = {
    "meaning": "prompts unlike any in the reference",
    "wording": "prompts in words the reference does not use",
    "length": "prompts of unusual length",
    "capitals": "an unusual share of capital letters",
    "punctuation": "an unusual share of punctuation",
    "mixture": "a different mix of topics than in the reference",
}


class DriftTracker:
    """An epoch of the drift detector, with the inference keys of the latest prompts for its explanations."""

    def __init__(self, detector: DriftDetector, recent: list[int]) -> None:
        self.detector = detector
        self.recent = recent
        self.level, self.view, self.firing = 0.0, "meaning", False

    @property
    def seen(self) -> int:
        """Prompts taken in this epoch."""
        return self.detector.seen

    @property
    def remaining(self) -> int:
        """Prompts the epoch can still take."""
        return self.detector.remaining

    def update(self, units: Sequence[Unit]) -> Step:
        """Take prompts in, oldest first. Raises InvalidInput where an embedding is missing or not finite."""
        import numpy as np

        if not units:
            return Step(False, self.firing)
        if any(unit.vector is None for unit in units):
            raise InvalidInput("A prompt has no embedding.", "Check the encoder, then run the monitor again.")
        vectors = np.stack([np.asarray(unit.vector, np.float32) for unit in units])
        looks = self.detector.update(vectors, [unit.text for unit in units])
        self.recent = (self.recent + [unit.inference for unit in units])[-RECENT:]
        # A crossing inside the batch counts, so that how prompts are cut into batches hides none.
        self.firing = any(look.firing for look in looks)
        top = max(looks, key=lambda look: look.level) if self.firing else looks[-1]
        self.level, self.view = top.level, top.view
        at = next((index for index, look in enumerate(looks) if look.alarm), None)
        return Step(at is not None, self.firing, units[at].key if at is not None else None)

    def measure(self) -> list[Measurement]:
        """The share of the latest prompts that are novel, with its interval, and where the test stands."""
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
            return [Measurement(NAME, estimate, "breach", reason=f"{VIEWS[view].capitalize()}.", details=details)]
        if estimate.value is None:
            words = f"{estimate.needed} more prompts needed for the share of novel ones; the alarm watches already."
            return [Measurement(NAME, estimate, "nodata", reason=words, details=details)]
        return [Measurement(NAME, estimate, "ok", details=details)]

    def why(self) -> dict[str, Any]:
        """Which view moved, since which prompt, and the inference keys of the prompts that drive it."""
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
            "view_words": VIEWS[view],
            "onset_index": onset,
            "onset_key": since[0] if since else None,
            "since_onset": since,
            "rows": rows,
        }

    def to_bytes(self) -> bytes:
        """The whole state; `PromptDrift.restore` goes on exactly from it."""
        words = json.dumps(
            {"recent": self.recent, "level": self.level, "view": self.view, "firing": self.firing}
        ).encode()
        return struct.pack("<I", len(words)) + words + self.detector.to_bytes()


@metric
class PromptDrift:
    """What people ask has moved away from what they asked before.

    Every conversation's first prompt is ranked against the reference in five views (meaning, wording, length,
    capitals, punctuation) and the latest windows are compared by their mix of topics (monitors.statistics.drift).
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "prompts"
    per_release = False
    embedded = True
    minimum = 100

    def value(self, inference: Inference) -> float | None:
        """Prompts carry no number of their own."""
        return 0.0

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> DriftTracker:
        """A new epoch on the reference given. Raises InvalidInput when it is too small or not finite."""
        import numpy as np

        if not reference:
            raise InvalidInput("The drift reference is empty.", "Wait for traffic, or import some.")
        vectors = np.stack([np.asarray(unit.vector, np.float32) for unit in reference])
        texts = [unit.text for unit in reference]
        return DriftTracker(DriftDetector.fit(vectors, texts, alpha=alpha, seed=seed, horizon=horizon), [])

    def restore(self, state: bytes, params: Mapping[str, Any]) -> DriftTracker:
        """The tracker that `to_bytes` wrote. Raises InvalidInput when the bytes are not such a state."""
        try:
            (size,) = struct.unpack_from("<I", state)
            words = json.loads(state[4 : 4 + size])
            tracker = DriftTracker(DriftDetector.from_bytes(state[4 + size :]), list(words["recent"]))
            tracker.level, tracker.view = float(words["level"]), str(words["view"])
            tracker.firing = bool(words["firing"])
        except (struct.error, ValueError, KeyError, TypeError) as error:
            raise InvalidInput("The stored state of prompt_drift cannot be read.", "Start a new epoch.") from error
        return tracker
