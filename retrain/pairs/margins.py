"""What the chat model itself says of a lot's labels: which pairs it is asked about, in which folds, and its answers.

A child process answers (retrain.crossfit). Both sides meet in a folder: `task.json` and `pairs.jsonl` ask,
`margins.json` answers. Pairs are known by their content, so that one whose label was turned round since is another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput
from core.settings import Settings
from core.types import PreferencePair
from models.prepare import read_manifest
from retrain.pairs.customs.lot import HELD_OUT, REFERENCE, Lot
from retrain.pairs.customs.papers import Papers
from retrain.pairs.customs.personal import Personal
from retrain.pairs.customs.preference import FEWEST_GROUPS, deal
from retrain.pairs.customs.shape import Shape
from retrain.pairs.split import spread
from retrain.training.checkpoint import write_whole
from retrain.training.spec import PairText, RunSpec, parse_spec, read_pairs
from store.pairs import content_digest

FOLDER, TASK, PAIRS, ANSWER = "customs", "task.json", "pairs.jsonl", "margins.json"
# Each more lets a fit see a little more of the lot, and costs another fit.
FOLDS = 4
Floats = NDArray[np.float64]
# By kind (REFERENCE, HELD_OUT) the margin of each pair that was asked about, by its content.
Known = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Task:
    """What the child is asked: `pairs` in the order in which fits draw them, the fold of each, and how to fit.

    Without folds only the margin under the model as it is is asked for.
    """

    spec: RunSpec
    pairs: list[PairText]
    folds: list[int]

    @property
    def fits(self) -> list[int]:
        """The folds that can be left out: something remains to learn from."""
        return [fold for fold in sorted(set(self.folds)) if self.learning(fold)]

    def only(self, names: Collection[str]) -> Task:
        """The task without the pairs of other names."""
        if not self.folds:
            return replace(self, pairs=[pair for pair in self.pairs if pair.id in names])
        kept = [(pair, fold) for pair, fold in zip(self.pairs, self.folds, strict=True) if pair.id in names]
        return replace(self, pairs=[pair for pair, _ in kept], folds=[fold for _, fold in kept])

    def learning(self, fold: int) -> list[PairText]:
        """The pairs of the other folds that fit `fold`, each once, as many as the spec's steps take."""
        most = (self.spec.max_steps or 0) * self.spec.step_pairs
        return [pair for pair, own in zip(self.pairs, self.folds, strict=True) if own != fold][:most]

    def left_out(self, fold: int) -> list[PairText]:
        """The pairs of `fold`."""
        return [pair for pair, own in zip(self.pairs, self.folds, strict=True) if own == fold]

    def fit(self, fold: int) -> RunSpec:
        """The spec of the fit that leaves `fold` out: once through what it learns from."""
        return replace(self.spec, max_steps=max(1, math.ceil(len(self.learning(fold)) / self.spec.step_pairs)))


def compose(settings: Settings, *, threads: int, seed: int) -> RunSpec:
    """How the model is fitted: from the base, with the base as its reference.

    The version that serves may have learnt these very pairs, turned labels and all, and would vouch for them.
    """
    told = settings.retrain
    return RunSpec(
        base_model=str(settings.chat_path),
        reference_cache=str(settings.home / "cache" / "reference"),
        held_out=None,
        seed=seed,
        max_steps=told.customs_steps,
        lr=told.learning_rate,
        beta=told.beta,
        pairs_per_step=told.pairs_per_step,
        tokens_per_batch=told.tokens_per_batch,
        precision=told.precision,
        device=told.device,
        threads=threads,
        checkpoint_every_s=told.checkpoint_seconds,
    )


