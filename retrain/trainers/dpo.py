"""Direct preference optimisation of a LoRA adapter, with the served version as its frozen reference."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput
from models.artefacts import digest
from retrain.training.batches import Micro, count_steps, make_micros, order_pairs
from retrain.training.checkpoint import Checkpoint, gather, load_checkpoint, publish, restore, save_checkpoint
from retrain.training.encoding import EncodedPair, encode_pairs
from retrain.training.losses import LOSSES, PER_TOKEN
from retrain.training.policy import Policy, choose_hardware, digest_folder, load_policy
from retrain.training.progress import peak_memory_mb
from retrain.training.reference_cache import ReferenceCache, reference_key
from retrain.training.rows import count_nodes
from retrain.training.spec import RunSpec, read_pairs
from retrain.training.trainer import DONE, STOPPED, TRAINERS, Forecast, Job

if TYPE_CHECKING:
    from torch import Tensor

TIMED_STEPS = 3


@TRAINERS.register
class Dpo:
    """Direct preference optimisation of a LoRA adapter, with the served version as its frozen reference."""

    def train(self, job: Job) -> int:
        import torch

        spec, progress = job.spec, job.progress
        began = job.clock()
        if (job.folder / "adapter" / "adapter_config.json").exists():
            progress.write("end", adapter=digest(job.folder / "adapter"), repeated=True)
            return DONE
        policy, train, skipped = prepare(job)
        held_out = read_held_out(job, policy)
        steps = count_steps(len(train), spec.step_pairs, spec.epochs, spec.max_steps)
        parameters = policy.trainable()
        optimizer = torch.optim.AdamW(list(parameters.values()), lr=spec.lr, weight_decay=spec.weight_decay, fused=True)
        identity = identify(spec, train)
        resumed = load_checkpoint(job.folder / "checkpoints", identity)
        # The reference is the policy as it starts, so it is scored before a checkpoint's weights come back.
        cache = score_reference(job, policy, [*train, *held_out])
        if cache is None:
            progress.write("stopped", step=resumed.state["step"] if resumed else 0, of=steps)
            return STOPPED
        first, tokens_done, spent = 0, 0, 0.0
        if resumed is not None:
            generators = restore(resumed.tensors, parameters, optimizer)
            set_generators(generators, policy.hardware.device)
            first, tokens_done = resumed.state["step"], resumed.state["tokens"]
            spent = resumed.state["seconds"]
        progress.write(
            "start",
            step=first,
            of=steps,
            pairs=len(train),
            held_out=len(held_out),
            skipped_too_long=len(skipped),
            device=policy.hardware.name,
            precision=policy.hardware.precision,
            shared_rows=policy.share,
            parameters=sum(p.numel() for p in parameters.values()),
            prepare_s=job.clock() - began,
        )
        policy.model.train()
        began = saved_at = job.clock()
        saved_step = first
        for step in range(first, steps):
            step_began = job.clock()
            rate = spec.lr * schedule(spec, step, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            # A stop inside a step throws its gradients away and keeps the state from before it.
            generators = get_generators(policy.hardware.device)
            pairs = [train[i] for i in order_pairs(len(train), step, spec.step_pairs, spec.seed)]
            figures = accumulate(job, policy, pairs, cache)
            if figures is None:
                optimizer.zero_grad(set_to_none=True)
                save(
                    job,
                    step,
                    identity,
                    gather(parameters, optimizer, generators),
                    tokens_done,
                    spent + job.clock() - began,
                )
                progress.write("stopped", step=step, of=steps)
                return STOPPED
            norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), spec.max_grad_norm)
            if not math.isfinite(float(norm)):
                raise InvalidInput(
                    f"Step {step + 1} gave a gradient that is not a number.", "Lower lr or use precision fp32."
                )
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            tokens_done += int(figures["tokens"])
            elapsed = job.clock() - step_began
            progress.write(
                "step",
                step=step + 1,
                of=steps,
                lr=rate,
                grad_norm=float(norm),
                **figures,
                tokens_per_second=figures["tokens"] / elapsed,
                memory_mb=peak_memory_mb(policy.hardware.device),
                eta_s=(job.clock() - began) / (step + 1 - first) * (steps - step - 1),
            )
            if spec.eval_every and held_out and (step + 1) % spec.eval_every == 0:
                progress.write("eval", step=step + 1, of=steps, **evaluate(job, policy, held_out, cache))
            due = job.clock() - saved_at >= spec.checkpoint_every_s
            if spec.checkpoint_every_steps and step + 1 - saved_step >= spec.checkpoint_every_steps:
                due = True
            if due and step + 1 < steps:
                tensors = gather(parameters, optimizer, get_generators(policy.hardware.device))
                save(job, step + 1, identity, tensors, tokens_done, spent + job.clock() - began)
                progress.write("checkpoint", step=step + 1, of=steps)
                saved_at, saved_step = job.clock(), step + 1
        publish(job.folder / "adapter", lambda folder: save_adapter(policy, spec, folder))
        progress.write(
            "end",
            step=steps,
            of=steps,
            tokens=tokens_done,
            seconds=spent + job.clock() - began,
            memory_mb=peak_memory_mb(policy.hardware.device),
            adapter=digest(job.folder / "adapter"),
        )
        return DONE

    def forecast(self, job: Job) -> Forecast:
        spec = job.spec
        policy, train, _ = prepare(job)
        steps = count_steps(len(train), spec.step_pairs, spec.epochs, spec.max_steps)
        policy.model.train()
        rates: list[float] = []
        planned = [
            [train[i] for i in order_pairs(len(train), step, spec.step_pairs, spec.seed)] for step in range(steps)
        ]
        # The largest step decides the memory, one of the usual size most of the time.
        planned.sort(key=count_tokens)
        for pairs in (planned[0], planned[len(planned) // 4], planned[len(planned) // 2], planned[-1]):
            began = job.clock()
            figures = accumulate(job, policy, pairs, None)
            if figures is None:
                raise InvalidInput("The forecast was stopped.", "Ask for it again.")
            policy.model.zero_grad(set_to_none=True)
            rates.append((job.clock() - began) / figures["tokens"])
        # The first step also pays for what later ones find ready: allocations, kernels, caches.
        fastest, slowest = min(rates[1:]), max(rates[1:])
        trained = sum(count_tokens(pairs) for pairs in planned)
        cache = open_cache(job, policy)
        waiting = set(cache.missing(pair.key for pair in train))
        referenced = count_tokens([pair for pair in train if pair.key in waiting])
        # A pass without gradients costs about a third of a step with them: one product a weight instead of three.
        work = trained + referenced / 3
        return Forecast(
            device=policy.hardware.name,
            pairs=len(train),
            steps=steps,
            tokens=trained,
            seconds_low=round(work * fastest, 1),
            seconds_high=round(work * slowest, 1),
            memory_mb=peak_memory_mb(policy.hardware.device),
            basis=f"{TIMED_STEPS} steps of {spec.step_pairs} pairs timed here in {policy.hardware.precision}",
        )


def prepare(job: Job) -> tuple[Policy, list[EncodedPair], list[str]]:
    """The policy as it starts, the training pairs as tokens, and the ids of pairs that are too long."""
    spec = job.spec
    texts = read_pairs(job.folder / spec.pairs)
    if not texts:
        raise InvalidInput(f"{spec.pairs} holds no pairs.", "Add pairs and start again.")
    hardware = choose_hardware(spec.device, spec.precision, spec.threads)
    adapter = Path(spec.init_adapter) if spec.init_adapter else None
    policy = load_policy(Path(spec.base_model), adapter, spec.lora, hardware, spec.seed)
    train, skipped = encode_pairs(policy.tokenizer, texts, spec.max_length)
    train = [pair for pair in train if pair.weight > 0]
    if not train:
        raise InvalidInput(f"Every pair of {spec.pairs} is too long or has no weight.", "Raise max_length.")
    policy.check_rows(min(train, key=lambda pair: (sum(len(s.ids) for s in pair.sequences), pair.id)))
    return policy, train, skipped


def read_held_out(job: Job, policy: Policy) -> list[EncodedPair]:
    """The held-out pairs to watch during training; none unless the spec asks for them."""
    if not (job.spec.eval_every and job.spec.held_out):
        return []
    pairs, _ = encode_pairs(policy.tokenizer, read_pairs(job.folder / job.spec.held_out), job.spec.max_length)
    return pairs


def identify(spec: RunSpec, train: Sequence[EncodedPair]) -> str:
    """A digest of all that decides the weights: a checkpoint of another identity is not continued."""
    told = asdict(spec)
    for name in (
        "threads",
        "reference_cache",
        "checkpoint_every_s",
        "checkpoint_every_steps",
        "eval_every",
        "held_out",
    ):
        told.pop(name)
    told["pairs"] = [(pair.key, pair.weight) for pair in train]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def schedule(spec: RunSpec, step: int, steps: int) -> float:
    """The share of the peak learning rate at `step` (from 0): linear warm-up, then linear, cosine or constant."""
    warmup = math.ceil(spec.warmup_ratio * steps)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}[spec.schedule]


def micros(spec: RunSpec, policy: Policy, pairs: Sequence[EncodedPair]) -> Any:
    groups = [pair.sequences for pair in pairs]
    return make_micros(groups, spec.row_tokens, spec.tokens_per_batch, policy.padding, policy.share)


def count_tokens(pairs: Sequence[EncodedPair]) -> int:
    """About the tokens computed for `pairs` in one step, shared prefixes once."""
    return count_nodes([(), *sorted(s.ids for pair in pairs for s in pair.sequences)])


def open_cache(job: Job, policy: Policy) -> ReferenceCache:
    spec = job.spec
    use_init = spec.reference == "init" and spec.init_adapter
    adapter = digest_folder(Path(spec.init_adapter)) if use_init and spec.init_adapter else "base"
    model = digest_folder(Path(spec.base_model))
    name = reference_key(model, adapter, policy.tokenizer, policy.hardware.precision)
    folder = Path(spec.reference_cache) if spec.reference_cache else job.folder / "reference"
    return ReferenceCache(folder, name)


def score_reference(job: Job, policy: Policy, pairs: Sequence[EncodedPair]) -> ReferenceCache | None:
    """The cache with a value for each of `pairs`; None after a stop, with what was scored by then kept."""
    import torch

    cache = open_cache(job, policy)
    waiting = set(cache.missing(pair.key for pair in pairs))
    unique = list({pair.key: pair for pair in pairs if pair.key in waiting}.values())
    policy.model.eval()
    off = job.spec.reference == "base" or not job.spec.init_adapter
    done = 0
    with torch.no_grad(), policy.as_base() if off else nullcontext():
        for micro in micros(job.spec, policy, unique):
            if job.stop():
                return None
            scores = policy.score(micro.batch).cpu().tolist()
            members = [unique[i] for i in micro.groups]
            cache.put([(p.key, scores[2 * i], scores[2 * i + 1]) for i, p in enumerate(members)])
            done += len(members)
            job.progress.write("reference", step=done, of=len(unique))
    return cache


def margins(
    policy: Policy, micro: Micro, members: Sequence[EncodedPair], cache: ReferenceCache | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-ratios of chosen and rejected and the policy's log-probabilities [pairs, 2]; without a cache its own."""
    import torch

    scores = policy.score(micro.batch).view(-1, 2)
    if cache is None:
        reference = scores.detach()
    else:
        reference = torch.tensor([cache.get(pair.key) for pair in members], device=scores.device)
    ratios = scores - reference
    return ratios[:, 0], ratios[:, 1], scores


