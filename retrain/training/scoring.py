"""How well versions of a model tell chosen answers from rejected ones, on pairs that none of them trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.types import Estimate
from estimates.means import mean, paired_difference
from models.artefacts import inspect, is_adapter
from retrain.pairs.split import normalise
from retrain.training.batches import make_micros
from retrain.training.encoding import EncodedPair, encode_pairs
from retrain.training.lora import fuse
from retrain.training.policy import Hardware, Policy, load_base, load_tokenizer, quiet
from retrain.training.spec import PairText

BASE = "base"


@dataclass(frozen=True, slots=True)
class PairScore:
    """Summed log-probabilities of a pair's answers under one version, nats, and the answers' tokens."""

    chosen: float
    rejected: float
    chosen_tokens: int
    rejected_tokens: int

    @property
    def mean_chosen(self) -> float:
        """Log-probability a token of the chosen answer."""
        return self.chosen / self.chosen_tokens

    @property
    def mean_rejected(self) -> float:
        """Log-probability a token of the rejected answer."""
        return self.rejected / self.rejected_tokens


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of every version, "base" included, in the order of `ids`; `prompts` names each pair's prompt."""

    ids: list[str]
    prompts: list[str]
    versions: dict[str, list[PairScore]]
    skipped: list[str]


class Scorer:
    """The base model with each of `versions`, loaded once: the folder of an adapter on it, or of a whole model.

    None is the base itself and shares its scores.
    """

    def __init__(
        self,
        base: Path,
        versions: Mapping[str, Path | None],
        *,
        hardware: Hardware,
        max_length: int = 1024,
        row_tokens: int = 256,
        tokens_per_batch: int = 1024,
    ) -> None:
        from peft import PeftModel

        self.max_length, self.row_tokens, self.tokens_per_batch = max_length, row_tokens, tokens_per_batch
        self.versions = versions
        folders = {name: path for name, path in versions.items() if path is not None and name != BASE}
        self.tuned = {name: path for name, path in folders.items() if is_adapter(path)}
        tokenizer = load_tokenizer(base)
        self.model = load_base(base, hardware)
        with quiet():
            for number, path in enumerate(self.tuned.values()):
                inspect(path, needs=("adapter_config.json", "adapter_model.safetensors"))
                # peft makes module names of adapter names, which a version's name need not be.
                if number == 0:
                    self.model = PeftModel.from_pretrained(self.model, str(path), adapter_name="v0")
                else:
                    self.model.load_adapter(str(path), adapter_name=f"v{number}")
        fuse(self.model)
        self.policy = Policy(self.model, tokenizer, hardware)
        self.whole = {
            name: Policy(load_base(path, hardware), tokenizer, hardware)
            for name, path in folders.items()
            if name not in self.tuned
        }
        for policy in (self.policy, *self.whole.values()):
            policy.model.eval()
        self._checked = False

    def score(
        self,
        pairs: Sequence[PairText],
        report: Callable[[int, int, float], None] = lambda done, of, share: None,
        *,
        with_base: bool = True,
    ) -> Scores:
        """Score `pairs` under every version and the base; without it only where an adapter stands for the base.

        `report(done, of, share)` is called after each batch, in pairs times versions and as the share of all tokens, as
        the longest pairs come first; what it raises ends the scoring.
        """
        import torch

        encoded, skipped = encode_pairs(self.policy.tokenizer, pairs, self.max_length)
        texts = {pair.id: pair for pair in pairs}
        prompts = [normalise(texts[pair.id].prompt) for pair in encoded]
        plain = [name for name, folder in self.versions.items() if folder is None]
        wanted = [BASE] * (with_base or bool(plain)) + list(self.tuned) + list(self.whole)
        versions: dict[str, list[PairScore]] = {}
        with torch.no_grad():
            if encoded and not self._checked:
                least = min(encoded, key=lambda pair: (len(pair.chosen.ids) + len(pair.rejected.ids), pair.id))
                for policy in (self.policy, *self.whole.values()):
                    policy.check_rows(least)
                self._checked = True
            for turn, name in enumerate(wanted):

                def told(done: int, share: float, turn: int = turn) -> None:
                    report(turn * len(encoded) + done, len(encoded) * len(wanted), (turn + share) / len(wanted))

                with self._as(name) as policy:
                    versions[name] = score_version(policy, encoded, self.row_tokens, self.tokens_per_batch, told)
        for name in plain:
            versions[name] = versions[BASE]
        return Scores([pair.id for pair in encoded], prompts, versions, skipped)

    @contextmanager
    def _as(self, name: str) -> Iterator[Policy]:
        """What scores as the version `name` while the context lasts."""
        if name in self.whole:
            yield self.whole[name]
        elif name != BASE:
            self.model.set_adapter(f"v{list(self.tuned).index(name)}")
            yield self.policy
        elif self.tuned:
            with self.policy.as_base():
                yield self.policy
        else:
            yield self.policy


