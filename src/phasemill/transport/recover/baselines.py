"""Other ways to find kappa of one video, to compare with: two searches and an inverse PINN.

Grid search and differential evolution minimise the same SAFE loss as `recover_direct`. The inverse PINN replaces the
frozen operator by a network for the field and the continuous equation. A network without any equation: `next_frame`.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize
from torch import Tensor, nn
from torch.nn import functional as F

from phasemill.transport.spectra import FrameSpectra, SafeScheme

Frames = NDArray[Any]
CELLS, LATTICE = 64, 32
"""Cells that each Adam step of the PINN sees at all times, and cells per side of its sub-lattice for L-BFGS."""


@dataclass(frozen=True)
class Found:
    """kappa of one video and what it cost."""

    kappa: float
    evaluations: int
    """Evaluations of the loss; of a network, steps of its optimiser."""
    seconds: float
    """From the frames in memory to the answer."""


def grid_search(frames: Frames, scheme: SafeScheme, *, points: int, bounds: tuple[float, float] = (0.01, 2.0)) -> Found:
    """argmin of L_SAFE over `points` equidistant kappa.

    Exact up to half the spacing of the grid, (upper - lower) / (2 (points - 1)), if the loss has one minimum.

    Arguments:
        frames: (time, x, y) of one simulation.
        scheme: interval, sub-steps and direction.
        points: of the grid, both bounds included.
        bounds: the interval searched.
    """
    begun = time.perf_counter()
    grid = np.linspace(*bounds, points)
    kappa = grid[np.argmin(FrameSpectra.from_frames(frames, scheme).loss(grid))]
    return Found(float(kappa), points, time.perf_counter() - begun)


def differential_evolution(
    frames: Frames, scheme: SafeScheme, *, bounds: tuple[float, float] = (0.01, 2.0), seed: int = 0
) -> Found:
    """argmin of L_SAFE by scipy's differential evolution with its defaults: 15 members, polished by L-BFGS-B.

    Arguments: those of `grid_search`, and the seed of the population.
    Source: Storn and Price 1997, doi 10.1023/A:1008202821328.
    """
    begun = time.perf_counter()
    spectra = FrameSpectra.from_frames(frames, scheme)
    lower, upper = bounds

    def loss(kappa: NDArray[np.float64]) -> float:
        return float(spectra.loss(kappa[0]))

    result = optimize.differential_evolution(loss, optimize.Bounds([lower], [upper]), seed=seed)
    return Found(float(result.x[0]), int(result.nfev), time.perf_counter() - begun)


class PeriodicField(nn.Module):
    """u(x, y, t) = sum_m a_m(t) sin(k_m . r) + b_m(t) cos(k_m . r): waves of the box, amplitudes by a network of t.

    In our trials a network of all three coordinates let the residual drive kappa towards 0 long before the field was
    learned: the Laplacian of a field that is not fitted yet is noise, and a small kappa is the best answer to noise.

    Arguments:
        size: sides of the periodic box.
        duration: time of the last frame.
        waves: largest number of wave lengths along a side.
        width: neurons of each of the two hidden layers.
    """

    k: Tensor

    def __init__(self, size: tuple[float, float], duration: float, waves: int = 6, width: int = 64) -> None:
        super().__init__()
        x, y = np.meshgrid(np.arange(-waves, waves + 1), np.arange(-waves, waves + 1), indexing="ij")
        half = (x**2 + y**2 <= waves**2) & ((x > 0) | ((x == 0) & (y > 0)))  # one of each pair k, -k; not the mean
        k = 2 * np.pi * np.stack([x[half] / size[0], y[half] / size[1]])
        self.register_buffer("k", torch.tensor(k, dtype=torch.float32))
        self.duration = duration
        self.first, self.second = nn.Linear(1, width), nn.Linear(width, width)
        self.amplitudes = nn.Linear(width, 2 * k.shape[1])

    def forward(self, cells: Tensor, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """u, u_t and u_xx + u_yy, each (time, cell), at all `times` of all `cells` (cell, [x, y]).

        The derivatives are exact: u_t by the chain rule through the layers, the Laplacian of a wave is -|k|^2 times it.
        """
        value = 2 * times[:, None] / self.duration - 1
        slope = torch.full_like(value, 2 / self.duration)
        for layer in (self.first, self.second):
            value = torch.tanh(layer(value))
            slope = (1 - value**2) * F.linear(slope, layer.weight)
        # the factor keeps the first steps of Adam, equal for all waves, small beside a field of unit spread
        amplitudes, rates = 0.1 * self.amplitudes(value), 0.1 * F.linear(slope, self.amplitudes.weight)
        phase = cells @ self.k
        waves = torch.cat([phase.sin(), phase.cos()], dim=1).T
        return amplitudes @ waves, rates @ waves, (-self.k.square().sum(0).repeat(2) * amplitudes) @ waves


def inverse_pinn(
    frames: Frames,
    scheme: SafeScheme,
    *,
    adam: int,
    lbfgs: int,
    learning_rate: float = 1e-2,
    learning_rate_kappa: float = 2e-2,
    residual_weight: float = 0.3,
    start: float = 0.3,
    seed: int = 0,
) -> Found:
    """min over u and log kappa of mean (u - frames)^2 + w mean (u_t - direction kappa (u_xx + u_yy))^2.

    Adam on random cells, then L-BFGS on all of a sub-lattice of at most 32x32 cells; frames are standardised. The
    Laplacian is the continuous one of a field of long waves, where frames come from a stencil and start sharp: the
    answer has an error of its own besides that of a finite number of steps.

    Arguments:
        frames: (time, x, y) of one simulation, periodic.
        scheme: interval, dx and direction; the sub-steps do not matter.
        adam: steps of Adam; its learning rates fall linearly to 0.
        lbfgs: iterations of L-BFGS.
        learning_rate, learning_rate_kappa: of the field and of log kappa.
        residual_weight: w.
        start: the first kappa.
        seed: of the weights and of the cells that Adam draws.

    Source: Raissi et al. 2019, doi 10.1016/j.jcp.2018.10.045; amplitudes and waves apart, as in Cho et al. 2023,
    arXiv 2306.15969 (separable PINN).
    """
    begun = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    size = (frames.shape[1] * scheme.dx, frames.shape[2] * scheme.dx)
    stride = max(1, max(frames.shape[1:]) // LATTICE)
    values = torch.from_numpy(np.array(frames[:, ::stride, ::stride], dtype=np.float32))
    values = (values - values.mean()) / values.std()
    axes = [stride * scheme.dx * torch.arange(count) for count in values.shape[1:]]
    cells = torch.cartesian_prod(*axes)
    times = scheme.interval * torch.arange(len(values), dtype=torch.float32)
    values = values.flatten(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        field = PeriodicField(size, float(times[-1]))
    log_kappa = nn.Parameter(torch.tensor(math.log(start)))
    evaluations = 0

    def descend(optimizer: torch.optim.Optimizer, chosen: Tensor | slice) -> None:
        def closure() -> Tensor:
            nonlocal evaluations
            evaluations += 1
            u, rate, laplacian = field(cells[chosen], times)
            residual = rate - scheme.direction * log_kappa.exp() * laplacian
            loss: Tensor = F.mse_loss(u, values[:, chosen]) + residual_weight * residual.square().mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            return loss

        optimizer.step(closure)  # type: ignore[arg-type]  # both optimisers convert it to a float themselves

    groups: list[dict[str, Any]] = [
        {"params": [log_kappa], "lr": learning_rate_kappa},
        {"params": list(field.parameters())},
    ]
    optimizer = torch.optim.Adam(groups, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / adam)
    for _ in range(adam):
        descend(optimizer, torch.randint(len(cells), (CELLS,), generator=generator))
        schedule.step()
    quasi_newton = torch.optim.LBFGS(
        [log_kappa, *field.parameters()], max_iter=lbfgs, history_size=50, line_search_fn="strong_wolfe"
    )
    descend(quasi_newton, slice(None))
    return Found(float(log_kappa.detach().exp()), evaluations, time.perf_counter() - begun)
