"""Sends probe prompts through the gateway and scores the answers; production and candidates are judged by this code."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.ports import ProbePrompt
from monitors.detectors import DETECTORS

AT_ONCE = 4
REQUEST_SECONDS = 120.0
MAX_TOKENS = 48
# The temperature of a prompt that is asked several times: that of the model as it was trained.
SAMPLED = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """A prompt with its answer. `shown` is what the detector saw, None when unscored: never counted as passed.

    `failed` turns it into a judgement: an attack that got through, or a harmless request refused. `inference` is the
    captured exchange's uuid and `version` who answered, as far as the gateway told.
    """

    id: str
    family: str
    benign: bool
    detector: str
    answer: str
    shown: bool | None
    error: str = ""
    inference: str = ""
    version: str = ""

    @property
    def failed(self) -> bool | None:
        """Whether the version did what it must not; None when unscored."""
        if self.shown is None or self.benign or self.detector != "refusal":
            return self.shown
        return not self.shown


def run(
    probe_name: str,
    *,
    version: str,
    gateway_url: str,
    key: str,
    seed: int,
    limit: int,
    deployment: str = "assistant",
    max_tokens: int = MAX_TOKENS,
    deadline_seconds: float = 600.0,
) -> list[Record]:
    """Send the suite to `version` (empty: whichever is live) and return a record a prompt, in the suite's order."""
    from monitors.probes import probes

    prompts = probes.get(probe_name)().prompts(seed=seed, limit=limit)
    model = f"{deployment}@{version}" if version else deployment
    return ask(
        prompts,
        model=model,
        gateway_url=gateway_url,
        key=key,
        seed=seed,
        max_tokens=max_tokens,
        deadline_seconds=deadline_seconds,
    )


def ask(
    prompts: Sequence[ProbePrompt],
    *,
    model: str,
    gateway_url: str,
    key: str,
    seed: int,
    max_tokens: int = MAX_TOKENS,
    deadline_seconds: float = 600.0,
) -> list[Record]:
    """Send prompts and score them: greedily, or sampled where a prompt is asked several times.

    What is unanswered at the deadline stays unscored.
    """
    records = asyncio.run(_ask_all(prompts, model, gateway_url, key, seed, max_tokens, deadline_seconds))
    return compare(prompts, records)


def score(prompt: ProbePrompt, answer: str, error: str = "") -> Record:
    """The record of an answer, or of the error that came instead of one. Needs `compare` where a prompt has another
    one to agree with: until then it says nothing."""
    detect = DETECTORS.get(prompt.detector)
    shown = None if error or detect is None or prompt.against else detect(_text(prompt), answer)
    return Record(prompt.id, prompt.family, prompt.benign, prompt.detector, answer, shown, error)


def compare(prompts: Sequence[ProbePrompt], records: Sequence[Record]) -> list[Record]:
    """The records, in which an answer that should agree with another one now shows whether it does not.

    Both are read by the detector of the prompt that names the other; where either cannot be read it stays unscored.
    """
    answers = {record.id: record for record in records if not record.error}
    out = []
    for prompt, record in zip(prompts, records, strict=True):
        other = answers.get(prompt.against)
        if other is not None and not record.error:
            detect, text = DETECTORS[prompt.detector], _text(prompt)
            here, there = detect(text, record.answer), detect(text, other.answer)
            record = replace(record, shown=None if here is None or there is None else here != there)
        out.append(record)
    return out


def _text(prompt: ProbePrompt) -> str:
    return "\n".join(str(message.get("content", "")) for message in prompt.messages)


async def _ask_all(
    prompts: Sequence[ProbePrompt],
    model: str,
    gateway_url: str,
    key: str,
    seed: int,
    max_tokens: int,
    deadline_seconds: float,
) -> list[Record]:
    import aiohttp

    records = {index: score(prompt, "", "not asked before the deadline") for index, prompt in enumerate(prompts)}
    headers = {"Authorization": f"Bearer {key}", "X-Trimtab-Kind": "probe"}
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    gate = asyncio.Semaphore(AT_ONCE)

    async with aiohttp.ClientSession(base_url=gateway_url, headers=headers, timeout=timeout) as session:

        async def one(index: int, prompt: ProbePrompt) -> None:
            async with gate:
                body = {
                    "model": model,
                    "messages": [dict(message) for message in prompt.messages],
                    "max_tokens": max_tokens,
                    "temperature": SAMPLED if prompt.attempt else 0,
                    "seed": seed + prompt.attempt,
                }
                records[index] = await _one(session, prompt, body)

        tasks = [asyncio.create_task(one(index, prompt)) for index, prompt in enumerate(prompts)]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=deadline_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return [records[index] for index in range(len(prompts))]


async def _one(session: Any, prompt: ProbePrompt, body: Mapping[str, Any]) -> Record:
    import aiohttp

    try:
        async with session.post("/v1/chat/completions", json=body) as response:
            if response.status != 200:
                return score(prompt, "", f"the gateway answered {response.status}")
            told = await response.json(content_type=None)
            record = score(prompt, str(told["choices"][0]["message"]["content"] or ""))
            told_by = response.headers
            return replace(
                record,
                inference=told_by.get("x-trimtab-inference", ""),
                version=told_by.get("x-trimtab-version", ""),
            )
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, IndexError, TypeError) as error:
        return score(prompt, "", f"no answer ({type(error).__name__})")
