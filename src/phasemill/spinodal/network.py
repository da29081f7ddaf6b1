"""The published network: two stacked convolutional GRU cells and a flux whose divergence changes phi.

Every linear map of an ordinary GRU is replaced by a deeper one, a 3^3 convolution, tanh, and a 1^3 convolution. With
10 channels, raw input and the central divergence this is the network of Lanzoni et al. 2024, section 2.2, with its
29,183 parameters. `fused` computes the same faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

Inputs = Literal["raw", "centred", "features"]
Output = Literal["central", "staggered", "potential", "zero_mean", "plain"]
State = tuple[Tensor, Tensor, int]
"""Hidden states of both cells, and the steps since they were zero."""
Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""(phi, state or None) -> (next phi, state), phi (batch, x, y, z)."""

CHANNELS_IN = {"raw": 1, "centred": 1, "features": 3}
CHANNELS_OUT = {"central": 3, "staggered": 3, "potential": 1, "zero_mean": 1, "plain": 1}


class DeepMap(nn.Sequential):
    """Conv 3^3, tanh, conv 1^3, periodic."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv3d(channels_in, channels_out, 3, padding=1, padding_mode="circular"),
            nn.Tanh(),
            nn.Conv3d(channels_out, channels_out, 1),
        )


class Cell(nn.Module):
    """H' = (1 - z) n + z H with r = sigma(r_x + r_h), z = sigma(z_x + z_h), n = tanh(n_x + map(r H))."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.from_input = DeepMap(channels_in, 3 * channels)
        self.from_hidden = DeepMap(channels, 2 * channels)
        self.candidate = DeepMap(channels, channels)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """The next hidden state, (batch, channels, x, y, z)."""
        r_x, z_x, n_x = self.from_input(x).chunk(3, dim=1)
        r_h, z_h = self.from_hidden(hidden).chunk(2, dim=1)
        r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
        n = torch.tanh(n_x + self.candidate(r * hidden))
        return (1 - z) * n + z * hidden


class ConvGRU(nn.Module):
    """phi_{t+1} = phi_t + change(phi_t, H_t); H starts at zero and is carried on.

    inputs: `raw` phi; `centred` 2 phi - 1; `features` q = 2 phi - 1, its Laplacian and q (1 - q^2), the terms of mu.
    output: `central`, the divergence of three fluxes by central differences (published; its 2^3 interleaved
        sub-lattices each keep their own mass); `staggered`, fluxes on faces; `potential`, the Laplacian of one channel;
        `zero_mean`, a change less its mean; `plain`, any change (not conservative).
    memory: steps after which H is zero again; 0: never, as published. A state far older than the roll-outs of the
        training is unlike any that it saw, and grows a texture inside the phases.
    """

    def __init__(self, inputs: Inputs = "raw", output: Output = "central", channels: int = 10, memory: int = 0) -> None:
        super().__init__()
        self.inputs, self.output, self.channels, self.memory = inputs, output, channels, memory
        self.first = Cell(CHANNELS_IN[inputs], channels)
        self.second = Cell(channels, channels)
        self.to_flux = nn.Sequential(
            nn.Conv3d(channels, channels, 1),
            nn.Tanh(),
            nn.Conv3d(channels, channels, 1),
            nn.Tanh(),
            nn.Conv3d(channels, CHANNELS_OUT[output], 3, padding=1, padding_mode="circular"),
        )

    def forward(self, phi: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One step: phi (batch, x, y, z) and the state, or None at the start; returns the next of both."""
        state = self.recall(state)
        hidden_1, hidden_2, age = state if state is not None else self.start(phi)
        hidden_1 = self.first(features(phi, self.inputs), hidden_1)
        hidden_2 = self.second(hidden_1, hidden_2)
        return phi + change(self.to_flux(hidden_2), self.output), (hidden_1, hidden_2, age + 1)

    def start(self, phi: Tensor) -> State:
        """Hidden states of zero."""
        zero = phi.new_zeros(len(phi), self.channels, *phi.shape[1:])
        return zero, zero, 0

    def recall(self, state: State | None) -> State | None:
        """The state that the next step sees: None, zero, once it is as old as `memory`."""
        return None if state is None or state[2] == self.memory > 0 else state


def features(phi: Tensor, inputs: Inputs) -> Tensor:
    """The channels that the first cell sees, (batch, channels, x, y, z)."""
    if inputs == "raw":
        return phi[:, None]
    q = 2 * phi - 1
    if inputs == "centred":
        return q[:, None]
    return torch.stack([q, laplacian(q), q * (1 - q * q)], dim=1)


def laplacian(q: Tensor) -> Tensor:
    """Sum of the six neighbours less 6 q, periodic."""
    return _sum(q.roll(shift, axis) for axis in (1, 2, 3) for shift in (1, -1)) - 6 * q


def change(u: Tensor, output: Output) -> Tensor:
    """phi_{t+1} - phi_t from the network's last channels (batch, channels, x, y, z), in float32 or finer.

    Casting comes first: a difference of rounded fluxes sums to zero exactly only if it is taken in float32.
    """
    u = u.to(torch.promote_types(u.dtype, torch.float32))
    if output == "central":
        return _sum(u[:, d].roll(1, d + 1) - u[:, d].roll(-1, d + 1) for d in range(3))
    if output == "staggered":
        return _sum(u[:, d].roll(1, d + 1) - u[:, d] for d in range(3))
    if output == "potential":
        return laplacian(u[:, 0])
    if output == "zero_mean":
        return u[:, 0] - u[:, 0].mean(dim=(1, 2, 3), keepdim=True)
    return u[:, 0]


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(0)


def to_raw(network: ConvGRU) -> ConvGRU:
    """The network with raw input that equals one with centred input: 2 phi - 1 folds into the first convolution."""
    raw = ConvGRU("raw", network.output, network.channels, network.memory)
    raw.load_state_dict(network.state_dict())
    with torch.no_grad():
        first = raw.first.from_input[0]
        assert isinstance(first, nn.Conv3d)
        assert first.bias is not None
        first.bias -= first.weight.sum(dim=(1, 2, 3, 4))
        first.weight *= 2
    return raw
