"""The weak form: exactness of the bumps, calibration of sigma, and the noise of the pixels."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from phasemill.transport.initial import gaussian_random_field, voronoi
from phasemill.transport.video.bumps import Lattice
from phasemill.transport.video.equations import EQUATIONS
from phasemill.transport.video.noise import pixel_noise
from phasemill.transport.video.weak import Block, Pixels, Term, fit_weak

pytestmark = pytest.mark.physics

KAPPA, DX, INTERVAL = 0.4, 0.5, 0.25
HEAT = EQUATIONS["heat"].terms
SMOOTH = Lattice((21, 24, 22), (4, 4), (8, 5), DX, INTERVAL)
EXACT = Lattice((21, 24, 22), (2, 3), (1, 5), DX, INTERVAL, 0.0, 3)


@cache
def heat(size: int, frames: int, kappa: float = KAPPA, seed: int = 0, interval: float = INTERVAL) -> np.ndarray:
    """Exact frames of the periodic, spatially discrete heat equation from a Voronoi field, (time, x, y)."""
    start = voronoi(np.random.default_rng(seed), size=size, dx=DX, grains=(size // 4, size // 4))
    s = 4 / DX**2 * np.sin(np.pi * np.arange(size) / size) ** 2
    growth = np.exp(-kappa * interval * (s[:, None] + s)) ** np.arange(frames)[:, None, None]
    return np.fft.ifft2(np.fft.fft2(start) * growth).real


def cropped(frames: int = 21, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """A window of a larger field, with white noise."""
    video = heat(48, frames)[:, 10:34, 12:34]
    return video + noise * np.random.default_rng(seed).standard_normal(video.shape)


@pytest.mark.parametrize("kind", ["d/dx", "d/dy", "lap", "lap2"])
def test_bumps_measure_operators_by_summation_by_parts(kind: str) -> None:
    """<D bump, u> = <bump, D u> for any u, because bumps vanish at the border of their window."""
    lattice = replace(SMOOTH, reach=2)
    u = np.random.default_rng(0).standard_normal(lattice.shape)

    def laplacian(v: np.ndarray) -> np.ndarray:
        return sum(np.roll(v, k, axis) for k in (1, -1) for axis in (1, 2)) / DX**2 - 4 * v / DX**2

    applied = {
        "d/dx": lambda v: (np.roll(v, -1, 1) - np.roll(v, 1, 1)) / (2 * DX),
        "d/dy": lambda v: (np.roll(v, -1, 2) - np.roll(v, 1, 2)) / (2 * DX),
        "lap": laplacian,
        "lap2": lambda v: laplacian(laplacian(v)),
    }[kind](u)
    np.testing.assert_allclose(lattice.measure(u, kind), lattice.measure(applied, "value"), atol=1e-10)


def test_rate_is_exact_for_linear_and_close_for_smooth_changes() -> None:
    t = INTERVAL * np.arange(21)[:, None, None] * np.ones(SMOOTH.shape)
    np.testing.assert_allclose(SMOOTH.measure(3 * t, "rate"), 3, rtol=1e-12)
    np.testing.assert_allclose(SMOOTH.measure(np.exp(-t), "rate"), -SMOOTH.measure(np.exp(-t), "value"), rtol=5e-5)


@pytest.mark.parametrize("interval", [0.05, 0.25, 1.0])
def test_heat_is_exact_however_far_the_frames_are_apart(interval: float) -> None:
    """A mode that decays by exp(-kappa lambda interval) has no residual at the true kappa; a constant adds none."""
    x = DX * np.arange(60)
    mode = np.cos(1.1 * x)[:, None] * np.cos(0.7 * x)
    eigenvalue = 4 / DX**2 * (np.sin(0.55 * DX) ** 2 + np.sin(0.35 * DX) ** 2)
    video = 50 + mode * np.exp(-KAPPA * eigenvalue * interval * np.arange(5))[:, None, None]
    lattice = Lattice(video.shape, (1, 6), (1, 8), DX, interval, KAPPA, 12)
    rate, lap = lattice.measure(video, "rate"), lattice.measure(video, "lap")
    assert np.abs(rate - KAPPA * lap).max() < 2e-5 * np.abs(rate).max()


@pytest.mark.parametrize("lattice", [SMOOTH, EXACT])
def test_scatter_is_the_adjoint_of_windows(lattice: Lattice) -> None:
    rng = np.random.default_rng(1)
    u, factors = rng.standard_normal(lattice.shape), rng.standard_normal(lattice.counts)
    rows = rng.standard_normal((*lattice.counts, *lattice.lengths))
    measured = np.einsum("abcijk,abcijk->abc", rows, lattice.windows(u))
    assert np.sum(measured * factors) == pytest.approx(np.sum(u * lattice.scatter(rows, factors)))


@pytest.mark.parametrize("lattice", [SMOOTH, EXACT])
def test_score_is_the_derivative_of_half_q(lattice: Lattice) -> None:
    """For a non-linear equation; for heat the operator itself moves with kappa."""
    video = 0.5 + cropped(noise=0.05)
    terms = HEAT if lattice is EXACT else (*HEAT, Term("u - u^2", "value", (0, 1, -1)))
    theta = np.array([0.3, 0.1])[: len(terms)]

    def at(value: np.ndarray) -> Block:
        return Block(video, replace(lattice, kappa=float(value[0])) if lattice is EXACT else lattice, 0.05)

    step = np.array([1e-5, 0])[: len(terms)]
    moved = [at(v).normal(terms, v)[0].q for v in (theta + step, theta - step)]
    score = at(theta).normal(terms, theta)[0].scores[:, 0].sum()
    assert score == pytest.approx(-(moved[0] - moved[1]) / 4e-5, rel=1e-2)


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2])
def test_sigma_is_calibrated(noise: float) -> None:
    """z = (estimate - truth) / sigma over independent draws of the noise: mean 0, standard deviation 1."""
    lattice, z, q = replace(EXACT, shape=(21, 24, 22)), [], []
    for seed in range(40):
        fit = fit_weak([cropped(noise=noise, seed=seed)], lattice, HEAT, noise=noise, start=np.zeros(1))
        z.append((fit.theta[0] - KAPPA) / np.sqrt(fit.covariance[0, 0]))
        q.append(fit.chi2)
    assert 0.7 < np.std(z) < 1.4
    assert abs(np.mean(z)) < 0.5
    assert np.mean(q) == pytest.approx(1, abs=0.05)


def test_blocks_add_up() -> None:
    """Two disjoint halves of a video halve the variance, and neither knows of the other's border."""
    video = heat(64, 21) + 0.05 * np.random.default_rng(3).standard_normal((21, 64, 64))
    parts = [video[:, :32, :32], video[:, 32:, 32:]]
    lattice = replace(EXACT, shape=(21, 32, 32))
    one, both = (fit_weak(b, lattice, HEAT, noise=0.05, start=np.zeros(1)) for b in (parts[:1], parts))
    assert both.covariance[0, 0] == pytest.approx(one.covariance[0, 0] / 2, rel=0.4)
    assert abs(both.theta[0] - KAPPA) < 3 * np.sqrt(both.covariance[0, 0])


