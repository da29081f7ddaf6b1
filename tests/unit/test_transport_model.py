"""The autoencoder, its estimator, its losses, and the zero-shot recovery with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from phasemill.transport.config.learned import LossWeights
from phasemill.transport.network import (
    FieldMap,
    Output,
    PhysicsEstimator,
    SafeModel,
    bounds_penalty,
    composite_loss,
    identity_loss,
    reconstruction_loss,
)
from phasemill.transport.operator import safe_loss
from phasemill.transport.recover.network import ZeroShot, zero_shot_network
from phasemill.transport.spectra import SafeScheme
from tests import heat

SCHEME = SafeScheme(interval=0.25, substeps=50, dx=0.5)


def euler_frames(kappa: float, frames: int) -> np.ndarray:
    """Float32 frames, as they are stored."""
    return heat.euler_frames(kappa, frames).astype(np.float32)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def video() -> torch.Tensor:
    return torch.from_numpy(euler_frames(0.4, frames=5))[None]


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("module", "count"),
    [
        (FieldMap(16), 4945),
        (FieldMap(32), 19105),
        (FieldMap(64), 75073),
        (PhysicsEstimator(64), 39809),
        (SafeModel(16, 64), 49699),
        (SafeModel(32, 64), 78019),
    ],
)
def test_parameter_counts(module: nn.Module, count: int) -> None:
    assert parameters(module) == count


def test_model_is_the_identity_before_training(video: torch.Tensor) -> None:
    output = SafeModel(channels=4, features=8)(video)
    assert torch.equal(output.latent, video)
    assert torch.equal(output.reconstruction, video)
    assert output.kappa.shape == (1,)
    assert output.kappa.item() > 0


def test_estimate_does_not_depend_on_the_order_of_frames(video: torch.Tensor) -> None:
    estimator, video = PhysicsEstimator(64).double(), video.double()
    shuffled = video[:, torch.tensor([3, 0, 4, 2, 1])]
    for other in (video.flip(1), shuffled):
        torch.testing.assert_close(estimator(other), estimator(video), rtol=1e-12, atol=0)
    assert abs(estimator(video[:, :2]) - estimator(video)) > 1e-5


def test_estimate_does_not_depend_on_where_the_periodic_frame_starts(video: torch.Tensor) -> None:
    estimator, video = PhysicsEstimator(64).double(), video.double()
    moved = video.roll((6, -4), (-2, -1))
    torch.testing.assert_close(estimator(moved), estimator(video), rtol=1e-12, atol=0)
    assert not torch.allclose(estimator(video.roll((3, 1), (-2, -1))), estimator(video), rtol=1e-12)


def test_margin_of_pool_equals_circular_padding_of_each_convolution(video: torch.Tensor) -> None:
    estimator = PhysicsEstimator(8)
    images = torch.nn.functional.adaptive_avg_pool2d(video, 16).reshape(-1, 1, 16, 16)
    for layer in estimator.frame_features:
        if isinstance(layer, nn.Conv2d):
            images = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="circular")
        images = layer(images)
    pooled = estimator.pool(video).reshape(-1, 1, 20, 20)
    torch.testing.assert_close(estimator.frame_features(pooled), images)


def test_losses_of_the_autoencoder(video: torch.Tensor) -> None:
    assert reconstruction_loss(video + 0.5, video).item() == pytest.approx(0.25)
    assert identity_loss(video, video).item() == 0
    penalty = bounds_penalty(torch.tensor([0.0, 0.5, 2.5]), (0.1, 2.0))
    assert penalty.item() == pytest.approx((0.01 + 0.25) / 3)


def test_model_passes_the_latent_video_to_estimator_and_decoder(video: torch.Tensor) -> None:
    model = SafeModel(channels=4, features=8).eval()
    for field_map in (model.encoder, model.decoder):
        nn.init.constant_(field_map.projection.weight, 0.05)
    output = model(video)
    assert not torch.allclose(output.latent, video)
    torch.testing.assert_close(output.kappa, model.estimator(output.latent))
    torch.testing.assert_close(output.reconstruction, model.decoder(output.latent))


@pytest.mark.parametrize(
    ("term", "weight", "reached"),
    [
        ("safe", 2.0, {"latent", "kappa"}),
        ("reconstruction", 3.0, {"reconstruction"}),
        ("identity", 5.0, {"latent"}),
        ("bounds", 7.0, {"kappa"}),
    ],
)
def test_composite_loss(video: torch.Tensor, term: str, weight: float, reached: set[str]) -> None:
    schemes = [SCHEME, replace(SCHEME, direction=-1)]
    both = torch.cat([video, video.flip(1)])
    output = Output(both + 0.1 * torch.rand_like(both), torch.tensor([2.5, 0.4]), 0.9 * both)
    for part in output:
        part.requires_grad_()
    weights = LossWeights(**{"safe": 0.0, "reconstruction": 0.0, "identity": 0.0, "bounds": 0.0, term: weight})
    losses = composite_loss(output, both, schemes, weights)
    assert losses["total"].item() == pytest.approx(weight * losses[term].item())
    single = [safe_loss(output.latent[i : i + 1], output.kappa[i : i + 1], schemes[i]).item() for i in (0, 1)]
    assert losses["safe"].item() == pytest.approx(sum(single) / 2)
    losses[term].backward()
    assert {name for name, part in output._asdict().items() if part.grad is not None} == reached


@pytest.mark.parametrize("kappa", [0.2, 0.5])
@pytest.mark.parametrize("direction", [1, -1])
def test_zero_shot_finds_kappa(kappa: float, direction: int) -> None:
    frames = euler_frames(kappa, frames=6)[::direction]
    result = zero_shot_network(frames, replace(SCHEME, direction=direction), steps=60, features=16, seed=1)
    assert len(result.history) == 61
    assert result.kappa == result.history[-1]
    assert abs(result.kappa - kappa) < 0.1 * abs(result.history[0] - kappa)


@pytest.mark.parametrize(
    ("history", "step"),
    [
        ([0.6, 0.5, 0.405, 0.4], 2),
        ([0.4, 0.4, 0.4, 0.4], 0),
        ([0.6, 0.4, 0.5, 0.4], 3),  # away again in between
        ([0.6, 0.55, 0.52, 0.52], 4),  # at rest, but not at the minimum: one more than the updates
    ],
)
def test_zero_shot_has_converged_when_it_stays_near_the_minimum(history: list[float], step: int) -> None:
    assert ZeroShot(history[-1], np.array(history), 0.0, 0.0).converged_step(0.4) == step


def test_zero_shot_repeats_and_leaves_the_random_state_alone() -> None:
    frames = euler_frames(0.3, frames=5)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    runs = [zero_shot_network(frames, SCHEME, steps=3, features=8, seed=s) for s in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(runs[0].history, runs[1].history)
    assert not np.array_equal(runs[0].history, runs[2].history)
