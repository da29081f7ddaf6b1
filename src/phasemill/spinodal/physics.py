"""phi_t = div(M(phi) grad mu), mu = g'(phi) - eps lap phi, as readable numpy; `kernels` is its compiled twin.

phi is a concentration, 0 and 1 in the two phases. The scaling makes the free energy of a continuous interface exactly
1 per area, and its profile phi = (1 + tanh(3 x / eps)) / 2. Boxes are 2-D or 3-D with cell-centred values; with walls
(no flux) phi and mu are mirrored at the faces, otherwise the box is periodic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError

Floats = NDArray[np.float64]
Boundary = Literal["periodic", "noflux"]
Mobility = Literal["constant", "degenerate"]

WIDEST = 0.05
"""How far beyond [0, 1] phi may stray before the stability limit no longer covers it."""


@dataclass(frozen=True)
class Medium:
    """What evolves: the constants of the equation, the grid and the boundary. One unit of length is arbitrary."""

    eps: float = 3.0
    """Interface width: the profile rises from 5 to 95 % over eps ln(19) / 3."""
    mobility: float = 1.0
    """M0, length^5 / (energy time)."""
    dx: float = 1.0
    boundary: Boundary = "periodic"
    law: Mobility = "constant"
    """M(phi) = M0, or 16 M0 phi^2 (1 - phi)^2: transport along the interfaces alone (surface diffusion)."""

    def __post_init__(self) -> None:
        for name in ("eps", "mobility", "dx"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}: it must be finite and positive")
        for name, known in (("boundary", ("periodic", "noflux")), ("law", ("constant", "degenerate"))):
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r} is unknown; use {' or '.join(map(repr, known))}")

    @property
    def walls(self) -> bool:
        """Whether the faces of the box are walls."""
        return self.boundary == "noflux"


def double_well(phi: NDArray[Any], eps: float) -> Floats:
    """g = 18 / eps phi^2 (1 - phi)^2 (Lanzoni et al. 2024, eq. 1)."""
    return np.asarray(18 / eps * phi**2 * (1 - phi) ** 2)


def double_well_slope(phi: NDArray[Any], eps: float) -> Floats:
    """g' = 36 / eps phi (1 - phi) (1 - 2 phi)."""
    return np.asarray(36 / eps * phi * (1 - phi) * (1 - 2 * phi))


def double_well_curvature(phi: float, eps: float) -> float:
    """g'' = 36 / eps (1 - 6 phi + 6 phi^2): negative, and the mixture unstable, for phi between 0.211 and 0.789."""
    return 36 / eps * (1 - 6 * phi + 6 * phi**2)


def laplacian(phi: NDArray[Any], dx: float, walls: bool = False) -> Floats:
    """lap phi = sum over axes (phi_{i-1} + phi_{i+1} - 2 phi_i) / dx^2: 7-point in 3-D, 5-point in 2-D."""
    return np.asarray(sum(np.diff(_face_differences(phi, axis, walls), axis=axis) for axis in range(phi.ndim)) / dx**2)


def _face_differences(phi: NDArray[Any], axis: int, walls: bool) -> NDArray[Any]:
    """phi_{i+1} - phi_i on the n + 1 faces along `axis`."""
    return np.diff(_padded(phi, axis, walls), axis=axis)


def _padded(phi: NDArray[Any], axis: int, walls: bool) -> NDArray[Any]:
    width = [(1, 1) if a == axis else (0, 0) for a in range(phi.ndim)]
    return np.pad(phi, width, mode="symmetric" if walls else "wrap")


def chemical_potential(phi: NDArray[Any], medium: Medium) -> Floats:
    """mu = g'(phi) - eps lap phi, the derivative of the free energy by phi."""
    return np.asarray(double_well_slope(phi, medium.eps) - medium.eps * laplacian(phi, medium.dx, medium.walls))


def relative_mobility(phi: NDArray[Any]) -> Floats:
    """M(phi) / M0 = 16 phi^2 (1 - phi)^2 of the degenerate law: 1 at 1/2, 0 in the pure phases."""
    return np.asarray(16 * phi**2 * (1 - phi) ** 2)


