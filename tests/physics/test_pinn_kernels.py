"""The fused kernel against the formula in torch, and both against nested automatic differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor

from phasemill.core.errors import InputError
from phasemill.pinns.kernels import PAIRS, RESIDUAL, VALUE
from phasemill.pinns.network import Network, streams
from phasemill.pinns.physics import LAPLACIAN, XX
from phasemill.pinns.terms import Points, Term, plain, unit

pytestmark = pytest.mark.physics

EQUATIONS = {
    "burgers": ((1, 1, -0.01 / np.pi, 0), XX),
    "poisson": ((0, 0, 1, 0), LAPLACIAN),
    "allen_cahn": ((1, 0, -1e-4, -5), XX),
    "all": ((0.7, -1.3, 0.4, 2.0), (0.3, 1.7)),
}
SHAPES = [(2, 20, 20, 20, 1), (2, 7, 5, 1), (2, 50, 50, 1), (2, 1)]
LOW, HIGH = np.array([0.0, -1.0]), np.array([1.0, 3.0])


def inputs(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(LOW, HIGH, (count, 2))


def made(network: Network, seed: int = 1) -> np.ndarray:
    """Parameters with biases, too."""
    rng = np.random.default_rng(seed)
    return network.initial(rng) + 0.1 * rng.normal(size=network.count)


def nested(network: Network, theta: Tensor, x: np.ndarray, e: Any) -> tuple[Tensor, ...]:
    """u, u_0, u_1 and q by automatic differentiation twice."""
    at = torch.tensor(x, dtype=theta.dtype, requires_grad=True)
    z = (2 * (at - torch.from_numpy(LOW)) / torch.from_numpy(HIGH - LOW) - 1).to(theta.dtype)
    layers = network.matrices(theta)
    for w, b in layers[:-1]:
        z = torch.tanh(z @ w.T + b)
    u = (z @ layers[-1][0].T + layers[-1][1])[:, 0]
    slope = torch.autograd.grad(u.sum(), at, create_graph=True)[0]
    q = torch.zeros_like(u)
    for axis in (0, 1):
        if e[axis] and slope.requires_grad:
            second = torch.autograd.grad(slope[:, axis].sum(), at, create_graph=True, allow_unused=True)[0]
            q = q + e[axis] * second[:, axis] if second is not None else q
    return u, slope[:, 0], slope[:, 1], q


def bent_points(count: int, width: int, seed: int = 5) -> Points:
    """Streams of everything at random: any features, base and factor may be handed over."""
    rng = np.random.default_rng(seed)
    return Points(rng.normal(size=(4, width, count)), rng.normal(size=(4, count)), rng.normal(size=(4, count)))


@pytest.mark.parametrize("widths", SHAPES)
@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_residual_equals_nested_differentiation(widths: Any, equation: str, dtype: Any, tolerance: float) -> None:
    c, e = EQUATIONS[equation]
    network, x = Network(widths), inputs(150)
    source = np.sin(3 * x[:, 0])
    term = Term(network, RESIDUAL, plain(x, LOW, HIGH), source, c=c, e=e, dtype=dtype)
    start = made(network)
    loss, gradient, slopes = term.loss_and_gradient(start.astype(dtype))
    theta = torch.tensor(start, requires_grad=True)
    free = torch.tensor(c, dtype=torch.float64, requires_grad=True)
    u, u0, u1, q = nested(network, theta, x, e)
    r = free[0] * u0 + free[1] * u * u1 + free[2] * q + free[3] * (u - u**3) - torch.from_numpy(source)
    wanted = (r**2).mean()
    by_theta, by_c = torch.autograd.grad(wanted, [theta, free])
    assert loss == pytest.approx(wanted.item(), rel=tolerance)
    assert np.linalg.norm(gradient - by_theta.numpy()) <= tolerance * np.linalg.norm(by_theta.numpy())
    assert_allclose(slopes, by_c, rtol=10 * tolerance, atol=tolerance * float(by_c.abs().max()))
    assert_allclose(term.field(start)[0], u.detach(), atol=10 * tolerance)
    assert_allclose(term.residuals(start), r.detach(), atol=tolerance * r.abs().max().item() * 10)


@pytest.mark.parametrize("kind", [RESIDUAL, VALUE, PAIRS])
@pytest.mark.parametrize("count", [2, 64, 130])
@pytest.mark.parametrize("inputs_", [1, 3, 33])
def test_fused_equals_formula_for_any_features_and_conditions(kind: int, count: int, inputs_: int) -> None:
    network = Network((inputs_, 11, 9, 1))
    rng = np.random.default_rng(2)
    weight = rng.uniform(size=count)
    if kind == PAIRS:
        weight[1::2] = weight[::2]
    term = Term(
        network, kind, bent_points(count, inputs_), rng.normal(size=count), weight=weight, c=(0.7, -1.3, 0.4, 2.0),
        e=(0.3, 1.7), dtype=np.float64,
    )  # fmt: skip
    theta = torch.tensor(made(network), requires_grad=True)
    c = torch.tensor((0.2, 0.5, -1.0, 0.9), dtype=torch.float64, requires_grad=True)
    found, *slopes = term.loss_and_gradient(theta.detach().numpy(), c.detach().numpy())
    wanted = term.formula(theta, c)
    assert found == pytest.approx(wanted.item(), rel=1e-12)
    peers = torch.autograd.grad(wanted, [theta, c], materialize_grads=True, allow_unused=True)
    for ours, peer in zip(slopes, peers, strict=True):
        assert_allclose(ours, peer, rtol=1e-9, atol=1e-11 * max(1, float(peer.abs().max())))


def test_conditions_are_built_in_exactly() -> None:
    """u = sin + t n: at t = 0 nothing of the network is left in u, u_x and u_xx, but n itself in u_t."""
    x = inputs(40)
    x[:, 0] = 0
    points = plain(x, LOW, HIGH)
    base = np.stack([np.sin(x[:, 1]), 0 * x[:, 1], np.cos(x[:, 1]), -np.sin(x[:, 1])])
    factor = np.zeros((4, 40))
    factor[1] = 1
    network = Network((2, 12, 12, 1))
    theta = made(network)
    term = Term(network, RESIDUAL, Points(points.features, base, factor), dtype=np.float64)
    u = term.field(theta)
    assert_array_equal(u[[0, 2, 3]], base[[0, 2, 3]])
    free = Term(network, RESIDUAL, points, dtype=np.float64).field(theta)
    assert_allclose(u[1], free[0], rtol=1e-12)


def test_second_derivatives_have_order_two() -> None:
    """Finite differences of the network's value approach its streams as h^2."""
    network, x = Network((2, 16, 16, 1)), inputs(30)
    theta = made(network)

    def value(shift: tuple[float, float]) -> np.ndarray:
        return Term(network, VALUE, plain(x + np.array(shift), LOW, HIGH), dtype=np.float64).field(theta, 1)[0]

    exact = Term(network, RESIDUAL, plain(x, LOW, HIGH), e=LAPLACIAN, dtype=np.float64).field(theta)
    errors = []
    for h in (0.1, 0.05, 0.025):
        sides = [value((h, 0)), value((-h, 0)), value((0, h)), value((0, -h))]
        errors.append(
            [
                np.abs((sides[0] - sides[1]) / (2 * h) - exact[1]).max(),
                np.abs((sides[2] - sides[3]) / (2 * h) - exact[2]).max(),
                np.abs((sum(sides) - 4 * value((0, 0))) / h**2 - exact[3]).max(),
            ]
        )
    orders = np.log2(np.array(errors)[:-1] / np.array(errors)[1:])
    assert_allclose(orders, 2, atol=0.15)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 4e-7), (np.float64, 1e-14)])
