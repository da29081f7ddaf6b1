"""Initial microstructures: periodic Voronoi tessellations with rough grain boundaries (SAFE-PIT-CM, eq. 13)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from phasemill.core.errors import InputError
from phasemill.core.spectral import hermitian_weights, multiply_spectrum, squared_wavenumbers

Floats = NDArray[np.float64]


def voronoi(
    rng: np.random.Generator,
    *,
    size: int,
    dx: float,
    grains: tuple[int, int] = (15, 35),
    interface_width: float = 0.25,
    roughness: float = 0.3,
    correlation_length: float = 2.0,
) -> Floats:
    """phi = tanh(max(d2 - d1 + roughness w eta, 0) / w): 0 on grain boundaries, towards 1 inside grains.

    d1 <= d2 are the periodic distances to the two nearest of the grains' centres, eta is a Gaussian random field.

    Arguments:
        rng: source of the number of grains, their centres and the roughness, drawn in this order.
        size, dx: cells per side of the periodic square and grid spacing.
        grains: least and greatest number of grains, both included.
        interface_width: w, a length.
        roughness: amplitude of the boundary roughness, in units of w; 0 gives straight boundaries.
        correlation_length: correlation length of the roughness.

    Returns the field (size, size), in [0, 1]. Raises InputError for fewer than two grains or a width that is not
    positive.
    """
    low, high = grains
    if not 2 <= low <= high:
        raise InputError(f"grains is {low} to {high}: a boundary needs at least 2 grains, and the range must ascend")
    if not interface_width > 0:
        raise InputError(f"interface_width is {interface_width}: it must be positive")
    centres = rng.uniform(0, size * dx, (rng.integers(low, high, endpoint=True), 2))
    gap = boundary_gap(centres, size, dx)
    eta = gaussian_random_field(rng, size, dx, correlation_length)
    return np.asarray(np.tanh(np.maximum(gap / interface_width + roughness * eta, 0)))


def boundary_gap(centres: Floats, size: int, dx: float) -> Floats:
    """d2 - d1 (size, size): how much nearer the nearest centre is than the second nearest; 0 on grain boundaries.

    `centres` (grains, 2) lie in [0, size dx); cell (i, j) lies at (i dx, j dx); distances are periodic.
    """
    x = dx * np.arange(size)
    cells = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1)
    d1, d2 = np.moveaxis(np.asarray(cKDTree(centres, boxsize=np.full(2, size * dx)).query(cells, k=2)[0]), -1, 0)
    return np.asarray(d2 - d1)


def gaussian_random_field(rng: np.random.Generator, size: int, dx: float, correlation_length: float) -> Floats:
    """White noise filtered by exp(-l^2 |k|^2 / 4): zero mean, unit variance, correlation exp(-r^2 / (2 l^2)).

    Periodic, (size, size); mean and variance are those of the ensemble, not of each draw.
    """
    shape = (size, size)
    symbol = np.exp(-(correlation_length**2) * squared_wavenumbers(shape, dx) / 4)
    variance = np.sum(hermitian_weights(shape) * symbol**2) / size**2
    return multiply_spectrum(rng.standard_normal(shape), symbol / np.sqrt(variance))
