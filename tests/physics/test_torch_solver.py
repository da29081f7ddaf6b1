"""The torch solver takes the steps of the compiled one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from phasemill.core.errors import InputError
from phasemill.spinodal import physics
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.physics import Medium
from phasemill.spinodal.solver import Euler, Rkl2
from phasemill.spinodal.torch_solver import TorchEuler, TorchRkl2, rate

pytestmark = pytest.mark.physics


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return perlin_mixture(np.random.default_rng(3), shape, lattice=12)


@pytest.mark.parametrize("medium", [Medium(), Medium(eps=4.0, mobility=0.5, dx=1.5)], ids=["paper", "other"])
@pytest.mark.parametrize("shape", [(12, 16), (8, 10, 12)], ids=["2-D", "3-D"])
def test_rate_is_the_formula(shape: tuple[int, ...], medium: Medium) -> None:
    phi = noise(shape)
    expected = physics.rate(phi, medium)
    assert_allclose(rate(torch.from_numpy(phi), medium).numpy(), expected, rtol=0, atol=1e-13 * np.abs(expected).max())


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-13), ("float32", 1e-5)])
@pytest.mark.parametrize("scheme", ["euler", "rkl2"])
def test_steps_are_those_of_the_compiled_solver(scheme: str, dtype: str, close: float) -> None:
    phi, medium = noise((16, 12, 20)), Medium()
    setting: dict[str, Any] = {"dt": 1.25e-3} if scheme == "euler" else {"tolerance": 1e-3}
    compiled = (Euler if scheme == "euler" else Rkl2)(phi, medium, dtype=np.dtype(dtype), **setting)
    in_torch = (TorchEuler if scheme == "euler" else TorchRkl2)(phi, medium, dtype=getattr(torch, dtype), **setting)
    for duration in (0.5, 1.3):
        compiled.advance(duration)
        in_torch.advance(duration)
        assert_allclose(in_torch.phi, compiled.phi, rtol=0, atol=close)
    assert in_torch.evaluations == compiled.evaluations
    assert in_torch.phi.dtype == dtype


@pytest.mark.parametrize("medium", [Medium(boundary="noflux"), Medium(law="degenerate")], ids=["walls", "mobility"])
def test_other_media_are_refused(medium: Medium) -> None:
    with pytest.raises(InputError, match="constant mobility"):
        TorchEuler(noise((8, 8, 8)), medium, dt=1e-3)
