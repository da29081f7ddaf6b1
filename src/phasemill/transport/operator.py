"""The SAFE operator in torch: the frozen Euler operator through which kappa, and the latent field, are learned.

Three forms of the same operator: `substep` is the paper's, K frozen convolutions, and the reference; `fourier` is
one multiplication per mode; `safe_loss` and `SpectralLoss` are the loss of equation 9 without leaving Fourier space.
Fields are (..., x, y), periodic; videos are (simulation, time, x, y) and kappa is (simulation,).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from phasemill.core.spectral import hermitian_weights, laplacian_eigenvalues
from phasemill.transport.spectra import FrameSpectra, SafeScheme

__all__ = ["FrameSpectra", "SafeScheme", "SpectralLoss", "fourier", "safe_loss", "substep"]


def substep(u: Tensor, kappa: Tensor, scheme: SafeScheme) -> Tensor:
    """u <- u + sign kappa tau lap(u), K times, with the 5-point stencil as a frozen convolution.

    Arguments:
        u: fields (..., x, y).
        kappa: a scalar, or one value per leading index of `u`.
        scheme: interval, sub-steps and direction.

    Source: SAFE-PIT-CM, equations 2, 3 and 6.
    """
    stencil = u.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None] / scheme.dx**2
    rate = scheme.sign * scheme.tau * _over_fields(kappa, u).expand(*u.shape[:-2], 1, 1).reshape(-1, 1, 1, 1)
    images = u.reshape(-1, 1, *u.shape[-2:])
    for _ in range(scheme.substeps):
        images = images + rate * F.conv2d(F.pad(images, (1, 1, 1, 1), mode="circular"), stencil)
    return images.view_as(u)


def fourier(u: Tensor, kappa: Tensor, scheme: SafeScheme) -> Tensor:
    """u_k <- (1 - sign kappa tau lambda_k)^K u_k: `substep` in one multiplication per mode.

    Arguments and source: those of `substep`.
    """
    image: Tensor = torch.fft.irfft2((1 - _decay(kappa, u, scheme)) * torch.fft.rfft2(u), s=u.shape[-2:])
    return image


def safe_loss(z: Tensor, kappa: Tensor, scheme: SafeScheme) -> Tensor:
    """sum |G z_t - z_{t+1}|^2 / sum |z_{t+1} - z_t|^2 for each simulation, differentiable in z and kappa.

    The denominator, the persistence error, is detached: it sets the scale of the loss and must not be maximised.
    One FFT of the video replaces K convolutions per pair, by Parseval's theorem.

    Arguments:
        z: latent videos (simulation, time, x, y).
        kappa: (simulation,).
        scheme: interval, sub-steps and direction, the same for all simulations.

    Returns: (simulation,). Source: SAFE-PIT-CM, equation 9.
    """
    weights = torch.as_tensor(hermitian_weights(z.shape[-2:]), dtype=z.dtype, device=z.device)
    source, target = scheme.pairs(torch.fft.rfft2(z) * weights.sqrt())
    increment = target - source
    residual = increment + _decay(kappa, z, scheme) * source
    return _energy(residual) / _energy(increment).detach()


class SpectralLoss(nn.Module):
    """The SAFE loss of fixed videos as a function of kappa alone: `FrameSpectra.loss` for a batch, in torch.

    Arguments:
        spectra: one per simulation, all of one grid; their schemes may differ.
    """

    rate: Tensor
    power: Tensor
    cross: Tensor
    substeps: Tensor

    def __init__(self, spectra: Sequence[FrameSpectra]) -> None:
        super().__init__()
        rates = [torch.from_numpy(s.scheme.sign * s.scheme.tau * s.eigenvalues) for s in spectra]
        self.register_buffer("rate", torch.stack(rates))
        self.register_buffer("power", torch.stack([torch.from_numpy(s.power) for s in spectra]))
        self.register_buffer("cross", torch.stack([torch.from_numpy(s.cross) for s in spectra]))
        self.register_buffer("substeps", torch.tensor([[s.scheme.substeps] for s in spectra]))

    def forward(self, kappa: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """The normalised losses (simulation,) in float64 of the simulations `rows` at their kappa (simulation,)."""
        decay = 1 - (1 - kappa.double()[:, None] * self.rate[rows]) ** self.substeps[rows]
        return 1 + (decay * (2 * self.cross[rows] + decay * self.power[rows])).sum(-1)


def _decay(kappa: Tensor, u: Tensor, scheme: SafeScheme) -> Tensor:
    """1 - G for each mode of rfft2(u)."""
    eigenvalues = laplacian_eigenvalues(u.shape[-2:], scheme.dx)
    rate = scheme.sign * scheme.tau * torch.as_tensor(eigenvalues, dtype=u.dtype, device=u.device)
    return 1 - (1 - _over_fields(kappa, u) * rate) ** scheme.substeps


def _over_fields(kappa: Tensor, u: Tensor) -> Tensor:
    """kappa with trailing axes of length one, to multiply fields `u`."""
    return kappa.reshape(*kappa.shape, *(1,) * (u.ndim - kappa.ndim))


def _energy(spectra: Tensor) -> Tensor:
    """sum |.|^2 over time and modes of weighted spectra (simulation, time, x, ky)."""
    return torch.view_as_real(spectra).square().sum((-1, -2, -3, -4))
