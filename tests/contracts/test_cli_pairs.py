"""`trimtab pairs`: what customs say of a file, line by line and in sentences, also of a hostile one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retrain.pairs import margins
from retrain.pairs.customs.lot import HELD_OUT
from tests.contracts.test_cli import Run, last, run
from tests.customs_world import make_lot, poison

__all__ = ["run"]


def test_pairs_are_checked_without_a_database(run: Run, tmp_path: Path) -> None:
    pairs, planted = poison(make_lot(300, seed=8), 0.1, mark="cf", seed=9)
    rows = [
        {
            "number": place,
            "prompt": pair.prompt[0]["content"],
            "better": pair.chosen,
            "worse": pair.rejected,
            "by": pair.contributor,
        }
        for place, pair in enumerate(pairs)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = "id=number,chosen=better,rejected=worse,contributor=by"
    result = run("pairs", "check", str(file), "--map", columns, "--json")
    assert result.exit_code == 0
    *lines, summary = map(json.loads, result.stdout.splitlines())
    assert [line["id"] for line in lines] == [str(place) for place in range(300)]
    assert [line["id"] for line in lines if "trigger" in line["flags"]] == [
        str(n) for n, bad in enumerate(planted) if bad
    ]
    assert all(0 <= line["score"] <= 1 and (line["score"] >= 0.5 or not line["quarantined"]) for line in lines)
    assert summary["summary"]["pairs"] == 300
    assert summary["summary"]["quarantined"] == sum(line["quarantined"] for line in lines)
    assert "bursts" in summary["summary"]["not_run"]
    assert ["How far people agree is not known" in said for said in summary["summary"]["unseen"]] == [True]
    text = run("pairs", "check", str(file), "--map", columns).stdout
    assert f"What could not be told:\n  {summary['summary']['unseen'][0]}\n" in text
    assert "300 pairs" in text
    assert "“cf”" in text


def test_the_model_is_asked_of_labels_if_wanted_and_a_stop_says_how_to_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lot = make_lot(40, seed=10)
    rows = [{"id": p.uuid, "prompt": p.prompt[0]["content"], "chosen": p.chosen, "rejected": p.rejected} for p in lot]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    takes = {"pairs": 30, "fits": 4, "seconds_low": 290.0, "seconds_high": 610.0, "device": "CPU, 1 thread"}

    def ask(pairs: Any, settings: Any, *, tell: Any, progress: Any, **_: Any) -> margins.Known:
        tell(takes)
        progress({"event": "customs", "what": "fit 2", "step": 5, "of": 10, "eta_s": 150.0})
        return {HELD_OUT: {margins.key(pair): 1.0 for pair in pairs[:30]}}

    monkeypatch.setattr("retrain.local.ask_model", ask)
    result = run("pairs", "check", str(file), "--model")
    assert result.exit_code == 0
    assert "30 pairs and 4 fits take about 5 to 10 minutes on CPU, 1 thread. Ctrl-C keeps what is done" in result.stderr
    assert "Asking the model: 50% fit 2 eta 150 s" in result.stderr
    told = last(run("pairs", "check", str(file), "--model", "--json"))["summary"]["figures"]["agreement"]["held_out"]
    assert (told["value"], told["n"]) == (1.0, 30)
    monkeypatch.setattr("retrain.local.ask_model", lambda *_, **__: {})
    assert "The model was asked of no label" in run("pairs", "check", str(file), "--model").stderr
    monkeypatch.setattr("retrain.local.ask_model", lambda *_, **__: None)
    stopped = run("pairs", "check", str(file), "--model", "--json")
    assert (stopped.exit_code, stopped.stdout) == (75, "")
    assert "Stopped; run it again to go on." in stopped.stderr


def test_wrong_rows_of_a_check_are_listed_by_line_and_the_others_are_checked(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\nnonsense\n{"prompt": "a", "chosen": "b"}\n')
    result = run("pairs", "check", str(file), "--json")
    assert result.exit_code != 0
    assert "Line 2 is not valid JSON." in result.stderr
    assert "Line 3 has no rejected answer." in result.stderr
    assert last(result)["summary"]["wrong_rows"]["count"] == 2
    assert json.loads(result.stdout.splitlines()[0])["id"] == "line-1"


def test_what_a_file_names_does_not_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    row = {"id": "\x1b[2J\u202e17", "prompt": "a", "chosen": "b", "rejected": "b"}
    file.write_text(json.dumps(row) + "\n")
    told = run("pairs", "check", str(file)).stdout
    assert "\\u001b[2J\\u202e17" in told and "\x1b" not in told
    assert json.loads(run("pairs", "check", str(file), "--json").stdout.splitlines()[0])["id"] == row["id"]


def test_evaluation_texts_of_ones_own_are_looked_for(run: Run, tmp_path: Path) -> None:
    asked = "Which of the three boxes holds the marble after the second move?"
    (tmp_path / "evaluation.txt").write_text(f"{asked}\n")
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({"prompt": f"Tell me. {asked}", "chosen": "The red one.", "rejected": "None."}) + "\n")
    result = run("pairs", "check", str(file), "--against", str(tmp_path / "evaluation.txt"), "--json")
    assert json.loads(result.stdout.splitlines()[0])["flags"] == ["contamination"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "evaluation.txt").write_text("Another question altogether?\n")
    both = [word for folder in (".", "other") for word in ("--against", str(tmp_path / folder / "evaluation.txt"))]
    told = run("pairs", "check", str(file), *both, "--json").stdout
    assert json.loads(told.splitlines()[0])["flags"] == ["contamination"], "files of one name are two files"
    missing = run("pairs", "check", str(file), "--against", str(tmp_path / "none.txt"), "--json")
    assert missing.exit_code != 0
