"""Initial mixtures: what the noise promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from phasemill.core.errors import InputError
from phasemill.spinodal.initial import lattice_cells, mixture, perlin, perlin_mixture, slice_noise, white_noise

pytestmark = pytest.mark.physics


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def power_by_wave_number(noise: np.ndarray) -> np.ndarray:
    """Mean power in shells of whole wave numbers, per box length."""
    power = np.abs(np.fft.fftn(noise)) ** 2
    k = np.sqrt(sum(np.square(f) for f in np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in noise.shape), indexing="ij")))
    shells = np.rint(k).astype(int)
    return np.bincount(shells.ravel(), power.ravel())


@pytest.mark.parametrize("shape", [(32, 32, 32), (24, 40), (30, 20, 10)], ids=str)
def test_noise_is_periodic_smooth_and_of_zero_mean(shape: tuple[int, ...]) -> None:
    """The step over the edge of the box is like any other."""
    noise = perlin(rng(), shape, [4 if n % 4 == 0 else 5 for n in shape])
    assert abs(noise.mean()) < 0.1 * noise.std()
    for axis in range(len(shape)):
        jumps = np.abs(np.diff(noise, axis=axis))
        edge = np.abs(noise.take(0, axis) - noise.take(-1, axis))
        assert edge.max() <= 1.2 * jumps.max()


def test_mean_over_many_is_zero() -> None:
    means = [perlin(rng(seed), (16, 16, 16), (4, 4, 4)).mean() for seed in range(200)]
    assert abs(np.mean(means)) < 4 * np.std(means) / np.sqrt(200)


def test_noise_vanishes_on_its_lattice() -> None:
    fine = perlin(rng(), (400,), (4,))
    near_nodes = fine.reshape(4, 100)[:, 0]
    assert_allclose(np.abs(near_nodes), 0.005, rtol=1e-3)  # half a cell from a node, at slope 1
    assert np.abs(fine).max() > 0.1


@pytest.mark.parametrize("lattice", [4, 8, 12])
def test_spectrum_peaks_near_the_lattice(lattice: int) -> None:
    power = np.mean([power_by_wave_number(perlin(rng(seed), (48, 48, 48), [lattice] * 3)) for seed in range(4)], axis=0)
    assert 0.4 * lattice <= np.argmax(power) <= 1.1 * lattice
    assert power[2 * lattice + 2 :].sum() < 0.05 * power.sum()


def test_octaves_add_finer_noise() -> None:
    one, three = (power_by_wave_number(perlin(rng(), (48, 48, 48), [4] * 3, octaves)) for octaves in (1, 3))
    assert three[12:24].sum() / three.sum() > 10 * one[12:24].sum() / one.sum()


@pytest.mark.parametrize("mean", [0.3, 0.5, 0.71])
@pytest.mark.parametrize("deviation", [0.02, 0.15, 0.4])
def test_mean_is_imposed_exactly(mean: float, deviation: float) -> None:
    for phi in (
        perlin_mixture(rng(), (16, 12, 20), mean=mean, deviation=deviation, lattice=16),
        mixture(rng().standard_normal((40, 40)), mean, deviation),
        white_noise(rng(), (24, 24), mean),
    ):
        assert phi.mean() == pytest.approx(mean, abs=1e-14)
        assert phi.min() >= 0
        assert phi.max() <= 1


def test_deviation_is_that_asked_for_while_nothing_is_clipped() -> None:
    assert perlin_mixture(rng(), (32, 32, 32), deviation=0.1).std() == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize("make", [perlin_mixture, white_noise, slice_noise])
def test_same_seed_same_field(make: Any) -> None:
    shape = (16, 24, 32)
    assert_array_equal(make(rng(1), shape), make(rng(1), shape))
    assert np.abs(make(rng(1), shape) - make(rng(2), shape)).max() > 0.01


def test_fields_of_today_are_those_of_yesterday() -> None:
    """Data sets are named by their seeds: a change here would silently change them all."""
    phi = perlin_mixture(rng(5), (8, 8, 8), mean=0.45, deviation=0.2, lattice=16, octaves=2)
    assert_allclose(
        phi[[0, 3, 7], [1, 4, 2], [2, 6, 5]],
        [0.5587707791233236, 0.5586521064234132, 0.38999370778175596],
        rtol=0,
        atol=1e-13,
    )


def test_white_noise_has_no_correlation() -> None:
    phi = white_noise(rng(), (32, 32, 32)) - 0.5
    assert phi.std() == pytest.approx(12**-0.5, rel=0.02)
    for axis in range(3):
        assert abs(np.mean(phi * np.roll(phi, 1, axis))) < 4 * phi.var() / np.sqrt(phi.size)


@pytest.mark.parametrize("shape", [(64, 16, 16), (32, 24)], ids=str)
def test_slice_noise_is_confined(shape: tuple[int, ...]) -> None:
    phi = slice_noise(rng(), shape, mean=0.4)
    assert phi.mean() == pytest.approx(0.4, abs=1e-12)
    inside = np.zeros(shape[0], bool)
    inside[shape[0] * 3 // 8 : shape[0] * 5 // 8] = True
    assert np.ptp(phi[~inside]) < 1e-12
    assert phi[0].mean() == pytest.approx(0.4, abs=0.01)
    assert (phi[inside].std(axis=tuple(range(1, len(shape)))) > 0.02).all()


@pytest.mark.parametrize(
    ("shape", "per_unit", "cells"), [((64, 64, 64), 8, [8, 8, 8]), ((32, 128), 8, [4, 16]), ((4, 4), 6, [1, 1])]
)
def test_lattice_scales_with_the_box(shape: tuple[int, ...], per_unit: int, cells: list[int]) -> None:
    assert lattice_cells(shape, per_unit) == cells


@pytest.mark.parametrize("mean", [0.0, 1.0, -0.2, 1.7, np.nan])
def test_impossible_means_are_refused(mean: float) -> None:
    with pytest.raises(InputError, match="lies between 0 and 1"):
        perlin_mixture(rng(), (8, 8, 8), mean=mean)