@pytest.mark.parametrize("gamma", [1.0, 0.6, 2.2])
def test_noise_bias_of_powers_is_removed(gamma: float) -> None:
    truth, noise = 0.6, 0.03
    seen = Pixels(truth + noise * np.random.default_rng(0).standard_normal((40, 100, 100)), noise**2, gamma)
    for power in (1, 2, 3):
        f = np.polynomial.Polynomial([0] * power + [1])
        scatter = seen.of(f).std() / np.sqrt(seen.v.size)
        assert seen.of(f).mean() == pytest.approx(truth ** (gamma * power), abs=4 * scatter + 2e-5)


@pytest.mark.parametrize("noise", [0.001, 0.01, 0.05, 0.2])
def test_pixel_noise_is_found_under_a_moving_field(noise: float) -> None:
    video = heat(48, 41) + noise * np.random.default_rng(2).standard_normal((41, 48, 48))
    assert pixel_noise(video) == pytest.approx(noise, rel=0.06)
    assert pixel_noise(np.round(video / 0.01) * 0.01, 0.01 / np.sqrt(12)) > 0.0028


def test_pixel_noise_of_single_precision_is_small() -> None:
    field = np.cumsum(
        gaussian_random_field(np.random.default_rng(0), 32, 1.0, 6.0)[None] * 1e-3 * np.ones((12, 1, 1)), 0
    )
    assert pixel_noise(field.astype(np.float32).astype(float)) < 1e-6
