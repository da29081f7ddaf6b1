"""Marching: one small problem per interval, each begun with the weights that solved the one before.

    phi_{n+1} = P(phi_n + s g(x; theta_n)),   theta_n = argmin J_n

(PINN-Phase, section 3.2 and appendix A: incremental training, with the variational loss in place of the residual.)
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phasemill.grains.network import SCALE, Coordinates, advance
from phasemill.grains.variation import Interval

CHECK = 10
"""Iterations between looks at the residual."""


class March(nn.Module):
    """A feed-forward network on its way through the intervals, with what it has found: frames and weights of each."""

    frames: Tensor
    weights: Tensor

    def __init__(self, network: Coordinates, intervals: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("frames", torch.zeros(intervals + 1, *network.shape))
        size = sum(parameter.numel() for parameter in network.parameters())
        self.register_buffer("weights", torch.zeros(intervals, size))

    def begin(self, phi: NDArray[np.float32]) -> None:
        """Start at the first frame."""
        self.frames[0] = torch.from_numpy(phi)

    def solve(
        self, number: int, interval: Interval, optimizer: torch.optim.Optimizer, *, most: int, learning_rate: float,
        tolerance: float, target: Tensor | None = None,
    ) -> dict[str, float]:  # fmt: skip
        """Train on one interval until its residual is `tolerance` times no motion's or `most` iterations are done.

        Arguments
        ---------
        optimizer: of the network's parameters; its moments go on from the interval before, as the weights do.
        learning_rate: over most of the iterations; over the last ones it falls to a tenth (`plateau`).
        target: the frame at the end, where it is shown; its square error is added to J.

        Returns J in units of s^2, the rms residual, the same of no motion, the iterations, and 1 where it was solved.
        """
        phi = self.frames[number : number + 1]
        source = interval.source(phi)
        still = rms(interval.residual(phi, source))
        residual, iteration, loss = math.inf, 0, torch.zeros(())
        for iteration in range(1, most + 1):
            optimizer.param_groups[0]["lr"] = learning_rate * plateau(iteration - 1, most)
            optimizer.zero_grad()
            found = advance(phi, self.network())
            loss = interval.energy(found, source).mean() / SCALE**2
            if target is not None:
                loss = loss + ((found - target) ** 2).mean() / SCALE**2
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            optimizer.step()
            if iteration % CHECK == 0 or iteration == most:
                with torch.no_grad():
                    residual = rms(interval.residual(advance(phi, self.network()), source))
                if residual <= tolerance * still:
                    break
        with torch.no_grad():
            self.frames[number + 1] = advance(phi, self.network())[0]
            self.weights[number] = nn.utils.parameters_to_vector(self.network.parameters())
        return {
            "loss": float(loss.detach()),
            "residual": residual,
            "still": still,
            "iterations": float(iteration),
            "solved": float(residual <= tolerance * still),
        }

    @torch.no_grad()
    def increment(self, number: int) -> Tensor:
        """g of an interval, from its stored weights: (1, x, y)."""
        nn.utils.vector_to_parameters(self.weights[number], self.network.parameters())
        found: Tensor = self.network()
        return found


def rms(field: Tensor) -> float:
    """Root mean square over everything."""
    return float(field.square().mean().sqrt())


def plateau(step: int, steps: int) -> float:
    """1, and over the last third of the steps linearly down to 0.1: annealing all the way would waste most of them."""
    return min(1.0, 0.1 + 2.7 * (1 - step / steps))


def cosine(step: int, steps: int, least: float = 0.01) -> float:
    """Half a cosine from 1 to `least`."""
    return least + (1 - least) * (1 + math.cos(math.pi * min(step, steps) / steps)) / 2
