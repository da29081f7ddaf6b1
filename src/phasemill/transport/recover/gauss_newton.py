"""Least squares with few parameters: Gauss-Newton with Levenberg damping, and the covariance of the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError

Floats = NDArray[np.float64]
Residual = Callable[[Floats], NDArray[Any]]

STEP = 2.0**-26
"""Relative step of the finite differences, the square root of the precision of float64."""
GIVE_UP = 1e12
"""Damping beyond which no step can help any more."""


@dataclass(frozen=True)
class Fit:
    """The minimiser of |r(theta)|^2."""

    parameters: Floats
    covariance: Floats
    """s^2 (J^T J)^-1: right where the residuals are independent and of equal variance; see `gauss_newton`."""
    variance: float
    """s^2 = |r|^2 / (m - p), of m residuals and p parameters; 0 if m = p."""
    evaluations: int
    """Evaluations of the residual, those of the finite differences included."""
    converged: bool
    """False where the iterations ran out before the steps became small."""

    @property
    def sigma(self) -> Floats:
        """Standard errors of the parameters."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


def gauss_newton(
    residual: Residual, start: Sequence[float] | Floats, *, tolerance: float = 1e-9, iterations: int = 60
) -> Fit:
    """min |r(theta)|^2 by steps (J^T J + mu diag(J^T J)) delta = -J^T r, with mu down after a success, up after none.

    The Jacobian J = dr/dtheta comes from forward finite differences: p + 1 evaluations per step, which for p below
    about five is cheaper than backpropagation through a long chain of sub-steps. The scaled damping makes the steps
    independent of the units of the parameters. A step to residuals that are not finite (an unstable operator) counts
    as no success.

    Arguments:
        residual: theta (p,) -> r (m,), any unit, with m >= p.
        start: first theta.
        tolerance: relative length of the step at which the search ends.
        iterations: most steps, successful or not.

    Returns the fit with covariance s^2 (J^T J)^-1. That is honest where the model is exact and only the quantity that
    is compared carries white noise. If the input of the model is noisy too (errors in variables), theta is biased
    and this covariance does not know it. Raises InputError for residuals that are not finite at the start, are fewer
    than the parameters, or do not determine them all. Source: Marquardt, SIAM J. Appl. Math. 11 (1963) 431.
    """
    theta = np.array(start, dtype=np.float64)
    if theta.ndim != 1 or not theta.size or not np.isfinite(theta).all():
        raise InputError(f"start is {start}: give one finite number per parameter")
    r = _evaluate(residual, theta)
    if not np.isfinite(r).all():
        raise InputError(f"the residuals are not finite at the start {theta.tolist()}: begin elsewhere")
    if r.size < theta.size:
        raise InputError(f"{r.size} residuals cannot determine {theta.size} parameters; give more data")
    jacobian, evaluations = _jacobian(residual, theta, r), 1 + theta.size
    damping, converged = 1e-3, False
    for _ in range(iterations):
        normal, slope = _normal_equations(jacobian, theta), jacobian.T @ r
        delta = -np.linalg.solve(normal + damping * np.diag(np.diag(normal)), slope)
        small = bool(np.all(np.abs(delta) <= tolerance * np.maximum(np.abs(theta), STEP)))
        trial = _evaluate(residual, theta + delta)
        evaluations += 1
        if np.isfinite(trial).all() and trial @ trial <= r @ r:
            theta, r = theta + delta, trial
            jacobian = _jacobian(residual, theta, r)
            evaluations += theta.size
            damping /= 10
        else:
            damping *= 10
        if converged := small:
            break
        if damping > GIVE_UP:
            break
    freedom = r.size - theta.size
    variance = float(r @ r) / freedom if freedom else 0.0
    covariance = variance * np.linalg.inv(_normal_equations(jacobian, theta))
    return Fit(theta, np.asarray(covariance, dtype=np.float64), variance, evaluations, converged)


def jacobian_of(residual: Residual, theta: Sequence[float] | Floats) -> Floats:
    """dr/dtheta (m, p) by forward finite differences."""
    point = np.array(theta, dtype=np.float64)
    return _jacobian(residual, point, _evaluate(residual, point))


def _evaluate(residual: Residual, theta: Floats) -> Floats:
    return np.asarray(residual(theta), dtype=np.float64).ravel()


def _jacobian(residual: Residual, theta: Floats, r: Floats) -> Floats:
    columns = []
    for p in range(theta.size):
        ahead = theta.copy()
        ahead[p] += STEP * (abs(theta[p]) or 1.0)
        columns.append((_evaluate(residual, ahead) - r) / (ahead[p] - theta[p]))
    return np.stack(columns, axis=1)


def _normal_equations(jacobian: Floats, theta: Floats) -> Floats:
    """J^T J, if every parameter is felt and no combination of them is not."""
    normal = np.asarray(jacobian.T @ jacobian)
    scale = np.sqrt(np.diag(normal))
    if not np.isfinite(normal).all() or not scale.all() or np.linalg.cond(normal / np.outer(scale, scale)) > 1e14:
        raise InputError(
            f"the data do not determine all {theta.size} parameters near {theta.tolist()}: fix one of them or give "
            "data in which each has an effect"
        )
    return normal
