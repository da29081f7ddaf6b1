"""kappa of one noisy video by maximum likelihood over its whole trajectory, with its standard deviation.

A loss over pairs of frames smooths the noise of the earlier frame together with its field, so that a larger kappa
seems to predict better (errors in variables). Here no observed frame is propagated: the noise-free first frame is an
unknown, and is eliminated in closed form (variable projection).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.core.kernels import kernel
from phasemill.transport.modes import Boundary, Modes, decay
from phasemill.transport.recover.direct import recover_direct
from phasemill.transport.spectra import check_frames

Floats = NDArray[np.float64]

BLOCK = 128
"""Modes that the kernel treats together, so that it works on vectors that stay in the cache."""


@dataclass(frozen=True)
class TrajectoryFit:
    """The trajectory that is most likely under white noise."""

    kappa: float
    sigma: float
    """One standard deviation of kappa (Laplace approximation); infinite where the misfit does not curve upwards."""
    correlation: float
    """Of the residual between neighbouring frames: about 0 for noise that is white in time."""
    scatter: float
    """The same from the scatter between the modes, for noise of any colour; not below `sigma`."""
    noise: float
    """Standard deviation of the noise per cell that was used."""
    chi2: float
    """Mean square of the residual over noise^2, per degree of freedom: 1 where the model fits to within the noise."""
    initial: Floats
    """The fitted noise-free first frame (x, y)."""
    evaluations: int
    """Evaluations of the misfit, those of the scan included."""


def recover_trajectory(
    frames: NDArray[Any],
    *,
    dx: float,
    interval: float,
    substeps: int | None = None,
    boundary: Boundary = "periodic",
    bounds: tuple[float, float] = (0.01, 2.0),
    noise: float | None = None,
) -> TrajectoryFit:
    """u_t = G^t a + noise in each mode: kappa minimises J = -sum_k (sum_t G^t u_t)^2 / sum_t G^2t.

    Its variance is sigma^2 = 2 s^2 / J'' (Laplace). That holds for white noise; for other noise, such as the rounding
    of 8-bit frames or compression, sigma is an order of magnitude alone.

    Arguments:
        frames: (time, x, y) in the order of smoothing: hand a sharpening video in reversed.
        dx: grid spacing.
        interval: Dt, the time between two frames.
        substeps: K, G = (1 - kappa lambda Dt / K)^K; None for G = exp(-kappa lambda Dt).
        boundary: "periodic", or "neumann" for walls without flux.
        bounds: the interval searched, 0 < lower < upper, cut where Euler steps become unstable.
        noise: s, standard deviation of the noise per cell; None estimates it from the video (`estimate_noise`).

    Raises InputError for frames that do not determine kappa, or numbers out of range. Source: variable projection,
    Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973) 413.
    """
    _check(interval, dx, substeps, noise)
    check_frames(np.asarray(frames))
    modes = Modes(frames.shape[1:], dx, boundary)
    coefficients = modes.split(frames)
    if noise is None:
        noise = max(estimate_noise(coefficients, modes), _resolution(frames))
    misfit = Misfit(coefficients, modes.eigenvalues, interval, substeps)
    best = recover_direct(misfit, misfit.stable(bounds))
    initial, residual = misfit.project(best.kappa)
    sigma = noise * float(np.sqrt(2 / best.curvature)) if best.curvature > 0 else float("inf")
    scatter = misfit.scatter(best.kappa) / best.curvature if best.curvature > 0 else float("inf")
    degrees = (len(frames) - 1) * modes.multiplicity.sum() - 1
    return TrajectoryFit(
        kappa=best.kappa,
        sigma=sigma,
        correlation=float(np.sum(residual[1:] * residual[:-1]) / max(np.sum(residual**2), 1e-300)),
        scatter=max(sigma, scatter),
        noise=noise,
        chi2=float(np.sum(residual**2) / (noise**2 * degrees)),
        initial=modes.join(initial[None])[0],
        evaluations=best.evaluations,
    )


@dataclass(frozen=True)
class Misfit:
    """J(kappa) = -sum_k (sum_t G^t u_t)^2 / sum_t G^2t: the square residual, less the constant sum of u^2.

    Arguments:
        coefficients: u (time, modes) of all frames.
        eigenvalues: lambda of each mode.
        interval, substeps: as for `recover_trajectory`.
    """

    coefficients: Floats
    eigenvalues: Floats
    interval: float
    substeps: int | None

    def loss(self, kappa: Floats) -> Floats:
        """J at each kappa."""
        return np.array([self.derivatives(value)[0] for value in kappa])

    def derivatives(self, kappa: float) -> tuple[float, float, float]:
        """J, J' and J'' at one kappa, compiled; `misfit_formula` is the readable twin of the first."""
        value, slope, bend = _project(self.coefficients, *decay(kappa, self.eigenvalues, self.interval, self.substeps))
        return float(value), float(slope), float(bend)

    def project(self, kappa: float) -> tuple[Floats, Floats]:
        """The amplitudes a = sum_t G^t u_t / sum_t G^2t (modes) and the residuals u_t - G^t a (time, modes)."""
        factor, _, _ = decay(kappa, self.eigenvalues, self.interval, self.substeps)
        powers = factor ** np.arange(len(self.coefficients))[:, None]
        amplitudes = np.sum(powers * self.coefficients, axis=0) / np.sum(powers**2, axis=0)
        return amplitudes, self.coefficients - powers * amplitudes

    def scatter(self, kappa: float) -> float:
        """Standard deviation of J' from what the modes add to it, J'_k = -2 sum_t (u_t - G^t a) a dG^t/dkappa.

        Modes are independent whatever the spectrum of the noise; noise that is correlated in time biases kappa besides.
        """
        factor, slope, _ = decay(kappa, self.eigenvalues, self.interval, self.substeps)
        time = np.arange(len(self.coefficients))[:, None]
        amplitudes, residual = self.project(kappa)
        scores = -2 * amplitudes * np.sum(residual * time * factor ** np.maximum(time - 1, 0) * slope, axis=0)
        return float(np.sqrt(np.sum(scores**2)))

    def stable(self, bounds: tuple[float, float]) -> tuple[float, float]:
        """The part of the bounds in which Euler steps are stable, kappa lambda_max Dt / K <= 2."""
        if self.substeps is None:
            return bounds
        limit = 2 * self.substeps / (self.interval * float(self.eigenvalues.max()))
        if limit <= bounds[0]:
            raise InputError(f"no kappa from {bounds[0]:g} on is stable with {self.substeps} sub-steps: use more")
        return bounds[0], min(bounds[1], limit)


