"""`trimtab train SPEC`: what a spec file may say, and what a wrong one is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import InvalidInput
from retrain import local

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
