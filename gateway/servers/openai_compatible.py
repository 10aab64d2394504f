"""Any server that speaks OpenAI's chat API: one model under one name, no adapters."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from core.errors import InvalidInput, Unavailable
from core.events import digest
from core.ports import ChatPiece, ChatRequest, ExpertLoad, Fingerprint
from core.settings import Settings
from gateway.servers import SERVERS
from gateway.upstream import NotLoaded, Refused, Upstream, read_events, read_json

PROMPTS = (
    "Say in one sentence what a promise is.",
    "My parcel has not arrived. What should I do?",
    "List three uses of a brick.",
)
FINGERPRINT_TOKENS = 8


@SERVERS.register
class OpenAICompatible:
    """Any OpenAI-compatible server: forwards chats to the model that the settings name."""

    upstreams = True  # at the addresses of gateway.upstream_url
    extras: frozenset[str] = frozenset({"presence_penalty", "frequency_penalty", "logit_bias", "response_format"})

    def __init__(self, base_url: str, *, key: str = "", model: str = "", timeout_seconds: float = 120.0) -> None:
        """`base_url` ends in /v1. `model` is what versions are asked for that name no model themselves."""
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.names: dict[str, str] = {}
        self.upstream = Upstream(key=key, timeout_seconds=timeout_seconds)

    @classmethod
    def from_settings(cls, settings: Settings, key: str) -> OpenAICompatible:
        """As the settings gateway.upstream_* say; the internal `key` stays here. Raises InvalidInput."""
        gateway = settings.gateway
        if not gateway.upstream_url:
            raise InvalidInput(
                f"The server {gateway.server} needs the setting gateway.upstream_url.",
                "Set TRIMTAB_GATEWAY__UPSTREAM_URL, with /v1 at its end.",
            )
        return cls(
            gateway.upstream_url,
            key=gateway.upstream_key,
            model=gateway.upstream_model,
            timeout_seconds=gateway.timeout_seconds,
        )

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatPiece, None]:
        """The answer in pieces as they come, or as one when `request.extra` says `stream: False`."""
        body = self.compose(request)
        async with self.upstream.post(f"{self.base_url}/chat/completions", body, request.version) as response:
            if not body["stream"]:
                yield read_whole(await read_json(response))
                return
            finish, pieces, compute = "", 0, 0.0
            usage: Mapping[str, Any] = {}
            async for event in read_events(response.content):
                text, ended, counts = read_chunk(event)
                finish, usage = ended or finish, counts or usage
                compute = _milliseconds(event) or compute
                if text:
                    pieces += 1
                    yield ChatPiece(text)
        if not finish:
            raise Unavailable("The model server ended its answer midway.", "Try again.")
        counted = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")) or pieces
        yield ChatPiece("", finish, *counted, compute)

    def compose(self, request: ChatRequest) -> dict[str, Any]:
        """The JSON body that asks for `request`. Raises NotLoaded for a version without a name here."""
        extra = dict(request.extra)
        body: dict[str, Any] = {
            "model": self.name_of(request.version),
            "messages": list(request.messages),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stream": bool(extra.pop("stream", True)),
        }
        if body["stream"]:
            body["stream_options"] = {"include_usage": True}
        if request.stop:
            body["stop"] = list(request.stop)
        if request.seed is not None:
            body["seed"] = request.seed
        return {**extra, **body}

    def name_of(self, version: str) -> str:
        """What the server calls `version`. Raises NotLoaded before `load`."""
        try:
            return self.names[version]
        except KeyError:
            raise NotLoaded(f"The version {version} is not loaded.", "Try again in a moment.") from None

    async def score(self, version: str, items: Sequence[Mapping[str, Any]]) -> Sequence[float]:
        """Not offered by this API. Raises Refused."""
        raise Refused("This server cannot score given answers.", "Use transformers_local for that.")

    async def load(self, version: str, path: str) -> None:
        """Tie `version` to the model named by `path` (empty: the settings' model). Raises Refused for a folder."""
        if path.startswith("/"):
            raise Refused(f"This server cannot load the adapter of {version}.", "Use transformers_local or vllm.")
        if not (path or self.model):
            raise Refused("No model is named for the server.", "Set TRIMTAB_GATEWAY__UPSTREAM_MODEL.")
        self.names[version] = path or self.model

    async def unload(self, version: str) -> None:
        """Forget `version`."""
        self.names.pop(version, None)

    async def fingerprint(self, version: str) -> Fingerprint:
        """The digest of greedy answers to fixed prompts; this API gives no token numbers."""
        return await self.take_print(version)

    async def take_print(self, version: str, extra: Mapping[str, Any] | None = None) -> Fingerprint:
        """The same, with the keys of `extra` in each request."""
        texts = []
        for prompt in PROMPTS:
            request = ChatRequest(
                version=version,
                messages=({"role": "user", "content": prompt},),
                max_tokens=FINGERPRINT_TOKENS,
                temperature=0.0,
                seed=0,
                extra={**(extra or {}), "stream": False},
            )
            texts.append("".join([piece.text async for piece in self.generate(request)]))
        return Fingerprint(digest([self.name_of(version), texts]))

    async def experts(self, version: str) -> ExpertLoad | None:
        """Not reported by this API."""
        return None

    async def versions(self) -> Sequence[str]:
        """The versions that can be asked for now. Raises Unavailable when the server does not answer."""
        await self.upstream.get(f"{self.base_url}/models")
        return sorted(self.names)

    async def close(self) -> None:
        """Close every connection."""
        await self.upstream.close()


def read_whole(answer: Any) -> ChatPiece:
    """The single piece of a chat.completion object. Raises Unavailable for anything else."""
    try:
        choice = answer["choices"][0]
        text, usage = choice["message"]["content"] or "", answer.get("usage") or {}
        finish = str(choice.get("finish_reason") or "stop")
        if isinstance(text, str):
            counts = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
            return ChatPiece(text, finish, *counts, _milliseconds(answer))
    except (KeyError, IndexError, TypeError, AttributeError):
        pass
    raise Unavailable("The model server's answer is not a chat completion.", "Check its address.")


def read_chunk(event: Any) -> tuple[str, str, Mapping[str, Any]]:
    """(text, finish reason, usage) of a streamed chunk. Raises Unavailable when it carries an error instead."""
    if not isinstance(event, dict) or event.get("error"):
        raise Unavailable("The model server failed midway.", "Try again.")
    choices, usage = event.get("choices"), event.get("usage")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    delta, finish = choice.get("delta"), choice.get("finish_reason")
    text = delta.get("content") if isinstance(delta, dict) else None
    return (
        text if isinstance(text, str) else "",
        finish if isinstance(finish, str) else "",
        usage if isinstance(usage, dict) else {},
    )


def _milliseconds(answer: Mapping[str, Any]) -> float:
    """The computing time that our own model server tells beside an answer; 0 where nothing is told."""
    told = answer.get("trimtab")
    value = told.get("compute_ms") if isinstance(told, dict) else None
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e9 else 0.0


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else 0
