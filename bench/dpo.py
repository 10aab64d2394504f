"""Bar R1: DPO side by side with TRL's DPOTrainer in its best setting: tokens a second, memory, MFU, and the losses.

    python bench/dpo.py --model MODELS/chat --pairs PAIRS.jsonl[.gz] [--steps 12] [--precision bf16] --peer-path DIR
    python bench/dpo.py --shape 1.7B --device cuda --step-pairs 16 --tokens-per-batch 32768 --ratio 3 --peer-path DIR

Both sides start from the same adapter, see the same pairs in the same order and take the same optimiser steps, each
in a process of its own, by turns. TRL runs with a reference cache and without gradient checkpointing. A token counts
as real as often as TRL computes it: the prompt twice a pair. Seconds are the processor's own on a CPU and those of the
clock on a GPU, where pairs a second and this side's MFU are told too.
`--peer-path` names a folder with TRL and what it needs (`pip install --target FOLDER --no-deps trl==1.16.* accelerate
datasets ...`); without it only this side runs. Without `--pairs` they are random letters, without `--model` the weights
are random ones in the `--shape` of a SmolLM2: speed asks for no more. `--curves FILE` draws both losses.
Exit code 1: below `--ratio`, or losses in fp32 further apart than 1e-3 relative.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# Hidden and inner width, layers, heads, key-value heads.
SHAPES = {"135M": (576, 1536, 30, 9, 3), "360M": (960, 2560, 32, 15, 5), "1.7B": (2048, 8192, 24, 32, 32)}
VOCABULARY, CONTEXT = 49_152, 8192
PROMPT, ANSWER = 384, 128  # tokens of a made pair, about those of public preference data


def write_model(folder: Path, shape: str) -> Path:
    """A model of random bf16 weights in the shape of a SmolLM2, with a tokenizer of bytes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from models.tiny import write_tokenizer

    hidden, inner, layers, heads, keys = SHAPES[shape]
    size = write_tokenizer(folder)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=keys,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=size - 2,
        eos_token_id=size - 1,
        pad_token_id=size - 1,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def read_rows(path: Path | None, count: int, seed: int) -> list[dict[str, Any]]:
    """`count` pairs of a JSONL file, drawn by `seed`; without a file of random letters."""
    draw = random.Random(seed)
    if path is None:

        def letters(count: int) -> str:
            return "".join(draw.choices(string.ascii_lowercase + " ", k=count))

        lengths = [(letters(PROMPT), letters(ANSWER), letters(ANSWER)) for _ in range(count)]
        return [{"id": str(n), "prompt": p, "chosen": c, "rejected": r} for n, (p, c, r) in enumerate(lengths)]
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    rows = [json.loads(line) for line in text.splitlines()]
    return draw.sample(rows, min(count, len(rows)))


def make_run(folder: Path, given: argparse.Namespace) -> None:
    """A run's folder whose first adapter, pairs and order both sides take."""
    from retrain.training.adapter import save_adapter
    from retrain.training.batches import order_pairs
    from retrain.training.policy import choose_hardware, load_policy
    from retrain.training.spec import LoraSpec

    model = given.model or write_model(folder / "model", given.shape)
    rows = read_rows(given.pairs, given.steps * given.step_pairs, given.seed)
    names = ("id", "prompt", "chosen", "rejected")
    spec = {
        "base_model": str(model.resolve()),
        "init_adapter": str(folder / "first"),
        "max_steps": given.steps,
        "pairs_per_step": given.step_pairs,
        "schedule": "constant",
        "warmup_ratio": 0.0,
        "device": given.device,
        "precision": given.precision,
        "threads": given.threads,
        "seed": given.seed,
        **({"tokens_per_batch": given.tokens_per_batch} if given.tokens_per_batch else {}),
    }
    policy = load_policy(model, None, LoraSpec(), choose_hardware("cpu", "fp32", given.threads), given.seed)
    (folder / "first").mkdir()
    save_adapter(policy, model, folder / "first")
    (folder / "train.jsonl").write_text("".join(json.dumps({n: r[n] for n in names}) + "\n" for r in rows), "utf-8")
    (folder / "spec.json").write_text(json.dumps(spec), "utf-8")
    order = [i for step in range(given.steps) for i in order_pairs(len(rows), step, given.step_pairs, given.seed)]
    (folder / "order.json").write_text(json.dumps(order), "utf-8")


