"""The compiled heat solver against the usual numpy loop of rolls: 5000 steps, 101 frames, one core."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose

from phasemill.transport.initial import voronoi
from phasemill.transport.solver import integrate

pytestmark = pytest.mark.performance

KAPPA, DX, DT, STEPS, SAVE_EVERY = 0.7, 0.5, 0.005, 5000, 50


def roll_loop(phi: np.ndarray) -> np.ndarray:
    frames = [phi]
    for step in range(1, STEPS + 1):
        neighbours = np.roll(phi, 1, 0) + np.roll(phi, -1, 0) + np.roll(phi, 1, 1) + np.roll(phi, -1, 1)
        phi = phi + KAPPA * DT / DX**2 * (neighbours - 4 * phi)
        if step % SAVE_EVERY == 0:
            frames.append(phi)
    return np.array(frames)


@pytest.mark.parametrize(("size", "at_least"), [(64, 20), (128, 8)])
def test_faster_than_numpy_rolls(compare: Callable[..., float], size: int, at_least: float) -> None:
    phi0 = voronoi(np.random.default_rng(0), size=size, dx=DX)

    def ours() -> np.ndarray:
        return integrate(phi0, KAPPA, dx=DX, dt=DT, steps=STEPS, save_every=SAVE_EVERY).frames

    assert_allclose(ours(), roll_loop(phi0), rtol=0, atol=1e-13)
    assert compare(f"transport heat {size}x{size} against numpy roll", ours, lambda: roll_loop(phi0), 7) >= at_least
