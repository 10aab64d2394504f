"""Sentence embeddings for the monitors, in one fixed number format, with a key under which they can be cached."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput
from models.artefacts import digest, inspect, read_json
from models.device import choose_device, choose_dtype
from models.prepare import read_manifest
from models.score import batches

if TYPE_CHECKING:
    import numpy as np

TOKENS_A_BATCH = 4096
LONGEST = 256


def cache_key(identity: str, text: str) -> str:
    """SHA-256 of the encoder's identity and the text: equal exactly when the embedding may be reused."""
    return hashlib.sha256(identity.encode() + b"\0" + text.encode("utf-8", "surrogatepass")).hexdigest()


class EncoderMissing(InvalidInput):
    """No encoder was prepared: what was asked for can be asked again once one is."""


class Encoder:
    """Mean-pooled, L2-normed sentence embeddings (Reimers and Gurevych 2019, section 3).

    `dtype` is float32 or bfloat16 and belongs to the identity: embeddings of two formats are not comparable, so a
    baseline keeps one. `threads` limits torch in the whole process; None leaves it alone.
    """

    def __init__(self, path: Path, *, dtype: str = "float32", device: str = "cpu", threads: int | None = None) -> None:
        path = path.expanduser()
        if not path.is_dir():
            raise EncoderMissing(f"The encoder folder {path} does not exist.", "Run: trimtab models prepare.")
        if dtype not in ("float32", "bfloat16"):
            raise InvalidInput(f"The encoder's number format {dtype!r} is unknown.", "Use float32 or bfloat16.")
        inspect(path)
        # After what may be refused: to load these takes seconds.
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        if threads is not None:
            torch.set_num_threads(threads)
        logging.disable_progress_bar()
        self.device = choose_device(device)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        model: Any = AutoModel.from_pretrained(
            path,
            dtype=choose_dtype(dtype, self.device),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
        self.model = model.to(self.device).eval().requires_grad_(False)
        self.width = int(model.config.hidden_size)
        settings = path / "sentence_bert_config.json"
        wanted = read_json(settings).get("max_seq_length", LONGEST) if settings.is_file() else LONGEST
        self.longest = min(int(wanted), int(model.config.max_position_embeddings))
        manifest = read_manifest(path)
        content = manifest["digest"] if manifest else digest(path)
        self.identity = json.dumps([content, dtype, self.longest])

    def key(self, text: str) -> str:
        """The cache key of a text under this encoder."""
        return cache_key(self.identity, text)

    def embed(self, texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """Embeddings (len(texts), width), float32, unit length, in the order of `texts`; equal texts are encoded once.

        A text is cut after the model's longest input (256 tokens for the default encoder).
        """
        import numpy as np
        import torch

        result = np.zeros((len(texts), self.width), dtype=np.float32)
        places: dict[str, list[int]] = {}
        for index, text in enumerate(texts):
            places.setdefault(text, []).append(index)
        unique = list(places)
        if not unique:
            return result
        ids: list[list[int]] = self.tokenizer(unique, truncation=True, max_length=self.longest).input_ids
        for group in batches([len(row) for row in ids], TOKENS_A_BATCH):
            longest = max(len(ids[index]) for index in group)
            padded = torch.full((len(group), longest), int(self.tokenizer.pad_token_id or 0))
            mask = torch.zeros(len(group), longest, dtype=torch.long)
            for row, index in enumerate(group):
                padded[row, : len(ids[index])] = torch.tensor(ids[index])
                mask[row, : len(ids[index])] = 1
            padded, mask = padded.to(self.device), mask.to(self.device)
            with torch.inference_mode():
                states = self.model(input_ids=padded, attention_mask=mask).last_hidden_state.float()
                weights = mask.unsqueeze(-1).float()
                mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
                vectors = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
            for row, index in enumerate(group):
                result[places[unique[index]]] = vectors[row]
        return result
