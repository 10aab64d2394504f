"""The same promises of every engine behind the door: started once, found again, watched, stopped with grace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.errors import Conflict, InvalidInput, Unavailable
from core.ports import Engine
from core.settings import RetrainSettings, Settings
from retrain.engines import DONE, ENGINES, FAILED, GONE, RUNNING, STOPPED, connect
from retrain.engines.local import Local
from retrain.engines.ray_jobs import STOP_WAIT_SECONDS, RayJobs
from tests import ray_world
from tests.ray_world import wait_until as until

RUN = "0b0e7a52-1f6d-4a5e-9a53-2b1d5e2f9a10"
WAIT = "import time\nprint('begun', flush=True)\ntime.sleep(60)"
KEEPS = """
import signal, sys, time
def end(*_):
    print('kept', flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, end)
print('begun', flush=True)
time.sleep(60)
"""
PARENT = (
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(f'child {p.pid} there', flush=True); time.sleep(60)"
)

Make = Callable[[], Engine]


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[ray_world.Cluster, str]]:
    with ray_world.cluster() as made:
        yield made


@pytest.fixture(params=list(ENGINES))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes the engine as another worker would: each call a new one on the same runs."""
    (tmp_path / RUN).mkdir()
    if request.param == "local":
        first = Local(tmp_path)
        yield iter([first, Local(tmp_path)]).__next__
    elif request.param == "ray_jobs":
        world, address = request.getfixturevalue("cluster")
        first = RayJobs(tmp_path, address, ray_world.TOKEN)
        yield lambda: RayJobs(tmp_path, address, ray_world.TOKEN)
        world.forget()
    else:
        raise AssertionError(f"the engine {request.param} has no contract test: make one")
    for job in first.list():
        first.stop(job, 0.0)


def start(engine: Engine, root: Path, code: str) -> str:
    return engine.submit(RUN, root / RUN, [sys.executable, "-c", code, str(root / RUN)])


@pytest.mark.parametrize(("code", "status"), [(0, DONE), (75, STOPPED), (2, FAILED)])
def test_exit_codes_become_states(make: Make, tmp_path: Path, code: int, status: str) -> None:
    engine = make()
    job = start(engine, tmp_path, f"raise SystemExit({code})")
    assert job.partition("/")[0] == RUN
    until(lambda: engine.status(job) != RUNNING)
    assert engine.status(job) == status
    assert list(engine.list()) == []


def test_a_run_has_one_job_that_another_worker_finds_and_stops(make: Make, tmp_path: Path) -> None:
    engine = make()
    job = start(engine, tmp_path, WAIT)
    with pytest.raises(Conflict, match="already has a"):
        start(engine, tmp_path, WAIT)
    other = make()
    assert list(other.list()) == [job]
    assert other.status(job) == RUNNING
    until(lambda: "begun" in other.log(job))
    other.stop(job, 10.0)
    until(lambda: engine.status(job) != RUNNING)
    assert list(other.list()) == []
    again = start(engine, tmp_path, "pass")
    assert again != job
    until(lambda: engine.status(again) == DONE)


def test_a_stop_gives_time_to_keep_a_checkpoint_and_the_log_shows_it(make: Make, tmp_path: Path) -> None:
    engine = make()
    job = start(engine, tmp_path, KEEPS)
    until(lambda: "begun" in engine.log(job))
    engine.stop(job, 10.0)
    assert engine.status(job) == STOPPED
    assert engine.log(job).splitlines()[-2:] == ["begun", "kept"]
    assert engine.log(job, tail=1) == "kept"
    engine.stop(job, 10.0)  # again: nothing to do


def test_what_a_job_started_ends_with_it(make: Make, tmp_path: Path) -> None:
    engine = make()
    job = start(engine, tmp_path, PARENT)
    until(lambda: "there" in engine.log(job))
    child = int(engine.log(job).split("child ")[1].split()[0])
    engine.stop(job, 10.0)
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_job_that_nobody_knows_is_gone_and_says_nothing(make: Make) -> None:
    engine = make()
    assert engine.status(f"{RUN}/4194305") == GONE
    assert engine.log(f"{RUN}/4194305") == ""
    engine.stop(f"{RUN}/4194305", 0.0)


def test_each_says_in_a_line_what_it_is() -> None:
    assert all(len(ENGINES.summary(name)) < 120 for name in ENGINES)


# Ray