def rate(phi: NDArray[Any], medium: Medium) -> Floats:
    """phi_t = div(M(phi) grad mu); M on a face is the mean of its two cells (Lanzoni et al. 2024, eq. 2)."""
    mu = chemical_potential(phi, medium)
    if medium.law == "constant":
        return medium.mobility * laplacian(mu, medium.dx, medium.walls)
    total = np.zeros_like(mu)
    for axis in range(phi.ndim):
        mobility, faces = _padded(relative_mobility(phi), axis, medium.walls), np.arange(phi.shape[axis] + 1)
        on_face = (mobility.take(faces, axis) + mobility.take(faces + 1, axis)) / 2
        total += np.diff(on_face * _face_differences(mu, axis, medium.walls), axis=axis)
    return medium.mobility / medium.dx**2 * total


def euler_step(phi: NDArray[Any], dt: float, medium: Medium) -> Floats:
    """phi <- phi + dt phi_t, the explicit step of the paper."""
    return np.asarray(phi + dt * rate(phi, medium))


def free_energy(phi: NDArray[Any], eps: float, dx: float, walls: bool = False) -> float:
    """F = sum (g(phi) + eps / 2 |grad phi|^2) dx^d with forward differences, in float64; dF/dphi = mu dx^d exactly.

    In the continuum F is the area of the interfaces (Lanzoni et al. 2024, eq. 1 and section 3.3).
    """
    field = np.asarray(phi, dtype=np.float64)
    total = float(np.sum(double_well(field, eps)))
    for axis in range(field.ndim):
        jumps = np.diff(field, axis=axis) if walls else np.roll(field, -1, axis) - field
        total += eps / 2 * float(np.sum(jumps**2)) / dx**2
    return total * dx**field.ndim


def profile(distance: NDArray[Any], eps: float) -> Floats:
    """phi = (1 + tanh(3 d / eps)) / 2, the flat interface at rest; d is the signed distance, positive inside."""
    return np.asarray((1 + np.tanh(3 * distance / eps)) / 2)


def growth_rate(eigenvalue: float, medium: Medium, mean: float = 0.5) -> float:
    """lambda = -M kappa (g''(mean) + eps kappa): linear growth of a mode with -lap -> kappa (constant mobility)."""
    curvature = double_well_curvature(mean, medium.eps)
    return -medium.mobility * eigenvalue * (curvature + medium.eps * eigenvalue)


def spectral_radius(dimensions: int, medium: Medium) -> float:
    """rho = M kappa (g''_max + eps kappa), kappa = 4 d / dx^2: the stiffest rate, for phi in [-0.05, 1.05]."""
    largest = 4 * dimensions / medium.dx**2
    return medium.mobility * largest * (double_well_curvature(-WIDEST, medium.eps) + medium.eps * largest)


def stable_dt(dimensions: int, medium: Medium) -> float:
    """dt <= 2 / rho: the largest stable explicit step, for phi in [-0.05, 1.05]."""
    return 2 / spectral_radius(dimensions, medium)


@cache
def lattice_interface_energy(eps: float = 3.0, dx: float = 1.0) -> float:
    """gamma_h, the energy per area of a flat interface at rest half way between two cells of the grid.

    In the continuum it is 1. A grid of dx = eps / 3 lowers it to 0.942591, and an interface centred on a cell, which
    is an unstable state, has 3.6 % more: the lattice pins flat interfaces. Found by Newton's method on a line of cells.
    """
    half = int(np.ceil(8 * eps / dx))
    x = (np.arange(2 * half) - half + 0.5) * dx
    phi = profile(x, eps)
    lap = (np.diag(np.ones(2 * half - 1), 1) + np.diag(np.ones(2 * half - 1), -1) - 2 * np.eye(2 * half)) / dx**2
    lap[0, 0] = lap[-1, -1] = -1 / dx**2  # mirrored ends
    for _ in range(50):
        residual = double_well_slope(phi, eps) - eps * lap @ phi
        jacobian = np.diag(36 / eps * (1 - 6 * phi + 6 * phi**2)) - eps * lap
        # odd about the centre: phi(-x) = 1 - phi(x), which removes the zero mode of translation
        change = np.linalg.lstsq(jacobian, -residual, rcond=1e-12)[0]
        phi = phi + (change - change[::-1]) / 2
        if np.abs(change).max() < 1e-14:
            break
    return free_energy(phi, eps, dx, walls=True)
