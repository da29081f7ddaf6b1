"""The loss for many grains: against the one for two, the solver's projection, and the N-phase solver itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phasemill.core.errors import InputError
from phasemill.grains import phases
from phasemill.grains.initial import one_hot, published_disc, voronoi
from phasemill.grains.physics import Medium
from phasemill.grains.polycrystal import Polycrystal
from phasemill.grains.simplex import Phases, onto_simplex, project
from phasemill.grains.variation import Interval

pytestmark = pytest.mark.physics

DX = 1 / 63
PUBLISHED = Medium(eta=7 * DX, mu=5e-5, dx=DX)
TWO, MANY = Interval.of(PUBLISHED, 30.0), Phases.of(PUBLISHED, 30.0)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(4)


def test_two_phases_are_the_two_phase_loss() -> None:
    phi = torch.from_numpy(published_disc())[None]
    moved = (phi + 0.05 * torch.randn_like(phi)).clamp(0, 1)
    both, both_moved = torch.stack([phi, 1 - phi], dim=1), torch.stack([moved, 1 - moved], dim=1)
    torch.testing.assert_close(MANY.force(both)[:, 0] - MANY.force(both)[:, 1], 2 * TWO.force(phi))
    pinned = MANY.pinned_force(both)
    inside = (phi > 0.05) & (phi < 0.95)
    torch.testing.assert_close(pinned[:, 0][inside], TWO.pinned_force(phi)[inside])
    source, sources = TWO.source(phi), MANY.source(both)
    sources = torch.stack([source, 1 - source], dim=1)
    change = TWO.energy(moved, source) - TWO.energy(phi, source)
    changes = MANY.energy(both_moved, sources) - MANY.energy(both, sources)
    torch.testing.assert_close(changes, 2 * change)
    torch.testing.assert_close(MANY.residual(both_moved, sources)[:, 0], TWO.residual(moved, source))


def test_projection_is_the_solvers() -> None:
    value = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    found = onto_simplex(value)
    for cell in np.ndindex(2, 3, 4):
        line = value[cell[0], :, cell[1], cell[2]].numpy().copy()
        phases.project(line, np.empty(5), 5)
        np.testing.assert_allclose(found[cell[0], :, cell[1], cell[2]].numpy(), line, atol=1e-14)


def test_absent_phases_may_come_but_not_go_further() -> None:
    value = torch.tensor([0.7, 0.5, -0.4, -0.4]).view(1, 4, 1, 1).requires_grad_()
    project(value).backward(torch.tensor([1.0, 3.0, 5.0, -1.0]).view(1, 4, 1, 1))
    assert value.grad is not None
    # within the two present phases the part along the simplex; the third would get less, the fourth more
    assert value.grad.flatten().tolist() == [-1.0, 1.0, 0.0, -3.0]


def test_minimising_the_energy_follows_the_solver() -> None:
    """One interval at the minimum of J is where the N-phase solver gets in many small steps."""
    labels = voronoi(np.random.default_rng(2), (32, 32), 5)
    medium = Medium(eta=7.0, mu=1.0)
    crystal = Polycrystal(one_hot(labels, 5), medium)
    crystal.advance(1.0)
    phi = torch.from_numpy(crystal.phi)[None]
    interval = Phases.of(medium, 1.0)
    source, found = interval.source(phi), interval.minimum(phi, 1e-8)
    assert float(interval.residual(found, source).square().mean().sqrt()) < 1e-8
    best = interval.energy(found, source)
    for _ in range(5):
        other = onto_simplex(found + 1e-3 * torch.randn_like(found))
        assert interval.energy(other, source) > best
    crystal.advance(1.0)
    truth = torch.from_numpy(crystal.phi)[None]
    error, still = (float(((one - truth) ** 2).mean()) for one in (found, phi))
    assert error < 1e-3 * still


def test_an_interval_without_a_single_minimum_is_refused() -> None:
    with pytest.raises(InputError, match="shorten"):
        Phases.of(PUBLISHED, 51.0).minimum(torch.full((1, 2, 4, 4), 0.5))
