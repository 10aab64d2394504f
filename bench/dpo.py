"""DPO on a CPU, side by side with TRL's DPOTrainer in its best setting: tokens per CPU-second, and the losses.

    python bench/dpo.py --model MODELS/chat --pairs PAIRS.jsonl[.gz] [--steps 12] [--precision bf16]

Both sides start from the same adapter, see the same pairs in the same order and take the same optimiser steps, each
in a process of its own, by turns. TRL runs with a reference cache and without gradient checkpointing. A token counts
as real as often as TRL computes it: the prompt twice a pair. `--peer-path` names a folder with TRL and what it needs
(`pip install --target FOLDER --no-deps trl==1.16.* accelerate datasets ...`); without it only this side runs.
Exit code 1: below `--ratio`, or losses in fp32 further apart than 1e-3 relative.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
STEP_PAIRS = 4


def read_rows(path: Path, count: int, seed: int) -> list[dict[str, Any]]:
    """`count` pairs of a JSONL file, drawn by `seed`."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    rows = [json.loads(line) for line in text.splitlines()]
    return random.Random(seed).sample(rows, min(count, len(rows)))


def make_run(folder: Path, given: argparse.Namespace) -> None:
    """A run's folder whose first adapter, pairs and order both sides take."""
    from retrain.training.adapter import save_adapter
    from retrain.training.batches import order_pairs
    from retrain.training.policy import choose_hardware, load_policy
    from retrain.training.spec import LoraSpec

    rows = read_rows(given.pairs, given.steps * STEP_PAIRS, given.seed)
    names = ("id", "prompt", "chosen", "rejected")
    spec = {
        "base_model": str(given.model.resolve()),
        "init_adapter": str(folder / "first"),
        "max_steps": given.steps,
        "pairs_per_step": STEP_PAIRS,
        "schedule": "constant",
        "warmup_ratio": 0.0,
        "device": "cpu",
        "precision": given.precision,
        "threads": given.threads,
        "seed": given.seed,
    }
    policy = load_policy(given.model, None, LoraSpec(), choose_hardware("cpu", "fp32", given.threads), given.seed)
    (folder / "first").mkdir()
    save_adapter(policy, given.model, folder / "first")
    (folder / "train.jsonl").write_text("".join(json.dumps({n: r[n] for n in names}) + "\n" for r in rows), "utf-8")
    (folder / "spec.json").write_text(json.dumps(spec), "utf-8")
    order = [i for step in range(given.steps) for i in order_pairs(len(rows), step, STEP_PAIRS, given.seed)]
    (folder / "order.json").write_text(json.dumps(order), "utf-8")


def run_ours(folder: Path) -> dict[str, Any]:
    """This side: CPU-seconds of the reference and of the steps, and the losses."""
    from dataclasses import replace

    from retrain.trainers.dpo import prepare
    from retrain.training.progress import Progress, peak_memory_mb, read_events
    from retrain.training.reference import score_reference
    from retrain.training.spec import load_spec
    from retrain.training.trainer import TRAINERS, Job

    progress = Progress(folder / f"progress-{os.getpid()}.jsonl")
    spec = replace(load_spec(folder), reference_cache=str(folder / f"reference-{os.getpid()}"))
    work = folder / f"ours-{os.getpid()}"
    work.mkdir()
    (work / "train.jsonl").write_bytes((folder / "train.jsonl").read_bytes())
    job = Job(work, spec, progress, lambda: False, time.process_time)
    policy, pairs, skipped = prepare(job)
    if skipped:
        raise SystemExit(f"{len(skipped)} pairs are too long for both sides to take alike")
    began = time.process_time()
    score_reference(job, policy, pairs)
    reference = time.process_time() - began
    del policy
    TRAINERS.get("dpo")().train(job)
    events = read_events(progress.path)
    return {
        "reference": reference,
        "steps": next(e["seconds"] for e in events if e["event"] == "end"),
        "losses": [e["loss"] for e in events if e["event"] == "step"],
        "memory_mb": peak_memory_mb("cpu"),
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
        began = time.process_time()
        result = precompute(*given, **named)
        spent["reference"] += time.process_time() - began
        return result

    trainer_kind._precompute_ref_logps = time_reference

    config = DPOConfig(
        output_dir=str(folder / f"trl-{os.getpid()}"),
        use_cpu=True,
        bf16=low,
        per_device_train_batch_size=STEP_PAIRS,
        precompute_ref_batch_size=STEP_PAIRS,
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
    began = time.process_time()
    trainer.train()
    spent["steps"] = time.process_time() - began
    real = sum(
        2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in trainer.train_dataset
    )
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return {**spent, "losses": losses, "memory_mb": peak_memory_mb("cpu"), "real_tokens": real}


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
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--peer-path", type=Path, help="folder with TRL and what it needs")
    parser.add_argument("--ratio", type=float, default=2.0)
    parser.add_argument("--side", choices=("ours", "trl"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps({"ours": run_ours, "trl": run_trl}[given.side](given.folder)))
        return 0
    if given.model is None or given.pairs is None:
        parser.error("--model and --pairs are needed")
    sides = ["ours", *(["trl"] if given.peer_path else [])]
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as name:
        make_run(Path(name), given)
        for _ in range(given.rounds):
            for side in sides:
                results[side].append(start_side(side, Path(name), given))
                print(json.dumps({"side": side, **results[side][-1]}), flush=True)
    return judge(results, given)


def judge(results: dict[str, list[dict[str, Any]]], given: argparse.Namespace) -> int:
    """Print the rates and their ratio; the exit code says whether the bar is reached."""
    rates = {}
    for side, rounds in results.items():
        best = min(rounds, key=lambda r: r["reference"] + r["steps"])
        rates[side] = best["real_tokens"] / (best["reference"] + best["steps"])
        steps = best["real_tokens"] / best["steps"]
        print(f"{side}: {rates[side]:.0f} real tokens a CPU-second with the reference, {steps:.0f} in the steps alone")
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
