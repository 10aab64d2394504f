"""A gateway over two vLLM servers: one may go away and come back, and no other version answers meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import uvicorn

from core.settings import GatewaySettings, Settings
from gateway import app
from gateway.servers import connect
from store import deployments, tables
from tests.vllm_world import BASE, FakeVLLM, write_adapter

from .conftest import INTERNAL, World, now, run_gateway, wait_until


@dataclass
class Machine:
    """A vLLM server that can be switched off and on again, at the same address, without its adapters."""

    fake: FakeVLLM = field(default_factory=FakeVLLM)
    port: int = 0
    running: Any = None
    thread: Any = None

    def start(self) -> None:
        bound = app.listen("127.0.0.1", self.port)
        self.port = bound.getsockname()[1]
        self.running = uvicorn.Server(uvicorn.Config(self.fake.app, log_config=None, access_log=False, lifespan="on"))
        self.thread = threading.Thread(target=self.running.run, kwargs={"sockets": [bound]}, daemon=True)
        self.thread.start()
        wait_until(lambda: bool(self.running.started))

    def stop(self) -> None:
        self.running.should_exit = self.running.force_exit = True
        self.thread.join(15)
        self.fake.restart()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[World, list[Machine]]]:
    machines = [Machine(), Machine()]
    for machine in machines:
        machine.start()
    addresses = ",".join(f"http://127.0.0.1:{machine.port}/v1" for machine in machines)
    settings = GatewaySettings(port=0, server="vllm", upstream_url=addresses, upstream_model=BASE)
    server = connect(Settings(home=tmp_path, models_home=tmp_path, gateway=settings), key=INTERNAL)
    with run_gateway(tmp_path, server, gateway=settings) as world:
        yield world, machines
    for machine in machines:
        machine.stop()


def release(world: World, home: Path) -> None:
    """assistant-v1 goes live, from a folder that both servers see."""
    path = write_adapter(home / "versions", b"first")
    with world.store.write(now()) as tx:
        tx.execute(sa.update(tables.versions).where(tables.versions.c.name == "assistant-v1").values(path=path))
        deployments.request_promotion(tx, "assistant", "assistant-v1", actor="system:test", reason="test")
        deployments.flip(tx, deployments.requested(tx)[0]["id"], actor="system:test")
    wait_until(lambda: world.gateway.router.served["assistant"].version == "assistant-v1", 20)


def test_one_of_two_servers_goes_away_and_comes_back_under_load(
    site: tuple[World, list[Machine]], tmp_path: Path
) -> None:
    world, machines = site
    release(world, tmp_path)
    assert [len(machine.fake.loads) for machine in machines] == [1, 1]
    replies: list[Any] = []
    ending = threading.Event()

    def ask(person: int) -> None:
        number = 0
        while not ending.is_set():
            replies.append(world.chat(f"question {person} {number}"))
            number += 1

    people = [threading.Thread(target=ask, args=(person,)) for person in range(3)]
    for person in people:
        person.start()
    try:
        time.sleep(0.5)
        machines[1].stop()
        wait_until(lambda: "Server 2 of 2" in world.server.trouble)
        time.sleep(0.5)
        machines[1].start()
        wait_until(lambda: len(machines[1].fake.loads) == 2, 20)
        time.sleep(0.5)
    finally:
        ending.set()
        for one in people:
            one.join(20)
    broken = [reply.status for reply in replies if reply.status != 200]
    # Answers that were under way as the machine was switched off; whoever asks afterwards is answered by the other one.
    assert len(broken) <= len(people)
    assert {reply.headers["x-trimtab-version"] for reply in replies if reply.status == 200} == {"assistant-v1"}
    assert len(replies) > 50
    assert world.server.trouble == ""


def test_the_proof_is_of_all_servers(site: tuple[World, list[Machine]], tmp_path: Path) -> None:
    world, machines = site
    release(world, tmp_path)
    sound = world.send("GET", "/internal/fingerprint", key=INTERNAL)
    assert sound.status == 200
    (name,) = machines[1].fake.paths
    machines[1].fake.weights[name] = b"exchanged"
    machines[1].fake.kept.clear()
    told = world.send("GET", "/internal/fingerprint", key=INTERNAL)
    assert told.status == 400 and "Server 2 of 2 answers as assistant-v1 otherwise" in told.json["error"]["message"]
