"""The model in training: an adapter on frozen weights, or all weights, on the device and in the precision that fit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput
from models.artefacts import digest, inspect
from retrain.training.attention import BLOCK, FLEX, build_blocks, register
from retrain.training.experts import find_router, list_targets
from retrain.training.likelihood import read_edges, score_batch
from retrain.training.lora import fuse
from retrain.training.ranks import ALONE, Ranks
from retrain.training.rows import Group, build_row, join, stack
from retrain.training.shards import lay_mesh, shard
from retrain.training.spec import LoraSpec, RunSpec
from retrain.training.work import count_cost

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from retrain.training.rows import Batch


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where a model runs and in which precision; `name` is for people."""

    device: str
    precision: str
    threads: int
    name: str


def choose_hardware(device: str, precision: str, threads: int | None) -> Hardware:
    """The hardware for `device` (auto, cpu, cuda); auto precision is bf16 where the hardware multiplies it natively."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise InvalidInput(f"There is no device {device}.", "Use auto, cpu or cuda.")
    if device != "cpu" and not torch.cuda.is_available():
        raise InvalidInput("This machine has no CUDA device that torch can use.", "Set device to cpu or auto.")
    if threads:
        torch.set_num_threads(threads)
    if device == "cpu":
        native = any(probe() for name in NATIVE_BF16 if (probe := getattr(torch.cpu, name, None)) is not None)
        count = torch.get_num_threads()
        name = f"CPU, {count} {'thread' if count == 1 else 'threads'}"
    else:
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        name = torch.cuda.get_device_name(device)
    if precision == "auto":
        precision = "bf16" if native else "fp32"
    return Hardware(device, precision, torch.get_num_threads(), name)


# torch has no public question for these instructions yet; where a name is missing the answer is no.
NATIVE_BF16 = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


class Policy:
    """A base model with one trainable adapter, or one whose own weights train; scores batches.

    With an adapter, `as_base` scores without it. Of a whole model there is no second copy: what it was is asked first.
    """

    def __init__(self, model: Any, tokenizer: Any, hardware: Hardware) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.hardware = hardware
        self.adapted = hasattr(model, "get_base_model")
        causal = model.get_base_model() if self.adapted else model
        self.causal = causal
        self.decoder = causal.get_decoder()
        self.cap = getattr(causal.config, "final_logit_softcapping", None)
        tokens = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        self.padding = next(token for token in tokens if token is not None)
        self.share = True
        self.ranks = ALONE
        self.begun: dict[str, Tensor] | None = None
        self.router = find_router(causal.config)
        self.router_weight = 0.0
        self.cost = count_cost(causal)
        self.operations = 0.0

    def score(self, batch: Batch) -> Tensor:
        """Summed log-probability of each sequence's completion, shape [sequences], fp32, nats."""
        import torch

        self.operations += self.cost.of(batch, trained=torch.is_grad_enabled())
        batch, mask = self._lay_out(batch)
        return score_batch(self.decoder, self.apply_head, batch, mask, self.autocast, self.router)

    def logits(self, batch: Batch, most: int) -> Tensor:
        """What is said of the next token before at most `most` of the completions' tokens, spread evenly over them,
        without gradients, shape [tokens, vocabulary], fp32."""
        import torch

        batch, mask = self._lay_out(batch)
        with torch.no_grad(), self.autocast():
            edges = read_edges(self.decoder, batch, mask)
            return self.apply_head(edges[:: -(-len(edges) // most)]).float()

    def _lay_out(self, batch: Batch) -> tuple[Batch, Any]:
        """The batch on its device, and its mask in the form that attention takes."""
        batch = batch.to(self.hardware.device)
        if not self.in_blocks:
            return batch, batch.mask
        batch = join(batch, BLOCK)
        return batch, build_blocks(batch.end)

    @property
    def in_blocks(self) -> bool:
        """Whether attention takes its mask as blocks."""
        return bool(self.causal.config._attn_implementation == FLEX)

    def spread(self, share: float) -> Tensor | float:
        """What the last pass, of `share` of a step's examples, adds to the loss so that experts are used evenly."""
        if self.router is None or not self.router_weight:
            return 0.0
        return self.router_weight * share * self.router.balance()

    def apply_head(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states, capped where the model caps them."""
        import torch

        logits: Tensor = self.causal.get_output_embeddings()(hidden)
        scale = getattr(self.causal.config, "logits_scaling", None)
        if scale:
            logits = logits / scale
        return torch.tanh(logits / self.cap) * self.cap if self.cap else logits

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of a forward pass."""
        import torch

        if self.hardware.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.hardware.device.partition(":")[0], torch.bfloat16)

    def trainable(self) -> dict[str, Parameter]:
        """The parameters that train by name, in the model's order."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    @contextmanager
    def as_base(self) -> Iterator[None]:
        """Inside, the adapter is off."""
        with self.model.disable_adapter():
            yield

    @contextmanager
    def as_reference(self) -> Iterator[None]:
        """Inside, an adapted policy is its reference: the base, or the adapter as it was when the run began."""
        if self.begun is None:
            with self.as_base():
                yield
            return
        parameters = self.trainable()
        now = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        try:
            for name, parameter in parameters.items():
                parameter.data.copy_(self.begun[name])
            yield
        finally:
            for name, parameter in parameters.items():
                parameter.data.copy_(now[name])

    def check_rows(self, group: Group) -> None:
        """Fall back to a row a sequence if a shared row does not score `group` as the model does; else refuse it.

        Attention masks do not reach every layer there is (state-space layers, sliding windows): ask the model.
        """
        import torch

        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            alone = torch.stack([self.score_alone(s.ids, len(s.prompt)) for s in group.sequences])
            tolerance = 1e-3 if self.hardware.precision == "fp32" else 0.1
            limit = tolerance * max(len(s.completion) for s in group.sequences)
            for shared in (True, False):
                rows = [build_row(group.sequences)] if shared else [build_row([s]) for s in group.sequences]
                scores = self.score(stack(rows, self.padding)).cpu()
                if float((scores - alone).abs().max()) <= limit:
                    self.share = shared
                    self.model.train(training)
                    return
        name = type(self.causal).__name__
        raise InvalidInput(
            f"A model of the class {name} does not score packed rows as it scores single texts.",
            "Use a decoder-only transformer with ordinary attention.",
        )

    def score_alone(self, ids: tuple[int, ...], prompt: int) -> Tensor:
        """Summed log-probability of ids[prompt:] by the model's own forward pass over `ids` alone, a scalar."""
        import torch

        row = torch.tensor([ids], device=self.hardware.device)
        with self.autocast():
            logits = self.causal(input_ids=row, attention_mask=self.full_mask(row), use_cache=False).logits
        logs = torch.log_softmax(logits[0, prompt - 1 : -1].float(), -1)
        return logs.gather(-1, row[0, prompt:, None]).sum().cpu()

    def full_mask(self, row: Tensor) -> Any:
        """The causal mask of one row in the form that its attention takes."""
        import torch

        if self.in_blocks:
            return build_blocks(torch.full_like(row, row.shape[1]))
        length = row.shape[1]
        return torch.ones(length, length, dtype=torch.bool, device=row.device).tril()[None, None]


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a model's folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


def load_base(folder: Path, hardware: Hardware, *, masters: bool = False, move: bool = True) -> Any:
    """The causal model in `folder`, frozen. With bf16 only the weights of matrix products are bf16.

    With `masters` those too are fp32, of which a pass takes bf16 copies: small steps would be lost to bf16's rounding.
    Without `move` it stays in the machine's own memory.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    inspect(folder)
    logging.disable_progress_bar()
    dtype = torch.float32 if masters or hardware.precision == "fp32" else torch.bfloat16
    model = AutoModelForCausalLM.from_pretrained(
        str(folder),
        local_files_only=True,
        use_safetensors=True,
        dtype=dtype,
        attn_implementation=register(hardware.device),
    )
    for module in model.modules():
        # Residual stream, norms and embeddings in fp32: their rounding would cost more than the time it saves.
        if not isinstance(module, torch.nn.Linear):
            for name, weight in module.named_parameters(recurse=False):
                if "expert" not in name and weight.dim() < 3 and not is_tied(model, weight):
                    weight.data = weight.data.float()
    if hardware.precision == "bf16":
        for module in model.modules():
            if type(module).__name__.endswith("Norm"):
                # Several products read a norm's output: cast it once, or each keeps a copy for the backward pass.
                module.register_forward_hook(cast_output)
    model.requires_grad_(False)
    return model.to(hardware.device) if move else model


def cast_output(module: Any, given: Any, output: Tensor) -> Tensor:
    import torch

    return output.to(torch.bfloat16)


def is_tied(model: Any, weight: Parameter) -> bool:
    """Whether `weight` is also the output head's, which is a matrix product's."""
    head = model.get_output_embeddings()
    return head is not None and head.weight is weight


def start_policy(spec: RunSpec, ranks: Ranks = ALONE) -> Policy:
    """The policy that `spec` starts from, on the hardware that it names, in parts where there are several `ranks`.

    Those load in turn: each holds the whole model in the machine's own memory until it has its part.
    """
    hardware = choose_hardware(spec.device, spec.precision, spec.threads)
    adapter = Path(spec.init_adapter) if spec.init_adapter else None
    if ranks.size == 1:
        policy = _load(spec, adapter, hardware, move=True)
    else:
        mesh = lay_mesh(ranks)
        with ranks.in_turn():
            policy = _load(spec, adapter, hardware, move=False)
            _refuse_dropout(policy)
            policy.ranks = ranks
            shard(policy.causal, ranks, mesh)
    if policy.adapted and adapter is not None and spec.reference == "init":
        policy.begun = {name: parameter.detach().clone() for name, parameter in policy.trainable().items()}
    policy.router_weight = spec.router_aux_weight
    if spec.router_aux_weight and policy.router is None:
        raise InvalidInput(
            f"{type(policy.causal).__name__} is no mixture of experts whose routers can be asked.",
            "Leave router_aux_weight out.",
        )
    return policy


def _load(spec: RunSpec, adapter: Path | None, hardware: Hardware, *, move: bool) -> Policy:
    if spec.finetuning_type == "full":
        return load_whole(Path(spec.init_model or spec.base_model), adapter, hardware, spec.seed, move=move)
    return load_policy(Path(spec.base_model), adapter, spec.lora, hardware, spec.seed, move=move)


def _refuse_dropout(policy: Policy) -> None:
    import torch

    if any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in policy.model.modules()):
        raise InvalidInput(
            "What the run starts from has dropout, and dropout is drawn on one device.", "Set devices to 1."
        )


def load_policy(
    base: Path,
    adapter: Path | None,
    lora: LoraSpec,
    hardware: Hardware,
    seed: int,
    *,
    move: bool = True,
) -> Policy:
    """The policy to train: `adapter` continued, or a new adapter of shape `lora` that changes nothing yet."""
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model

    model = load_base(base, hardware, move=move)
    torch.manual_seed(seed)
    with quiet():
        if adapter is not None:
            inspect(adapter, needs=("adapter_config.json", "adapter_model.safetensors"))
            tuned = PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
        else:
            mixture = find_router(model.config) is not None and lora.targets == "all-linear"
            config = LoraConfig(
                r=lora.r,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules=list_targets(model) if mixture else lora.targets,
                task_type="CAUSAL_LM",
            )
            try:
                tuned = get_peft_model(model, config)
            except ValueError as error:
                raise InvalidInput(
                    f"The adapter does not fit the base model ({error}).", "Change lora.targets."
                ) from None
            if config.target_parameters:
                raise InvalidInput("An adapter on experts cannot be served.", "Leave them out of lora.targets.")
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    fuse(tuned)
    return Policy(tuned, load_tokenizer(base), hardware)


def load_whole(folder: Path, adapter: Path | None, hardware: Hardware, seed: int, *, move: bool = True) -> Policy:
    """The policy whose weights all train: the model in `folder`, with `adapter`, if any, added into its weights."""
    import torch
    from peft import PeftModel

    model = load_base(folder, hardware, masters=True, move=move)
    torch.manual_seed(seed)
    if adapter is not None:
        with quiet():
            inspect(adapter, needs=("adapter_config.json", "adapter_model.safetensors"))
            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    model.requires_grad_(True)
    return Policy(model, load_tokenizer(folder), hardware)


@contextmanager
def quiet() -> Iterator[None]:
    """peft asks transformers deprecated questions; their warnings are nothing a user can act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def digest_folder(folder: Path | None) -> str:
    """The content digest of a model or adapter folder; "base" for no adapter."""
    return digest(folder) if folder is not None else "base"
