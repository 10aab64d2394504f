"""Bar R7: the same run on a Ray cluster by one setting: submit, live log, progress, stop with checkpoint, resume.

    python bench/ray_jobs.py --ray FOLDER/bin/ray

Starts a Ray head of its own on this machine with token authentication, whose `ray` (2.52 or later, `pip install
"ray[default]"`) may live in any environment: jobs run under this interpreter. An installation with a tiny model then
trains once by the local engine and once by the cluster, where it is stopped midway, resumed by another worker, and
loses that worker too. Both must give the same weights, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.errors import Unavailable
from core.settings import Settings
from retrain.engines import RUNNING, connect
from retrain.engines.ray_jobs import RayJobs
from retrain.training.progress import read_events
from store import runs, versions
from store.unit_of_work import Store
from tests import runs_world as world

STEPS = 60
STARTS = 5
PATIENCE_SECONDS = 900.0


@contextmanager
def head(ray: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """A Ray head on this machine that asks for a token; gives its address and the token's file."""
    token, port = folder / "token", world.free_port()
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    environment |= {"RAY_USAGE_STATS_ENABLED": "0"}
    command = [ray, "start", "--head", "--block", "--disable-usage-stats", "--temp-dir", str(folder / "ray")]
    command += ["--node-ip-address", "127.0.0.1", "--dashboard-host", "127.0.0.1", "--num-cpus", "2"]
    command += ["--port", "0", "--min-worker-port", "0", "--max-worker-port", "0"]
    command += ["--dashboard-port", str(port), "--dashboard-agent-listen-port", str(world.free_port())]
    command += ["--ray-client-server-port", str(world.free_port()), "--object-store-memory", "100000000"]
    address = f"http://127.0.0.1:{port}"
    engine = RayJobs(folder, address, token.read_text())
    process = start(command, environment, folder / "ray.log", engine)
    try:
        yield address, token
    finally:
        # Not `ray stop`, which ends every Ray of the machine.
        process.terminate()
        process.wait()


def start(command: list[str], environment: dict[str, str], log: Path, engine: RayJobs) -> subprocess.Popen[bytes]:
    """The head once it takes jobs; on a busy machine it gives up after half a minute, and is started again."""
    for _ in range(STARTS):
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        while process.poll() is None:
            if "Ray runtime started" in log.read_text("utf-8", "replace") and answers(engine):
                return process
            time.sleep(0.2)
    raise SystemExit(f"Ray does not start: {log.read_text()[-400:]}")


class Watched:
    """One run on the installation, with what was seen of it and when."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings, self.store = settings, store
        self.uuid = world.queue(store, settings, steps=STEPS)
        self.folder = settings.home / "runs" / self.uuid
        self.engine = connect(settings)
        self.began = time.monotonic()

    def row(self) -> Mapping[str, Any]:
        return world.get(self.store, self.uuid)

    def step(self) -> int:
        """How far training is, as the console shows it."""
        return int(self.row()["progress"].get("step", 0)) if self.row()["stage"] == "train" else 0

    def until(self, true: Callable[[], Any], what: str) -> None:
        """Wait for `true`, and say when it came. Raises TimeoutError."""
        world.wait_until(lambda: true() or self._failed(), PATIENCE_SECONDS)
        print(f"{time.monotonic() - self.began:6.1f} s  {what}", flush=True)

    def job(self) -> str:
        return str(self.row()["job"])

    def digest(self) -> str:
        """The digest of the version that the run made."""
        with self.store.read() as tx:
            return versions.get(tx, self.row()["candidate"]).digest

    def _failed(self) -> bool:
        row = self.row()
        if row["state"] == "failed":
            raise SystemExit(f"the run failed: {row['message']}")
        return False


def run_here(settings: Settings) -> str:
    """The digest of the run by the local engine."""
    with world.serving(settings) as store:
        watched, worker = Watched(settings, store), world.start(settings, "retrain")
        try:
            watched.until(lambda: watched.row()["state"] == "succeeded", "done by the local engine")
            return watched.digest()
        finally:
            worker.terminate()
            worker.wait()


def run_there(settings: Settings) -> str:
    """The digest of the run by the cluster, stopped, resumed and orphaned on its way."""
    with world.serving(settings) as store:
        watched = Watched(settings, store)
        worker = world.start(settings, "retrain")
        try:
            watched.until(lambda: watched.engine.list(), "submitted")
            watched.until(lambda: "Running entrypoint" in watched.engine.log(watched.job()), "its log is there")
            watched.until(lambda: watched.step() >= 3, "step 3 is in the store")
            with store.write(world.now()) as tx:
                runs.request_stop(tx, watched.uuid, actor=world.APPROVER)
            watched.until(lambda: watched.row()["state"] == "cancelled", "stopped")
            kept = sorted(path.name for path in (watched.folder / "checkpoints").glob("step-*"))
            state = watched.engine.status(f"{watched.uuid}/1")
            print(f"          the job says {state}, kept: {kept}, still alive: {list(watched.engine.list())}")
            with store.write(world.now()) as tx:
                runs.resume(tx, watched.uuid, actor=world.APPROVER)
            watched.until(lambda: watched.job().endswith("/2") and watched.step() > 3, "resumed and under way")
            worker.kill()
            worker.wait()
            print(f"          the worker is killed; the job says {watched.engine.status(watched.job())}")
            worker = world.start(settings, "retrain")
            watched.until(lambda: watched.row()["state"] == "succeeded", "done by the cluster")
            alive = [job for job in watched.engine.list() if watched.engine.status(job) == RUNNING]
            events = read_events(watched.folder / "progress.jsonl")
            starts = [int(event["step"]) for event in events if event["event"] == "start"]
            print(f"          starts at steps {starts}, crashes {watched.row()['attempts']}, left behind: {alive}")
            return watched.digest()
        finally:
            worker.terminate()
            worker.wait()


def main() -> int:
    """Run both and compare; returns 1 when the weights differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ray", default=shutil.which("ray"), help="the ray command")
    given = parser.parse_args()
    if not given.ray:
        print('There is no ray command. Install "ray[default]" in an environment and name it by --ray.')
        return 1
    with tempfile.TemporaryDirectory(prefix="trimtab-ray-") as place:
        folder = Path(place)
        here = world.build(folder / "here")
        there = world.copy(here, folder / "there")
        with head(given.ray, folder) as (address, token):
            retrain = replace(there.retrain, engine="ray_jobs", ray_address=address, ray_token_file=str(token))
            there = replace(there, retrain=retrain)
            first = run_here(here)
            second = run_there(there)
    print(f"the same weights: {first == second} ({first[:12]}, {second[:12]})")
    return 0 if first == second else 1


def answers(engine: RayJobs) -> bool:
    """Whether the cluster takes jobs yet."""
    try:
        return not engine.list()
    except Unavailable:
        return False


if __name__ == "__main__":
    sys.exit(main())
