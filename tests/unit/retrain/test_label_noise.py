"""Dr. DPO's joint loss and the EM weights: closed forms, finite differences, and what they are for with 30 % flips."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import count

import pytest
import torch

from retrain.training.joining import Joint, join
from retrain.training.losses import dpo
from retrain.training.progress import Progress, read_events
from retrain.training.reliability import estimate
from retrain.training.spec import load_spec
from retrain.training.trainer import DONE, STOPPED, TRAINERS, Job

LOSSES = torch.tensor([0.2, 1.5, 3.0], dtype=torch.float64)
WEIGHTS = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)


def test_the_joint_loss_is_a_log_mean_exp():
    expected = -2.0 * math.log(0.5 * math.exp(-0.1) + 0.25 * math.exp(-0.75) + 0.25 * math.exp(-1.5))
    assert join(LOSSES, WEIGHTS, 2.0).item() == pytest.approx(expected, abs=1e-12)


def test_a_large_beta_prime_gives_the_weighted_mean_and_a_small_one_the_lowest_loss():
    assert join(LOSSES, WEIGHTS, 1e6).item() == pytest.approx(float((LOSSES * WEIGHTS).sum()), abs=1e-5)
    assert join(LOSSES, WEIGHTS, 1e-3).item() == pytest.approx(0.2, abs=1e-2)


def test_the_joint_gradient_is_that_of_finite_differences():
    free = LOSSES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda losses: join(losses, WEIGHTS, 0.7), (free,))


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
@pytest.mark.parametrize("beta_prime", [0.05, 1.0, 50.0])
def test_one_pass_after_another_gives_the_gradient_of_the_whole(order, beta_prime):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 4, generator=generator, dtype=torch.float64) * 20
    whole, parts = (torch.nn.Parameter(torch.full((4,), 0.3, dtype=torch.float64)) for _ in range(2))

    def losses(parameter, rows):
        return dpo(features[rows] @ parameter, torch.zeros(len(rows), dtype=torch.float64), 1.0)

    expected = join(losses(whole, [0, 1, 2]), WEIGHTS, beta_prime)
    expected.backward()
    joint = Joint([parts], beta_prime)
    for row in order:
        joint.add(losses(parts, [row]), WEIGHTS[[row]])
    assert joint.finish() == pytest.approx(expected.item(), abs=1e-9)
    torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-9, atol=1e-12)


def test_the_posterior_is_bayes_rule_and_the_rate_what_is_left_of_its_mean():
    found = estimate(torch.tensor([0.0, 2.0, -2.0], dtype=torch.float64), 0.2, torch.ones(3, dtype=torch.float64))
    sure = 1 / (1 + math.exp(-2))
    expected = [0.8, 0.8 * sure / (0.8 * sure + 0.2 * (1 - sure)), 0.8 * (1 - sure) / (0.8 * (1 - sure) + 0.2 * sure)]
    assert found.right.tolist() == pytest.approx(expected, abs=1e-12)
    assert found.noise_rate == pytest.approx(1 - sum(expected) / 3, abs=1e-12)


def test_with_calibrated_margins_em_finds_the_noise_rate():
    """Labels drawn from the model that the estimate assumes: the rate is recovered from a wrong first guess."""
    generator = torch.Generator().manual_seed(0)
    margins = torch.randn(20_000, generator=generator, dtype=torch.float64) * 3
    # The true preference follows the margin, and 30 % of the labels are then flipped.
    agrees = torch.rand(20_000, generator=generator) < torch.sigmoid(margins)
    flipped = torch.rand(20_000, generator=generator) < 0.3
    seen = torch.where(agrees ^ flipped, margins, -margins)
    rate = 0.05
    for _ in range(200):
        rate = estimate(seen, rate, torch.ones_like(seen)).noise_rate
    # The standard error of the rate is about 0.006.
    assert rate == pytest.approx(0.3, abs=0.03)


SEEDS = 6


def learn(kind: str) -> tuple[torch.Tensor, list[float]]:
    """Six linear policies, each on 400 pairs of its own, 30 % flipped; accuracy on clean pairs, AUC of the weights.

    Shapes: pairs [pairs, policies, 20]. The pairs' sizes are log-normal, as answers' lengths are.
    """
    draw = torch.Generator().manual_seed(0)
    truth = torch.randn(SEEDS, 20, generator=draw)

    def pairs(count: int) -> torch.Tensor:
        x = torch.randn(count, SEEDS, 20, generator=draw) * torch.randn(count, SEEDS, 1, generator=draw).exp()
        return x * torch.sign((x * truth).sum(-1, keepdim=True))

    train, test = pairs(400), pairs(2000)
    flipped = torch.rand(400, SEEDS, generator=draw) < 0.3
    train[flipped] *= -1
    policy = torch.zeros(SEEDS, 20, requires_grad=True)
    optimizer = torch.optim.Adam([policy], lr=0.05)
    right, rates = torch.ones(400, SEEDS), [0.1] * SEEDS
    for step in range(200):
        if kind == "em" and step and step % 20 == 0:
            scaled = (train * policy).sum(-1).detach()
            found = [estimate(scaled[:, i], rates[i], torch.ones(400)) for i in range(SEEDS)]
            right = torch.stack([one.right for one in found], 1)
            rates = [one.noise_rate for one in found]
        rows = torch.randint(400, (64,), generator=draw)
        margin = (train[rows] * policy).sum(-1)
        losses = dpo(margin, torch.zeros_like(margin), 1.0)
        weights = right[rows] / right[rows].sum(0)
        loss = join(losses, weights, 1.0) if kind == "drdpo" else (losses * weights).sum(0)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    doubted = [
        float((right[flipped[:, i], i][:, None] < right[~flipped[:, i], i]).float().mean()) for i in range(SEEDS)
    ]
    return ((test * policy).sum(-1) > 0).float().mean(0), doubted


def test_with_thirty_percent_flips_both_beat_plain_dpo_and_em_finds_the_flipped_pairs():
    """A flipped pair with a large margin pulls plain DPO hardest; both settings let it count less."""
    results = {kind: learn(kind) for kind in ("dpo", "drdpo", "em")}
    plain = float(results["dpo"][0].mean())
    assert float(results["drdpo"][0].mean()) > plain + 0.04
    assert float(results["em"][0].mean()) > plain + 0.02
    assert min(results["em"][1]) > 0.65


def run(folder, stop: Callable[[], bool] = lambda: False) -> int:
    clock = count()
    job = Job(folder, load_spec(folder), Progress(folder / "progress.jsonl"), stop, lambda: next(clock))
    return TRAINERS.get("dpo")().train(job)


def test_a_joint_batch_of_eight_equals_eight_accumulated(make_run):
    norms = []
    for name, settings in {
        "one": {"tokens_per_batch": 4096, "row_tokens": 4096},
        "eight": {"tokens_per_batch": 1, "row_tokens": 1, "pairs_per_step": 1, "accumulate": 8},
    }.items():
        folder = make_run(name, **({"pairs_per_step": 8, "max_steps": 3, "seed": 2, "loss": "drdpo"} | settings))
        run(folder)
        steps = [event for event in read_events(folder / "progress.jsonl") if event["event"] == "step"]
        norms.append([(step["loss"], step["grad_norm"]) for step in steps])
    assert norms[0][0][0] == pytest.approx(math.log(2), abs=1e-5)
    for one, eight in zip(*norms, strict=True):
        assert one == pytest.approx(eight, rel=1e-5)


def test_a_contradicted_pair_is_doubted_and_the_weights_are_kept(make_run):
    folder = make_run("a", max_steps=24, reliability_every=6, lr=5e-3)
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text("utf-8").splitlines()]
    rows[5] |= {"chosen": rows[5]["rejected"], "rejected": rows[5]["chosen"]}
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert run(folder) == DONE
    events = [event for event in read_events(folder / "progress.jsonl") if event["event"] == "reliability"]
    assert [event["step"] for event in events] == [6, 12, 18]
    kept = [json.loads(line) for line in (folder / "reliability.jsonl").read_text("utf-8").splitlines()]
    assert kept[0]["id"] == "p5"
    assert kept[0]["right"] == pytest.approx(events[-1]["weight_low"], abs=1e-5)
    assert len(kept) == 12 and kept[1]["right"] > 0.9


@pytest.mark.parametrize("asked", [5, 9, 12, 14])
def test_stopping_within_an_estimate_or_after_it_changes_nothing(make_run, asked):
    from safetensors.torch import load_file

    settings = {"max_steps": 4, "reliability_every": 2, "tokens_per_batch": 60, "row_tokens": 60}
    whole, halted = make_run("whole", **settings), make_run("halted", **settings)
    assert run(whole) == DONE
    numbers = count(1)
    assert run(halted, lambda: next(numbers) > asked) == STOPPED
    assert run(halted) == DONE
    weights = [load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (whole, halted)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert (whole / "reliability.jsonl").read_bytes() == (halted / "reliability.jsonl").read_bytes()
