"""What a training run is told: `spec.json` in its folder, read strictly, and the files of pairs that it names."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from core.errors import InvalidInput
from retrain.training.losses import BRADLEY_TERRY, JOINED, LOSSES, SMOOTHED

Message = Mapping[str, str]
SCHEDULES = ("linear", "cosine", "constant")
# What a run leaves in its folder by what it trains: the file is there once the whole is.
RESULTS = {"lora": "adapter/adapter_config.json", "full": "model/config.json"}
# Peak learning rates that are usual: all weights take a hundredth or less of what an adapter takes (TRL's default).
USUAL_LR = {"lora": 2e-4, "full": 1e-6}


@dataclass(frozen=True, slots=True)
class LoraSpec:
    """Shape of a new adapter. An `init_adapter` keeps its own."""

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: str | list[str] = "all-linear"


@dataclass(frozen=True, slots=True)
class RunSpec:
    """A run's settings. A step takes `pairs_per_step * accumulate` pairs, in micro-batches of `tokens_per_batch`."""

    base_model: str
    trainer: str = "dpo"
    finetuning_type: Literal["lora", "full"] = "lora"
    init_adapter: str | None = None
    init_model: str | None = None
    reference: Literal["init", "base"] = "init"
    reference_cache: str | None = None
    pairs: str = "train.jsonl"
    held_out: str | None = "held_out.jsonl"
    encoder: str | None = None
    thumbs: str = "thumbs.jsonl"
    texts: str = "texts.jsonl"
    adapt_steps: int | None = None
    seed: int = 0
    epochs: float | None = None
    max_steps: int | None = None
    lr: float = USUAL_LR["lora"]
    beta: float = 0.1
    loss: str = "dpo"
    label_smoothing: float = 0.0
    beta_prime: float = 1.0
    reliability_every: int | None = None
    noise_rate: float = 0.1
    lambda_desirable: float | None = None
    lambda_undesirable: float | None = None
    router_aux_weight: float = 0.0
    lora: LoraSpec = field(default_factory=LoraSpec)
    pairs_per_step: int = 4
    accumulate: int = 1
    tokens_per_batch: int = 1024
    row_tokens: int = 256
    warmup_ratio: float = 0.1
    schedule: str = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 1024
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: int | None = None
    devices: int = 1
    checkpoint_every_s: float = 60.0
    checkpoint_every_steps: int | None = None
    eval_every: int | None = None

    @property
    def step_pairs(self) -> int:
        """Pairs in one optimiser step."""
        return self.pairs_per_step * self.accumulate

    @property
    def product(self) -> str:
        """The folder in the run's that appears at its end: adapter, or model where all weights train."""
        return RESULTS[self.finetuning_type].partition("/")[0]

    @property
    def start(self) -> Path | None:
        """The adapter or whole model that training starts from; None for the base model as it is."""
        named = self.init_adapter or self.init_model
        return Path(named) if named else None


@dataclass(frozen=True, slots=True)
class PairText:
    """One preference as text: `chosen` was preferred to `rejected` as the answer to `messages` (or to raw text)."""

    id: str
    prompt: str | tuple[Message, ...]
    chosen: str
    rejected: str
    weight: float = 1.0


class Identified(Protocol):
    """A row of a file of examples."""

    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=Identified)


def refuse(problem: str, remedy: str) -> InvalidInput:
    return InvalidInput(problem, remedy)


def parse_spec(values: Mapping[str, Any]) -> RunSpec:
    """The spec in a JSON object. Raises InvalidInput naming the first key that is unknown, missing or out of range."""
    known = {f.name for f in fields(RunSpec)}
    for name in values:
        if name not in known:
            raise refuse(f"spec.json: {name} is not a setting of a run.", f"Known are: {', '.join(sorted(known))}.")
    if not values.get("base_model"):
        raise refuse("spec.json: base_model is missing.", "Name the folder of the base model.")
    given = dict(values)
    given.setdefault("lr", USUAL_LR.get(given.get("finetuning_type", "lora")))
    lora = given.pop("lora", None) or {}
    shape = {f.name for f in fields(LoraSpec)}
    if not isinstance(lora, Mapping) or not set(lora) <= shape:
        raise refuse("spec.json: lora holds an unknown key.", f"Known are: {', '.join(sorted(shape))}.")
    try:
        spec = RunSpec(**given, lora=LoraSpec(**lora))
        check_spec(spec)
    except TypeError as error:
        raise refuse(f"spec.json holds a value of the wrong kind ({error}).", "Correct it and start again.") from None
    return spec


