"""A vLLM server's routes for chats and LoRA adapters as its source, documentation and issues say, without a model.

Kept from them: adapters are loaded only where VLLM_ALLOW_RUNTIME_LORA_UPDATING is set (otherwise there is no such
route); a taken name is refused with 400 unless `load_inplace`; a folder without an adapter is a 404; a name that was
unloaded can be loaded again. And the defect (vllm-project/vllm #42125, #30931, since #27211): what is kept of a
prompt is found by the adapter's name alone, so a prompt that was asked before an exchange is answered by the adapter
of then, one that was not by the new one. `cache_salt` keeps a prompt apart.
"""

from __future__ import annotations

import hashlib
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models import artefacts

BASE = "chat"
WORDS = ("north", "south", "east", "west", "up", "down", "left", "right")


class FakeVLLM:
    """The server. `updating`: whether it takes adapters while it runs. `loads` lists every adapter that was loaded."""

    def __init__(self, *, updating: bool = True) -> None:
        self.paths: dict[str, str] = {}
        self.weights: dict[str, bytes] = {BASE: b"base"}
        self.kept: dict[tuple[str, str, str], bytes] = {}
        self.loads: list[str] = []
        routes = [Route("/v1/models", self.models), Route("/v1/chat/completions", self.chat, methods=["POST"])]
        if updating:
            routes.append(Route("/v1/load_lora_adapter", self.load, methods=["POST"]))
            routes.append(Route("/v1/unload_lora_adapter", self.unload, methods=["POST"]))
        self.app = Starlette(routes=routes)

    def restart(self) -> None:
        """As after a crash: no adapter and nothing kept."""
        self.paths.clear()
        self.kept.clear()
        self.weights = {BASE: b"base"}

    async def models(self, _: Request) -> Response:
        base = {"id": BASE, "object": "model", "root": "/models/chat", "parent": None}
        adapters = [{"id": name, "object": "model", "root": path, "parent": BASE} for name, path in self.paths.items()]
        return JSONResponse({"object": "list", "data": [base, *adapters]})

    async def load(self, request: Request) -> Response:
        body = await request.json()
        name, path = body.get("lora_name"), body.get("lora_path")
        if not (name and path):
            return _error("Both 'lora_name' and 'lora_path' must be provided.", "InvalidUserInput", 400)
        if name in self.paths and not body.get("load_inplace"):
            told = f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set"
            return _error(f"{told} 'load_inplace' to True.", "InvalidUserInput", 400)
        try:
            weights = (Path(path) / "adapter_model.safetensors").read_bytes()
        except OSError:
            return _error(f"Loading lora {name} failed: No adapter found for {path}", "NotFoundError", 404)
        self.paths[name], self.weights[name] = path, weights
        self.loads.append(name)
        return Response(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, request: Request) -> Response:
        name = (await request.json()).get("lora_name")
        if name not in self.paths:
            return _error(f"The lora adapter '{name}' cannot be found.", "NotFoundError", 404)
        del self.paths[name], self.weights[name]
        return Response(f"Success: LoRA adapter '{name}' removed successfully.")

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        name = body["model"]
        if name not in self.weights:
            return _error(f"The model `{name}` does not exist.", "NotFoundError", 404, "model")
        prompt = json.dumps(body["messages"])
        # What was computed of the prompt is kept under the adapter's name, not under what it then held.
        weights = self.kept.setdefault((name, body.get("cache_salt", ""), prompt), self.weights[name])
        drawn = hashlib.sha256(weights + prompt.encode()).digest()[: min(4, body["max_tokens"])]
        text = " ".join(WORDS[byte % len(WORDS)] for byte in drawn)
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(drawn)}
        if not body["stream"]:
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            return JSONResponse({"object": "chat.completion", "choices": [choice], "usage": usage})
        chunks: list[Any] = [{"choices": [{"delta": {"content": part}}]} for part in (text[:5], text[5:])]
        chunks += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
        events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        return Response(events + "data: [DONE]\n\n", media_type="text/event-stream")


def write_adapter(folder: Path, weights: bytes) -> str:
    """A folder that stands for an adapter, named by its content as an installation names it; returns its path."""
    made = folder / "made"
    made.mkdir(parents=True, exist_ok=True)
    (made / "adapter_model.safetensors").write_bytes(weights)
    return str(made.rename(folder / artefacts.digest(made)))


def _error(message: str, kind: str, status: int, param: str | None = None) -> Response:
    told = {"message": message, "type": kind, "param": param, "code": HTTPStatus(status).value}
    return JSONResponse({"error": told}, status)
