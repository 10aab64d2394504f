"""A Ray cluster's Jobs API as release 2.60 behaves, for tests without Ray: each job is a shell of its own group.

What was seen on a real one and is kept here: 401 without a token and 403 with a wrong one; a job waits as PENDING
before it runs, and a stop asked then takes effect when its turn comes; a taken submission id gives a 500 whose text
ends in "already exists"; a stop is answered at once, sends SIGTERM, and SIGKILL after RAY_JOB_STOP_WAIT_TIME_S of the
job's environment (otherwise 3 s); an exit code other than 0 is FAILED with `driver_exit_code`; the job is STOPPED only
once all of it has ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.app import listen

TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
PENDING_SECONDS = 0.05


class Submitted:
    """One job: what was asked, its process once it runs, and how it ended."""

    def __init__(self, asked: dict[str, Any], log: Path, room: threading.Event) -> None:
        self.asked, self.log, self.room = asked, log, room
        self.status, self.code = "PENDING", None
        self.stopping = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        time.sleep(PENDING_SECONDS)
        self.room.wait()
        env = self.asked["runtime_env"]["env_vars"]
        with self.log.open("ab") as log:
            command = ["/bin/sh", "-c", self.asked["entrypoint"]]
            told = {**os.environ, **env}
            process = subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log, env=told)
        self.status = "RUNNING"
        while process.poll() is None and not self.stopping.wait(0.01):
            pass
        if self.stopping.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(int(env.get("RAY_JOB_STOP_WAIT_TIME_S", 3)))
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.status = "STOPPED"
            return
        self.code = process.returncode
        self.status = "FAILED" if self.code else "SUCCEEDED"

    def describe(self, name: str) -> dict[str, Any]:
        return {
            "type": "SUBMISSION", "submission_id": name, "status": self.status, "driver_exit_code": self.code,
            "entrypoint": self.asked["entrypoint"], "message": "",
        }  # fmt: skip


class Cluster:
    """The API's answers; `token` empty means a cluster that asks for none. While `room` is not set jobs wait."""

    def __init__(self, folder: Path, token: str = TOKEN) -> None:
        self.folder, self.token = folder, token
        self.room = threading.Event()
        self.room.set()
        self.jobs: dict[str, Submitted] = {}
        self.seen: list[str] = []
        self.app = Starlette(
            routes=[
                Route("/api/jobs/", self.list, methods=["GET"]),
                Route("/api/jobs/", self.submit, methods=["POST"]),
                Route("/api/jobs/{name}", self.get),
                Route("/api/jobs/{name}/logs", self.logs),
                Route("/api/jobs/{name}/stop", self.stop, methods=["POST"]),
            ],
            middleware=[Middleware(_Guard, cluster=self)],
        )

    async def list(self, _: Request) -> Response:
        driver = {"type": "DRIVER", "submission_id": None, "status": "RUNNING", "driver_exit_code": None}
        return JSONResponse([driver, *(job.describe(name) for name, job in self.jobs.items())])

    async def submit(self, request: Request) -> Response:
        asked = await request.json()
        name = asked["submission_id"]
        if name in self.jobs:
            trace = f"Traceback (most recent call last):\nValueError: Job with submission_id {name} already exists."
            return PlainTextResponse(trace, 500)
        self.jobs[name] = Submitted(asked, self.folder / f"{name}.log", self.room)
        return JSONResponse({"job_id": name, "submission_id": name})

    async def get(self, request: Request) -> Response:
        name = request.path_params["name"]
        job = self.jobs.get(name)
        return JSONResponse(job.describe(name)) if job else _missing(name)

    async def logs(self, request: Request) -> Response:
        name = request.path_params["name"]
        job = self.jobs.get(name)
        if job is None:
            return _missing(name)
        return JSONResponse({"logs": job.log.read_text("utf-8") if job.log.exists() else ""})

    async def stop(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.jobs:
            return _missing(name)
        self.jobs[name].stopping.set()
        return JSONResponse({"stopped": True})

    def forget(self) -> None:
        """Stop every job, and know none of them any more once all have ended."""
        self.room.set()
        for job in self.jobs.values():
            job.stopping.set()
        wait_until(lambda: not any(job.status in ("PENDING", "RUNNING") for job in self.jobs.values()))
        for job in self.jobs.values():
            job.log.unlink(missing_ok=True)
        self.jobs.clear()


class _Guard:
    """Ray's check of the token, which also remembers what each request said."""

    def __init__(self, app: Any, cluster: Cluster) -> None:
        self.app, self.cluster = app, cluster

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            told = dict(scope["headers"]).get(b"authorization", b"").decode()
            self.cluster.seen.append(told)
            if self.cluster.token and told != f"Bearer {self.cluster.token}":
                answer = PlainTextResponse("Forbidden: Invalid authentication token", 403 if told else 401)
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)


def wait_until(true: Callable[[], Any]) -> None:
    """Return once `true` says so, for at most twenty seconds."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


def _missing(name: str) -> Response:
    return PlainTextResponse(f"Job {name} does not exist", 404)


@contextlib.contextmanager
def running(cluster: Cluster) -> Iterator[str]:
    """The cluster's address while it is served."""
    bound = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(cluster.app, log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        cluster.forget()
        server.should_exit = True
        thread.join(15)


@contextlib.contextmanager
def cluster(token: str = TOKEN) -> Iterator[tuple[Cluster, str]]:
    """A cluster and its address."""
    with tempfile.TemporaryDirectory() as folder:
        made = Cluster(Path(folder), token)
        with running(made) as address:
            yield made, address
