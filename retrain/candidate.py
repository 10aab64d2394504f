"""A candidate against the champion: the same prompts and probes through the gateway, then the gate and its report."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from core.errors import Unavailable
from core.ports import Fingerprint, ProbePrompt
from core.settings import Settings
from core.types import GateReport, Inference, ModelVersion
from monitors import opinions, questions
from monitors.detectors import DETECTORS
from monitors.probes import runner
from retrain import artefacts, gate, proposals
from retrain.asking import Answer, Asker, Refused
from retrain.held_out import HeldOutPair
from retrain.pairs import split
from retrain.pairs.building import question
from retrain.pairs.drawing import SPLIT_SEED
from retrain.suites import draw_prompts, prompt_of
from store import decisions, inferences, versions
from store.unit_of_work import Store, Tx

ACTOR = "system:gate"
# Greedy answers of this length say whether a version refuses; on two cores both versions take about two minutes.
REPLAYED, TOKENS = 72, 24
# Versions answer so many prompts by turns: long enough that a turn's end, with fewer answers under way, costs little.
TURN = 32
# What is over sooner tells of the network and the clock rather than of the model.
SHORTEST_TURN_SECONDS = 0.1
WARM_SECONDS = 120.0
_LOOKED_AT = 4_000
Tell = Callable[[str, int, int], Awaitable[None]]


class Bench:
    """Where candidates are judged. `asker` talks to the gateway."""

    def __init__(self, store: Store, settings: Settings, asker: Asker, *, clock: Callable[[], datetime]) -> None:
        self.store, self.settings, self.asker, self.clock = store, settings, asker, clock

    async def fingerprint(self, version: ModelVersion) -> Fingerprint:
        """How `version` answers the fixed prompts; waits WARM_SECONDS for a gateway that starts. Raises Unavailable."""
        deadline = self.clock() + timedelta(seconds=WARM_SECONDS)
        while True:
            try:
                return (await self.asker.fingerprint(version.name)).fingerprint
            except Unavailable as error:
                if isinstance(error, Refused) or self.clock() >= deadline:
                    raise
                await asyncio.sleep(2.0)

    async def compare(self, candidate: str, champion: str, *, seed: int, tell: Tell) -> dict[str, Any]:
        """What `ask` finds of both, under the names candidate and champion."""
        return await self.ask({"champion": champion, "candidate": candidate}, seed=seed, tell=tell)

    async def ask(self, versions: Mapping[str, str], *, seed: int, tell: Tell) -> dict[str, Any]:
        """Ask every version the same; returns {"rates": {name: ...}, "length": ..., "latency": ...} without any text.

        `versions` are the names in the result and the versions they stand for. Each rate has a value (True, False, a
        share, or None for unscored) a prompt and version, and the prompt's group. With the setting gate_questions,
        stereotyped and sycophantic answers to fixed questions are among them. The versions take turns, and who goes
        first changes, so that load that comes and goes meets all alike.
        """
        replayed = await asyncio.to_thread(self._recent)
        probed = draw_prompts(seed=seed)
        asked = [inference.messages for inference in replayed] + [prompt.messages for prompt in probed]
        answers: dict[str, list[Answer]] = {name: [] for name in versions}
        pace: dict[str, list[float | None]] = {name: [] for name in versions}
        names = list(versions)
        for start in range(0, len(asked), TURN):
            turn, first = asked[start : start + TURN], start // TURN % len(names)
            for name in names[first:] + names[:first]:
                if len(turn) == TURN:
                    # The gateway may have unloaded it since its last turn: to load it is no part of its pace.
                    await self.asker.answer(versions[name], turn[0], max_tokens=1, seed=seed)
                before, began = sum(map(len, answers.values())), self.clock()

                async def told(done: int, before: int = before) -> None:
                    await tell("answers", before + done, len(names) * len(asked))

                found = await self.asker.answers(versions[name], turn, max_tokens=TOKENS, seed=seed, tell=told)
                answers[name] += found
                if len(turn) == TURN:
                    pace[name].append(measure_pace(found, (self.clock() - began).total_seconds()))
        compared = score(replayed, probed, answers)
        if learnable := sum(map(may_train, replayed)):
            note = f"{learnable} of {len(replayed)} replayed prompts are such as runs learn from: too few others came."
            compared["rates"]["refusal_rate"]["note"] = note
        compared["latency"] = {**pace, "prompts_a_turn": TURN}
        compared["tokens"] = {name: list(map(count_tokens, given)) for name, given in answers.items()}
        compared["tokens"]["groups"] = [
            *compared["rates"]["refusal_rate"]["groups"],
            *(prompt_of(prompt.id) for prompt in probed),
        ]
        if self.settings.retrain.gate_questions:
            compared["rates"] |= await self._fixed(versions, tell)
        return compared

    async def _fixed(self, versions: Mapping[str, str], tell: Tell) -> dict[str, dict[str, Any]]:
        """The rates of fixed questions, answered by likelihood: stereotypes and wrong answers that a person gave."""
        asked, _ = questions.read_questions()
        facts = opinions.read_facts()

        def lean(scores: Sequence[float]) -> list[bool]:
            return [choice.leaning > 0 for choice in questions.choose(asked, scores)]

        items, told = questions.list_items(asked), opinions.list_items(facts, told=True)
        # As with probes, all versions answer the same fixed list: questions are what another draw would change.
        return {
            "stereotyped_answers": await self._score(items, [q.id for q in asked], lean, versions, tell),
            "sycophancy": await self._score(told, [f.id for f in facts], opinions.read_agreement, versions, tell),
        }

    async def _score(
        self,
        items: Sequence[Mapping[str, Any]],
        groups: Sequence[str],
        read: Callable[[Sequence[float]], Sequence[float]],
        versions: Mapping[str, str],
        tell: Tell,
    ) -> dict[str, Any]:
        """What `read` makes of the log-probabilities of `items` for each version; None for all where the server
        cannot score."""
        out: dict[str, Any] = {"groups": list(groups)}
        for place, (name, version) in enumerate(versions.items()):
            scores: list[float] = []
            try:
                for part in opinions.in_portions(items, questions.AT_ONCE):
                    scores += await self.asker.score(version, part)
                    await tell("questions", place * len(items) + len(scores), len(versions) * len(items))
                out[name] = list(read(scores))
            except Refused:
                out[name] = [None] * len(groups)
        return out

    def judge(
        self,
        candidate: ModelVersion,
        champion: ModelVersion,
        spec: Mapping[str, Any],
        evaluation: Mapping[str, Any],
        pairs: Sequence[HeldOutPair],
        compared: Mapping[str, Any],
    ) -> GateReport:
        """The gate's report on the candidate of a run with this `spec` against the champion. Reads the files of both
        whole: not in a transaction."""
        home = self.settings.home
        damage = artefacts.find_damage(home, candidate)
        if not damage and (behind := artefacts.find_damage(home, champion)):
            damage = f"It was compared with {champion.name}, whose files have changed meanwhile. {behind}"
        return gate.judge(
            candidate=candidate.name,
            champion=champion.name,
            evaluation=evaluation,
            pairs=pairs,
            beta=float(spec["beta"]),
            compared=compared,
            damage=damage,
            settings=self.settings.retrain,
            at=self.clock(),
        )

    def conclude(self, tx: Tx, run: Mapping[str, Any], report: GateReport) -> str:
        """Record the gate's report and, when it passes, propose the promotion; returns the sentence for the page."""
        _, digest = versions.report(tx, report, run_id=int(run["id"]), actor=ACTOR)
        if report.verdict == "pass":
            body = proposals.promotion(report, digest, deployment=run["spec"]["deployment"], run=str(run["uuid"]))
            decisions.propose(
                tx,
                kind="promote",
                subject=report.candidate,
                proposer=ACTOR,
                reason=body["reason"],
                body=body,
                expires_at=tx.now + timedelta(hours=self.settings.retrain.decision_hours),
            )
        return gate.explain(report)

    def _recent(self) -> list[Inference]:
        """Recent prompts of live traffic to ask again."""
        with self.store.read() as tx:
            _, last, _ = inferences.key_range(tx, deployment=self.settings.deployment)
            rows = inferences.after(
                tx, max(0, last - _LOOKED_AT), deployment=self.settings.deployment, limit=_LOOKED_AT
            )
        return choose(rows[::-1])


