"""The laws of the Cahn-Hilliard equation and its exact solutions, held against the solvers."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

from phasemill.spinodal import physics
from phasemill.spinodal.physics import Medium, free_energy, growth_rate, lattice_interface_energy, profile, stable_dt
from phasemill.spinodal.solver import Euler, Padded, Rkl2, default_dt, integrate
from phasemill.spinodal.spectral import SemiImplicit
from tests.mixtures import MEDIA, named, noise

pytestmark = pytest.mark.physics

PAPER = Medium()
OTHERS = [
    Medium(eps=2.5, mobility=2.0, dx=0.8),
    Medium(eps=4.0, mobility=0.5, dx=1.3, boundary="noflux", law="degenerate"),
]
"""Constants other than the paper's."""
STABILITY = [
    (3, PAPER),
    (2, PAPER),
    (3, Medium(dx=0.5)),
    (3, Medium(mobility=2.0)),
    (2, Medium(eps=4.0, mobility=0.5, dx=0.8)),
]


def slab(cells: int, shift: float = 0.0, rows: int = 4) -> np.ndarray:
    """A slab of phi = 1 in the middle half of a long thin box; with shift 0 its faces lie between two cells."""
    x = np.arange(cells) + 0.5 - shift
    return np.broadcast_to(profile(cells / 4 - np.abs(x - cells / 2), 3.0), (rows, rows, cells)).copy()


def crossings(line: np.ndarray) -> np.ndarray:
    """Where phi passes 1/2, interpolated, in cells from the first face."""
    at = np.flatnonzero((line[:-1] - 0.5) * (line[1:] - 0.5) < 0)
    return at + 0.5 + (0.5 - line[at]) / (line[at + 1] - line[at])


# interfaces at rest


def test_energy_of_an_interface_on_the_lattice() -> None:
    """Below 1, the value of the continuum, which it nears with the second order of the grid."""
    assert lattice_interface_energy() == pytest.approx(0.942591, abs=5e-7)
    error = [1 - lattice_interface_energy(dx=dx) for dx in (0.5, 0.25)]
    assert error[0] / error[1] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("boundary", ["periodic", "noflux"])
def test_relaxed_slab_has_the_energy_of_two_interfaces(boundary: Any) -> None:
    run = integrate(slab(48), np.array([0.0, 100.0]), medium=Medium(boundary=boundary), tolerance=1e-5)
    assert run.energy[-1] / 16 == pytest.approx(2 * lattice_interface_energy(), abs=1e-5)
    assert run.energy[0] / 16 > 2 * lattice_interface_energy() + 0.03


def test_a_small_box_ends_as_a_lamella() -> None:
    run = integrate(noise(16, 16, 16), np.array([0.0, 2000.0]), tolerance=1e-3)
    assert run.energy[-1] / 16**3 == pytest.approx(2 * lattice_interface_energy() / 16, abs=1e-5)
    uneven = [run.frames[-1].std(axis=across).max() for across in ((1, 2), (0, 2), (0, 1))]
    assert min(uneven) < 1e-12  # every plane across the lamella's normal is uniform


@pytest.mark.parametrize(("shift", "moved"), [(0.0, 0.0), (0.5, 0.5), (0.25, 0.0), (0.4, 0.0), (0.6, 1.0)])
def test_the_lattice_pins_interfaces_between_cells(shift: float, moved: float) -> None:
    """At a half both faces sit on cells: stationary, but any other place falls to the nearest one between cells."""
    relaxed = integrate(slab(32, shift), np.array([0.0, 300.0]), tolerance=1e-5).frames[-1]
    assert_allclose(crossings(relaxed[0, 0]), np.array([8, 24]) + moved, atol=1e-3)


# laws


@pytest.mark.parametrize("medium", MEDIA, ids=named)
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_energy_never_rises(medium: Medium, share: float) -> None:
    """At every step, up to the largest one that Euler accepts."""
    euler = Euler(noise(12, 14, 16), medium, dt=share * stable_dt(3, medium))
    energy = []
    for _ in range(400):
        energy.append(free_energy(euler.phi, medium.eps, medium.dx, medium.walls))
        euler.advance(euler.dt)
    assert (np.diff(energy) < 0).all()
    assert energy[-1] < 0.95 * energy[0]


