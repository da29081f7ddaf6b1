"""A plain U-Net of three levels that steps from frame to frame: the usual network for fields, as a baseline.

It sees the present frame alone, has no state, and conserves phi as the recurrent network does.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phasemill.core.errors import InputError
from phasemill.spinodal.fused import pad
from phasemill.spinodal.network import Step, change, features


class Unet(nn.Module):
    """phi_{t+1} = phi_t - div u(phi_t), u from blocks of two 3^3 convolutions on grids of spacing 1, 2 and 4 cells."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        wide = 2 * width
        self.down = nn.ModuleList([Block(3, width), Block(width, wide), Block(wide, wide)])
        self.up = nn.ModuleList([Block(2 * wide, width), Block(2 * width, width)])
        self.flux = nn.Conv3d(width, 3, 1)
        with torch.no_grad():  # a small change at first
            self.flux.weight.mul_(0.1)

    def forward(self, phi: Tensor) -> Tensor:
        """phi (batch, x, y, z) after one interval.

        Raises InputError for sides that cannot be halved twice.
        """
        if any(side % 4 for side in phi.shape[1:]):
            raise InputError(f"a grid of {tuple(phi.shape[1:])}: the U-Net needs sides that are multiples of 4 cells")
        x = features(phi, "features").contiguous(memory_format=torch.channels_last_3d)
        fine = self.down[0](x)
        middle = self.down[1](F.avg_pool3d(fine, 2))
        coarse = self.down[2](F.avg_pool3d(middle, 2))
        middle = self.up[0](torch.cat([F.interpolate(coarse, scale_factor=2), middle], dim=1))
        fine = self.up[1](torch.cat([F.interpolate(middle, scale_factor=2), fine], dim=1))
        return phi + change(self.flux(fine), "staggered")


class Block(nn.Module):
    """Two periodic 3^3 convolutions, each followed by GELU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels_in, channels_out, 3)
        self.second = nn.Conv3d(channels_out, channels_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, x, y, z)."""
        return F.gelu(self.second(pad(F.gelu(self.first(pad(x))))))


def stepper(network: Unet, dtype: torch.dtype = torch.bfloat16) -> Step:
    """The network's step, with convolutions in `dtype`."""

    def step(phi: Tensor, state: Any = None) -> tuple[Tensor, None]:
        with torch.autocast(phi.device.type, dtype, enabled=dtype != torch.float32):
            return network(phi), None

    return step
