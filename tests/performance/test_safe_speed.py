"""The SAFE loss, the recovery of kappa and the operator for kappa(x) against the usual ways, in one run each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from statistics import median
from time import perf_counter

import numpy as np
import pytest
import torch

from phasemill.transport.initial import voronoi
from phasemill.transport.operator import SpectralLoss, substep
from phasemill.transport.recover import recover_direct
from phasemill.transport.recover.network import zero_shot_network
from phasemill.transport.solver import integrate
from phasemill.transport.spectra import FrameSpectra, SafeScheme
from phasemill.transport.varying import pair_loss

pytestmark = pytest.mark.performance

SCHEME = SafeScheme(interval=0.25, substeps=50, dx=0.5)
SIZE, KAPPA = 64, 0.4
VIDEOS = 20


@cache
def video(seed: int = 0) -> np.ndarray:
    """101 frames, as in the data set."""
    rng = np.random.default_rng(seed)
    kappa, phi0 = rng.uniform(0.1, 0.7), voronoi(rng, size=SIZE, dx=SCHEME.dx)
    return integrate(phi0, kappa, dx=SCHEME.dx, dt=0.005, steps=5000, save_every=50).frames.astype(np.float32)


@cache
def spectra() -> FrameSpectra:
    return FrameSpectra.from_frames(video(), SCHEME)


@cache
def spectral_loss() -> SpectralLoss:
    return SpectralLoss([spectra()])


def convolutions() -> tuple[float, float]:
    """Loss and slope of 100 pairs by 50 circular convolutions with autograd, as the paper has it."""
    frames = torch.from_numpy(video())
    kappa = torch.tensor(KAPPA, requires_grad=True)
    source, target = SCHEME.pairs(frames)
    loss = (substep(source, kappa, SCHEME) - target).square().sum() / (target - source).square().sum()
    loss.backward()
    assert kappa.grad is not None
    return loss.item(), kappa.grad.item()


def derivatives() -> tuple[float, float]:
    return spectra().derivatives(KAPPA)[:2]


def in_torch() -> tuple[float, float]:
    kappa = torch.tensor([KAPPA], dtype=torch.float64, requires_grad=True)
    loss = spectral_loss()(kappa).sum()
    loss.backward()
    assert kappa.grad is not None
    return loss.item(), kappa.grad.item()


def with_spectra() -> tuple[float, float]:
    return FrameSpectra.from_frames(video(), SCHEME).derivatives(KAPPA)[:2]


@pytest.mark.parametrize(
    ("name", "ours", "at_least"),
    [
        ("precomputed spectra", derivatives, 1000),
        ("precomputed spectra in torch", in_torch, 1000),
        ("spectra from frames", with_spectra, 100),
    ],
)
def test_loss_and_slope_against_fifty_convolutions(
    compare: Callable[..., float], name: str, ours: Callable[[], tuple[float, float]], at_least: float
) -> None:
    assert ours() == pytest.approx(convolutions(), rel=1e-3)  # the peer works in float32
    key = f"transport SAFE loss and slope, 100 pairs {SIZE}x{SIZE}, {name} against 50 convolutions"
    assert compare(key, ours, convolutions, 5) >= at_least


def test_direct_minimisation_against_the_network(keep: Callable[..., None]) -> None:
    """Median over videos, from the frames in memory to kappa, in one run."""
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    for seed in range(VIDEOS):
        frames = video(seed)
        begun = perf_counter()
        direct = recover_direct(FrameSpectra.from_frames(frames, SCHEME)).kappa
        between = perf_counter()
        network = zero_shot_network(frames, SCHEME, steps=200).kappa
        seconds["ours"].append(between - begun)
        seconds["peer"].append(perf_counter() - between)
        assert network == pytest.approx(direct, abs=0.05)
    entry: dict[str, float] = {}
    for name, found in seconds.items():
        entry |= {f"{name}_ms_min": 1e3 * min(found), f"{name}_ms_median": 1e3 * median(found)}
    ratio = entry["peer_ms_median"] / entry["ours_ms_median"]
    key = f"transport kappa of one {SIZE}x{SIZE} video against the 200-step network"
    keep(key, "comparisons", ratio=ratio, rounds=VIDEOS, **entry)
    assert ratio >= 100


def test_kappa_of_x_against_torch(compare: Callable[..., float]) -> None:
    """Loss and both gradients, 20 pairs, against the same flux form in torch with autograd."""
    frames = video()[:21].astype(np.float64)
    kappa = np.random.default_rng(0).uniform(0.1, 0.7, (SIZE, SIZE))

    def ours() -> np.ndarray:
        return pair_loss(frames, kappa, SCHEME, "periodic").kappa

    def peer() -> np.ndarray:
        unknown, images = torch.from_numpy(kappa).requires_grad_(), torch.from_numpy(frames).requires_grad_()
        faces = [(unknown + unknown.roll(1, axis)) / 2 for axis in (0, 1)]
        source, target = SCHEME.pairs(images)
        u = source
        for _ in range(SCHEME.substeps):
            fluxes = [face * (u - u.roll(1, axis)) for face, axis in zip(faces, (-2, -1), strict=True)]
            change = sum(flux.roll(-1, axis) - flux for flux, axis in zip(fluxes, (-2, -1), strict=True))
            u = u + SCHEME.tau / SCHEME.dx**2 * change
        loss = (u - target).square().sum() / (target - source).detach().square().sum()
        slope, _ = torch.autograd.grad(loss, (unknown, images))
        return slope.numpy()

    np.testing.assert_allclose(ours(), peer(), rtol=1e-9, atol=1e-12)
    key = f"transport SAFE loss for kappa(x), 20 pairs {SIZE}x{SIZE}, hand adjoint against torch"
    assert compare(key, ours, peer, 5) >= 4
