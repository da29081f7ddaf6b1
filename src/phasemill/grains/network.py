"""The networks that carry a field over one interval: phi' = P(phi + s g), s = 0.05, g from a network that starts at 0.

The initial condition is hard: with g = 0 nothing moves, so no loss has to hold the field at its start. `Coordinates` is
the feed-forward network of one interval (marching: each begins with the weights of the one before); `Stepper` is the
recurrent one for all of them, at full resolution and with periodic convolutions; `hybrid` mixes their increments.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from phasemill.grains.variation import project

SCALE = 0.05
"""s: about the largest change of phi in an interval."""
REACH = 3.0
"""The force that the recurrent network sees, over s, is clamped to this much on both sides."""

State = tuple[Tensor, ...]


class Coordinates(nn.Module):
    """g(x, y) of one interval: sines and cosines of 2 pi k x / L up to k = `waves`, then tanh layers.

    Only periodic functions of the position, so that the field stays periodic whatever the weights are.
    """

    points: Tensor

    def __init__(self, shape: tuple[int, int], waves: int = 2, width: int = 64, depth: int = 3) -> None:
        super().__init__()
        angles = [2 * torch.pi * torch.arange(n) / n for n in shape]
        k = torch.arange(1, waves + 1)
        columns = []
        for angle in torch.meshgrid(*angles, indexing="ij"):
            phase = angle.reshape(-1, 1) * k
            columns += [torch.sin(phase), torch.cos(phase)]
        self.register_buffer("points", torch.cat(columns, dim=1), persistent=False)
        self.shape = shape
        layers: list[nn.Module] = []
        inputs = self.points.shape[1]
        for _ in range(depth):
            layers += [nn.Linear(inputs, width), nn.Tanh()]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 1))
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self) -> Tensor:
        """g at all cells: (1, x, y)."""
        found: Tensor = self.layers(self.points)
        return found.reshape(1, *self.shape)


class Gru(nn.Module):
    """h' = (1 - z) h + z tanh(W [x, r h]), gates by periodic 3^2 convolutions (PINN-Phase, Table 1)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.gates = periodic(inputs + channels, 2 * channels)
        self.candidate = periodic(inputs + channels, channels)

    def forward(self, x: Tensor, state: State) -> State:
        """The next state, (h,)."""
        (h,) = state
        r, z = torch.sigmoid(self.gates(torch.cat([x, h], dim=1))).chunk(2, dim=1)
        return (torch.lerp(h, torch.tanh(self.candidate(torch.cat([x, r * h], dim=1))), z),)


class Lstm(nn.Module):
    """c' = f c + i tanh(.), h' = o tanh(c'), gates by 3^2 convolutions, periodic."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.gates = periodic(inputs + channels, 4 * channels)

    def forward(self, x: Tensor, state: State) -> State:
        """The next state, (h, c)."""
        h, c = state
        i, f, o, candidate = self.gates(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(candidate)
        return torch.sigmoid(o) * torch.tanh(c), c


CELLS = {"gru": (Gru, 1), "lstm": (Lstm, 2)}
"""Each cell and the number of fields in its state."""


class Stepper(nn.Module):
    """g of any interval from the field: conv, tanh, recurrent cell, conv, tanh, conv of 1^2; translation equivariant.

    It sees 2 phi - 1 and the pinned force over s, clamped to +-3. The force is never added to the output: at c > 1/4
    that would be an unstable explicit step.
    """

    def __init__(self, cell: Literal["gru", "lstm"] = "gru", channels: int = 12) -> None:
        super().__init__()
        self.encode = periodic(2, channels)
        kind, self.parts = CELLS[cell]
        self.cell: nn.Module = kind(channels, channels)
        self.decode = periodic(channels, channels)
        self.out = nn.Conv2d(channels, 1, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, phi: Tensor, force: Tensor, state: State) -> tuple[Tensor, State]:
        """g of fields (batch, x, y) under their pinned forces, and the next state."""
        seen = (force / SCALE).clamp(-REACH, REACH)
        x = torch.tanh(self.encode(torch.stack([2 * phi - 1, seen], dim=1)))
        state = self.cell(x, state)
        return self.out(torch.tanh(self.decode(state[0]))).squeeze(1), state

    def at_rest(self, phi: Tensor) -> State:
        """The state before the first interval: zeros."""
        return (phi.new_zeros(len(phi), self.decode.in_channels, *phi.shape[1:]),) * self.parts


def periodic(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3^2 convolution of a periodic box."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="circular")


def advance(phi: Tensor, g: Tensor) -> Tensor:
    """phi' = P(phi + s g)."""
    return project(phi + SCALE * g)
