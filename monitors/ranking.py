"""What the live version's implicit reward says of the choices that people made since its release: a margin for each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import NotFound, Unavailable
from store import deployments, streams, versions
from store.unit_of_work import Tx

# Choices that a look compares.
CHOICES = 100
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
    (Rafailov et al. 2023) over its beta. `key` is the choice's place in the stream, `unit` names the conversation.
    """

    key: int
    inference: int
    unit: str
    margin: float


@dataclass(frozen=True, slots=True)
class Held:
    """Choices that the live version cannot have been trained on, and the versions that score them.

    `first` are those that came first after its release, `choices` the newest; both may be the same ones. `missing` says
    why there is nothing to score where that is so.
    """

    live: str
    base: str
    choices: Sequence[streams.Choice]
    missing: str = ""
    first: Sequence[streams.Choice] = ()


def no_scores(items: Sequence[Mapping[str, Any]], *, version: str, deadline_seconds: float) -> Sequence[float]:
    """Stands where nothing scores: raises Unavailable."""
    raise Unavailable("Nothing scores answers here.", "Ask a gateway whose model server can.")


def held_choices(tx: Tx, deployment: str, size: int) -> Held:
    """The first and the newest `size` choices made after the live version went live.

    Its training data was locked before that.
    """
    live = deployments.current(tx, deployment)
    if live is None:
        return Held("", "", (), "Nothing is live.")
    try:
        version = versions.get(tx, live["version"])
    except NotFound:
        return Held(live["version"], "", (), f"{live['version']} is not registered here.")
    if version.kind != "adapter" and not version.is_whole:
        return Held(version.name, "", (), f"{version.name} is no adapter or trained model: it has no implicit reward.")
    bases = [
        other.name
        for other in versions.listed(tx)
        if other.kind == "base" and not other.is_whole and other.base == version.base
    ]
    if not bases:
        return Held(version.name, "", (), f"The base of {version.name} is not registered here.")
    newest, first = (
        [
            choice
            for choice in streams.choices(
                tx, deployment=deployment, since=live["changed_at"], limit=size, newest=newest
            )
            if _length(choice) <= LONGEST
        ]
        for newest in (True, False)
    )
    return Held(version.name, bases[0], newest, first=first)


def _length(choice: streams.Choice) -> int:
    asked = sum(len(str(message.get("content", ""))) for message in choice.messages)
    return asked + max(len(choice.chosen), len(choice.rejected))


def rank(
    held: Held, score: Score, known: Mapping[int, float], *, deadline_seconds: float
) -> tuple[list[Ranked], list[Ranked]]:
    """The first choices that are none of the newest, and the newest, with their margins. Raises what `score` raises.

    `known` are margins that earlier looks found, by key; of the others each completion is scored under both versions,
    and of the newest choice always: a server that no longer scores is missing data, not the value of the last look.
    """
    choices = {choice.key: choice for choice in (*held.first, *held.choices)}
    fresh = [choice for key, choice in choices.items() if key not in known or choice is held.choices[-1]]
    margins = {**known, **_margins(held, fresh, score, deadline_seconds)}
    newest = {choice.key for choice in held.choices}

    def ranked(some: Sequence[streams.Choice]) -> list[Ranked]:
        return [Ranked(choice.key, choice.inference, choice.unit, margins[choice.key]) for choice in some]

    return ranked([choice for choice in held.first if choice.key not in newest]), ranked(held.choices)


def _margins(held: Held, choices: Sequence[streams.Choice], score: Score, deadline_seconds: float) -> dict[int, float]:
    if not choices:
        return {}
    items = [
        {"messages": choice.messages, "completion": text}
        for choice in choices
        for text in (choice.chosen, choice.rejected)
    ]
    live = score(items, version=held.live, deadline_seconds=deadline_seconds / 2)
    base = score(items, version=held.base, deadline_seconds=deadline_seconds / 2)
    rewards = [one - other for one, other in zip(live, base, strict=True)]
    return {
        choice.key: chosen - rejected
        for choice, chosen, rejected in zip(choices, rewards[::2], rewards[1::2], strict=True)
    }


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
