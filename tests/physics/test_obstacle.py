"""The two-phase obstacle solver against its formula, the sharp-interface laws and the published benchmark."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.grains import kernels, physics
from phasemill.grains.initial import disc, published_disc
from phasemill.grains.physics import Medium
from phasemill.grains.solver import Euler, implicit, implicit_march, integrate, pinned_rate
from phasemill.grains.variation import Interval

pytestmark = pytest.mark.physics

DX = 1 / 63
PUBLISHED = Medium(eta=7 * DX, mu=5e-5, dx=DX)
STEP = 1500 / 1499


def centred(cells: int, radius: float, ratio: float) -> tuple[NDArray[np.float64], Medium]:
    """A disc in the middle of a unit box, eta = ratio dx, mobility 1."""
    medium = Medium(eta=ratio / cells, mu=1.0, dx=1 / cells)
    middle = np.full(2, 0.5 - 0.5 / cells)
    return disc((cells, cells), medium.dx, middle, radius, medium.eta), medium


def radius_of_volume(frames: NDArray[np.float64], dx: float) -> NDArray[np.float64]:
    return np.sqrt(frames.sum(axis=(-2, -1)) * dx**2 / np.pi)


def radius_above(phi: NDArray[np.float64], threshold: float) -> float:
    """The paper's radius: that of the area above the threshold, in units of the box."""
    return float(np.sqrt((phi > threshold).mean() / np.pi))


@pytest.mark.parametrize("shape", [(8, 8), (5, 12), (13, 7), (32, 6), (6, 5, 9), (8, 8, 8)])
@pytest.mark.parametrize("dg", [0.0, 1.5])
def test_kernel_is_the_formula(shape: tuple[int, ...], dg: float) -> None:
    phi, medium = np.random.default_rng(1).random(shape), Medium(eta=4.0, mu=0.7, sigma=1.3, dx=0.9, dg=dg)
    solver, expected = Euler(phi, medium, dt=0.1), phi
    for steps in (1, 2, 5):
        solver.advance(0.1 * steps)
        for _ in range(steps):
            expected = physics.euler_step(expected, 0.1, medium)
        assert_allclose(solver.phi, expected, rtol=0, atol=1e-14)
    single = Euler(phi.astype(np.float32), medium, dt=0.1, dtype=np.float32)
    single.advance(0.8)
    assert_allclose(single.phi, expected, rtol=0, atol=1e-5)
    assert solver.steps == 8


def test_the_rate_is_the_descent_of_the_energy() -> None:
    """phi_t = -L dF/dphi of the discrete F, with the driving force; the sign and the factor of eq. 4."""
    medium = Medium(eta=5.0, mu=0.3, sigma=1.7, dx=0.8, dg=0.6)
    phi = np.random.default_rng(2).uniform(0.2, 0.8, (6, 7))
    slope = np.empty_like(phi)
    for cell in np.ndindex(phi.shape):
        ends = []
        for sign in (1, -1):
            moved = phi.copy()
            moved[cell] += sign * 1e-5
            ends.append(physics.free_energy(moved, medium))
        slope[cell] = (ends[0] - ends[1]) / 2e-5 / medium.dx**2
    assert_allclose(physics.rate(phi, medium), -medium.kinetic * slope, rtol=1e-6)


def test_the_published_benchmark() -> None:
    """Radii as in the paper's plots: 0.423 at the start, 0.112 at t = 1500; the eta of its code is 6.89 dx."""
    times = 30 * STEP * np.arange(51)
    run = integrate(published_disc(), times, PUBLISHED, dt=STEP * (1 + 1e-12))
    assert radius_above(run.frames[0], 0.05) == pytest.approx(0.4235, abs=1e-4)
    assert radius_above(run.frames[-1], 0.05) == pytest.approx(0.1129, abs=1e-4)
    assert run.energy[[0, -1]] == pytest.approx([2.4394, 0.4587], abs=1e-4)
    assert (np.diff(run.energy) < 0).all()
    radii = radius_of_volume(run.frames, DX)
    slope = np.polyfit(times[:41], radii[:41] ** 2, 1)[0] / (-2 * PUBLISHED.mu * PUBLISHED.sigma)
    assert slope == pytest.approx(0.976, abs=1e-3)
    for turned in (run.frames[25].T, run.frames[25][::-1], run.frames[25][:, ::-1]):
        assert_allclose(turned, run.frames[25], rtol=0, atol=1e-12)


