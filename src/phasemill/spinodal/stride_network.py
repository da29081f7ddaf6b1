"""Large strides of any length: the solver on the networks' grid with wider interfaces, and a network that corrects it.

In the limit of sharp interfaces coarsening does not depend on their width, since the free energy of an interface is 1
per area for any eps. A grid of twice the spacing, too coarse for eps, carries an interface `width` times as wide; the
profile phi = (1 + tanh(3 d / eps)) / 2 is known, so that interfaces are widened and narrowed cell by cell. What is
wrong in that guess - the grid, the width - is local, and a small network adds the divergence of a flux for it: the
mean of phi is conserved. All this is for mixtures that have interfaces, older than t = 2 eps^3 / (27 M) or so.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from phasemill.core.errors import InputError
from phasemill.spinodal import physics
from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.network import Step, change, features
from phasemill.spinodal.solver import Rkl2

FOLD = 2
SCALE = 0.1
"""Of a flux: cells change by about as much in a stride."""
GROWTH = 1.6
"""Time after a stride over that before it, in a schedule."""
PURE = 0.9999
"""|2 phi - 1| of the pure phases, at least this far from which a distance to the interface can be told."""


class StrideNetwork(nn.Module):
    """phi(t + dt) = guess(phi, dt) - div u(phi, guess, dt).

    u comes from residual blocks of dilated convolutions on a grid folded by 2 into channels, whose widths see far; it
    is unfolded into three fluxes on the faces of every cell.

    Arguments
    ---------
    medium: the equation, the solver's grid and the networks'.
    width: width of the interfaces in the guess, over eps.
    tolerance: of the solver for the guess.
    """

    interval = 5.0
    """The stride of those who name none."""

    def __init__(
        self, medium: Medium, channels: int, dilations: Sequence[int], width: float, tolerance: float
    ) -> None:  # fmt: skip
        super().__init__()
        self.width, self.tolerance = width, tolerance
        self.wide = physics.Medium(eps=width * medium.eps, mobility=medium.mobility, dx=medium.dx * medium.factor)
        cells = FOLD**3
        self.condition = nn.Sequential(
            nn.Linear(2, channels), nn.GELU(), nn.Linear(channels, 2 * channels * len(dilations))
        )
        self.lift = Periodic(6 * cells, channels)
        self.blocks = nn.ModuleList(Block(channels, dilation) for dilation in dilations)
        self.flux = Periodic(channels, 3 * cells)
        nn.init.zeros_(self.flux.weight)

    def forward(self, phi: Tensor, dt: Tensor) -> Tensor:
        """phi (batch, x, y, z), even sides, after strides dt (batch); gradients stop at the guess."""
        guess = self.guess(phi, dt)
        dtype = self.lift.weight.dtype
        length = torch.log(dt) / 3
        condition = self.condition(torch.stack([length, length**2], dim=1).to(dtype))
        seen = torch.cat([features(phi, "features"), features(guess, "features")], dim=1)
        x = self.lift(channels_last(fold(seen).to(dtype)))
        for block, film in zip(self.blocks, condition.chunk(len(self.blocks), dim=1), strict=True):
            x = block(x, film)
        return guess + change(SCALE * unfold(self.flux(F.gelu(x))), "staggered")

    def guess(self, phi: Tensor, dt: Tensor) -> Tensor:
        """The solver's phi after dt, with the interfaces of the medium again."""
        fields = phi.detach().cpu().double().numpy()
        strides = [self._advance(field, float(stride)) for field, stride in zip(fields, dt, strict=True)]
        return torch.from_numpy(np.stack(strides)).to(phi)

    def _advance(self, phi: NDArray[np.float64], dt: float) -> NDArray[np.float64]:
        solver = Rkl2(widen(phi, self.width), self.wide, tolerance=self.tolerance, dtype=np.float32)
        solver.advance(dt)
        return narrow(solver.phi, self.width, phi.mean())


def widen(phi: NDArray[Any], width: float) -> NDArray[np.float64]:
    """The field with interfaces `width` times as wide: artanh(2 phi - 1) = 3 d / eps is divided by it."""
    return np.asarray((1 + np.tanh(_distance(phi) / width)) / 2)


def narrow(phi: NDArray[Any], width: float, mean: float) -> NDArray[np.float64]:
    """The inverse of `widen`, all interfaces displaced by the one distance that makes the mean right."""
    distance, shift = _distance(phi) * width, 0.0
    for _ in range(6):  # Newton's method
        q = np.tanh(distance + shift)
        shift -= ((1 + q.mean()) / 2 - mean) / np.mean((1 - q**2) / 2)
    return np.asarray((1 + np.tanh(distance + shift)) / 2)


