"""Videos whose pixel values are not the field: gain and offset of each frame unknown, or an unknown exponent.

One map v = a u + b for the whole video needs no treatment: the equation is linear and leaves constants alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from phasemill.core.errors import InputError
from phasemill.transport.modes import Boundary, Modes, decay
from phasemill.transport.recover.direct import Estimate, recover_direct
from phasemill.transport.spectra import check_frames

Floats = NDArray[np.float64]

EXPONENTS = (0.2, 5.0)
"""Where the exponent is searched; the gammas of cameras and displays lie well inside."""


def recover_stretched(
    frames: NDArray[Any],
    *,
    dx: float,
    interval: float,
    substeps: int | None = None,
    boundary: Boundary = "periodic",
    bounds: tuple[float, float] = (0.01, 2.0),
) -> Estimate:
    """kappa of a video v_t = c_t u_t + b_t in which each frame has its own unknown c_t and b_t.

    Arguments:
        frames: v (time, x, y) in the order of smoothing, such as frames stretched one by one to full contrast.
        dx, interval, substeps, boundary, bounds: as for `recover_trajectory`.

    Raises InputError for frames that do not determine kappa.
    """
    check_frames(np.asarray(frames))
    modes = Modes(frames.shape[1:], dx, boundary)
    loss = ScaleFreeLoss.from_modes(modes.split(frames), modes.eigenvalues, interval, substeps)
    return recover_direct(loss, bounds)


@dataclass(frozen=True)
class ScaleFreeLoss:
    """L(kappa) = mean_t [1 - (G v_t . v_t+1)^2 / (|G v_t|^2 |v_t+1|^2)], the modes of lambda = 0 left out.

    Each term is the least of |v_t+1 - c G v_t - b|^2 over a gain c and an offset b, over |v_t+1|^2.
    """

    power: Floats
    """v_t^2 / |v_t|^2 (pairs, modes)."""
    cross: Floats
    """v_t v_t+1 / (|v_t| |v_t+1|) (pairs, modes)."""
    eigenvalues: Floats
    interval: float
    substeps: int | None

    @classmethod
    def from_modes(
        cls, coefficients: Floats, eigenvalues: Floats, interval: float, substeps: int | None
    ) -> ScaleFreeLoss:
        """From v (time, modes); raises InputError for a uniform frame, which has no scale."""
        varying = eigenvalues > 0
        unit = coefficients[:, varying]
        norms = np.linalg.norm(unit, axis=1, keepdims=True)
        if not norms.all():
            raise InputError(f"frame {np.argmin(norms)} is uniform, so its contrast is not known: leave it out")
        unit = unit / norms
        return cls(unit[:-1] ** 2, unit[:-1] * unit[1:], eigenvalues[varying], interval, substeps)

    def loss(self, kappa: Floats) -> Floats:
        """L at each kappa."""
        return np.array([self.derivatives(value)[0] for value in kappa])

    def derivatives(self, kappa: float) -> tuple[float, float, float]:
        """L, L' and L'' at one kappa."""
        g, dg, ddg = decay(kappa, self.eigenvalues, self.interval, self.substeps)
        b, db, ddb = (self.cross @ np.stack([g, dg, ddg], axis=1)).T
        p, dp, ddp = (self.power @ np.stack([g**2, 2 * g * dg, 2 * (dg**2 + g * ddg)], axis=1)).T
        gain = b / p
        change = (db - gain * dp) / p
        value = np.mean(1 - gain * b)
        first = np.mean(gain**2 * dp - 2 * gain * db)
        second = np.mean(gain**2 * ddp - 2 * gain * ddb - 2 * p * change**2)
        return float(value), float(first), float(second)


def linearise(frames: NDArray[Any]) -> tuple[Floats, float]:
    """u = (v / max v)^p with the p for which the mean over space of u has no trend in time, and that p.

    Smoothing lowers the mean of every convex function of the field and raises that of every concave one (Jensen), so
    p is the inverse of the unknown gamma of v = a u^gamma. The sides must not let the mean through: not for crops. The
    sigma of a fit to u does not hold the uncertainty of p.

    Arguments:
        frames: v (time, x, y), black at 0, in either order of time; values below 0, which noise makes, count as 0.

    Raises InputError if no exponent from 0.2 to 5 conserves the mean.
    """
    check_frames(np.asarray(frames))
    used = np.maximum(np.asarray(frames, dtype=np.float64), 0)
    if not used.any():
        raise InputError("no value is above 0: the exponent needs intensities that are 0 at black")
    with np.errstate(divide="ignore"):
        logs = np.log(used / used.max())
    time = np.arange(len(used)) - (len(used) - 1) / 2

    def trend(log_exponent: float) -> float:
        return float(time @ np.exp(np.exp(log_exponent) * logs).mean(axis=(1, 2)))

    low, high = np.log(EXPONENTS)
    if trend(low) * trend(high) >= 0:
        raise InputError(f"no exponent from {EXPONENTS[0]:g} to {EXPONENTS[1]:g} conserves the mean of the frames")
    exponent = float(np.exp(brentq(trend, low, high, xtol=1e-10)))
    return np.exp(exponent * logs), exponent
