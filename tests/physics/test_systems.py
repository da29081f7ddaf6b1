"""The systems against exact solutions and the laws of their equations, and the recovery of their parameters."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.transport.config.physics import OtherPhysicsJob
from phasemill.transport.datasets.physics import PARAMETERS, initial, integrate, simulate, video
from phasemill.transport.physics import dirichlet_energy
from phasemill.transport.recover.physics import FrozenOperator, fit_instruments, fit_pairs
from phasemill.transport.systems import (
    SYSTEMS,
    AllenCahn,
    CahnHilliard,
    FisherKPP,
    GrayScott,
    Scheme,
    System,
    advance,
)

pytestmark = pytest.mark.physics

THETA: dict[str, list[float]] = {
    "fisher_kpp": [0.5, 0.2],
    "allen_cahn": [0.8, 1.2],
    "cahn_hilliard": [0.8, 1.2],
    "gray_scott": [0.16, 0.08, 0.035, 0.06],
}
INTERVAL = {"fisher_kpp": 0.5, "allen_cahn": 0.5, "cahn_hilliard": 0.4, "gray_scott": 10.0}
START = {"fisher_kpp": 4.0, "allen_cahn": 5.0, "cahn_hilliard": 30.0, "gray_scott": 300.0}

all_systems = pytest.mark.parametrize("system", SYSTEMS.values(), ids=list(SYSTEMS))


def free_energy(u: np.ndarray, eps2: float, dx: float) -> float:
    """E = sum ((u^2 - 1)^2 / 4 + eps^2 / 2 |grad u|^2) dx^2 of one field (x, y).

    Allen-Cahn is u_t = -M dE/du and Cahn-Hilliard u_t = M lap dE/du, so that E falls in both.
    """
    return float(np.sum((u**2 - 1) ** 2) / 4 * dx**2) + eps2 * dirichlet_energy(u, dx)


@cache
def converged(name: str) -> np.ndarray:
    """Frames (time, field, x, y) of a video that is converged in time."""
    system, timing = SYSTEMS[name], {"start": START[name], "interval": INTERVAL[name]}
    first = initial(system, np.random.default_rng(2), 32, 1.0)
    return integrate(system, first, np.array(THETA[name]), **timing, frames=9, dx=1.0)


def operator(name: str, substeps: int, scheme: Scheme = "euler") -> FrozenOperator:
    return FrozenOperator(SYSTEMS[name], INTERVAL[name], substeps, 1.0, scheme)


def relative_error(theta: np.ndarray, name: str) -> np.ndarray:
    return np.asarray(theta / np.array(THETA[name]) - 1)


def slope(x: Any, y: Any) -> float:
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


# the right-hand sides


@all_systems
def test_kernel_is_the_readable_formula(system: type[System]) -> None:
    state = np.random.default_rng(0).uniform(-1, 1, (3, len(system.fields), 7, 12))
    rate = advance(system, state, THETA[system.name], dx=0.7, interval=1.0, substeps=1) - state
    assert_allclose(rate, system.rhs(state, THETA[system.name], 0.7), rtol=0, atol=1e-12)


@all_systems
@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("runge_kutta", 4)])
def test_order_in_time(system: type[System], scheme: Scheme, order: int) -> None:
    state, theta = converged(system.name)[:1], THETA[system.name]
    steps = int(np.ceil(2 * INTERVAL[system.name] / system.stable_step(theta, 1.0, scheme))) * 2 ** np.arange(4)

    def end(substeps: int, scheme: Scheme) -> np.ndarray:
        return advance(system, state, theta, dx=1.0, interval=INTERVAL[system.name], substeps=substeps, scheme=scheme)

    exact = end(16 * int(steps[-1]), "runge_kutta")
    errors = [np.abs(end(n, scheme) - exact).max() for n in steps.tolist()]
    assert abs(-slope(steps, errors) - order) < 0.15


@all_systems
@pytest.mark.parametrize("scheme", ["euler", "runge_kutta"])
def test_stable_step_is_stable_and_not_timid(system: type[System], scheme: Scheme) -> None:
    state, theta = converged(system.name)[-1:], THETA[system.name]
    longest = system.stable_step(theta, 1.0, scheme)
    kept = advance(system, state, theta, dx=1.0, interval=200 * longest, substeps=200, scheme=scheme)
    assert np.abs(kept).max() < 1.5
    lost = advance(system, state, theta, dx=1.0, interval=800 * longest, substeps=400, scheme=scheme)
    assert not np.abs(lost).max() < 1.5


@all_systems
def test_members_of_a_batch_do_not_meet(system: type[System]) -> None:
    frames, settings = converged(system.name), {"dx": 1.0, "interval": 0.1, "substeps": 3}
    together = advance(system, frames, THETA[system.name], **settings)
    alone = [advance(system, frame[None], THETA[system.name], **settings)[0] for frame in frames]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("shape", "theta", "changed", "words"),
    [
        ((1, 8, 8), [0.5, 0.2], {}, "give \\(batch, 1, x, y\\)"),
        ((1, 2, 8, 8), [0.5, 0.2], {}, "give \\(batch, 1, x, y\\)"),
        ((1, 1, 8, 2), [0.5, 0.2], {}, "at least 3 x 3"),
        ((1, 1, 8, 8), [0.5], {}, "parameters kappa, r"),
        ((1, 1, 8, 8), [0.5, 0.2], {"substeps": 0}, "substeps"),
        ((1, 1, 8, 8), [0.5, 0.2], {"interval": 0.0}, "interval"),
        ((1, 1, 8, 8), [0.5, 0.2], {"scheme": "heun"}, "scheme"),
    ],
)
def test_unusable_input_is_one_sentence(shape: tuple[int, ...], theta: list[float], changed: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        advance(FisherKPP, np.zeros(shape), theta, **({"dx": 1.0, "interval": 0.1, "substeps": 1} | changed))


# exact solutions and laws


def test_fisher_travelling_wave() -> None:
    """u = (1 + exp((x - c t) / s))^-2, s = sqrt(6 kappa / r), c = 5 sqrt(kappa r / 6) (Ablowitz and Zeppetella)."""
    kappa, r, duration = 0.5, 0.6, 4.0
    errors, sizes = [], (60, 120, 240)
    for size in sizes:
        dx = 60 / size
        x = dx * np.arange(size) - 30

        def wave(t: float, x: np.ndarray = x) -> np.ndarray:
            shift = 5 * np.sqrt(kappa * r / 6) * t
            return np.asarray((1 + np.exp((np.abs(x) - 15 - shift) / np.sqrt(6 * kappa / r))) ** -2)

        state = np.repeat(wave(0)[None, None, :, None], 3, axis=3)
        steps = int(np.ceil(2 * duration / FisherKPP.stable_step((kappa, r), dx, "runge_kutta")))
        settings: dict[str, Any] = {"dx": dx, "interval": duration, "substeps": steps, "scheme": "runge_kutta"}
        found = advance(FisherKPP, state, (kappa, r), **settings)[0, 0, :, 0]
        far = np.abs(np.abs(x) - 17) < 8  # the wave runs out both ways; its tip at 0 and the far side are not exact
        errors.append(np.abs(found - wave(duration))[far].max())
    assert errors[-1] < 1e-3
    assert abs(slope(60 / np.array(sizes), errors) - 2) < 0.2


@pytest.mark.parametrize(("kappa", "r"), [(0.5, 0.6), (1.0, 0.3)])
def test_fisher_front_speed(kappa: float, r: float) -> None:
    """A steep front tends to 2 sqrt(kappa r), from below as 1 - 3 / (4 r t) (Bramson)."""
    dx, size = 0.25 * np.sqrt(kappa / r), 1600
    x = dx * np.arange(size) - size * dx / 2
    state = np.repeat((np.abs(x) < 16 * dx).astype(float)[None, None, :, None], 3, axis=3)
    steps = int(np.ceil(40 / r / FisherKPP.stable_step((kappa, r), dx, "runge_kutta")))
    places = []
    for _ in range(2):
        settings: dict[str, Any] = {"dx": dx, "interval": 40 / r, "substeps": steps, "scheme": "runge_kutta"}
        state = advance(FisherKPP, state, (kappa, r), **settings)
        profile = state[0, 0, size // 2 :, 0]
        places.append(np.interp(-0.5, -profile, x[size // 2 :]))
    speed, limit = (places[1] - places[0]) / (40 / r), 2 * np.sqrt(kappa * r)
    expected = limit - 1.5 * np.sqrt(kappa / r) * np.log(2) / (40 / r)  # mean over t = 40 / r ... 80 / r
    assert speed == pytest.approx(expected, rel=0.01)
    assert speed < limit


@pytest.mark.parametrize("system", [AllenCahn, CahnHilliard])
def test_energy_falls(system: type[System]) -> None:
    theta, frames = THETA[system.name], converged(system.name)
    energy = [free_energy(frame[0], theta[1], 1.0) for frame in frames]
    assert np.all(np.diff(energy) < 0)


@pytest.mark.parametrize(("system", "sign"), [(AllenCahn, -1), (CahnHilliard, 1)])
def test_energy_is_that_of_the_equation(system: type[System], sign: int) -> None:
    """dE/dt = sum (dE/du) u_t with u_t = -M dE/du, or M lap dE/du: the gradient by differences of E itself."""
    mobility, eps2 = THETA[system.name]
    u, dx, h = np.random.default_rng(1).uniform(-1, 1, (5, 6)), 0.8, 1e-6
    gradient = np.zeros_like(u)
    for place in np.ndindex(u.shape):
        step = np.zeros_like(u)
        step[place] = h
        gradient[place] = (free_energy(u + step, eps2, dx) - free_energy(u - step, eps2, dx)) / (2 * h * dx**2)
    rate = system.rhs(u[None, None], (mobility, eps2), dx)[0, 0]
    if system is CahnHilliard:
        neighbours = sum(np.roll(gradient, shift, axis) for axis in (0, 1) for shift in (1, -1))
        gradient = (neighbours - 4 * gradient) / dx**2
    assert_allclose(rate, sign * mobility * gradient, atol=1e-7)


def test_cahn_hilliard_conserves_mass() -> None:
    frames = converged("cahn_hilliard")
    assert np.ptp(frames.mean(axis=(1, 2, 3))) < 1e-14
    assert np.ptp(converged("allen_cahn").mean(axis=(1, 2, 3))) > 1e-3  # unlike Allen-Cahn


@pytest.mark.parametrize("system", [AllenCahn, CahnHilliard])
def test_flat_interface_is_at_rest(system: type[System]) -> None:
    """u = tanh(x / sqrt(2 eps^2)), up to the stencil's error of second order."""
    rates = []
    for cells in (64, 128):
        dx = 40 / cells
        x = dx * np.arange(cells) - 20
        u = np.tanh((10 - np.abs(x)) / np.sqrt(2 * 2.0))
        rate = system.rhs(np.repeat(u[None, None, :, None], 3, axis=3), (1.0, 2.0), dx)
        rates.append(np.abs(rate[..., np.abs(np.abs(x) - 10) < 5, :]).max())
    assert rates[1] < 0.02
    assert 3 < rates[0] / rates[1] < 5


