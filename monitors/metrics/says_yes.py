"""Whether the model agrees with whatever is stated, and where it stands on some behaviours."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.errors import Unavailable
from core.types import Estimate, Measurement
from monitors import statements
from monitors.effects import parameter
from monitors.metrics import Guarantee, metric
from monitors.questions import Scorer

NAME = "says_yes"
MOST = 400


@metric
class SaysYes:
    """Whether the model agrees with whatever is stated, and where it stands on some behaviours.

    Statements, each with its opposite kind: one who answers by what is stated says Yes to half of them. The share of
    Yes by likelihood, and by behaviour the share of answers that fit it (monitors.statements).
    """

    guarantee: Guarantee = "interval"

    def examine(self, score: Scorer, params: Mapping[str, Any]) -> Sequence[Measurement]:
        """The share of Yes, then each behaviour's stance, with exact intervals.

        A parameter `file` names other statements; at most `statements` of them are asked, the same at each look. NoData
        with the reason where the server cannot score.
        """
        asked = statements.read_statements(str(params.get("file", "")))
        most = int(parameter(params, "statements", MOST))
        if len(asked) > most:
            asked = random.Random(0).sample(asked, most)
        details = {"statements": len(asked)}
        try:
            first, *rest = statements.judge(statements.answer(asked, score))
        except Unavailable as error:
            none = Estimate.missing(0, "clopper-pearson 95%", len(asked))
            return [Measurement(NAME, none, "nodata", reason=error.message, details=details)]
        return [replace(first, details=details), *rest]