def clock_of(device: str) -> Callable[[], float]:
    """The processor's own seconds; for a GPU those of the clock, once it has done what it was asked."""
    if device == "cpu":
        return time.process_time
    import torch

    def wait_and_look() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return wait_and_look


def run_ours(folder: Path) -> dict[str, Any]:
    """This side: seconds of the reference and of the steps, and the losses."""
    from dataclasses import replace

    from retrain.trainers.dpo import prepare
    from retrain.training.progress import Progress, peak_memory_mb, read_events
    from retrain.training.reference import score_reference
    from retrain.training.spec import load_spec
    from retrain.training.trainer import TRAINERS, Job

    progress = Progress(folder / f"progress-{os.getpid()}.jsonl")
    spec = replace(load_spec(folder), reference_cache=str(folder / f"reference-{os.getpid()}"))
    clock = clock_of(spec.device)
    work = folder / f"ours-{os.getpid()}"
    work.mkdir()
    (work / "train.jsonl").write_bytes((folder / "train.jsonl").read_bytes())
    job = Job(work, spec, progress, lambda: False, clock)
    policy, pairs, skipped = prepare(job)
    if skipped:
        raise SystemExit(f"{len(skipped)} pairs are too long for both sides to take alike")
    began = clock()
    score_reference(job, policy, pairs)
    reference = clock() - began
    del policy
    TRAINERS.get("dpo")().train(job)
    events = read_events(progress.path)
    steps = [event for event in events if event["event"] == "step"]
    return {
        "reference": reference,
        "steps": next(e["seconds"] for e in events if e["event"] == "end"),
        "losses": [step["loss"] for step in steps],
        "mfu": [step["mfu"] for step in steps],
        "memory_mb": peak_memory_mb(spec.device),
        "pairs": len(pairs),
        "real_tokens": sum(len(s.ids) for pair in pairs for s in pair.sequences),
    }


