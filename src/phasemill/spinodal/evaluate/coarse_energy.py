"""What the free energy is worth on a network's coarse grid.

An interface is one and a half coarse cells wide. Summed on that grid, the energy of a flat interface depends on its
place between two cells by tens of per cent, which averages out in a pattern of many interfaces and does not in a
lamella. After Fourier up-sampling to the solver's grid it depends on its place by 3.5 %: late fields are compared so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.spinodal.datasets.mixtures import coarsen
from phasemill.spinodal.metrics import energies
from phasemill.spinodal.physics import Medium, free_energy, profile
from phasemill.spinodal.rollout import refine
from phasemill.spinodal.solver import integrate

Floats = NDArray[np.float64]

PLACES = 16
"""Places of an interface within one coarse cell."""


def refined_energies(phi: NDArray[Any], medium: Medium, factor: int) -> Floats:
    """F of fields (..., x, y, z) on a coarse grid after Fourier up-sampling to the solver's, frame by frame."""
    flat = phi.reshape(-1, *phi.shape[-3:])
    return np.array([free_energy(refine(frame, factor), medium.eps, medium.dx) for frame in flat]).reshape(
        phi.shape[:-3]
    )


def lamella_energy(size: int, medium: Medium, factor: int = 1) -> float:
    """F of the flat lamella in a cube of `size` cells per side, relaxed, and then decimated and Fourier up-sampled.

    With factor 1 it is 2 gamma_h L^2. Decimation and up-sampling change it, so that this is the state with which
    fields from a coarse grid are to be compared.
    """
    start = _lamella(size, medium, 4 * factor, 0.0)
    scale = medium.eps**3 / medium.mobility
    relaxed = integrate(start, np.array([0.0, scale]), medium=medium, tolerance=1e-8).frames[-1]
    energy = float(refined_energies(coarsen(relaxed, factor), medium, factor))
    return float(energy * (size / (4 * factor)) ** 2)


def interface_energies(medium: Medium, factor: int) -> dict[str, tuple[float, float]]:
    """Least and largest energy per area of a flat tanh interface over its places between cells, on three grids."""
    size, width = 16 * factor, 4 * factor
    fields = [_lamella(size, medium, width, factor * place / PLACES) for place in range(PLACES)]
    area = 2 * (width * medium.dx) ** 2
    found = {
        "solver's grid": [free_energy(phi, medium.eps, medium.dx) for phi in fields],
        "network's grid": [float(energies(coarsen(phi, factor), medium.eps, medium.dx * factor)) for phi in fields],
        "network's grid, Fourier up-sampled": [
            float(refined_energies(coarsen(phi, factor), medium, factor)) for phi in fields
        ],
    }
    return {grid: (min(values) / area, max(values) / area) for grid, values in found.items()}


def _lamella(size: int, medium: Medium, width: int, shift: float) -> Floats:
    """A tanh lamella of half the size across the first axis, moved by `shift` cells."""
    place = (np.arange(size) + 0.5 - shift) % size - size / 2
    distance = (size / 4 - np.abs(place)) * medium.dx
    return np.array(np.broadcast_to(profile(distance, medium.eps)[:, None, None], (size, width, width)))
