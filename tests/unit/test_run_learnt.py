"""What a run learnt by topic needs an encoder: without one the report says why there is none, and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrain.evaluate import CANDIDATE, CHAMPION, find_learnt
from retrain.training.scoring import PairScore, Scores
from retrain.training.spec import PairText

PAIR = PairText("1", "Where is my parcel?", "It comes today.", "No idea.")
SCORE = PairScore(-2.0, -3.0, 4, 4)
SCORES = Scores(["1"], ["1"], {name: [SCORE] for name in ("base", CHAMPION, CANDIDATE)}, [])


@pytest.mark.parametrize(
    ("encoder", "why"),
    [(None, "names no encoder"), ("gone", "does not exist. Run: trimtab models prepare."), ("unsafe", "model.pkl")],
)
def test_topics_that_cannot_be_told_say_why(tmp_path: Path, encoder: str | None, why: str) -> None:
    (tmp_path / "unsafe").mkdir()
    (tmp_path / "unsafe" / "model.pkl").write_bytes(b"")
    found = find_learnt(SCORES, [PAIR], str(tmp_path / encoder) if encoder else None)
    assert found["topics"] == [] and why in found["topics_missing"]


def test_whatever_befalls_the_encoder_the_run_keeps_its_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> None:
        raise KeyError("what was said stays out")

    monkeypatch.setattr("models.encoder.Encoder", broken)
    assert find_learnt(SCORES, [PAIR], "encoder") == {
        "topics": [],
        "topics_missing": "The encoder failed with KeyError.",
    }