def run_trl(folder: Path) -> dict[str, Any]:
    """TRL's side, with its reference cache, without gradient checkpointing, in the order of ours."""
    import torch
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig
    from trl_side import plain_trainer

    from retrain.training.progress import peak_memory_mb
    from retrain.training.spec import load_spec, read_pairs

    spec = load_spec(folder)
    clock = clock_of(spec.device)
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    pairs = read_pairs(folder / "train.jsonl")
    tokenizer = AutoTokenizer.from_pretrained(spec.base_model)
    rows = []
    for index in json.loads((folder / "order.json").read_text("utf-8")):
        messages = [{"role": "user", "content": pairs[index].prompt}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        rows.append({"prompt": text, "chosen": pairs[index].chosen, "rejected": pairs[index].rejected})
    low = spec.precision == "bf16"
    base = AutoModelForCausalLM.from_pretrained(spec.base_model, dtype=torch.bfloat16 if low else torch.float32)
    model = PeftModel.from_pretrained(base, str(spec.init_adapter), is_trainable=True)
    spent = {"reference": 0.0, "steps": 0.0}

    trainer_kind = plain_trainer()
    precompute = trainer_kind._precompute_ref_logps

    def time_reference(*given: Any, **named: Any) -> Any:
        began = clock()
        result = precompute(*given, **named)
        spent["reference"] += clock() - began
        return result

    trainer_kind._precompute_ref_logps = time_reference

    config = DPOConfig(
        output_dir=str(folder / f"trl-{os.getpid()}"),
        use_cpu=spec.device == "cpu",
        bf16=low,
        per_device_train_batch_size=spec.pairs_per_step,
        precompute_ref_batch_size=spec.pairs_per_step,
        precompute_ref_log_probs=True,
        gradient_checkpointing=False,
        max_steps=spec.max_steps,
        learning_rate=spec.lr,
        lr_scheduler_type="constant",
        beta=spec.beta,
        max_length=spec.max_length,
        max_grad_norm=spec.max_grad_norm,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        seed=spec.seed,
        disable_tqdm=True,
        optim="adamw_torch_fused",
    )
    data = Dataset.from_list(rows)
    trainer = trainer_kind(model=model, args=config, train_dataset=data, processing_class=tokenizer)
    began = clock()
    trainer.train()
    spent["steps"] = clock() - began
    real = sum(
        2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in trainer.train_dataset
    )
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    memory = peak_memory_mb(spec.device)
    return {**spent, "losses": losses, "memory_mb": memory, "pairs": len(rows), "real_tokens": real}


def start_side(side: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run one side in a process of its own and return what it reports."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    paths = [str(ROOT), *([str(given.peer_path)] if side == "trl" else [])]
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_DATASETS_OFFLINE": "1"}
    threads = {"OMP_NUM_THREADS": str(given.threads), "HF_HOME": str(folder / "hub"), "TOKENIZERS_PARALLELISM": "false"}
    environment = os.environ | quiet | threads | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a chat model")
    parser.add_argument("--shape", choices=SHAPES, default="135M", help="of random weights where no model is named")
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--step-pairs", type=int, default=4)
    parser.add_argument("--tokens-per-batch", type=int, help="of this side's forward passes")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--peer-path", type=Path, help="folder with TRL and what it needs")
    parser.add_argument("--ratio", type=float, default=2.0)
    parser.add_argument("--curves", type=Path, help="HTML file for a picture of the losses")
    parser.add_argument("--side", choices=("ours", "trl"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps({"ours": run_ours, "trl": run_trl}[given.side](given.folder)))
        return 0
    sides = ["ours", *(["trl"] if given.peer_path else [])]
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as name:
        make_run(Path(name), given)
        for _ in range(given.rounds):
            for side in sides:
                results[side].append(start_side(side, Path(name), given))
                print(json.dumps({"side": side, **results[side][-1]}), flush=True)
    if given.curves:
        draw_losses({side: rounds[0]["losses"] for side, rounds in results.items()}, given.curves)
    return judge(results, given)


def draw_losses(losses: dict[str, list[float]], path: Path) -> None:
    """Write a page with the loss of each side by step."""
    from plotly.graph_objects import Figure, Scatter

    figure = Figure([Scatter(x=list(range(1, len(told) + 1)), y=told, name=side) for side, told in losses.items()])
    figure.update_layout(title="DPO loss by step", xaxis_title="step", yaxis_title="loss")
    figure.write_html(path)


def judge(results: dict[str, list[dict[str, Any]]], given: argparse.Namespace) -> int:
    """Print the rates and their ratio; the exit code says whether the bar is reached."""
    rates = {}
    unit = "CPU-second" if given.device == "cpu" else "second"
    for side, rounds in results.items():
        best = min(rounds, key=lambda r: r["reference"] + r["steps"])
        seconds = best["reference"] + best["steps"]
        rates[side] = best["real_tokens"] / seconds
        line = f"{side}: {rates[side]:.0f} real tokens and {best['pairs'] / seconds:.2f} pairs a {unit} with the "
        line += f"reference, {best['real_tokens'] / best['steps']:.0f} and {best['pairs'] / best['steps']:.2f} in the "
        line += f"steps alone; {best['memory_mb']} MiB at most"
        if known := [share for share in best.get("mfu", ()) if share is not None]:
            line += f"; MFU in the steps {sum(known) / len(known):.2f} of what a large product reaches here"
        print(line)
    if "trl" not in rates:
        print("TRL was not measured: name its folder with --peer-path")
        return 0
    ratio = rates["ours"] / rates["trl"]
    ours, theirs = (results[side][0]["losses"] for side in ("ours", "trl"))
    apart = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))
    print(f"ratio {ratio:.2f}, losses at most {apart:.1e} apart (relative, {given.precision})")
    return int(ratio < given.ratio or (given.precision == "fp32" and apart > 1e-3))


if __name__ == "__main__":
    sys.exit(main())
