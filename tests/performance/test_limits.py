"""What our kernels take beside what one core could do at most: multiply-adds, and bytes in and out of memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from phasemill.grains.initial import published_disc
from phasemill.grains.physics import Medium as GrainMedium
from phasemill.grains.solver import Euler as GrainEuler
from phasemill.spinodal.evaluate.speed_pieces import OPERATIONS
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.physics import Medium
from phasemill.spinodal.solver import DT, Euler
from phasemill.transport.initial import voronoi
from phasemill.transport.solver import integrate

pytestmark = pytest.mark.performance

Limit = Callable[..., float]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_cahn_hilliard(limit: Limit, precision: str) -> None:
    """One read and one write of phi; the chemical potential stays in the first cache."""
    size, steps, dtype = 64, 20, np.dtype(precision)
    box = Euler(perlin_mixture(np.random.default_rng(0), (size, size, size)), Medium(), dt=DT, dtype=dtype)
    fields = 2 * dtype.itemsize
    assert limit(
        f"spinodal Euler {size}^3 {precision}, a cell and step", lambda: box.advance(steps * DT),
        count=steps * size**3, operations=OPERATIONS, moved=fields, working_set=fields * size**3, dtype=dtype,
    ) > 0.2  # fmt: skip


def test_grains(limit: Limit) -> None:
    """Three additions of neighbours, two multiply-adds, a minimum and a maximum."""
    steps, phi = 1500, published_disc()
    box = GrainEuler(phi, GrainMedium(eta=7 / 63, mu=5e-5, dx=1 / 63), dt=1.0)
    assert limit(
        "grains Euler 64^2 float64, a cell and step", lambda: box.advance(steps * 1.0),
        count=steps * phi.size, operations=7, moved=16, working_set=16 * phi.size, dtype=np.float64,
    ) > 0.1  # fmt: skip


@pytest.mark.parametrize("size", [64, 128])
def test_heat(limit: Limit, size: int) -> None:
    """Three additions of neighbours and two multiply-adds."""
    steps, phi = 5000, voronoi(np.random.default_rng(0), size=size, dx=0.5)
    assert limit(
        f"transport Euler {size}^2 float64, a cell and step",
        lambda: integrate(phi, 0.7, dx=0.5, dt=0.005, steps=steps, save_every=steps),
        count=steps * phi.size, operations=5, moved=16, working_set=16 * phi.size, dtype=np.float64,
    ) > 0.1  # fmt: skip


@pytest.mark.parametrize(("name", "fields"), [("burgers", 4), ("poisson", 4), ("allen_cahn", 4)])
def test_pinns(limit: Limit, name: str, fields: int) -> None:
    """Multiply-adds of the layers' matrices alone, for u and its derivatives: once forwards, twice backwards."""
    import torch

    from tests.performance.test_pinns_speed import protocol

    problem = protocol(name)
    term = problem.terms(np.random.default_rng(0))["pde"]
    theta = torch.tensor(problem.network.initial(np.random.default_rng(1)), dtype=torch.float32)
    widths = problem.network.widths
    matrices = sum(a * b for a, b in pairwise(widths))
    points = len(term.points)
    assert limit(
        f"pinns loss and gradient, {name}, a point", lambda: term.value_and_gradient(theta),
        count=points, operations=3 * fields * matrices, moved=0, working_set=2**20, dtype=np.float32,
    ) > 0.05  # fmt: skip