def test_tanh_of_the_kernels(dtype: Any, tolerance: float) -> None:
    x = np.concatenate([np.linspace(-30, 30, 6001), np.geomspace(1e-30, 1, 500), [0.0]])
    network = Network((1, 1, 1))
    theta = np.array([1, 0, 1, 0], dtype)
    features = np.zeros((4, 1, len(x)))
    features[0, 0] = x
    term = Term(network, VALUE, Points(features, np.zeros((4, len(x))), unit(len(x))), dtype=dtype)
    found = term.field(theta, 1)[0]
    assert_allclose(found, np.tanh(x.astype(dtype).astype(np.float64)), rtol=tolerance, atol=1e-30)
    assert np.abs(found).max() <= 1


def test_a_batch_is_a_mean_over_its_own_points() -> None:
    network, x = Network((2, 8, 1)), inputs(100)
    theta = made(network)
    c, e = EQUATIONS["burgers"]
    whole = Term(network, RESIDUAL, plain(x, LOW, HIGH), c=c, e=e, dtype=np.float64)
    halves = [whole.take(slice(0, 50)), whole.take(slice(50, 100))]
    mean = np.mean([half.loss_and_gradient(theta)[0] for half in halves])
    assert mean == pytest.approx(whole.loss_and_gradient(theta)[0], rel=1e-12)


def test_parameters_are_counted_and_drawn_as_the_paper_has_them() -> None:
    assert Network((2, *8 * [20], 1)).count == 3021
    assert Network((2, *4 * [50], 1)).count == 7851
    assert Network((2, *4 * [128], 1)).count == 50049
    network = Network((2, 300, 300, 1))
    theta = torch.from_numpy(network.initial(np.random.default_rng(0)))
    (_, first), (middle, _), _ = network.matrices(theta)
    nominal = (2 / 600) ** 0.5
    assert float(middle.std()) == pytest.approx(0.8796 * nominal, rel=0.01)
    assert float(middle.abs().max()) <= 2 * nominal
    assert float(first.abs().max()) == 0


def test_padding_is_undone() -> None:
    network = Network((3, 5, 6, 1))
    theta = np.arange(1, network.count + 1, dtype=np.float64)
    packed = network.pack(theta)
    assert_array_equal(packed[network.places], theta)
    assert np.count_nonzero(packed) == network.count
    assert_array_equal(network.padded, [4, 8, 8, 4])


def test_streams_in_torch_equal_nested_differentiation() -> None:
    network, x = Network((2, 9, 9, 1)), inputs(20)
    theta = torch.tensor(made(network))
    features = torch.from_numpy(plain(x, LOW, HIGH).features)
    for e in (XX, LAPLACIAN, (0.3, 1.7)):
        found = streams(network, theta, features, e)
        wanted = nested(network, theta, x, e)
        for ours, peer in zip(found, wanted, strict=True):
            assert_allclose(ours, peer.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Term(Network((2, 4, 2)), VALUE, plain(inputs(5), LOW, HIGH)), "1 at the end"),
        (lambda: Network((2,)), "of the outputs"),
        (lambda: Points(np.zeros((2, 2, 5)), np.zeros((4, 5)), np.zeros((4, 5))), "4 streams"),
        (lambda: Points(np.zeros((4, 2, 5)), np.zeros((4, 6)), np.zeros((4, 5))), "base"),
        (lambda: Term(Network((3, 4, 1)), VALUE, plain(inputs(5), LOW, HIGH)), "3 inputs"),
        (lambda: Term(Network((2, 4, 1)), PAIRS, plain(inputs(5), LOW, HIGH)), "partner"),
    ],
)
def test_bad_input(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
