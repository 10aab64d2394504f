"""Settings: who wins, where each value came from, and errors that name the setting and the remedy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from config.load import export, load, names, variable
from config.secrets import internal_key
from core.errors import InvalidInput


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    (tmp_path / "trimtab.toml").write_text(
        'deployment = "helper"\n[gateway]\nport = 1\nmax_tokens = 7\n[retrain]\nbeta = 0.2\n'
    )
    environment = {"TRIMTAB_HOME": str(tmp_path), "TRIMTAB_GATEWAY__PORT": "2", "TRIMTAB_RETRAIN__BETA": "0.3"}
    read = load({"retrain.beta": "0.4", "models.port": None}, environment=environment)
    assert (read.deployment, read.gateway.port, read.gateway.max_tokens, read.retrain.beta) == ("helper", 2, 7, 0.4)
    assert read.origins["deployment"] == "file trimtab.toml"
    assert read.origins["gateway.port"] == "environment TRIMTAB_GATEWAY__PORT"
    assert read.origins["retrain.beta"] == "flag"
    assert "models.port" not in read.origins


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TRIMTAB_GATEWAY__PRT": "1"}, "Did you mean TRIMTAB_GATEWAY__PORT"),
        ({"TRIMTAB_GATEWAY__PORT": "many"}, "gateway.port"),
        ({"TRIMTAB_RETRAIN__PRECISION": "fp8"}, r"retrain.precision \(environment TRIMTAB_RETRAIN__PRECISION\)"),
        (
            {"TRIMTAB_RETRAIN__TOKENS_PER_BATCH": "0"},
            r"retrain.tokens_per_batch \(environment TRIMTAB_RETRAIN__TOKENS_PER_BATCH\) is wrong: it is below 1",
        ),
        ({"TRIMTAB_RETRAIN__PAIRS_PER_STEP": "0"}, "retrain.pairs_per_step .* is below 1"),
        ({"TRIMTAB_WHO_KNOWS_WHAT": "1"}, "no setting TRIMTAB_WHO_KNOWS_WHAT"),
    ],
)
def test_a_wrong_variable_is_named(environment: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=words):
        load(environment={"TRIMTAB_HOME": str(tmp_path), **environment})


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "trimtab.toml").write_text("[gateway]\nprot = 1\n")
    with pytest.raises(InvalidInput, match=r"gateway.prot \(file trimtab.toml\)"):
        load(environment={"TRIMTAB_HOME": str(tmp_path)})
    (tmp_path / "trimtab.toml").write_text("[gateway\n")
    with pytest.raises(InvalidInput, match="cannot be read"):
        load(environment={"TRIMTAB_HOME": str(tmp_path)})


def test_a_child_process_gets_the_same_settings(tmp_path: Path) -> None:
    read = load({"home": str(tmp_path), "dashboard.demo": True, "monitors.budget": 0.25}, environment={})
    again = load(environment=export(read))
    assert dataclasses.replace(again, origins={}) == dataclasses.replace(read, origins={})


def test_every_setting_says_what_it_means() -> None:
    for name, _, meaning, _ in names():
        assert meaning.endswith("."), name
        assert variable(name).startswith("TRIMTAB_")


def test_the_internal_key_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    read = load({"home": str(tmp_path)}, environment={})
    first = internal_key(read)
    assert first == internal_key(read)
    assert len(first) > 30
    assert read.internal_key_path.stat().st_mode & 0o077 == 0
