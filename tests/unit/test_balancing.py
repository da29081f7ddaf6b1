"""Weights from gradients: the averaged schemes, their fixed points, bias correction, and what is refused."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from phasemill.core.balancing import SCHEMES, Balance
from phasemill.core.errors import InputError


def gradients(seed: int = 0, count: int = 3, size: int = 200) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scales = (1.0, 0.02, 5.0)
    return [scales[j] * torch.randn(size, generator=generator, dtype=torch.float64) for j in range(count)]


def ratio(scheme: str, p: float, g: list[torch.Tensor], j: int) -> float:
    """The wanted weight, written in numpy."""
    lead, other = g[0].numpy(), g[j].numpy()
    return float(
        {
            "dn": lambda: np.linalg.norm(lead, p) / np.linalg.norm(other, p),
            "id": lambda: np.std(lead, ddof=1) / np.std(other, ddof=1),
            "ma": lambda: np.abs(lead).max() / np.abs(other).mean(),
            "ma14": lambda: np.abs(lead).max() / np.abs(other).mean(),
        }[scheme]()
    )


CASES = [("dn", 1), ("dn", 2), ("dn", inf), ("id", 2), ("ma", 2), ("ma14", 2)]


@pytest.mark.parametrize(("scheme", "p"), CASES)
def test_first_update_is_a_share_of_the_hat(scheme: str, p: float) -> None:
    g, balance = gradients(), Balance(3, scheme, p=p)
    balance.update([1.0, 1.0, 1.0], g)
    wanted = [1, *(0.99 + 0.01 * ratio(scheme, p, g, j) for j in (1, 2))]
    assert_allclose(balance.weights, wanted, rtol=1e-12)


@pytest.mark.parametrize(("scheme", "p"), CASES)
@pytest.mark.parametrize("beta", [0.0, 0.9, 0.99])
def test_constant_gradients_lead_to_the_fixed_point(scheme: str, p: float, beta: float) -> None:
    g, balance = gradients(), Balance(3, scheme, p=p, beta=beta)
    for _ in range(3000 if beta else 1 if scheme != "ma" else 0):
        balance.update([1.0, 1.0, 1.0], g)
    power = 0.5 if scheme == "ma" else 1.0
    wanted = [1, *(ratio(scheme, p, g, j) ** power for j in (1, 2))] if beta or scheme != "ma" else [1, 1, 1]
    assert_allclose(balance.weights, wanted, rtol=1e-8)


def test_without_an_average_eq_15_jumps_to_and_fro() -> None:
    """lambda <- R / lambda has the fixed point sqrt(R) but never comes to it from anywhere else."""
    g, balance = gradients(), Balance(3, "ma", beta=0)
    seen = []
    for _ in range(6):
        balance.update([1.0, 1.0, 1.0], g)
        seen.append(float(balance.weights[1]))
    hat = ratio("ma", 2, g, 1)
    assert_allclose(seen, [hat, 1, hat, 1, hat, 1], rtol=1e-12)
    assert hat > 10
    assert not np.isclose(seen[0], sqrt(hat))


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.999])
@pytest.mark.parametrize("scheme", ["dn", "id", "ma14"])
def test_bias_correction_takes_away_the_delay(scheme: str, beta: float) -> None:
    """With constant gradients the corrected weight is the hat itself, from the first update on, for every beta."""
    g, balance = gradients(), Balance(3, scheme, beta=beta, correct=True)
    for _ in range(5):
        balance.update([1.0, 1.0, 1.0], g)
        assert_allclose(balance.weights, [1, *(ratio(scheme, 2, g, j) for j in (1, 2))], rtol=1e-12)


def test_dn_and_id_agree_where_gradients_have_no_mean() -> None:
    g = [vector - vector.mean() for vector in gradients()]
    dn, inverse = Balance(3, "dn"), Balance(3, "id")
    for balance in (dn, inverse):
        balance.update([1.0, 1.0, 1.0], g)
    assert_allclose(dn.weights, inverse.weights, rtol=1e-12)
    shifted = [g[0], g[1] + 0.1, g[2]]
    dn.update([1.0] * 3, shifted)
    inverse.update([1.0] * 3, shifted)
    assert abs(float(dn.weights[1] / inverse.weights[1]) - 1) > 1e-2


@pytest.mark.parametrize("p", [1, 2, inf])
def test_dn_knows_no_order_of_parameters_and_no_units(p: float) -> None:
    g = gradients()
    order = torch.randperm(200, generator=torch.Generator().manual_seed(3))
    first, second = Balance(3, "dn", p=p), Balance(3, "dn", p=p)
    first.update([1.0] * 3, g)
    second.update([7.0] * 3, [1e3 * vector[order] for vector in g])
    assert_allclose(first.weights, second.weights, rtol=1e-12)


def test_another_numerator_and_terms_that_keep_their_weight() -> None:
    g = gradients()
    balance = Balance(3, "dn", numerator=2, weighted=[0], beta=0)
    balance.update([1.0] * 3, g)
    assert_allclose(balance.weights, [float(g[2].norm() / g[0].norm()), 1, 1])


@pytest.mark.parametrize("scheme", ["dn", "id", "ma", "ma14"])
@pytest.mark.parametrize("gone", [0, 1])
def test_a_term_without_a_gradient_keeps_its_weight(scheme: str, gone: int) -> None:
    g = gradients()
    g[gone] = torch.zeros_like(g[gone])
    balance = Balance(3, scheme)
    balance.update([1.0] * 3, g)
    assert float(balance.weights[1]) == 1
    assert bool(balance.weights.isfinite().all())


def test_a_gradient_that_comes_late_is_corrected_by_its_own_count() -> None:
    g = gradients()
    balance = Balance(2, "dn", beta=0.99, correct=True)
    for _ in range(100):
        balance.update([1.0, 1.0], [g[0], torch.zeros_like(g[0])])
    assert float(balance.weights[1]) == 1
    for _ in range(3):
        balance.update([1.0, 1.0], [g[0], g[0] / 5])
        assert float(balance.weights[1]) == pytest.approx(5)


def test_softadapt_follows_the_slowest_loss() -> None:
    balance = Balance(3, "softadapt", beta=0.1)
    g = gradients()
    balance.update([1.0, 1.0, 1.0], g)
    assert_allclose(balance.weights, 1)
    balance.update([0.9, 1.2, 0.5], g)
    change = np.array([-0.1, 0.2, -0.5])
    share = np.exp(0.1 * change / np.abs(change).sum())
    assert_allclose(balance.weights, 3 * share / share.sum(), rtol=1e-12)


@pytest.mark.parametrize("scheme", ["modified", "gradnorm"])
def test_schemes_of_all_terms_keep_the_sum(scheme: str) -> None:
    balance = Balance(3, scheme, beta=0.05)
    for number in range(50):
        balance.update([1.0, 1.0, 0.99**number], gradients(number))
    assert float(balance.weights.sum()) == pytest.approx(3, rel=1e-5)
    assert float(balance.weights[1]) > float(balance.weights[0]) > float(balance.weights[2])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_state_goes_through_a_checkpoint(scheme: str) -> None:
    whole, first = Balance(3, scheme, correct=True), Balance(3, scheme, correct=True)
    for number in range(6):
        whole.update([1.0, 2.0, 0.5**number], gradients(number))
    for number in range(3):
        first.update([1.0, 2.0, 0.5**number], gradients(number))
    second = Balance(3, scheme, correct=True)
    second.load_state_dict(first.state_dict())
    for number in range(3, 6):
        second.update([1.0, 2.0, 0.5**number], gradients(number))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheme": "dm"}, "dn"),
        ({"beta": 1.0}, "beta"),
        ({"p": 3}, "p is 3"),
        ({"numerator": 3}, "numerator"),
        ({"weighted": [0]}, "weighted"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Balance(**{"count": 3, "scheme": "dn", **arguments})
