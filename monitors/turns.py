"""Does a piece of work again and again: what goes wrong in a turn is told once, and the next turn still comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from core.errors import Conflict, TrimtabError, Unavailable

log = logging.getLogger("trimtab.turns")
# What will fail again is not tried faster than this.
TROUBLE_SECONDS = 5.0


async def repeat(work: Callable[[], Awaitable[str | None]], seconds: float, *, tell: Callable[[str], None]) -> None:
    """Do `work` until cancelled, `seconds` between two turns; `tell` hears the line that a turn returns, if any.

    An error is told when it differs from that of the turn before. After one of ours that may pass by itself (the store
    is away, somebody was faster) the next turn comes as ever, after any other not before TROUBLE_SECONDS. An error that
    nobody foresaw goes to the log too: one broken loop must not end those beside it, nor stand still unseen.
    """
    trouble = ""
    while True:
        pause, said = seconds, ""
        try:
            if told := await work():
                tell(told)
        except (Unavailable, Conflict) as error:
            said = f"waiting: {error}"
        except TrimtabError as error:
            pause, said = max(seconds, TROUBLE_SECONDS), f"waiting: {error}"
        except Exception as error:
            pause = max(seconds, TROUBLE_SECONDS)
            said = f"a turn failed with {type(error).__name__} and is tried again; the log has the details"
            if said != trouble:
                log.error("a turn failed", exc_info=error)
        if said and said != trouble:
            tell(said)
        trouble = said
        await asyncio.sleep(pause)
