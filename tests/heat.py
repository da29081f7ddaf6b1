"""Videos of the heat equation that several tests recover kappa from, made without the code under test."""

from __future__ import annotations

from typing import Any

import numpy as np

TAU0 = 0.005
"""Step of the explicit Euler scheme that makes the videos; cells of 0.5, every 50th step a frame."""

DATA: dict[str, Any] = {
    **{"size": 32, "dx": 0.5, "dt": TAU0, "steps": 1000, "save_every": 50},
    **{"simulations": 6, "validation": 1, "test": 3},
    **{"kappa": {"low": 0.1, "high": 0.7}, "grains": {"low": 4, "high": 8}},
    **{"interface_width": 0.25, "roughness": 0.3, "correlation_length": 2.0},
}
"""Settings of a small data set of Voronoi fields."""


def eigenvalues(size: int = 32) -> np.ndarray:
    """Of minus the 5-point Laplacian, in the layout of the full complex FFT."""
    s = 16 * np.sin(np.pi * np.arange(size) / size) ** 2
    return s[:, None] + s


def euler_growth(kappa: float, frames: int, size: int = 32) -> np.ndarray:
    """What explicit Euler multiplies each mode with up to each frame, (time, x, y)."""
    return (1 - kappa * TAU0 * eigenvalues(size)) ** (50 * np.arange(frames))[:, None, None]


def euler_frames(kappa: float, frames: int = 21, size: int = 32, seed: int = 0, age: float = 0.3) -> np.ndarray:
    """Frames of explicit Euler from smoothed noise of this age with its contrast raised, by the full complex FFT."""
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal((size, size)))
    start = np.tanh(np.fft.ifft2(noise * np.exp(-age * eigenvalues(size))).real * 8)
    return np.fft.ifft2(np.fft.fft2(start) * euler_growth(kappa, frames, size)).real
