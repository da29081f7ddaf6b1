"""kappa of a window cut out of a larger field, from the cells that its sides cannot have reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.transport.modes import Modes, decay
from phasemill.transport.recover.direct import Estimate, recover_direct
from phasemill.transport.spectra import check_frames

Floats = NDArray[np.float64]


def recover_cropped(
    frames: NDArray[Any],
    *,
    dx: float,
    interval: float,
    substeps: int | None = None,
    margin: int = 4,
    bounds: tuple[float, float] = (0.01, 2.0),
) -> Estimate:
    """kappa of frames whose surroundings are unknown, by the loss of `CroppedLoss`.

    Arguments:
        frames: (time, x, y) in the order of smoothing.
        margin: cells along each side that are not compared; what lies outside reaches sqrt(2 kappa Dt) far in one Dt.
        dx, interval, substeps, bounds: as for `recover_trajectory`.

    Raises InputError for frames that do not determine kappa, or a margin that leaves no cell.
    """
    check_frames(np.asarray(frames))
    if not 0 <= 2 * margin < min(frames.shape[1:]):
        raise InputError(f"margin {margin} leaves no cell of a window of {frames.shape[1]} x {frames.shape[2]}")
    modes = Modes(frames.shape[1:], dx, "neumann")
    loss = CroppedLoss(modes, modes.split(frames[:-1]), _inside(frames[1:], margin), interval, substeps, margin)
    return recover_direct(loss, bounds)


@dataclass(frozen=True)
class CroppedLoss:
    """L(kappa) = mean (G u_t - u_t+1)^2 over all pairs and the inner cells, G with mirrored walls.

    Arguments:
        modes: of the window.
        source: (pairs, modes), the earlier frames.
        target: (pairs, x, y), the inner cells of the later frames.
        interval, substeps, margin: as for `recover_cropped`.
    """

    modes: Modes
    source: Floats
    target: Floats
    interval: float
    substeps: int | None
    margin: int

    def loss(self, kappa: Floats) -> Floats:
        """L at each kappa."""
        factors = (decay(value, self.modes.eigenvalues, self.interval, self.substeps)[0] for value in kappa)
        return np.array([np.mean((self._propagate(factor) - self.target) ** 2) for factor in factors])

    def derivatives(self, kappa: float) -> tuple[float, float, float]:
        """L, L' and L'' at one kappa."""
        decays = decay(kappa, self.modes.eigenvalues, self.interval, self.substeps)
        predicted, slope, bend = (self._propagate(factor) for factor in decays)
        residual = predicted - self.target
        second = 2 * np.mean(slope**2 + residual * bend)
        return float(np.mean(residual**2)), float(2 * np.mean(residual * slope)), float(second)

    def _propagate(self, factor: Floats) -> Floats:
        return _inside(self.modes.join(factor * self.source), self.margin)


def _inside(frames: NDArray[Any], margin: int) -> Floats:
    """The cells at least `margin` cells away from each side."""
    return np.asarray(frames[:, margin : frames.shape[1] - margin, margin : frames.shape[2] - margin])
