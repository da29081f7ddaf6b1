"""What is measured of grains: radii, their number, when they vanish, and how far a prediction is from the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.metrics import equivalent_radii

Floats = NDArray[np.float64]

VISIBLE = 0.05
"""The threshold of the paper's radius."""


def volume_radius(phi: NDArray[Any], dx: float) -> float:
    """R_v = sqrt(int phi / pi): R_v^2 of a disc is R^2 plus a constant of eta^2, so that it falls by 2 mu sigma t."""
    return float(np.sqrt(np.sum(phi, dtype=np.float64) * dx**2 / np.pi))


def threshold_radius(phi: NDArray[Any], threshold: float, dx: float) -> float:
    """sqrt(area(phi > threshold) / pi), of all grains together; the paper's with 0.05."""
    return float(np.sqrt(np.count_nonzero(phi > threshold) * dx**2 / np.pi))


def diagnostics(phi: NDArray[Any], dx: float) -> dict[str, float]:
    """Radii of a field (x, y), the number of its grains (phi > 1/2, periodic) and their mean radius."""
    grains = equivalent_radii(phi > 0.5, dx)
    return {
        "radius": volume_radius(phi, dx),
        "radius_half": threshold_radius(phi, 0.5, dx),
        "radius_visible": threshold_radius(phi, VISIBLE, dx),
        "grains": float(len(grains)),
        "grain_radius": float(np.mean(grains)) if len(grains) else 0.0,
    }


def extinction_time(times: Floats, phi: NDArray[Any]) -> float:
    """The first time without a cell of phi > 1/2, nan where there is none."""
    gone = ~(np.asarray(phi) > 0.5).any(axis=tuple(range(1, np.ndim(phi))))
    return float(times[int(np.argmax(gone))]) if gone.any() else float("nan")