def pair_losses(spec: RunSpec, members: Sequence[EncodedPair], chosen: Tensor, rejected: Tensor) -> Tensor:
    """The loss of each pair, shape [pairs]."""
    import torch

    if spec.loss in PER_TOKEN:
        chosen = chosen / torch.tensor([len(p.chosen.completion) for p in members], device=chosen.device)
        rejected = rejected / torch.tensor([len(p.rejected.completion) for p in members], device=chosen.device)
    return LOSSES[spec.loss](chosen, rejected, spec.beta, spec.label_smoothing)


def accumulate(
    job: Job, policy: Policy, pairs: Sequence[EncodedPair], cache: ReferenceCache | None
) -> dict[str, float] | None:
    """Add the gradient of the weighted mean loss over `pairs`; returns the step's figures, or None after a stop."""
    import torch

    total = sum(pair.weight for pair in pairs)
    sums: dict[str, float] = dict.fromkeys(FIGURES, 0.0)
    tokens = 0
    for micro in micros(job.spec, policy, pairs):
        if job.stop():
            return None
        members = [pairs[i] for i in micro.groups]
        weights = torch.tensor([pair.weight / total for pair in members], device=policy.hardware.device)
        chosen, rejected, scores = margins(policy, micro, members, cache)
        losses = pair_losses(job.spec, members, chosen, rejected)
        torch.autograd.backward((losses * weights).sum())
        with torch.no_grad():
            add_figures(sums, job.spec.beta, weights, losses, chosen, rejected, scores)
        tokens += micro.batch.tokens
    return sums | {"tokens": tokens}


