"""What a run does, stage by stage: draw the pairs, train, evaluate, judge. Each can be begun again after a crash."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from core.errors import Conflict, InvalidInput
from core.ports import Engine
from core.settings import Settings
from core.states import RUN_STAGES
from core.types import ModelVersion, PreferencePair
from models.prepare import read_manifest
from retrain import artefacts
from retrain.candidate import Bench
from retrain.child import Child, Interrupted
from retrain.held import Held
from retrain.held_out import read_scored
from retrain.pairs import clearing, drawing, margins, texts, thumbs
from retrain.probed import SUSPECTS
from retrain.training.progress import read_events
from retrain.training.spec import RESULTS
from store import datasets, prints, runs, versions
from store.unit_of_work import Tx

ACTOR = "system:retrain"
# What trains, what judges on held-out pairs and what asks the model of labels: modules that are given the run's folder.
MODULES = ("retrain.train", "retrain.evaluate", "retrain.crossfit")
TRAIN, HELD_OUT, THUMBS, LEFT_OUT = "train.jsonl", "held_out.jsonl", "thumbs.jsonl", "thumbs_left_out.json"
TEXTS, COMPARISON = "texts.jsonl", "comparison.json"
COMPARED = frozenset({"rates", "length", "latency"})
_LOTS = {"thumbs": THUMBS, "texts": TEXTS}
# More passes over few pairs fit their wording rather than what people prefer.
MOST_PASSES = 3


class Stages:
    """The stages of one held run in its folder."""

    def __init__(
        self,
        held: Held,
        settings: Settings,
        engine: Engine,
        bench: Bench,
        *,
        ending: asyncio.Event,
        clock: Callable[[], datetime],
        modules: tuple[str, str, str] = MODULES,
    ) -> None:
        self.modules = modules
        self.held, self.settings, self.bench, self.clock = held, settings, bench, clock
        self.folder = settings.home / str(held.row["folder"])
        self.child = Child(engine, held, self.folder, ending=ending)

    async def run(self) -> str:
        """Go through the stages that are left; returns a sentence that says how it ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        steps = {"pairs": self.draw, "train": self.train, "evaluate": self.evaluate, "gate": self.judge}
        message = ""
        for stage in RUN_STAGES[RUN_STAGES.index(self.held.row["stage"]) :]:
            if self.held.row["stage"] != stage:
                await self.held.advance(stage)
            message = await steps[stage]()
        return message

    async def draw(self) -> str:
        """Lock the dataset and write what the child reads."""
        spec, settings = self.held.row["spec"], self.settings.retrain
        if self.held.row["dataset_id"] is None:
            train, held_out = await self.choose()
        elif (self.folder / "spec.json").exists():
            return ""
        else:
            id = self.held.row["dataset_id"]
            train, held_out = await self.held.read(lambda tx: _members(tx, id))
        champion = await self.held.read(lambda tx: versions.get(tx, spec["champion"]))
        drawing.write(self.folder, TRAIN, train)
        drawing.write(self.folder, HELD_OUT, held_out)
        examples = len(train)
        if spec["trainer"] == "kto":
            # Pairs judge the candidate; what it learns from are single answers.
            drawn, share = await self.held.read(lambda tx: thumbs.draw(tx, spec, held_out)), settings.contributor_share
            rows, left_out = await asyncio.to_thread(thumbs.clear, drawn, share=share, seed=drawing.SPLIT_SEED)
            thumbs.require_both(rows)
            thumbs.write(self.folder, THUMBS, rows)
            drawing.write_text(self.folder, LEFT_OUT, json.dumps(left_out, indent=1) + "\n")
            examples = len(rows)
        if spec.get("adapt_steps"):
            texts.write(self.folder, TEXTS, await self.held.read(lambda tx: texts.draw(tx, spec, held_out)))
        told = compose(spec, champion, self.settings, examples)
        drawing.write_text(self.folder, "spec.json", json.dumps(told, indent=2, sort_keys=True) + "\n")
        return ""

    async def choose(self) -> tuple[Sequence[PreferencePair], Sequence[PreferencePair]]:
        """Give the run its dataset, one that it names or a new draw; returns what trains and what is held out."""
        spec, share = self.held.row["spec"], self.settings.retrain.contributor_share
        chosen = spec.get("dataset")
        taken = await self.held.read(lambda tx: drawing.take(tx, chosen)) if chosen else None
        # What customs suspect is asked of the candidate, whoever chose the pairs; labels matter for a draw alone.
        cleared = await self.inspect(doubting=taken is None)
        if taken is not None:
            row, train, held_out = taken
            await self.held.note(dataset_id=int(row["id"]))
            return train, held_out
        for _ in range(drawing.DRAWS):
            ground = await self.held.read(lambda tx: drawing.look(tx, cleared))
            drawn = await asyncio.to_thread(drawing.draw, ground, spec, share=share)
            id = await self.held.write(functools.partial(self._lock, drawn))
            if id is not None:
                self.held.row["dataset_id"] = id
                return drawn.train, drawn.held_out
        raise drawing.changed()

    async def inspect(self, *, doubting: bool) -> clearing.Cleared:
        """Take the approved pairs through customs, outside any transaction: that may last minutes. The chat model is
        asked of their labels only if `doubting`."""
        found, held_before = await self.held.read(clearing.read)
        share, seed = self.settings.retrain.contributor_share, drawing.SPLIT_SEED
        known = await self.ask_model([*found, *held_before]) if doubting else {}
        loop, reasons = asyncio.get_running_loop(), (self.held.stop_asked, self.held.lost, self.child.ending)

        def tell(done: float, what: str) -> None:
            if any(reason.is_set() for reason in reasons):
                raise Interrupted  # nobody waits for the rest, and the process cannot end before its threads
            told = {"event": "inspect", "what": what, "share": done}
            asyncio.run_coroutine_threadsafe(self.held.progress(told), loop).result()

        clear = functools.partial(clearing.clear, share=share, seed=seed, known=known, progress=tell)
        cleared = await asyncio.to_thread(clear, found, held_before)
        # Before the dataset is locked: a worker that goes on from there looks no more.
        drawing.write_text(self.folder, SUSPECTS, json.dumps([asdict(suspect) for suspect in cleared.suspects]))
        return cleared

    async def ask_model(self, pairs: Sequence[PreferencePair]) -> margins.Known:
        """What the chat model says of labels, asked in a child as retrain.customs_model says, once a run.

        Nothing is known of pairs that come meanwhile.
        """
        told, folder = self.settings.retrain, self.folder / margins.FOLDER
        if told.customs_model == "off" or not pairs:
            return {}
        if not (folder / margins.TASK).exists():
            spec = margins.compose(
                self.settings, threads=told.threads or count_threads(self.settings), seed=drawing.SPLIT_SEED
            )
            ask = functools.partial(
                margins.ask, most=told.customs_pairs, folds=told.customs_model == "folds", seed=drawing.SPLIT_SEED
            )
            if not await asyncio.to_thread(ask, folder, pairs, spec):
                return {}
        answer = folder / margins.ANSWER
        if not answer.exists():
            await self.child.run(self.modules[2], f"{margins.FOLDER}/{margins.ANSWER}")
        await asyncio.to_thread(margins.keep, self.settings, answer)
        return await asyncio.to_thread(margins.close, folder)

    async def train(self) -> str:
        """Train, then take what that left into the installation as a version."""
        await self._require_champion()
        result = RESULTS[self.held.row["spec"].get("finetuning_type", "lora")]
        await self.child.run(self.modules[0], result)
        if speed := measure_speed(self.folder):
            await self.held.note(forecast={"tokens_per_second": speed})
        base = (read_manifest(self.settings.chat_path) or {}).get("digest", "")
        product = (self.folder / result).parent
        digest, path = await asyncio.to_thread(artefacts.adopt, self.settings.home, product, base=base)
        examples = describe_examples(self.folder)
        name = await self.held.write(lambda tx: self._register(tx, digest, path, examples))
        await self.held.note(candidate=name)
        return ""

    async def evaluate(self) -> str:
        """Judge the candidate on held-out pairs, then side by side with the champion through the gateway."""
        candidate = await self.held.read(lambda tx: versions.get(tx, self.held.row["candidate"]))
        artefacts.note_adopted(self.folder, self.settings.home / candidate.path, candidate.digest)
        await self._require_champion()
        await self.child.run(self.modules[1], "evaluation.json")
        print_ = await self.bench.fingerprint(candidate)
        if not await self.held.write(lambda tx: prints.accept(tx, candidate.name, print_, actor=ACTOR)):
            raise Conflict(f"{candidate.name} answers otherwise than when it was registered.", "Look into it first.")
        result = self.folder / COMPARISON
        if not is_whole(result):
            spec = self.held.row["spec"]
            compared = await self.bench.compare(
                candidate.name, spec["champion"], seed=int(spec["seed"]), tell=self._tell_share
            )
            drawing.write_text(self.folder, result.name, json.dumps(compared))
        return ""

    async def judge(self) -> str:
        """Record the gate's report, and propose the promotion when it passes."""
        evaluation = json.loads((self.folder / "evaluation.json").read_text("utf-8"))
        compared = json.loads((self.folder / COMPARISON).read_text("utf-8"))
        id = self.held.row["dataset_id"]
        judged = await self.held.read(lambda tx: datasets.members(tx, id, "held_out"))
        candidate = await self.held.read(lambda tx: versions.get(tx, self.held.row["candidate"]))
        pairs = read_scored(self.folder / "evaluation_pairs.jsonl", judged)
        spec = self.held.row["spec"]
        champion = await self.held.read(lambda tx: versions.get(tx, spec["champion"]))
        report = await asyncio.to_thread(self.bench.judge, candidate, champion, spec, evaluation, pairs, compared)
        return await self.held.write(lambda tx: self.bench.conclude(tx, self.held.row, report))

    async def _require_champion(self) -> None:
        """Raise InvalidInput where the files of what serves are not those that were released: training would begin
        from another model, and the candidate be judged against it."""
        champion = await self.held.read(lambda tx: versions.get(tx, self.held.row["spec"]["champion"]))
        if damage := await asyncio.to_thread(artefacts.find_damage, self.settings.home, champion):
            raise InvalidInput(
                f"The run rests on {champion.name}, whose files are not what was released. {damage}",
                f"Restore {self.settings.home / champion.path} from a backup, then resume the run.",
            )

    async def _tell_share(self, what: str, done: int, of: int) -> None:
        await self.held.progress({"event": "compare", "what": what, "step": done, "of": of})

    def _lock(self, drawn: drawing.Drawn, tx: Tx) -> int | None:
        """The key of the dataset, locked and noted on the run in one transaction: a kill leaves both or neither."""
        row = drawing.lock(tx, drawn)
        if row is None:
            return None
        runs.note(tx, self.held.id, self.held.fence, dataset_id=int(row["id"]))
        return int(row["id"])

    def _register(self, tx: Tx, digest: str, path: str, examples: dict[str, Any]) -> str:
        found = versions.by_digest(tx, digest)
        if found is not None:
            return found.name
        spec = self.held.row["spec"]
        champion = versions.get(tx, spec["champion"])
        name = versions.next_name(tx, spec["deployment"])
        data = datasets.get(tx, self.held.row["dataset_id"])
        card = {"spec": spec, "dataset": data["digest"], "pairs": data["card"].get("pairs", {}), **examples}
        version = ModelVersion(
            name=name,
            digest=digest,
            kind="base" if spec.get("finetuning_type") == "full" else "adapter",
            base=champion.base,
            path=path,
            created_at=self.clock(),
            parent=champion.name,
            run=self.held.uuid,
            card=card,
        )
        versions.register(tx, version, actor=ACTOR)
        return name


