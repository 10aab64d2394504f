"""Fixtures that several test layers share: public data, prepared models, a private PostgreSQL, Chromium.

What a machine lacks is skipped with the remedy named; under CI=true it fails instead, so that nothing goes
untested there unnoticed. Only the public data may be missing anywhere.
"""

from __future__ import annotations

import gc
import itertools
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings as hypothesis_settings

if TYPE_CHECKING:
    from argon2 import PasswordHasher

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

# Nothing in the tests may ask a model hub or report usage; set before any library reads it.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A shared machine has no steady clock, and a CI run that fails must fail again when repeated.
hypothesis_settings.register_profile("trimtab", deadline=None, derandomize=IN_CI, database=None)
hypothesis_settings.load_profile("trimtab")

MARKED_BY_FIXTURE = {
    "postgres_cluster": "postgres",
    "prepared_models": "model",
    "chromium": "browser",
    "tiny_model": "slow",  # what takes it trains it
}
DATABASES = itertools.count(1)
MARKED_BY_FOLDER = {"browser": "browser", "e2e": "e2e"}
# Loading a model library costs a process seconds, so what does is left to the layer of what is slow.
LOADS_MODEL_LIBRARIES = (
    "tests/unit/retrain/",
    "tests/unit/test_models_",
    "tests/properties/test_models_",
    "tests/contracts/models/",
    "tests/contracts/test_trainers_door.py",
    "tests/contracts/gateway/test_gateway_local_model.py",
    "tests/store/test_retrain_worker_runs.py",
    "tests/store/test_retrain_worker_engines.py",
)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by these markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by their folder and by the fixtures of this file that they ask for."""
    for item in items:
        for fixture, marker in MARKED_BY_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
        path = item.path.relative_to(item.config.rootpath)
        for folder, marker in MARKED_BY_FOLDER.items():
            if folder in path.parts[:-1]:
                item.add_marker(marker)
        if path.as_posix().startswith(LOADS_MODEL_LIBRARIES) or "[transformers_local" in item.nodeid:
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """What the imports made lives to the end: the collector need not look at it again after every few tests."""
    gc.collect()
    gc.freeze()


def report_missing(reason: str) -> None:
    """Skip the test with the reason; under CI=true fail it."""
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def production_hasher() -> Callable[[], PasswordHasher]:
    """What hashes passwords in the product; `quick_passwords` puts another in its place."""
    from store import accounts

    return accounts._hasher


@pytest.fixture(scope="session", autouse=True)
def quick_passwords(production_hasher: Callable[[], PasswordHasher]) -> Iterator[None]:
    """Passwords are hashed at the lowest cost here: the tests make hundreds of accounts, each 0.2 CPU-seconds."""
    from argon2 import PasswordHasher

    from store import accounts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "_hasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield
    accounts._nobody.cache_clear()


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder of real public data that TRIMTAB_DATA names."""
    named = os.environ.get("TRIMTAB_DATA")
    if not named:
        pytest.skip("TRIMTAB_DATA is not set: point it at the folder of public data to run this test")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"TRIMTAB_DATA names {folder}, which is not a folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def prepared_models() -> Path:
    """The folder with `chat` and `encoder`, prepared by `make models`; tests only read it."""
    home = Path(os.environ.get("TRIMTAB_HOME") or "~/.trimtab")
    folder = Path(os.environ.get("TRIMTAB_MODELS_HOME") or home / "models").expanduser()
    for name in ("chat", "encoder"):
        if not (folder / name / "config.json").is_file() or not list((folder / name).glob("*.safetensors")):
            report_missing(f"no prepared model in {folder / name}: run `make models` first")
    return folder.resolve()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The Chromium executable. Root must start it with `--no-sandbox`."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Path(found)
    report_missing("no Chromium on this machine: `apt-get install chromium`")
    raise AssertionError("unreachable: report_missing always raises")


@dataclass(frozen=True)
class PostgresCluster:
    """A running PostgreSQL server of this test session alone, on a loopback port."""

    port: int
    password: str
    folder: Path

    def url(self, database: str) -> str:
        """A SQLAlchemy URL of a database in this cluster."""
        return f"postgresql+psycopg://trimtab:{self.password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        """Run one statement, outside a transaction, in the maintenance database."""
        import psycopg

        conninfo = self.url("postgres").replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(conninfo, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())


def find_postgres_programs() -> Path | None:
    """The folder with `initdb` and `postgres`: Debian keeps it off the PATH, a folder a version."""
    candidates = [Path(found).resolve().parent for name in ("initdb",) if (found := shutil.which(name))]
    versioned = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(versioned, key=lambda folder: float(folder.parent.name), reverse=True)
    return next((f for f in candidates if (f / "initdb").exists() and (f / "postgres").exists()), None)


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """A private PostgreSQL cluster: made by initdb, ended with the test session (one an xdist worker)."""
    programs = find_postgres_programs()
    if programs is None:
        report_missing("no PostgreSQL server on this machine: `apt-get install postgresql`")
        return
    # PostgreSQL refuses to run as root: it runs as the user that Debian's package made.
    owner = "postgres" if os.geteuid() == 0 else None
    as_owner: dict[str, object] = {"user": owner, "group": owner, "extra_groups": []} if owner else {}
    # A socket's path holds about 100 characters, so the folder is made at the top of the temporary folder.
    folder = Path(tempfile.mkdtemp(prefix="trimtab-pg-"))
    server: subprocess.Popen[bytes] | None = None
    try:
        password = secrets.token_urlsafe(16)
        password_file = folder / "password"
        password_file.write_text(password, encoding="ascii")
        password_file.chmod(0o600)
        if owner:
            shutil.chown(folder, owner, owner)
            shutil.chown(password_file, owner, owner)
        initdb = [str(programs / "initdb"), f"--pgdata={folder / 'data'}", "--username=trimtab", "--no-sync"]
        initdb += [f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        made = subprocess.run(
            initdb,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **as_owner,  # type: ignore[call-overload]
        )
        if made.returncode != 0:
            pytest.fail(f"initdb failed: {made.stderr.strip()}", pytrace=False)
        cluster = PostgresCluster(port=find_free_port(), password=password, folder=folder)
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(folder),
            "fsync": "off",  # survives a kill of the server, which is all that tests do
            "shared_buffers": "32MB",
            "max_connections": "60",
        }
        command = [str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(cluster.port)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        if die_with_parent := shutil.which("setpriv"):
            command = [die_with_parent, "--pdeathsig=INT", *command]
        with (folder / "server.log").open("wb") as log:
            server = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **as_owner,  # type: ignore[call-overload]
            )
        wait_until_answering(cluster, server)
        yield cluster
    finally:
        if server is not None:
            server.send_signal(2)  # SIGINT is PostgreSQL's fast shutdown
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_answering(cluster: PostgresCluster, server: subprocess.Popen[bytes]) -> None:
    """Return once the server takes a statement; fail with its log when it ends or takes over 30 seconds."""
    import psycopg

    deadline = time.monotonic() + 30
    while True:
        try:
            return cluster.execute("SELECT 1")
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                log = (cluster.folder / "server.log").read_text(encoding="utf-8", errors="replace")
                pytest.fail(f"PostgreSQL did not start:\n{log[-2000:]}", pytrace=False)
            time.sleep(0.05)


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """The SQLAlchemy URL (`postgresql+psycopg://…`) of a database that the test makes; dropped after it."""
    name = f"trimtab_{next(DATABASES)}"
    yield postgres_cluster.url(name)
    postgres_cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
