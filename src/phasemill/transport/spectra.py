"""The SAFE loss from spectra: a whole video reduced to two numbers per Laplacian eigenvalue.

The sub-stepped operator is diagonal in Fourier space, so its loss over all frame pairs is an explicit function of
kappa once the spectra of the frames are known. This module needs numpy alone; `operator.py` has the torch forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.core.spectral import hermitian_weights, laplacian_eigenvalues
from phasemill.transport.physics import max_stable_kappa, stability_number

MobilityMode = Literal["reverse", "forward_euler"]
Frames = TypeVar("Frames", bound=Any)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SafeScheme:
    """u_{t+1} = G u_t, G_k = (1 - sign kappa tau lambda_k)^K, tau = interval / K: explicit Euler sub-steps.

    Arguments:
        interval: time between two frames, as they are given: thinned frames have a longer one.
        substeps: K, the number of Euler sub-steps from one frame to the next.
        dx: grid spacing.
        direction: +1 smoothing (diffusion), -1 sharpening (mobility).
        mode: how sharpening frames are predicted: "reverse" propagates each frame back to the one before it with
            the stable smoothing operator; "forward_euler" propagates forward with 1 + kappa tau lambda.

    Raises InputError for values outside their range. Source: SAFE-PIT-CM, equations 3 and 6.
    """

    interval: float
    substeps: int
    dx: float
    direction: int = 1
    mode: MobilityMode = "reverse"

    def __post_init__(self) -> None:
        if self.interval <= 0 or self.dx <= 0:
            raise InputError(f"interval ({self.interval}) and dx ({self.dx}) must be positive")
        if self.substeps < 1:
            raise InputError(f"substeps is {self.substeps}: it must be at least 1")
        if self.direction not in (-1, 1):
            raise InputError(f"direction is {self.direction}: use 1 for smoothing or -1 for sharpening")
        if self.mode not in get_args(MobilityMode):
            raise InputError(f"mode is {self.mode!r}: use one of {', '.join(get_args(MobilityMode))}")

    @property
    def tau(self) -> float:
        """Length of one sub-step."""
        return self.interval / self.substeps

    @property
    def sign(self) -> int:
        """+1 where the operator smooths; -1 where it sharpens (only in mode "forward_euler")."""
        return self.direction if self.mode == "forward_euler" else 1

    def pairs(self, frames: Frames) -> tuple[Frames, Frames]:
        """The (source, target) frames of all predictions; `frames` is (..., time, x, y), an array or a tensor."""
        earlier, later = frames[..., :-1, :, :], frames[..., 1:, :, :]
        return (earlier, later) if self.direction == self.sign else (later, earlier)


@dataclass(frozen=True)
class FrameSpectra:
    """L(kappa) = 1 + sum_j h_j (2 B_j + h_j A_j), h_j = 1 - (1 - sign kappa tau lambda_j)^K.

    L is mean |G source - target|^2 over mean |target - source|^2, so that L(0) = 1 is the persistence forecast.
    The sum is over the distinct eigenvalues lambda_j of minus the 5-point Laplacian; A_j is the power of the source
    frames and B_j the cross power of source and target - source, both over the persistence error. Working with
    the increment keeps the small difference of two frames free of cancellation.

    Source: SAFE-PIT-CM, equation 9, in Fourier space by Parseval's theorem.
    """

    eigenvalues: Floats
    power: Floats
    cross: Floats
    persistence: float
    """Mean over pairs and cells of (target - source)^2, in squared field units."""
    scheme: SafeScheme

    @classmethod
    def from_frames(cls, frames: NDArray[Any], scheme: SafeScheme) -> FrameSpectra:
        """One real FFT of all frames.

        Arguments:
            frames: (time, x, y), periodic in x and y, any floating type; the transform is in float64.
            scheme: how one frame predicts the next.

        Raises InputError if frames do not determine kappa: fewer than two, not finite, uniform, or all equal.
        """
        used = np.asarray(frames, dtype=np.float64)
        check_frames(used)
        source, target = scheme.pairs(scipy.fft.rfft2(used))
        increment = target - source
        cells = used.shape[-2] * used.shape[-1]
        weights = hermitian_weights(used.shape[-2:]) / (cells**2 * len(source))
        persistence = float(np.sum(weights * _real_product(increment, increment)))
        eigenvalues, bins = _distinct(laplacian_eigenvalues(used.shape[-2:], scheme.dx), scheme.dx)

        def binned(power: Floats) -> Floats:
            return np.bincount(bins, (weights * power).ravel()) / persistence

        power = binned(_real_product(source, source))
        return cls(eigenvalues, power, binned(_real_product(source, increment)), persistence, scheme)

    def loss(self, kappa: float | Floats) -> Floats:
        """The normalised SAFE loss at each kappa, in the shape of `kappa`."""
        rate = self.scheme.sign * self.scheme.tau * self.eigenvalues
        decay = 1 - (1 - np.asarray(kappa)[..., None] * rate) ** self.scheme.substeps
        return np.asarray(1 + np.sum(decay * (2 * self.cross + decay * self.power), axis=-1))

    def derivatives(self, kappa: float) -> tuple[float, float, float]:
        """The loss at one kappa and its first and second derivatives, in closed form."""
        substeps = self.scheme.substeps
        rate = self.scheme.sign * self.scheme.tau * self.eigenvalues
        factor = 1 - kappa * rate
        decay = 1 - factor**substeps
        slope = substeps * rate * factor ** (substeps - 1)
        bend = -substeps * (substeps - 1) * rate**2 * factor ** max(substeps - 2, 0)
        mismatch = self.cross + decay * self.power
        value = 1 + np.sum(decay * (self.cross + mismatch))
        first = 2 * np.sum(slope * mismatch)
        second = 2 * np.sum(bend * mismatch + slope**2 * self.power)
        return float(value), float(first), float(second)


@dataclass(frozen=True)
class StabilityRow:
    """One row of the stability table: explicit Euler is stable while kappa tau lambda_max <= 2."""

    substeps: int
    tau: float
    stability_number: float
    """kappa_max tau lambda_max."""
    stable_kappa: float
    """2 / (tau lambda_max), the largest stable kappa."""

    @property
    def stable(self) -> bool:
        """Whether kappa_max is stable."""
        return self.stability_number <= 2


def stability_table(substeps: Sequence[int], *, interval: float, dx: float, kappa_max: float) -> list[StabilityRow]:
    """The stability of K sub-steps, lambda_max = 8/dx^2 in two dimensions (SAFE-PIT-CM, equation 7 and table 3)."""
    rows = []
    for count in substeps:
        tau = SafeScheme(interval, count, dx).tau
        rows.append(StabilityRow(count, tau, stability_number(kappa_max, tau, dx), max_stable_kappa(tau, dx)))
    return rows


def check_frames(frames: NDArray[Any]) -> None:
    """Refuse frames (time, x, y) that do not determine kappa, with one sentence that says why."""
    if frames.ndim != 3:
        raise InputError(f"frames have shape {frames.shape}: give one simulation as (time, x, y)")
    if len(frames) < 2:
        raise InputError(f"{len(frames)} frame leaves no pair to predict: give at least two")
    finite = np.isfinite(frames).all(axis=(1, 2))
    if not finite.all():
        raise InputError(f"frame {np.argmin(finite)} contains values that are not finite: remove or repair it")
    if (frames == frames[0]).all():
        raise InputError("all frames are equal, so kappa is not determined: give frames in which the field evolves")
    if (frames == frames[:, :1, :1]).all():
        raise InputError("every frame is uniform, so kappa is not determined: give a field that varies in space")


def _real_product(a: NDArray[np.complex128], b: NDArray[np.complex128]) -> Floats:
    """sum_t Re(conj(a) b) for spectra (time, x, ky), without complex temporaries."""
    parts = np.einsum("txy,txy->xy", a.view(np.float64), b.view(np.float64))
    return np.asarray(parts.reshape(*a.shape[1:], 2).sum(-1))


def _distinct(eigenvalues: Floats, dx: float) -> tuple[Floats, NDArray[np.intp]]:
    """The distinct eigenvalues and the bin of each mode; equal ones differ by round-off alone."""
    rounded = np.round(eigenvalues * dx**2, 12)
    _, first, bins = np.unique(rounded, return_index=True, return_inverse=True)
    return eigenvalues.ravel()[first], bins.ravel()
