"""The references of the pinns wing: two ways to each, orders fitted, exact cases, symmetries, and their data sets."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError
from scipy.optimize import minimize_scalar

from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.pinns import dataset
from phasemill.pinns.config.data import AllenCahnData, AllenCahnTruthJob, BurgersTruthJob, PoissonTruthJob
from phasemill.pinns.kernels import RESIDUAL
from phasemill.pinns.physics import EQUATIONS, AllenCahn, Burgers, Equation, Poisson
from phasemill.pinns.reference import (
    allen_cahn,
    allen_cahn_energy,
    allen_cahn_splitting,
    burgers,
    burgers_spectral,
    burgers_trapezoid,
    grid,
)
from phasemill.pinns.terms import compare

pytestmark = pytest.mark.physics

NU = 0.01 / np.pi
FIRST = np.array([1, -8, 0, 8, -1]) / 12
SECOND = np.array([-1, 16, -30, 16, -1]) / 12
SHIFTS = np.arange(-2, 3)


def order(steps: list[float], errors: list[float]) -> float:
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


# Equations


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("bounds", ["paper", "code"])
def test_the_residual_is_that_of_the_loss_term(name: str, bounds: Any) -> None:
    equation, rng = EQUATIONS[name](bounds=bounds), np.random.default_rng(0)
    points = rng.uniform(equation.low, equation.high, (50, 2))
    streams = rng.normal(size=(4, 50))
    expected = equation.residual(*streams, points)
    assert_allclose(compare(RESIDUAL, streams, equation.source(points), equation.c), expected, rtol=1e-12)


def test_bounds_of_paper_and_code() -> None:
    assert Burgers().high == (1.0, 1.0)
    assert Burgers(bounds="code").high == (0.99, 1.0)
    assert AllenCahn(bounds="code").sides == [(1, -1.0), (1, 0.99609375)]
    assert Poisson().sides == [(0, 0.0), (0, 1.0), (1, 0.0), (1, 1.0)] == Poisson(bounds="code").sides
    with pytest.raises(InputError, match="unknown bounds 'cod'; did you mean 'code'"):
        Burgers(bounds="cod")  # type: ignore[arg-type]


def test_poisson_solves_its_equation_and_has_its_edges() -> None:
    equation = Poisson()
    errors, sizes = [], [41, 81, 161]
    for size in sizes:
        side = np.linspace(0, 1, size)
        points = dataset.Reference(side, side, np.empty(0)).points
        u, source = (f(points).reshape(size, size) for f in (equation.exact, equation.source))
        errors.append(np.abs(dataset.laplacian(u, side[1]) - source[2:-2, 2:-2]).max() / 316)
    assert order([1 / (size - 1) for size in sizes], errors) == pytest.approx(4, abs=0.1)
    assert errors[-1] < 1e-6
    y = np.linspace(0, 1, 33)
    for axis, value in equation.sides:
        edge = np.stack([np.full(33, value), y] if axis == 0 else [y, np.full(33, value)], axis=1)
        assert_allclose(equation.boundary(edge), np.sin(4 * np.pi * y) if axis == 0 else 0, atol=2e-15)


# Burgers


@pytest.mark.parametrize("factor", [0.05, 0.1, 0.3, 1, 3, 30, 300, 3000])
def test_two_quadratures_agree_for_every_viscosity(factor: float) -> None:
    t, x = np.linspace(0, 1, 6)[:, None], np.linspace(-1, 1, 65)
    apart = burgers(t, x, factor * NU) - burgers_trapezoid(t, x, factor * NU, 5001)
    assert np.abs(apart).max() < 2e-13


def test_nodes_of_the_quadrature() -> None:
    """20 and 40 nodes are too few, 100 are enough for the viscosity of the paper, and not for a third of it."""
    t, x = np.linspace(0, 0.99, 6)[:, None], np.linspace(-1, 1, 128)
    other = burgers_trapezoid(t, x, NU, 5001)
    errors = [np.abs(burgers(t, x, NU, n) - other).max() for n in (20, 40, 64, 100)]
    assert errors[0] > 0.1
    assert 1e-6 < errors[1] < 1e-4
    assert errors[2] < 1e-9
    assert errors[3] < 1e-14
    assert np.abs(burgers(t, x, 0.3 * NU, 100) - burgers_trapezoid(t, x, 0.3 * NU)).max() > 1e-6


@pytest.mark.parametrize(("place", "steps"), [("smooth", [0.02, 0.01, 0.005]), ("shock", [0.001, 0.0005, 0.00025])])
def test_burgers_satisfies_its_equation(place: str, steps: list[float]) -> None:
    """The residual of 4th-order differences falls with their order, in the smooth part and inside the shock."""
    inside = [0.2, 0.5, 0.8] if place == "smooth" else [-0.01, 0.003, 0.006]
    t, x = (values.ravel() for values in np.meshgrid([0.3, 0.6, 0.9], inside))
    equation, found = Burgers(), []
    for h in steps:
        along_t = burgers(t[:, None] + h * SHIFTS, x[:, None], NU)
        along_x = burgers(t[:, None], x[:, None] + h * SHIFTS, NU)
        residual = equation.residual(
            along_t[:, 2], along_t @ FIRST / h, along_x @ FIRST / h, along_x @ SECOND / h**2, np.stack([t, x], 1)
        )
        found.append(residual / np.abs(along_x @ FIRST / h).max())
    assert order(steps, [np.abs(residual).max() for residual in found]) == pytest.approx(4, abs=0.2)
    assert np.abs(16 * found[-1] - found[-2]).max() / 15 < 1e-7


def test_the_steepest_slope_is_the_known_one() -> None:
    """max |u_x| = 152.00516 at t = 1.6037 / pi (Basdevant et al. 1986)."""
    h = 5e-5

    def slope(t: float) -> float:
        u = burgers(t, h * np.array([1, 2, 3]), NU)  # odd: 6th-order differences from one side
        return float((45 * u[0] - 9 * u[1] + u[2]) / (30 * h))

    found = minimize_scalar(slope, bounds=(0.4, 0.6), method="bounded", options={"xatol": 1e-8})
    assert found.fun == pytest.approx(-152.00516, abs=1e-5)
    assert found.x * np.pi == pytest.approx(1.6037, abs=5e-5)


def test_burgers_is_odd_periodic_and_begins_and_ends_where_it_should() -> None:
    t, x = np.linspace(0, 1, 5)[:, None], np.linspace(-1, 1, 101)
    u = burgers(t, x, NU)
    assert_allclose(u, -u[:, ::-1], atol=1e-14)
    assert_allclose(u, burgers(t, x + 2, NU), atol=1e-13)
    assert_allclose(u[0], Burgers.initial(x), atol=1e-14)
    assert_allclose(u[:, [0, 50, 100]], 0, atol=1e-14)
    assert (np.diff(np.abs(u).max(axis=1)) <= 1e-14).all()
    assert burgers(0.5, 0.25, NU).shape == ()


@pytest.mark.parametrize(
    ("t", "viscosity", "message"),
    [(-0.1, NU, "t = 0"), (0.1, 0.0, "viscosity is 0"), (0.1, np.nan, "viscosity is nan")],
)
def test_burgers_refuses(t: float, viscosity: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        burgers(t, 0.0, viscosity)


# Allen-Cahn

both = pytest.mark.parametrize("solve", [allen_cahn, allen_cahn_splitting])


def test_burgers_by_waves_has_order_4_in_time_and_meets_cole_hopf() -> None:
    exact = burgers(np.linspace(0, 1, 21)[:, None], grid(256), 0.05)
    errors = [np.abs(burgers_spectral(0.05, points=256, frames=20, steps=steps) - exact).max() for steps in (5, 10, 20)]
    assert -np.polyfit(np.log([5, 10, 20]), np.log(errors), 1)[0] == pytest.approx(4, abs=0.3)
    assert errors[-1] < 1e-9
    thin = burgers_spectral(0.01 / np.pi, points=1020, frames=10, steps=100)
    truth = burgers(np.linspace(0, 1, 11)[:, None], grid(1020), 0.01 / np.pi)
    assert np.linalg.norm(thin - truth) < 3e-6 * np.linalg.norm(truth)
    with pytest.raises(InputError):
        burgers_spectral(1e-9)


@both
def test_diffusion_alone_is_exact(solve: Any) -> None:
    x = grid(32)
    u = solve(
        0.01, 0.0, points=32, frames=2, steps=1, initial=lambda x: 0.2 + np.cos(3 * np.pi * x) + np.sin(np.pi * x)
    )
    slow, fast = (np.exp(-0.01 * (k * np.pi) ** 2) for k in (1, 3))
    assert_allclose(u[-1], 0.2 + fast * np.cos(3 * np.pi * x) + slow * np.sin(np.pi * x), atol=1e-14)


def test_reaction_alone_has_order_4_and_splitting_is_exact() -> None:
    x, steps = grid(32), [16, 32, 64]
    first = 0.9 * np.cos(np.pi * x)
    exact = first / np.sqrt(first**2 + (1 - first**2) * np.exp(-4))
    options: dict[str, Any] = {"points": 32, "frames": 1, "initial": lambda x: 0.9 * np.cos(np.pi * x)}
    errors = [np.abs(allen_cahn(0.0, 2.0, steps=n, **options)[-1] - exact).max() for n in steps]
    assert order([1 / n for n in steps], errors) == pytest.approx(4, abs=0.2)
    assert np.abs(allen_cahn_splitting(0.0, 2.0, steps=1, **options)[-1] - exact).max() < 1e-13


@both
def test_temporal_order_is_4(solve: Any) -> None:
    steps, options = [2, 4, 8], {"points": 512, "frames": 25}
    truth = solve(steps=40, **options)[-1]
    errors = [np.abs(solve(steps=n, **options)[-1] - truth).max() for n in steps]
    assert order([1 / n for n in steps], errors) == pytest.approx(4, abs=0.2)


def test_two_integrators_agree() -> None:
    options: dict[str, Any] = {"points": 512, "frames": 20, "steps": 50}
    assert np.abs(allen_cahn(**options) - allen_cahn_splitting(**options)).max() < 1e-10


@cache
def early(points: int, start: Any) -> np.ndarray:
    """Four frames up to t = 0.02, on the 512 points."""
    found = allen_cahn(points=points, frames=4, steps=10, until=0.02, start=start)
    return np.asarray(found[:, :: points // 512])


def test_doubling_the_points() -> None:
    """The kink leaves an error like 1/N where u(0, x) is sampled; from its coefficients it vanishes beyond all powers."""
    truth = early(4096, "projected")
    sampled, projected = (
        [np.abs(early(n, start) - truth).max() for n in (512, 1024, 2048)] for start in ("sampled", "projected")
    )
    assert sampled[0] / sampled[1] < 4
    assert sampled[2] > 1e-5
    assert projected[0] / projected[1] > 8
    assert projected[1] / projected[2] > 100
    assert projected[2] < 1e-6
    assert np.abs(early(8192, "projected") - truth).max() < 1e-9


def test_the_usual_reference_is_wrong_at_the_kink_alone() -> None:
    apart, x = np.abs(early(512, "sampled") - early(4096, "projected")), grid(512)
    assert x[apart.max(axis=0).argmax()] == -1
    assert 3e-4 < apart.max() < 2e-3
    assert apart[:, np.abs(x) < 0.9].max() < 1e-6


def test_allen_cahn_satisfies_its_equation() -> None:
    """u_t by 4th-order differences over frames, u_xx by its Fourier modes: the residual falls with the order."""
    equation, points, frame = AllenCahn(), 1024, 1e-3
    frames = allen_cahn(points=points, frames=500, steps=1, until=0.5)
    middle, x = 450, grid(points)
    u = frames[middle]
    q = scipy.fft.irfft(-((np.pi * np.arange(points // 2 + 1)) ** 2) * scipy.fft.rfft(u), points)
    strides, errors = [16, 8, 4], []
    for stride in strides:
        u_t = FIRST @ frames[middle + stride * SHIFTS] / (stride * frame)
        at = np.stack([np.full(points, middle * frame), x], axis=1)
        errors.append(np.abs(equation.residual(u, u_t, 0, q, at)).max())
    assert order([float(stride) for stride in strides], errors) == pytest.approx(4, abs=0.2)
    assert errors[-1] < 1e-5


def test_allen_cahn_is_even_bounded_and_loses_energy() -> None:
    u = allen_cahn(points=512, frames=50, steps=10)
    assert_allclose(u[:, 1:], u[:, :0:-1], atol=1e-13)
    assert_array_equal(u[0], AllenCahn.initial(grid(512)))
    assert np.abs(u).max() <= 1 + 1e-12
    energy = allen_cahn_energy(u, 1e-4, 5.0)
    assert (np.diff(energy) < 0).all()
    flow = allen_cahn(points=512, frames=2, steps=1, until=2e-4, initial=lambda x: 0.5 * np.cos(np.pi * x))
    rate = -((flow[2] - flow[0]) ** 2).mean() * 2 / 2e-4  # dF/dt = -int u_t^2 dx
    assert np.diff(allen_cahn_energy(flow, 1e-4, 5.0)).sum() == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize(
    "changed", [{"diffusion": -1.0}, {"reaction": np.nan}, {"points": 33}, {"frames": 0}, {"steps": 0}, {"until": 0.0}]
)
@both
def test_allen_cahn_refuses(solve: Any, changed: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(changed))):
        solve(**{"points": 32, "frames": 1, "steps": 1, **changed})


# Data sets

JOBS: dict[str, tuple[Any, Any]] = {
    "burgers": (
        dataset.burgers,
        BurgersTruthJob(seed=1, burgers_data={"viscosity": NU, "points": 64, "frames": 100}),  # type: ignore[arg-type]
    ),
    "poisson": (
        dataset.poisson,
        PoissonTruthJob(seed=1, poisson_data={"omega": 4 * np.pi, "points": 41}),  # type: ignore[arg-type]
    ),
    "allen_cahn": (
        dataset.allen_cahn,
        AllenCahnTruthJob(
            seed=1,
            allen_cahn_data={
                "diffusion": 1e-4, "reaction": 5.0, "points": 128, "fine": 512, "frames": 20, "steps": 20,
            },  # type: ignore[arg-type]
        ),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pinns")
    for name, (make, job) in JOBS.items():
        make(job, folder / f"{name}_truth.zarr")
    return {name: folder / f"{name}_truth.zarr" for name in JOBS}


def truth_of(equation: Equation, stores: dict[str, Path]) -> tuple[xr.Dataset, dataset.Reference]:
    data = store.open_dataset(stores[equation.name])
    return data, dataset.load(data, equation)


@pytest.mark.parametrize("name", JOBS)
def test_stores_open_without_a_warning_and_are_what_the_contract_says(name: str, stores: dict[str, Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(stores[name]).load()
    assert data.u.dims == (("sim", "x", "y") if name == "poisson" else ("sim", "time", "x"))
    assert data.u.dtype == np.float64
    assert np.isfinite(data.u).all()
    assert {"title", "equation", "scheme", "stencil", "boundary", "references", "dx", "dtype"} <= set(data.attrs)
    for key, array in data.variables.items():
        assert array.attrs["long_name"], key
        assert key == "start" or array.attrs["units"] == "1", key


@pytest.mark.parametrize("name", JOBS)
def test_the_same_job_gives_the_same_digest(name: str, stores: dict[str, Path], tmp_path: Path) -> None:
    make, job = JOBS[name]
    make(job, tmp_path / f"{name}_truth.zarr")
    assert store.digest(tmp_path / f"{name}_truth.zarr") == store.digest(stores[name])


@pytest.mark.parametrize(("bounds", "frames"), [("paper", 101), ("code", 100)])
def test_burgers_on_the_grid_of_its_bounds(bounds: Any, frames: int, stores: dict[str, Path]) -> None:
    data, truth = truth_of(Burgers(bounds=bounds), stores)
    assert truth.u.shape == (frames, 64)
    assert truth.points.shape == (frames * 64, 2)
    assert_allclose(truth.u.ravel(), burgers_trapezoid(*truth.points.T, NU), atol=1e-13)
    assert dataset.equation(data, bounds) == Burgers(bounds=bounds)
    assert 0 < float(data.quadrature_error[0]) < 1e-13


def test_poisson_on_its_grid(stores: dict[str, Path]) -> None:
    data, truth = truth_of(Poisson(), stores)
    assert_array_equal(truth.u.ravel(), Poisson().exact(truth.points))
    assert dataset.equation(data) == Poisson()
    assert 1e-6 < float(data.residual_error[0]) < 1e-3


def test_allen_cahn_usual_and_true(stores: dict[str, Path]) -> None:
    data, truth = truth_of(AllenCahn(), stores)
    usual = dataset.load(data, AllenCahn(), 0)
    assert store.meanings(data.start) == ["sampled", "projected"]
    assert list(data.solved_on.values) == [128, 512]
    assert_array_equal(truth.u, allen_cahn(points=512, frames=20, steps=20)[:, ::4])
    assert_array_equal(usual.u, allen_cahn(points=128, frames=20, steps=20, start="sampled"))
    assert float(data.truth_error[0]) == np.abs(usual.u - truth.u).max() > 1e-3
    assert float(data.truth_error[1]) == 0
    assert (data.step_error < 1e-7).all()
    assert (data.splitting_error < 1e-8).all()
    assert float(data.grid_error[1]) < 1e-4 < float(data.grid_error[0])
    assert (data.energy.diff("time") < 0).all()
    assert dataset.load(data, AllenCahn(bounds="code")).second[-1] == 1 - 2 / 128


def test_points_must_nest() -> None:
    with pytest.raises(ValidationError, match="fine 96 must be a multiple of points 64"):
        AllenCahnData(diffusion=1e-4, reaction=5.0, points=64, fine=96, frames=20, steps=20)
