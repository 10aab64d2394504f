"""Speed of the local decoder on the default chat model, beside transformers' own generate in the same run.

Run: python bench/generation.py --threads 1 --repeats 3. Prints one JSON line a case: tokens a second and a
CPU-second (best of the repeats) for one row and for eight, base and adapter, prompts included, and the wait for
the first token of another version's request that arrives while eight long answers run. Best of several, since
other work on the machine only ever slows a run down.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.adapters import Versions
from models.generate import Decoder
from models.load import Base, load_base
from models.protocol import encode
from models.requests import BASE, Piece, Request, Sampling

QUESTION = "Tell me a long story about a lighthouse keeper and the ships that pass by at night."


def build_request(base: Base, version: str, tokens: int, pieces: list[Piece], at: int = 0) -> Request:
    """A sampled request that differs from the others by its number."""
    prompt = encode(base, [{"role": "user", "content": f"{QUESTION} Story {at}."}])
    return Request(version, prompt, Sampling(max_tokens=tokens, temperature=0.7, top_p=0.9, seed=at), pieces.append)


def decode(base: Base, versions: Versions, version: str, rows: int, tokens: int) -> tuple[int, float]:
    """Tokens made and seconds taken by `rows` answers in one batch."""
    decoder = Decoder(base, versions, time.perf_counter)
    requests = [build_request(base, version, tokens, [], at) for at in range(rows)]
    begin = time.perf_counter()
    decoder.admit(requests)
    while decoder.step():
        pass
    return sum(len(request.ids) for request in requests), time.perf_counter() - begin


def generate(base: Base, rows: int, tokens: int) -> tuple[int, float]:
    """The same by transformers' generate, which cannot stream, join or mix versions."""
    import torch

    prompts = [build_request(base, BASE, tokens, [], at).prompt for at in range(rows)]
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in prompts], device=base.device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts], device=base.device)
    begin = time.perf_counter()
    with torch.inference_mode():
        made = base.model.generate(
            ids, attention_mask=mask, max_new_tokens=tokens, do_sample=True, temperature=0.7, top_p=0.9, top_k=0
        )
    seconds = time.perf_counter() - begin
    fresh = made[:, longest:]
    ends = torch.isin(fresh, torch.tensor(base.end_ids, device=base.device)).int()
    return int((ends.cumsum(1) - ends == 0).sum()), seconds


def wait_for_first(base: Base, versions: Versions, version: str) -> float:
    """Seconds to the first token of a request for `version` while eight long answers of the base run."""
    decoder = Decoder(base, versions, time.perf_counter)
    decoder.admit([build_request(base, BASE, 200, [], at) for at in range(8)])
    for _ in range(10):
        decoder.step()
    late = build_request(base, version, 8, [])
    begin = time.perf_counter()
    decoder.admit([late])
    while not late.ids:
        decoder.step()
    return time.perf_counter() - begin


def write_adapter(base: Base, folder: Path, rank: int = 16) -> None:
    """A random LoRA over every linear layer, saved by PEFT as training saves it."""
    import warnings

    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fresh = load_base(base.path, device="cpu", dtype="bfloat16").model
        settings = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM")
        get_peft_model(fresh, settings).save_pretrained(str(folder))


def tell(case: str, dtype: str, threads: int, **figures: float) -> None:
    rounded = {name: round(value, 3) for name, value in figures.items()}
    print(json.dumps({"case": case, "dtype": dtype, "threads": threads, **rounded}), flush=True)


def main() -> None:
    """Run the cases and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    home = Path(os.environ.get("TRIMTAB_HOME", "~/.trimtab")).expanduser()
    parser.add_argument("--model", type=Path, default=home / "models" / "chat")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", nargs="+", default=["bfloat16", "float32"])
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    for dtype in given.dtype:
        base = load_base(given.model, dtype=dtype)
        versions = Versions(base)
        cases: dict[str, Callable[[], tuple[int, float]]] = {
            f"transformers generate, {rows} rows": partial(generate, base, rows, given.tokens) for rows in (1, 8)
        }
        cases |= {
            f"decoder, {rows} rows of {version}": partial(decode, base, versions, version, rows, given.tokens)
            for version in (BASE, "bench-v1")
            for rows in (1, 8)
        }
        for name, case in cases.items():
            if "bench-v1" in name and not versions.names():
                with tempfile.TemporaryDirectory() as folder:
                    write_adapter(base, Path(folder))
                    versions.load("bench-v1", Path(folder))
            rates, costs = [], []
            for _ in range(given.repeats):
                before = time.process_time()
                made, seconds = case()
                rates.append(made / seconds)
                costs.append(made / (time.process_time() - before))
            tell(name, dtype, given.threads, tokens_per_second=max(rates), tokens_per_cpu_second=max(costs))
        waits = [wait_for_first(base, versions, "bench-v1") for _ in range(given.repeats)]
        name = "first token of another version beside 8 running rows"
        tell(name, dtype, given.threads, seconds=min(waits), median=statistics.median(waits))


if __name__ == "__main__":
    main()
