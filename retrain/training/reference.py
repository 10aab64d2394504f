"""The frozen reference's log-probabilities of examples of two answers: scored once, found again by every run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

from retrain.training.batches import count_tokens, make_micros
from retrain.training.policy import Policy, digest_folder
from retrain.training.ranks import ALONE, Ranks
from retrain.training.reference_cache import ReferenceCache, reference_key
from retrain.training.rows import Group
from retrain.training.trainer import Job


class Example(Group, Protocol):
    """Two sequences of one prompt; `key` digests both."""

    @property
    def key(self) -> str: ...


def open_cache(job: Job, policy: Policy) -> ReferenceCache:
    """The cache of the run's reference: of its model, adapter, template and precision."""
    spec = job.spec
    use_init = spec.reference == "init" and spec.init_adapter
    adapter = digest_folder(Path(spec.init_adapter)) if use_init and spec.init_adapter else "base"
    if not policy.adapted:
        # Weights that train are kept in fp32, and an adapter is added into them: both give other last digits.
        adapter = f"whole {adapter}"
    model = digest_folder(Path(spec.init_model or spec.base_model))
    name = reference_key(model, adapter, policy.tokenizer, policy.hardware.precision)
    folder = Path(spec.reference_cache) if spec.reference_cache else job.folder / "reference"
    return ReferenceCache(folder, name)


def score_reference(job: Job, policy: Policy, examples: Sequence[Example]) -> ReferenceCache | None:
    """The cache with a value for each of `examples`; None after a stop, with what was scored by then kept.

    `policy` must be as it starts: its adapter, if the run continues one, is the reference; where all weights train they
    are it themselves.
    """
    import torch

    spec = job.spec
    cache = open_cache(job, policy)
    unique = find_waiting(cache, examples, job.ranks)
    groups = [example.sequences for example in unique]
    policy.model.eval()
    off = policy.adapted and (spec.reference == "base" or not spec.init_adapter)
    done = 0
    micros = make_micros(groups, spec.row_tokens, spec.tokens_per_batch, policy.padding, policy.share)
    with torch.no_grad(), policy.as_base() if off else nullcontext():
        for micro in job.ranks.deal(micros):
            if job.stop():
                return None
            # A row an example: whether it was scored now, by whichever rank, and both values.
            found = torch.zeros(len(unique), 3, dtype=torch.float64, device=job.ranks.device)
            scores = policy.score(micro.batch).view(-1, 2).to(found)
            found[micro.groups] = micro.weight * torch.nn.functional.pad(scores, (1, 0), value=1.0)
            told = job.ranks.add(found).cpu()
            rows = [(unique[i].key, *told[i, 1:].tolist()) for i in told[:, 0].nonzero()[:, 0].tolist()]
            cache.put(rows, keep=job.ranks.is_first)
            done += len(rows)
            job.progress.write("reference", step=done, of=len(unique))
    return cache


def count_waiting(job: Job, policy: Policy, examples: Sequence[Example]) -> int:
    """About the tokens of those of `examples` that the reference has not scored yet."""
    waiting = find_waiting(open_cache(job, policy), examples)
    return count_tokens([example.sequences for example in waiting])


def find_waiting(cache: ReferenceCache, examples: Sequence[Example], ranks: Ranks = ALONE) -> list[Example]:
    """Those of `examples` without a value, each content once.

    `ranks` agree on them: each read the cache at a moment of its own, and another run may be writing into it.
    """
    import torch

    every = list({example.key: example for example in examples}.values())
    waiting = set(cache.missing(example.key for example in every))
    told = torch.tensor([float(example.key in waiting) for example in every], device=ranks.device)
    return [example for example, lacks in zip(every, ranks.add(told).tolist(), strict=True) if lacks]
