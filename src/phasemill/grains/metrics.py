"""What is measured of grains: radii, their number, when they vanish, and how far a prediction is from the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.metrics import domains, equivalent_radii

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


def first_times(times: Floats, gone: NDArray[np.bool_]) -> Floats:
    """The first time at which each column of (time, ...) is true, nan where there is none."""
    return np.where(gone.any(axis=0), times[gone.argmax(axis=0)], np.nan)


def extinction_time(times: Floats, phi: NDArray[Any]) -> float:
    """The first time without a cell of phi > 1/2, nan where there is none."""
    alive = np.asarray((np.asarray(phi) > 0.5).any(axis=tuple(range(1, np.ndim(phi)))))
    return float(first_times(times, ~alive))


def grain_extinctions(times: Floats, phi: NDArray[Any]) -> Floats:
    """When each grain of the first frame vanishes, the largest grain first; nan where it lives to the end.

    Grains are the connected domains of phi > 1/2, periodic. From one frame to the next a grain goes on in all domains
    that it overlaps: grains that merge share theirs from then on, and live as long as it does.

    Arguments: times (time,); phi (time, x, y[, z]).
    """
    labels, count = domains(phi[0] > 0.5)
    order = np.argsort(-np.bincount(labels[labels >= 0], minlength=count), kind="stable")
    lives_in = np.eye(count, dtype=bool)[order]  # (grain, domain of the frame)
    gone = np.zeros((len(times), count), bool)
    for number in range(1, len(times)):
        later, following = domains(phi[number] > 0.5)
        both = (labels >= 0) & (later >= 0)
        overlap = np.zeros((count, following), bool)
        overlap[labels[both], later[both]] = True
        lives_in, labels, count = lives_in @ overlap, later, following
        gone[number] = ~lives_in.any(axis=1)
    return first_times(times, gone)
