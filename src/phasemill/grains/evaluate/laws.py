"""Laws that the truth itself has to obey, measured at every step of the solver."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.grains.datasets.cases import LONGEST
from phasemill.grains.metrics import volume_radius
from phasemill.grains.physics import Medium
from phasemill.grains.solver import integrate

SHARE = 0.8
"""Of the time: later the interfaces of a small grain overlap."""


def laws(phi: NDArray[Any], until: float, medium: Medium) -> dict[str, float]:
    """What a shrinking disc without driving force has to do.

    Arguments
    ---------
    phi: initial field (x, y), one disc.
    until: time of the last step.

    Returns `slope`, d(R_v^2)/dt over -2 mu sigma, fitted over the first 80 % of the time; `curved`, the largest
    distance from that line over R_v^2 at the start; `dissipation`, the median over the steps of
    |dF/dt + int phi_t^2 / L| / |dF/dt|; and `rising`, the number of steps in which F rises.
    """
    times = np.arange(int(until / LONGEST) + 1) * LONGEST
    run = integrate(phi, times, medium)
    squares = np.array([volume_radius(frame, medium.dx) for frame in run.frames]) ** 2
    early = times <= SHARE * until
    line = np.polyfit(times[early], squares[early], 1)
    rates = np.diff(run.energy) / LONGEST
    moved = (np.diff(run.frames, axis=0) / LONGEST) ** 2
    dissipated = moved.sum(axis=(-2, -1)) * medium.dx**2 / medium.kinetic
    return {
        "slope": float(line[0] / (-2 * medium.mu * medium.sigma)),
        "curved": float(np.abs(np.polyval(line, times[early]) - squares[early]).max() / squares[0]),
        "dissipation": float(np.median(np.abs(rates + dissipated)[5:] / np.abs(rates)[5:])),
        "rising": float(np.count_nonzero(rates > 0)),
    }