def compose(spec: dict[str, Any], champion: ModelVersion, settings: Settings, examples: int) -> dict[str, Any]:
    """What the child is told: the served version is both where training starts and the reference."""
    most = math.ceil(MOST_PASSES * examples / int(spec["pairs_per_step"]))
    return {
        "base_model": str(settings.chat_path),
        "trainer": spec["trainer"],
        "finetuning_type": spec.get("finetuning_type", "lora"),
        "init_adapter": str(settings.home / champion.path) if champion.kind == "adapter" else None,
        "init_model": str(settings.home / champion.path) if champion.is_whole else None,
        "reference": "init",
        "reference_cache": str(settings.home / "cache" / "reference"),
        "pairs": TRAIN,
        "held_out": HELD_OUT,
        "encoder": str(settings.encoder_path),
        "texts": TEXTS,
        "adapt_steps": spec.get("adapt_steps"),
        "seed": int(spec["seed"]),
        "max_steps": min(int(spec["steps"]), most),
        "lr": float(spec["lr"]),
        "beta": float(spec["beta"]),
        "pairs_per_step": int(spec["pairs_per_step"]),
        # Runs that were proposed before these were settings have the trainer's defaults.
        **{name: spec[name] for name in ("tokens_per_batch", "precision") if name in spec},
        "device": spec["device"],
        "threads": settings.retrain.threads or count_threads(settings),
        "devices": settings.retrain.devices,
        "checkpoint_every_s": settings.retrain.checkpoint_seconds,
    }


