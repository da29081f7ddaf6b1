"""Periodic Voronoi initial conditions."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from phasemill.core.errors import InputError
from phasemill.core.metrics import equivalent_radii
from phasemill.transport.initial import boundary_gap, gaussian_random_field, voronoi

pytestmark = pytest.mark.physics

SIZE, DX = 64, 0.5
LENGTH = SIZE * DX


def draw(seed: int = 0, **changes: Any) -> np.ndarray:
    return voronoi(np.random.default_rng(seed), **{"size": SIZE, "dx": DX, **changes})


@pytest.fixture(scope="module")
def centres() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, LENGTH, (12, 2))


def test_gap_equals_brute_force_over_all_images(centres: np.ndarray) -> None:
    images = np.concatenate([centres + LENGTH * np.array(shift) for shift in product((-1, 0, 1), repeat=2)])
    x = DX * np.arange(SIZE)
    cells = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)
    nearest = np.sort(np.linalg.norm(cells[:, :, None] - images, axis=-1), axis=-1)
    assert_allclose(boundary_gap(centres, SIZE, DX), nearest[..., 1] - nearest[..., 0], atol=1e-12)


@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (17, 40)])
def test_moving_the_centres_by_whole_cells_rolls_the_gap(centres: np.ndarray, shift: tuple[int, int]) -> None:
    moved = (centres + DX * np.array(shift)) % LENGTH
    assert_allclose(boundary_gap(moved, SIZE, DX), np.roll(boundary_gap(centres, SIZE, DX), shift, (0, 1)), atol=1e-12)


def test_periodic_in_the_mean_the_wrap_jumps_like_the_interior() -> None:
    """Over many draws the jump between opposite sides is that between any two neighbouring rows or columns."""
    jumps = np.array([np.abs(field - np.roll(field, 1, axis)).mean(1 - axis)
                      for field in map(draw, range(60)) for axis in (0, 1)])  # fmt: skip
    wrap, interior = jumps[:, 0], jumps[:, 1:].mean(axis=1)
    difference = wrap - interior
    assert abs(difference.mean()) < 3 * difference.std() / np.sqrt(len(difference))
    assert wrap.mean() == pytest.approx(interior.mean(), rel=0.15)


@pytest.mark.parametrize("roughness", [0, 0.3, 2])
@pytest.mark.parametrize("width", [0.25, 2])
def test_profile(width: float, roughness: float) -> None:
    """phi = tanh(max(d2 - d1 + roughness w eta, 0) / w) with number, centres and eta drawn in this order."""
    rng = np.random.default_rng(7)
    seeds = rng.uniform(0, LENGTH, (rng.integers(15, 35, endpoint=True), 2))
    gap = boundary_gap(seeds, SIZE, DX)
    eta = gaussian_random_field(rng, SIZE, DX, 3.0)
    expected = np.tanh(np.maximum(gap + roughness * width * eta, 0) / width)
    found = draw(7, interface_width=width, roughness=roughness, correlation_length=3.0)
    assert_allclose(found, expected, rtol=0, atol=1e-13)
    assert found.min() >= 0
    assert 0.95 < found.max() <= 1


def test_wider_interfaces_are_smoother() -> None:
    def sharpness(field: np.ndarray) -> float:
        return float(np.mean(np.diff(field, axis=0) ** 2) / field.var())

    sharpnesses = [sharpness(draw(interface_width=width)) for width in (0.25, 0.5, 1, 3)]
    assert (np.diff(sharpnesses) < 0).all()


def test_number_of_grains_covers_the_range_with_both_ends() -> None:
    """Cells of two grains that touch have d2 - d1 <= dx at least once, so that this threshold separates all grains."""
    fields = [draw(seed, size=256, dx=1.0, grains=(4, 6), interface_width=1, roughness=0) for seed in range(12)]
    assert {len(equivalent_radii(field > np.tanh(1), 1.0)) for field in fields} == {4, 5, 6}


def test_seeds() -> None:
    assert_array_equal(draw(4), draw(4))
    assert not np.array_equal(draw(4), draw(5))


def test_random_field_has_the_stated_statistics() -> None:
    """Unit variance and correlation exp(-r^2 / (2 l^2)): 0.607 at r = l."""
    rng = np.random.default_rng(2)
    length = 2.0
    fields = np.array([gaussian_random_field(rng, SIZE, DX, length) for _ in range(400)])
    assert fields.mean() == pytest.approx(0, abs=0.03)
    assert fields.var() == pytest.approx(1, abs=0.03)
    for lag in (1, 4, 8):
        expected = np.exp(-((lag * DX) ** 2) / (2 * length**2))
        for axis in (1, 2):
            assert np.mean(fields * np.roll(fields, lag, axis)) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"grains": (1, 4)}, "at least 2"), ({"grains": (9, 4)}, "ascend"), ({"interface_width": 0}, "interface_width")],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw(**changes)
