"""Asks versions through the gateway, as clients do, but marked as probe traffic; and asks it who answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import Unavailable
from core.ports import Fingerprint

if TYPE_CHECKING:
    import aiohttp

# Fewer than the model server computes at a time, so that people are answered beside a gate.
AT_ONCE = 16
PATIENCE_SECONDS = 60.0
# Also a key that is not known yet: the gateway reads keys anew after a moment.
_RETRIED = frozenset({401, 403, 429, 500, 502, 503, 504})
Messages = Sequence[Mapping[str, Any]]


class Refused(Unavailable):
    """The gateway will not do this as it was asked, now or later."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a version answered: its text and tokens, or why it did not (`error`).

    `seconds` is what the server computed for it, 0 where it does not tell.
    """

    text: str
    tokens: int
    finish: str = ""
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answers for a deployment: version, the route's generation, and the fingerprint."""

    version: str
    generation: int
    fingerprint: Fingerprint


class Asker:
    """A client of the gateway at `url` with the installation's internal `key`."""

    def __init__(self, url: str, key: str, deployment: str, *, timeout_seconds: float = 120.0) -> None:
        self.url, self.deployment = url.rstrip("/"), deployment
        self._key, self._timeout = key, timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def fingerprint(self, version: str = "", *, deployment: str = "") -> Answering:
        """Who answers now, or how `version` would, which the gateway loads first. Raises Refused, Unavailable.

        For this client's deployment, or for another `deployment`, as that of a segment.
        """
        query = {"deployment": deployment or self.deployment, **({"version": version} if version else {})}
        told = await self._call("GET", "/internal/fingerprint", params=query)
        try:
            return Answering(str(told["version"]), int(told["generation"]), Fingerprint.read(told))
        except (KeyError, TypeError, ValueError):
            raise Unavailable("The gateway's fingerprint cannot be read.", "Restart the gateway.") from None

    async def answer(self, version: str, messages: Messages, *, max_tokens: int, seed: int) -> Answer:
        """The greedy answer of `version`; a refusal of the request itself comes back as an error in the Answer.

        Waits and asks again while the gateway is busy or away, at most PATIENCE_SECONDS; then raises Unavailable.
        """
        body = {
            "model": f"{self.deployment}@{version}",
            "messages": [dict(message) for message in messages],
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "seed": seed,
        }
        try:
            told = await self._patiently("/v1/chat/completions", body)
            choice = told["choices"][0]
            tokens = int((told.get("usage") or {}).get("completion_tokens") or 0)
            text, finish = str(choice["message"]["content"] or ""), str(choice.get("finish_reason") or "")
            seconds = float((told.get("trimtab") or {}).get("compute_ms") or 0.0) / 1000
            return Answer(text, tokens, finish, seconds=seconds)
        except Refused as error:
            return Answer("", 0, error=error.message)
        except (KeyError, IndexError, TypeError):
            return Answer("", 0, error="The answer is not a chat completion.")

    async def answers(
        self,
        version: str,
        asked: Sequence[Messages],
        *,
        max_tokens: int,
        seed: int,
        tell: Callable[[int], Awaitable[None]] | None = None,
    ) -> list[Answer]:
        """An answer for each of `asked`, AT_ONCE under way; `tell` hears how many there are so far.

        Raises the first error of an answer or of `tell`, and leaves the others.
        """
        places = asyncio.Semaphore(AT_ONCE)
        done = 0

        async def one(messages: Messages) -> Answer:
            nonlocal done
            async with places:
                found = await self.answer(version, messages, max_tokens=max_tokens, seed=seed)
            done += 1
            if tell is not None and (done % AT_ONCE == 0 or done == len(asked)):
                await tell(done)
            return found

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(messages)) for messages in asked]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def score(self, version: str, items: Sequence[Mapping[str, Any]]) -> list[float]:
        """The log-probability of each item's completion after its messages; waits as `answer` does.

        Raises Refused where the server cannot score, Unavailable.
        """
        body = {"version": version, "items": [dict(item) for item in items]}
        told = await self._patiently("/internal/score", body)
        try:
            scores = [float(value) for value in told["logprobs"]]
        except (KeyError, TypeError, ValueError):
            scores = []
        if len(scores) != len(items):
            raise Unavailable("The gateway's scores cannot be read.", "Restart the gateway.")
        return scores

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _patiently(self, path: str, body: Mapping[str, Any]) -> Any:
        """What the gateway answers to `body`, asked again while it is busy or away, for PATIENCE_SECONDS."""
        waited, pause = 0.0, 0.5
        while True:
            try:
                return await self._call("POST", path, json=body)
            except Refused:
                raise
            except Unavailable:
                if waited >= PATIENCE_SECONDS:
                    raise
                await asyncio.sleep(pause)
                waited, pause = waited + pause, min(8.0, pause * 2)

    async def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        import aiohttp

        if self._session is None:
            headers = {"Authorization": f"Bearer {self._key}", "X-Trimtab-Kind": "probe"}
            self._session = aiohttp.ClientSession(
                headers=headers, timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=3)
            )
        try:
            async with self._session.request(method, self.url + path, allow_redirects=False, **kwargs) as response:
                raw = await response.read()
                if response.status == 200:
                    return json.loads(raw)
                message = _message(raw) or f"The gateway answered with status {response.status}."
                if response.status in _RETRIED:
                    raise Unavailable(message, "Try again in a few seconds.")
                raise Refused(message)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable("The gateway does not answer.", "Start it, or look at its log.") from error


def _message(raw: bytes) -> str:
    try:
        told = json.loads(raw)
        return str(told["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return ""