def check_spec(spec: RunSpec) -> None:
    """Raise InvalidInput for the first setting out of range."""
    if (spec.epochs is None) == (spec.max_steps is None):
        raise refuse("spec.json: give either epochs or max_steps.", "Keep one of the two.")
    check_start(spec)
    if spec.loss not in LOSSES:
        raise refuse(f"spec.json: there is no loss {spec.loss}.", f"There are: {', '.join(sorted(LOSSES))}.")
    if spec.schedule not in SCHEDULES:
        raise refuse(f"spec.json: there is no schedule {spec.schedule}.", f"There are: {', '.join(SCHEDULES)}.")
    if spec.reference not in ("init", "base"):
        raise refuse(f"spec.json: reference cannot be {spec.reference}.", "Use init or base.")
    if spec.precision not in ("auto", "fp32", "bf16"):
        raise refuse(f"spec.json: precision cannot be {spec.precision}.", "Use auto, fp32 or bf16.")
    if spec.label_smoothing and spec.loss not in SMOOTHED:
        remedy = f"Set it to 0, or use {' or '.join(sorted(SMOOTHED))}."
        raise refuse(f"spec.json: the loss {spec.loss} takes no label_smoothing.", remedy)
    if spec.reliability_every and spec.loss not in BRADLEY_TERRY:
        remedy = f"Leave reliability_every out, or use {' or '.join(sorted(BRADLEY_TERRY))}."
        raise refuse(f"spec.json: the loss {spec.loss} takes no reliability weights.", remedy)
    if spec.router_aux_weight and spec.loss in JOINED:
        raise refuse(f"spec.json: the loss {spec.loss} takes no router_aux_weight.", "Use another loss.")
    if spec.devices != 1 and spec.loss in JOINED:
        raise refuse(f"spec.json: the loss {spec.loss} trains on one device.", "Use another loss, or set devices to 1.")
    if spec.devices != 1 and ":" in spec.device:
        raise refuse(f"spec.json: {spec.device} is one device.", "Set device to auto, cpu or cuda, or devices to 1.")
    if spec.devices != 1 and spec.lora.dropout:
        raise refuse("spec.json: lora.dropout is drawn on one device.", "Set it to 0, or devices to 1.")
    if spec.adapt_steps and spec.trainer == "adapt":
        raise refuse("spec.json: the trainer adapt takes no adapt_steps.", "Give max_steps, or train on pairs.")
    positive = {
        "epochs": spec.epochs, "max_steps": spec.max_steps, "lr": spec.lr, "beta": spec.beta,
        "lora.r": spec.lora.r, "lora.alpha": spec.lora.alpha, "pairs_per_step": spec.pairs_per_step,
        "accumulate": spec.accumulate, "tokens_per_batch": spec.tokens_per_batch, "row_tokens": spec.row_tokens,
        "max_length": spec.max_length, "threads": spec.threads, "devices": spec.devices, "eval_every": spec.eval_every,
        "checkpoint_every_s": spec.checkpoint_every_s, "checkpoint_every_steps": spec.checkpoint_every_steps,
        "max_grad_norm": spec.max_grad_norm, "beta_prime": spec.beta_prime,
        "reliability_every": spec.reliability_every, "noise_rate": spec.noise_rate,
        "lambda_desirable": spec.lambda_desirable, "lambda_undesirable": spec.lambda_undesirable,
        "adapt_steps": spec.adapt_steps,
    }  # fmt: skip
    for name, value in positive.items():
        if value is not None and (isinstance(value, bool) or not value > 0 or not math.isfinite(value)):
            raise refuse(f"spec.json: {name} must be above 0, not {value}.", "Correct it and start again.")
    fractions = {"label_smoothing": (spec.label_smoothing, 0.5), "warmup_ratio": (spec.warmup_ratio, 1.0)}
    fractions |= {"router_aux_weight": (spec.router_aux_weight, 10.0)}
    fractions |= {"lora.dropout": (spec.lora.dropout, 1.0), "noise_rate": (spec.noise_rate, 0.5)}
    for name, (value, limit) in fractions.items():
        if not 0 <= value < limit:
            raise refuse(f"spec.json: {name} must be at least 0 and below {limit}, not {value}.", "Correct it.")
    for name in ("seed", "pairs_per_step", "accumulate", "tokens_per_batch", "row_tokens", "max_length", "devices"):
        if not isinstance(getattr(spec, name), int):
            raise refuse(f"spec.json: {name} must be a whole number.", "Correct it and start again.")


