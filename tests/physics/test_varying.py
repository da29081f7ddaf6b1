"""The operator for kappa(x): its forms are one operator, its adjoint is the derivative, its laws hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.fft
import torch

from phasemill.core.errors import InputError
from phasemill.transport import varying
from phasemill.transport.operator import fourier, safe_loss, substep
from phasemill.transport.physics import laplacian
from phasemill.transport.spectra import FrameSpectra, SafeScheme
from phasemill.transport.varying import divergence, evolve, jumps, pair_loss, trajectory_loss

pytestmark = pytest.mark.physics

SCHEME = SafeScheme(interval=0.25, substeps=50, dx=0.5)
SCHEMES = {
    "smoothing": SCHEME,
    "one step": replace(SCHEME, substeps=1, interval=0.05),
    "reverse": replace(SCHEME, direction=-1, substeps=11),
    "forward euler": replace(SCHEME, direction=-1, mode="forward_euler", substeps=10),
}
all_schemes = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES.keys())
both_boundaries = pytest.mark.parametrize("boundary", ["periodic", "neumann"])


def random_map(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 0.7, shape)


def random_video(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@all_schemes
def test_one_kappa_everywhere_is_the_operator_of_a_scalar(scheme: SafeScheme) -> None:
    frames, kappa = random_video((4, 16, 16)), 0.37
    everywhere = np.full((16, 16), kappa)
    if scheme.sign > 0:
        u, scalar = torch.from_numpy(frames[0]), torch.tensor(kappa, dtype=torch.float64)
        ours = torch.from_numpy(evolve(frames[0], everywhere, scheme, "periodic", 1)[1])
        for form in (substep, fourier):
            torch.testing.assert_close(ours, form(u, scalar, scheme), rtol=0, atol=1e-12)

    loss = pair_loss(frames, everywhere, scheme, "periodic")
    value, slope, _ = FrameSpectra.from_frames(frames, scheme).derivatives(kappa)
    video = torch.from_numpy(frames)[None].requires_grad_()
    in_torch = safe_loss(video, torch.tensor([kappa], dtype=torch.float64), scheme)
    (by_frames,) = torch.autograd.grad(in_torch.sum(), video)
    assert loss.value == pytest.approx(value, rel=1e-10)
    assert loss.value == pytest.approx(in_torch.item(), rel=1e-10)
    assert loss.kappa.sum() == pytest.approx(slope, rel=1e-10)
    np.testing.assert_allclose(loss.frames, by_frames[0].numpy(), rtol=0, atol=1e-10 * np.abs(loss.frames).max())


@both_boundaries
@pytest.mark.parametrize("shape", [(16, 16), (5, 9)])
def test_compiled_steps_are_the_formula(boundary: varying.Boundary, shape: tuple[int, int]) -> None:
    u, kappa, scheme = random_video(shape), random_map(shape), replace(SCHEME, substeps=7)
    expected = u
    for _ in range(7):
        expected = expected + scheme.tau * divergence(expected, kappa, scheme.dx, boundary)
    np.testing.assert_allclose(evolve(u, kappa, scheme, boundary, 1)[1], expected, rtol=0, atol=1e-13)


def test_walls_with_one_kappa_are_diagonal_in_the_dct() -> None:
    u, kappa = random_video((16, 24)), 0.37
    lam = [4 / SCHEME.dx**2 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2 for n in u.shape]
    growth = (1 - kappa * SCHEME.tau * np.add.outer(*lam)) ** SCHEME.substeps
    expected = scipy.fft.idctn(growth**2 * scipy.fft.dctn(u, type=2, norm="ortho"), type=2, norm="ortho")
    np.testing.assert_allclose(evolve(u, np.full(u.shape, kappa), SCHEME, "neumann", 2)[2], expected, atol=1e-13)


def test_divergence_of_one_kappa_is_the_laplacian() -> None:
    u = random_video((8, 8))
    np.testing.assert_allclose(
        divergence(u, np.full((8, 8), 0.3), 0.5, "periodic"), 0.3 * laplacian(u, 0.5), atol=1e-13
    )


def test_divergence_is_of_second_order() -> None:
    """u = sin x cos y, kappa = 2 + cos x sin y on the periodic square of side 2 pi."""

    def error(size: int) -> float:
        x, y = np.meshgrid(*[2 * np.pi * np.arange(size) / size] * 2, indexing="ij")
        u, kappa = np.sin(x) * np.cos(y), 2 + np.cos(x) * np.sin(y)
        by_x = -np.sin(x) * np.sin(y) * np.cos(x) * np.cos(y) - kappa * u
        by_y = -np.cos(x) * np.cos(y) * np.sin(x) * np.sin(y) - kappa * u
        return float(np.abs(divergence(u, kappa, 2 * np.pi / size, "periodic") - by_x - by_y).max())

    sizes = np.array([16, 32, 64, 128])
    slope = np.polyfit(np.log(1 / sizes), np.log([error(size) for size in sizes]), 1)[0]
    assert slope == pytest.approx(2, abs=0.1)


def directional(function: Callable[[np.ndarray], float], at: np.ndarray, gradient: np.ndarray) -> None:
    """The gradient along random directions against central differences."""
    for seed in range(3):
        way = np.random.default_rng(seed).standard_normal(at.shape)
        step = 1e-5
        slope = (function(at + step * way) - function(at - step * way)) / (2 * step)
        assert np.sum(gradient * way) == pytest.approx(slope, rel=1e-7)


@both_boundaries
@all_schemes
def test_gradients_of_the_pair_loss(scheme: SafeScheme, boundary: varying.Boundary) -> None:
    frames, kappa = random_video((3, 6, 7)), random_map((6, 7))
    loss = pair_loss(frames, kappa, scheme, boundary)
    directional(lambda k: pair_loss(frames, k, scheme, boundary).value, kappa, loss.kappa)
    source, target = scheme.pairs(frames)
    persistence = np.sum((target - source) ** 2)  # a constant in the gradients by definition

    def unnormalised(video: np.ndarray) -> float:
        source, target = scheme.pairs(video)
        return pair_loss(video, kappa, scheme, boundary).value * float(np.sum((target - source) ** 2)) / persistence

    directional(unnormalised, frames, loss.frames)


@both_boundaries
@pytest.mark.parametrize("substeps", [10, 11])
def test_gradients_of_the_trajectory_loss(substeps: int, boundary: varying.Boundary) -> None:
    scheme, frames, kappa = replace(SCHEME, substeps=substeps), random_video((5, 6, 7)), random_map((6, 7))
    u0 = random_video((6, 7), seed=2)
    loss = trajectory_loss(u0, kappa, frames, scheme, boundary)
    directional(lambda k: trajectory_loss(u0, k, frames, scheme, boundary).value, kappa, loss.kappa)
    directional(lambda u: trajectory_loss(u, kappa, frames, scheme, boundary).value, u0, loss.frames)
    by_formula = np.sum((evolve(u0, kappa, scheme, boundary, 4) - frames) ** 2)
    assert loss.value == pytest.approx(by_formula, rel=1e-13)


@both_boundaries
def test_a_trajectory_of_two_frames_is_a_pair(boundary: varying.Boundary) -> None:
    frames, kappa = random_video((2, 8, 8)), random_map((8, 8))
    pair, way = pair_loss(frames, kappa, SCHEME, boundary), trajectory_loss(frames[0], kappa, frames, SCHEME, boundary)
    persistence = np.sum((frames[1] - frames[0]) ** 2)
    assert pair.value * persistence == pytest.approx(way.value, rel=1e-13)
    np.testing.assert_allclose(pair.kappa * persistence, way.kappa, rtol=1e-10, atol=1e-12)


@both_boundaries
def test_laws_of_the_equation(boundary: varying.Boundary) -> None:
    u, kappa = random_video((16, 16)), np.where(random_map((16, 16)) > 0.4, 0.7, 0.1)
    frames = evolve(u, kappa, SCHEME, boundary, 20)
    np.testing.assert_allclose(frames.mean((1, 2)), u.mean(), atol=1e-15)
    assert (np.diff(frames.max((1, 2))) <= 0).all()
    assert (np.diff(frames.min((1, 2))) >= 0).all()
    energy = [varying.dissipation(frame, kappa, boundary) for frame in frames]
    assert (np.diff(energy) < 0).all()
    step = 1e-4 * divergence(u, kappa, 1.0, boundary)
    fall = varying.dissipation(u - step / 2, kappa, boundary) - varying.dissipation(u + step / 2, kappa, boundary)
    assert fall == pytest.approx(1e-4 * np.sum(divergence(u, kappa, 1.0, boundary) ** 2), rel=1e-9)


def test_no_flux_crosses_a_wall_and_all_of_it_a_periodic_side() -> None:
    u, kappa = np.zeros((6, 8)), np.full((6, 8), 0.5)
    u[:, 0] = 1
    walled, periodic = (evolve(u, kappa, replace(SCHEME, substeps=1), b, 1)[1] for b in ("neumann", "periodic"))
    assert (walled[:, -1] == 0).all()
    np.testing.assert_allclose(periodic[:, -1], periodic[:, 1])
    np.testing.assert_array_equal(evolve(u.T, kappa.T, replace(SCHEME, substeps=1), "neumann", 1)[1], walled.T)
    d_x, d_y = jumps(u, "neumann")
    assert not d_x.any()
    assert (d_y[:, 0] == 0).all()


def test_a_checkerboard_in_kappa_is_invisible() -> None:
    u, kappa = random_video((8, 8)), random_map((8, 8))
    board = 0.05 * (-1.0) ** np.add.outer(np.arange(8), np.arange(8))
    for boundary in ("periodic", "neumann"):
        np.testing.assert_allclose(
            evolve(u, kappa + board, SCHEME, boundary, 1), evolve(u, kappa, SCHEME, boundary, 1), atol=1e-14
        )


def test_gradient_square_is_that_of_a_wave() -> None:
    x = 2 * np.pi * np.arange(64) / 64
    frames = np.stack([np.sin(x)[:, None] * np.ones(64), np.zeros((64, 64))])
    seen = varying.gradient_square(frames, 2 * np.pi / 64, "periodic")
    np.testing.assert_allclose(seen, np.cos(x)[:, None] ** 2 / 2 * np.ones(64), atol=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kappa": np.ones((4, 5))}, r"kappa has shape \(4, 5\) and a frame \(4, 4\)"),
        ({"boundary": "open"}, "boundary is 'open': use one of periodic, neumann"),
        ({"frames": np.ones((3, 4, 4))}, "all frames are equal"),
    ],
)
def test_unusable_input_is_refused(change: dict[str, Any], message: str) -> None:
    usable = {"frames": random_video((3, 4, 4)), "kappa": np.ones((4, 4)), "scheme": SCHEME, "boundary": "periodic"}
    with pytest.raises(InputError, match=message):
        pair_loss(**{**usable, **change})
