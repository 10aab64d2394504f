"""Follows promotions on trial: reads what their users met, judges, and moves them unless a person decided first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from core.errors import TrimtabError, Unavailable
from core.settings import Settings
from core.types import Inference
from monitors.turns import repeat
from retrain.canary import Counts, Judgement, Tally, judge, judge_shadow
from retrain.release_alerts import ACTOR, PROMOTION, finding, is_pointed, standing
from store import alerts, deployments, trials
from store.unit_of_work import Store, Tx

log = logging.getLogger("trimtab.retrain")
LOOK_SECONDS = 2.0
_BATCH = 500


@dataclass(slots=True)
class _Read:
    """How far a trial was read, in memory only: whoever starts anew reads it again from its beginning."""

    state: str
    counts: Counts
    copied: Tally
    exchange: int
    feedback: int = 0


class Trials:
    """The trials of every deployment. `tell` prints one line an event."""

    def __init__(
        self, store: Store, settings: Settings, *, clock: Callable[[], datetime], tell: Callable[[str], None]
    ) -> None:
        self.store, self.settings, self.clock, self.tell = store, settings, clock, tell
        self._read: dict[int, _Read] = {}
        self._trouble: dict[int, str] = {}

    async def follow(self) -> None:
        """Look until cancelled."""
        await repeat(lambda: asyncio.to_thread(self.step), LOOK_SECONDS, tell=self.tell)

    def step(self) -> None:
        """One look at each trial. What goes wrong with one is told once, and keeps none of the others waiting."""
        with self.store.read() as tx:
            on_trial = [dict(row) for row in trials.running(tx)]
        for known in (self._read, self._trouble):
            for id in set(known) - {row["id"] for row in on_trial}:
                del known[id]
        for row in on_trial:
            try:
                self.decide(row, self.look(row))
                self._trouble.pop(row["id"], None)
            except Unavailable:
                raise
            except Exception as error:
                # What was half read would count twice.
                self._read.pop(row["id"], None)
                self._tell_of(row, error)

    def _tell_of(self, row: Mapping[str, Any], error: Exception) -> None:
        ours = isinstance(error, TrimtabError)
        said = str(error) if ours else f"it failed with {type(error).__name__}; the log has the details."
        if said == self._trouble.get(row["id"]):
            return
        self._trouble[row["id"]] = said
        self.tell(f"the {row['state']} of {row['version']} could not be looked at: {said}")
        if not ours:
            log.error("a trial could not be looked at", exc_info=error)

    def look(self, row: Mapping[str, Any]) -> Judgement:
        """What everything captured so far says of the trial `row`."""
        seen = self._read.get(row["id"])
        if seen is None or seen.state != row["state"]:
            counts = Counts(row["version"], row["champion"])
            seen = self._read[row["id"]] = _Read(row["state"], counts, Tally(), row["trial_from"])
        settings = self.settings.retrain
        self._take_answers(row, seen)
        if row["state"] == "shadow":
            return judge_shadow(
                seen.copied, wanted=row["shadow"], alpha=settings.canary_alpha, margin=settings.gate_margin
            )
        self._take_judgements(row, seen)
        return judge(
            seen.counts.pairs(),
            share=row["share"] / 100,
            wanted=settings.canary_answers,
            alpha=settings.canary_alpha,
            margin=settings.canary_margin,
        )

    def decide(self, row: Mapping[str, Any], found: Judgement) -> None:
        """Keep the judgement and do what follows from it, in one transaction; a person's move since wins, also one by
        the pointer."""
        evidence = found.json()
        if (found.outcome == "wait" or row["held_by"]) and evidence == row["evidence"]:
            return
        then = "reverted"
        if found.outcome == "go":
            then = "canary" if row["state"] == "shadow" and row["share"] else "live"
        with self.store.write(self.clock()) as tx:
            if not trials.record(tx, row["id"], row["state"], evidence) or found.outcome == "wait":
                return
            if is_pointed(tx, self.settings, row):
                return
            tx.audit(ACTOR, "deployment.judged", row["uuid"], {"state": row["state"], "to": then, **_kept(evidence)})
            self._move(tx, row, then, found.reason)
        self.tell(f"the {row['state']} of {row['version']} is over, now {then}: {found.reason}")

    def _move(self, tx: Tx, row: Mapping[str, Any], then: str, reason: str) -> None:
        if then == "canary":
            trials.begin(tx, row["id"], "canary", actor=ACTOR)
        elif then == "live":
            deployments.flip(tx, row["id"], actor=ACTOR)
            alerts.resolve(tx, standing(PROMOTION, row["deployment"]), reason=f"{row['version']} is live.", actor=ACTOR)
        else:
            deployments.fail(tx, row["id"], reason, actor=ACTOR, event="deployment.aborted")
            summary = f"The {row['state']} of {row['version']} was rolled back: {reason}"
            alerts.apply(tx, finding(PROMOTION, row["deployment"], summary), actor=ACTOR)

    def _take_answers(self, row: Mapping[str, Any], seen: _Read) -> None:
        kind: Literal["live", "shadow"] = "shadow" if row["state"] == "shadow" else "live"
        batch: list[Inference] = []
        while not batch or len(batch) == _BATCH:
            with self.store.read() as tx:
                batch = trials.answers(tx, seen.exchange, deployment=row["deployment"], kind=kind, limit=_BATCH)
            if not batch:
                return
            for answer in batch:
                if kind == "live":
                    seen.counts.take(answer)
                elif answer.version == row["version"]:
                    seen.copied.add(answer.status >= 500 or bool(answer.error))
            seen.exchange = batch[-1].id

    def _take_judgements(self, row: Mapping[str, Any], seen: _Read) -> None:
        first = row["trial_from"] + 1
        full = True
        while full:
            with self.store.read() as tx:
                batch = trials.judgements(
                    tx, seen.feedback, deployment=row["deployment"], from_inference=first, limit=_BATCH
                )
            for item, unit in batch:
                if item.negative is not None:
                    seen.counts.count("negative_feedback", item.version, unit, bool(item.negative))
                seen.feedback = item.key
            full = len(batch) == _BATCH


def _kept(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """What the audit chain keeps of a judgement: the counts that it rests on, in whole numbers and words."""
    return {
        "reason": evidence["reason"],
        "answered": evidence["answered"],
        "measures": [
            {"name": one["name"], "verdict": one["verdict"], "reason": one["reason"]} for one in evidence["measures"]
        ],
    }
