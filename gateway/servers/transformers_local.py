"""The local model server (`python -m models`): transformers on this machine, one base model and its LoRA adapters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import Unavailable
from core.ports import ExpertLoad, Fingerprint
from core.settings import Settings
from gateway.servers import SERVERS
from gateway.servers.openai_compatible import OpenAICompatible
from gateway.upstream import Refused

BASE = "base"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@SERVERS.register
class TransformersLocal(OpenAICompatible):
    """The local model server: one base model and LoRA adapters on it, answered in batches."""

    upstreams = False
    extras: frozenset[str] = frozenset()

    def __init__(self, url: str, *, key: str, timeout_seconds: float = 120.0) -> None:
        """`url` is the server's address without /v1; `key` is the installation's internal key."""
        super().__init__(f"{url.rstrip('/')}/v1", key=key, timeout_seconds=timeout_seconds)
        self.url = url.rstrip("/")

    @classmethod
    def from_settings(cls, settings: Settings, key: str) -> TransformersLocal:
        """At `models.host` and `models.port`."""
        return cls(settings.model_server_url, key=key, timeout_seconds=settings.gateway.timeout_seconds)

    async def score(self, version: str, items: Sequence[Mapping[str, Any]]) -> Sequence[float]:
        """The summed natural-log probability of each completion after its messages."""
        body = {"name": self.name_of(version), "items": list(items)}
        answer = await self.upstream.ask(f"{self.url}/score", body, version)
        try:
            scores = [float(item["logprob"]) for item in answer]
        except (KeyError, TypeError, ValueError):
            scores = []
        if len(scores) != len(items):
            raise Unavailable("The model server's scores cannot be read.", "Restart it.")
        return scores

    async def load(self, version: str, path: str) -> None:
        """Load what is in the folder `path` under the version's own name; an empty path is the base model.

        An adopted folder is named by the digest of what is in it: raises Refused where the server read something else,
        as after a restart, when nobody takes a print.
        """
        if path:
            told = await self.upstream.ask(f"{self.url}/load", {"name": version, "path": path})
            wanted, found = Path(path).name, told.get("digest") if isinstance(told, dict) else None
            if _DIGEST.fullmatch(wanted) and found != wanted:
                await self.upstream.ask(f"{self.url}/unload", {"name": version}, version)
                raise Refused(f"The files of {version} are not those that were adopted.", "Restore them, or roll back.")
        else:
            await self.versions()
        self.names[version] = version if path else BASE

    async def unload(self, version: str) -> None:
        """Free the memory of an adapter; the base stays."""
        if self.names.pop(version, BASE) != BASE:
            await self.upstream.ask(f"{self.url}/unload", {"name": version}, version)

    async def fingerprint(self, version: str) -> Fingerprint:
        """The digest of greedy tokens and log-probabilities on fixed prompts, taken by the server."""
        answer = await self.upstream.ask(f"{self.url}/fingerprint", {"name": self.name_of(version)}, version)
        if not isinstance(answer, dict) or not isinstance(answer.get("digest"), str):
            raise Unavailable("The model server's fingerprint cannot be read.", "Restart it.")
        return Fingerprint.read(answer)

    async def experts(self, version: str) -> ExpertLoad | None:
        """The load of its newest answers by this version; None where the model is no mixture of experts."""
        answer = await self.upstream.ask(f"{self.url}/experts", {"name": self.name_of(version)}, version)
        try:
            return None if answer["load"] is None else ExpertLoad(**answer["load"])
        except (KeyError, TypeError):
            raise Unavailable("The model server's expert load cannot be read.", "Restart it.") from None

    async def versions(self) -> Sequence[str]:
        """The versions it has now, by our names: a restarted server has lost its adapters."""
        health = await self.upstream.get(f"{self.url}/health")
        if not isinstance(health, dict) or health.get("status") != "ready":
            raise Unavailable("The model server is still loading.", "Try again in a few seconds.")
        there = {BASE, *map(str, health.get("versions") or ())}
        return sorted(version for version, name in self.names.items() if name in there)
