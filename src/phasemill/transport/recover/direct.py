"""kappa of one simulation by direct minimisation of its SAFE loss: one scalar, no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError

Floats = NDArray[np.float64]

GRID = 48
"""Points of the first scan: the loss may have several minima where the operator is unstable."""
TOLERANCE = 1e-12
"""Relative length of the step at which the search ends."""


class Loss(Protocol):
    """A smooth function of one scalar, such as `FrameSpectra`."""

    def loss(self, kappa: Any) -> Floats:
        """L at each kappa."""

    def derivatives(self, kappa: float) -> tuple[float, float, float]:
        """L, L' and L'' at one kappa."""


@dataclass(frozen=True)
class Estimate:
    """The minimiser of a SAFE loss."""

    kappa: float
    loss: float
    """Normalised: 0 is an exact prediction, 1 the persistence forecast."""
    evaluations: int
    """Evaluations of the loss, those of the scan included."""
    curvature: float
    """Second derivative of the loss at kappa."""


def recover_direct(loss: Loss, bounds: tuple[float, float] = (0.01, 2.0)) -> Estimate:
    """L'(kappa) = 0 nearest the lowest point of a scan, by Newton's method safeguarded by bisection.

    The root of the derivative is found rather than the minimum of the value: the value is flat there, which would
    leave half of the digits.

    Arguments:
        loss: of one simulation.
        bounds: the interval searched, 0 < lower < upper. The answer is a bound where the loss falls towards it.

    Raises InputError for bounds out of order. Source: SAFE-PIT-CM, equation 9 as a function of one scalar.
    """
    lower, upper = bounds
    if not 0 < lower < upper:
        raise InputError(f"bounds are {bounds}: give 0 < lower < upper")
    scan = np.geomspace(lower, upper, GRID)
    scan[-1] = upper
    best = int(np.argmin(loss.loss(scan)))
    low, high = float(scan[max(best - 1, 0)]), float(scan[min(best + 1, GRID - 1)])
    kappa, evaluations = float(scan[best]), GRID
    for _ in range(100):
        value, slope, curvature = loss.derivatives(kappa)
        evaluations += 1
        low, high = (kappa, high) if slope < 0 else (low, kappa)
        newton = kappa - slope / curvature if curvature > 0 else np.inf
        if min(abs(newton - kappa), high - low) <= TOLERANCE * kappa:
            break
        kappa = newton if low < newton < high else (low + high) / 2
    return Estimate(kappa, value, evaluations, curvature)
