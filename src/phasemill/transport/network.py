"""The autoencoder with a physics estimator in its middle: video -> latent video and kappa -> video.

Videos are (simulation, time, x, y), one channel, periodic in x and y; kappa is (simulation,), the magnitude of the
transport coefficient. Source: SAFE-PIT-CM, sections 2.3 to 2.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from phasemill.transport.config.learned import LossWeights
from phasemill.transport.operator import safe_loss
from phasemill.transport.spectra import SafeScheme

POOLED = 16
"""Cells per side of the frames that the estimator sees."""
HEADS = 4
"""Of the attention over time."""


class PeriodicConvolution(nn.Conv2d):
    """3x3 convolution of periodic images: nn.Conv2d(..., padding=1, padding_mode="circular"), at half its time.

    The margin is written once, channels last, and the gradient is a periodic convolution again (`_Periodic`).
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(channels_in, channels, 3)

    def forward(self, images: Tensor) -> Tensor:
        """(image, channels_in, x, y) -> (image, channels, x, y)."""
        convolved: Tensor = _Periodic.apply(images, self.weight, self.bias)  # type: ignore[no-untyped-call]  # untyped in torch
        return convolved


class PointConvolution(nn.Conv2d):
    """1x1 convolution as a matrix product over the channels, which keeps them last in memory."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(channels_in, channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(image, channels_in, x, y) -> (image, channels, x, y)."""
        return F.linear(images.movedim(1, -1), self.weight[:, :, 0, 0], self.bias).movedim(-1, 1)


class ResidualBlock(nn.Module):
    """relu(norm(conv(x))) + skip(x), with a periodic 3x3 convolution; the skip is 1x1 where channels change."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.convolution = PeriodicConvolution(channels_in, channels)
        self.norm = nn.BatchNorm2d(channels)
        self.skip = nn.Identity() if channels_in == channels else PointConvolution(channels_in, channels)

    def forward(self, images: Tensor) -> Tensor:
        """(image, channels_in, x, y) -> (image, channels, x, y)."""
        features: Tensor = F.relu(self.norm(self.convolution(images)), inplace=True) + self.skip(images)
        return features


class FieldMap(nn.Module):
    """video + projection(blocks(video)): encoder or decoder, the identity before training (zero projection).

    The zero start keeps the spatial structure of the field, and with it the Laplacian that identifies kappa.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            ResidualBlock(1, channels), ResidualBlock(channels, channels), ResidualBlock(channels, channels)
        )
        self.projection = PointConvolution(channels, 1)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)  # type: ignore[arg-type]  # never None here

    def forward(self, video: Tensor) -> Tensor:
        """(simulation, time, x, y) -> the same shape; every frame by itself."""
        images = video.reshape(-1, 1, *video.shape[-2:])
        change: Tensor = self.projection(self.blocks(images))
        return video + change.reshape(video.shape)


