"""A plain Fourier neural operator that steps from frame to frame, as a baseline (Li et al. 2021, eqs. 2 to 5).

Its weights belong to wavenumbers of the box that it was trained on. Between those a larger box has further ones, whose
weights are interpolated, so that the operator means the same physics in boxes of any size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phasemill.spinodal.network import Step, change, features


class Fno(nn.Module):
    """phi_{t+1} = phi_t - div u(phi_t), u from layers v' = gelu(W v + F^-1(R F v)).

    Arguments
    ---------
    width: channels of v.
    modes: R acts on the wavenumbers -modes ... modes of a box of `side` cells.
    layers: their number.
    side: cells per side of the training's grid.
    """

    def __init__(self, width: int = 12, modes: int = 4, layers: int = 3, side: int = 16) -> None:
        super().__init__()
        self.lift = nn.Conv3d(3, width, 1)
        self.spectral = nn.ModuleList(Spectral(width, modes, side) for _ in range(layers))
        self.local = nn.ModuleList(nn.Conv3d(width, width, 1) for _ in range(layers))
        self.project = nn.Conv3d(width, 2 * width, 1)
        self.flux = nn.Conv3d(2 * width, 3, 1)
        with torch.no_grad():  # a small change at first
            self.flux.weight.mul_(0.1)

    def forward(self, phi: Tensor) -> Tensor:
        """phi (batch, x, y, z) after one interval."""
        v = self.lift(features(phi, "features"))
        for spectral, local in zip(self.spectral, self.local, strict=True):
            v = F.gelu(spectral(v) + local(v))
        return phi + change(self.flux(F.gelu(self.project(v))), "staggered")


class Spectral(nn.Module):
    """F^-1(R(k) F v): a matrix between channels for each of the long waves, nothing for the others."""

    def __init__(self, width: int, modes: int, side: int) -> None:
        super().__init__()
        self.modes, self.side = modes, side
        shape = (2, width, width, 2 * modes + 1, 2 * modes + 1, modes + 1)  # real and imaginary part
        self.weights = nn.Parameter(torch.randn(shape) / width)

    def forward(self, v: Tensor) -> Tensor:
        """(batch, channels, x, y, z)."""
        sides = v.shape[2:]
        reach = [round(self.modes * n / self.side) for n in sides]
        flat = self.weights.flatten(0, 1)  # (2 width, width, modes ...)
        size = (2 * reach[0] + 1, 2 * reach[1] + 1, reach[2] + 1)
        if size != flat.shape[2:]:
            flat = F.interpolate(flat, size=size, mode="trilinear", align_corners=True)
        real, imaginary = flat.chunk(2)
        spectrum = torch.fft.rfftn(v, dim=(2, 3, 4), norm="forward")
        rows = [torch.arange(-r, r + 1, device=v.device) % n for r, n in zip(reach[:2], sides[:2], strict=True)]
        low = spectrum[:, :, rows[0]][:, :, :, rows[1]][..., : reach[2] + 1]
        out = torch.zeros_like(spectrum)
        mixed = torch.einsum("bixyz,ioxyz->boxyz", low, torch.complex(real, imaginary))
        out[:, :, rows[0][:, None], rows[1][None, :], : reach[2] + 1] = mixed
        back: Tensor = torch.fft.irfftn(out, s=sides, dim=(2, 3, 4), norm="forward")
        return back


def stepper(network: Fno, dtype: torch.dtype = torch.float32) -> Step:
    """The network's step; always in float32, which the transform needs."""

    def step(phi: Tensor, state: Any = None) -> tuple[Tensor, None]:
        return network(phi), None

    return step
