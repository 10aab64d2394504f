"""Jobs on a Ray cluster that asks for a token, over its REST API; the cluster sees the installation's folder."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import Conflict, InvalidInput, NotFound, Unavailable
from core.settings import Settings
from retrain.engines import DONE, ENGINES, FAILED, GONE, RUNNING, STOPPED, STOPPED_CODE

JOBS = "/api/jobs/"
# What Ray grants between SIGTERM and SIGKILL; its own default of three seconds is less than a step may take.
STOP_WAIT_SECONDS = 25
_STATES = {"PENDING": RUNNING, "RUNNING": RUNNING, "SUCCEEDED": DONE, "STOPPED": STOPPED, "FAILED": FAILED}
_SUBMISSION = re.compile(r"trimtab-([\w-]+)-(\d+)")
# The first job of a cluster waits for an agent and a worker process to start.
_TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.2


@ENGINES.register
class RayJobs:
    """Jobs on a Ray cluster that asks for a token; its nodes see the installation's folder under the same path.

    A job's id is `RUN/N` and its submission id `trimtab-RUN-N`, which Ray takes only once: of two workers that
    both mean to start the N-th job of a run, one is refused.
    """

    def __init__(
        self, root: Path, address: str, token: str, *, python: str = "", cpus: float = 1.0, gpus: float = 0.0
    ) -> None:
        """`root` holds the runs' folders; `python` replaces the interpreter of what is submitted."""
        self.root, self.address = root, address.rstrip("/")
        self.python, self.cpus, self.gpus = python, cpus, gpus
        self._token = token
        self._guarded = False
        # A token must reach no other address: neither a proxy's nor one that an answer redirects to.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())

    @classmethod
    def from_settings(cls, settings: Settings) -> RayJobs:
        """As the settings retrain.ray_* say. Raises InvalidInput when one is missing."""
        told = settings.retrain
        if not re.match(r"https?://.", told.ray_address):
            raise InvalidInput(
                "The engine ray_jobs needs the setting retrain.ray_address.",
                "Set TRIMTAB_RETRAIN__RAY_ADDRESS to the cluster's dashboard, such as http://ray-head:8265.",
            )
        token = told.ray_token or read_token(told.ray_token_file)
        # Anything else cannot stand in a header, and the complaint would show it.
        if not re.fullmatch(r"[!-~]+", token):
            raise InvalidInput(
                "The engine ray_jobs needs the cluster's token, in one line.",
                "Set TRIMTAB_RETRAIN__RAY_TOKEN_FILE to the file that holds it, or TRIMTAB_RETRAIN__RAY_TOKEN.",
            )
        return cls(
            settings.home / "runs",
            told.ray_address,
            token,
            python=told.ray_python,
            cpus=told.ray_cpus,
            gpus=told.ray_gpus,
        )

    def submit(self, run: str, folder: Path, argv: Sequence[str]) -> str:
        """Start `argv` on the cluster; returns the job's id.

        Raises Conflict while an earlier job of this run is alive: two trainers must not write one folder.
        """
        self._guarded = False
        jobs = self._list(run)
        if alive := [job for job, state in jobs.items() if state == RUNNING]:
            raise Conflict(f"The run {run} already has a job on the cluster ({alive[0]}).", "Stop it first.")
        number = max((int(job.partition("/")[2]) for job in jobs), default=0) + 1
        job = f"{run}/{number}"
        body = {
            "submission_id": _submission(job),
            # Without exec a shell would stand between Ray's signals and the trainer.
            "entrypoint": "exec " + shlex.join([self.python or argv[0], *argv[1:]]),
            "entrypoint_num_cpus": self.cpus,
            "entrypoint_num_gpus": self.gpus,
            "runtime_env": {
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_SECONDS), "HF_HUB_DISABLE_TELEMETRY": "1"}
            },
        }
        self._ask("POST", "", body)
        return job

    def status(self, job: str) -> str:
        """running (or waiting for room), done, stopped (by us, or exit 75), failed, or gone (the cluster forgot it)."""
        try:
            return read_state(self._ask("GET", _submission(job)))
        except NotFound:
            return GONE

    def log(self, job: str, tail: int = 50) -> str:
        """The last `tail` lines that the job and Ray's own set-up of it printed, so far."""
        try:
            told = self._ask("GET", f"{_submission(job)}/logs")
        except NotFound:
            return ""
        return "\n".join(str(told.get("logs") or "").splitlines()[-tail:])

    def stop(self, job: str, grace_seconds: float) -> None:
        """Ask the job to end and wait `grace_seconds` for it; the cluster kills it STOP_WAIT_SECONDS after the asking.

        With a shorter grace it may still be keeping its checkpoint when this returns. One that waits for room is not
        waited for: Ray remembers the asking and ends it when its turn comes.
        """
        if self.status(job) != RUNNING:
            return
        self._ask("POST", f"{_submission(job)}/stop")
        deadline = time.monotonic() + grace_seconds
        while self._begun(job) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def list(self) -> Sequence[str]:
        """The jobs of this installation's runs that wait or run now, whichever worker started them."""
        return sorted(job for job, state in self._list().items() if state == RUNNING)

    def _begun(self, job: str) -> bool:
        return str(self._ask("GET", _submission(job)).get("status")) == "RUNNING"

    def _list(self, run: str = "") -> dict[str, str]:
        """Every job that the cluster remembers of `run` (empty: of any run with a folder here), with its state."""
        found: dict[str, str] = {}
        for told in self._ask("GET", ""):
            named = _SUBMISSION.fullmatch(str(told.get("submission_id")))
            # Other installations may use the same cluster: their runs have no folder here.
            if named and (named[1] == run if run else (self.root / named[1]).is_dir()):
                found[f"{named[1]}/{named[2]}"] = read_state(told)
        return found

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer of the Jobs API. Raises NotFound, Conflict, InvalidInput or Unavailable."""
        if not self._guarded:
            self._guard()
        status, text = self._call(method, path, body, {"Authorization": f"Bearer {self._token}"})
        if status == 404:
            raise NotFound(f"The Ray cluster at {self.address} does not know that job.")
        if status in (401, 403):
            raise InvalidInput(f"The Ray cluster at {self.address} refuses the token.", "Check retrain.ray_token_file.")
        if method == "POST" and status >= 400 and "already exists" in text:
            raise Conflict("Another worker has started this job.", "It goes on there.")
        if status == 200:
            try:
                return json.loads(text)
            except ValueError:
                status = 0
        raise self._strange(status, text)

    def _guard(self) -> None:
        """Refuse a cluster that answers without a token: whoever reaches its port can run anything on it."""
        status, text = self._call("GET", "", None, {})
        if 200 <= status < 300:
            raise InvalidInput(
                f"The Ray cluster at {self.address} answers without a token, so nothing is sent to it.",
                "Start it with RAY_AUTH_MODE=token on every node.",
            )
        if status not in (401, 403):
            raise self._strange(status, text)
        self._guarded = True

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> tuple[int, str]:
        """(status, text) of one exchange. Raises Unavailable when nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        told = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"{self.address}{JOBS}{path}", data=data, headers=told, method=method)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return int(answer.status), answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            raise Unavailable(
                f"The Ray cluster at {self.address} does not answer.", "Check retrain.ray_address and the cluster."
            ) from None

    def _strange(self, status: int, text: str) -> Unavailable:
        # Ray answers a failure with a traceback: its last line says what it was.
        last = (text.strip().splitlines() or [""])[-1][:200]
        what = f"status {status}: {last}" if status else "no JSON"
        return Unavailable(f"The Ray cluster at {self.address} answers strangely ({what}).", "Look at its dashboard.")


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it becomes an answer like any other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def read_state(told: Mapping[str, Any]) -> str:
    """A job's state from Ray's details of it."""
    if told.get("driver_exit_code") == STOPPED_CODE:
        return STOPPED
    return _STATES.get(str(told.get("status")), FAILED)


def read_token(path: str) -> str:
    """The token in a file, without the line's end; empty when no file is named. Raises InvalidInput."""
    if not path:
        return ""
    try:
        return Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise InvalidInput(
            "The file of the Ray cluster's token cannot be read.", "Check TRIMTAB_RETRAIN__RAY_TOKEN_FILE."
        ) from None


def _submission(job: str) -> str:
    run, _, number = job.partition("/")
    return f"trimtab-{run}-{number}"
