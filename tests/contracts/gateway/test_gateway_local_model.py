"""The gateway over real model server processes: the official client, flips, and a kill -9 of the server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.servers.transformers_local import TransformersLocal
from monitors.ranking import ask_scores
from store import deployments

from .conftest import INTERNAL, World, now, run_gateway, wait_until

ROOT = Path(__file__).parents[3]


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ModelServer:
    """`python -m models` on its own port, restartable."""

    def __init__(self, home: Path, model: Path) -> None:
        self.port, self.model = find_port(), model
        secret = home / "secrets" / "internal.key"
        secret.parent.mkdir(mode=0o700)
        secret.write_text(INTERNAL)
        self.environment = {**os.environ, "TRIMTAB_HOME": str(home), "OMP_NUM_THREADS": "1"}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        flags = ["--port", str(self.port), "--model", str(self.model), "--threads", "1"]
        self.process = subprocess.Popen([sys.executable, "-m", "models", *flags], cwd=ROOT, env=self.environment)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)


@contextlib.contextmanager
def run_over(home: Path, server: ModelServer) -> Iterator[World]:
    server.start()
    try:
        with run_gateway(home, TransformersLocal(f"http://127.0.0.1:{server.port}", key=INTERNAL)) as world:
            yield world
    finally:
        server.kill()


def promote(world: World, version: str) -> None:
    with world.store.write(now()) as tx:
        deployments.request_promotion(tx, "assistant", version, actor="system:test", reason="test")
        deployments.flip(tx, deployments.requested(tx)[0]["id"], actor="system:test")


@pytest.fixture
def tiny(tmp_path: Path) -> ModelServer:
    """A server over a model small enough for tests, with the adapters of assistant-v1 and assistant-v2 in place."""
    from models.tiny import write_adapter, write_model

    base = write_model(tmp_path / "base")
    write_adapter(tmp_path / "versions" / "one", base, seed=1)
    write_adapter(tmp_path / "versions" / "two", base, seed=2)
    return ModelServer(tmp_path, base)


@pytest.mark.slow
def test_killed_model_server_gets_its_adapters_back_and_no_other_version_answers(
    tmp_path: Path, tiny: ModelServer
) -> None:
    with run_over(tmp_path, tiny) as world:
        promote(world, "assistant-v1")
        wait_until(lambda: world.gateway.router.served["assistant"].version == "assistant-v1", 30)

        def greedy() -> Any:
            return world.chat("hello", temperature=0, max_tokens=8)

        said = greedy().json["choices"][0]["message"]["content"]
        told = world.send("GET", "/internal/fingerprint", key=INTERNAL).json
        assert told["place"] and len(told["files"]) == 64 and len(told["tokens"]) == len(told["logprobs"])
        print_ = told["digest"]
        base = world.send("GET", "/internal/fingerprint?version=assistant-base", key=INTERNAL).json["digest"]
        assert print_ != base
        tiny.kill()
        assert greedy().status == 503
        tiny.start()
        replies = []
        deadline = time.monotonic() + 60
        while not replies or replies[-1].status != 200:
            assert time.monotonic() < deadline
            replies.append(greedy())
            time.sleep(0.05)
        assert {reply.status for reply in replies} == {503, 200}
        assert replies[-1].headers["x-trimtab-version"] == "assistant-v1"
        assert replies[-1].json["choices"][0]["message"]["content"] == said
        assert world.send("GET", "/internal/fingerprint", key=INTERNAL).json["digest"] == print_


def test_given_answers_are_scored_by_the_version_asked_for(tmp_path: Path, tiny: ModelServer) -> None:
    asked = [{"role": "user", "content": "Who?"}]
    items = [{"messages": asked, "completion": text} for text in ("hello", "hello hello hello")]
    with run_over(tmp_path, tiny) as world:
        base, adapted = (
            world.send("POST", "/internal/score", {"items": items, "version": version}, key=INTERNAL).json
            for version in ("assistant-base", "assistant-v1")
        )
    assert base["version"] == "assistant-base" and adapted["version"] == "assistant-v1"
    assert base["logprobs"][1] < base["logprobs"][0] < 0.0
    assert adapted["logprobs"] != base["logprobs"]


@pytest.mark.slow
def test_flip_between_resident_versions_takes_less_than_a_second(tmp_path: Path, tiny: ModelServer) -> None:
    with run_over(tmp_path, tiny) as world:
        for version in ("assistant-v1", "assistant-v2"):
            promote(world, version)
            wait_until(lambda version=version: world.gateway.router.served["assistant"].version == version, 30)  # type: ignore[misc]
        with world.store.write(now()) as tx:
            deployments.roll_back(tx, "assistant", actor="system:test", reason="test")
        began = time.perf_counter()
        wait_until(lambda: world.chat(max_tokens=1).headers["x-trimtab-version"] == "assistant-v1", 5)
        assert time.perf_counter() - began < 1.0


def test_an_adapter_and_its_base_score_the_same_answers_differently(tmp_path: Path, tiny: ModelServer) -> None:
    items = [
        {"messages": [{"role": "user", "content": "hello"}], "completion": completion}
        for completion in ("a b c", "c b a", "b")
    ]
    asked: dict[str, Any] = {"key": INTERNAL, "deadline_seconds": 60}
    with run_over(tmp_path, tiny) as world:
        wait_until(lambda: world.chat(max_tokens=1).status == 200, 30)
        live = ask_scores(items, version="assistant-v1", gateway_url=world.url, **asked)
        base = ask_scores(items, version="assistant-base", gateway_url=world.url, **asked)
        assert max(live + base) < 0 and live != base
        assert live == ask_scores(items, version="assistant-v1", gateway_url=world.url, **asked)


@pytest.mark.slow
def test_official_client_over_the_real_model(tmp_path: Path, prepared_models: Path) -> None:
    server = ModelServer(tmp_path, prepared_models / "chat")
    with (
        run_over(tmp_path, server) as world,
        openai.OpenAI(base_url=f"{world.url}/v1", api_key=world.key, max_retries=0) as client,
    ):
        question: Any = [{"role": "user", "content": "Where is the capital of France?"}]
        whole = client.chat.completions.create(model="assistant", messages=question, max_tokens=12, temperature=0)
        chunks = list(
            client.chat.completions.create(
                model="assistant", messages=question, max_tokens=12, temperature=0, stream=True
            )
        )
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert said == whole.choices[0].message.content
        assert len(said) > 10
        assert whole.usage is not None
        assert whole.usage.completion_tokens <= 12
        world.captured(2)
        assert world.rows("SELECT response FROM inference_texts") == [(said,), (said,)]
        assert all(spent > 0 for (spent,) in world.rows("SELECT compute_ms FROM inferences"))
