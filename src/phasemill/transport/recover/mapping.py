"""kappa(x) of one video: as many unknowns as cells, by L-BFGS with the adjoint of the SAFE operator.

A clean video needs nothing but its pairs of frames (`recover_map`). With noise these mislead, since the noise of a
source frame counts as field (errors in variables); then the noise-free first frame becomes an unknown as well, one
trajectory runs through all frames (strong-constraint 4D-Var), and kappa(x) is held smooth (`recover_smooth_map`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

from phasemill.core.errors import InputError
from phasemill.transport.modes import Boundary
from phasemill.transport.recover.trajectory import TrajectoryFit, recover_trajectory
from phasemill.transport.spectra import SafeScheme
from phasemill.transport.varying import gradient_square, jumps, pair_loss, trajectory_loss

Floats = NDArray[np.float64]
Method = Literal["trajectory", "pairs"]
Misfit = Callable[[Floats, Floats], tuple[float, Floats, Floats]]

LEAST_LOSS = 1e-30
"""Added to the loss under the logarithm, which an exact prediction would otherwise make infinite."""
FLOOR = 1e-6
"""Least share of the mean |grad u|^2 by which the step of a cell is scaled in a clean video."""
DECREASE = 1e-6
"""Relative decrease of the objective in one iteration at which the search along the path of smoothness ends."""


@dataclass(frozen=True)
class MapEstimate:
    """A coefficient for each cell."""

    kappa: Floats
    """(x, y)"""
    history: Floats
    """The objective after each iteration: the normalised loss over pairs, or misfit + penalty."""
    evaluations: int
    smoothness: float = 0.0
    """mu, the weight of the penalty."""
    initial: Floats | None = None
    """The fitted noise-free first frame in the order of smoothing (x, y), where it is an unknown."""


@dataclass(frozen=True)
class SmoothPath:
    """Estimates from the smoothest to the roughest, and the one that is chosen."""

    estimates: list[MapEstimate]
    steps: list[float]
    """Root mean square change of log kappa from each estimate to the next."""
    chosen: int
    settled: bool
    """Whether the step chosen is less than both its neighbours; at an end of the path it is no choice."""

    @property
    def best(self) -> MapEstimate:
        """The estimate that is chosen."""
        return self.estimates[self.chosen]


def recover_map(
    frames: NDArray[Any],
    scheme: SafeScheme,
    boundary: Boundary = "periodic",
    *,
    bounds: tuple[float, float] = (0.01, 2.0),
    iterations: int = 150,
) -> MapEstimate:
    """kappa(x) = argmin log L, the loss over pairs of frames, within bounds; for video without noise.

    The logarithm keeps the search going down to round-off where L itself becomes flat. Each cell is scaled by the
    root of its mean |grad u|^2, of which the loss has its curvature.

    Arguments:
        frames: (time, x, y).
        scheme: interval, sub-steps and direction.
        boundary: "periodic" or "neumann".
        bounds: least and largest kappa, 0 < lower < upper.
        iterations: most iterations of L-BFGS-B.

    Raises InputError for frames that do not determine kappa, or bounds out of order.
    Source: SAFE-PIT-CM, equation 9, with a coefficient for each cell.
    """
    video, scheme = _smoothing(frames, scheme)
    start = _constant(video, scheme, boundary, bounds).kappa
    seen = gradient_square(video, scheme.dx, boundary)
    scale = 1 / np.sqrt(seen / seen.mean() + FLOOR).ravel()

    def objective(x: Floats) -> tuple[float, Floats]:
        loss = pair_loss(video, (scale * x).reshape(seen.shape), scheme, boundary)
        value = loss.value + LEAST_LOSS
        return float(np.log(value)), scale * loss.kappa.ravel() / value

    limits = [(bounds[0] / step, bounds[1] / step) for step in scale]
    x, history, evaluations = _minimise(objective, start / scale, limits, iterations, 0.0)
    return MapEstimate((scale * x).reshape(seen.shape), np.exp(history), evaluations)


def recover_smooth_map(
    frames: NDArray[Any],
    scheme: SafeScheme,
    boundary: Boundary = "periodic",
    *,
    smoothness: Sequence[float] = (1000, 300, 100, 30, 10, 3),
    method: Method = "trajectory",
    bounds: tuple[float, float] = (0.01, 2.0),
    iterations: int = 60,
) -> SmoothPath:
    """kappa(x) and u0 minimise sum_t |u_t - frames_t|^2 / (2 s^2) + mu / 2 sum |jumps of log kappa|^2.

    mu is chosen by quasi-optimality (Tikhonov & Glasko 1964): along the path of falling mu the estimate first settles
    and then follows the noise, and where it changes least it is trusted. The least change is the first one met from
    the rough end, since on the smooth side a path may also rest where all structure is suppressed. The first mu has no
    step, and a least step at either end of the path is no minimum: there `SmoothPath.settled` is False and the choice
    is none. The rule knows neither the truth nor the noise; s, estimated from the video, only sets the unit of mu.

    Arguments:
        frames, scheme, boundary, bounds: as for `recover_map`.
        smoothness: mu of each fit, falling; each starts from the one before, the first from one kappa everywhere.
        method: "trajectory" is as above (4D-Var); "pairs" takes the loss over pairs of frames as the misfit.
        iterations: most iterations of L-BFGS-B for each mu.

    Raises InputError as `recover_map`, and for values of mu that are not positive and falling.
    """
    values = list(smoothness)
    if not values or min(values) <= 0 or sorted(set(values), reverse=True) != values:
        raise InputError(f"smoothness is {values}: give positive values, largest first")
    video, scheme = _smoothing(frames, scheme)
    begin = _constant(video, scheme, boundary, bounds)
    initial = begin.initial if method == "trajectory" else np.empty(0)
    log_kappa = np.full(video.shape[1:], np.log(begin.kappa))
    misfit = _misfit(video, scheme, boundary, begin.noise, method)
    information = _information(video, scheme, boundary, begin)
    estimates: list[MapEstimate] = []
    for mu in values:
        # near the root of the curvature in each unknown, as preconditioner
        scale = np.concatenate([np.full(initial.size, begin.noise), 1 / np.sqrt(information + mu).ravel()])
        fitted = _fit(misfit, mu, initial, log_kappa, scale, boundary, bounds, iterations)
        initial, log_kappa, history, evaluations = fitted
        first = initial if method == "trajectory" else None
        estimates.append(MapEstimate(np.exp(log_kappa), history, evaluations, mu, first))
    logs = np.log([estimate.kappa for estimate in estimates])
    steps = [float(step) for step in np.sqrt(np.mean(np.diff(logs, axis=0) ** 2, axis=(1, 2)))]
    chosen = quasi_optimal(steps)
    return SmoothPath(estimates, steps, chosen, 1 < chosen < len(steps))


def quasi_optimal(steps: Sequence[float]) -> int:
    """Index of the estimate behind the first least step that is met from the rough end; 0 if there is no step."""
    index = len(steps)
    while index > 1 and steps[index - 2] < steps[index - 1]:
        index -= 1
    return index


def _smoothing(frames: NDArray[Any], scheme: SafeScheme) -> tuple[Floats, SafeScheme]:
    """The video in the order of smoothing, in which it is predicted stably, and its operator."""
    ordered = np.asarray(frames, np.float64)[:: scheme.direction]
    return np.ascontiguousarray(ordered), replace(scheme, direction=1, mode="reverse")


def _constant(video: Floats, scheme: SafeScheme, boundary: Boundary, bounds: tuple[float, float]) -> TrajectoryFit:
    """The best single kappa with its noise and first frame: where the search begins."""
    dx, interval, substeps = scheme.dx, scheme.interval, scheme.substeps
    return recover_trajectory(video, dx=dx, interval=interval, substeps=substeps, boundary=boundary, bounds=bounds)


def _information(video: Floats, scheme: SafeScheme, boundary: Boundary, begin: TrajectoryFit) -> Floats:
    """About how many squared standard deviations of the noise a change of log kappa by 1 moves a cell per interval."""
    seen = gradient_square(video, scheme.dx, boundary) - 4 * begin.noise**2 / scheme.dx**2  # less that of the noise
    moved = begin.kappa * scheme.interval / (scheme.dx * begin.noise)
    return np.asarray(moved**2 * np.maximum(seen, 0))


def _misfit(video: Floats, scheme: SafeScheme, boundary: Boundary, noise: float, method: Method) -> Misfit:
    """misfit(u0, kappa) = sum of square residuals / (2 noise^2), with its derivatives by both."""
    unit = 1 / (2 * noise**2)
    if method == "trajectory":

        def trajectory(initial: Floats, kappa: Floats) -> tuple[float, Floats, Floats]:
            loss = trajectory_loss(initial, kappa, video, scheme, boundary)
            return loss.value * unit, loss.frames * unit, loss.kappa * unit

        return trajectory

    unit *= float(np.sum(np.diff(video, axis=0) ** 2))  # the loss over pairs is in units of this sum

    def pairs(initial: Floats, kappa: Floats) -> tuple[float, Floats, Floats]:
        loss = pair_loss(video, kappa, scheme, boundary)
        return loss.value * unit, initial, loss.kappa * unit

    return pairs


def _fit(
    misfit: Misfit,
    mu: float,
    initial: Floats,
    log_kappa: Floats,
    scale: Floats,
    boundary: Boundary,
    bounds: tuple[float, float],
    iterations: int,
) -> tuple[Floats, Floats, Floats, int]:
    """u0 and log kappa that minimise misfit + penalty, the objective after each iteration, and evaluations."""
    split, shape = initial.size, log_kappa.shape

    def parts(x: Floats) -> tuple[Floats, Floats]:
        unknowns = scale * x
        return unknowns[:split].reshape(initial.shape), unknowns[split:].reshape(shape)

    def objective(x: Floats) -> tuple[float, Floats]:
        start, logs = parts(x)
        kappa = np.exp(logs)
        value, by_start, by_kappa = misfit(start, kappa)
        d_x, d_y = jumps(logs, boundary)
        penalty = np.sum(d_x**2) + np.sum(d_y**2)
        by_logs = kappa * by_kappa + mu * (d_x - np.roll(d_x, -1, 0) + d_y - np.roll(d_y, -1, 1))
        return value + mu / 2 * float(penalty), scale * np.concatenate([by_start.ravel(), by_logs.ravel()])

    lower, upper = np.log(bounds)
    limits = [(-np.inf, np.inf)] * split + [(lower / step, upper / step) for step in scale[split:]]
    x0 = np.concatenate([initial.ravel(), log_kappa.ravel()]) / scale
    x, history, evaluations = _minimise(objective, x0, limits, iterations, DECREASE)
    return *parts(x), history, evaluations


def _minimise(
    objective: Callable[[Floats], tuple[float, Floats]],
    x0: Floats,
    limits: list[tuple[float, float]],
    iterations: int,
    decrease: float,
) -> tuple[Floats, Floats, int]:
    """x, the objective at the start and after each iteration, and the number of evaluations."""
    history = [objective(x0)[0]]

    def after_iteration(intermediate_result: OptimizeResult) -> None:
        history.append(float(intermediate_result.fun))

    found = minimize(
        objective,
        x0,
        jac=True,
        method="L-BFGS-B",
        bounds=limits,
        callback=after_iteration,
        options={"maxiter": iterations, "maxfun": 10 * iterations, "ftol": decrease, "gtol": 0.0},
    )
    return found.x, np.array(history), int(found.nfev) + 1
