"""Held-out scoring: equal versions tie, better ones win, and the files say so."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import InvalidInput
from retrain import artefacts, shared
from retrain.evaluate import evaluate
from retrain.training.policy import Hardware
from retrain.training.progress import Progress, read_events
from retrain.training.scoring import Scorer, reward_hits, score_pairs, summarise
from retrain.training.spec import load_spec, read_pairs
from retrain.training.trainer import TRAINERS, Job

pytestmark = pytest.mark.slow

HARDWARE = Hardware("cpu", "fp32", 1, "test")


def never() -> bool:
    return False


@pytest.fixture
def trained(make_run):
    folder = make_run("trained", max_steps=30)
    TRAINERS.get("dpo")().train(
        Job(folder, load_spec(folder), Progress(folder / "progress.jsonl"), never, time.monotonic)
    )
    return folder


def test_a_trained_candidate_beats_the_base(trained):
    shared.note_shared(trained, {"pairs": 2, "of": 80, "prompts": 1, "warning": "Two ask what was trained on."})
    result = evaluate(trained, Progress(trained / "progress.jsonl"), never, time.monotonic)
    written = json.loads((trained / "evaluation.json").read_text("utf-8"))
    assert written["versions"]["champion"]["accuracy"]["value"] == 0.5
    assert written["versions"]["candidate"]["accuracy"]["value"] > 0.8
    assert written["topics"] == [] and "names no encoder" in written["topics_missing"]
    assert written["pairs"] == written["shared_prompts"]["of"] == 80
    assert written["prompts"] == 40
    assert result["difference"]["accuracy"].n == 80
    rows = [json.loads(line) for line in (trained / "evaluation_pairs.jsonl").read_text("utf-8").splitlines()]
    hits = [row["candidate"]["reward_hit"] for row in rows]
    assert sum(hits) / 80 == written["versions"]["candidate"]["accuracy"]["value"]
    calibration = written["calibration"]
    assert calibration["beta"] == 0.1
    champion, candidate = (calibration["versions"][name] for name in ("champion", "candidate"))
    assert (champion["brier"]["value"], champion["error"]["value"]) == (0.25, 0.0), "a margin of 0 is a coin's throw"
    assert candidate["brier"]["value"] < 0.25 and calibration["brier_difference"]["value"] < 0
    assert sum(part["n"] for part in candidate["reliability"]) == 80
    events = read_events(trained / "progress.jsonl")
    assert events[-1]["event"] == "evaluated"
    told = [row for row in events if row["event"] == "evaluate"]
    assert told[-1]["step"] == told[-1]["of"] == 160 and told[-1]["eta_s"] == 0


def test_what_is_judged_is_the_adopted_copy_and_no_other(trained, tmp_path):
    digest, path = artefacts.adopt(tmp_path, trained / "adapter", base="b" * 64)
    artefacts.note_adopted(trained, tmp_path / path, digest)
    own = trained / "adapter" / "adapter_model.safetensors"
    spoiled = {name: tensor * 0 for name, tensor in load_file(own).items()}
    save_file(spoiled, own)
    told = evaluate(trained, Progress(trained / "progress.jsonl"), never, time.monotonic)
    assert told["versions"]["candidate"]["accuracy"].value > 0.8 and told["update"]["norm"] > 0
    save_file(spoiled, tmp_path / path / own.name)
    with pytest.raises(InvalidInput, match=r"not those that were adopted\. Propose a new run\."):
        evaluate(trained, Progress(trained / "progress.jsonl"), never, time.monotonic)


def test_scores_are_those_of_each_version_alone(trained, tiny_model, tmp_path):
    pairs = read_pairs(trained / "held_out.jsonl")
    other = tmp_path / "other"
    other.mkdir()
    tensors = load_file(trained / "adapter" / "adapter_model.safetensors")
    save_file(
        {name: -tensor for name, tensor in tensors.items() if "lora_B" in name}
        | {name: tensor for name, tensor in tensors.items() if "lora_B" not in name},
        other / "adapter_model.safetensors",
    )
    (other / "adapter_config.json").write_bytes((trained / "adapter" / "adapter_config.json").read_bytes())
    both = score_pairs(tiny_model, {"v1.2": trained / "adapter", "worse": other}, pairs, hardware=HARDWARE)
    for name, path in {"v1.2": trained / "adapter", "worse": other}.items():
        alone = score_pairs(tiny_model, {"x": path}, pairs, hardware=HARDWARE)
        assert both.versions[name] == alone.versions["x"]
        assert both.versions["base"] == alone.versions["base"]
    # Turning the adapter round turns its preference round.
    summary = summarise(both, "v1.2", "worse")
    assert summary["difference"]["accuracy"].value > 0.5


def test_a_version_without_an_adapter_is_the_base_and_ties(tiny_model, trained):
    pairs = read_pairs(trained / "held_out.jsonl")
    scores = score_pairs(tiny_model, {"champion": None}, pairs, hardware=HARDWARE)
    assert reward_hits(scores, "champion") == [0.5] * 80


def test_how_far_it_is_counts_tokens_as_the_longest_pairs_come_first(tiny_model, trained):
    told = []
    pairs = read_pairs(trained / "held_out.jsonl")
    longer = [replace(pair, id=f"{pair.id}-long", chosen=pair.chosen * 40) for pair in pairs[:8]]
    scorer = Scorer(tiny_model, {"c": trained / "adapter"}, hardware=HARDWARE)
    scorer.score([*pairs, *longer], lambda *row: told.append(row))
    assert [share for *_, share in told] == sorted(share for *_, share in told)
    done, of, share = told[0]
    assert share > 2 * done / of
    assert told[-1] == (176, 176, pytest.approx(1.0))


def test_scores_do_not_depend_on_how_pairs_are_packed(tiny_model, trained):
    pairs = read_pairs(trained / "held_out.jsonl")
    packed, loose = (
        score_pairs(tiny_model, {"c": trained / "adapter"}, pairs, hardware=HARDWARE, row_tokens=size)
        for size in (1000, 1)
    )
    for left, right in zip(packed.versions["c"], loose.versions["c"], strict=True):
        torch.testing.assert_close(
            torch.tensor([left.chosen, left.rejected]), torch.tensor([right.chosen, right.rejected]), atol=1e-4, rtol=0
        )


def test_the_child_says_what_is_missing(make_run, start_child):
    folder = make_run("untrained")
    child = start_child("retrain.evaluate", folder)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 2
    assert error.strip() == "The run has no adapter to evaluate. Finish its training first."
