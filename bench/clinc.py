"""The clinc150 queries and attack rows with their embeddings, embedded once and kept, for the drift
benches.
"""

import argparse
import gzip
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

HOME = Path(os.environ.get("TRIMTAB_HOME", "~/.trimtab")).expanduser()


@dataclass(frozen=True)
class Corpus:
    """Texts with unit embeddings (n, 384) and labels: the intent's domain and the intent, "attack" for
    attack rows.
    """

    texts: list[str]
    rows: np.ndarray
    domains: np.ndarray
    intents: np.ndarray

    def take(self, index: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Return embeddings and texts of the given rows."""
        return self.rows[index], [self.texts[i] for i in index]


def options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the places of data, encoder and cache."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRIMTAB_DATA"), help="folder of the public data")
    parser.add_argument("--encoder", type=Path, default=HOME / "models" / "encoder")
    parser.add_argument("--cache", type=Path, default=HOME / "bench", help="embeddings and finished cells")
    return parser


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a gzipped JSONL file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def embed(texts: list[str], encoder: Path, cache: Path) -> np.ndarray:
    """Return embeddings of the texts, from the cache when the same texts were embedded before."""
    name = hashlib.sha256("\0".join([str(encoder), *texts]).encode()).hexdigest()[:16]
    kept = cache / f"embeddings-{name}.npy"
    if not kept.exists():
        from models.encoder import Encoder

        cache.mkdir(parents=True, exist_ok=True)
        print(f"embedding {len(texts)} texts", file=sys.stderr)
        partial = cache / f"{kept.stem}-{os.getpid()}.npy"
        np.save(partial, Encoder(encoder).embed(texts))
        partial.rename(kept)
    return np.load(kept, allow_pickle=False)


def load(args: argparse.Namespace) -> Corpus:
    """Return clinc150 (23,700 queries) and the attack rows of advbench and harmbench."""
    if args.data is None:
        raise SystemExit("Set TRIMTAB_DATA or --data to the folder of the public data.")
    queries = read(args.data / "clinc150" / "clinc150.jsonl.gz")
    attacks = [r for f in ("advbench", "harmbench") for p in (args.data / f).glob("*.gz") for r in read(p)]
    texts = [r["text"] for r in queries] + [r["prompt"] for r in attacks]
    labels = [(r["domain"], r["intent"]) for r in queries] + [("attack", "attack")] * len(attacks)
    domains, intents = zip(*labels, strict=True)
    return Corpus(texts, embed(texts, args.encoder, args.cache), np.array(domains), np.array(intents))