def told(**values: Any) -> Settings:
    retrain = RetrainSettings(**({"engine": "ray_jobs"} | values))
    return Settings(home=Path("home"), models_home=Path("models"), retrain=retrain)


def test_settings_name_the_engine_or_say_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    address = "http://127.0.0.1:8265"
    assert isinstance(connect(told(ray_address=address, ray_token_file=str(tmp_path / "token"))), RayJobs)
    assert isinstance(connect(told(engine="local")), Local)
    for values, words in [
        ({}, "retrain.ray_address"),
        ({"ray_address": "file:///etc/passwd", "ray_token": "abc"}, "retrain.ray_address"),
        ({"ray_address": address}, "needs the cluster's token"),
        ({"ray_address": address, "ray_token": "two\nlines"}, "needs the cluster's token"),
        ({"ray_address": address, "ray_token_file": str(tmp_path / "none")}, "cannot be read"),
    ]:
        with pytest.raises(InvalidInput, match=words) as raised:
            connect(told(**values))
        assert "lines" not in str(raised.value)
    with pytest.raises(InvalidInput, match=r"There is no engine named slurm\. Correct retrain\.engine"):
        connect(told(engine="slurm"))


def test_a_cluster_without_a_token_gets_neither_a_job_nor_our_token(tmp_path: Path) -> None:
    with ray_world.cluster(token="") as (world, address):
        engine = RayJobs(tmp_path, address, "our-own-token")
        for ask in (engine.list, lambda: start(engine, tmp_path, "pass"), lambda: engine.status(f"{RUN}/1")):
            with pytest.raises(InvalidInput, match="answers without a token"):
                ask()
        assert world.jobs == {}
        assert set(world.seen) == {""}


def test_a_wrong_token_and_an_absent_cluster_are_told_apart(
    cluster: tuple[ray_world.Cluster, str], tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="refuses the token") as raised:
        RayJobs(tmp_path, cluster[1], "a-wrong-token").list()
    assert "a-wrong-token" not in str(raised.value)
    with pytest.raises(Unavailable, match="does not answer"):
        RayJobs(tmp_path, "http://127.0.0.1:9", ray_world.TOKEN).list()


def test_of_two_workers_that_start_the_same_job_one_is_refused(
    cluster: tuple[ray_world.Cluster, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, address = cluster
    (tmp_path / RUN).mkdir()
    first, second = (RayJobs(tmp_path, address, ray_world.TOKEN) for _ in range(2))
    monkeypatch.setattr(second, "_list", lambda run: {})  # it looked before the first one submitted
    start(first, tmp_path, WAIT)
    with pytest.raises(Conflict, match="Another worker"):
        start(second, tmp_path, WAIT)
    assert list(first.list()) == [f"{RUN}/1"]
    world.forget()


def test_a_job_takes_its_grace_its_cores_and_its_interpreter_along_but_no_token(
    cluster: tuple[ray_world.Cluster, str], tmp_path: Path
) -> None:
    world, address = cluster
    engine = RayJobs(tmp_path, address, ray_world.TOKEN, python="/opt/my python", cpus=3.0, gpus=1.0)
    start(engine, tmp_path, "pass")
    (job,) = world.jobs.values()
    assert job.asked["entrypoint"].startswith("exec '/opt/my python' -c pass ")
    assert (job.asked["entrypoint_num_cpus"], job.asked["entrypoint_num_gpus"]) == (3.0, 1.0)
    assert job.asked["runtime_env"]["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"] == str(STOP_WAIT_SECONDS)
    assert ray_world.TOKEN not in str(job.asked)
    world.forget()


def test_a_job_that_waits_for_room_is_running_and_a_stop_does_not_wait_for_it(
    cluster: tuple[ray_world.Cluster, str], tmp_path: Path
) -> None:
    world, address = cluster
    world.room.clear()
    engine = RayJobs(tmp_path, address, ray_world.TOKEN)
    job = start(engine, tmp_path, WAIT)
    engine.stop(job, 60.0)
    assert engine.status(job) == RUNNING
    world.room.set()
    until(lambda: engine.status(job) == STOPPED)
    world.forget()


def test_jobs_of_other_installations_are_left_alone(cluster: tuple[ray_world.Cluster, str], tmp_path: Path) -> None:
    world, address = cluster
    (tmp_path / "other" / RUN).mkdir(parents=True)
    start(RayJobs(tmp_path / "other", address, ray_world.TOKEN), tmp_path, WAIT)
    assert RayJobs(tmp_path, address, ray_world.TOKEN).list() == []
    world.forget()
