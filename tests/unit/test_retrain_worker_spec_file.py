"""`trimtab train SPEC`: what a spec file may say, and what a wrong one is told."""

from __future__ import annotations

import fcntl
import gzip
import json
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from core.errors import Conflict, InvalidInput, Unavailable
from retrain import local, shared

PAIRS = [
    {"id": str(n), "prompt": f"Question {n}?", "chosen": "Yes.", "rejected": "No."}
    for n in range(12)
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("spec.toml", "pairs = ", "is not toml"),
        ("spec.json", "{", "is not json"),
        ("spec.toml", "lr = 1.0", "names no pairs"),
        ("spec.toml", 'trainer = "kto"\npairs = "pairs.jsonl"', "names no thumbs"),
        ("spec.toml", 'trainer = "adapt"\ntexts = "pairs.jsonl"', "line 1 is not a text"),
        ("spec.toml", 'pairs = "elsewhere.jsonl"', "cannot be read"),
        ("spec.toml", 'pairs = "pairs.jsonl"\nspeed = 3', "speed is not a setting"),
        ("spec.toml", 'pairs = "pairs.jsonl"\nlr = -1', "lr must be above 0"),
    ],
)
def test_a_wrong_spec_is_told_what_is_wrong(folder: Path, name: str, text: str, told: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(InvalidInput, match=told):
        local.train(folder / name, base="chat", output=folder / "run")
    assert not (folder / "run" / "adapter").exists()


def test_a_missing_spec_is_named(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nothing\.toml cannot be read"):
        local.train(folder / "nothing.toml", base="chat")


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that do nothing."""
    monkeypatch.setattr(local, "_run", lambda *_: 0)
    monkeypatch.setattr(local, "_forecast", lambda *_: {})


def test_a_spec_that_was_changed_after_its_forecast_trains_as_it_is_now(folder: Path, children: None) -> None:
    spec = folder / "spec.toml"
    spec.write_text('pairs = "pairs.jsonl"\nlr = 1e-4')
    local.forecast(spec, base="chat")
    spec.write_text('pairs = "pairs.jsonl"\nlr = 2e-4')
    local.train(spec, base="chat", encoder="encoder")
    told = json.loads((folder / "spec" / "spec.json").read_text())
    assert (told["lr"], told["encoder"]) == (2e-4, "encoder")


@pytest.mark.parametrize(
    ("spec", "pairs", "refused"),
    [
        ("lr = 1e-4", PAIRS, False),
        ("lr = 1e-4\nthreads = 2", PAIRS, False),
        ("lr = 2e-4", PAIRS, True),
        ("lr = 1e-4", PAIRS[1:], True),
    ],
)
def test_what_another_spec_trained_is_not_passed_off_as_this_ones(
    folder: Path, children: None, spec: str, pairs: list[dict[str, str]], refused: bool
) -> None:
    path = folder / "spec.toml"
    path.write_text('pairs = "pairs.jsonl"\nlr = 1e-4')
    local.train(path, base="chat")
    (folder / "spec" / "adapter").mkdir()
    (folder / "spec" / "adapter" / "adapter_config.json").write_text("{}")
    path.write_text(f'pairs = "pairs.jsonl"\n{spec}')
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    with pytest.raises(InvalidInput, match="by another spec or other pairs") if refused else nullcontext():
        local.train(path, base="chat")


def test_no_prompt_is_learnt_that_is_nearly_one_held_out(folder: Path, children: None) -> None:
    topics = ["shoes", "parcels", "refunds", "vouchers", "invoices", "gloves", "lamps", "chairs", "kettles", "scarves"]
    asked = [f"Where can I read what you wrote about {topic} and their sizes" for topic in topics]
    rows = [
        {"id": f"{n}{end}", "prompt": prompt + end, "chosen": "Yes.", "rejected": "No."}
        for n, prompt in enumerate(asked)
        for end in ("?", " now?", " please?", " today?")
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "spec.toml").write_text('pairs = "pairs.jsonl"')
    local.train(folder / "spec.toml", base="chat")
    learnt, held = (
        {json.loads(line)["id"][0] for line in (folder / "spec" / name).read_text().splitlines()}
        for name in ("train.jsonl", "held_out.jsonl")
    )
    assert learnt and held and not learnt & held


def test_a_text_may_hold_what_ends_a_line_elsewhere(folder: Path, children: None) -> None:
    rows = [{**pair, "chosen": "Yes.\u2028Or\x85no."} for pair in PAIRS]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows))
    (folder / "spec.toml").write_text('pairs = "pairs.jsonl"')
    local.train(folder / "spec.toml", base="chat")
    assert json.loads((folder / "spec" / "train.jsonl").read_text().splitlines()[0])["chosen"] == rows[0]["chosen"]


@pytest.mark.parametrize("key", ["pairs", "held_out"])
def test_a_packed_file_is_read_as_what_it_holds(folder: Path, children: None, key: str) -> None:
    plain = folder / "pairs.jsonl"
    (folder / "packed.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    names = {"pairs": "pairs.jsonl", key: "packed.jsonl.gz"}
    (folder / "spec.toml").write_text("".join(f'{name} = "{file}"\n' for name, file in names.items()))
    local.train(folder / "spec.toml", base="chat")
    sides = [(folder / "spec" / name).read_text().splitlines() for name in ("train.jsonl", "held_out.jsonl")]
    assert sum(map(len, sides)) == len(PAIRS) * len(names)
    (folder / "packed.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes() + b"{}\n"))
    with pytest.raises(InvalidInput, match=r"packed\.jsonl\.gz line 13 is not a pair"):
        local.train(folder / "spec.toml", base="chat")
    (folder / "packed.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes())[:-9])
    with pytest.raises(InvalidInput, match="cut off or damaged"):
        local.train(folder / "spec.toml", base="chat")


ASKED = [
    "Where can I read about shoes and their sizes",
    "How long does a parcel to Norway take when it goes by ship in the winter months",
    "Who pays for returns",
]
HELD = [
    (ASKED[0].upper() + "!", True),  # the same words
    (ASKED[1] + " now?", True),  # nearly the same
    ("May I pay by invoice from another country?", False),
]


@pytest.mark.parametrize(("trainer", "key"), [("dpo", "pairs"), ("kto", "thumbs")])
def test_a_held_out_file_that_shares_prompts_is_warned_of_and_the_report_says_so(
    folder: Path, children: None, trainer: str, key: str
) -> None:
    row = {"chosen": "Yes.", "rejected": "No.", "completion": "Yes.", "desirable": True}
    learnt = [{"id": str(n), "prompt": prompt, **row} for n, prompt in enumerate(ASKED)]
    held = [{"id": f"h{n}", "prompt": prompt, **row} for n, (prompt, _) in enumerate(HELD)]
    for name, rows in (("learnt", learnt), ("held", held), ("apart", held[2:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(told) + "\n" for told in rows))
    spec = f'trainer = "{trainer}"\n{key} = "learnt.jsonl"\nheld_out = '
    (folder / "spec.toml").write_text(f'{spec}"held.jsonl"')
    events: list[dict[str, str]] = []
    result = local.train(folder / "spec.toml", base="chat", progress=lambda event: events.append(dict(event)))
    (warning,) = result["warnings"]
    assert warning.startswith("2 of the 3 held-out pairs ask what the run trains on (2 prompts, the same or nearly so)")
    assert "held-out accuracy is too good" in warning
    assert events == [{"event": "warning", "message": warning}], "before the training"
    assert shared.read_shared(folder / "spec") == {"pairs": 2, "of": 3, "prompts": 2, "warning": warning}
    assert local.forecast(folder / "spec.toml", base="chat") == {"warnings": [warning]}
    (folder / "spec.toml").write_text(f'{spec}"apart.jsonl"')
    assert local.train(folder / "spec.toml", base="chat")["warnings"] == []
    assert shared.read_shared(folder / "spec") is None


def test_a_child_that_says_nothing_is_not_told_by_what_an_earlier_one_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "POLL_SECONDS", 0.01)
    (folder / "progress.jsonl").write_text('{"event": "error", "message": "An earlier try failed.", "code": 2}\n')
    with pytest.raises(Unavailable, match=r"The trainer ended early\. Look at .*log\.txt"):
        local._run("no_such_child", folder, lambda event: None)


def test_two_do_not_train_in_one_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever began is there as long as its child is, which holds what the child writes its words to."""
    monkeypatch.setattr(local, "POLL_SECONDS", 0.0)
    with (folder / "log.txt").open("ab") as log:
        child = subprocess.Popen(["sleep", "60"], stdout=log)
        fcntl.flock(log, fcntl.LOCK_EX)
    try:
        with pytest.raises(Conflict, match="Another process is at work"):
            local._run("no_such_child", folder, lambda event: None)
        (folder / "spec.toml").write_text('pairs = "pairs.jsonl"')
        with pytest.raises(Conflict, match="Another process is at work"):
            local.forecast(folder / "spec.toml", base="chat", output=folder)
        assert not (folder / "spec.json").exists(), "nor is what it trains on replaced"
    finally:
        child.kill()
        child.wait()
    with local._own(folder):
        pass


@pytest.mark.slow
def test_a_base_that_is_no_model_ends_with_the_childs_sentence(folder: Path) -> None:
    (folder / "spec.toml").write_text('pairs = "pairs.jsonl"\nmax_steps = 1')
    events: list[str] = []
    with pytest.raises(InvalidInput):
        local.train(folder / "spec.toml", base=str(folder / "no-model"), progress=lambda e: events.append(e["event"]))
    assert events == ["error"]
    sides = [(folder / "spec" / name).read_text().splitlines() for name in ("train.jsonl", "held_out.jsonl")]
    assert sum(map(len, sides)) == len(PAIRS)
    assert all(sides)


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "key"), [("kto", "thumbs"), ("adapt", "texts")])
def test_what_a_trainer_learns_from_reaches_its_folder(folder: Path, trainer: str, key: str) -> None:
    row = {"id": "1", "prompt": "Hm?", "completion": "Yes.", "desirable": True, "text": "Hm? Yes."}
    (folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    first = f'trainer = "{trainer}"\n{key} = "rows.jsonl"\ninit_adapter = "first/adapter"\nmax_steps = 1'
    (folder / "spec.toml").write_text(first)
    with pytest.raises(InvalidInput):
        local.train(folder / "spec.toml", base=str(folder / "no-model"))
    assert json.loads((folder / "spec" / f"{key}.jsonl").read_text())["id"] == "1"
    told = json.loads((folder / "spec" / "spec.json").read_text())
    assert (told[key], told["held_out"]) == (f"{key}.jsonl", None)
    assert told["init_adapter"] == str(folder / "first" / "adapter")
