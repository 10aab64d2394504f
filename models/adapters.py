"""LoRA adapters in the PEFT layout: checked before they are read, served together and beside the untouched base.

Rows of one batch may belong to different versions. Each adapted layer adds W x + (alpha / r) B A x (Hu et al. 2021,
section 4.1) to the rows of a version that adapts it, and nothing at all to the rows of the base model.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import Conflict, InvalidInput, NotFound
from models.artefacts import ADAPTER_CONFIG, digest, list_files, read_header, read_json, refuse
from models.load import Base
from models.prepare import read_manifest
from models.requests import BASE

if TYPE_CHECKING:
    import torch

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
CONFIG = ADAPTER_CONFIG
WEIGHTS = "adapter_model.safetensors"
CONFIG_LIMIT = 256 * 1024
MAX_RANK = 512
KEY = re.compile(r"base_model\.model\.(?P<module>[A-Za-z0-9_.]+)\.lora_(?P<side>[AB])\.weight")
PLAIN = {
    "bias": ("none",),
    "use_dora": (False,),
    "use_qalora": (False,),
    "fan_in_fan_out": (False,),
    "lora_bias": (False,),
    "modules_to_save": ([],),
    "layer_replication": ([],),
    "megatron_config": ({},),
    "auto_mapping": ({},),
    "auto_map": ({},),
    "trainable_token_indices": ([], {}),
    "target_parameters": ([],),
    "alora_invocation_tokens": ([],),
    "arrow_config": ({},),
    "monteclora_config": ({},),
    "kasa_config": ({},),
    "use_bdlora": (False, {}),
    # Other initialisations change the base weights, so their adapters mean nothing beside the untouched base.
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
}
HARMLESS = frozenset(
    {
        "peft_type", "task_type", "base_model_name_or_path", "inference_mode", "r", "lora_alpha", "lora_dropout",
        "target_modules", "exclude_modules", "use_rslora", "rank_pattern", "alpha_pattern",
        "layers_to_transform", "layers_pattern", "revision", "peft_version", "loftq_config", "eva_config",
        "corda_config", "lora_ga_config", "qalora_group_size", "runtime_config", "megatron_core",
        "ensure_weight_tying", "velora_config",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """Rank and scale of one adapted layer."""

    rank: int
    scale: float


@dataclass(frozen=True, slots=True)
class Adapter:
    """A checked adapter folder: module path -> shape, and the digest of the folder's content."""

    path: Path
    digest: str
    shapes: dict[str, Shape]


@dataclass(slots=True)
class Routing:
    """Which rows of the batch now in the model belong to which version: (version, first row, row after the last)."""

    spans: list[tuple[str, int, int]] = field(default_factory=list)


def match(pattern: dict[str, Any], module: str, otherwise: float) -> float:
    """The entry of a PEFT rank or alpha pattern for `module`: a name, or the end of its dotted path."""
    for key, value in pattern.items():
        if module == key or module.endswith(f".{key}"):
            return float(value)
    return otherwise


def check_config(config: dict[str, Any], base: Base) -> None:
    """Raises ArtefactRefused unless the configuration is a plain LoRA made for `base`."""
    remedy = "Train the adapter as a plain LoRA (no DoRA, no extra modules, no custom code)."
    if config.get("peft_type") != "LORA":
        raise refuse(CONFIG, f"describes {str(config.get('peft_type'))[:40]!r}, not a LoRA", remedy)
    for key, value in config.items():
        if key in PLAIN:
            if value is not None and value not in PLAIN[key]:
                raise refuse(CONFIG, f"uses {key}, which is not served", remedy)
        elif key not in HARMLESS and value not in (None, False, [], {}):
            raise refuse(CONFIG, f"has an unknown setting {key[:60]!r}", remedy)
    rank, alpha = config.get("r"), config.get("lora_alpha")
    numbers = [rank, alpha, *patterns(config, "rank_pattern").values(), *patterns(config, "alpha_pattern").values()]
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not 0 < n <= 65536 for n in numbers):
        raise refuse(CONFIG, "has a rank or an alpha that is not a positive number", remedy)
    check_base(config.get("base_model_name_or_path"), base)


