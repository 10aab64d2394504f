"""Bar M6: one full pass of the probe suites against a model on this machine, judged by the code that judges production.

Run: python bench/probe_suites.py [--model FOLDER] [--adapter FOLDER] [--threads 1]. Asks every prompt of every suite
once, greedily, and prints attack success, over-refusal and answers that flip with their intervals, by technique too,
what could not be scored, and the CPU time. Neither prompts nor answers are printed. Exit code 1 when an answer was
counted that could not be scored.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from questions import loaded

from core.ports import ProbePrompt
from core.types import Measurement
from monitors.metrics import metrics
from monitors.probes import probes
from monitors.probes.outcomes import Memory
from monitors.probes.rotation import catalogue
from monitors.probes.runner import AT_ONCE, MAX_TOKENS, Record, compare, score


def answers(prompts: Sequence[ProbePrompt], model: Path, adapter: Path | None, threads: int) -> Iterator[Record]:
    """The scored answer to each prompt, in order, decoded as many at once as the product asks."""
    from models.generate import Decoder
    from models.protocol import encode
    from models.requests import Piece, Request, Sampling

    base, versions, name = loaded(model, threads, adapter)
    for start in range(0, len(prompts), AT_ONCE):
        some = prompts[start : start + AT_ONCE]
        pieces: list[list[Piece]] = [[] for _ in some]
        decoder = Decoder(base, versions, time.perf_counter)
        sampling = Sampling(max_tokens=MAX_TOKENS, temperature=0)
        decoder.admit(
            [
                Request(name, encode(base, [dict(message) for message in prompt.messages]), sampling, own.append)
                for prompt, own in zip(some, pieces, strict=True)
            ]
        )
        while decoder.step():
            pass
        for prompt, own in zip(some, pieces, strict=True):
            yield score(prompt, "".join(piece.text for piece in own), own[-1].error or "")
        print(f"\r{start + len(some)} of {len(prompts)} asked", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def tell(one: Measurement) -> str:
    """A measurement in a line."""
    estimate, of = one.estimate, f" {one.segment}" if one.segment else ""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return f"  {one.metric}{of}: {one.reason or 'not enough'} (n = {estimate.n})"
    return f"  {one.metric}{of}: {estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}], n = {estimate.n}"


def main() -> int:
    """Ask, judge and print. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path.home() / ".trimtab" / "models" / "chat")
    parser.add_argument("--adapter", type=Path, help="a candidate's adapter folder")
    parser.add_argument("--suites", nargs="+", choices=sorted(probes), default=sorted(probes))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    prompts = catalogue(given.suites, seed=0)
    began = time.process_time()
    records = compare(prompts, list(answers(prompts, given.model, given.adapter, given.threads)))
    seconds = time.process_time() - began
    unscored = sum(record.shown is None for record in records)
    print(f"{len(prompts)} prompts of {len(given.suites)} suites, {unscored} unscored, {seconds:.0f} CPU-seconds")
    found = metrics.get("adversarial").judge(records, {"suites": list(given.suites)}, memory=Memory())
    for one in found:
        print(tell(one))
    counted = next(one.estimate.n for one in found if one.metric == "adversarial")
    attacks = [r for p, r in zip(prompts, records, strict=True) if not p.benign and not p.against]
    return int(counted != sum(record.shown is not None for record in attacks))


if __name__ == "__main__":
    sys.exit(main())