def test_allen_cahn_circle_shrinks_by_its_curvature() -> None:
    """R^2 = R0^2 - 2 M eps^2 t."""
    mobility, eps2, dx, size = 1.0, 2.0, 0.5, 96
    x = dx * (np.arange(size) - size / 2)
    state = np.tanh((14 - np.hypot(*np.meshgrid(x, x))) / np.sqrt(2 * eps2))[None, None]
    areas = []
    for _ in range(3):
        settings: dict[str, Any] = {"dx": dx, "interval": 8.0, "substeps": 250, "scheme": "runge_kutta"}
        state = advance(AllenCahn, state, (mobility, eps2), **settings)
        areas.append(np.sum((state + 1) / 2) * dx**2)
    assert_allclose(np.diff(areas), -2 * np.pi * mobility * eps2 * 8.0, rtol=0.02)


@pytest.mark.parametrize("modes", [(1, 0), (3, 2)])
def test_cahn_hilliard_spinodal_growth(modes: tuple[int, int]) -> None:
    """A small mode grows as exp(M lambda (1 - eps^2 lambda) t)."""
    mobility, eps2, size, duration = 0.8, 1.2, 32, 3.0
    angles = np.pi * np.array(modes) / size
    lam = 4 * np.sum(np.sin(angles) ** 2)
    state = 1e-6 * np.outer(*np.cos(2 * np.outer(angles, np.arange(size))))[None, None]
    settings: dict[str, Any] = {"dx": 1.0, "interval": duration, "substeps": 400, "scheme": "runge_kutta"}
    grown = advance(CahnHilliard, state, (mobility, eps2), **settings)
    assert_allclose(grown, state * np.exp(mobility * lam * (1 - eps2 * lam) * duration), atol=1e-14)


