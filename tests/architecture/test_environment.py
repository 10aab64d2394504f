"""The script that makes the environment: what it takes over from pip, what it refuses, when it has nothing to do."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """deploy/environment.py as a module, using this Python in place of the one in .venv."""
    spec = importlib.util.spec_from_file_location("environment_script", ROOT / "deploy/environment.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PYTHON", Path(sys.executable))
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")) or name == "SSL_CERT_FILE":
            monkeypatch.delenv(name)
    return module


def test_pip_settings_reach_uv(environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://mirror.test/simple\nextra-index-url = https://a.test/simple https://b.test/simple\n"
        "find-links = /wheels\n  /more\ncert = /certs/own.pem\ntrusted-host =\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_FIND_LINKS", "/from-environment")
    found = environment.read_pip_settings()
    assert found["UV_DEFAULT_INDEX"] == "https://mirror.test/simple"
    assert found["UV_INDEX"] == "https://a.test/simple https://b.test/simple"
    assert found["UV_FIND_LINKS"] == "/from-environment", "the environment wins over pip's file, as in pip"
    assert found["SSL_CERT_FILE"] == "/certs/own.pem"
    assert "UV_INSECURE_HOST" not in found


def test_what_the_caller_set_for_uv_wins(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.test/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://own.test/simple")
    assert environment.compose_uv_environment()["UV_DEFAULT_INDEX"] == "https://own.test/simple"


def test_old_python_is_refused_with_the_remedy(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"3\.9\.2.*make setup PYTHON="):
        environment.check_python()


def test_python_without_venv_is_refused_with_the_package(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(environment.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match=r"apt install python3\.\d+-venv"):
        environment.check_python()


def test_stamp_follows_the_lock(environment: ModuleType, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("a==1\n")
    first = environment.digest_inputs(lock)
    assert environment.digest_inputs(lock) == first
    lock.write_text("a==2\n")
    assert environment.digest_inputs(lock) != first
