"""What the live version's implicit reward says of the choices that people made since its release: a margin for each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import NotFound, Unavailable
from store import deployments, streams, versions
from store.unit_of_work import Tx

AT_ONCE = 16
REQUEST_SECONDS = 120.0
# Longer choices are left out: one that passes the model's context would fail the request of all.
LONGEST = 4_000


class Score(Protocol):
    """Summed log-probabilities of completions under a version, one an item. Raises Unavailable."""

    def __call__(
        self, items: Sequence[Mapping[str, Any]], *, version: str, deadline_seconds: float
    ) -> Sequence[float]: ...


@dataclass(frozen=True, slots=True)
class Ranked:
    """A person's choice and the live version's margin for it: above 0 where it would have chosen the same.

    The margin is (log p_live - log p_base)(chosen) - (log p_live - log p_base)(rejected): the implicit reward of DPO
    (Rafailov et al. 2023) over its beta. `unit` names the conversation.
    """

    inference: int
    unit: str
    margin: float


@dataclass(frozen=True, slots=True)
class Held:
    """Choices that the live version cannot have been trained on, and the versions that score them.

    `missing` says why there is nothing to score where that is so.
    """

    live: str
    base: str
    choices: Sequence[streams.Choice]
    missing: str = ""


def no_scores(items: Sequence[Mapping[str, Any]], *, version: str, deadline_seconds: float) -> Sequence[float]:
    """Stands where nothing scores: raises Unavailable."""
    raise Unavailable("Nothing scores answers here.", "Ask a gateway whose model server can.")


def held_choices(tx: Tx, deployment: str, size: int) -> Held:
    """The newest `size` choices made after the live version went live: its training data was locked before that."""
    live = deployments.current(tx, deployment)
    if live is None:
        return Held("", "", (), "Nothing is live.")
    try:
        version = versions.get(tx, live["version"])
    except NotFound:
        return Held(live["version"], "", (), f"{live['version']} is not registered here.")
    if version.kind != "adapter":
        return Held(version.name, "", (), f"{version.name} is no adapter: without a base it has no implicit reward.")
    bases = [other.name for other in versions.listed(tx) if other.kind == "base" and other.base == version.base]
    if not bases:
        return Held(version.name, "", (), f"The base of {version.name} is not registered here.")
    found = streams.choices(tx, deployment=deployment, since=live["changed_at"], limit=size)
    return Held(version.name, bases[0], [choice for choice in found if _length(choice) <= LONGEST])


def _length(choice: streams.Choice) -> int:
    asked = sum(len(str(message.get("content", ""))) for message in choice.messages)
    return asked + max(len(choice.chosen), len(choice.rejected))


def rank(held: Held, score: Score, *, deadline_seconds: float) -> list[Ranked]:
    """The margin of every choice, each completion scored under both versions. Raises what `score` raises."""
    if not held.choices:
        return []
    items = [
        {"messages": choice.messages, "completion": text}
        for choice in held.choices
        for text in (choice.chosen, choice.rejected)
    ]
    live = score(items, version=held.live, deadline_seconds=deadline_seconds / 2)
    base = score(items, version=held.base, deadline_seconds=deadline_seconds / 2)
    rewards = [one - other for one, other in zip(live, base, strict=True)]
    return [
        Ranked(choice.inference, choice.unit, chosen - rejected)
        for choice, chosen, rejected in zip(held.choices, rewards[::2], rewards[1::2], strict=True)
    ]


def ask_scores(
    items: Sequence[Mapping[str, Any]], *, version: str, gateway_url: str, key: str, deadline_seconds: float
) -> list[float]:
    """Have the gateway's model server score the items, AT_ONCE a request. Raises Unavailable."""
    try:
        return asyncio.run(asyncio.wait_for(_ask(items, version, gateway_url, key), deadline_seconds))
    except TimeoutError:
        raise Unavailable("Scoring the choices took too long.", "Ask for fewer (params.choices).") from None


async def _ask(items: Sequence[Mapping[str, Any]], version: str, gateway_url: str, key: str) -> list[float]:
    import aiohttp

    found: list[float] = []
    headers = {"Authorization": f"Bearer {key}"}
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    try:
        async with aiohttp.ClientSession(base_url=gateway_url, headers=headers, timeout=timeout) as session:
            for start in range(0, len(items), AT_ONCE):
                part = list(items[start : start + AT_ONCE])
                async with session.post("/internal/score", json={"version": version, "items": part}) as response:
                    if response.status != 200:
                        raise Unavailable(f"The gateway answered {response.status} to scoring.", "See its log.")
                    told = [float(number) for number in (await response.json())["logprobs"]]
                if len(told) != len(part):
                    raise ValueError(f"{len(told)} scores for {len(part)} items")
                found += told
    except (aiohttp.ClientError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"The gateway's scores cannot be read ({type(error).__name__}).", "See its log.") from None
    return found
