"""The demo shop's site: asks the gateway as any client would, and sends its customers' feedback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp

from trimtab.demo.corpus import Question, messages
from trimtab.demo.customers import Reaction


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the exchange's id, who answered and the text."""

    inference: str
    version: str
    text: str


class Shop:
    """A client of the gateway at `url` with API key `key`, asking for the model `deployment`."""

    def __init__(
        self, http: aiohttp.ClientSession, url: str, key: str, deployment: str, *, max_tokens: int = 24
    ) -> None:
        self._http, self._url, self._deployment, self._max_tokens = http, url, deployment, max_tokens
        self._headers = {"Authorization": f"Bearer {key}"}

    async def ask(self, question: Question, *, user: str, channel: str) -> Answer | None:
        """The answer to `question`, or None when the gateway could not answer now."""
        body = {
            "model": self._deployment,
            "messages": messages(question),
            "max_tokens": self._max_tokens,
            "temperature": 0.7,
            "user": user,
            "metadata": {"channel": channel, "conversation_id": user},
        }
        found = await self._post("/v1/chat/completions", body)
        if found is None:
            return None
        text = found[1]["choices"][0]["message"]["content"] or ""
        return Answer(found[0]["x-trimtab-inference"], found[0]["x-trimtab-version"], text)

    async def rate(self, answer: Answer, reaction: Reaction, *, contributor: str) -> None:
        """Send a customer's thumb, and the correction if there is one."""
        thumb = {"inference": answer.inference, "kind": "thumb", "value": reaction.thumb, "contributor": contributor}
        await self._post("/v1/feedback", thumb)
        if reaction.correction:
            mended = {
                "inference": answer.inference,
                "kind": "correction",
                "chosen": reaction.correction,
                "rejected": answer.text,
                "contributor": contributor,
            }
            await self._post("/v1/feedback", mended)

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[Any, Any] | None:
        try:
            async with self._http.post(self._url + path, json=body, headers=self._headers) as reply:
                return (reply.headers, await reply.json()) if reply.ok else None
        except (aiohttp.ClientError, TimeoutError):
            return None
