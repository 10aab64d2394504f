"""Asks the gateway where the live version's experts sent the tokens that it served."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from core.errors import Unavailable
from core.ports import ExpertLoad


class Experts(Protocol):
    """The expert load of a version's newest answers; None where its server reports none. Raises Unavailable."""

    def __call__(self, *, version: str, deadline_seconds: float) -> ExpertLoad | None: ...


def no_experts(*, version: str, deadline_seconds: float) -> ExpertLoad | None:
    """Stands where no server is: reports none."""
    return None


def ask_experts(*, version: str, gateway_url: str, key: str, deadline_seconds: float) -> ExpertLoad | None:
    """Have the gateway's model server tell. Raises Unavailable."""
    try:
        return read_load(asyncio.run(asyncio.wait_for(_ask(version, gateway_url, key), deadline_seconds)))
    except TimeoutError:
        raise Unavailable("The expert load took too long to come.", "See the gateway's log.") from None


def read_load(told: Any) -> ExpertLoad | None:
    """The load in the gateway's answer. Raises Unavailable where it cannot be read."""
    try:
        load = None if told["load"] is None else ExpertLoad(**told["load"])
        if load is not None and load.answers:
            shapes = {(len(rows), *map(len, rows)) for rows in (load.counts, load.squares, load.products)}
            if len(shapes) != 1 or not load.chosen or not load.counts or not all(load.counts):
                raise ValueError("rows of unlike length, or none")
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(error) from None
    return load


async def _ask(version: str, gateway_url: str, key: str) -> Any:
    import aiohttp

    headers = {"Authorization": f"Bearer {key}"}
    try:
        async with (
            aiohttp.ClientSession(base_url=gateway_url, headers=headers) as session,
            session.get("/internal/experts", params={"version": version}) as response,
        ):
            if response.status != 200:
                raise Unavailable(f"The gateway answered {response.status} to the expert load.", "See its log.")
            return await response.json()
    except (aiohttp.ClientError, ValueError) as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> Unavailable:
    return Unavailable(f"The gateway's expert load cannot be read ({type(error).__name__}).", "See its log.")