def check_start(spec: RunSpec) -> None:
    """Raise InvalidInput where what trains, what it starts from and its reference do not go together."""
    if spec.finetuning_type not in RESULTS:
        known = " or ".join(RESULTS)
        raise refuse(f"spec.json: finetuning_type cannot be {spec.finetuning_type}.", f"Use {known}.")
    if spec.finetuning_type == "lora" and spec.init_model:
        raise refuse(
            "spec.json: an adapter on another model than base_model could not be served.",
            "Leave init_model out, or set finetuning_type to full.",
        )
    if spec.init_adapter and spec.init_model:
        raise refuse("spec.json: give either init_adapter or init_model.", "Keep one of the two.")
    if spec.finetuning_type == "full" and spec.start and spec.reference == "base":
        raise refuse(
            "spec.json: with full weights the reference is the model that training starts from.",
            "Set reference to init.",
        )


def load_spec(folder: Path) -> RunSpec:
    """The spec of the run in `folder`. Raises InvalidInput when there is none or it cannot be taken."""
    path = folder / "spec.json"
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError:
        raise refuse(f"{folder.name} holds no readable spec.json.", "Name the folder of a run.") from None
    except ValueError as error:
        raise refuse(f"spec.json is not JSON ({error}).", "Correct it and start again.") from None
    if not isinstance(values, dict):
        raise refuse("spec.json is not a JSON object.", "Correct it and start again.")
    return parse_spec(values)


def dump_spec(spec: RunSpec) -> str:
    """`spec` as the text of a spec.json."""
    return json.dumps(asdict(spec), indent=2, sort_keys=True) + "\n"


def read_pairs(path: Path) -> list[PairText]:
    """The pairs of a JSONL file. Raises InvalidInput that names the first bad line."""
    remedy = "A pair is a JSON object with id, prompt (text or messages), chosen and rejected."
    return read_rows(path, parse_pair, "pair", remedy)


def read_rows(path: Path, parse: Callable[[Mapping[str, Any]], Row], name: str, remedy: str) -> list[Row]:
    """The rows of a JSONL file, each made by `parse`, which raises ValueError, KeyError or TypeError for a bad one.

    Raises InvalidInput that names the first line that is no `name`, or the id that comes twice.
    """
    rows: list[Row] = []
    seen: set[str] = set()
    try:
        # Not by `splitlines`, for which a text may hold ends of lines that JSON lines do not know.
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        raise refuse(f"{path.name} cannot be read.", f"Put the file of {name}s into the run's folder.") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = parse(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise refuse(f"{path.name} line {number} is not a {name}.", remedy) from None
        if row.id in seen:
            raise refuse(f"{path.name} line {number} repeats the id {row.id}.", f"Give each {name} its own id.")
        seen.add(row.id)
        rows.append(row)
    return rows


def parse_prompt(prompt: Any) -> str | tuple[Message, ...]:
    """A prompt as text or as messages. Raises ValueError, KeyError or TypeError for anything else."""
    told: str | tuple[Message, ...] = (
        prompt
        if isinstance(prompt, str)
        else tuple({"role": str(m["role"]), "content": str(m["content"])} for m in prompt)
    )
    if not told:
        raise ValueError("a prompt holds something")
    return told


def parse_pair(row: Mapping[str, Any]) -> PairText:
    """The pair in a JSON object. Raises ValueError, KeyError or TypeError for anything else."""
    prompt = parse_prompt(row["prompt"])
    weight = float(row.get("weight", 1.0))
    if not (isinstance(row["chosen"], str) and isinstance(row["rejected"], str)):
        raise ValueError("a pair has a prompt and two texts")
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError("a weight is at least 0")
    return PairText(str(row["id"]), prompt, row["chosen"], row["rejected"], weight)
