"""Loads a prepared base model with its tokenizer; the folder is inspected before any loader reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput, TrimtabError
from models.artefacts import digest, inspect, refuse
from models.device import choose_device, choose_dtype
from models.prepare import read_manifest

if TYPE_CHECKING:
    import torch

PLAIN_LAYERS = frozenset({"full_attention", "sliding_attention"})


@dataclass(frozen=True, slots=True)
class Base:
    """A base model ready to answer. `digest` names its content, `end_ids` are the tokens that end an answer."""

    model: Any
    tokenizer: Any
    path: Path
    digest: str
    device: str
    dtype: "torch.dtype"
    context: int
    end_ids: tuple[int, ...]


def check_architecture(config: Any, path: Path) -> None:
    """Raises ArtefactRefused for layers whose state is not a key-value cache: those cannot join a running batch."""
    kinds = set(getattr(config, "layer_types", None) or ()) - PLAIN_LAYERS
    if kinds or getattr(config, "is_encoder_decoder", False):
        kind = next(iter(sorted(kinds)), "encoder-decoder")
        raise refuse(
            path.name, f"has {kind} layers", "Use a decoder with full or sliding attention, or another server."
        )


def find_end_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Token ids that end an answer, from the tokenizer and the generation settings."""
    settings = getattr(model.generation_config, "eos_token_id", None)
    found = settings if isinstance(settings, list) else [settings]
    return tuple(sorted({int(i) for i in [*found, tokenizer.eos_token_id] if i is not None}))


def lay_out(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The output layer's input in one piece.

    The last columns of the hidden states are a slice, and torch multiplies a slice row by row, each with a copy of the
    whole output layer: for a short prompt more work than all other layers together.
    """
    import torch

    # A copy, as a single row counts as contiguous already and keeps the strides of the slice.
    return (inputs[0].clone(memory_format=torch.contiguous_format), *inputs[1:])


def load_base(path: Path, *, device: str = "auto", dtype: str = "auto") -> Base:
    """The base model in `path`, in evaluation mode.

    Raises ArtefactRefused for what is never loaded and InvalidInput for a folder that does not hold a chat model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    path = path.expanduser()
    if not path.is_dir():
        raise InvalidInput(
            f"The model folder {path} does not exist.", "Run `python -m models.prepare`, or name another."
        )
    inspect(path, ("config.json", "tokenizer_config.json"))
    place = choose_device(device)
    number = choose_dtype(dtype, place)
    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        check_architecture(config, path)
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        model, outcome = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            dtype=number,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except TrimtabError:
        raise
    except Exception as error:  # a strange configuration fails in the loaders in every way there is
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise InvalidInput(f"{path.name} cannot be loaded as a chat model: {reason}", "Use another folder.") from error
    if outcome["missing_keys"] or outcome["mismatched_keys"]:
        # The loader would fill these with random numbers and say nothing an operator sees.
        name = str(next(iter(sorted(map(str, outcome["missing_keys"] or outcome["mismatched_keys"])))))[:80]
        raise InvalidInput(f"{path.name} cannot be loaded: its weights lack {name}.", "Use a complete model folder.")
    if tokenizer.chat_template is None or tokenizer.eos_token_id is None:
        raise InvalidInput(f"{path.name} has no chat template or no end token.", "Use an instruction-tuned model.")
    model.to(torch.device(place)).eval().requires_grad_(False)
    model.get_output_embeddings().register_forward_pre_hook(lay_out)
    manifest = read_manifest(path)
    return Base(
        model=model,
        tokenizer=tokenizer,
        path=path,
        digest=manifest["digest"] if manifest else digest(path),
        device=place,
        dtype=number,
        context=int(getattr(config, "max_position_embeddings", 2048)),
        end_ids=find_end_ids(model, tokenizer),
    )
