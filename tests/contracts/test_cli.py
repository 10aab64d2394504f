"""The command line as a script would use it: JSON lines, exit codes, and errors in one sentence."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from core.thinning import Thinning
from monitors.judge.verdicts import Judged, Verdict
from monitors.load.bend import Step
from tests.monitors_world import SHOP, embed_words
from trimtab.cli import COMMANDS, main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command against an installation of this test's own that needs no model."""
    for name in ("TRIMTAB_HOME", "TRIMTAB_MODELS_HOME", "TRIMTAB_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*arguments: str, **options: Any) -> Result:
        scripted = ["--home", str(tmp_path / "home"), "--set", "gateway.server=scripted"]
        return CliRunner().invoke(main, [*scripted, *arguments], **options)

    return invoke


@pytest.fixture
def ready(run: Run) -> Run:
    """The same, with the database made."""
    assert run("doctor", "--repair").exit_code == 0
    return run


def last(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run: Run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3


def test_doctor_says_what_is_missing_and_repairs_it(run: Run) -> None:
    before = run("doctor", "--json")
    assert before.exit_code == 1
    assert "trimtab up" in next(line for line in before.stdout.splitlines() if '"database"' in line)
    repaired = run("doctor", "--repair", "--json")
    assert repaired.exit_code == 0
    assert json.loads(repaired.stdout.splitlines()[0])["account"] == "admin"
    assert "account" not in run("doctor", "--repair", "--json").stdout


def test_an_account_and_a_key_are_shown_once(ready: Run) -> None:
    made = last(ready("user", "add", "ann", "--role", "approver", "--json"))
    assert len(made["password"]) >= 10
    again = ready("user", "add", "ann", "--json")
    assert again.exit_code != 0
    assert "already an account named ann" in last(again)["error"]
    assert last(ready("key", "add", "shop", "--json"))["key"].startswith("tk-")


def test_a_password_from_a_file_is_not_shown(ready: Run) -> None:
    result = ready("user", "add", "bob", "--password-file", "-", "--json", input="a long enough password\n")
    assert result.exit_code == 0
    assert "password" not in last(result)


def test_traffic_is_imported_whole_and_only_once(ready: Run, tmp_path: Path) -> None:
    file = tmp_path / "traffic.jsonl"
    rows = [{"event_id": f"e{n}", "ts": f"2026-01-0{n + 1}T00:00:00Z", "text": "hello"} for n in range(3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    mapping = "id=event_id,at=ts,prompt=text"
    assert last(ready("import", "traffic", str(file), "--map", mapping, "--json"))["new_rows"] == 3
    assert last(ready("import", "traffic", str(file), "--map", mapping, "--json"))["new_rows"] == 0


def test_a_bad_row_is_named_by_its_line_and_nothing_is_imported(ready: Run, tmp_path: Path) -> None:
    file = tmp_path / "traffic.jsonl"
    good = json.dumps({"id": "a", "at": "2026-01-01T00:00:00Z", "prompt": "hello"})
    file.write_text(f"{good}\nnot json\n")
    result = ready("import", "traffic", str(file), "--json")
    assert result.exit_code == 2
    assert "line 2" in result.stderr
    file.write_text(good + "\n")
    assert last(ready("import", "traffic", str(file), "--json"))["new_rows"] == 1


def test_a_garak_run_is_imported_for_a_version(ready: Run, tmp_path: Path) -> None:
    file, counts = tmp_path / "run.report.jsonl", {"passed": 3, "fails": 1, "total_evaluated": 4}
    line = {"entry_type": "eval", "probe": "dan.A", "detector": "dan.DAN", **counts}
    file.write_text(json.dumps(line))
    named = ("import", "garak", str(file), "--version", "assistant-v1", "--json")
    assert "did not end" in last(ready(*named))["error"]
    file.write_text(f'{json.dumps(line)}\n{{"entry_type": "completion"}}\n')
    assert last(ready(*named))["new_rows"] == 1
    assert last(ready(*named))["new_rows"] == 0


@pytest.mark.parametrize(
    ("file", "mapping", "rows"),
    [
        ("hh-rlhf/pairs.jsonl.gz", "prompt=prompt", 1258),
        ("taskmaster4-reward/pairs.jsonl.gz", "prompt=context", 617),
        ("derived-preferences/pairs.jsonl.gz", "id=id", 2103),
    ],
)
def test_public_preferences_are_imported(ready: Run, public_data: Path, file: str, mapping: str, rows: int) -> None:
    result = ready("import", "pairs", str(public_data / file), "--map", mapping, "--json")
    assert last(result)["rows"] == rows
    assert rows - 10 <= last(result)["new_rows"] <= rows  # a pair that stands twice in a file is taken once


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import", "traffic", "nowhere.jsonl"), "nowhere.jsonl"),
        (("import", "pairs", "x.jsonl", "--map", "prompt"), "not FIELD=COLUMN"),
        (("rollback", "--reason", " "), "needs a reason"),
        (("fingerprint", "assistant-v9"), "no version assistant-v9"),
        (("fingerprint", "assistant-base", "--anew"), "only for a reason"),
        (("fingerprint", "assistant-base", "--reason", "x"), "Add --anew"),
        (("rollback", "--reason", "x", "--segment", "plan"), "plan is no segment"),
        (("rollback", "--reason", "x", "--segment", "plan=pro"), "plan=pro has no version of its own"),
        (("--set", "gateway.port=many", "settings"), "gateway.port"),
        (("--set", "gateway.prt=1", "settings"), "gateway.prt"),
        (("train", "nowhere.toml"), "nowhere.toml"),
        (("channel", "add", "x", "carrier-pigeon"), "carrier-pigeon"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_with_its_name(
    ready: Run, arguments: tuple[str, ...], words: str
) -> None:
    result = ready(*arguments)
    assert result.exit_code not in (0, None)
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_secrets_are_not_listed(run: Run) -> None:
    result = run("--set", "gateway.upstream_key=sk-very-secret", "settings", "--json")
    assert result.exit_code == 0
    assert "sk-very-secret" not in result.output
    listed = {json.loads(line)["name"]: json.loads(line) for line in result.stdout.splitlines()}
    assert listed["gateway.upstream_key"]["value"] == "set"
    assert listed["gateway.server"]["origin"] == "flag"


def test_the_chain_of_a_fresh_installation_is_sound(ready: Run) -> None:
    assert last(ready("audit", "verify", "--json"))["bad"] is None
    exported = [json.loads(line) for line in ready("audit", "export").stdout.splitlines()]
    assert [event["id"] for event in exported] == list(range(1, len(exported) + 1))


def test_a_taken_port_is_named(ready: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = ready("--set", f"gateway.port={port}", "up")
    assert result.exit_code == 2
    assert f"Port {port}" in result.stderr
    assert "gateway.port=PORT" in result.stderr


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [("clinc_sudden", 2300), ("clinc_control", None)])
def test_a_backtest_prints_its_looks_and_finds_the_change(
    prepared_models: Path, public_data: Path, tmp_path: Path, name: str, expected: int | None
) -> None:
    """The sudden change is at row 2200; the control stream has none."""
    stream = public_data / "streams" / f"{name}.jsonl.gz"
    result = CliRunner().invoke(
        main,
        [
            *("--home", str(tmp_path), "--set", f"models_home={prepared_models}"),
            *("backtest", "--monitor", "prompt_drift", "--traffic", str(stream)),
            *("--map", "id=event_id,at=ts,prompt=text", "--reference", "1000", "--every", "100", "--budget", "0.1"),
            "--json",
        ],
    )
    assert result.exit_code == 0, result.output
    *looks, summary = [json.loads(line) for line in result.stdout.splitlines()]
    assert [look["seen"] for look in looks] == list(range(1100, 4001, 100))
    assert set(looks[0]) == {"look", "seen", "value", "low", "high", "n", "alarm"}
    assert next((look["seen"] for look in looks if look["alarm"]), None) == expected
    assert summary["first_alarm_seen"] == expected


def test_all_monitors_share_one_budget_over_a_file_and_draw_a_picture(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From row 400 on every other answer refuses."""
    monkeypatch.setattr("trimtab.installation.require_models", lambda settings: None)
    monkeypatch.setattr("models.encoder.Encoder", lambda path: SimpleNamespace(embed=embed_words))
    rng, file, picture = random.Random(1), tmp_path / "traffic.jsonl", tmp_path / "course.html"
    rows = [
        {
            "id": str(n),
            "at": f"2026-11-01T{n // 60:02d}:{n % 60:02d}:00Z",
            "prompt": " ".join(rng.choices(SHOP, k=6)),
            "response": "I cannot help with that." if n >= 400 and n % 2 else "It arrives on Monday.",
        }
        for n in range(500)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run(
        *("backtest", "--monitor", "all", "--traffic", str(file), "--reference", "300", "--every", "50"),
        *("--budget", "0.1", "--onset", "400", "--picture", str(picture), "--json"),
    )
    assert result.exit_code == 0, result.output
    *lines, total = [json.loads(line) for line in result.stdout.splitlines()]
    ended = {line["monitor"]: line for line in lines if "summary" in line}
    assert {"prompt_drift", "refusal_rate", "response_length", "response_format"} <= set(ended)
    assert sum("summary" not in line for line in lines) == 4 * len(ended)
    assert "refusal_rate" in total["alarmed"] and ended["refusal_rate"]["delay"] in (50, 100)
    assert total["granted"] == pytest.approx(sum(line["budget"] for line in ended.values()))
    assert 0 < total["granted"] <= 0.1
    assert total["skipped"] == {}
    page = picture.read_text("utf-8")
    assert "refusal_rate" in page and "<script src=" not in page


def test_a_backtest_of_busy_traffic_is_one_of_the_rows_that_it_reads(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From row 360 on every answer refuses; a row of a file is a conversation."""
    monkeypatch.setattr("trimtab.installation.require_models", lambda settings: None)
    monkeypatch.setattr("models.encoder.Encoder", lambda path: SimpleNamespace(embed=embed_words))
    rows = [
        {
            "id": str(n),
            "at": f"2026-11-01T{n // 60:02d}:{n % 60:02d}:00Z",
            "prompt": "Where is it?",
            "response": "I cannot help with that." if n >= 360 else "It arrives on Monday.",
        }
        for n in range(600)
    ]

    def told(name: str, kept: list[dict[str, str]], *more: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in kept))
        how = ("--reference", "60", "--every", "10", "--seed", "5", "--json", *more)
        result = run("backtest", "--monitor", "refusal_rate", "--traffic", str(file), *how)
        assert result.exit_code == 0, result.output
        *looks, summary = [json.loads(line) for line in result.stdout.splitlines()]
        return looks, summary

    rule = Thinning(3, 5)
    read = [row for n, row in enumerate(rows) if rule.holds(n)]
    onset = sum(int(row["id"]) < 360 for row in read)
    looks, summary = told("whole.jsonl", rows, "--one-in", "3", "--onset", "360")
    alone, counted = told("read.jsonl", read, "--onset", str(onset))
    assert looks == alone and any(look["alarm"] for look in looks)
    assert summary == counted | {"one_in": 3} and summary["rows"] == len(read) == 200
    refused = run("backtest", "--monitor", "refusal_rate", "--traffic", str(tmp_path / "read.jsonl"), "--one-in", "0")
    assert refused.exit_code == 2 and "--one-in counts conversations" in refused.stderr


def test_the_judge_is_held_to_people_and_its_absence_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pairs.jsonl"
    rows = [{"id": str(n), "prompt": "why?", "chosen": "because it is", "rejected": "no"} for n in range(30)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "Set judge.url" in last(run("judge", str(file), "--json"))["remedy"]

    def longest(questions: Any, **_: Any) -> Judged:
        assert questions[0].prompt == "user: why?" and len(questions) == 25
        return Judged("longest", [Verdict(q.id, "A" if len(q.first) > len(q.second) else "B", "B") for q in questions])

    monkeypatch.setattr("monitors.judge.client.judge", longest)
    found = last(run("judge", str(file), "--limit", "25", "--json"))
    assert (found["judge"], found["agreement"]["value"], found["consistency"]["n"]) == ("longest", 1.0, 25)
    told = run("judge", str(file), "--limit", "25").output
    assert "agreement: 1.000 [" in told and "position bias: 0.000 [" in told


def test_a_load_probe_is_refused_while_latency_alarms_and_says_that_nobody_answers(
    ready: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = ("--set", f"gateway.port={free.getsockname()[1]}")
        gone = ready(*nowhere, "probe", "load", "--requests", "12", "--json")
    assert "answered no request" in last(gone)["error"]
    firing = [{"monitor": "latency", "state": "firing"}]
    monkeypatch.setattr("trimtab.commands.probe.listed", lambda tx, **_: firing)
    refused = ready("probe", "load", "--json")
    assert refused.exit_code != 0 and "An alert on latency fires" in last(refused)["error"]
    firing[0]["state"] = "pending"
    assert "An alert on latency fires" not in ready(*nowhere, "probe", "load", "--requests", "12", "--json").output


def test_a_load_probe_prints_its_steps_and_the_bracket(ready: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stepped(*_: Any, **__: Any) -> Any:
        return [Step(1, [100.0 + n for n in range(24)], 0, 2.4), Step(2, [400.0] * 24, 0, 4.8)], "latency bends"

    monkeypatch.setattr("monitors.load.stepping.probe", stepped)
    found = last(ready("probe", "load", "--json"))
    assert (found["flat_to"], found["bent_from"], found["ended"]) == (1, 2, "latency bends")
    told = ready("probe", "load").stdout
    assert "1 at a time: median 111 ms [" in told and "Latency bends by 2 at a time" in told


def test_a_forecast_without_an_encoder_says_what_it_cannot_tell(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes = {"seconds_low": 20.0, "seconds_high": 40.0, "device": "CPU", "memory_mb": 900}
    monkeypatch.setattr("retrain.local._forecast", lambda *_: dict(takes))
    (tmp_path / "models" / "chat").mkdir(parents=True)
    (tmp_path / "models" / "chat" / "config.json").write_text("{}")
    rows = [{"id": str(n), "prompt": f"Question {n}?", "chosen": "Yes.", "rejected": "No."} for n in range(12)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "spec.toml").write_text('pairs = "pairs.jsonl"')
    here = ("--set", "gateway.server=transformers_local", "--set", f"models_home={tmp_path / 'models'}")
    asked = ("train", str(tmp_path / "spec.toml"), "--forecast")
    text = run(*here, *asked)
    assert text.exit_code == 0, text.output
    assert "20 to 40 s on CPU, 900 MB\nWhether it will help is not known: The encoder folder" in text.stdout
    told = last(run(*here, *asked, "--json"))
    assert told["outlook"] is None and told["outlook_missing"].endswith("Run: trimtab models prepare.")