def _distance(phi: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.arctanh(np.clip(2 * phi.astype(np.float64) - 1, -PURE, PURE)))


class Periodic(nn.Conv3d):
    """A 3^3 convolution, periodic."""

    def __init__(self, channels_in: int, channels_out: int, dilation: int = 1) -> None:
        super().__init__(channels_in, channels_out, 3, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape: (batch, channels, x, y, z)."""
        reach = int(self.dilation[0])
        for axis in (2, 3, 4):  # F.pad would leave the channels-last layout, in which CPUs convolve faster
            n = x.shape[axis]
            x = torch.cat([x.narrow(axis, n - reach, reach), x, x.narrow(axis, 0, reach)], dim=axis)
        convolved: Tensor = F.conv3d(x, self.weight, self.bias, dilation=reach)
        return convolved


class Block(nn.Module):
    """x + mix(gelu((1 + a) conv(x) + b)), with a and b from the length of the stride."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.convolution = Periodic(channels, channels, dilation)
        self.mix = nn.Conv3d(channels, channels, 1)

    def forward(self, x: Tensor, film: Tensor) -> Tensor:
        """(batch, channels, x, y, z), and film (batch, 2 channels)."""
        scale, shift = film[:, :, None, None, None].chunk(2, dim=1)
        mixed: Tensor = self.mix(F.gelu(torch.addcmul(shift, 1 + scale, self.convolution(x))))
        return x + mixed


def fold(x: Tensor) -> Tensor:
    """(batch, channels, 2 x, 2 y, 2 z) -> (batch, 8 channels, x, y, z)."""
    batch, channels, *sides = x.shape
    if any(side % FOLD for side in sides):
        raise InputError(f"the stride network folds its grid by {FOLD}: {' x '.join(map(str, sides))} has an odd side")
    x = x.reshape(batch, channels, *(part for side in sides for part in (side // FOLD, FOLD)))
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)


def unfold(x: Tensor) -> Tensor:
    """The inverse of `fold`."""
    batch, channels, *sides = x.shape
    x = x.reshape(batch, channels // FOLD**3, FOLD, FOLD, FOLD, *sides).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(batch, channels // FOLD**3, *(side * FOLD for side in sides))


def channels_last(x: Tensor) -> Tensor:
    """The layout in which CPUs convolve faster."""
    return x.contiguous(memory_format=torch.channels_last_3d)


def prepared(network: nn.Module, dtype: torch.dtype = torch.bfloat16) -> StrideNetwork:
    """A frozen copy of the network in the precision and layout for inference."""
    assert isinstance(network, StrideNetwork)
    frozen = copy.deepcopy(network).to(dtype).requires_grad_(False).eval()
    return frozen.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]  # torch: 4-D only


def build(card: dict[str, Any]) -> nn.Module:
    """The untrained network of a card."""
    network = StrideNetwork(Medium(**card["medium"]), **card["network"])
    network.interval = float(card["interval"])
    return network


def stepper(network: nn.Module, dtype: torch.dtype = torch.bfloat16) -> Step:
    """The step that advances the network's `interval`."""
    frozen = prepared(network, dtype)
    return strided(frozen, frozen.interval, dtype)


def strided(network: nn.Module, dt: float, dtype: torch.dtype = torch.bfloat16) -> Step:
    """The step that advances `dt`; the network has no state."""
    frozen = network if next(network.parameters()).dtype == dtype else prepared(network, dtype)

    def step(phi: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        with torch.no_grad():
            return frozen(phi, phi.new_full((len(phi),), dt)), state

    return step


def schedule(start: float, end: float, growth: float = GROWTH, interval: float = 0.5) -> list[float]:
    """Strides from time `start` to `end`, each about (growth - 1) of the age reached: multiples of `interval`.

    Raises InputError unless 0 < start < end.
    """
    if not 0 < start < end:
        raise InputError(f"strides grow with time: start {start:g} must be positive and before end {end:g}")
    count = max(1, round(np.log(end / start) / np.log(growth)))
    inner = start + interval * np.round(start * ((end / start) ** (np.arange(1, count) / count) - 1) / interval)
    times = np.unique([start, *inner, end])
    return [float(dt) for dt in np.diff(times)]
