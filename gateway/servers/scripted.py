"""A deterministic stand-in for a model: for trying the gateway without one, and for tests. Says what it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from core.errors import Unavailable
from core.events import digest
from core.ports import ChatPiece, ChatRequest, ExpertLoad, Fingerprint
from core.settings import Settings
from gateway.servers import SERVERS
from gateway.upstream import NotLoaded


@SERVERS.register
class Scripted:
    """A stand-in that repeats what it was asked, word by word: no model, no cost, the same answer each time."""

    upstreams = False
    extras: frozenset[str] = frozenset()

    def __init__(self, *, load_seconds: float = 0.0, word_seconds: float = 0.0) -> None:
        """The delays stand for a real server's: before a load is done, and before each word."""
        self.load_seconds, self.word_seconds = load_seconds, word_seconds
        self.paths: dict[str, str] = {}
        self.away = False

    @classmethod
    def from_settings(cls, settings: Settings, key: str) -> Scripted:
        """Needs no settings."""
        return cls()

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatPiece, None]:
        """'VERSION heard: ' and the last message, cut at `max_tokens` words."""
        self._require(request.version)
        asked = str(request.messages[-1].get("content", "")) if request.messages else ""
        words = f"{request.version} heard: {asked}".split(" ")
        said = words[: request.max_tokens]
        finish = "stop" if len(said) == len(words) else "length"
        counts = sum(len(str(message.get("content", "")).split()) for message in request.messages), len(said)
        if request.extra.get("stream", True):
            for index, word in enumerate(said):
                await self._pause(request.version)
                yield ChatPiece(word if index == 0 else f" {word}")
            yield ChatPiece("", finish, *counts)
            return
        for _ in said if self.word_seconds else ():
            await self._pause(request.version)
        yield ChatPiece(" ".join(said), finish, *counts)

    async def score(self, version: str, items: Sequence[Mapping[str, Any]]) -> Sequence[float]:
        """Minus the number of words of each completion."""
        self._require(version)
        return [-float(len(str(item.get("completion", "")).split())) for item in items]

    async def load(self, version: str, path: str) -> None:
        """Remember `version`."""
        await asyncio.sleep(self.load_seconds)
        self._answering()
        self.paths[version] = path

    async def unload(self, version: str) -> None:
        """Forget `version`."""
        self.paths.pop(version, None)

    async def fingerprint(self, version: str) -> Fingerprint:
        """The digest of the version's name and path."""
        self._require(version)
        return Fingerprint(digest([version, self.paths[version]]))

    async def experts(self, version: str) -> ExpertLoad | None:
        """No model, no experts."""
        return None

    async def versions(self) -> Sequence[str]:
        """What was loaded."""
        self._answering()
        return sorted(self.paths)

    async def close(self) -> None:
        """Nothing to close."""

    def restart(self) -> None:
        """Behave as a server that was killed and came back: every version is gone."""
        self.paths.clear()

    async def _pause(self, version: str) -> None:
        if self.word_seconds:
            await asyncio.sleep(self.word_seconds)
        self._require(version)

    def _require(self, version: str) -> None:
        self._answering()
        if version not in self.paths:
            raise NotLoaded(f"The version {version} is not loaded.", "Try again in a moment.")

    def _answering(self) -> None:
        if self.away:
            raise Unavailable("The model server does not answer.", "Try again in a few seconds.")
