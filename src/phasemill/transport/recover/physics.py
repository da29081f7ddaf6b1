"""Recovery of the parameters of any system from one video, with the frozen operator and Gauss-Newton.

Two estimators. `fit_pairs` is least squares of each frame against the operator applied to the frame before it, the
paper's loss. Noise enters it twice, in the frame that is compared and in the frame that the operator starts from; the
operator smooths the latter, which looks like faster dynamics, and biases the answer (errors in variables).
`fit_instruments` removes that bias without knowing the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.transport.recover.gauss_newton import Fit, gauss_newton, jacobian_of
from phasemill.transport.systems import Scheme, System, advance

Floats = NDArray[np.float64]

BLOCK = 8
"""Cells per side of the blocks over which residuals may be correlated."""
ROUNDS = 2
"""How often the instruments are made anew at the latest parameters."""


@dataclass(frozen=True)
class FrozenOperator:
    """A system with all that is fixed: predict(u_t; theta) = u_{t+1} by K sub-steps.

    Arguments:
        system: which right-hand side.
        interval: time between two frames.
        substeps: K.
        dx: grid spacing.
        scheme: "euler" as in the paper, or "runge_kutta", whose error is tau^4.
    """

    system: type[System]
    interval: float
    substeps: int
    dx: float
    scheme: Scheme = "euler"

    def predict(self, states: NDArray[Any], theta: Sequence[float] | Floats) -> Floats:
        """The states (batch, field, x, y) one frame later."""
        return advance(
            self.system,
            states,
            theta,
            dx=self.dx,
            interval=self.interval,
            substeps=self.substeps,
            scheme=self.scheme,
        )

    def strided(self, stride: int) -> FrozenOperator:
        """The operator for every s-th frame: as many more sub-steps over a longer interval."""
        return replace(self, interval=self.interval * stride, substeps=self.substeps * stride)


def fit_pairs(
    operator: FrozenOperator, frames: NDArray[Any], start: Sequence[float] | Floats, tolerance: float = 1e-9
) -> Fit:
    """min sum_t |(predict(y_t; theta) - y_{t+1}) / scale|^2 over theta, with scale the spread of each field.

    Arguments:
        operator: the frozen operator for these frames.
        frames: y (time, field, x, y).
        start: first theta.
        tolerance: relative length of the step at which the search ends.

    Raises InputError for frames that cannot be used. Source: SAFE-PIT-CM, eq. 9, with any system.
    """
    y, scale = _prepare(operator, frames, 2)
    return gauss_newton(lambda theta: (operator.predict(y[:-1], theta) - y[1:]) / scale, start, tolerance=tolerance)


def fit_instruments(
    operator: FrozenOperator, frames: NDArray[Any], start: Sequence[float] | Floats, tolerance: float = 1e-9
) -> Fit:
    """sum_t Z_t^T r_t(theta) = 0 with r_t = predict(y_t) - y_{t+1} and Z_t = d predict / d theta at predict(y_{t-1}).

    The noise of y_{t-1} in the instruments Z_t is independent of that of y_t and y_{t+1} in the residual, so the
    products average out and theta is consistent for any level of white noise, up to the curvature of the operator.
    The instruments hold the parameters of the fit before; two rounds are enough.

    The covariance is A^-1 S A^-T with A = Z^T J and S the sum over blocks of 8 x 8 cells, all times together, of
    g g^T, where g = Z^T r of the block: residuals may be correlated in time and between neighbours. It knows nothing
    of the bias by curvature, E[f(u + e)] - f(u) = s^2 f'' / 2 for noise of variance s^2, which grows with s^2 while
    sigma grows with s: at 5 % noise and no frame left out the rms of error / sigma was up to about 2 (Allen-Cahn).

    Arguments as in `fit_pairs`, with at least three frames; begin at its answer. Source: instrumental variables,
    e.g. Soderstrom, Errors-in-Variables Methods in System Identification (2018).
    """
    y, scale = _prepare(operator, frames, 3)
    theta, evaluations = np.asarray(start, dtype=np.float64), 0

    def residual(at: Floats) -> Floats:
        return np.asarray((operator.predict(y[1:-1], at) - y[2:]) / scale)

    for _ in range(ROUNDS):
        earlier = operator.predict(y[:-2], theta)
        # mypy gives a lambda with a default no type; the default binds the value of this round
        sensitivity = jacobian_of(lambda at, earlier=earlier: operator.predict(earlier, at) / scale, theta)  # type: ignore[misc]
        instruments = np.linalg.qr(sensitivity)[0]
        # as above
        fit = gauss_newton(lambda at, z=instruments: z.T @ residual(at).ravel(), theta, tolerance=tolerance)  # type: ignore[misc]
        theta, evaluations = fit.parameters, evaluations + fit.evaluations + theta.size + 2
    r = residual(theta)
    inverse = np.linalg.inv(instruments.T @ jacobian_of(residual, theta))
    scores = _block_sums((instruments * r.reshape(-1, 1)).reshape(*r.shape, theta.size))
    covariance = inverse @ (scores.T @ scores) @ inverse.T
    return Fit(theta, covariance, float(r.ravel() @ r.ravel()) / (r.size - theta.size), evaluations, fit.converged)


def _prepare(operator: FrozenOperator, frames: NDArray[Any], least: int) -> tuple[Floats, Floats]:
    """Frames in float64 and the standard deviation of each field."""
    y, fields = np.asarray(frames, dtype=np.float64), operator.system.fields
    if y.ndim != 4 or y.shape[1] != len(fields) or len(y) < least:
        raise InputError(
            f"the frames have shape {y.shape}: {operator.system.title} needs (time, {len(fields)}, x, y) "
            f"with at least {least} frames"
        )
    if not np.isfinite(y).all():
        raise InputError("the frames contain values that are not finite: remove or repair them")
    scale = y.std(axis=(0, 2, 3), keepdims=True)
    if not scale.all():
        raise InputError(f"a field of the video is constant: {operator.system.title} cannot be recovered from it")
    return y, scale


def _block_sums(products: Floats) -> Floats:
    """Sums over time, fields and blocks of cells of an array (time, field, x, y, p): (blocks, p)."""
    totals = products.sum(axis=(0, 1))
    for axis in (0, 1):
        totals = np.add.reduceat(totals, np.arange(0, totals.shape[axis], BLOCK), axis=axis)
    return np.asarray(totals.reshape(-1, totals.shape[-1]))
