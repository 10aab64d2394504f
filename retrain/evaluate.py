"""The child process that judges a run's candidate on its held-out pairs: `python -m retrain.evaluate RUN_DIR`.

Writes evaluation.json (each version with its interval, the paired difference) and evaluation_pairs.jsonl.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, TrimtabError
from retrain import probed, shared
from retrain.artefacts import find_candidate
from retrain.ending import Stopped, StopRequest, carry_out
from retrain.learnt import by_topic, question
from retrain.training.calibration import calibrate
from retrain.training.checkpoint import write_whole
from retrain.training.norms import describe_update
from retrain.training.policy import choose_hardware
from retrain.training.progress import Progress
from retrain.training.scoring import Scorer, Scores, ranking_hits, reward_hits, summarise
from retrain.training.spec import PairText, RunSpec, load_spec, read_pairs
from retrain.training.thumbs import read_thumbs
from retrain.training.trainer import DONE

CHAMPION, CANDIDATE = "champion", "candidate"


def evaluate(folder: Path, progress: Progress, stop: Callable[[], bool], clock: Callable[[], float]) -> dict[str, Any]:
    """Score the run's held-out pairs and write both files; returns what evaluation.json holds."""
    spec = load_spec(folder)
    if spec.held_out is None:
        raise InvalidInput("The run names no held-out pairs.", "Set held_out in spec.json.")
    pairs = read_pairs(folder / spec.held_out)
    if not pairs:
        raise InvalidInput(f"{spec.held_out} holds no pairs.", "Hold some pairs out and start again.")
    candidate = find_candidate(folder, spec.product)
    hardware = choose_hardware(spec.device, spec.precision, spec.threads)
    began = clock()

    def tell(done: int, of: int, **more: Any) -> None:
        if stop():
            raise Stopped
        progress.write("evaluate", step=done, of=of, **more)

    def tell_left(done: int, of: int, share: float) -> None:
        tell(done, of, eta_s=(clock() - began) / share * (1 - share))

    scorer = Scorer(
        Path(spec.base_model),
        {CHAMPION: spec.start, CANDIDATE: candidate},
        hardware=hardware,
        max_length=spec.max_length,
        row_tokens=spec.row_tokens,
        tokens_per_batch=spec.tokens_per_batch,
    )
    scores = scorer.score(pairs, tell_left)
    result = {
        "pairs": len(scores.ids),
        "prompts": len(set(scores.prompts)),
        "skipped_too_long": len(scores.skipped),
        "device": hardware.name,
        "precision": hardware.precision,
        **summarise(scores, CANDIDATE, CHAMPION),
        "calibration": calibrate(scores, CANDIDATE, CHAMPION, beta=spec.beta),
        **find_learnt(scores, pairs, spec.encoder),
        "update": describe_update(candidate, spec),
    }
    if (found := shared.read_shared(folder)) is not None:
        result["shared_prompts"] = found
    if (phrases := probed.read_suspects(folder, read_prompts(folder, spec), seed=spec.seed)) is not None:
        result["poison"] = probed.probe(
            scorer, phrases, pairs, scores, candidate=CANDIDATE, champion=CHAMPION, seed=spec.seed, report=tell
        )
    write_whole(folder / "evaluation_pairs.jsonl", "".join(json.dumps(row) + "\n" for row in list_rows(scores)))
    result["seconds"] = round(clock() - began, 2)
    told: dict[str, Any] = {name: result[name] for name in ("topics", "topics_missing") if name in result}
    if found := result.get("poison"):
        check = probed.judge_poison(found)
        told["poison"] = " ".join(filter(None, (check.reason, check.details.get("note"))))
    write_whole(folder / "evaluation.json", json.dumps(result, default=plain, indent=2) + "\n")
    progress.write("evaluated", pairs=len(scores.ids), seconds=result["seconds"], **told)
    return result


def read_prompts(folder: Path, spec: RunSpec) -> list[Any]:
    """The prompts that the run trained on."""
    if spec.trainer == "kto":
        return [thumb.prompt for thumb in read_thumbs(folder / spec.thumbs)]
    return [pair.prompt for pair in read_pairs(folder / spec.pairs)] if spec.trainer == "dpo" else []


def find_learnt(scores: Scores, pairs: Sequence[PairText], encoder: str | None) -> dict[str, Any]:
    """What the candidate learnt beyond the champion, by topic of the prompts ("topics"); without an encoder that can be
    used there is none, and "topics_missing" says why."""
    from models.encoder import Encoder

    told = {pair.id: question(pair) for pair in pairs}
    asked = [told[identifier] for identifier in scores.ids]
    try:
        if not encoder:
            raise InvalidInput("The run names no encoder.", "Name its folder in the spec.")
        vectors = Encoder(Path(encoder)).embed(asked)
    except Exception as error:  # whatever it is, hours of training are not lost for it
        kind = f"The encoder failed with {type(error).__name__}."
        return {"topics": [], "topics_missing": str(error) if isinstance(error, TrimtabError) else kind}
    new, old = reward_hits(scores, CANDIDATE), reward_hits(scores, CHAMPION)
    return {"topics": by_topic(new, old, asked, scores.prompts, vectors)}


def list_rows(scores: Scores) -> list[dict[str, Any]]:
    """One record a pair: its log-probabilities and hits under each version."""
    hits = {name: (reward_hits(scores, name), ranking_hits(scores, name)) for name in scores.versions}
    rows: list[dict[str, Any]] = []
    for index, identifier in enumerate(scores.ids):
        row: dict[str, Any] = {"id": identifier}
        for name, values in scores.versions.items():
            reward, ranking = hits[name]
            row[name] = asdict(values[index]) | {"reward_hit": reward[index], "ranking_hit": ranking[index]}
        rows.append(row)
    return rows


def plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(type(value).__name__)


def main(arguments: list[str] | None = None) -> int:
    """Evaluate the run in the folder named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m retrain.evaluate", description="Judge a run's candidate.")
    parser.add_argument("folder", type=Path, help="folder of a run whose training has ended")
    given = parser.parse_args(arguments)
    stop = StopRequest()
    stop.install()
    progress = Progress(given.folder / "progress.jsonl")

    def work() -> int:
        evaluate(given.folder, progress, lambda: stop.asked, time.monotonic)
        return DONE

    return carry_out(progress, "evaluate", work)


if __name__ == "__main__":
    sys.exit(main())
