"""Fourier helpers in one, two and three dimensions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from phasemill.core.spectral import hermitian_weights, laplacian_eigenvalues, multiply_spectrum, squared_wavenumbers

SHAPES = [(8,), (7,), (8, 6), (5, 9), (6, 4, 8), (3, 5, 7)]
DX = 0.3


@pytest.fixture(params=SHAPES, ids=str)
def phi(request: pytest.FixtureRequest) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(request.param)


def test_eigenvalues_are_those_of_the_stencil(phi: np.ndarray) -> None:
    stencil = sum(2 * phi - np.roll(phi, 1, axis) - np.roll(phi, -1, axis) for axis in range(phi.ndim)) / DX**2
    assert_allclose(multiply_spectrum(phi, laplacian_eigenvalues(phi.shape, DX)), stencil, atol=1e-12)


def test_weights_satisfy_parseval(phi: np.ndarray) -> None:
    power = np.sum(hermitian_weights(phi.shape) * np.abs(np.fft.rfftn(phi)) ** 2) / phi.size
    assert power == pytest.approx(np.sum(phi**2), rel=1e-13)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_largest_eigenvalue(ndim: int) -> None:
    assert laplacian_eigenvalues((8,) * ndim, DX).max() == pytest.approx(4 * ndim / DX**2)


def test_wavenumbers_differentiate_a_cosine() -> None:
    x, y = np.meshgrid(DX * np.arange(12), DX * np.arange(10), indexing="ij")
    kx, ky = 2 * np.pi * 2 / (12 * DX), 2 * np.pi * 3 / (10 * DX)
    phi = np.cos(kx * x) * np.sin(ky * y)
    assert_allclose(multiply_spectrum(phi, squared_wavenumbers(phi.shape, DX)), (kx**2 + ky**2) * phi, atol=1e-11)


def test_eigenvalues_approach_the_wavenumbers() -> None:
    shape = (64, 64)
    ratio = laplacian_eigenvalues(shape, DX)[:5, :5].ravel()[1:] / squared_wavenumbers(shape, DX)[:5, :5].ravel()[1:]
    assert (ratio < 1).all()
    assert (ratio > 0.98).all()