def check_base(named: Any, base: Base) -> None:
    """Raises ArtefactRefused when an adapter names a base that is known to be another one.

    A folder that is not here any more (the installation was moved) tells nothing; the shapes still have to fit.
    """
    ours = read_manifest(base.path) or {}
    if not named or named in (str(base.path), base.digest, ours.get("source")):
        return
    path = Path(str(named)).expanduser()
    theirs = read_manifest(path) or {}
    moved = path.is_absolute() and not path.exists()
    if not moved and path.resolve() != base.path.resolve() and theirs.get("digest") != base.digest:
        raise refuse(
            CONFIG, f"was made for another base model ({str(named)[:80]})", "Serve it with its own base model."
        )


def patterns(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict) or len(value) > 4096:
        raise refuse(CONFIG, f"has a {key} that is not a table", "Save the adapter with PEFT and try again.")
    return value


def check_adapter(path: Path, base: Base, limit: int = 1 << 30) -> Adapter:
    """The adapter in `path`, after every check that needs no tensor to be read.

    Raises ArtefactRefused for anything but adapter_config.json and one safetensors file of at most `limit` bytes whose
    layers all exist in `base` with fitting shapes.
    """
    import torch

    path = path.expanduser()
    if not path.is_dir():
        raise InvalidInput(f"The adapter folder {path} does not exist.", "Give the folder that training wrote.")
    files = list_files(path)
    for file in files:
        if file.suffix.lower() not in (".json", ".safetensors", ".md", ".txt", ".jinja"):
            raise refuse(
                file.name, "is not safetensors or JSON", "Save the adapter as safetensors and remove the rest."
            )
    present = {file.relative_to(path).as_posix() for file in files}
    for needed in (CONFIG, WEIGHTS):
        if needed not in present:
            raise refuse(path.name, f"has no {needed}", "Give the folder that training wrote, saved as safetensors.")
    if (path / WEIGHTS).stat().st_size > limit:
        raise refuse(WEIGHTS, f"is larger than {limit >> 20} MiB", "Train a smaller adapter or raise the limit.")
    config = read_json(path / CONFIG, CONFIG_LIMIT)
    check_config(config, base)
    tensors = read_header(path / WEIGHTS)
    modules: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, (dtype, shape) in tensors.items():
        found = KEY.fullmatch(name)
        if not found or dtype not in ("F32", "F16", "BF16") or len(shape) != 2:
            raise refuse(WEIGHTS, f"holds a tensor that is not part of a LoRA ({name[:80]})", "Train a plain LoRA.")
        modules.setdefault(found["module"], {})[found["side"]] = shape
    if not modules:
        raise refuse(WEIGHTS, "holds no tensors", "Train the adapter again.")
    layers = dict(base.model.named_modules())
    shapes: dict[str, Shape] = {}
    for module, sides in modules.items():
        layer = layers.get(module)
        linear = getattr(layer, "linear", layer)
        if not isinstance(linear, torch.nn.Linear):
            raise refuse(WEIGHTS, f"adapts {module[:80]}, which the base model does not have", "Use the matching base.")
        rank = int(match(patterns(config, "rank_pattern"), module, config["r"]))
        expected = {"A": (rank, linear.in_features), "B": (linear.out_features, rank)}
        if rank > MAX_RANK or sides != expected:
            raise refuse(WEIGHTS, f"has weights for {module[:80]} of another shape", "Use the base it was trained on.")
        alpha = match(patterns(config, "alpha_pattern"), module, config["lora_alpha"])
        shapes[module] = Shape(rank, alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank)
    return Adapter(path, digest(path), shapes)


