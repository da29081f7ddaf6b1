"""Recovery of kappa by direct minimisation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phasemill.core.errors import InputError
from phasemill.transport.recover import recover_direct
from phasemill.transport.spectra import FrameSpectra, SafeScheme
from tests import heat
from tests.heat import TAU0, eigenvalues

pytestmark = pytest.mark.physics

SCHEME = SafeScheme(interval=0.25, substeps=50, dx=0.5)


def euler_frames(kappa: float) -> np.ndarray:
    """Float32 frames, as they are stored."""
    return heat.euler_frames(kappa).astype(np.float32)


@pytest.mark.parametrize("kappa", [0.1, 0.2, 0.35, 0.5, 0.7])
@pytest.mark.parametrize("direction", [1, -1])
def test_recovers_kappa_from_stored_frames(kappa: float, direction: int) -> None:
    frames = euler_frames(kappa)[::direction]
    estimate = recover_direct(FrameSpectra.from_frames(frames, replace(SCHEME, direction=direction)))
    assert estimate.kappa == pytest.approx(kappa, abs=1e-6)
    assert abs(estimate.loss) < 1e-9
    assert estimate.curvature > 0
    assert estimate.evaluations < 60


@pytest.mark.parametrize("substeps", [1, 2, 5, 10, 25, 50])
@pytest.mark.parametrize("direction", [1, -1])
def test_answer_is_the_lowest_point_of_a_fine_scan(substeps: int, direction: int) -> None:
    scheme = replace(SCHEME, substeps=substeps, direction=direction, mode="forward_euler")
    spectra = FrameSpectra.from_frames(euler_frames(0.6)[::direction], scheme)
    estimate = recover_direct(spectra)
    scan = np.linspace(0.01, 2, 20000)
    assert estimate.kappa == pytest.approx(scan[np.argmin(spectra.loss(scan))], abs=2e-4)
    assert estimate.loss <= spectra.loss(scan).min()


@pytest.mark.parametrize("substeps", [25, 50])
@pytest.mark.parametrize("direction", [1, -1])
def test_bias_of_forward_prediction_follows_first_order_theory(substeps: int, direction: int) -> None:
    """Smoothing: -kappa^2 Lambda (tau - tau0)/2; sharpening: +kappa^2 Lambda (tau + tau0)/2.

    Lambda = sum lambda^3 S / sum lambda^2 S with S the power of the target frames: the least-squares weight of a mode
    is (dG/dkappa)^2 times the power of the source frames, and G carries source to target.
    """
    kappa = 0.2
    frames = euler_frames(kappa)[::direction]
    scheme = replace(SCHEME, substeps=substeps, direction=direction, mode="forward_euler")
    target = (np.abs(np.fft.fft2(frames[1:].astype(float))) ** 2).sum(0)
    mean_lambda = (eigenvalues() ** 3 * target).sum() / (eigenvalues() ** 2 * target).sum()
    theory = -direction * kappa**2 * mean_lambda * (scheme.tau - direction * TAU0) / 2
    bias = recover_direct(FrameSpectra.from_frames(frames, scheme)).kappa - kappa
    assert bias == pytest.approx(theory, rel=0.15, abs=1e-6)


class Kink:
    """L = |kappa - a|^1.5, at which Newton's method alone jumps from one side of `a` to the other for ever."""

    a = 0.3137

    def loss(self, kappa: np.ndarray) -> np.ndarray:
        return np.abs(kappa - self.a) ** 1.5

    def derivatives(self, kappa: float) -> tuple[float, float, float]:
        distance = abs(kappa - self.a) or 1e-30
        return distance**1.5, 1.5 * np.sign(kappa - self.a) * distance**0.5, 0.75 / distance**0.5


def test_bisection_takes_over_where_newton_fails() -> None:
    assert recover_direct(Kink()).kappa == pytest.approx(Kink.a, rel=1e-11)  # type: ignore[arg-type]  # a stand-in with a known root


def test_thinned_frames_are_exact_when_substeps_grow_with_their_interval() -> None:
    scheme = replace(SCHEME, interval=1.0, substeps=200)
    estimate = recover_direct(FrameSpectra.from_frames(euler_frames(0.4)[::4], scheme))
    assert estimate.kappa == pytest.approx(0.4, abs=1e-5)


@pytest.mark.parametrize(("bounds", "answer"), [((0.01, 0.2), 0.2), ((0.5, 2.0), 0.5)])
def test_answer_stops_at_a_bound(bounds: tuple[float, float], answer: float) -> None:
    assert recover_direct(FrameSpectra.from_frames(euler_frames(0.35), SCHEME), bounds).kappa == answer


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (2.0, 1.0)])
def test_bounds_out_of_order_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="give 0 < lower < upper"):
        recover_direct(FrameSpectra.from_frames(euler_frames(0.35), SCHEME), bounds)