def test_a_disc_shrinks_linearly_in_its_area() -> None:
    """R^2 = R0^2 - 2 mu sigma t; the lattice drags at few cells per interface, monotonically less with more."""
    ratios = []
    for cells, ratio in ((64, 4), (64, 5), (64, 7), (128, 15)):
        phi, medium = centred(cells, 0.3, ratio)
        times = np.linspace(0, 0.6, 25) * physics.lifetime(0.3, medium)
        run = integrate(phi, times, medium)
        squares = radius_of_volume(run.frames, medium.dx)[4:] ** 2
        slope, offset = np.polyfit(times[4:], squares, 1)
        assert np.abs(slope * times[4:] + offset - squares).max() / 0.3**2 < 2e-3
        ratios.append(slope / (-2 * medium.mu * medium.sigma))
    assert_allclose(ratios, [0.901, 0.944, 0.978, 1.002], rtol=0, atol=3e-3)
    assert ratios == sorted(ratios)


def test_a_sphere_shrinks_twice_as_fast() -> None:
    medium = Medium(eta=8.0, mu=1.0)
    phi = disc((40, 40, 40), 1.0, np.full(3, 19.5), 15.0, 8.0)
    times = np.linspace(0, 0.25 * 15.0**2 / 4, 9)
    radii = np.cbrt(integrate(phi, times, medium).frames.sum(axis=(1, 2, 3)) * 3 / (4 * np.pi))
    assert np.polyfit(times[2:], radii[2:] ** 2, 1)[0] == pytest.approx(-4.0, rel=0.03)


@pytest.mark.parametrize(
    ("ratio", "energy", "profile", "inside"),
    [
        (4, 0.9704, 0.038, 2),
        (7, 0.9916, 2.3e-3, 6),
        (10, 0.9958, 6.2e-3, 8),
        (15, 0.9982, 5e-4, 14),
        (30, 0.9995, 7e-4, 28),
    ],
)
def test_a_flat_interface_has_the_energy_sigma(ratio: int, energy: float, profile: float, inside: int) -> None:
    medium, cells = Medium(eta=float(ratio), mu=1.0, sigma=1.0), 8 * ratio
    x = np.arange(cells) - cells / 2 + 0.5
    start = np.repeat(physics.profile(cells / 4 - np.abs(x), medium.eta)[:, None], 4, axis=1)
    solver = Euler(start, medium)
    solver.advance(4000 * solver.dt)
    assert physics.free_energy(solver.phi, medium) / 8 == pytest.approx(energy, abs=2e-4)
    assert np.abs(solver.phi - start).max() < 1.5 * profile
    assert np.count_nonzero((solver.phi[:, 0] > 0) & (solver.phi[:, 0] < 1)) == 2 * inside


def test_energy_is_lost_as_the_rate_says() -> None:
    """dF/dt = -(1/L) int phi_t^2, with phi_t = 0 where the obstacle pins."""
    solver = Euler(published_disc(), PUBLISHED, dt=1.0)
    solver.advance(5.0)
    errors = []
    for _ in range(200):
        before, energy = solver.phi.copy(), physics.free_energy(solver.phi, PUBLISHED)
        solver.advance(1.0)
        lost = physics.free_energy(solver.phi, PUBLISHED) - energy
        assert lost < 0
        expected = -np.sum((solver.phi - before) ** 2) * DX**2 / PUBLISHED.kinetic
        errors.append(abs(lost / expected - 1))
        solver.advance(5.0)
    assert np.median(errors) < 1e-3
    assert max(errors) < 1e-2


def test_errors_of_time_are_of_first_order() -> None:
    ends = []
    for dt in (1.0, 0.5, 0.25, 0.0625):
        solver = Euler(published_disc(), PUBLISHED, dt=dt)
        solver.advance(200.0)
        ends.append(solver.phi.copy())
    errors = [np.sqrt(np.mean((end - ends[-1]) ** 2)) for end in ends[:-1]]
    # the reference has an error of dt/16 itself
    expected = [1 - 1 / 16, 1 / 2 - 1 / 16, 1 / 4 - 1 / 16]
    order = np.polyfit(np.log(expected), np.log(errors), 1)[0]
    assert order == pytest.approx(1.0, abs=0.15)


