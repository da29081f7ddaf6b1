"""The heat solver against exact solutions and the laws of the equation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from phasemill.core.errors import InputError
from phasemill.core.spectral import laplacian_eigenvalues, multiply_spectrum
from phasemill.transport import problems
from phasemill.transport.initial import voronoi
from phasemill.transport.physics import (
    dirichlet_energy,
    euler_step,
    lambda_max,
    laplacian,
    max_stable_kappa,
    stability_number,
)
from phasemill.transport.problems import Problem
from phasemill.transport.solver import Trajectory, integrate

pytestmark = pytest.mark.physics

ROUND_OFF = 2.3e-16
PAPER: dict[str, Any] = {"dx": 0.5, "dt": 0.005}
LIMIT = max_stable_kappa(**PAPER)
SQUARE = np.ones((8, 8))


@pytest.fixture(scope="module")
def grains() -> np.ndarray:
    return voronoi(np.random.default_rng(3), size=48, dx=0.5)


@pytest.fixture(scope="module")
def video(grains: np.ndarray) -> Trajectory:
    return integrate(grains, 0.7, **PAPER, steps=5000, save_every=50)


def solve(problem: Problem) -> np.ndarray:
    numbers = {"dx": problem.dx, "dt": problem.dt, "steps": problem.steps, "save_every": problem.steps}
    return integrate(problem.phi0, problem.kappa, **numbers).frames[-1]


# exact solutions


@pytest.mark.parametrize(
    "problem", [*problems.problems(), *map(problems.random_field, (3, 33, 128, 256))], ids=lambda problem: problem.name
)
def test_exact_solution(problem: Problem) -> None:
    assert np.abs(solve(problem) - problem.exact).max() <= problem.tolerance


@pytest.mark.parametrize("kappa", [0, 0.1, 0.7, LIMIT])
@pytest.mark.parametrize("steps", [1, 20])
def test_kernel_is_the_readable_formula(grains: np.ndarray, kappa: float, steps: int) -> None:
    expected = grains
    for _ in range(steps):
        expected = euler_step(expected, kappa, **PAPER)
    found = integrate(grains, kappa, **PAPER, steps=steps, save_every=steps).frames[-1]
    assert_allclose(found, expected, rtol=0, atol=4 * steps * ROUND_OFF)


def test_first_order_in_time() -> None:
    phi0, dx, kappa, duration = voronoi(np.random.default_rng(5), size=32, dx=0.5, interface_width=2), 0.5, 0.7, 1.0
    exact = multiply_spectrum(phi0, np.exp(-kappa * duration * laplacian_eigenvalues(phi0.shape, dx)))
    steps = 200 * 2 ** np.arange(4)
    errors = [
        np.abs(integrate(phi0, kappa, dx=dx, dt=duration / n, steps=n, save_every=n).frames[-1] - exact).max()
        for n in steps.tolist()
    ]
    slope = np.polyfit(np.log(duration / steps), np.log(errors), 1)[0]
    assert abs(slope - 1) < 0.1


def test_laplacian_is_second_order_in_space() -> None:
    def error(size: int) -> float:
        x = 2 * np.pi * np.arange(size) / size
        phi = np.exp(np.add.outer(np.sin(x), np.cos(x)))
        exact = phi * np.add.outer(np.cos(x) ** 2 - np.sin(x), np.sin(x) ** 2 - np.cos(x))
        return float(np.abs(laplacian(phi, 2 * np.pi / size) - exact).max())

    sizes = np.array([32, 64, 128, 256])
    slope = np.polyfit(np.log(1 / sizes), np.log([error(n) for n in sizes.tolist()]), 1)[0]
    assert abs(slope - 2) < 0.1


# laws


def test_mean_is_conserved(video: Trajectory) -> None:
    assert np.abs(video.mean - video.mean[0]).max() <= 4 * ROUND_OFF


@pytest.mark.parametrize("stability", [0.1, 1, 2, 3])
def test_maximum_principle(stability: float) -> None:
    """Sharp noise, every step looked at; above 2 the solver divides the step and the principle still holds."""
    phi0 = np.random.default_rng(0).integers(0, 2, (32, 32)).astype(float)
    frames = integrate(phi0, stability / 2 * LIMIT, **PAPER, steps=100, save_every=1).frames
    assert (np.diff(frames.max(axis=(1, 2))) <= ROUND_OFF).all()
    assert (np.diff(frames.min(axis=(1, 2))) >= -ROUND_OFF).all()


@pytest.mark.parametrize(("stability", "overshoots"), [(2, False), (2.01, True)])
def test_stability_limit_is_sharp(stability: float, overshoots: bool) -> None:
    peak = np.zeros((8, 8))
    peak[3, 4] = 1
    assert (euler_step(peak, stability / 2 * LIMIT, **PAPER).min() < 0) == overshoots


def test_every_mode_decays(video: Trajectory) -> None:
    amplitudes = np.abs(np.fft.rfft2(video.frames))
    assert (np.diff(amplitudes, axis=0) <= 1e-12).all()


def test_energy_never_rises(video: Trajectory) -> None:
    assert (np.diff(video.energy) < 0).all()


@pytest.mark.parametrize("dt", [1e-2, 1e-4, 1e-6])
def test_energy_balance(grains: np.ndarray, dt: float) -> None:
    """dE/dt = -kappa sum (lap phi)^2 dx^2; one Euler step adds kappa^2 dt E[lap phi], exactly."""
    kappa, dx = 0.7, 0.5
    curvature = laplacian(grains, dx)
    first_order = -kappa * np.sum(curvature**2) * dx**2
    second_order = kappa**2 * dt * dirichlet_energy(curvature, dx)
    before, after = integrate(grains, kappa, dx=dx, dt=dt, steps=1, save_every=1).energy
    assert (after - before) / dt == pytest.approx(first_order + second_order, rel=1e-10, abs=1e-13 * before / dt)
    if dt < 1e-5:
        assert (after - before) / dt == pytest.approx(first_order, rel=1e-4)


@pytest.mark.parametrize(
    "move",
    [
        lambda phi: np.roll(phi, (5, -7), (-2, -1)),
        lambda phi: np.rot90(phi, axes=(-2, -1)),
        lambda phi: phi[..., ::-1, :],
        lambda phi: phi.swapaxes(-2, -1),
    ],
    ids=["translation", "rotation", "reflection", "transposition"],
)
def test_symmetries_hold_to_the_last_bit(grains: np.ndarray, move: Any) -> None:
    numbers = {**PAPER, "steps": 200, "save_every": 50}
    moved = integrate(move(grains), 0.7, **numbers)
    assert_array_equal(moved.frames, move(integrate(grains, 0.7, **numbers).frames))


def test_affine_maps_commute(grains: np.ndarray) -> None:
    numbers = {**PAPER, "steps": 1000, "save_every": 500}
    mapped = integrate(0.6 * grains + 0.2, 0.7, **numbers).frames
    assert_allclose(mapped, 0.6 * integrate(grains, 0.7, **numbers).frames + 0.2, rtol=0, atol=1e-14)


# what integrate returns and refuses


def test_trajectory(grains: np.ndarray, video: Trajectory) -> None:
    assert video.frames.shape == (101, 48, 48)
    assert video.frames.dtype == np.float64
    assert_array_equal(video.frames[0], grains)
    assert_allclose(video.time, 0.25 * np.arange(101))
    assert (video.dt_used, video.subdivisions) == (0.005, 1)
    assert_allclose(video.energy, [dirichlet_energy(frame, 0.5) for frame in video.frames], rtol=1e-13)


def test_input_is_left_alone_and_may_be_any_float_in_any_layout(grains: np.ndarray) -> None:
    single = np.asfortranarray(grains.astype(np.float32))
    copy = single.copy()
    found = integrate(single, 0.7, **PAPER, steps=10, save_every=10).frames
    assert_array_equal(single, copy)
    assert_array_equal(found, integrate(copy.astype(float), 0.7, **PAPER, steps=10, save_every=10).frames)


@pytest.mark.parametrize(
    ("stability", "subdivisions"), [(0, 1), (0.112, 1), (2, 1), (2.001, 2), (4, 2), (5.6, 3), (20, 10)]
)
def test_unstable_steps_are_subdivided(grains: np.ndarray, stability: float, subdivisions: int) -> None:
    kappa = stability / 2 * LIMIT
    coarse = integrate(grains, kappa, **PAPER, steps=20, save_every=10)
    assert coarse.subdivisions == subdivisions
    assert coarse.dt_used == pytest.approx(0.005 / subdivisions, rel=1e-15)
    fine = integrate(grains, kappa, dx=0.5, dt=coarse.dt_used, steps=20 * subdivisions, save_every=10 * subdivisions)
    assert_array_equal(coarse.frames, fine.frames)
    assert_allclose(coarse.time, fine.time)


@pytest.mark.parametrize(("dt", "dx"), [(0.005, 0.5), (0.03, 0.7), (0.01, 0.3), (0.07, 1.1)])
def test_the_limit_itself_is_not_subdivided(dt: float, dx: float) -> None:
    """kappa dt lambda_max may come out one bit above 2."""
    kappa = np.nextafter(max_stable_kappa(dt, dx), np.inf)
    assert integrate(SQUARE, kappa, dx=dx, dt=dt, steps=1, save_every=1).subdivisions == 1


@pytest.mark.parametrize(
    ("substeps", "number", "kappa"),
    [(1, 5.6, 0.25), (2, 2.8, 0.5), (5, 1.12, 1.25), (10, 0.56, 2.5), (25, 0.224, 6.25), (50, 0.112, 12.5)],
)
def test_stability_table_of_the_paper(substeps: int, number: float, kappa: float) -> None:
    """SAFE-PIT-CM, table 3: frames 0.25 apart, kappa_max = 0.7, dx = 0.5."""
    assert lambda_max(0.5) == 32
    assert stability_number(0.7, 0.25 / substeps, 0.5) == pytest.approx(number)
    assert max_stable_kappa(0.25 / substeps, 0.5) == pytest.approx(kappa)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kappa": -0.1}, "kappa is -0.1.*direction -1"),
        ({"kappa": np.nan}, "kappa is nan"),
        ({"kappa": np.inf}, "kappa is inf"),
        ({"phi0": np.ones((8, 9))}, r"shape \(8, 9\)"),
        ({"phi0": np.ones((2, 2))}, "at least 3 x 3"),
        ({"phi0": np.ones(8)}, r"shape \(8,\)"),
        ({"phi0": np.where(np.eye(8) > 0, np.nan, 1)}, "not finite"),
        ({"phi0": np.where(np.eye(8) > 0, np.inf, 1)}, "not finite"),
        ({"dt": 0}, "dt"),
        ({"dx": -1}, "dx"),
        ({"dt": np.nan}, "dt"),
        ({"steps": 55}, r"steps \(55\) must be a multiple of save_every \(10\)"),
        ({"steps": 0}, "steps"),
        ({"steps": -10}, "steps"),
        ({"save_every": 0}, "save_every"),
    ],
)
def test_refusals(change: dict[str, Any], message: str) -> None:
    arguments = {"phi0": SQUARE, "kappa": 0.5, **PAPER, "steps": 50, "save_every": 10, **change}
    with pytest.raises(InputError, match=message) as error:
        integrate(**arguments)
    assert "\n" not in str(error.value)
