"""Errors between fields and sizes of domains."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan, pi, sqrt

import numpy as np
import pytest
from numpy.testing import assert_allclose

from phasemill.core.errors import InputError
from phasemill.core.metrics import equivalent_radii, interface_displacement, mae, r2, relative_l2, rmse

Metric = Callable[[np.ndarray, np.ndarray], float]


def displacement(truth: np.ndarray, prediction: np.ndarray) -> float:
    return interface_displacement(truth, prediction, dx=1.0)


TRUTH = np.array([[1.0, 2.0], [3.0, 6.0]])  # mean 3, sum of squares 50, around the mean 14


@pytest.mark.parametrize(
    ("metric", "perfect", "shifted", "mean"),
    [
        (rmse, 0, 2, sqrt(14 / 4)),
        (mae, 0, 2, 1.5),
        (relative_l2, 0, sqrt(16 / 50), sqrt(14 / 50)),
        (r2, 1, 1 - 16 / 14, 0),
    ],
)
def test_values_by_hand(metric: Metric, perfect: float, shifted: float, mean: float) -> None:
    assert metric(TRUTH, TRUTH) == perfect
    assert metric(TRUTH, TRUTH - 2) == pytest.approx(shifted)
    assert metric(TRUTH, np.full_like(TRUTH, 3)) == pytest.approx(mean, abs=1e-15)


@pytest.mark.parametrize("metric", [rmse, mae, relative_l2, r2, displacement])
def test_shapes_must_agree(metric: Metric) -> None:
    with pytest.raises(InputError, match=r"\(2, 2\).*\(2,\)"):
        metric(TRUTH, TRUTH[0])


@pytest.mark.parametrize("metric", [rmse, mae, relative_l2, r2])
def test_single_precision_is_summed_in_double(metric: Metric) -> None:
    truth = 1 + np.random.default_rng(0).normal(0, 1e-3, 100_000)
    prediction = truth + 1e-4
    single = metric(truth.astype(np.float32), prediction.astype(np.float32))
    assert single == pytest.approx(metric(truth, prediction), rel=1e-4)


@pytest.mark.parametrize(
    ("metric", "truth"), [(r2, np.ones(4)), (relative_l2, np.zeros(4)), (displacement, np.ones(4))]
)
def test_undefined_is_nan_without_a_warning(metric: Metric, truth: np.ndarray) -> None:
    assert isnan(metric(truth, truth + 1))


# interface displacement


def layer(width: float, amplitude: float, *, dx: float = 1.0, ndim: int = 2, cells: int = 128) -> np.ndarray:
    """A periodic layer with tanh interfaces, both displaced by amplitude sin(2 pi y / L) (by amplitude in 1-D)."""
    length = cells * dx
    x = dx * np.arange(cells).reshape(-1, *[1] * (ndim - 1))
    along = 2 * pi * np.arange(cells).reshape(-1, *[1] * (ndim - 2)) / cells if ndim > 1 else pi / 2
    shape = (cells,) if ndim == 1 else (cells, cells) if ndim == 2 else (cells, cells, 2)
    return np.broadcast_to(np.tanh((length / 4 - np.abs(x - length / 2 - amplitude * np.sin(along))) / width), shape)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("dx", [1.0, 0.25])
@pytest.mark.parametrize("amplitude", [0.01, 0.2, 0.5])
def test_small_displacements_are_found(amplitude: float, dx: float, ndim: int) -> None:
    """Width 6 cells, `amplitude` in units of the width: within 1 % while it is at most half the width."""
    width = 6 * dx
    distance = amplitude * width
    found = interface_displacement(layer(width, 0, dx=dx, ndim=ndim), layer(width, distance, dx=dx, ndim=ndim), dx)
    exact = distance if ndim == 1 else distance / sqrt(2)
    assert found == pytest.approx(exact, rel=0.02)


def test_large_displacements_are_underestimated() -> None:
    """Beyond the width the squared error grows linearly: delta -> sqrt(3 width distance) for rigid shifts."""
    width, truth = 3.0, layer(3.0, 0, ndim=1)
    distances = np.array([1.0, 3.0, 6.0, 12.0, 24.0])
    ratio = [interface_displacement(truth, layer(width, d, ndim=1), 1.0) / d for d in distances]
    assert (np.diff(ratio) < 0).all()
    assert ratio[0] > 0.97
    assert ratio[-1] * 24 == pytest.approx(sqrt(3 * width * 24), rel=0.1)


def test_forward_differences_bias_less_than_central_ones() -> None:
    truth, prediction = layer(6.0, 0), layer(6.0, 0.1)
    central = sum(np.sum((np.roll(truth, -1, axis) - np.roll(truth, 1, axis)) ** 2) for axis in (0, 1)) / 4
    exact = 0.1 / sqrt(2)
    ours = interface_displacement(truth, prediction, 1.0) / exact - 1
    theirs = sqrt(np.sum((truth - prediction) ** 2) / central) / exact - 1
    assert 0 < ours < 1.5e-3
    assert theirs == pytest.approx(4 * ours, rel=0.05)


# domains


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radius: float, dx: float = 1.0) -> np.ndarray:
    """The cells of a periodic box nearer than `radius` to `centre` (both in units of length)."""
    squared = np.zeros(shape)
    for axis, (n, c) in enumerate(zip(shape, centre, strict=True)):
        distance = np.abs(dx * np.arange(n) - c)
        distance = np.minimum(distance, n * dx - distance)
        squared = squared + distance.reshape([-1 if a == axis else 1 for a in range(len(shape))]) ** 2
    return squared < radius**2


@pytest.mark.parametrize(
    ("mask", "dx", "radii"),
    [
        (ball((64, 64), (32, 32), 10.4), 1.0, [10.4]),
        (ball((64, 64), (0, 0), 10.4), 1.0, [10.4]),
        (ball((64, 64), (0, 32), 10.4), 1.0, [10.4]),
        (ball((64, 64), (15.7, 0.2), 5, dx=0.25), 0.25, [5]),
        (ball((64, 64), (1, 1), 12.4) | ball((64, 64), (32, 32), 7.4), 1.0, [12.4, 7.4]),
        (ball((40, 40, 40), (20, 20, 20), 12), 1.0, [12]),
        (ball((40, 40, 40), (0, 0, 0), 12), 1.0, [12]),
        (ball((30, 40, 50), (0, 20, 1), 8) | ball((30, 40, 50), (15, 0, 25), 10), 1.0, [10, 8]),
        (ball((64,), (0,), 10.5), 1.0, [10.5]),
        (np.zeros((8, 8), dtype=bool), 1.0, []),
        (np.zeros((8, 8, 8), dtype=bool), 1.0, []),
        (np.ones((8, 8), dtype=bool), 0.5, [4 / sqrt(pi)]),
    ],
    ids=["centre", "corner", "side", "corner, fine", "two", "sphere", "sphere on the corner", "two spheres", "segment",
         "none", "none in 3-D", "all"],
)  # fmt: skip
def test_equivalent_radii(mask: np.ndarray, dx: float, radii: list[float]) -> None:
    assert_allclose(equivalent_radii(mask, dx), radii, rtol=0.02)


@pytest.mark.parametrize(("periodic", "count"), [(True, 1), (False, 4)])
def test_disc_on_the_corner(periodic: bool, count: int) -> None:
    radii = equivalent_radii(ball((64, 64), (0, 0), 10.4), 1.0, periodic)
    assert len(radii) == count
    assert np.sum(pi * radii**2) == pytest.approx(pi * 10.4**2, rel=0.02)


def test_a_chain_that_wraps_several_times_is_one_domain() -> None:
    """A diagonal staircase on a torus: many pieces in the box, joined only through its sides."""
    mask = np.zeros((8, 8), dtype=bool)
    for i in range(8):
        mask[i, (3 * i + np.arange(4)) % 8] = True
    assert len(equivalent_radii(mask, 1.0)) == 1


def test_cells_connect_across_faces_alone() -> None:
    mask = np.zeros((6, 6), dtype=bool)
    mask[2, 2] = mask[3, 3] = True
    mask[0, 0] = mask[5, 5] = True
    assert_allclose(equivalent_radii(mask, 1.0), [1 / sqrt(pi)] * 4)


def test_mask_must_be_boolean() -> None:
    with pytest.raises(InputError, match="boolean one"):
        equivalent_radii(np.zeros((4, 4)), 1.0)
