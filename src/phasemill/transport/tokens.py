"""Amortised estimators of kappa: one token per frame, summarised over time by attention or by a plain mean.

A token is made from the spectrum of its frame (`frame_tokens`) or from its pooled pixels (the paper's convolutions).
Networks see a video in smoothing order, sharpest frame first: the direction of a video is given, as in the paper, so a
sharpening one is read backwards. They answer with the Fourier number kappa interval / dx^2, which neither the grid
spacing nor the unit of time changes. Source: SAFE-PIT-CM, section 2.3, for the estimator from pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phasemill.core.errors import InputError
from phasemill.core.spectral import hermitian_weights, laplacian_eigenvalues
from phasemill.transport.config.learned import Tokens
from phasemill.transport.network import HEADS, PhysicsEstimator
from phasemill.transport.spectra import SafeScheme

BANDS = 12
EDGES = np.geomspace(0.02, 8, BANDS + 1)[1:-1]
"""Inner edges of the bands in lambda dx^2, from the longest wave of a 64-cell side to the shortest of any grid."""
FLOOR = 1e-6
"""Energy, relative to the sharpest frame, below which a band counts as empty; float32 alone would allow 1e-13."""


def frame_tokens(frames: NDArray[Any]) -> NDArray[np.float32]:
    """log(E_b(t) + floor) of 12 bands, and its derivative in t: the band energies E_b = sum_(k in b) |u_k|^2.

    E is relative to the variance of the first frame, so tokens of a u + b are those of u. In a band of one mode the
    derivative is -2 kappa lambda interval (minus the Euler sub-steps' error) until the band is empty.

    Arguments:
        frames: (time, x, y) in smoothing order, periodic, any floating type.

    Returns (time, 24).
    """
    power = np.abs(scipy.fft.rfft2(np.asarray(frames, np.float64))) ** 2 * hermitian_weights(frames.shape[-2:])
    power[:, 0, 0] = 0
    bands = np.digitize(laplacian_eigenvalues(frames.shape[-2:], 1.0), EDGES).ravel()
    energy = np.stack([np.bincount(bands, frame.ravel(), BANDS) for frame in power])
    level = np.log(energy / energy[0].sum() + FLOOR)
    return np.concatenate([level, np.gradient(level, axis=0)], axis=1).astype(np.float32)


def diffusion_unit(scheme: SafeScheme) -> float:
    """dx^2 / interval: kappa of the Fourier number 1."""
    return scheme.dx**2 / scheme.interval


class TimeSummary(nn.Module):
    """softplus(MLP(mean_t norm(f_t + attention(f)_t))), f_t = token_t + position_t.

    Without positions, and always without attention and positions, the order of the tokens does not matter.

    Arguments:
        length: number of tokens, for which positions are learned.
        features: d, a multiple of the attention heads.
        attention: False leaves f_t alone in the mean.
        positions: False leaves f_t = token_t.
    """

    def __init__(self, length: int, features: int, *, attention: bool = True, positions: bool = True) -> None:
        super().__init__()
        self.length = length
        self.positions = nn.Parameter(0.02 * torch.randn(length, features)) if positions else None
        self.attention = nn.MultiheadAttention(features, HEADS, batch_first=True) if attention else None
        self.norm = nn.LayerNorm(features)
        self.head = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, 1), nn.Softplus())

    def forward(self, tokens: Tensor) -> Tensor:
        """(simulation, time, features) -> (simulation,)."""
        if tokens.shape[1] != self.length:
            raise InputError(
                f"the video gives {tokens.shape[1]} tokens; this estimator was trained for {self.length}: "
                "give as many frames"
            )
        if self.positions is not None:
            tokens = tokens + self.positions
        attended = tokens if self.attention is None else tokens + self.attention(*3 * [tokens], need_weights=False)[0]
        number: Tensor = self.head(self.norm(attended).mean(1))
        return number.squeeze(-1)


class SpectralEstimator(nn.Module):
    """Fourier number of videos from `frame_tokens`, standardised by the training videos.

    Arguments:
        length, features, summary: of `TimeSummary`.
        differences: False withholds the derivatives in time.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, length: int, features: int, *, differences: bool = True, **summary: bool) -> None:
        super().__init__()
        self.width = 2 * BANDS if differences else BANDS
        self.register_buffer("mean", torch.zeros(2 * BANDS))
        self.register_buffer("scale", torch.ones(2 * BANDS))
        self.embedding = nn.Linear(self.width, features)
        self.summary = TimeSummary(length, features, **summary)

    def standardise(self, tokens: Tensor) -> None:
        """Take mean and standard deviation from the training tokens (..., 24); a constant one stays as it is."""
        flat = tokens.flatten(0, -2)
        self.mean.copy_(flat.mean(0))
        spread = flat.std(0)
        self.scale.copy_(torch.where(spread > 0, spread, 1.0))

    def forward(self, tokens: Tensor) -> Tensor:
        """(simulation, time, 24) -> (simulation,)."""
        standard = (tokens - self.mean) / self.scale
        number: Tensor = self.summary(self.embedding(standard[..., : self.width]))
        return number