def test_gray_scott_near_its_resting_state() -> None:
    """About u = 1, v = 0 the species part: 1 - u decays by D_u lambda + F, v by D_v lambda + F + k."""
    d_u, d_v, feed, kill = THETA["gray_scott"]
    wave = 1e-7 * np.cos(2 * np.pi * 3 * np.arange(24) / 24)[:, None] * np.ones(24)
    lam, duration = 4 * np.sin(np.pi * 3 / 24) ** 2, 20.0
    settings: dict[str, Any] = {"dx": 1.0, "interval": duration, "substeps": 200, "scheme": "runge_kutta"}
    u, v = advance(GrayScott, np.stack([1 - wave, wave])[None], THETA["gray_scott"], **settings)[0]
    assert_allclose(1 - u, wave * np.exp(-(d_u * lam + feed) * duration), atol=1e-13)
    assert_allclose(v, wave * np.exp(-(d_v * lam + feed + kill) * duration), atol=1e-13)


# the data set


def test_data_set_holds_what_the_solver_made(tmp_path: Path) -> None:
    timing = {"start": 1.0, "interval": 0.3}
    ranges = {
        name: {p: {"low": v, "high": 1.1 * v} for p, v in zip(SYSTEMS[name].parameters, THETA[name], strict=True)}
        for name in SYSTEMS
    }
    data: dict[str, Any] = {name: timing | drawn for name, drawn in ranges.items()}
    job = OtherPhysicsJob(seed=1, physics_data={"size": 16, "dx": 1.0, "frames": 4, "simulations": 2, **data})
    simulate(job, tmp_path / "a.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = xr.open_zarr(tmp_path / "a.zarr")
    assert store.meanings(source.system) == [name for name in SYSTEMS for _ in range(2)]
    assert len({float(v) for v in source.kappa[:2]}) == 2
    assert float(source.step_error.max()) < 1e-5
    for sim in range(source.sizes["sim"]):
        system, frames, theta, interval = video(source, sim)
        start = frames[:1].astype(np.float64)
        settings: dict[str, Any] = {"dx": 1.0, "interval": interval, "substeps": 200, "scheme": "runge_kutta"}
        assert_allclose(advance(system, start, theta, **settings)[0], frames[1], atol=1e-5)
        assert np.isnan([float(source[name][sim]) for name in PARAMETERS if name not in system.parameters]).all()
        assert (not source.v[sim].any()) == (len(system.fields) == 1)
    simulate(job, tmp_path / "b.zarr")
    assert store.digest(tmp_path / "a.zarr") == store.digest(tmp_path / "b.zarr")


# recovery


@all_systems
def test_recovery_is_exact_on_the_operators_own_video(system: type[System]) -> None:
    theta, frozen = np.array(THETA[system.name]), operator(system.name, 40)
    frames = [converged(system.name)[:1]]
    for _ in range(4):
        frames.append(frozen.predict(frames[-1], theta))
    fit = fit_pairs(frozen, np.concatenate(frames), 1.5 * theta)
    assert np.abs(relative_error(fit.parameters, system.name)).max() < 1e-9


@all_systems
def test_error_falls_as_one_over_k(system: type[System]) -> None:
    theta, counts = np.array(THETA[system.name]), np.array([30, 60, 120])
    fits = [fit_pairs(operator(system.name, k), converged(system.name), 1.3 * theta) for k in counts.tolist()]
    errors = [np.abs(relative_error(fit.parameters, system.name)).max() for fit in fits]
    assert errors[-1] < 1e-3
    assert abs(-slope(counts, errors) - 1) < 0.1


@all_systems
def test_data_are_converged(system: type[System]) -> None:
    """Half the time step of the data moves no recovered parameter by 0.1 %, in fact by far less."""
    name, theta = system.name, np.array(THETA[system.name])
    first = initial(system, np.random.default_rng(2), 32, 1.0)
    timing: dict[str, Any] = {"start": START[name], "interval": INTERVAL[name], "frames": 9, "dx": 1.0}
    coarse = integrate(system, first, theta, **timing, coarser=2)
    found = [fit_pairs(operator(name, 60), frames, theta).parameters for frames in (coarse, converged(name))]
    assert_allclose(found[0], found[1], rtol=1e-5)


@pytest.mark.parametrize("name", ["fisher_kpp", "allen_cahn", "cahn_hilliard"])
def test_noise_biases_pairs_and_not_instruments(name: str) -> None:
    theta, frozen = np.array(THETA[name]), operator(name, 20, "runge_kutta")
    clean = converged(name)
    noisy = clean + 0.05 * clean.std() * np.random.default_rng(4).standard_normal(clean.shape)
    pairs = fit_pairs(frozen, noisy, theta)
    careful = fit_instruments(frozen, noisy, pairs.parameters)
    assert relative_error(pairs.parameters, name)[0] > 4 * pairs.sigma[0] / theta[0]  # and its sigma does not know
    assert abs(relative_error(careful.parameters, name)[0]) < 3 * careful.sigma[0] / theta[0]


def test_instruments_are_biased_by_curvature_as_the_square_of_the_noise() -> None:
    theta, frozen, clean = (
        np.array(THETA["allen_cahn"]),
        operator("allen_cahn", 3, "runge_kutta"),
        converged("allen_cahn"),
    )
    bias = []
    for level in (0.05, 0.1):
        found = []
        for seed in range(12):
            noise = level * clean.std() * np.random.default_rng(seed).standard_normal(clean.shape)
            # with both signs, what is linear in the noise drops out
            found += [fit_instruments(frozen, clean + sign * noise, theta).parameters for sign in (1, -1)]
        bias.append(np.mean(found, axis=0) / theta - 1)
    assert np.all(np.abs(bias[0]) > 1e-3)
    assert_allclose(bias[1] / bias[0], 4, rtol=0.15)


@pytest.mark.parametrize("name", ["fisher_kpp", "allen_cahn", "cahn_hilliard"])
def test_instruments_report_an_honest_sigma(name: str) -> None:
    """At 1 % noise: the bias by curvature is still far below it."""
    theta, clean, scores = np.array(THETA[name]), converged(name), []
    frozen = operator(name, 20 if name == "cahn_hilliard" else 3, "runge_kutta")
    for seed in range(40):
        noisy = clean + 0.01 * clean.std() * np.random.default_rng(seed).standard_normal(clean.shape)
        fit = fit_instruments(frozen, noisy, theta)
        scores.append((fit.parameters - theta) / fit.sigma)
    spread = np.sqrt(np.mean(np.square(scores), axis=0))
    assert np.all(spread < 1.5)
    assert np.all(spread > 0.7)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((5, 8, 8)), "needs \\(time, 1, x, y\\)"),
        (np.zeros((2, 1, 8, 8)), "at least 3 frames"),
        (np.full((5, 1, 8, 8), np.nan), "not finite"),
        (np.ones((5, 1, 8, 8)), "constant"),
    ],
)
def test_unusable_frames_are_one_sentence(frames: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        fit_instruments(operator("fisher_kpp", 2), frames, [0.5, 0.2])
