"""A whole model beside the base: it answers as if it were served alone, and nothing else changes."""

from __future__ import annotations

import json
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models.adapters import Versions
from models.artefacts import digest
from models.engine import Engine
from models.fingerprint import take_fingerprint
from models.load import load_base
from models.tiny import write_model
from tests.contracts.models.conftest import HELLO, Served, wait_for


@pytest.fixture(scope="module")
def whole(served: Served) -> Path:
    return write_model(served.adapters / "whole", seed=5, context=600)


def take_print(folder: Path) -> str:
    """The print of the model in `folder`, served alone."""
    base = load_base(folder, device="cpu", dtype="float32")
    steps = take_fingerprint(base, Versions(base), "base")
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return str(done.value.digest)


def test_how_busy_it_is_can_be_asked_while_a_model_is_loaded() -> None:
    engine = Engine(lambda: pytest.fail("not started"), lambda: 0.0)

    class Loading:
        @property
        def decoder(self) -> Any:
            """Between two looks of the thread that asks the decoding one takes in a model."""
            engine.whole[f"v{len(engine.whole)}"] = resident
            return SimpleNamespace(rows=list)

    resident: Any = Loading()
    engine.whole["v0"] = resident
    assert engine.running() == 0
    assert engine.names() == ["v0", "v1"]


def test_it_answers_as_itself_beside_the_base_and_an_adapter(served: Served, whole: Path) -> None:
    names = ("base", "one", "full")
    served.post("/load", name="one", path=str(served.adapters / "v1"))
    before = {name: served.post("/fingerprint", name=name)["digest"] for name in names[:2]}
    assert served.post("/load", name="full", path=str(whole)) == {
        "name": "full", "digest": digest(whole), "status": "loaded",
    }  # fmt: skip
    assert served.post("/load", name="full", path=str(whole))["status"] == "loaded"
    prints = {name: served.post("/fingerprint", name=name)["digest"] for name in names}
    assert prints == {**before, "full": take_print(whole)}
    alone = {name: served.chat(model=name, max_tokens=24)["choices"] for name in names}
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda name: served.chat(model=name, max_tokens=24)["choices"], names * 2))
    assert told == [alone[name] for name in names * 2]
    item = {"messages": HELLO, "completion": "Good day."}
    scores = [served.post("/score", name=name, items=[item])[0]["logprob"] for name in ("base", "full")]
    assert scores[0] != scores[1]
    assert served.post("/experts", name="full") == {"load": None}
    assert {"one", "full"} <= set(served.ask("GET", "/health")[1]["versions"])
    assert served.post("/unload", name="full")["status"] == "unloaded"
    assert "not loaded" in served.refuse("/fingerprint", {"name": "full"}, 404)
    assert served.post("/fingerprint", name="base")["digest"] == before["base"]


def test_a_name_never_stands_for_two(served: Served, whole: Path) -> None:
    other = write_model(served.adapters / "other", seed=6, context=600)
    served.post("/load", name="full", path=str(whole))
    served.post("/load", name="one", path=str(served.adapters / "v1"))
    for name, path in (("full", other), ("full", served.adapters / "v1"), ("one", whole)):
        assert "already loaded" in served.refuse("/load", {"name": name, "path": str(path)}, 409)
    served.post("/unload", name="full")
    served.post("/load", name="full", path=str(other))
    served.post("/unload", name="full")


def test_one_that_reads_text_otherwise_or_is_no_model_is_refused(served: Served, whole: Path) -> None:
    other = shutil.copytree(whole, served.adapters / "template")
    (other / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    assert "another tokenizer or chat template" in served.refuse("/load", {"name": "t", "path": str(other)}, 400)
    torn = shutil.copytree(whole, served.adapters / "torn")
    (torn / "model.safetensors").write_bytes(b"nothing")
    assert "model.safetensors" in served.refuse("/load", {"name": "t", "path": str(torn)}, 400)
    code = shutil.copytree(whole, served.adapters / "code")
    config = json.loads((code / "config.json").read_text())
    (code / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "x.X"}}))
    assert "custom code" in served.refuse("/load", {"name": "t", "path": str(code)}, 400)


def test_unloading_waits_for_its_answers_and_frees_the_memory(served: Served, whole: Path) -> None:
    served.post("/load", name="full", path=str(whole))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.chat, model="full", max_tokens=200)
        wait_for(lambda: served.engine.uses("full") or answer.done())
        held = weakref.ref(served.engine.whole["full"].versions.base.model)
        served.post("/unload", name="full")
        assert answer.result()["choices"][0]["finish_reason"] in ("stop", "length")
        assert held() is None, "its memory is free at once"
