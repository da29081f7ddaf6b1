"""The published networks: a coordinates' network beside encoder, recurrent cells and decoder (PINN-Phase, Table 1).

    phi_{n+1} = clip(gamma phi_F(x, y, t_{n+1}) + (1 - gamma) dt ReLU(D(h_n)), 0, 1),   h_n = cells(E(phi_n), h_{n-1})

gamma stands with the coordinates' network, as in the text and the released code; eq. 1 as printed has it the other way
round. Kept as released: weight normalisation, dropout of one half everywhere in encoder, cells and decoder, also when
frames are made, a ReLU and dropout behind the last, one-channel layer, zero padding in the recurrent cells of a
periodic box. Five recurrent layers, as Table 1 counts them (section 4 says one).

On 128^2 the published sizes do not run. Transposed convolutions of kernel 4 with an output padding of 1 give 135
cells, not 128: `Decoder` takes none there, unless it is told to. The bottleneck was written for 16,384 latent values
where there are 128 16^2 = 32,768: `Bottleneck` is told their number. The attention's three matrices would hold
3 (128^2)^2, 805 million, parameters: `Attention` can look at a field averaged over blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

State = tuple[Tensor, ...]
HIDDEN = (8, 32, 64)
"""Channels of the published encoder; the recurrent cells have as many as its last layer."""
DROPOUT = 0.5


class Coordinates(nn.Module):
    """v(x, y, t): a linear layer to `width`, `depth` more, each v -> tanh(v + W' ReLU(W v)), then one output.

    The field is (tanh v + 1)/2. (Table 1 has ReLU and dropout; the released code is followed.)
    """

    def __init__(self, width: int = 128, depth: int = 5) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, width), *(nn.Linear(width, width) for _ in range(depth))])
        self.residuals = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)) for _ in self.layers
        )
        self.out = nn.Linear(width, 1)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_normal_(parameter)

    @property
    def first(self) -> Tensor:
        """The first layer's matrix, on which the published code takes the norms of gradients."""
        found = self.layers[0].weight
        assert isinstance(found, Tensor)
        return found

    def forward(self, points: Tensor) -> Tensor:
        """v of points (n, 3), each coordinate scaled to [0, 1]: (n,)."""
        for layer, residual in zip(self.layers, self.residuals, strict=True):
            points = layer(points)
            points = torch.tanh(points + residual(points))
        found: Tensor = self.out(points)
        return found.squeeze(1)


class Encoder(nn.Module):
    """Convolutions of stride 2 in a periodic box, each with weight normalisation, ReLU and dropout."""

    def __init__(self, hidden: Sequence[int] = HIDDEN, kernel: int = 3, dropout: float = DROPOUT) -> None:
        super().__init__()
        sizes = zip((1, *hidden[:-1]), hidden, strict=True)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, kernel, 2, 1, padding_mode="circular")) for a, b in sizes
        )
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, x/8, y/8) of (batch, 1, x, y)."""
        for layer in self.layers:
            x = functional.dropout(torch.relu(layer(x)), self.dropout)
        return x


class Decoder(nn.Module):
    """Transposed convolutions of stride 2, back to one channel.

    Arguments
    ---------
    output_padding: by default what doubles the size: 1 for kernel 3, 0 for kernel 4 (published: 1 for both).
    rectified: ReLU and dropout also behind the last layer, as published; a field that only grows.
    """

    def __init__(
        self, hidden: Sequence[int] = HIDDEN, kernel: int = 3, output_padding: int | None = None,
        dropout: float = DROPOUT, rectified: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        extra = kernel % 2 if output_padding is None else output_padding
        sizes = zip(hidden[::-1], (*hidden[-2::-1], 1), strict=True)
        self.layers = nn.ModuleList(
            weight_norm(nn.ConvTranspose2d(a, b, kernel, 2, 1, output_padding=extra)) for a, b in sizes
        )
        self.dropout, self.rectified = dropout, rectified

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, x, y) of (batch, channels, x/8, y/8)."""
        for layer in self.layers:
            x = layer(x)
            if self.rectified or layer is not self.layers[-1]:
                x = functional.dropout(torch.relu(x), self.dropout)
        return x


