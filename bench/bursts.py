"""Bar M1, bursts of one user: how many histories alarm because somebody talks much in one conversation, and no more.

Single questions of clinc150 in a random order are the traffic. "burst": after the reference, three users one after the
other ask 300 more questions each on one intent, in one conversation, and are refused each time. "sessions": everybody
goes on about one intent, for five questions on the average, and each conversation is refused as a whole or not. The
monitors of prompts and answers that start enabled share one budget and read the traffic as a backtest does: of each
conversation its first exchange. With --every-exchange the requests name no conversation, so that each is a unit of its
own. Run: python bench/bursts.py --processes 2. Resumable: every finished history is a line of <cache>/bursts.jsonl;
--fresh forgets them. Exit code 1 when the upper 95 % limit of a share of alarms exceeds 1.5 times its budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import product

import chat
import numpy as np
from clinc import Corpus, load
from histories import Job, Outcome, at_budgets, code_of, finish, options, seed, share
from monitors_false_alarms import watched

from core.types import Inference
from monitors.backtest import backtest, replayable, share_out

KINDS = ("burst", "sessions")
REFUSED = 0.05
REFUSAL, ANSWER = "I cannot help with that.", "Here is what you asked for, as far as I know."
TALKATIVE, LONG = 3, 300
SESSION = 5
Said = list[tuple[int, int, bool]]  # of each exchange the row of its question, its conversation, whether it was refused


@dataclass
class Known:
    """An encoder that knows every text of the corpus."""

    corpus: Corpus

    def __post_init__(self) -> None:
        self.rows = dict(zip(self.corpus.texts, self.corpus.rows, strict=True))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return the embeddings of the texts, (n, d)."""
        return np.stack([self.rows[text] for text in texts])


def said(corpus: Corpus, rng: np.random.Generator, kind: str, reference: int, events: int) -> tuple[Said, int]:
    """Return the exchanges of a history of reference + events conversations, and how many of them the reference has."""
    asked = rng.permutation(23_700)[: reference + events]
    refused = rng.random(len(asked)) < REFUSED
    out: Said = []
    first = 0
    loud = set((reference + rng.choice(events, TALKATIVE, replace=False)).tolist()) if kind == "burst" else set()
    for number, (row, bad) in enumerate(zip(asked.tolist(), refused.tolist(), strict=True)):
        if number == reference:
            first = len(out)
        out.append((row, number, bad))
        more = LONG if number in loud else int(rng.geometric(1 / SESSION)) - 1 if kind == "sessions" else 0
        same = np.flatnonzero(corpus.intents == corpus.intents[row]) if more else []
        out += [(int(rng.choice(same)), number, bad or number in loud) for _ in range(more)]
    return out, first


def watch(corpus: Corpus, encoder: Known, reference: int, events: int, job: Job) -> Outcome:
    """Return one history's outcome: which monitors alarmed."""
    rng = np.random.default_rng([20261128, job["run"], *job["kind"].encode()])
    exchanges, first = said(corpus, rng, job["kind"], reference, events)
    rows = [
        Inference(
            str(place),
            chat.AT + timedelta(seconds=place),
            "a",
            "v",
            "live",
            [],
            corpus.texts[row],
            REFUSAL if bad else ANSWER,
            conversation=str(number) if job["conversations"] else "",
            id=place + 1,
        )
        for place, (row, number, bad) in enumerate(exchanges)
    ]
    names = [name for name in watched(False, 0) if name in replayable()]
    alarmed = []
    for name, alpha in share_out(job["budget"], names).items():
        looks = backtest(
            name, rows, reference=first, every=100, budget=alpha, encoder=encoder, seed=seed(name, job["run"])
        )
        if any(look.alarm for look in looks):
            alarmed.append(name)
    return {"alarmed": alarmed}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--reference", type=int, default=1000, help="conversations in every reference")
    parser.add_argument("--events", type=int, default=3000, help="conversations after it")
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--every-exchange", action="store_true")
    args = parser.parse_args()
    corpus = load(args)
    setting = {"reference": args.reference, "events": args.events, "code": code_of(watched(False, 0))}
    kinds = [{"kind": kind, "conversations": not args.every_exchange} for kind in args.kinds]
    jobs = [{**kind, **job} for kind in kinds for job in at_budgets(args)]
    work = partial(watch, corpus, Known(corpus), args.reference, args.events)
    done = finish(args, "bursts.jsonl", setting, jobs, work)
    kept = True
    for kind, budget in product(kinds, args.budgets):
        own = [outcome["alarmed"] for outcome in done if {**outcome, **kind, "budget": budget} == outcome]
        words, inside = share(sum(map(bool, own)), len(own), budget)
        by = {name: sum(name in names for names in own) for name in sorted({name for names in own for name in names})}
        unit = "every exchange" if args.every_exchange else "conversations"
        print(f"{kind['kind']}, {unit}, budget {budget}: {words}; {by}", flush=True)
        kept &= inside
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
