"""The field that the fitted equation predicts from one frame, with the observed frames along the border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial

from phasemill.transport.video.bumps import Floats
from phasemill.transport.video.weak import Term

RING = 2
"""Cells along the border that follow the observation: what two Laplacians reach."""
LARGEST_WINDOW, LARGEST_WORK = 128, 3e8
"""Cells per side, and cell updates, of a forecast."""


@dataclass(frozen=True)
class Forecast:
    """Observation and prediction of the interior of the central window, in the order in which the field smooths."""

    frames: tuple[int, ...]
    """Numbers of the frames, counted in that order."""
    observed: Floats
    predicted: Floats

    @property
    def error(self) -> Floats:
        """Rms difference per frame."""
        return np.asarray(np.sqrt(np.mean((self.predicted - self.observed) ** 2, axis=(1, 2))))

    @property
    def no_motion(self) -> Floats:
        """Rms difference per frame of the forecast that nothing changes."""
        return np.asarray(np.sqrt(np.mean((self.observed[0] - self.observed) ** 2, axis=(1, 2))))


def forecast(frames: Floats, terms: Sequence[Term], theta: Floats, *, dx: float, interval: float) -> Forecast:
    """u <- u + h sum_j theta_j D_j f_j(u), from the first frame on; the border is interpolated between the frames.

    Arguments:
        frames: (time, x, y), in the order in which the field smooths.
        terms, theta: right-hand side in that order.
    """
    window = tuple(slice(max(0, (n - LARGEST_WINDOW) // 2), (n + LARGEST_WINDOW) // 2) for n in frames.shape[1:])
    seen = frames[(slice(None), *window)]
    polynomials = [value * Polynomial(term.f) for term, value in zip(terms, theta, strict=True)]
    reach = {"lap": 8 / dx**2, "lap2": 64 / dx**4, "value": 1.0}
    fastest = sum(
        reach[term.kind] * float(np.abs(f.deriv()(seen)).max()) for term, f in zip(terms, polynomials, strict=True)
    )
    steps = max(4, int(np.ceil(interval * fastest)))  # half of the limit of stability
    last = int(min(len(seen) - 1, LARGEST_WORK // (steps * seen[0].size)))  # 0: too stiff to be integrated
    u, predicted, inner = seen[0].copy(), [seen[0].copy()], (slice(RING, -RING),) * 2
    for frame in range(last):
        for step in range(steps):
            rate = np.zeros_like(u[inner])
            for term, f in zip(terms, polynomials, strict=True):
                rate += _operator(term.kind, f(u), dx)
            moved = u[inner] + interval / steps * rate
            share = (step + 1) / steps
            u = (1 - share) * seen[frame] + share * seen[frame + 1]
            u[inner] = moved
        predicted.append(u.copy())
    return Forecast(
        tuple(range(last + 1)), seen[(slice(last + 1), *inner)].copy(), np.array(predicted)[(slice(None), *inner)]
    )


def _operator(kind: str, f: Floats, dx: float) -> Floats:
    """D f on the cells that are at least RING from the border."""
    if kind == "value":
        return f[RING:-RING, RING:-RING]
    lap = (f[2:, 1:-1] + f[:-2, 1:-1] + f[1:-1, 2:] + f[1:-1, :-2] - 4 * f[1:-1, 1:-1]) / dx**2
    if kind == "lap":
        return lap[1:-1, 1:-1]
    return (lap[2:, 1:-1] + lap[:-2, 1:-1] + lap[1:-1, 2:] + lap[1:-1, :-2] - 4 * lap[1:-1, 1:-1]) / dx**2
