"""What label_noise.py trains and scores: one run a call, in a process of its own, by Trimtab's trainer or TRL's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.types import PreferencePair
from retrain.pairs.drawing import write
from retrain.training.scoring import PairScore

ROOT = Path(__file__).resolve().parents[1]
STEP_PAIRS = 4
# Told to every loss that takes it, whatever the true rate: nobody knows that.
SMOOTHING = 0.1
LOSSES: dict[str, dict[str, Any]] = {
    "dpo": {},
    "cdpo": {"loss": "cdpo", "label_smoothing": SMOOTHING},
    "rdpo": {"loss": "rdpo", "label_smoothing": SMOOTHING},
    "drdpo": {"loss": "drdpo"},
    "em": {"reliability_every": 20, "noise_rate": SMOOTHING},
}
TRL_LOSSES = {"trl-sigmoid": ("sigmoid", 0.0), "trl-robust": ("robust", SMOOTHING)}


def train(
    folder: Path, pairs: Sequence[PreferencePair], loss: str, *, model: Path, seed: int, threads: int, peer: Path | None
) -> Path:
    """Train once through `pairs` with `loss` (of LOSSES or TRL_LOSSES) in `folder`; returns the adapter."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, "train.jsonl", pairs)
    spec = {
        "base_model": str(model.resolve()),
        "reference_cache": str(folder.parent / "reference"),
        "held_out": None,
        "max_steps": len(pairs) // STEP_PAIRS,
        "pairs_per_step": STEP_PAIRS,
        "lr": 2e-4,
        "schedule": "linear",
        "warmup_ratio": 0.0,
        "device": "cpu",
        "precision": "bf16",
        "threads": threads,
        "seed": seed,
        **LOSSES.get(loss, {}),
    }
    (folder / "spec.json").write_text(json.dumps(spec), "utf-8")
    if loss in TRL_LOSSES:
        run([__file__, str(folder), loss], threads, [ROOT, *([peer] if peer else [])])
    else:
        run(["-m", "retrain.train", str(folder)], threads, [ROOT])
    return folder / "adapter"


def run(arguments: Sequence[str], threads: int, paths: Sequence[Path]) -> None:
    """A child with these folders to import from; its last words when it fails."""
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_DATASETS_OFFLINE": "1"}
    environment = os.environ | quiet | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments[0]} failed: {done.stderr[-1500:]}")


def train_trl(folder: Path, loss: str) -> None:
    """TRL's DPOTrainer on the folder's pairs in the order of ours, from an adapter of the same shape."""
    import torch
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig
    from trl_side import plain_trainer

    from retrain.training.adapter import save_adapter
    from retrain.training.batches import order_pairs
    from retrain.training.policy import choose_hardware, load_policy
    from retrain.training.spec import load_spec, read_pairs

    spec = load_spec(folder)
    torch.set_num_threads(spec.threads or 1)
    base, steps = Path(spec.base_model), spec.max_steps or 0
    first = folder / "first"
    first.mkdir(exist_ok=True)
    save_adapter(
        load_policy(base, None, spec.lora, choose_hardware("cpu", "fp32", spec.threads), spec.seed), base, first
    )
    pairs = read_pairs(folder / "train.jsonl")
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = []
    for index in (i for step in range(steps) for i in order_pairs(len(pairs), step, STEP_PAIRS, spec.seed)):
        text = tokenizer.apply_chat_template(list(pairs[index].prompt), tokenize=False, add_generation_prompt=True)
        rows.append({"prompt": text, "chosen": pairs[index].chosen, "rejected": pairs[index].rejected})
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16), str(first), is_trainable=True
    )
    kind, smoothing = TRL_LOSSES[loss]
    config = DPOConfig(
        output_dir=str(folder / "trl"),
        use_cpu=True,
        bf16=True,
        per_device_train_batch_size=STEP_PAIRS,
        precompute_ref_batch_size=STEP_PAIRS,
        precompute_ref_log_probs=True,
        gradient_checkpointing=False,
        max_steps=steps,
        learning_rate=spec.lr,
        lr_scheduler_type="linear",
        beta=spec.beta,
        loss_type=[kind],
        label_smoothing=smoothing,
        max_length=spec.max_length,
        max_grad_norm=spec.max_grad_norm,
        save_strategy="no",
        report_to=[],
        seed=spec.seed,
        disable_tqdm=True,
        optim="adamw_torch_fused",
    )
    trainer = plain_trainer()(
        model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )
    trainer.train()
    model.save_pretrained(str(folder / "adapter"), safe_serialization=True)
    (folder / "adapter" / "README.md").unlink(missing_ok=True)


def hits(new: Sequence[PairScore], base: Sequence[PairScore]) -> list[float]:
    """1 where the margin against the base is above 0, one half at a tie; a value a pair."""
    margins = [(n.chosen - b.chosen) - (n.rejected - b.rejected) for n, b in zip(new, base, strict=True)]
    return [0.5 if margin == 0 else float(margin > 0) for margin in margins]


if __name__ == "__main__":
    train_trl(Path(sys.argv[1]), sys.argv[2])