def choose(rows: Sequence[Inference]) -> list[Inference]:
    """REPLAYED of the rows, given newest first: each prompt once, and first those that no run ever learns from.

    What a candidate trained on says little of what it does elsewhere. A prompt's side follows from its words alone, so
    that the newest of the held-out side are an even draw of what is asked.
    """
    unlike: dict[str, Inference] = {}
    for row in rows:
        if row.messages and row.prompt.strip():
            unlike.setdefault(row.prompt, row)
    return sorted(unlike.values(), key=may_train)[:REPLAYED]


def may_train(row: Inference) -> bool:
    """Whether a run may learn from the row's prompt: pairs, thumbs and texts of the held-out side never train."""
    prompt = question(row)
    return not prompt or split.place(split.normalise(prompt), SPLIT_SEED) >= split.HELD_OUT_SHARE


def measure_pace(answers: Sequence[Answer], seconds: float) -> float | None:
    """Seconds a token of answers that were asked for together; None where nothing was measured.

    Seconds of computing, where the server tells them: those on the clock, `seconds`, depend on what else the machine
    does meanwhile, so that versions would differ by it.
    """
    tokens = sum(answer.tokens for answer in answers)
    failed = any(answer.error for answer in answers)
    if all(answer.seconds for answer in answers):
        seconds = sum(answer.seconds for answer in answers)
    return seconds / tokens if tokens and seconds >= SHORTEST_TURN_SECONDS and not failed else None


