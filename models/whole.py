"""A whole model beside the base: one whose weights were all trained answers from its own copy of them."""

from dataclasses import dataclass
from pathlib import Path

from core.errors import InvalidInput
from models.adapters import NAME, Adapter, Versions
from models.artefacts import refuse
from models.generate import Decoder
from models.load import Base, load_base
from models.requests import BASE


@dataclass(slots=True)
class Resident:
    """A model in memory, the versions that it answers for, and what decodes for them."""

    versions: Versions
    decoder: Decoder


def load_whole(name: str, path: Path, base: Base) -> Versions:
    """The model in `path` as the version `name`, on the device and in the number format of `base`.

    Raises InvalidInput for a name that cannot be used or a folder that holds no chat model, ArtefactRefused for what is
    never loaded and for a model that reads text otherwise than `base`: a request is read once for all versions.
    """
    if name == BASE or not NAME.fullmatch(name):
        raise InvalidInput(f"{name[:80]!r} cannot name a version.", "Use letters, digits, dots and dashes.")
    whole = load_base(path, device=base.device, dtype=str(base.dtype).removeprefix("torch."))
    ours, theirs = base.tokenizer, whole.tokenizer
    if ours.get_vocab() != theirs.get_vocab() or ours.chat_template != theirs.chat_template:
        raise refuse(path.name, "has another tokenizer or chat template than the base", "Serve it on its own.")
    versions = Versions(whole)
    # A version that adapts no layer of its own model is that model.
    versions.loaded[name] = Adapter(whole.path, whole.digest, {})
    return versions
