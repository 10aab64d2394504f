"""What the benches of false alarms share: histories watched in parallel, kept line by line, and the share of alarms."""

import argparse
import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from clinc import options as places

from estimates.proportions import exact_limits

ROOT = Path(__file__).resolve().parent.parent
# What decides whether a monitor alarms, beside its own file.
PROCEDURES = (
    *(f"monitors/{folder}" for folder in ("statistics", "descriptors", "detectors")),
    *(f"monitors/{file}.py" for file in ("rates", "shares", "embedded", "rhythm")),
)
BAR = 1.5  # times the budget: the most that the upper limit of a share of alarms may be

Job = Mapping[str, object]  # what tells one history from the others; its "run" is its seed
Outcome = dict[str, object]


def options(description: str | None, *, runs: int = 600) -> argparse.ArgumentParser:
    """Return a parser with the places of `clinc.options`, the numbers of histories, and what to do with kept ones."""
    parser = places(description)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.05, 0.10])
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--first-run", type=int, default=0, help="number of the first history; others are fresh ones")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="forget the finished histories of this setting")
    return parser


def numbers(args: argparse.Namespace) -> range:
    """Return the numbers of the histories that `args` asks for."""
    return range(args.first_run, args.first_run + args.runs)


def at_budgets(args: argparse.Namespace) -> list[Job]:
    """Return every history that `args` asks for at each of its budgets."""
    return [{"budget": budget, "run": run} for run in numbers(args) for budget in args.budgets]


def code(*names: str) -> str:
    """Return a digest of the sources in these folders and files: histories that other code watched do not count."""
    found = [path for name in names for path in ((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name])]
    whole = hashlib.sha256()
    for path in sorted(path for path in found if path.suffix in (".py", ".json")):
        whole.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return whole.hexdigest()[:16]


def code_of(monitors: Iterable[str]) -> str:
    """Return the digest of what decides whether these monitors alarm."""
    return code(*PROCEDURES, *(f"monitors/metrics/{name}.py" for name in sorted(monitors)))


def seed(name: str, run: int) -> int:
    """Return the seed of a monitor's chances in a history, drawn as monitors.sequence draws an epoch's: with one seed
    for all, the monitors of one history would break their ties, and so alarm, together.
    """
    return int.from_bytes(hashlib.sha256(f"{name}/{run}".encode()).digest()[:4], "big")


def finish(
    args: argparse.Namespace,
    ledger: str,
    setting: Mapping[str, object],
    jobs: Sequence[Job],
    watch: Callable[[Job], Outcome],
) -> list[Outcome]:
    """Return what came of every job, with the job itself, in their order.

    What an earlier run of the same `setting` finished is read from the file `ledger` in the cache; `watch` does the
    rest, and each becomes a line of it at once, so that a run that is cut off goes on where it stopped.
    """
    path, setting = args.cache / ledger, json.loads(json.dumps(setting))
    kept = _lines(path)
    if args.fresh:
        kept = [row for row in kept if not _of(row, setting)]
        path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {_key(row, jobs[0]): row for row in kept if _of(row, setting)}
    left = [job for job in jobs if _key(job, job) not in done]
    # Workers inherit the corpus that `watch` holds: handed over with each job it would cost more than the watching.
    make = multiprocessing.get_context("fork").Pool(args.processes, _inherit, (watch,))
    with make as workers, path.open("a") as out:
        for made in workers.imap_unordered(_watch, left):
            row = {**made, **setting}
            out.write(json.dumps(row) + "\n")
            out.flush()
            done[_key(row, jobs[0])] = row
    return [done[_key(job, job)] for job in jobs]


def share(alarms: int, runs: int, budget: float) -> tuple[str, bool]:
    """Return the share of histories that alarm with its exact limits, in words, and whether it stays inside the bar."""
    low, high = exact_limits(alarms, runs)
    words = (
        f"{alarms} of {runs} histories alarm, share {alarms / runs:.4f}, 95 % limits {low:.4f} to {high:.4f}, bar "
        f"{BAR * budget:.3f}"
    )
    return words, high <= BAR * budget


_inherited: list[Callable[[Job], Outcome]] = []


def _inherit(watch: Callable[[Job], Outcome]) -> None:
    _inherited.append(watch)


def _watch(job: Job) -> Outcome:
    return {**job, **_inherited[0](job)}


def _lines(path: Path) -> list[Outcome]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def _of(row: Mapping[str, object], setting: Mapping[str, object]) -> bool:
    return all(row.get(name) == value for name, value in setting.items())


def _key(row: Mapping[str, object], job: Job) -> tuple[object, ...]:
    return tuple(row.get(name) for name in job)
