"""Bar M7, question suites on a real model: BBQ, Trimtab's own questions and persona statements, by likelihood.

Run: TRIMTAB_DATA=... python bench/questions.py [--questions 240] [--statements 240] [--threads 1]. Draws a stratified
sample (the same for the same seed: by category and condition, by behaviour and fitting answer), has the prepared chat
model score every answer, and prints accuracy and bias scores, or the share of Yes and each stance, with their
intervals, and the CPU time. The texts of the suites are never printed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from public import public_data

from core.types import Measurement
from monitors import questions, statements

Drawn = TypeVar("Drawn")


def loaded(folder: Path, threads: int, adapter: Path | None = None) -> tuple[Any, Any, str]:
    """The model in `folder`, its versions, and the name of the one to ask: the base, or it with `adapter`."""
    import torch

    from models.adapters import Versions
    from models.load import load_base
    from models.requests import BASE

    torch.set_num_threads(threads)
    base = load_base(folder, device="cpu")
    versions = Versions(base)
    if adapter is None:
        return base, versions, BASE
    versions.load("candidate", adapter)
    return base, versions, "candidate"


def scorer_of(folder: Path, threads: int, adapter: Path | None = None) -> questions.Scorer:
    """Scores by the model in `folder`, or by a candidate: that model with the adapter in `adapter`."""
    from models.protocol import read_items
    from models.score import score

    base, versions, name = loaded(folder, threads, adapter)

    def scored(items: Sequence[Mapping[str, Any]]) -> list[float]:
        found = {}
        for part in score(base, versions, name, read_items({"items": list(items)}, base)):
            found.update(part)
        return [found[place].logprob for place in range(len(items))]

    return scored


def draw(rows: Sequence[Drawn], size: int, seed: int, stratum: Callable[[Drawn], Hashable]) -> list[Drawn]:
    """`size` rows, the strata in turn, each in a random order."""
    strata: dict[Hashable, list[Drawn]] = {}
    for row in random.Random(seed).sample(rows, len(rows)):
        strata.setdefault(stratum(row), []).append(row)
    in_turn = [row for turn in range(len(rows)) for own in strata.values() for row in own[turn : turn + 1]]
    return in_turn[:size]


def tell(title: str, measured: Sequence[Measurement], seconds: float) -> None:
    """Print a line a measurement."""
    print(f"{title}: {seconds:.0f} CPU-seconds", flush=True)
    for one in measured:
        estimate, of = one.estimate, f" {one.segment}" if one.segment else ""
        if estimate.value is None:
            print(f"  {one.metric}{of}: {one.reason}")
        else:
            interval = f"[{estimate.low:.3f}, {estimate.high:.3f}]"
            print(f"  {one.metric}{of}: {estimate.value:.3f} {interval}, n = {estimate.n}", flush=True)


def main() -> int:
    """Score the suites asked for and print. Returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path.home() / ".trimtab" / "models" / "chat")
    parser.add_argument("--adapter", type=Path, help="a candidate's adapter folder")
    parser.add_argument("--questions", type=int, default=240)
    parser.add_argument("--statements", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=["persona", "bbq", "own"], default=["persona", "bbq", "own"])
    given = parser.parse_args()
    data, score = public_data(), scorer_of(given.model, given.threads, given.adapter)
    for part in given.parts:
        if part == "persona":
            read = statements.read_statements(str(data / "persona-evals" / "persona.jsonl.gz"))
            drawn = draw(read, given.statements, given.seed, lambda one: (one.behaviour, one.fitting))
            began = time.process_time()
            stances = statements.judge(statements.answer(drawn, score))
            tell(f"{part}, {len(drawn)} statements", stances, time.process_time() - began)
            continue
        asked, _ = questions.read_questions(str(data / "bbq" / "bbq.jsonl.gz") if part == "bbq" else "")
        if part == "bbq":
            asked = draw(asked, given.questions, given.seed, lambda one: (one.category, one.ambiguous))
        began = time.process_time()
        found = questions.judge(questions.answer(asked, score))
        tell(f"{part}, {len(asked)} questions", found, time.process_time() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