def score(
    replayed: Sequence[Inference], probed: Sequence[ProbePrompt], answers: Mapping[str, Sequence[Answer]]
) -> dict[str, Any]:
    """The comparison of two lists of answers: first those to `replayed`, then those to `probed`."""
    refuses, first = DETECTORS["refusal"], len(replayed)
    refused = {
        name: [
            None if answer.error else refuses(row.prompt, answer.text)
            for row, answer in zip(replayed, given[:first], strict=True)
        ]
        for name, given in answers.items()
    }
    failed = {
        name: [
            runner.score(prompt, answer.text, answer.error).failed
            for prompt, answer in zip(probed, given[first:], strict=True)
        ]
        for name, given in answers.items()
    }
    rates: dict[str, dict[str, Any]] = {
        "refusal_rate": {**refused, "groups": [row.conversation or row.uuid for row in replayed]}
    }
    for rate, benign in (("attack_success", False), ("over_refusal", True)):
        chosen = [place for place, prompt in enumerate(probed) if prompt.benign == benign]
        # A suite is a fixed list: its prompts, not its techniques, are what another draw would change. One that two
        # draws asked under different rules is one prompt.
        rates[rate] = {name: [found[place] for place in chosen] for name, found in failed.items()}
        rates[rate]["groups"] = [prompt_of(probed[place].id) for place in chosen]
    length: dict[str, Any] = {
        name: [None if tokens is None else min(1.0, tokens / TOKENS) for tokens in map(count_tokens, given[:first])]
        for name, given in answers.items()
    }
    return {"rates": rates, "length": {**length, "groups": rates["refusal_rate"]["groups"], "limit_tokens": TOKENS}}


def count_tokens(answer: Answer) -> int | None:
    """The tokens of an answer; None where none came, or where the server does not count what it said."""
    return None if answer.error or (answer.text and not answer.tokens) else answer.tokens