@pytest.mark.parametrize(
    ("scheme", "medium", "until", "drift"),
    [
        *(("euler", medium, 5.0, 1e-13) for medium in MEDIA),
        *(("rkl2", medium, 2000.0, 1e-12) for medium in MEDIA),
        *(("spectral", medium, 5.0, 1e-13) for medium in MEDIA if medium.law == "constant"),
    ],
)
def test_mean_is_conserved(scheme: Any, medium: Medium, until: float, drift: float) -> None:
    times = np.concatenate([[0.0], np.geomspace(0.5, until, 9)])
    run = integrate(noise(10, 11, 12), times, medium=medium, scheme=scheme, tolerance=1e-3)
    assert np.abs(run.mean - run.mean[0]).max() <= drift


@pytest.mark.parametrize("medium", MEDIA, ids=named)
def test_energy_never_rises_in_any_step_of_rkl2(medium: Medium) -> None:
    """Until the box is at rest, where rounding alone is left."""
    rkl2 = Rkl2(noise(10, 11, 12), medium, tolerance=1e-3)
    energy, time = [], 0.0
    while time < 2000:
        energy.append(free_energy(rkl2.phi, medium.eps, medium.dx, medium.walls))
        time += (step := rkl2.dt)
        rkl2.advance(step)
    assert np.diff(energy).max() < 1e-15 * energy[0]
    assert energy[-1] < 0.5 * energy[0]


@pytest.mark.parametrize("boundary", ["periodic", "noflux"])
def test_energy_never_rises_in_any_step_of_the_spectral_scheme(boundary: Any) -> None:
    medium, energy = Medium(boundary=boundary), []

    class Watched(SemiImplicit):
        """Tells the energy whenever it takes the right-hand side, once per step."""

        def _explicit(self, phi: np.ndarray) -> np.ndarray:
            energy.append(free_energy(phi, medium.eps, medium.dx, medium.walls))
            return super()._explicit(phi)

    Watched(noise(10, 11, 12), medium, dt=0.01).advance(5.0)
    assert len(energy) > 500
    # the first value is the initial field, which the first-order start takes a second time
    assert energy[0] == pytest.approx(energy[1], rel=1e-13)
    assert np.diff(energy[1:]).max() < 0


def test_derivative_of_the_energy_is_the_chemical_potential() -> None:
    phi, direction = noise(6, 7, 8), np.random.default_rng(1).standard_normal((6, 7, 8))
    for medium in (Medium(eps=2.5, dx=0.8), Medium(eps=2.5, dx=0.8, boundary="noflux")):
        energy = [free_energy(phi + h * direction, medium.eps, medium.dx, medium.walls) for h in (1e-5, -1e-5)]
        slope = float(np.sum(physics.chemical_potential(phi, medium) * direction)) * medium.dx**3
        assert (energy[0] - energy[1]) / 2e-5 == pytest.approx(slope, rel=1e-8)


def wave_and_rate(mode: tuple[int, ...], mean: float, medium: Medium) -> tuple[np.ndarray, float]:
    """A mode of wave number k dx = pi mode / 32, between walls half of it, and its lambda."""
    shape = (64, 8, 8) if mode[1:] == (0, 0) else (64, 64, 64)
    k = np.pi * np.array(mode) / (64 if medium.walls else 32)
    lines = [np.cos(a * (np.arange(n) + 0.5 * medium.walls)) for a, n in zip(k, shape, strict=True)]
    mobility = 16 * mean**2 * (1 - mean) ** 2 if medium.law == "degenerate" else 1.0
    rate = mobility * growth_rate(float(np.sum(4 * np.sin(k / 2) ** 2)) / medium.dx**2, medium, mean)
    return np.einsum("i,j,k->ijk", *lines), rate


def growth(phi: np.ndarray, mean: float, wave: np.ndarray, amplitude: float) -> float:
    """ln of the amplitude of the wave in phi over the one at the start."""
    return float(np.log(np.sum((phi - mean) * wave) / np.sum(wave**2) / amplitude))