class PhysicsEstimator(nn.Module):
    """kappa = softplus(MLP(mean_t norm(f_t + attention(f)_t))), f_t the features of frame t.

    Frames carry no position in time, so the estimate does not depend on their order: a video and its reverse have
    the same kappa.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.frame_features = self.convolutions(features)
        self.attention = nn.MultiheadAttention(features, HEADS, batch_first=True)
        self.norm = nn.LayerNorm(features)
        self.head = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, 1), nn.Softplus())

    @staticmethod
    def convolutions(features: int) -> nn.Sequential:
        """Pooled frames (image, 1, 20, 20) -> maps (image, features, 16, 16)."""
        return nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(inplace=True), nn.Conv2d(32, features, 3), nn.ReLU(inplace=True)
        )

    @staticmethod
    def pool(video: Tensor) -> Tensor:
        """Frames (simulation, time, x, y) averaged to 16x16, with the periodic margin that two convolutions eat.

        One margin here gives exactly what padding each convolution would, without copying its many channels.
        """
        return F.pad(F.adaptive_avg_pool2d(video, POOLED), (2, 2, 2, 2), mode="circular")

    def from_pooled(self, pooled: Tensor) -> Tensor:
        """kappa (simulation,) from the output of `pool`, which is constant while the encoder is frozen."""
        simulations, time = pooled.shape[:2]
        maps: Tensor = self.frame_features(pooled.reshape(-1, 1, *pooled.shape[-2:]))
        tokens = maps.mean((-1, -2)).reshape(simulations, time, -1)
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        kappa: Tensor = self.head(self.norm(tokens + attended).mean(1))
        return kappa.squeeze(-1)

    def forward(self, video: Tensor) -> Tensor:
        """kappa (simulation,) of videos (simulation, time, x, y)."""
        return self.from_pooled(self.pool(video))


class Output(NamedTuple):
    """What the model makes of a video."""

    latent: Tensor
    """(simulation, time, x, y)."""
    kappa: Tensor
    """(simulation,)."""
    reconstruction: Tensor
    """(simulation, time, x, y)."""


class SafeModel(nn.Module):
    """z = encoder(video), kappa = estimator(z), reconstruction = decoder(z).

    Arguments:
        channels: C, the width of encoder and decoder.
        features: d, the width of the estimator; a multiple of the 4 attention heads.
    """

    def __init__(self, channels: int = 32, features: int = 64) -> None:
        super().__init__()
        self.encoder = FieldMap(channels)
        self.estimator = PhysicsEstimator(features)
        self.decoder = FieldMap(channels)

    def forward(self, video: Tensor) -> Output:
        """(simulation, time, x, y) -> latent video, kappa and reconstruction."""
        latent = self.encoder(video)
        return Output(latent, self.estimator(latent), self.decoder(latent))


def reconstruction_loss(reconstruction: Tensor, video: Tensor) -> Tensor:
    """mean |decoder(z) - video|^2 (SAFE-PIT-CM, equation 10)."""
    return F.mse_loss(reconstruction, video)


def identity_loss(latent: Tensor, video: Tensor) -> Tensor:
    """mean |z - video|^2: keeps the latent field a field (SAFE-PIT-CM, equation 11)."""
    return F.mse_loss(latent, video)


def bounds_penalty(kappa: Tensor, bounds: tuple[float, float]) -> Tensor:
    """mean relu(lower - kappa)^2 + relu(kappa - upper)^2 (SAFE-PIT-CM, equation 12)."""
    lower, upper = bounds
    return (F.relu(lower - kappa).square() + F.relu(kappa - upper).square()).mean()


def composite_loss(
    output: Output,
    video: Tensor,
    schemes: Sequence[SafeScheme],
    weights: LossWeights,
    bounds: tuple[float, float] = (0.01, 2.0),
) -> dict[str, Tensor]:
    """L = w_safe L_safe + w_rec L_rec + w_id L_id + w_bounds L_bounds: the terms by name, and their "total".

    L_rec and L_id are divided by the persistence error mean |video_{t+1} - video_t|^2, as L_safe is.

    Arguments:
        output: of the model for `video`.
        video: (simulation, time, x, y).
        schemes: interval, sub-steps and direction of each simulation.
        weights: of the four terms.
        bounds: the kappa that cost nothing.

    Source: SAFE-PIT-CM, equations 8 to 12.
    """
    latents, kappas = torch.split(output.latent, 1), torch.split(output.kappa, 1)
    persistence = video.diff(dim=1).square().mean()  # one unit for all terms: raw, L_id would weigh 1000 times less
    terms = {
        "safe": torch.cat([safe_loss(*each) for each in zip(latents, kappas, schemes, strict=True)]).mean(),
        "reconstruction": reconstruction_loss(output.reconstruction, video) / persistence,
        "identity": identity_loss(output.latent, video) / persistence,
        "bounds": bounds_penalty(output.kappa, bounds),
    }
    weighted = [getattr(weights, name) * term for name, term in terms.items()]
    return {**terms, "total": torch.stack(weighted).sum()}


class _Periodic(torch.autograd.Function):
    """Periodic 3x3 convolution. Its adjoint in the images is the periodic convolution with the mirrored kernel."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        padded = _margin(images)
        ctx.save_for_backward(padded, weight)
        return F.conv2d(padded, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        padded, weight = ctx.saved_tensors
        images = F.conv2d(_margin(gradient), weight.transpose(0, 1).flip(-2, -1)) if ctx.needs_input_grad[0] else None
        _, kernel, bias = torch.ops.aten.convolution_backward(
            gradient, padded, weight, [len(weight)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, True]
        )
        return images, kernel, bias


def _margin(images: Tensor) -> Tensor:
    """Images (image, channel, x, y) with one periodic cell around them, channels last in memory."""
    x, y = images.shape[-2:]
    padded = torch.empty(
        (*images.shape[:2], x + 2, y + 2),
        dtype=images.dtype,
        device=images.device,
        memory_format=torch.channels_last,
    )
    padded[..., 1:-1, 1:-1] = images
    padded[..., 1:-1, 0], padded[..., 1:-1, -1] = images[..., -1], images[..., 0]
    padded[..., 0, :], padded[..., -1, :] = padded[..., -2, :], padded[..., 1, :]
    return padded
