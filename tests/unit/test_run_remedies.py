"""What a run of the console tells of its failure names settings that the console has, and none of a spec's keys."""

from __future__ import annotations

import ast
import re
from dataclasses import fields

import pytest

from core.settings import RetrainSettings
from retrain.remedies import SETTINGS, for_run, in_settings
from retrain.training.spec import RunSpec
from tests.sources import ROOT, parse

# No proposed run sets them, and at their defaults nothing is wrong with them.
NEVER_TOLD = {
    "loss", "label_smoothing", "reliability_every", "router_aux_weight", "init_model", "init_adapter", "eval_every",
    "lora", "adapt_steps", "epochs", "reference", "held_out",
}  # fmt: skip
KEYS = "|".join(field.name for field in fields(RunSpec))
DEMANDS = re.compile(rf"\b(Lower|Raise|Set|Change|Leave|Use|use|lower) ({KEYS})\b")


def spoken() -> set[str]:
    """Every text in what a child runs."""
    files = [*(ROOT / "retrain/training").glob("*.py"), *(ROOT / "retrain/trainers").glob("*.py")]
    files += [ROOT / "retrain" / name for name in ("ending.py", "evaluate.py", "crossfit.py", "train.py")]
    nodes = (node for file in files for node in ast.walk(parse(file.read_text("utf-8"))))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_no_remedy_of_a_child_asks_the_console_for_a_key_of_the_spec() -> None:
    demands = {text for text in spoken() if DEMANDS.search(text)}
    assert len(demands) > 8, "the search finds what children say"
    bare = {text: found[2] for text in demands for found in DEMANDS.finditer(in_settings(text))}
    assert set(bare.values()) <= NEVER_TOLD, bare


def test_the_settings_that_are_named_exist() -> None:
    known = {field.name for field in fields(RetrainSettings)}
    told = " ".join(SETTINGS.values())
    assert set(re.findall(r"retrain\.(\w+)", told)) <= known
    assert set(SETTINGS) <= {field.name for field in fields(RunSpec)}


@pytest.mark.parametrize(
    ("child", "console"),
    [
        (
            "The run needs more memory than there is. Lower tokens_per_batch.",
            "The run needs more memory than there is. Lower retrain.tokens_per_batch, or free memory on the machine.",
        ),
        (
            "Step 3 gave a gradient that is not a number. Lower lr or use precision fp32.",
            "Step 3 gave a gradient that is not a number. Lower retrain.learning_rate (where all weights train: "
            "retrain.full_learning_rate) or set retrain.precision to fp32.",
        ),
        (
            "spec.json: cuda:1 is one device. Set device to auto, cpu or cuda, or devices to 1.",
            "cuda:1 is one device. Set retrain.device to auto, cpu or cuda, or retrain.devices to 1.",
        ),
        (
            "There is no device tpu. Use auto, cpu or cuda.",
            "There is no device tpu. Set retrain.device to auto, cpu or cuda.",
        ),
        ("spec.json: precision cannot be x. Use auto.", "retrain.precision cannot be x. Use auto."),
        ("spec.json: pairs_per_step must be above 0, not 0.", "retrain.pairs_per_step must be above 0, not 0."),
    ],
)
def test_a_remedy_names_the_setting_and_that_the_run_keeps_its_own(child: str, console: str) -> None:
    assert in_settings(child) == console
    assert for_run(child) == f"{console} This run keeps its settings: propose a new one then."
    assert for_run("The trainer was killed.") == "The trainer was killed."
