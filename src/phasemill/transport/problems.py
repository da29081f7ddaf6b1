"""Heat problems with known answers, for tests, docs and reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phasemill.core.spectral import laplacian_eigenvalues, multiply_spectrum

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """`phi0` evolved over `steps` explicit Euler steps is `exact` within `tolerance` (largest error of a cell)."""

    name: str
    phi0: Floats
    exact: Floats
    tolerance: float
    kappa: float
    dx: float
    dt: float
    steps: int


def random_field(size: int = 64, kappa: float = 0.7, dx: float = 0.5, dt: float = 0.005, steps: int = 5000) -> Problem:
    """F[phi]_k(n) = (1 - kappa dt lambda_k)^n F[phi]_k(0): every mode at once, exact for the discrete scheme."""
    phi0 = np.random.default_rng(0).uniform(0, 1, (size, size))
    growth = 1 - kappa * dt * laplacian_eigenvalues(phi0.shape, dx)
    exact = multiply_spectrum(phi0, growth**steps)
    return Problem(f"random field {size}", phi0, exact, 1e-13, kappa, dx, dt, steps)


def cosine_mode(size: int = 48, modes: tuple[int, int] = (3, 5), steps: int = 200) -> Problem:
    """phi = cos(2 pi m x / L) cos(2 pi n y / L) G^steps with G = 1 - kappa dt lambda_mn."""
    kappa, dx, dt = 0.4, 0.5, 0.01
    half_angles = np.pi * np.array(modes) / size
    growth = 1 - kappa * dt * 4 / dx**2 * np.sum(np.sin(half_angles) ** 2)
    phi0 = np.outer(*np.cos(2 * np.outer(half_angles, np.arange(size))))
    return Problem(f"cosine mode {modes}", phi0, phi0 * growth**steps, 1e-14, kappa, dx, dt, steps)


def checkerboard(steps: int = 101) -> Problem:
    """phi = (-1)^(i + j + steps) at kappa dt lambda_max = 2: the fastest mode flips for ever at the stability limit."""
    phi0 = (-1.0) ** np.add.outer(np.arange(16), np.arange(16))
    return Problem("checkerboard at the limit", phi0, phi0 * (-1.0) ** steps, 0.0, 0.25, 1.0, 1.0, steps)


def spreading_gaussian(size: int = 128) -> Problem:
    """phi = (s / S) sum over images of exp(-r^2 / (2 S)) with S = s + 2 kappa t: exact for the continuous equation."""
    length, kappa, dt, steps, start = 16.0, 0.5, 0.002, 1000, 1.0
    dx = length / size
    distance = np.subtract.outer(dx * np.arange(size) - length / 2, length * np.arange(-2, 3))

    def gaussian(spread: float) -> Floats:
        profile = np.sqrt(start / spread) * np.exp(-(distance**2) / (2 * spread)).sum(axis=1)
        return np.outer(profile, profile)

    exact = gaussian(start + 2 * kappa * dt * steps)
    return Problem("spreading Gaussian", gaussian(start), exact, 2e-4, kappa, dx, dt, steps)


def problems() -> list[Problem]:
    """One of each."""
    return [random_field(), cosine_mode(), checkerboard(), spreading_gaussian()]
