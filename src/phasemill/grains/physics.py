"""phi_t = mu sigma [lap phi + pi^2/(2 eta^2) (2 phi - 1)] + mu (pi/eta) sqrt(phi (1 - phi)) dg with 0 <= phi <= 1.

The double-obstacle phase field of one grain (phi = 1) in another, as readable numpy; `kernels` is its compiled twin.
It is the gradient flow phi_t = -L dF/dphi, L = pi^2 mu / (8 eta), of

    F = int 4 sigma/eta [phi (1 - phi) + (eta/pi)^2 |grad phi|^2] - h(phi) dg,  h' = (8/pi) sqrt(phi (1 - phi)),

held between 0 and 1 by the obstacle, which makes it a variational inequality: where phi is pinned the rate is zero, not
what the equation says. A flat interface is phi = 1/2 - 1/2 sin(pi x / eta), exactly eta wide, with energy sigma; it
moves with the speed mu (dg - sigma kappa), kappa the curvature. Boxes are periodic, 2-D or 3-D, with the period n dx.

The driving force follows from F: h runs from 0 to 1, so dg is the energy that a volume gains when it turns to phi = 1,
and dphi/dt = L h' dg = mu (pi/eta) sqrt(phi (1 - phi)) dg. The paper prints the same term as mu dh/dphi dg with
dh/dphi = pi sqrt(phi (1 - phi)) / eta (its eq. 4); that is L/mu times the derivative of the h in its energy, and its
energy would need -h dg for the sign (PINN-Phase, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Medium:
    """What evolves: the constants of the equation and the grid. Units are arbitrary but consistent.

    Examples
    --------
    >>> from phasemill import Medium
    >>> from phasemill.grains.physics import lifetime
    >>> lifetime(50.0, Medium(eta=7.0, mu=1.0, sigma=0.5))  # of a disc: R^2 / (2 mu sigma)
    2500.0
    """

    eta: float
    """Interface width, from phi = 0 to phi = 1; a length."""
    mu: float
    """Mobility of the interface: speed per driving pressure."""
    sigma: float = 1.0
    """Energy per area of the interface."""
    dx: float = 1.0
    dg: float = 0.0
    """Energy per volume gained where phi = 1 grows."""

    def __post_init__(self) -> None:
        for name in ("eta", "mu", "sigma", "dx"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}: it must be finite and positive")
        if not np.isfinite(self.dg):
            raise InputError(f"dg is {self.dg}: it must be finite")
        if self.eta < 3 * self.dx:
            raise InputError(
                f"eta is {self.eta / self.dx:.3g} dx: an interface needs at least 3 cells, better 7; refine the grid"
            )

    @property
    def kinetic(self) -> float:
        """L = pi^2 mu / (8 eta), so that phi_t = -L dF/dphi."""
        return float(np.pi**2 * self.mu / (8 * self.eta))

    @property
    def reaction(self) -> float:
        """mu sigma pi^2 / (2 eta^2), what the obstacle holds against in the bulk; 1 / time."""
        return float(self.mu * self.sigma * np.pi**2 / (2 * self.eta**2))

    @property
    def driving(self) -> float:
        """mu (pi / eta) dg, the factor of sqrt(phi (1 - phi)); 1 / time."""
        return float(self.mu * np.pi / self.eta * self.dg)


def laplacian(phi: NDArray[Any], dx: float) -> Floats:
    """sum over axes (phi_{i-1} + phi_{i+1} - 2 phi_i) / dx^2, periodic: 5-point in 2-D, 7-point in 3-D."""
    around = sum(np.roll(phi, 1, axis) + np.roll(phi, -1, axis) for axis in range(phi.ndim))
    return np.asarray((around - 2 * phi.ndim * phi) / dx**2)


def rate(phi: NDArray[Any], medium: Medium) -> Floats:
    """The right-hand side without the obstacle (PINN-Phase, eq. 4); in the bulk it is +-`medium.reaction`."""
    found = medium.mu * medium.sigma * laplacian(phi, medium.dx) + medium.reaction * (2 * phi - 1)
    if medium.dg:
        found = found + medium.driving * np.sqrt(np.clip(phi * (1 - phi), 0, None))
    return np.asarray(found)


def euler_step(phi: NDArray[Any], dt: float, medium: Medium) -> Floats:
    """phi <- min(1, max(0, phi + dt rate)): the explicit step, projected on the obstacle."""
    return np.clip(phi + dt * rate(phi, medium), 0, 1)


def free_energy(phi: NDArray[Any], medium: Medium) -> float:
    """F with forward differences, in float64: exactly the functional whose derivative the 5-point Laplacian is."""
    field = np.asarray(phi, np.float64)
    jumps = sum(float(np.sum((np.roll(field, -1, axis) - field) ** 2)) for axis in range(field.ndim)) / medium.dx**2
    total = 4 * medium.sigma / medium.eta * (float(np.sum(field * (1 - field))) + (medium.eta / np.pi) ** 2 * jumps)
    if medium.dg:
        total -= medium.dg * float(np.sum(interpolation(field)))
    return total * medium.dx**field.ndim


def interpolation(phi: NDArray[Any]) -> Floats:
    """h with h' = (8/pi) sqrt(phi (1 - phi)), h(0) = 0, h(1) = 1."""
    phi = np.clip(phi, 0, 1)
    return np.asarray(2 / np.pi * ((2 * phi - 1) * np.sqrt(phi * (1 - phi)) + np.arcsin(np.sqrt(phi))))


def profile(distance: NDArray[Any], eta: float) -> Floats:
    """phi of a flat interface at rest; `distance` is signed, positive inside the grain."""
    inside = np.clip(np.asarray(distance) / eta, -0.5, 0.5)
    return np.asarray(0.5 + 0.5 * np.sin(np.pi * inside))


def stable_dt(dimensions: int, medium: Medium) -> float:
    """dx^2 / (2 d mu sigma): beyond it a checkerboard of 0 and 1 grows, which the obstacle hides from any norm."""
    return medium.dx**2 / (2 * dimensions * medium.mu * medium.sigma)


def lifetime(radius: float, medium: Medium) -> float:
    """R^2 / (2 mu sigma): a disc shrinks by R^2 = R0^2 - 2 mu sigma t in the sharp limit (a sphere in half of it)."""
    return radius**2 / (2 * medium.mu * medium.sigma)