def test_a_driven_front_moves_with_mu_dg() -> None:
    """To 1 % at eta/dx = 15, from below and with an error of second order in dx/eta: the lattice drags."""

    def speed(eta: float, dg: float) -> float:
        medium = Medium(eta=eta, mu=0.5, dg=dg)
        phi = np.repeat(physics.profile(60 - np.abs(np.arange(240.0) - 120), eta)[:, None], 4, axis=1)
        times = np.linspace(0, 30 / abs(medium.mu * dg), 13)
        widths = integrate(phi, times, medium).frames.sum(axis=(1, 2)) / 8
        return float(np.polyfit(times[3:], widths[3:], 1)[0] / (medium.mu * dg))

    ratios = {eta: speed(eta, 0.05) for eta in (7.0, 10.0, 15.0, 20.0)}
    assert ratios[15.0] == pytest.approx(1, abs=0.01)
    assert speed(15.0, -0.05) == pytest.approx(ratios[15.0], abs=1e-6)
    order = -np.polyfit(np.log(list(ratios)), np.log([1 - ratio for ratio in ratios.values()]), 1)[0]
    assert order == pytest.approx(2.0, abs=0.3)


def test_a_disc_grows_above_the_critical_radius() -> None:
    """R' = mu (dg - sigma/R): shrinks below sigma/dg = 20, grows above, and R' is linear in 1/R."""
    medium = Medium(eta=10.0, mu=1.0, sigma=1.0, dg=0.05)
    times, means, speeds = np.linspace(0, 40.0, 9), [], []
    for radius in (12.0, 16.0, 19.0, 21.0, 24.0, 32.0):
        phi = disc((112, 112), 1.0, np.full(2, 55.5), radius, 10.0)
        radii = radius_of_volume(integrate(phi, times, medium).frames, 1.0)[2:]
        means.append(radii.mean())
        speeds.append(np.polyfit(times[2:], radii, 1)[0])
        assert (speeds[-1] > 0) == (radius > medium.sigma / medium.dg)
    slope, constant = np.polyfit(1 / np.array(means), speeds, 1)
    assert constant == pytest.approx(medium.mu * medium.dg, rel=0.02)
    assert slope == pytest.approx(-medium.mu * medium.sigma, rel=0.03)


def test_floors_of_implicit_steps() -> None:
    """Exact implicit steps of the paper's 50 intervals: Crank-Nicolson would do, backward Euler would not."""
    times = 30 * STEP * np.arange(51)
    truth = integrate(published_disc(), times, PUBLISHED, dt=STEP * (1 + 1e-12)).frames
    floors = {}
    for scheme in ("crank-nicolson", "backward"):
        frames = np.stack(list(implicit_march(published_disc(), times, PUBLISHED, scheme)))
        floors[scheme] = ((frames - truth) ** 2).mean(axis=(1, 2))
    assert floors["crank-nicolson"].mean() == pytest.approx(2.5e-6, rel=0.02)
    assert floors["crank-nicolson"].max() == pytest.approx(1.8e-5, rel=0.02)
    assert floors["backward"].mean() == pytest.approx(5.7e-4, rel=0.02)


def test_an_implicit_step_solves_its_equation() -> None:
    phi = published_disc()
    found = implicit(phi, 30.0, PUBLISHED, "crank-nicolson", tolerance=1e-13)
    mean = (pinned_rate(phi, PUBLISHED) + physics.rate(found, PUBLISHED)) / 2
    assert_allclose(found, np.clip(phi + 30.0 * mean, 0, 1), rtol=0, atol=1e-10)
    assert np.abs(found - phi).max() > 0.03