def score_pairs(
    base: Path,
    versions: Mapping[str, Path | None],
    pairs: Sequence[PairText],
    *,
    hardware: Hardware,
    row_tokens: int = 256,
) -> Scores:
    """`Scorer.score` of one lot of pairs."""
    return Scorer(base, versions, hardware=hardware, row_tokens=row_tokens).score(pairs)


def score_version(
    policy: Policy,
    pairs: Sequence[EncodedPair],
    row_tokens: int,
    tokens_per_batch: int,
    report: Callable[[int, float], None],
) -> list[PairScore]:
    scores: dict[int, PairScore] = {}
    groups = [pair.sequences for pair in pairs]
    sizes = [sum(len(sequence.ids) for sequence in group) for group in groups]
    whole, computed = sum(sizes), 0
    for micro in make_micros(groups, row_tokens, tokens_per_batch, policy.padding, policy.share):
        values = policy.score(micro.batch).cpu().tolist()
        for place, index in enumerate(micro.groups):
            pair = pairs[index]
            lengths = len(pair.chosen.completion), len(pair.rejected.completion)
            scores[index] = PairScore(values[2 * place], values[2 * place + 1], *lengths)
        computed += sum(sizes[index] for index in micro.groups)
        report(len(scores), computed / whole)
    return [scores[index] for index in range(len(pairs))]


def reward_hits(scores: Scores, version: str) -> list[float]:
    """1 where the version's reward margin against the base is positive, one half at a tie, else 0; a value a pair.

    The margin is measured against the fixed base model, so that versions of one chain are compared on one scale.
    """
    return [step(margin) for margin in reward_margins(scores, version)]


def reward_margins(scores: Scores, version: str) -> list[float]:
    """By how many nats the version prefers the chosen answer to the rejected one beyond what the base does."""
    return [
        (v.chosen - b.chosen) - (v.rejected - b.rejected)
        for v, b in zip(scores.versions[version], scores.versions[BASE], strict=True)
    ]


def ranking_hits(scores: Scores, version: str) -> list[float]:
    """1 where the version finds the chosen answer likelier a token than the rejected one, one half at a tie, else 0."""
    return [step(score.mean_chosen - score.mean_rejected) for score in scores.versions[version]]


def step(value: float) -> float:
    return 0.5 if value == 0 else float(value > 0)


def accuracy(hits: Sequence[float], prompts: Sequence[str]) -> Estimate:
    """The share of hits, with an interval that takes pairs of one prompt as one draw."""
    return mean(hits, low=0.0, high=1.0, clusters=list(prompts))


def difference(new: Sequence[float], old: Sequence[float], prompts: Sequence[str]) -> Estimate:
    """The paired difference of two versions' hits, clustered by prompt."""
    return paired_difference(new, old, clusters=list(prompts))


def summarise(scores: Scores, candidate: str, champion: str) -> dict[str, Any]:
    """Accuracy and ranking of each version and the paired differences candidate - champion, all as Estimates."""
    hits = {name: (reward_hits(scores, name), ranking_hits(scores, name)) for name in scores.versions}
    return {
        "versions": {
            name: {"accuracy": accuracy(reward, scores.prompts), "ranking": accuracy(ranking, scores.prompts)}
            for name, (reward, ranking) in hits.items()
        },
        "difference": {
            "accuracy": difference(hits[candidate][0], hits[champion][0], scores.prompts),
            "ranking": difference(hits[candidate][1], hits[champion][1], scores.prompts),
        },
    }
