"""KTO: its value function in closed form, its weights for unbalanced thumbs, its mismatches, and what it learns."""

from __future__ import annotations

import json
import math
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from retrain.trainers.kto import Prospect, balance, kto
from retrain.training.progress import Progress, read_events
from retrain.training.rows import Tokens
from retrain.training.spec import RunSpec, load_spec
from retrain.training.thumbs import find_partners
from retrain.training.trainer import DONE, TRAINERS, Job

RATIOS = torch.tensor([0.5, -1.0, 2.0, 0.0], dtype=torch.float64)
LIKED = torch.tensor([True, True, False, False])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_the_loss_is_lambda_less_the_value_around_the_reference_point():
    expected = [
        2.0 * (1 - sigmoid(0.4 * (0.5 - 0.3))),
        2.0 * (1 - sigmoid(0.4 * (-1.0 - 0.3))),
        3.0 * (1 - sigmoid(0.4 * (0.3 - 2.0))),
        3.0 * (1 - sigmoid(0.4 * (0.3 - 0.0))),
    ]
    assert kto(RATIOS, LIKED, 0.3, 0.4, (2.0, 3.0)).tolist() == pytest.approx(expected, abs=1e-12)


def test_the_gradient_is_that_of_finite_differences():
    free = RATIOS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda ratios: kto(ratios, LIKED, 0.3, 0.4, (1.0, 1.3)), (free,))


def test_liked_answers_are_pushed_up_and_others_down():
    free = RATIOS.clone().requires_grad_()
    kto(free, LIKED, 0.0, 0.1, (1.0, 1.0)).sum().backward()
    assert (free.grad < 0).tolist() == LIKED.tolist()


@given(st.integers(1, 500), st.integers(1, 500))
def test_the_usual_weights_balance_both_kinds_and_raise_the_rarer(liked, disliked):
    first, second = balance(liked, disliked, RunSpec("x"))
    assert first * liked == pytest.approx(second * disliked)
    assert min(first, second) == 1.0


def test_weights_that_are_given_are_kept():
    assert balance(90, 10, RunSpec("x", lambda_desirable=1.0, lambda_undesirable=5.0)) == (1.0, 5.0)
    assert balance(90, 10, RunSpec("x", lambda_desirable=2.0)) == (2.0, pytest.approx(18.0))
    assert balance(90, 10, RunSpec("x", lambda_undesirable=9.0)) == (pytest.approx(1.0), 9.0)
    assert balance(5, 0, RunSpec("x")) == (1.0, 1.0)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=30), st.integers(0, 9))
def test_a_mismatch_always_answers_another_prompt(prompts, seed):
    own = [Tokens((prompt,), (10 + place,)) for place, prompt in enumerate(prompts)]
    if len(set(prompts)) < 2:
        with pytest.raises(InvalidInput, match="one prompt"):
            find_partners(own, seed)
        return
    for index, partner in enumerate(find_partners(own, seed)):
        assert prompts[index] != prompts[partner]


def make_thumbs(folder, liked_share: float = 0.5) -> None:
    """A thumb on each answer of the run's pairs: capitals are liked."""
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text("utf-8").splitlines()]
    liked = [{"id": f"{r['id']}+", "prompt": r["prompt"], "completion": r["chosen"], "desirable": True} for r in rows]
    other = [
        {"id": f"{r['id']}-", "prompt": r["prompt"], "completion": r["rejected"], "desirable": False} for r in rows
    ]
    kept = other[: round(len(liked) / liked_share - len(liked))]
    (folder / "thumbs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*liked, *kept]), "utf-8")


def start(folder) -> Job:
    return Job(folder, load_spec(folder), Progress(folder / "progress.jsonl"), lambda: False, time.monotonic)


def events_of(folder, name) -> list[dict]:
    return [event for event in read_events(folder / "progress.jsonl") if event["event"] == name]


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_from_single_thumbs_it_learns_to_prefer_held_out_answers_like_the_liked_ones(make_run, share):
    folder = make_run("a", trainer="kto", max_steps=24, eval_every=24, pairs_per_step=8)
    make_thumbs(folder, share)
    assert TRAINERS.get("kto")().train(start(folder)) == DONE
    first, last = events_of(folder, "step")[0], events_of(folder, "step")[-1]
    told = events_of(folder, "start")[0]
    # Nothing has moved yet: every value is one half of its lambda, and the reference point is 0.
    assert first["kl"] == pytest.approx(0.0, abs=1e-5), "but for what other batches round otherwise"
    assert told["lambda_undesirable"] == pytest.approx(share / (1 - share), rel=1e-4)
    assert last["loss"] < first["loss"]
    assert events_of(folder, "eval")[0]["accuracy"] > 0.9


def test_the_reference_point_is_the_mean_log_ratio_on_mismatches_and_never_below_0(make_run):
    folder = make_run("a", trainer="kto")
    make_thumbs(folder)
    prospect = Prospect(start(folder))
    assert prospect.prepare()
    thumbs = prospect.thumbs[:6]
    with torch.no_grad():
        for name, parameter in prospect.policy.trainable().items():
            if "lora_B" in name:
                parameter.add_(0.05)
        prospect.policy.model.eval()
        ratios = [
            float(prospect.policy.score_alone(thumb.mismatched.ids, len(thumb.mismatched.prompt)))
            - prospect.cache.get(thumb.key)[1]
            for thumb in thumbs
        ]
    expected = max(0.0, sum(ratios) / len(ratios))
    assert prospect.measure_drift(thumbs)[0] == pytest.approx(expected, abs=1e-3)
    below = [thumb for thumb, ratio in zip(thumbs, ratios, strict=True) if ratio < 0]
    if below:
        assert prospect.measure_drift(below)[0] == 0.0


def test_liked_answers_alone_can_train(make_run):
    """They grow likelier; there is nothing to say of the other kind."""
    folder = make_run("a", trainer="kto", max_steps=8)
    make_thumbs(folder, 1.0)
    assert TRAINERS.get("kto")().train(start(folder)) == DONE
    steps = events_of(folder, "step")
    assert steps[-1]["chosen_reward"] > steps[0]["chosen_reward"]
    assert steps[-1]["rejected_reward"] is None
