"""The console as a process: one plain sentence for a taken port or a wrong setting, and a clean end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests import console_world
from tests.conftest import find_free_port

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, **settings: str) -> subprocess.Popen[str]:
    """`python -m dashboard` with these settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    named = {f"TRIMTAB_{name.upper()}": value for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "dashboard"],
        cwd=ROOT,
        env={**kept, "TRIMTAB_HOME": str(folder), **named},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(tmp_path, dashboard__port=str(port))
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(said.strip().splitlines()) == 1
    assert f"port {port}" in said
    assert "TRIMTAB_DASHBOARD__PORT" in said


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    process = start(tmp_path, dashboard__port="many")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(said.strip().splitlines()) == 1
    assert "dashboard.port" in said


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_serves_beats_and_ends_cleanly(tmp_path: Path, name: signal.Signals) -> None:
    port = find_free_port()
    console_world.build_empty(tmp_path, port=port).store.close()
    process = start(tmp_path, dashboard__port=str(port))
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/auth/login", timeout=2) as answer:
                    assert answer.status == 200
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        began = time.monotonic()
        process.send_signal(name)
        said, _ = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
    assert time.monotonic() - began < 5
    assert f"dashboard: serving http://127.0.0.1:{port}" in said
    assert "Traceback" not in said
    assert process.returncode == 0
