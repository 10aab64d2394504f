"""Losses against their closed forms and their gradients, on hand-made log-ratios."""

import math

import pytest
import torch

from retrain.training.losses import LOSSES, SMOOTHED, cdpo, dpo, hinge, ipo, rdpo

CHOSEN = torch.tensor([0.0, 2.0, -1.0], dtype=torch.float64)
REJECTED = torch.tensor([0.0, -1.0, 3.0], dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_dpo_is_the_negative_log_sigmoid_of_the_scaled_margin():
    expected = [-math.log(sigmoid(0.1 * margin)) for margin in (0.0, 3.0, -4.0)]
    assert dpo(CHOSEN, REJECTED, 0.1).tolist() == pytest.approx(expected, abs=1e-12)


def test_dpo_starts_at_the_logarithm_of_two():
    assert dpo(CHOSEN[:1], REJECTED[:1], 0.1).item() == pytest.approx(math.log(2), abs=1e-12)


def test_cdpo_is_cross_entropy_against_soft_labels():
    expected = [-0.9 * math.log(sigmoid(m)) - 0.1 * math.log(sigmoid(-m)) for m in (0.0, 1.5, -2.0)]
    assert cdpo(CHOSEN, REJECTED, 0.5, 0.1).tolist() == pytest.approx(expected, abs=1e-12)


def test_cdpo_is_lowest_where_the_model_is_as_sure_as_the_labels():
    margin = torch.tensor([math.log(0.9 / 0.1)], dtype=torch.float64, requires_grad=True)
    cdpo(margin, torch.zeros(1, dtype=torch.float64), 1.0, 0.1).sum().backward()
    assert margin.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_rdpo_is_unbiased_under_flipped_labels():
    rate = 0.2
    kept, flipped = rdpo(CHOSEN, REJECTED, 0.3, rate), rdpo(REJECTED, CHOSEN, 0.3, rate)
    expected = dpo(CHOSEN, REJECTED, 0.3)
    torch.testing.assert_close((1 - rate) * kept + rate * flipped, expected, atol=1e-12, rtol=0)


def test_smoothing_of_nothing_is_dpo():
    for loss in (cdpo, rdpo):
        torch.testing.assert_close(loss(CHOSEN, REJECTED, 0.1, 0.0), dpo(CHOSEN, REJECTED, 0.1))


def test_ipo_is_zero_at_its_target_margin():
    target = torch.tensor([1 / (2 * 0.1)])
    assert ipo(target, torch.zeros(1), 0.1).item() == pytest.approx(0.0, abs=1e-12)
    assert ipo(CHOSEN, REJECTED, 0.5).tolist() == pytest.approx([1.0, 4.0, 25.0])


def test_hinge_is_flat_beyond_a_margin_of_one():
    assert hinge(CHOSEN, REJECTED, 0.5).tolist() == pytest.approx([1.0, 0.0, 3.0])


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_pushes_the_margin_up_from_zero(name):
    margin = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    LOSSES[name](margin, torch.zeros(1, dtype=torch.float64), 0.1, 0.1 if name in SMOOTHED else 0.0).sum().backward()
    assert margin.grad.item() < 0


@pytest.mark.parametrize("name", sorted(set(LOSSES) - SMOOTHED))
def test_a_loss_without_smoothing_refuses_it(name):
    with pytest.raises(ValueError, match="smoothing"):
        LOSSES[name](CHOSEN, REJECTED, 0.1, 0.1)