@pytest.mark.parametrize("mode", [(4, 0, 0), (10, 0, 0), (8, 8, 0), (16, 0, 0), (5, 7, 3), (32, 32, 32)])
@pytest.mark.parametrize("mean", [0.5, 0.3])
@pytest.mark.parametrize("medium", [*MEDIA, *OTHERS], ids=named)
def test_linear_growth_is_that_of_euler(mode: tuple[int, ...], mean: float, medium: Medium) -> None:
    """ln(1 + dt lambda) / dt, exactly."""
    wave, rate = wave_and_rate(mode, mean, medium)
    dt, steps, amplitude = default_dt("euler", 3, medium), 10 if mode[1] else 40, 1e-6
    euler = Euler(mean + amplitude * wave, medium, dt=dt)
    euler.advance(steps * dt)
    found = growth(euler.phi, mean, wave, amplitude) / (steps * dt)
    assert found == pytest.approx(np.log1p(dt * rate) / dt, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize(("mode", "mean"), [((4, 0, 0), 0.5), ((10, 0, 0), 0.5), ((16, 0, 0), 0.3), ((5, 7, 3), 0.3)])
@pytest.mark.parametrize("medium", [*MEDIA, *OTHERS], ids=named)
def test_linear_growth_of_rkl2_is_that_of_the_equation(mode: tuple[int, ...], mean: float, medium: Medium) -> None:
    """exp(lambda t), by a tolerance that is small against the wave."""
    wave, rate = wave_and_rate(mode, mean, medium)
    amplitude, until = 1e-5, 0.5 / max(1.0, abs(rate))
    rkl2 = Rkl2(mean + amplitude * wave, medium, tolerance=1e-8 * amplitude)
    rkl2.advance(until)
    assert growth(rkl2.phi, mean, wave, amplitude) / until == pytest.approx(rate, rel=3e-6, abs=3e-6)


def test_fastest_wave() -> None:
    """At phi = 1/2 the rate is largest, 3, for -lap -> 1; the spinodal region ends where g'' = 0."""
    assert growth_rate(1.0, PAPER) == pytest.approx(3)
    assert max(growth_rate(x, PAPER) for x in np.linspace(0, 12, 1201)) == pytest.approx(3)
    assert physics.double_well_curvature((1 - 3**-0.5) / 2, 3.0) == pytest.approx(0, abs=1e-12)


def steps_of_euler(phi: np.ndarray, medium: Medium, dt: float) -> np.ndarray:
    """After 1500 of any length, even unstable ones."""
    box = Padded(phi, medium, np.float64, 1, 2)
    for _ in range(1500):
        box.combine(box.fields[1], box.fields[0], 1.0, dt)
        box.fields.reverse()
    return box.phi


@pytest.mark.parametrize(("share", "stable"), [(0.993, True), (1.152, False)])
@pytest.mark.parametrize(("dimensions", "medium"), STABILITY)
def test_stability_limit_of_mixtures(dimensions: int, medium: Medium, share: float, stable: bool) -> None:
    """2 / rho = 3.47e-3 for phi in 0 to 1 in 3-D and the paper's medium; `Euler` leaves a margin for overshoots.

    Interfaces, where g'' is negative, bear a little more than the pure phases.
    """
    kappa = 4 * dimensions / medium.dx**2
    limit = 2 / (medium.mobility * kappa * (36 / medium.eps + medium.eps * kappa))
    assert 0.9 * limit < stable_dt(dimensions, medium) < 0.98 * limit
    mixture = np.clip(5 * noise(*[16] * dimensions) - 2, 0, 1)
    assert (np.abs(steps_of_euler(mixture, medium, share * limit) - 0.5).max() < 0.55) == stable


@pytest.mark.parametrize(("share", "stable"), [(0.99, True), (1.01, False)])
@pytest.mark.parametrize(("dimensions", "medium"), STABILITY)
def test_stability_limit_is_sharp(dimensions: int, medium: Medium, share: float, stable: bool) -> None:
    """At phi = -0.05, the farthest that `stable_dt` covers, small noise decays below it and grows above."""
    ripple = 1e-6 * (noise(*[16] * dimensions) - 0.5)
    phi = steps_of_euler(ripple - physics.WIDEST, medium, share * stable_dt(dimensions, medium))
    assert (np.ptp(phi) < np.ptp(ripple)) == stable


# the continuum


def test_energy_of_the_profile_on_a_fine_grid() -> None:
    """phi = (1 + tanh(3 x / eps)) / 2 has the energy 1 per area; eps / dx = 6."""
    x = np.arange(-80, 80) * 0.5
    assert free_energy(profile(np.broadcast_to(x, (4, 160)), 3.0), 3.0, 0.5, walls=True) / 2 == pytest.approx(
        1, abs=0.012
    )


def test_gibbs_thomson_of_a_sphere() -> None:
    """mu = 2 gamma / R with gamma = 1; an eighth of the sphere between walls, eps / dx = 6."""
    medium = Medium(dx=0.5, boundary="noflux")
    line = (np.arange(20) + 0.5) * medium.dx
    radius = np.sqrt(line[:, None, None] ** 2 + line[:, None] ** 2 + line**2)
    phi = integrate(profile(6.5 - radius, 3.0), np.array([0.0, 60.0]), medium=medium, tolerance=1e-4).frames[-1]
    mu = physics.chemical_potential(phi, medium)
    assert np.ptp(mu) < 1e-3 * mu.mean()
    near = np.abs(phi - 0.5) < 0.3
    slope, at_zero = np.polyfit(radius[near], np.arctanh(2 * phi[near] - 1), 1)
    assert mu.mean() == pytest.approx(2 / (-at_zero / slope), rel=0.02)


def shell(eps: float, dx: float, radii: tuple[int, int], times: np.ndarray, dimensions: int) -> np.ndarray:
    """Inner and outer radius (time, 2) of a shell around the corner between walls, as it evolves."""
    medium = Medium(eps=eps, dx=dx, boundary="noflux")
    line = (np.arange(np.ceil((radii[1] + 2.5 * eps) / dx)) + 0.5) * dx
    radius = np.sqrt(sum(x**2 for x in np.meshgrid(*[line] * dimensions, indexing="ij")))
    start = profile(np.minimum(radius - radii[0], radii[1] - radius), eps)
    found = []
    for phi in integrate(start, times, medium=medium, tolerance=1e-4).frames:
        for side in (radius < np.mean(radii), radius > np.mean(radii)):
            near = (np.abs(phi - 0.5) < 0.3) & side
            slope, at_zero = np.polyfit(radius[near], np.arctanh(2 * phi[near] - 1), 1)
            found.append(-at_zero / slope)
    return np.reshape(found, (-1, 2))


@pytest.mark.parametrize(
    ("dimensions", "radii", "until", "widths", "resolution", "error"),
    [(2, (12, 24), 60.0, (3.0, 1.5), 6, 0.045), (3, (10, 20), 20.0, (3.0, 2.0), 4, 0.075)],
    ids=["ring", "shell"],
)
def test_kinetics_of_sharp_interfaces(
    dimensions: int, radii: tuple[int, int], until: float, widths: tuple[float, float], resolution: int, error: float
) -> None:
    """mu = (d - 1) / b outside and -(d - 1) / a inside, harmonic between: the hole a of a shell shrinks by

    d(a^2)/dt = -2 M (1/a + 1/b) / ln(b/a) in 2-D, d(a^3)/dt = -6 M (a + b) / (b - a) in 3-D, at constant b^d - a^d.
    The solver is faster, by a share that falls with eps / a in the first order or better.
    """
    times, excess = np.linspace(0, until, 5), []
    for eps in widths:
        found = shell(eps, eps / resolution, radii, times, dimensions)[1:] ** dimensions  # once relaxed
        volume = float(found[0, 1] - found[0, 0])
        assert found[-1, 1] - found[-1, 0] == pytest.approx(volume, rel=0.02)  # a little dissolves in the phases

        def law(time: float, power: np.ndarray, volume: float = volume) -> np.ndarray:
            a, b = power ** (1 / dimensions), (power + volume) ** (1 / dimensions)
            return -2 * (1 / a + 1 / b) / np.log(b / a) if dimensions == 2 else -6 * (a + b) / (b - a)

        sharp = solve_ivp(law, (times[1], until), found[:1, 0], rtol=1e-8).y[0, -1]
        excess.append((found[-1, 0] - found[0, 0]) / (sharp - found[0, 0]) - 1)
    assert 0 < excess[1] < error
    assert 0.9 < np.log(excess[0] / excess[1]) / np.log(widths[0] / widths[1]) < 1.7


# symmetries


def cube_symmetries() -> list[Any]:
    """The 48 maps of a cube onto itself: permutations of the axes and reflections."""
    return [(axes, tuple(flips)) for axes in permutations(range(3)) for flips in product((1, -1), repeat=3)]


def test_cube_symmetries_and_exchange_of_the_phases() -> None:
    phi, times = noise(10, 10, 10), np.array([0.0, 0.2])
    for medium in MEDIA:
        evolved = integrate(phi, times, medium=medium, scheme="euler").frames[-1]
        for axes, flips in cube_symmetries():

            def move(f: np.ndarray, axes: Any = axes, flips: Any = flips) -> np.ndarray:
                return f.transpose(axes)[tuple(slice(None, None, step) for step in flips)]

            moved = integrate(move(phi), times, medium=medium, scheme="euler").frames[-1]
            assert_allclose(moved, move(evolved), rtol=0, atol=1e-13)
        swapped = integrate(1 - phi, times, medium=medium, scheme="euler").frames[-1]
        assert_allclose(swapped, 1 - evolved, rtol=0, atol=1e-13)
    evolved, moved = (integrate(f, times).frames[-1] for f in (phi, np.roll(phi, (3, -2, 5), (0, 1, 2))))
    assert_allclose(moved, np.roll(evolved, (3, -2, 5), (0, 1, 2)), rtol=0, atol=1e-12)