def ask(folder: Path, pairs: Sequence[PreferencePair], spec: RunSpec, *, most: int, folds: bool, seed: int) -> bool:
    """Write into `folder` what the child is asked of at most `most` of those of `pairs` that a model may learn from;
    False with too few prompts to ask. The folder's files appear whole, the task last."""
    pairs = admit(pairs)
    places, dealt = plan(Lot(pairs, seed=seed).groups, keys(pairs), most=most, seed=seed)
    if not places:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    asked = [pairs[place] for place in places]
    rows = [PairText(key(pair), tuple(map(dict, pair.prompt)), pair.chosen, pair.rejected) for pair in asked]
    write_whole(folder / PAIRS, "".join(json.dumps(asdict(row)) + "\n" for row in rows))
    told = {"spec": asdict(spec), "folds": dealt if folds else []}
    write_whole(folder / TASK, json.dumps(told, indent=1, sort_keys=True) + "\n")
    return True


def plan(groups: NDArray[np.int64], names: Sequence[str], *, most: int, seed: int) -> tuple[list[int], list[int]]:
    """(places of the pairs to ask about, the fold of each): prompts in a seeded order, the first pair of each before
    the second of any, each content once; whole groups of near prompts in one fold. Empty below FEWEST_GROUPS."""
    first = {name: place for place, name in reversed(list(enumerate(names)))}
    members: dict[int, list[int]] = {}
    for place in sorted(first.values()):
        members.setdefault(int(groups[place]), []).append(place)
    if len(members) < FEWEST_GROUPS:
        return [], []
    order = np.random.default_rng(seed).permutation(sorted(members))
    places = spread([members[int(group)] for group in order], max(most, FEWEST_GROUPS))
    numbered = np.unique(groups[places], return_inverse=True)[1].astype(np.int64)
    return places, [int(fold) for fold in deal(numbered, FOLDS, seed=seed)]


def read_task(folder: Path) -> Task:
    """The task in `folder`. Raises InvalidInput where nothing was asked."""
    if not (folder / TASK).exists():
        raise InvalidInput(f"{folder} holds no {TASK}.", "Let a run or `trimtab pairs check --model` write one.")
    told = json.loads((folder / TASK).read_text("utf-8"))
    return Task(parse_spec(told["spec"]), read_pairs(folder / PAIRS), told["folds"])


def read(path: Path) -> Known:
    """The answer in the file `path`; nothing is known without it."""
    if not path.exists():
        return {}
    found: Known = json.loads(path.read_text("utf-8"))["margins"]
    return found


def close(folder: Path) -> Known:
    """The answer in `folder`, without the texts that were asked about: what was answered is known by digests."""
    (folder / PAIRS).unlink(missing_ok=True)
    return read(folder / ANSWER)


def keep(settings: Settings, answer: Path) -> None:
    """Make the file `answer` what `newest` finds, for checks that ask no model themselves."""
    place = _newest(settings)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, answer.read_text("utf-8"))


def newest(settings: Settings) -> Known:
    """What the prepared chat model said when a run last asked it; nothing where runs do not."""
    return read(_newest(settings)) if settings.retrain.customs_model != "off" else {}


def align(pairs: Sequence[PreferencePair], known: Known) -> dict[str, Floats]:
    """The margins of each kind in the order of `pairs`, NaN where nothing is known; kinds that know no pair are left
    out."""
    names = keys(pairs) if known else []
    views = {kind: np.array([told.get(name, np.nan) for name in names], float) for kind, told in known.items()}
    return {kind: view for kind, view in views.items() if kind in (REFERENCE, HELD_OUT) and not np.isnan(view).all()}


def admit(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """The pairs that a model may learn from, be it only for a look: their form, papers and contents allow it."""
    lot = Lot(pairs)
    held = {f.place for check in (Shape(), Papers(), Personal()) for f in check.run(lot).findings if f.holds}
    return [pair for place, pair in enumerate(pairs) if place not in held]


def keys(pairs: Sequence[PreferencePair]) -> list[str]:
    """What each pair is known by."""
    return [key(pair) for pair in pairs]


def key(pair: PreferencePair) -> str:
    """A digest of the pair's content."""
    return content_digest(pair.prompt, pair.chosen, pair.rejected)


def _newest(settings: Settings) -> Path:
    model = (read_manifest(settings.chat_path) or {}).get("digest", "unknown")
    return settings.home / "cache" / "customs" / f"{model[:16]}.json"