def count_threads(settings: Settings) -> int:
    """The processor threads of a run whose settings name none."""
    if settings.retrain.engine == "ray_jobs":
        return max(1, int(settings.retrain.ray_cpus))
    # The other half is the model server's: threads that wait for each other take several times as long.
    return max(1, (os.cpu_count() or 1) // 2)


def is_whole(comparison: Path) -> bool:
    """Whether the file says all that the gate asks for; one that an earlier release wrote may not."""
    return comparison.exists() and json.loads(comparison.read_text("utf-8")).keys() >= COMPARED


def _members(tx: Tx, id: int) -> tuple[Any, Any]:
    return datasets.members(tx, id, "train"), datasets.members(tx, id, "held_out")


def describe_examples(folder: Path) -> dict[str, Any]:
    """What the card says of a run's thumbs and of the texts it adapted to: how many, the digest of their file, and how
    many thumbs customs left out for what; nothing when it trained on pairs alone.
    """
    told = {name: _describe(folder / file) for name, file in _LOTS.items() if (folder / file).exists()}
    if "thumbs" in told:
        told["thumbs"]["left_out"] = dict(Counter(flag for item in _read_left_out(folder) for flag in item["flags"]))
    return told


def _describe(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"rows": data.count(b"\n"), "digest": hashlib.sha256(data).hexdigest()}


def _read_left_out(folder: Path) -> list[dict[str, Any]]:
    path = folder / LEFT_OUT
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return found


def measure_speed(folder: Path) -> float | None:
    """Training tokens a second over the whole run, as its end told; None when it did not."""
    ends = [event for event in read_events(folder / "progress.jsonl") if event.get("event") == "end"]
    told = next((event for event in ends if event.get("tokens") and event.get("seconds")), None)
    return round(told["tokens"] / told["seconds"], 1) if told else None
