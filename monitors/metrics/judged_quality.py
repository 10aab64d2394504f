"""The share of answers that people would call good, told by a judge model and held to their own labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from core.types import Measurement, Status, Window
from estimates.means import mean
from estimates.predicted import predicted_mean
from monitors.effects import parameter
from monitors.judge.questions import Question, rating
from monitors.judge.verdicts import Judged, agreement, consistency, position_bias
from monitors.metrics import Guarantee, metric

NAME = "judged_quality"
MOST_UNSCORED = 0.25


@metric
class JudgedQuality:
    """The share of answers that people would call good, told by a judge model and held to their own labels.

    The judge rates each answer in both orders of the options; its mean error on the answers that people labelled is
    taken out and carried in the interval, so that another judge changes the width and not what is estimated.
    """

    guarantee: Guarantee = "interval"

    def questions(self, current: Window, labels: Mapping[int, float], params: Mapping[str, Any]) -> list[Question]:
        """The answers of the newest version that people labelled, then others: the newest `anchors` and `judged`."""
        rows = [row.inference for row in current.rows if row.inference.status == 200 and row.inference.response.strip()]
        rows = [row for row in rows if row.version == rows[-1].version]
        anchors = [row for row in rows if row.id in labels][-int(parameter(params, "anchors", 200)) :]
        others = [row for row in rows if row.id not in labels][-int(parameter(params, "judged", 200)) :]
        return [rating(str(row.id), row.prompt, row.response) for row in [*anchors, *others]]

    def conclude(self, judged: Judged, labels: Mapping[int, float], params: Mapping[str, Any]) -> Sequence[Measurement]:
        """The corrected share, then what the judge alone says, its agreement with people and its consistency."""
        named = {str(id): label for id, label in labels.items()}
        scored = [(verdict.id, verdict.value) for verdict in judged.verdicts if verdict.value is not None]
        anchors = [(value, named[id]) for id, value in scored if id in named]
        others = [value for id, value in scored if id not in named]
        agreed = agreement(judged.verdicts, named)
        unscored = len(judged.verdicts) - len(scored)
        details = {
            "judge": judged.judge,
            "anchors": len(anchors),
            "asked": len(judged.verdicts),
            "unscored": unscored,
            "agreement": asdict(agreed),
            "position_bias": asdict(position_bias(judged.verdicts)),
        }
        estimate = predicted_mean(others, [value for value, _ in anchors], [label for _, label in anchors])
        reason = "" if estimate.value is not None else f"{estimate.needed} more answers labelled by people needed."
        status: Status = "ok" if estimate.value is not None else "nodata"
        if unscored > MOST_UNSCORED * len(judged.verdicts):
            status, reason = "nodata", f"The judge scored only {len(scored)} of {len(judged.verdicts)} answers."
        out = [Measurement(NAME, estimate, status, reason=reason, details=details)]
        # What the judge says by itself is comparable only with what the same judge said: its name is the segment.
        raw = mean([value for _, value in scored], low=0.0, high=1.0)
        for name, found in (
            ("judge_says", raw),
            ("judge_agreement", agreed),
            ("judge_consistency", consistency(judged.verdicts)),
        ):
            state: Status = "ok" if found.value is not None else "nodata"
            why = "" if state == "ok" else f"{found.needed} more scored answers needed."
            out.append(Measurement(name, found, state, segment=judged.judge, reason=why))
        return out
