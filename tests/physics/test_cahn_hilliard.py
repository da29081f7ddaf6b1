"""The laws of the Cahn-Hilliard equation and its exact solutions, held against the solvers."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from phasemill.spinodal import physics
from phasemill.spinodal.physics import Medium, free_energy, growth_rate, lattice_interface_energy, profile, stable_dt
from phasemill.spinodal.solver import Euler, Padded, integrate
from tests.mixtures import MEDIA, named, noise

pytestmark = pytest.mark.physics

PAPER = Medium()
DT = 1.25e-3


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
    assert run.frames[-1].std(axis=(0, 1)).min() < 1e-6 or run.frames[-1].std(axis=(1, 2)).min() < 1e-6


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
    assert (np.diff(run.energy) < 1e-9 * run.energy[0]).all()


def test_derivative_of_the_energy_is_the_chemical_potential() -> None:
    phi, direction = noise(6, 7, 8), np.random.default_rng(1).standard_normal((6, 7, 8))
    for medium in (Medium(eps=2.5, dx=0.8), Medium(eps=2.5, dx=0.8, boundary="noflux")):
        energy = [free_energy(phi + h * direction, medium.eps, medium.dx, medium.walls) for h in (1e-5, -1e-5)]
        slope = float(np.sum(physics.chemical_potential(phi, medium) * direction)) * medium.dx**3
        assert (energy[0] - energy[1]) / 2e-5 == pytest.approx(slope, rel=1e-8)


@pytest.mark.parametrize("mode", [(4, 0, 0), (10, 0, 0), (8, 8, 0), (16, 0, 0), (5, 7, 3), (32, 32, 32)])
@pytest.mark.parametrize("mean", [0.5, 0.3])
@pytest.mark.parametrize("medium", MEDIA, ids=named)
def test_linear_growth_is_that_of_euler(mode: tuple[int, ...], mean: float, medium: Medium) -> None:
    """A mode of wave number k = pi mode / 32 grows by ln(1 + dt lambda) / dt, exactly."""
    shape, steps = (64, 8, 8) if mode[1:] == (0, 0) else (64, 64, 64), 10 if mode[1] else 40
    k = np.pi * np.array(mode) / (64 if medium.walls else 32)
    lines = [np.cos(a * (np.arange(n) + 0.5 * medium.walls)) for a, n in zip(k, shape, strict=True)]
    wave = np.einsum("i,j,k->ijk", *lines)
    amplitude = 1e-6
    euler = Euler(mean + amplitude * wave, medium, dt=DT)
    euler.advance(steps * DT)
    grown = np.sum((euler.phi - mean) * wave) / np.sum(wave**2) / amplitude
    mobility = 16 * mean**2 * (1 - mean) ** 2 if medium.law == "degenerate" else 1.0
    rate = mobility * growth_rate(float(np.sum(4 * np.sin(k / 2) ** 2)), medium, mean)
    assert np.log(grown) / (steps * DT) == pytest.approx(np.log1p(DT * rate) / DT, rel=1e-7, abs=1e-7)


def test_fastest_wave() -> None:
    """At phi = 1/2 the rate is largest, 3, for -lap -> 1; the spinodal region ends where g'' = 0."""
    assert growth_rate(1.0, PAPER) == pytest.approx(3)
    assert max(growth_rate(x, PAPER) for x in np.linspace(0, 12, 1201)) == pytest.approx(3)
    assert physics.double_well_curvature((1 - 3**-0.5) / 2, 3.0) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("dt", "stable"), [(3.45e-3, True), (4e-3, False)])
def test_stability_limit_is_sharp(dt: float, stable: bool) -> None:
    """2 / (12 (12 + 36)) = 3.47e-3 for phi in 0 to 1; `Euler` leaves a margin for overshoots."""
    assert stable_dt(3, PAPER) < 3.45e-3 < 2 / (12 * (12 + 36)) < 4e-3
    box = Padded(noise(16, 16, 16), PAPER, np.float64, 1, 2)
    for _ in range(1500):
        box.combine(box.fields[1], box.fields[0], 1.0, dt)
        box.fields.reverse()
    assert (np.abs(box.phi - 0.5).max() < 0.55) == stable


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
