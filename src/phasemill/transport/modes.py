"""The eigenmodes of minus the 5-point Laplacian on a square with periodic sides or with mirrored walls."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.core.spectral import hermitian_weights, laplacian_eigenvalues

Boundary = Literal["periodic", "neumann"]
Floats = NDArray[np.float64]


class Modes:
    """u = sum_k c_k e_k with -lap e_k = lambda_k e_k, with real coefficients that keep the sum of squares.

    Periodic modes are those of the real Fourier transform, the real and the imaginary part a mode each; Neumann modes
    are those of the DCT-II, for which each side is a mirror half a cell outside the outermost cells. White noise of
    variance s^2 per cell has sum_k c_k^2 = s^2 sum_k multiplicity_k in the mean.

    Arguments:
        shape: cells along x and y.
        dx: grid spacing.
        boundary: "periodic" or "neumann" (no flux through the sides).

    Raises InputError for another boundary.
    """

    eigenvalues: Floats
    """lambda of each mode (1/length^2)."""
    multiplicity: Floats
    """How many cells each mode stands for; all together, those of the field."""

    def __init__(self, shape: tuple[int, int], dx: float, boundary: Boundary = "periodic") -> None:
        if boundary not in get_args(Boundary):
            raise InputError(f"boundary is {boundary!r}: use one of {', '.join(get_args(Boundary))}")
        self.shape, self.periodic = shape, boundary == "periodic"
        if self.periodic:
            weights = hermitian_weights(shape)
            self._scale = np.sqrt(weights)
            self.eigenvalues = np.repeat(laplacian_eigenvalues(shape, dx).ravel(), 2)
            self.multiplicity = np.repeat(weights.ravel(), 2) / 2
        else:
            along = [4 / dx**2 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2 for n in shape]
            self.eigenvalues = np.add.outer(*along).ravel()
            self.multiplicity = np.ones(self.eigenvalues.size)

    def split(self, fields: NDArray[Any]) -> Floats:
        """The coefficients (time, modes) of the fields (time, x, y)."""
        used = np.asarray(fields, dtype=np.float64)
        if self.periodic:
            spectrum = scipy.fft.rfft2(used, norm="ortho") * self._scale
            return np.asarray(spectrum.view(np.float64).reshape(len(used), -1))
        return np.asarray(scipy.fft.dctn(used, axes=(1, 2), norm="ortho").reshape(len(used), -1))

    def join(self, coefficients: Floats) -> Floats:
        """The fields (time, x, y) of the coefficients (time, modes)."""
        if self.periodic:
            spectrum = np.ascontiguousarray(coefficients).view(np.complex128)
            spectrum = spectrum.reshape(len(coefficients), *self._scale.shape)
            return np.asarray(scipy.fft.irfft2(spectrum / self._scale, s=self.shape, norm="ortho"))
        return np.asarray(
            scipy.fft.idctn(coefficients.reshape(len(coefficients), *self.shape), axes=(1, 2), norm="ortho")
        )


def decay(kappa: float, eigenvalues: Floats, interval: float, substeps: int | None) -> tuple[Floats, Floats, Floats]:
    """G = exp(-kappa lambda Dt), or (1 - kappa lambda Dt / K)^K, with its first and second derivative by kappa.

    Arguments:
        kappa: coefficient, length^2 / time.
        eigenvalues: lambda (1/length^2), any shape.
        interval: Dt, the time between two frames.
        substeps: K, the explicit Euler steps between two frames; None is the limit of infinitely many.
    """
    if substeps is None:
        rate = -interval * eigenvalues
        factor = np.exp(kappa * rate)
        return factor, rate * factor, rate**2 * factor
    rate = -interval / substeps * eigenvalues
    step = 1 + kappa * rate
    slope = substeps * rate * step ** (substeps - 1)
    bend = substeps * (substeps - 1) * rate**2 * step ** max(substeps - 2, 0)
    return step**substeps, slope, bend
