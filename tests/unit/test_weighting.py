"""Weights of several losses: where the rules come to rest, what they keep, what a second backward pass changes."""

from __future__ import annotations

import pytest
import torch

from phasemill.core.weighting import Weighting, gradient_norms

SCALES = torch.tensor([100.0, 1.0, 0.04])
"""Norms of the gradients of the three losses below."""


def losses() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Three losses of one parameter with gradients of very different norm, and that parameter."""
    theta = torch.ones(4, requires_grad=True)
    return [scale * theta.sum() / 2 for scale in SCALES], [theta]


def settled(mode: str, updates: int = 4000, **options: float) -> Weighting:
    found = Weighting(3, mode, beta=0.01, **options)  # type: ignore[arg-type]
    for _ in range(updates):
        found.update(*losses())
    return found


def test_norms_of_gradients() -> None:
    torch.testing.assert_close(gradient_norms(*losses()), SCALES)
    free = torch.ones((), requires_grad=True)
    other = torch.ones(2, requires_grad=True)
    assert gradient_norms([2 * free, torch.ones(())], [other]).tolist() == [0, 0]


def test_fixed_weights_stay() -> None:
    assert settled("fixed", 3).weights.tolist() == [1, 1, 1]


def test_gradnorm_balances_the_gradients() -> None:
    w = settled("gradnorm").weights
    g = w * SCALES
    assert w.sum().item() == pytest.approx(3, abs=1e-5)
    torch.testing.assert_close(g, g.mean().expand(3), rtol=0.03, atol=0)  # steps have one length: within a few beta


def test_the_modified_rule_rests_where_the_weight_is_target_over_norm() -> None:
    w = settled("modified").weights
    assert w.sum().item() == pytest.approx(3, abs=1e-5)
    # at rest w_m is proportional to mean(g) / (w_m n_m): w^2 n is the same for all
    balance = w**2 * SCALES
    torch.testing.assert_close(balance, balance.mean().expand(3), rtol=1e-3, atol=0)


def test_a_loss_that_stays_behind_gets_the_larger_weight() -> None:
    found = Weighting(2, "modified", alpha=1.0, beta=0.1)
    theta = torch.ones(1, requires_grad=True)
    for number in range(30):
        fallen = 0.0 if number == 0 else 90.0
        found.update([theta.sum() + 99 - fallen, theta.sum()], [theta])  # gradients alike, values not
    assert found.weights[1] > 2 * found.weights[0]


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_second_backward_pass_gives_the_same_weights(alpha: float) -> None:
    torch.manual_seed(0)
    net, x = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)), torch.rand(7, 2)
    one = Weighting(2, "gradnorm", alpha=alpha, beta=0.05)
    two = Weighting(2, "gradnorm", alpha=alpha, beta=0.05, second_backward=True)
    for number in range(5):
        parts = [net(x).square().mean() * (number + 1), net(x + 1).abs().mean()]
        for weighting in (one, two):
            weighting.update(parts, [net[0].weight])
        torch.testing.assert_close(one.weights, two.weights)
    assert one.weights[0] != 1


def test_a_loss_without_a_gradient_keeps_its_weight_among_the_others() -> None:
    theta = torch.ones(1, requires_grad=True)
    for mode in ("modified", "gradnorm"):
        found = Weighting(2, mode, beta=0.1)  # type: ignore[arg-type]
        found.update([theta.sum(), torch.ones(())], [theta])
        assert torch.isfinite(found.weights).all()
        assert found.weights.sum() == pytest.approx(2)


def test_the_state_goes_on() -> None:
    whole, parts = settled("modified", 6), settled("modified", 3)
    resumed = Weighting(3, "modified", beta=0.01)
    resumed.load_state_dict(parts.state_dict())
    for _ in range(3):
        resumed.update(*losses())
    assert torch.equal(resumed.weights, whole.weights)