def misfit_formula(coefficients: Floats, factor: Floats) -> float:
    """J = -sum_k (sum_t G^t u_t)^2 / sum_t G^2t, with coefficients u (time, modes) and factor G (modes)."""
    powers = factor ** np.arange(len(coefficients))[:, None]
    return -float(np.sum(np.sum(powers * coefficients, axis=0) ** 2 / np.sum(powers**2, axis=0)))


def estimate_noise(coefficients: Floats, modes: Modes) -> float:
    """s^2 = <(u_t-1 - 2 u_t + u_t+1)^2> / 6 over the upper half of the spectrum in the last half of the video.

    There the field has decayed, or decays so slowly that the second difference removes it.

    Arguments:
        coefficients: (time, modes) of all frames.
        modes: whose coefficients they are.

    Raises InputError for fewer than three frames.
    """
    count = len(coefficients)
    if count < 3:
        raise InputError(f"{count} frames do not show how noisy they are: give at least 3, or the noise")
    high = modes.eigenvalues >= modes.eigenvalues.max() / 2
    late = coefficients[-max(3, count // 2) :, high]
    second = np.diff(late, n=2, axis=0)
    return float(np.sqrt(np.sum(second**2) / (6 * len(second) * modes.multiplicity[high].sum())))


def _resolution(frames: NDArray[Any]) -> float:
    """Standard deviation of the rounding of the largest value: no frame is less noisy than its numbers are fine."""
    if np.issubdtype(frames.dtype, np.floating):
        return float(np.finfo(frames.dtype).eps * np.abs(frames).max() / np.sqrt(12))
    return float(1 / np.sqrt(12))


def _check(interval: float, dx: float, substeps: int | None, noise: float | None) -> None:
    """Refuse numbers out of range, with one sentence."""
    if not (interval > 0 and dx > 0):
        raise InputError(f"interval ({interval}) and dx ({dx}) must be positive")
    if substeps is not None and substeps < 1:
        raise InputError(f"substeps is {substeps}: it must be at least 1, or None for the exact exponential")
    if noise is not None and not noise > 0:
        raise InputError(f"noise is {noise}: it must be positive, or None to estimate it")


@kernel
def _project(rows: Floats, factor: Floats, slope: Floats, bend: Floats) -> tuple[float, float, float]:
    """J with its derivatives: S(G) = sum_t u_t G^t and Q(G^2) = sum_t G^2t by Horner's rule, J = -sum_k S^2 / Q."""
    total, first, second = 0.0, 0.0, 0.0
    for start in range(0, rows.shape[1], BLOCK):
        block = slice(start, min(start + BLOCK, rows.shape[1]))
        g = factor[block]
        x = g * g
        # the polynomials with their derivatives by G and G^2, the second ones halved
        s0, s1, s2, q0, q1, q2 = np.zeros((6, len(g)))
        for t in range(len(rows) - 1, -1, -1):
            u = rows[t, block]
            for k in range(len(g)):
                s2[k] = s2[k] * g[k] + s1[k]
                s1[k] = s1[k] * g[k] + s0[k]
                s0[k] = s0[k] * g[k] + u[k]
                q2[k] = q2[k] * x[k] + q1[k]
                q1[k] = q1[k] * x[k] + q0[k]
                q0[k] = q0[k] * x[k] + 1.0
        dg, ddg = slope[block], bend[block]
        dx, ddx = 2 * g * dg, 2 * (dg * dg + g * ddg)
        ds, dds = s1 * dg, 2 * s2 * dg * dg + s1 * ddg
        dq, ddq = q1 * dx, 2 * q2 * dx * dx + q1 * ddx
        a = s0 / q0
        da = (ds - a * dq) / q0
        total -= np.sum(a * s0)
        first -= np.sum(a * (2 * ds - a * dq))
        second -= np.sum(2 * da * (ds - a * dq) + a * (2 * dds - a * ddq))
    return total, first, second
