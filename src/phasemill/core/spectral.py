"""Real Fourier transforms of periodic fields in any dimension.

Every array here has the layout of `rfftn`: for a field of shape (n_1, ..., n_d) it is (n_1, ..., n_d // 2 + 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def laplacian_eigenvalues(shape: Sequence[int], dx: float) -> Floats:
    """lambda_k = (4 / dx^2) sum_i sin^2(k_i dx / 2), the eigenvalues of minus the (2d+1)-point Laplacian.

    Arguments:
        shape: cells per side of the periodic field, in any dimension.
        dx: grid spacing, equal in all directions.

    Returns the eigenvalues (1/length^2) in the layout of `rfftn`; the largest is at most 4 d / dx^2.
    """
    return np.asarray(reduce(np.add.outer, [4 / dx**2 * np.sin(k * dx / 2) ** 2 for k in _wavenumbers(shape, dx)]))


def squared_wavenumbers(shape: Sequence[int], dx: float) -> Floats:
    """|k|^2 = sum_i k_i^2, the symbol of minus the continuous Laplacian; arguments as in `laplacian_eigenvalues`."""
    return np.asarray(reduce(np.add.outer, [k**2 for k in _wavenumbers(shape, dx)]))


def hermitian_weights(shape: Sequence[int]) -> Floats:
    """How many modes of the full transform each mode of `rfftn` stands for: 2, but 1 where it is its own mirror.

    Hence sum |phi|^2 = sum(weights * |rfftn(phi)|^2) / phi.size (Parseval).
    """
    weights = np.full((*shape[:-1], shape[-1] // 2 + 1), 2.0)
    weights[..., 0] = 1
    if shape[-1] % 2 == 0:
        weights[..., -1] = 1
    return weights


def multiply_spectrum(phi: NDArray[Any], symbol: NDArray[Any]) -> Floats:
    """F^-1[symbol * F[phi]]: the periodic field after a filter or propagator that is diagonal in Fourier space."""
    return np.asarray(scipy.fft.irfftn(symbol * scipy.fft.rfftn(phi), s=phi.shape))


def _wavenumbers(shape: Sequence[int], dx: float) -> list[Floats]:
    """The wavenumbers of each axis; the last axis is the one that `rfftn` halves."""
    frequencies = [*(np.fft.fftfreq(n, dx) for n in shape[:-1]), np.fft.rfftfreq(shape[-1], dx)]
    return [np.asarray(2 * np.pi * f, dtype=np.float64) for f in frequencies]
