"""Networks trained on the equation alone: their loss against the exact step, projections, marching."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phasemill.grains import solver
from phasemill.grains.initial import published_disc
from phasemill.grains.march import March
from phasemill.grains.network import SCALE, Coordinates, Stepper, advance
from phasemill.grains.physics import Medium
from phasemill.grains.variation import Interval, longest_convex, project

pytestmark = pytest.mark.physics

DX = 1 / 63
PUBLISHED = Medium(eta=7 * DX, mu=5e-5, dx=DX)
INTERVAL = Interval.of(PUBLISHED, 30.0)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(3)


def exact() -> torch.Tensor:
    """The Crank-Nicolson step of the published disc, by the classical solver."""
    found = solver.implicit(published_disc(), 30.0, PUBLISHED, "crank-nicolson", tolerance=1e-13)
    return torch.from_numpy(found)[None]


def test_the_exact_step_has_no_residual_and_the_least_energy() -> None:
    phi = torch.from_numpy(published_disc())[None]
    source, found = INTERVAL.source(phi), exact()
    assert float(INTERVAL.residual(found, source).abs().max()) < 1e-10
    least = float(INTERVAL.energy(found, source))
    rng = torch.Generator().manual_seed(1)
    for size in (1e-3, 1e-2, 0.1):
        moved = (found + size * torch.randn(found.shape, generator=rng, dtype=torch.float64)).clamp(0, 1)
        assert float(INTERVAL.energy(moved, source)) > least
    assert float(INTERVAL.energy(phi, source)) > least
    assert INTERVAL.convex
    assert longest_convex(PUBLISHED) == pytest.approx(50.0, abs=0.1)


@pytest.mark.parametrize("driving", [0.0, 0.4])
def test_the_slope_of_the_energy_is_the_equation(driving: float) -> None:
    """dJ/dphi' = phi' - src - f(phi')/2 per cell."""
    interval = Interval(c=2.0, r=0.3, d=driving)
    phi = torch.rand(1, 6, 7, dtype=torch.float64, requires_grad=True)
    source = torch.rand(1, 6, 7, dtype=torch.float64)
    (slope,) = torch.autograd.grad(interval.energy(phi, source).sum(), phi)
    expected = (phi - source - interval.force(phi) / 2) / phi[0].numel()
    torch.testing.assert_close(slope, expected.detach(), rtol=0, atol=1e-14)
    edge = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(interval.energy(edge, edge.detach()).sum(), edge)
    assert slope.isfinite().all()


def test_what_the_obstacle_blocks_is_no_force() -> None:
    phi = torch.from_numpy(published_disc())[None]
    force, pinned = INTERVAL.force(phi), INTERVAL.pinned_force(phi)
    bulk = (phi < 1e-9) | (phi > 1 - 1e-9)
    assert float(force[bulk].abs().max()) > 0.5  # what the paper's residual is made of
    assert float(pinned[bulk & (pinned.abs() < 1e-12)].numel()) > 0.5 * float(bulk.sum())
    inside = ~bulk
    torch.testing.assert_close(force[inside], pinned[inside])


def test_projected_gradients_release_pinned_cells() -> None:
    value = torch.tensor([-0.2, -0.2, 0.4, 1.3, 1.3], requires_grad=True)
    project(value).backward(torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0]))
    assert value.grad is not None
    # at 0 a positive gradient would push further out, at 1 a negative one
    assert value.grad.tolist() == [0.0, -1.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_recurrent_network_is_translation_equivariant(cell: str) -> None:
    network = Stepper(cell, 4)  # type: ignore[arg-type]  # one of the two
    phi = torch.rand(2, 8, 9)
    force, rest = INTERVAL.pinned_force(phi), network.at_rest(phi)
    still, _ = network(phi, force, rest)
    assert float(still.detach().abs().max()) == 0  # nothing moves before the training
    torch.nn.init.normal_(network.out.weight)
    g, state = network(phi, force, rest)
    h, _ = network(phi, force, state)
    turned, moved = network(phi.roll((3, 2), (1, 2)), force.roll((3, 2), (1, 2)), rest)
    torch.testing.assert_close(turned, g.roll((3, 2), (1, 2)), rtol=0, atol=1e-6)
    assert float((g - h).detach().abs().max()) > 1e-6  # it remembers
    torch.testing.assert_close(moved[0], state[0].roll((3, 2), (2, 3)), rtol=0, atol=1e-6)


def test_coordinates_are_periodic() -> None:
    network = Coordinates((8, 8), waves=2, width=8, depth=2)
    assert network.points.shape == (64, 8)
    columns = network.points.reshape(8, 8, 8)
    jump = (columns[0] - columns[-1]).abs().max()
    torch.testing.assert_close(jump, (columns[1] - columns[0]).abs().max())
    assert float(network().detach().abs().max()) == 0


def test_a_march_follows_the_exact_steps() -> None:
    march = March(Coordinates((64, 64)), 3)
    march.begin(published_disc().astype(np.float32))
    optimizer = torch.optim.Adam(march.network.parameters(), lr=3e-3, betas=(0.9, 0.99))
    for number in range(3):
        most = 150 if number else 450
        found = march.solve(number, INTERVAL, optimizer, most=most, learning_rate=3e-3, tolerance=0.1)
        assert found["residual"] < 0.25 * found["still"]
        assert found["solved"] == (found["residual"] <= 0.1 * found["still"])
    truth = list(solver.implicit_march(published_disc(), 30.0 * np.arange(4), PUBLISHED, "crank-nicolson"))
    error = ((march.frames.numpy() - np.stack(truth)) ** 2).mean(axis=(1, 2))
    still = ((march.frames[:1].numpy() - np.stack(truth)) ** 2).mean(axis=(1, 2))
    assert error[3] < 0.02 * still[3]
    again = advance(march.frames[1:2], march.increment(1))
    torch.testing.assert_close(again[0], march.frames[2], rtol=0, atol=1e-6)
    assert SCALE * float(march.increment(0).abs().max()) > 0.01