def build_layer(linear: Any, routing: Routing) -> Any:
    """A layer that computes `linear` and adds each routed version's low-rank part to its own rows."""
    import torch
    from torch.nn import functional

    class AdaptedLinear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = linear
            self.pairs: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            y: torch.Tensor = self.linear(x)
            for version, begin, end in routing.spans:
                pair = self.pairs.get(version)
                if pair is not None:
                    y[begin:end].add_(functional.linear(functional.linear(x[begin:end], pair[0]), pair[1]))
            return y

    return AdaptedLinear()


class Versions:
    """The adapters loaded beside one base model. Names are never reused for other content.

    Not thread-safe: the decoding thread owns it.
    """

    def __init__(self, base: Base) -> None:
        self.base = base
        self.routing = Routing()
        self.loaded: dict[str, Adapter] = {}

    def names(self) -> list[str]:
        """Loaded versions, sorted, without the base."""
        return sorted(self.loaded)

    def digest_of(self, name: str) -> str:
        """The digest of the files that were read for `name`, the base's own for the base."""
        return self.loaded[name].digest if name in self.loaded else self.base.digest

    def require(self, name: str) -> None:
        """Raises NotFound unless `name` is the base or a loaded version."""
        if name != BASE and name not in self.loaded:
            known = ", ".join([BASE, *self.names()])
            raise NotFound(f"The model {name[:80]!r} is not loaded.", f"Load it first, or use one of: {known}.")

    def load(self, name: str, path: Path) -> Adapter:
        """Loads the adapter in `path` as `name`; the same content under the same name again changes nothing.

        Raises Conflict when the name already stands for other content, ArtefactRefused for a folder that fails a check.
        """
        import torch
        from safetensors.torch import load_file

        if name == BASE or not NAME.fullmatch(name):
            raise InvalidInput(
                f"{name[:80]!r} cannot name a version.", "Use letters, digits, dots and dashes, such as support-v2."
            )
        adapter = check_adapter(path, self.base)
        existing = self.loaded.get(name)
        if existing is not None:
            if existing.digest == adapter.digest:
                return existing
            raise Conflict(
                f"The version {name} is already loaded with other content.", "Load the new adapter under a new name."
            )
        weights = load_file(adapter.path / WEIGHTS)
        ready: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for module, shape in adapter.shapes.items():
            a = weights[f"base_model.model.{module}.lora_A.weight"].float()
            b = weights[f"base_model.model.{module}.lora_B.weight"].float() * shape.scale
            if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
                raise refuse(WEIGHTS, "holds numbers that are not finite", "Train the adapter again.")
            place, number = torch.device(self.base.device), self.base.dtype
            ready[module] = a.to(place, number), b.to(place, number)
        for module, pair in ready.items():
            self.adapted(module).pairs[name] = pair
        self.loaded[name] = adapter
        return adapter

    def adapted(self, module: str) -> Any:
        """The adapted layer at `module`, put in place of the plain one at its first use."""
        parent_name, _, leaf = module.rpartition(".")
        parent = self.base.model.get_submodule(parent_name)
        layer = getattr(parent, leaf)
        if not hasattr(layer, "pairs"):
            layer = build_layer(layer, self.routing)
            setattr(parent, leaf, layer)
        return layer

    def unload(self, name: str) -> bool:
        """Drops a version; False when it was not loaded. The caller makes sure that no row uses it."""
        adapter = self.loaded.pop(name, None)
        if adapter is None:
            return False
        for module in adapter.shapes:
            self.adapted(module).pairs.pop(name, None)
        return True

    def route(self, rows: list[str]) -> None:
        """Declares the version of every row of the next forward passes; neighbours of one version share a span."""
        spans: list[tuple[str, int, int]] = []
        for index, version in enumerate(rows):
            if spans and spans[-1][0] == version:
                spans[-1] = (version, spans[-1][1], index + 1)
            else:
                spans.append((version, index, index + 1))
        self.routing.spans = [span for span in spans if span[0] != BASE]
