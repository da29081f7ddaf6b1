"""The heat equation phi_t = kappa lap phi on a periodic square, as readable numpy; `solver` is its compiled twin.

The square has `size` cells per side; a field is an array [x, y].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def laplacian(phi: NDArray[Any], dx: float) -> Floats:
    """lap phi_ij = (phi_i-1,j + phi_i+1,j + phi_i,j-1 + phi_i,j+1 - 4 phi_ij) / dx^2, periodic (SAFE-PIT-CM, eq. 2).

    Over the last two axes of `phi` (..., x, y); dx is the grid spacing.
    """
    neighbours = (np.roll(phi, 1, -2) + np.roll(phi, -1, -2)) + (np.roll(phi, 1, -1) + np.roll(phi, -1, -1))
    return np.asarray((neighbours - 4 * phi) / dx**2)


def euler_step(phi: NDArray[Any], kappa: float, dt: float, dx: float) -> Floats:
    """phi <- phi + kappa dt lap phi.

    Arguments:
        phi: field (size, size), any unit.
        kappa: coefficient, length^2 / time.
        dt: time step; stable while kappa dt lambda_max <= 2.
        dx: grid spacing.
    """
    return np.asarray(phi + kappa * dt * laplacian(phi, dx))


def lambda_max(dx: float) -> float:
    """lambda_max = 8 / dx^2, the largest eigenvalue of -lap: that of the checkerboard (a bound if size is odd)."""
    return 8 / dx**2


def stability_number(kappa: float, dt: float, dx: float) -> float:
    """kappa dt lambda_max; explicit Euler is stable, and keeps minimum and maximum, up to 2 (SAFE-PIT-CM, eq. 4)."""
    return kappa * dt * lambda_max(dx)


def max_stable_kappa(dt: float, dx: float) -> float:
    """kappa <= 2 / (dt lambda_max) (SAFE-PIT-CM, eqs. 5, 7 and 15)."""
    return 2 / (dt * lambda_max(dx))


def dirichlet_energy(phi: NDArray[Any], dx: float) -> float:
    """E = 1/2 sum |grad phi|^2 dx^2 with forward differences.

    This is the energy of the stencil: dE/dt = -kappa sum (lap phi)^2 dx^2. Unit: that of phi squared.
    """
    return 0.5 * float(sum(np.sum((np.roll(phi, -1, axis) - phi) ** 2) for axis in (0, 1)))