FIGURES = ("loss", "margin", "accuracy", "chosen_logp", "rejected_logp", "chosen_reward", "rejected_reward")


def add_figures(
    sums: dict[str, float],
    beta: float,
    weights: Tensor,
    losses: Tensor,
    chosen: Tensor,
    rejected: Tensor,
    scores: Tensor,
) -> None:
    """Add the weighted sums of what is logged; a tie counts one half, rewards are beta times the log-ratio."""
    margin = beta * (chosen - rejected)
    right = (margin > 0).float() + 0.5 * (margin == 0).float()
    values = (losses, margin, right, scores[:, 0], scores[:, 1], beta * chosen, beta * rejected)
    for name, value in zip(FIGURES, values, strict=True):
        sums[name] += float((weights * value.detach()).sum())


def evaluate(job: Job, policy: Policy, pairs: Sequence[EncodedPair], cache: ReferenceCache) -> dict[str, float]:
    """The figures over the held-out pairs, without gradients."""
    import torch

    sums: dict[str, float] = dict.fromkeys(FIGURES, 0.0)
    policy.model.eval()
    with torch.no_grad():
        for micro in micros(job.spec, policy, pairs):
            if job.stop():
                break
            members = [pairs[i] for i in micro.groups]
            weights = torch.full((len(members),), 1 / len(pairs), device=policy.hardware.device)
            chosen, rejected, scores = margins(policy, micro, members, cache)
            losses = pair_losses(job.spec, members, chosen, rejected)
            add_figures(sums, job.spec.beta, weights, losses, chosen, rejected, scores)
    policy.model.train()
    return sums


