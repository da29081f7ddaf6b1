"""Scores of evolutions on fields whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from phasemill.core.errors import InputError
from phasemill.spinodal import metrics
from phasemill.spinodal.physics import profile

N = 24
CENTRES = (np.arange(N) + 0.5) / N - 0.5
X, Y, Z = np.meshgrid(CENTRES, CENTRES, CENTRES, indexing="ij")
RADIUS = np.sqrt(X**2 + Y**2 + Z**2)
RING = np.hypot(np.hypot(X, Y) - 0.25, Z)
GYROID = sum(np.sin(2 * np.pi * a) * np.cos(2 * np.pi * b) for a, b in ((X, Y), (Y, Z), (Z, X)))
TWO = (np.hypot(np.hypot(X - 0.25, Y), Z) < 0.15) | (np.hypot(np.hypot(X + 0.25, Y), Z) < 0.15)

NONE, ALL = (False, False, False), (True, True, True)
BODIES = {
    # name: (mask, Euler characteristic, components, percolation)
    "nothing": (RADIUS < 0, 0, 0, NONE),
    "everything": (RADIUS < 9, 0, 1, ALL),
    "ball": (RADIUS < 0.3, 1, 1, NONE),
    "ball across the corner": (np.roll(RADIUS < 0.3, (12, 12, 12), (0, 1, 2)), 1, 1, NONE),
    "two balls": (TWO, 2, 2, NONE),
    "ring": (RING < 0.1, 0, 1, NONE),
    "shell": ((RADIUS < 0.4) & (RADIUS > 0.25), 2, 1, NONE),
    "box without a ball": (RADIUS > 0.3, 1, 1, ALL),
    "slab": (np.abs(X) < 0.2, 0, 1, (False, True, True)),
    "rod": (np.hypot(X, Y) < 0.2, 0, 1, (False, False, True)),
    "two slabs": (np.abs(np.abs(Y) - 0.25) < 0.1, 0, 2, (True, False, True)),
    # one conventional cell of the srs net: 8 nodes, 12 edges
    "gyroid": (GYROID > 0.3, -4, 1, ALL),
}


@pytest.mark.parametrize("name", BODIES)
def test_topology(name: str) -> None:
    mask, euler, components, percolation = BODIES[name]
    assert metrics.euler_characteristic(mask) == euler
    assert metrics.components(mask) == components
    assert metrics.percolation(mask) == percolation


def test_oblique_rod_percolates_along_no_single_axis_alone() -> None:
    """A rod along (1, 1, 0) comes back to itself after one period of both axes: never after one of x alone."""
    place = np.arange(12)
    mask = np.zeros((12, 12, 12), bool)
    mask[place, place] = mask[place, (place + 1) % 12] = True
    assert metrics.percolation(mask) == (True, True, True)  # along z it is a slab; x and y go together
    rod = np.zeros_like(mask)
    rod[place, place, 6] = rod[place, (place + 1) % 12, 6] = True
    # a double cover along x joins the two copies: the way round leads through both
    assert metrics.percolation(rod) == (True, True, False)


@pytest.mark.parametrize("turns", [2, 3, 4])
def test_a_rod_that_winds_several_times_percolates(turns: int) -> None:
    """Around x `turns` times while once around y: it meets its image `turns` periods on, no sooner."""
    x = np.arange(12 * turns)
    mask = np.zeros((12, 12, 12), bool)
    for step in (0, 1):
        mask[x % 12, (x + step) // turns % 12, 6] = True
    assert (metrics.components(mask), metrics.euler_characteristic(mask)) == (1, 0)
    assert metrics.percolation(mask) == (True, True, False)


def test_topology_counts_both_phases() -> None:
    found = metrics.topology(np.where((RADIUS < 0.4) & (RADIUS > 0.25), 0.9, 0.1))
    assert (found["components"], found["components_other"]) == (1, 2)


def test_mask_must_be_boolean() -> None:
    with pytest.raises(InputError, match="boolean"):
        metrics.euler_characteristic(np.ones((4, 4, 4)))


def wave(count: int, axis: int = 0) -> np.ndarray:
    return 0.5 + 0.3 * np.cos(2 * np.pi * count * (X, Y, Z)[axis])


@pytest.mark.parametrize(("count", "axis"), [(2, 0), (3, 1), (5, 2)])
def test_structure_factor_of_a_wave(count: int, axis: int) -> None:
    dx = 0.5
    k, s = metrics.structure_factor(wave(count, axis), dx)
    assert k[0] == pytest.approx(2 * np.pi / (N * dx))
    assert np.argmax(s) == count - 1
    assert metrics.mean_wavelength(wave(count, axis), dx) == pytest.approx(N * dx / count)


def test_structure_factor_of_white_noise_is_flat() -> None:
    """S = variance at every k, by Parseval."""
    noise = np.random.default_rng(3).normal(0, 0.2, (32, 32, 32))
    _, s = metrics.structure_factor(noise, 1.0)
    assert s[4:] == pytest.approx(np.full(12, 0.04), rel=0.3)


def lamella(shift: float = 0.0, amplitude: float = 0.0, waves: int = 2, dx: float = 1.0) -> np.ndarray:
    height = amplitude * np.sin(2 * np.pi * waves * Y)
    distance = N * dx / 4 - np.abs((N * dx * X - shift - height + N * dx / 2) % (N * dx) - N * dx / 2)
    return profile(distance, 3.0)


@pytest.mark.parametrize("shift", [0.0, 3.25, 6.0, 11.7])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_roughness_of_a_wavy_lamella(shift: float, axis: int) -> None:
    """w = amplitude / sqrt(2) for a sine, wherever the interfaces lie."""
    field = np.moveaxis(lamella(shift, 0.8), 0, axis)
    assert metrics.lamella_axis(field) == axis
    assert metrics.roughness(field, 0.5) == pytest.approx(0.5 * 0.8 / np.sqrt(2), rel=1e-3)


def test_flat_lamella_is_smooth() -> None:
    assert metrics.roughness(lamella(1.3), 1.0) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("field", [wave(2), np.where(RADIUS < 0.3, 0.9, 0.1), np.full((8, 8, 8), 0.5)])
def test_no_lamella(field: np.ndarray) -> None:
    assert metrics.lamella_axis(field) is None
    assert np.isnan(metrics.roughness(field, 1.0))


def test_arrival_is_the_first_time_from_which_it_stays() -> None:
    flat, broken = lamella(), wave(2)
    times = [0.0, 1.0, 2.0, 5.0, 9.0]
    assert metrics.arrival_time(times, np.stack([broken, flat, broken, flat, flat])) == 5.0
    assert metrics.arrival_time(times, np.stack([flat] * 5)) == 0.0
    assert np.isnan(metrics.arrival_time(times, np.stack([flat] * 4 + [broken])))


def test_frame_scores_agree_with_single_scores() -> None:
    rng = np.random.default_rng(0)
    truth, prediction = rng.uniform(size=(2, 3, 8, 8, 8)), rng.uniform(size=(2, 3, 8, 8, 8))
    found = metrics.frame_scores(truth, prediction, 3.0, 2.0)
    assert all(values.shape == (2, 3) for values in found.values())
    a, b = truth[1, 2], prediction[1, 2]
    assert found["mse"][1, 2] == pytest.approx(np.mean((a - b) ** 2))
    assert found["displacement"][1, 2] == pytest.approx(metrics.displacements(a, b, 2.0))
    assert found["energy_error"][1, 2] == pytest.approx(metrics.energy_error(a, b, 3.0, 2.0))
    assert found["low"][1, 2] == b.min()
    assert found["high_truth"][1, 2] == a.max()


def test_displacement_of_a_shifted_lamella() -> None:
    """A small shift of both interfaces is read as this shift."""
    truth, prediction = lamella(0.0, dx=0.5), lamella(0.2, dx=0.5)
    assert metrics.displacements(truth, prediction, 0.5) == pytest.approx(0.2, rel=0.05)


def test_sign_agreement_and_correlation() -> None:
    truth = lamella()
    assert metrics.sign_agreement(truth, truth) == 1.0
    assert metrics.sign_agreement(truth, 1 - truth) == 0.0
    assert metrics.correlation(truth, 2 * truth + 1) == pytest.approx(1.0)
    assert metrics.correlation(truth, 1 - truth) == pytest.approx(-1.0)
    assert np.isnan(metrics.correlation(truth, np.full_like(truth, 0.5)))


def test_mass_drift_is_the_largest_of_all_times() -> None:
    frames = np.full((2, 4, 4, 4, 4), 0.5, np.float32)
    frames[1, 2] += 0.25
    assert metrics.mass_drift(frames) == pytest.approx(0.25)


def test_confidence_covers_the_mean_of_normal_values() -> None:
    """A 95 % interval of 40 values of deviation 1 is about 4 / sqrt(40) wide."""
    rng = np.random.default_rng(1)
    low, high = metrics.confidence(rng.normal(5, 1, 40), rng, 2000)
    assert low < 5 < high
    assert high - low == pytest.approx(3.92 / np.sqrt(40), rel=0.3)
    assert np.isnan(metrics.confidence([1.0, 2.0], rng, 2000)).all()


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError, match="must agree"):
        metrics.mse(np.zeros((2, 4, 4, 4)), np.zeros((4, 4, 4)))
