"""Asks an OpenAI-compatible judge every question in both orders. What it does not answer stays unscored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from core.errors import Unavailable
from core.settings import JudgeSettings
from monitors.judge.questions import Letter, Question, instructions_digest, messages, read
from monitors.judge.verdicts import Judged, Verdict

AT_ONCE = 4
MAX_TOKENS = 8


def judge(
    questions: Sequence[Question], *, settings: JudgeSettings, seed: int, deadline_seconds: float = 600.0
) -> Judged:
    """Verdicts in the order of the questions. Raises Unavailable when no judge is set."""
    if not settings.url or not settings.model:
        raise Unavailable("No judge is set.", "Set judge.url and judge.model.")
    return asyncio.run(_ask_all(questions, settings, seed, deadline_seconds))


def identity(settings: JudgeSettings, reported: Sequence[str]) -> str:
    """Who judges: the model asked for, what the server says it is, where, and the wording's digest."""
    said = "/".join(sorted(set(reported))) or "not named"
    return f"{settings.model} ({said}) at {urlsplit(settings.url).netloc}, wording {instructions_digest()}"


async def _ask_all(questions: Sequence[Question], settings: JudgeSettings, seed: int, deadline: float) -> Judged:
    import aiohttp

    headers = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
    timeout = aiohttp.ClientTimeout(total=settings.timeout_seconds)
    gate = asyncio.Semaphore(AT_ONCE)
    found: dict[tuple[int, bool], tuple[Letter | None, str]] = {}
    reported: list[str] = []

    async with aiohttp.ClientSession(headers=headers, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def one(place: int, swapped: bool) -> None:
            async with gate:
                body = {
                    "model": settings.model,
                    "messages": messages(questions[place], swapped=swapped),
                    "max_tokens": MAX_TOKENS,
                    "temperature": 0,
                    "seed": seed,
                }
                letter, error, named = await _one(session, settings.url, body)
                found[place, swapped] = letter, error
                if named:
                    reported.append(named)

        tasks = [asyncio.create_task(one(place, side)) for place in range(len(questions)) for side in (False, True)]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=deadline)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    unasked: tuple[Letter | None, str] = (None, "not asked before the deadline")
    verdicts = []
    for place, question in enumerate(questions):
        (straight, one_error), (swapped, other) = (found.get((place, side), unasked) for side in (False, True))
        verdicts.append(Verdict(question.id, straight, swapped, one_error or other))
    return Judged(identity(settings, reported), verdicts)


async def _one(session: Any, url: str, body: Mapping[str, Any]) -> tuple[Letter | None, str, str]:
    """The letter, what went wrong without one, and the name the server gives its model."""
    import aiohttp

    try:
        place = f"{url.rstrip('/')}/chat/completions"
        async with session.post(place, json=body, allow_redirects=False) as response:
            if response.status != 200:
                return None, f"the judge answered {response.status}", ""
            told = await response.json(content_type=None)
            letter = read(str(told["choices"][0]["message"]["content"] or ""))
            named = " ".join(str(told.get(name) or "") for name in ("model", "system_fingerprint")).strip()
            return letter, "" if letter else "the judge did not answer with a letter", named[:120]
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        return None, f"no answer ({type(error).__name__})", ""