def save(job: Job, step: int, identity: str, tensors: dict[str, Tensor], tokens: int, seconds: float) -> None:
    state = {"step": step, "identity": identity, "tokens": tokens, "seconds": seconds}
    save_checkpoint(job.folder / "checkpoints", step, Checkpoint(tensors, state))


def save_adapter(policy: Policy, spec: RunSpec, folder: Path) -> None:
    """Write the adapter in PEFT's format: safetensors and adapter_config.json, nothing else."""
    from peft import LoraConfig

    policy.model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    config = folder / "adapter_config.json"
    values = json.loads(config.read_text("utf-8"))
    # An adapter's digest must depend on what it does alone: not on where the base lay, nor on the order of a set.
    values["base_model_name_or_path"] = Path(spec.base_model).name
    values["target_modules"] = sorted(values["target_modules"])
    usual = asdict(LoraConfig())
    told = {name: value for name, value in values.items() if name in ADAPTER_KEYS or value != usual.get(name)}
    config.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", "utf-8")


ADAPTER_KEYS = frozenset({"peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "bias"})


def get_generators(device: str) -> dict[str, Tensor]:
    """The states of the random generators that dropout draws from."""
    import torch

    states = {"cpu": torch.get_rng_state()}
    return states if device == "cpu" else states | {"cuda": torch.cuda.get_rng_state(device)}


def set_generators(states: dict[str, Tensor], device: str) -> None:
    import torch

    torch.set_rng_state(states["cpu"])
    if "cuda" in states and device != "cpu":
        torch.cuda.set_rng_state(states["cuda"], device)
