"""The obstacle solvers on one core: two phases against plain numpy, many grains against the length of interfaces."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import process_time

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from phasemill.grains.initial import disc, one_hot, published_disc, voronoi
from phasemill.grains.physics import Floats, Medium
from phasemill.grains.polycrystal import Polycrystal
from phasemill.grains.solver import Euler

pytestmark = pytest.mark.performance

STEPS, DT = 1500, 1.0
"""Those of the paper's first benchmark."""


def benchmark(side: int) -> tuple[Floats, Medium]:
    """The paper's first benchmark, and its second one's grid."""
    if side == 64:
        return published_disc(), Medium(eta=7 / 63, mu=5e-5, dx=1 / 63)
    medium = Medium(eta=15 / 127, mu=7.5e-6, dx=1 / 127)
    return disc((side, side), medium.dx, np.full(2, 0.5), 0.38, medium.eta), medium


def around(phi: Floats) -> Floats:
    return np.asarray(np.roll(phi, 1, 0) + np.roll(phi, -1, 0) + np.roll(phi, 1, 1) + np.roll(phi, -1, 1))


def rolled(phi: Floats, medium: Medium) -> Floats:
    """The least that numpy has to do: four rolls, a clip, and the constants put together."""
    near, reaction = DT * medium.mu * medium.sigma / medium.dx**2, DT * medium.reaction
    for _ in range(STEPS):
        phi = np.clip((1 - 4 * near + 2 * reaction) * phi + near * around(phi) - reaction, 0, 1)
    return phi


def all_phases(phi: Floats, medium: Medium) -> Floats:
    """Equation 2 as it stands, phi (phase, x, y), all of them stored: clipped, and their sum kept at 1."""
    number = len(phi)
    for _ in range(STEPS):
        potential = [(around(one) - 4 * one) / medium.dx**2 + (np.pi / medium.eta) ** 2 * one for one in phi]
        moved = np.empty_like(phi)
        for a in range(number):
            rate = sum(
                medium.mu / number * medium.sigma * (potential[a] - potential[b]) for b in range(number) if b != a
            )
            moved[a] = np.clip(phi[a] + DT * rate, 0, 1)
        phi = moved / moved.sum(axis=0)
    return phi


@pytest.mark.parametrize(("side", "at_least"), [(64, 25), (128, 16)])
def test_two_phases_against_numpy_rolls(compare: Callable[..., float], side: int, at_least: float) -> None:
    phi, medium = benchmark(side)
    ours = Euler(phi, medium, dt=DT)
    ours.advance(STEPS * DT)
    assert_allclose(ours.phi, rolled(phi, medium), rtol=0, atol=1e-13)
    key = f"grains Euler {side}^2 float64, {STEPS} steps, against numpy roll"
    assert compare(key, lambda: ours.advance(STEPS * DT), lambda: rolled(phi, medium), 40) >= at_least


def test_two_phases_against_equation_2(compare: Callable[..., float]) -> None:
    phi, medium = benchmark(64)
    ours, both = Euler(phi, medium, dt=DT), np.stack([phi, 1 - phi])
    ours.advance(STEPS * DT)
    assert_allclose(ours.phi, all_phases(both, medium)[0], rtol=0, atol=1e-13)
    key = f"grains Euler 64^2 float64, {STEPS} steps, against numpy with equation 2 for two phases"
    assert compare(key, lambda: ours.advance(STEPS * DT), lambda: all_phases(both, medium), 20) >= 100


def test_many_grains_cost_their_interfaces(keep: Callable[..., None]) -> None:
    """A step costs the same per cell visited with 10, 30 and 100 grains, and with 10 in a store of 100."""
    rng, side = np.random.default_rng(0), 128
    labels = {count: voronoi(rng, (side, side), count) for count in (10, 30, 100)}
    starts = {f"{count} grains": one_hot(found, count) for count, found in labels.items()}
    starts["10 grains of 100"] = one_hot(labels[10], 100)
    boxes = {name: _settled(phi) for name, phi in starts.items()}
    taken: dict[str, list[float]] = {name: [] for name in boxes}
    for _ in range(15):
        for name, box in boxes.items():
            visited, begun = len(box.active), process_time()
            box.advance(4 * box.dt)
            taken[name].append(1e9 * (process_time() - begun) / 4 / visited)
    cost = {name: round(median(column), 1) for name, column in taken.items()}
    visits = {name: len(box.active) for name, box in boxes.items()}
    key = f"grains, many phases, {side}^2: ns per step and cell visited, cells visited"
    keep(key, **{name: [cost[name], visits[name]] for name in boxes})
    assert max(cost.values()) < 1.8 * min(cost.values())
    assert visits["10 grains"] == visits["10 grains of 100"] < visits["30 grains"] / 1.4 < visits["100 grains"] / 1.4


def _settled(phi: NDArray[np.float64]) -> Polycrystal:
    box = Polycrystal(phi, Medium(eta=5.0, mu=1.0))
    box.advance(20 * box.dt)
    return box