class Gru(nn.Module):
    """h' = (1 - z) h + z tanh(W x + r (U h)), biases with W alone: the class that is called ConvLSTM in the release."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inputs = nn.Conv2d(channels, 3 * channels, 3, padding=1)
        self.hidden = nn.Conv2d(channels, 3 * channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, state: State) -> State:
        """The next state, (h,)."""
        (h,) = state
        r, z, candidate = self.inputs(x).chunk(3, dim=1)
        own_r, own_z, own = self.hidden(h).chunk(3, dim=1)
        z = torch.sigmoid(z + own_z)
        return ((1 - z) * h + z * torch.tanh(candidate + torch.sigmoid(r + own_r) * own),)


class Lstm(nn.Module):
    """c' = f c + i tanh(.), h' = o tanh(c'): a ConvLSTM by its definition."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inputs = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.hidden = nn.Conv2d(channels, 4 * channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor, state: State) -> State:
        """The next state, (h, c)."""
        h, c = state
        i, f, o, candidate = (self.inputs(x) + self.hidden(h)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)
        return torch.sigmoid(o) * torch.tanh(c), c


CELLS = {"gru": (Gru, 1), "lstm": (Lstm, 2)}
"""Each cell and the number of fields in its state."""


class Bottleneck(nn.Module):
    """The variational part: latent values -> mean and log variance of z -> latent values.

    Arguments
    ---------
    values: latent values of a frame, channels times cells.
    """

    def __init__(self, values: int = 4096, between: int = 512, latent: int = 128) -> None:
        super().__init__()
        self.fc1 = nn.Linear(values, between)
        self.mean, self.log_variance = nn.Linear(between, latent), nn.Linear(between, latent)
        self.back = nn.Sequential(
            nn.Linear(latent, between), nn.ReLU(), nn.Linear(between, values), nn.ReLU()
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A drawn x (same shape), and the divergence of z from a standard normal, per latent."""
        between = torch.relu(self.fc1(x.flatten(1)))
        mean, log_variance = self.mean(between), self.log_variance(between)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        divergence = (mean**2 + log_variance.exp() - 1 - log_variance).mean() / 2
        return self.back(z).view_as(x), divergence


class Attention(nn.Module):
    """phi times softmax(M * (Q K^T / sqrt n)) V: rows of an n x n picture attend to one another.

    M is the map of interfaces, 1 where the Sobel slope exceeds its mean and standard deviation. It multiplies scores of
    rows by rows, which is no place in the picture, and it does not mask: a score of 0 has weight e^0 = 1. Appendix B of
    the paper gives another formula.

    Arguments
    ---------
    cells: n; larger fields are averaged over blocks and the result is repeated over them.
    """

    def __init__(self, cells: int = 64) -> None:
        super().__init__()
        self.cells = cells
        self.queries, self.keys, self.values = (nn.Linear(cells**2, cells**2, bias=False) for _ in range(3))

    def forward(self, phi: Tensor) -> Tensor:
        """The attended field (1, 1, x, y)."""
        picture = self.picture(phi)
        combined = self.weights(picture) @ self.values(picture.flatten()).view_as(picture)
        block = phi.shape[-1] // self.cells
        factor: Tensor = combined.repeat_interleave(block, 0).repeat_interleave(block, 1)
        return phi * factor

    def picture(self, phi: Tensor) -> Tensor:
        """(n, n) of (1, 1, x, y)."""
        return functional.avg_pool2d(phi, phi.shape[-1] // self.cells)[0, 0]

    def weights(self, picture: Tensor, masked: bool = True) -> Tensor:
        """The softmax, (n, n), with the map of interfaces or without it."""
        q, k = (layer(picture.flatten()).view_as(picture) for layer in (self.queries, self.keys))
        scores = q @ k.T / self.cells**0.5
        return torch.softmax(scores * interfaces(picture) if masked else scores, dim=-1)


def interfaces(picture: Tensor) -> Tensor:
    """1 where the Sobel slope of (x, y) exceeds its mean plus its standard deviation, else 0."""
    smooth = torch.roll(picture, 1, 0) + 2 * picture + torch.roll(picture, -1, 0)
    slope_y = torch.roll(smooth, -1, 1) - torch.roll(smooth, 1, 1)
    smooth = torch.roll(picture, 1, 1) + 2 * picture + torch.roll(picture, -1, 1)
    slope = torch.hypot(slope_y, torch.roll(smooth, -1, 0) - torch.roll(smooth, 1, 0))
    return (slope > slope.mean() + slope.std()).to(picture.dtype)


class Recurrent(nn.Module):
    """Encoder, cells and decoder as one step: phi_n and states -> the decoder's field and the next states.

    Arguments
    ---------
    layers: recurrent cells on top of each other.
    size: cells per side of the fields.
    variational: the bottleneck between cells and decoder.
    attention: cells per side of the picture that attention sees; 0 leaves it out.
    """

    def __init__(
        self, cell: Literal["gru", "lstm"] = "gru", layers: int = 5, size: int = 64, *, variational: bool = False,
        attention: int = 0, dropout: float = DROPOUT, rectified: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        kind, self.parts = CELLS[cell]
        self.encoder = Encoder(dropout=dropout)
        self.cells = nn.ModuleList(kind(HIDDEN[-1]) for _ in range(layers))
        self.shape = (HIDDEN[-1], size // 8, size // 8)
        self.bottleneck = Bottleneck(HIDDEN[-1] * (size // 8) ** 2) if variational else None
        self.decoder = Decoder(dropout=dropout, rectified=rectified)
        self.attention = Attention(attention) if attention else None
        self.dropout = dropout

    def forward(self, phi: Tensor, states: list[State]) -> tuple[Tensor, list[State], Tensor]:
        """The decoder's field (1, x, y) of phi (1, x, y), the next states, and the bottleneck's divergence."""
        x = phi[:, None]
        if self.attention is not None:
            x = self.attention(x)
        x, following = self.encoder(x), []
        for cell, state in zip(self.cells, states, strict=True):
            following.append(cell(x, state))
            x = functional.dropout(following[-1][0], self.dropout)
        divergence = x.new_zeros(())
        if self.bottleneck is not None:
            x, divergence = self.bottleneck(x)
        return self.decoder(x)[:, 0], following, divergence

    def at_rest(self) -> list[State]:
        """The states before the first interval: zeros (released: random, other ones in every run)."""
        zeros = next(self.parameters()).new_zeros(1, *self.shape)
        return [(zeros,) * self.parts for _ in self.cells]