@pytest.mark.parametrize("dg", [0.0, 4.0, -4.0])
def test_the_networks_energy_is_least_at_the_implicit_step(dg: float) -> None:
    """J of `variation`, on which networks are trained, and Crank-Nicolson by the solver: one minimum, with dg too."""
    medium, dt = replace(PUBLISHED, dg=dg), 30.0
    interval, start = Interval.of(medium, dt), torch.from_numpy(published_disc())[None]
    source = interval.source(start)
    step = torch.from_numpy(implicit(published_disc(), dt, medium, "crank-nicolson", tolerance=1e-13))[None]
    assert float(interval.residual(step, source).abs().max()) < 1e-9
    step.requires_grad_()
    energy = interval.energy(step, source)
    (slope,) = torch.autograd.grad(energy.sum() * step.numel(), step)
    free = (step > 0) & (step < 1)
    assert float(slope[free].abs().max()) < 1e-9
    assert float(slope[step == 0].min()) > 0
    assert float(slope[step == 1].max()) < 0
    # a minimum, not a saddle: every way to go leads up, and twice as far four times as high
    noise = torch.from_numpy(np.random.default_rng(7).normal(size=(5, 64, 64)))
    moved = [step + far * noise * ((step > 0.05) & (step < 0.95)) for far in (1e-3, 2e-3)]
    near, far = ((interval.energy(one, source) - energy).detach() for one in moved)
    assert float(near.min()) > 0
    assert_allclose(far / near, 4, rtol=0.01)
    assert float((interval.energy(start, source) - energy).detach()) > 1e-5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"phi": np.full((8, 8), np.nan)}, "phi holds 64 values that are not finite"),
        ({"phi": np.full((8, 8), 1.2)}, "phi spans 1.2 to 1.2: the obstacle holds it in [0, 1]; clip it"),
        ({"phi": np.zeros(8)}, "phi has shape (8,): give a 2-D or 3-D field"),
        ({"dt": 1.3}, "dt is 1.3: explicit steps are stable for 0 < dt <= dx^2/(2 d mu sigma) = 1.26"),
        ({"times": np.array([0.0, 2.0, 1.0])}, "times must be finite and ascending"),
    ],
)
def test_what_cannot_be_used_is_named(change: dict[str, object], sentence: str) -> None:
    arguments: dict[str, object] = {"phi": published_disc(), "times": np.array([0.0, 1.0]), "dt": 1.0} | change
    with pytest.raises(InputError) as caught:
        integrate(arguments["phi"], arguments["times"], PUBLISHED, dt=arguments["dt"])  # type: ignore[arg-type]
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("eta", -1.0, "eta is -1.0"),
        ("mu", np.inf, "mu is inf"),
        ("eta", 2.0, "eta is 2 dx"),
        ("dg", np.nan, "dg is nan"),
    ],
)
def test_media_are_checked(name: str, value: float, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Medium(**({"eta": 7.0, "mu": 1.0} | {name: value}))


def test_nothing_moves_where_one_phase_is_alone() -> None:
    for value in (0.0, 1.0):
        solver = Euler(np.full((8, 8), value), PUBLISHED)
        solver.advance(100.0)
        assert_array_equal(solver.phi, value)


@pytest.mark.parametrize("driving", [0.0, 0.03, -0.03, 0.4])
def test_the_balance_of_a_cell(driving: float) -> None:
    """The root fulfils its equation or is pinned by a force outwards, and next to a root it is found again."""
    rng = np.random.default_rng(3)
    for a, y in zip(rng.uniform(-0.2, 5.8, 400), rng.uniform(0, 1, 400), strict=True):
        found = kernels.balance(a, 5.5, driving, y)
        left = a + driving * np.sqrt(found * (1 - found)) - 5.5 * found
        assert abs(left) < 1e-12 or (found == 0 and a <= 0) or (found == 1 and a >= 5.5)
        assert kernels.balance(a, 5.5, driving, found) == found


def test_a_driven_implicit_step_converges_to_short_steps() -> None:
    """An interval of Crank-Nicolson with a driving force against small explicit steps: second order, 4 times less."""
    medium = replace(PUBLISHED, dg=4.0)
    start = published_disc()
    fine = integrate(start, np.array([0.0, 24.0]), medium, dt=0.05).frames[-1]
    errors = []
    for parts in (1, 2):
        *_, found = implicit_march(start, np.linspace(0, 24, parts + 1), medium, "crank-nicolson")
        errors.append(np.abs(found - fine).mean())
    assert errors[0] < 2e-3
    assert errors[1] < 0.5 * errors[0]
