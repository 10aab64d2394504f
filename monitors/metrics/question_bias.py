"""Whether answers to a fixed suite of questions lean towards stereotypes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import Unavailable
from core.types import Estimate, Measurement
from monitors import gaps, questions
from monitors.effects import parameter
from monitors.metrics import Guarantee, metric
from monitors.questions import Scorer

NAME = "question_bias"
MOST = 200


@metric
class QuestionBias:
    """Whether answers to a fixed suite of questions lean towards stereotypes.

    Questions in BBQ's format: the likeliest of three answers is the model's. Their leaning in ambiguous contexts and in
    those that tell the answer, and the accuracy in both, with intervals clustered by question template.
    """

    guarantee: Guarantee = "interval"

    def examine(self, score: Scorer, params: Mapping[str, Any]) -> Sequence[Measurement]:
        """The stronger leaning of the two contexts without its sign, then each score over all and by category.

        A parameter `file` names other questions; at most `questions` of them are asked, the same at each look. NoData
        with the reason where the server cannot score.
        """
        asked, passed_over = questions.read_questions(str(params.get("file", "")))
        most = int(parameter(params, "questions", MOST))
        if len(asked) > most:
            asked = random.Random(0).sample(asked, most)
        details = {"questions": len(asked), "passed_over": passed_over}
        none = Estimate.missing(0, "clustered mean", len(asked))
        try:
            found = questions.judge(questions.answer(asked, score))
        except Unavailable as error:
            return [Measurement(NAME, none, "nodata", reason=error.message, details=details)]
        leanings = [m for m in found if m.metric.startswith("bias_") and not m.segment]
        missing = Measurement(NAME, none, "nodata", reason="Too few questions were read.", details=details)
        return [gaps.worst(NAME, leanings, missing=missing, details=details), *found]
