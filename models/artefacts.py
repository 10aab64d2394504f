"""What a model folder may contain, and the digest that names its content; the rest is refused before it is loaded."""

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import TrimtabError

MANIFEST = "manifest.json"
ADAPTER_CONFIG = "adapter_config.json"
JSON_LIMIT = 64 * 1024 * 1024
HEADER_LIMIT = 100 * 1024 * 1024
TEMPLATE_LIMIT = 1024 * 1024
PICKLED = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5", ".keras"})
EXECUTABLE = frozenset({".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".exe", ".pyz"})
ALLOWED_SUFFIXES = frozenset({".json", ".txt", ".jinja", ".model", ".safetensors"})
# Each of these lets a configuration name code to import or fetch, with remote code switched off or not.
CODE_KEYS = frozenset(
    {
        "auto_map",
        "auto_mapping",
        "custom_pipelines",
        "custom_generate",
        "trust_remote_code",
        "megatron_config",
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "_attn_implementation_autoset",
        "experts_implementation",
        "_experts_implementation",
        "_experts_implementation_internal",
        "kernel_config",
        "use_kernels",
    }
)
BUILT_IN = frozenset({"eager", "sdpa", "flash_attention_2", "flex_attention", "grouped_mm", "batched_mm"})
DTYPES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip


class ArtefactRefused(TrimtabError):
    """A model or adapter folder holds something that is never loaded."""


def refuse(name: object, problem: str, remedy: str) -> ArtefactRefused:
    """The error to raise for a file or folder called `name`."""
    return ArtefactRefused(f"{name} {problem}.", remedy)


def list_files(folder: Path) -> list[Path]:
    """Regular files under `folder`, sorted by relative name. Raises ArtefactRefused for links and special files."""
    found: list[Path] = []
    for root, directories, names in os.walk(folder, followlinks=False):
        directories[:] = sorted(d for d in directories if d != ".git" and d != ".cache")
        for name in [*directories, *names]:
            path = Path(root) / name
            if path.is_symlink():
                raise refuse(path.name, "is a link", "Copy the folder with its links resolved (cp -rL) and try again.")
        for name in sorted(names):
            path = Path(root) / name
            if not path.is_file():
                raise refuse(path.name, "is not a regular file", "Remove it from the folder.")
            found.append(path)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def read_json(path: Path, limit: int = JSON_LIMIT) -> dict[str, Any]:
    """The object in a JSON file of at most `limit` bytes."""
    if path.stat().st_size > limit:
        raise refuse(
            path.name, f"is larger than {limit // 1024} KiB", "Use a folder with ordinary configuration files."
        )
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise refuse(path.name, "is not valid JSON", "Download or write the file again.") from error
    if not isinstance(value, dict):
        raise refuse(path.name, "does not hold a JSON object", "Download or write the file again.")
    return value


def walk_keys(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of nested JSON with its value."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield from item.items()
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def refuse_code(path: Path, value: Any) -> None:
    """Raises ArtefactRefused when a configuration names code to import or to fetch."""
    for key, entry in walk_keys(value):
        built_in = isinstance(entry, str) and entry in BUILT_IN
        if key in CODE_KEYS and entry not in (None, False, {}, []) and not built_in:
            raise refuse(
                path.name, f"asks for custom code ({key})", "Use a model that a released transformers supports."
            )


def read_header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Tensor name -> (dtype, shape) of a safetensors file, after checking that its parts fill the file exactly."""
    size = path.stat().st_size
    broken = "is not a safetensors file"
    remedy = "Save the weights with safetensors and try again."
    with path.open("rb") as stream:
        head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= length <= min(HEADER_LIMIT, size - 8):
            raise refuse(path.name, broken, remedy)
        raw = stream.read(length)
    try:
        header = json.loads(raw)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        spans = sorted((int(entry["data_offsets"][0]), int(entry["data_offsets"][1])) for entry in tensors.values())
        shapes = {name: (str(e["dtype"]), tuple(int(n) for n in e["shape"])) for name, e in tensors.items()}
        lengths = {name: int(e["data_offsets"][1]) - int(e["data_offsets"][0]) for name, e in tensors.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise refuse(path.name, broken, remedy) from error
    position = 0
    for begin, end in spans:
        if begin != position or end < begin:
            raise refuse(path.name, "has tensors that overlap or leave gaps", remedy)
        position = end
    if position != size - 8 - length:
        raise refuse(path.name, "is cut short or has trailing bytes", remedy)
    for name, (dtype, shape) in shapes.items():
        count = 1
        for extent in shape:
            count *= extent
        if any(extent < 0 for extent in shape) or DTYPES.get(dtype, 0) * count != lengths[name]:
            raise refuse(path.name, f"declares a tensor that does not fit its bytes ({name[:80]})", remedy)
    return shapes


def inspect(folder: Path, needs: tuple[str, ...] = ("config.json",)) -> list[Path]:
    """The files of a model folder that may be loaded.

    Raises ArtefactRefused for pickled weights, executable files, links, configurations that name code, weight maps
    that leave the folder, broken safetensors files, and when a file in `needs` or the weights are missing.
    """
    if not folder.is_dir():
        raise refuse(folder, "is not a folder", "Give the folder that holds config.json and model.safetensors.")
    files = list_files(folder)
    names = {path.relative_to(folder).as_posix() for path in files}
    for path in files:
        suffix = path.suffix.lower()
        if suffix in PICKLED:
            raise refuse(path.name, "may hold a pickle", "Keep only safetensors weights in the folder and try again.")
        if suffix in EXECUTABLE:
            raise refuse(path.name, "is executable code", "Use a model that needs no code of its own.")
    missing = [name for name in needs if name not in names]
    if missing:
        raise refuse(folder.name, f"has no {missing[0]}", "Give the folder of a complete model.")
    allowed = [path for path in files if path.suffix.lower() in ALLOWED_SUFFIXES and path.name != MANIFEST]
    if not any(path.suffix == ".safetensors" for path in allowed):
        raise refuse(folder.name, "has no safetensors weights", "Convert the weights to safetensors and try again.")
    for path in allowed:
        if path.name.endswith(".index.json"):
            weights = read_json(path).get("weight_map")
            wanted = set(weights.values()) if isinstance(weights, dict) else {None}
            if any(not isinstance(n, str) or n != Path(n).name or n not in names for n in wanted):
                raise refuse(path.name, "names weights that are not in the folder", "Use a complete model folder.")
        elif path.suffix == ".json" and path.name not in ("vocab.json", "modules.json", "tokenizer.json"):
            refuse_code(path, read_json(path))
        elif path.suffix == ".jinja" and path.stat().st_size > TEMPLATE_LIMIT:
            raise refuse(path.name, "is larger than 1 MiB", "Use an ordinary chat template.")
        elif path.suffix == ".safetensors":
            read_header(path)
        elif path.stat().st_size > JSON_LIMIT and path.suffix != ".safetensors":
            raise refuse(path.name, "is larger than 64 MiB", "Use a folder with ordinary tokenizer files.")
    return allowed


def is_adapter(folder: Path) -> bool:
    """Whether a version's folder holds an adapter on a base, and not a whole model."""
    return (folder / ADAPTER_CONFIG).is_file()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(folder: Path) -> str:
    """SHA-256 over the sorted names and SHA-256 of all files but the manifest: equal exactly when the content is."""
    whole = hashlib.sha256()
    for path in list_files(folder):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST:
            whole.update(f"{hash_file(path)}  {name}\n".encode())
    return whole.hexdigest()
