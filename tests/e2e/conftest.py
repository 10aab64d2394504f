"""A whole installation for a test: a home, free ports, every process under `trimtab up`, a webhook receiver."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config import load
from core.settings import Settings
from store.unit_of_work import Store, Tx

REPOSITORY = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Installation:
    """A running product. `say` lines of its processes are kept in `log`."""

    settings: Settings
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    _store: Store | None = field(default=None, repr=False)

    def cli(self, *arguments: str, stdin: str = "") -> Any:
        """Run a trimtab command; returns its last JSON line (or None) and fails the test when it fails."""
        found = subprocess.run(
            [sys.executable, "-m", "trimtab", *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            cwd=REPOSITORY,
        )
        assert found.returncode == 0, found.stderr[-2000:]
        lines = found.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None

    def start(self) -> None:
        """Start every process and wait until the gateway answers and the dashboard is up."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trimtab", "up"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                start_new_session=True,
            )
        self.wait(lambda: self.answers(f"{self.settings.gateway_url}/health"), 120, "the gateway")
        self.wait(lambda: self.answers(f"{self.settings.dashboard_url}/_stcore/health"), 120, "the dashboard")
        if self.settings.gateway.server == "transformers_local":
            self.wait(self._model_ready, 180, "the model server")

    def stop(self) -> int:
        """End everything as Ctrl-C does; returns the supervisor's exit code."""
        if self._store is not None:
            self._store.close()
            self._store = None
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise

    @property
    def store(self) -> Store:
        """The installation's store, for looking only."""
        if self._store is None:
            self._store = Store.open(self.settings.store_url)
        return self._store

    def look(self, read: Callable[[Tx], Any]) -> Any:
        """What `read` finds in the store now."""
        with self.store.read() as tx:
            return read(tx)

    def wait(self, found: Callable[[], Any], seconds: float, what: str) -> Any:
        """The first true result of `found`; fails with the log's end when it does not come in time."""
        deadline = time.monotonic() + seconds
        while not (result := found()):
            alive = self.process is None or self.process.poll() is None
            assert alive, f"the product ended while the test waited for {what}:\n{self.tail()}"
            assert time.monotonic() < deadline, f"{what} did not come in {seconds:.0f} s:\n{self.tail()}"
            time.sleep(0.2)
        return result

    def tail(self, lines: int = 60) -> str:
        """The end of what the processes said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    @staticmethod
    def answers(url: str) -> bool:
        """Whether `url` answers with a success."""
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return True
        return False

    def _model_ready(self) -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{self.settings.model_server_url}/health", timeout=2) as r,
        ):
            return bool(json.load(r)["status"] == "ready")
        return False


@dataclass
class Receiver:
    """A webhook receiver on loopback: keeps what came, headers and body."""

    url: str
    received: list[tuple[dict[str, str], bytes]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook receiver that answers 200 to everything."""
    received: list[tuple[dict[str, str], bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            received.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Receiver(f"http://127.0.0.1:{server.server_port}/hook", received)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def make_installation(tmp_path: Path, prepared_models: Path) -> Iterator[Callable[..., Installation]]:
    """Builds installations with settings of the test's choice, and ends them all afterwards."""
    made: list[Installation] = []

    def make(**variables: str) -> Installation:
        home = tmp_path / f"home-{len(made)}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
        chosen = {
            "TRIMTAB_HOME": str(home),
            "TRIMTAB_MODELS_HOME": str(prepared_models),
            "TRIMTAB_GATEWAY__PORT": str(free_port()),
            "TRIMTAB_MODELS__PORT": str(free_port()),
            "TRIMTAB_DASHBOARD__PORT": str(free_port()),
            "TRIMTAB_MONITORS__ALLOW_PRIVATE_WEBHOOKS": "true",
            **{f"TRIMTAB_{name}": value for name, value in variables.items()},
        }
        one = Installation(load(environment=chosen), {**kept, **chosen}, tmp_path / f"log-{len(made)}.txt")
        made.append(one)
        return one

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def now() -> datetime:
    """The time at which the test began."""
    return datetime.now(UTC)