class PooledEstimator(nn.Module):
    """Fourier number of videos from pooled frames, by the convolutions of the paper's estimator.

    Without positions and standardisation it is `PhysicsEstimator`.

    Arguments:
        length, features, summary: of `TimeSummary`.
        standardised: subtract the video's mean and divide by the spread of its sharpest frame. Without it all videos
            look the same to fresh weights, because their common mean is larger than what differs between them.
    """

    def __init__(self, length: int, features: int, *, standardised: bool = True, **summary: bool) -> None:
        super().__init__()
        self.standardised = standardised
        self.frame_features = PhysicsEstimator.convolutions(features)
        self.summary = TimeSummary(length, features, **summary)

    def forward(self, pooled: Tensor) -> Tensor:
        """Output of `PhysicsEstimator.pool` (simulation, time, 20, 20) -> (simulation,)."""
        if self.standardised:
            pooled = pooled - pooled.mean((1, 2, 3), keepdim=True)
            pooled = pooled / pooled.std((2, 3), keepdim=True).amax(1, keepdim=True)
        maps: Tensor = self.frame_features(pooled.reshape(-1, 1, *pooled.shape[-2:]))
        number: Tensor = self.summary(maps.mean((-1, -2)).reshape(*pooled.shape[:2], -1))
        return number


@dataclass(frozen=True)
class Variant:
    """An estimator that is trained beside others, to see what its parts are worth."""

    label: str
    options: Mapping[str, bool]
    """Of SpectralEstimator or PooledEstimator; what is left out is on."""
    supervised: bool = False
    """Trained on the squared error of the true Fourier number, for comparison, instead of the SAFE loss."""
    noisy: bool = False
    """Trained on noisy frames; the SAFE loss is that of the clean ones."""


SPECTRAL = {
    "main": Variant("attention, positions", {}),
    "mean_pooling": Variant("mean pooling, positions", {"attention": False}),
    "no_positions": Variant("attention, no positions", {"positions": False}),
    "no_order": Variant("mean pooling, no positions", {"attention": False, "positions": False}),
    "no_differences": Variant("attention, positions, no time differences", {"differences": False}),
    "noisy": Variant("attention, positions, trained with noise", {}, noisy=True),
    "supervised": Variant("attention, positions, trained on labels", {}, supervised=True),
}
POOLED = {
    "paper": Variant("attention, as the paper", {"standardised": False, "positions": False}),
    "attention": Variant("attention, frames standardised", {"positions": False}),
    "mean_pooling": Variant("mean pooling, frames standardised", {"attention": False, "positions": False}),
    "positions": Variant("attention, positions, frames standardised", {}),
}


GROUPS = {"spectral": SPECTRAL, "pooled": POOLED}


def estimators(settings: Tokens, seed: int) -> nn.ModuleDict:
    """All variants of both groups, untrained, as group -> variant; each starts from the same random numbers."""
    models = nn.ModuleDict()
    for group, kind, schedule in (
        ("spectral", SpectralEstimator, settings.spectral),
        ("pooled", PooledEstimator, settings.pooled),
    ):
        variants = nn.ModuleDict()
        for name, variant in GROUPS[group].items():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                variants[name] = kind(schedule.frames, settings.features, **variant.options)
        models[group] = variants
    return models
