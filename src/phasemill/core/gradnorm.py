"""Balancing several losses by the norms of their gradients: L = sum_m w_m L_m with sum w = M.

    g_m = |grad(w_m L_m)|,   r_m = L_m / L_m(0),   t_m = mean(g) (r_m / mean r)^alpha

    modified:  w_m <- (1 - beta) w_m + beta t_m / g_m               (PINN-Phase, Algorithm 2)
    gradnorm:  w <- w - beta d/dw sum_m |g_m - t_m| / mean(g)       (Chen et al. 2018), t_m and mean(g) constant

and then w <- M w / sum w. A loss that falls slowly gets the larger gradient. A loss without a gradient keeps its weight
and is in none of the sums. Weights go on from their last values. The division by mean(g) makes beta independent of the
units of the losses. A GradNorm step changes no weight by more than its share beta: the loss with the largest gradient
would jump from one side of its target to the other.

GradNorm comes to rest at g = t. The modified rule does not: there w_m = t_m / g_m, so that w_m^2, not w_m, goes as the
inverse of the loss's own gradient, and it balances half as strongly on a logarithmic scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from phasemill.core.errors import InputError

Mode = Literal["fixed", "modified", "gradnorm"]

LEAST = 1e-3
"""Below this no weight falls: a loss that is switched off would never come back."""


class Weighting(nn.Module):
    """The weights of `count` losses, with the losses of the first update; all of it is part of a checkpoint.

    Arguments
    ---------
    mode: `fixed` leaves all weights at 1.
    alpha: how much more a slow loss may pull; 0 makes all gradients equal.
    beta: step of the weights per update.
    second_backward: only for `gradnorm`: get its gradient as implementations do that keep the graph, by a backward
        pass through the gradients. The result is the same, as d g_m / d w_m = |grad L_m| is known; the cost is not.
    """

    weights: Tensor
    first: Tensor
    begun: Tensor

    def __init__(
        self, count: int, mode: Mode, *, alpha: float = 0.5, beta: float = 0.01, second_backward: bool = False
    ) -> None:
        super().__init__()
        self.mode, self.alpha, self.beta, self.second_backward = mode, alpha, beta, second_backward
        self.register_buffer("weights", torch.ones(count))
        self.register_buffer("first", torch.ones(count))
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    def total(self, losses: Sequence[Tensor]) -> Tensor:
        """sum_m w_m L_m, the weights without a gradient."""
        return (self.weights * torch.stack(list(losses))).sum()

    def update(self, losses: Sequence[Tensor], parameters: Sequence[Tensor]) -> None:
        """One step of the weights; the losses' graph stays for the backward pass that follows.

        Arguments
        ---------
        losses: scalars >= 0 in the order of the weights.
        parameters: those with respect to which the norms are taken, such as one shared layer's.

        Raises InputError for a negative loss, whose ratio to its first value means nothing.
        """
        if self.mode == "fixed":
            return
        twice = self.mode == "gradnorm" and self.second_backward
        norms = gradient_norms(losses, parameters, create_graph=twice)
        self.move(torch.stack([loss.detach() for loss in losses]), norms, parameters if twice else ())

    def move(self, values: Tensor, norms: Tensor, parameters: Sequence[Tensor] = ()) -> None:
        """The step itself, from the losses and the norms |grad L_m| of their gradients; both (count,).

        With `parameters` the gradient of GradNorm comes from a second backward pass through the graph of the norms.
        """
        if (values < 0).any():
            raise InputError(
                f"losses {values.tolist()}: negative ones cannot be weighed by their decline; fix the weights"
            )
        if not self.begun:
            self.first.copy_(values)
            self.begun.fill_(True)
        ratio = values / self.first.clamp_min(torch.finfo(values.dtype).tiny)
        with torch.no_grad():
            g = self.weights * norms
            pulls = g > 0
            mean = g[pulls].mean()
            target = torch.where(pulls, mean * (ratio / ratio[pulls].mean()) ** self.alpha, 0.0)
        if not pulls.any():
            return
        if self.mode == "modified":
            moved = (1 - self.beta) * self.weights + self.beta * target / g
        else:
            slope = _slope(self.weights, norms, target, parameters) if parameters else torch.sign(g - target) * norms
            most = self.beta * self.weights
            moved = self.weights - torch.clamp(self.beta * slope / mean, -most, most)
        left = len(self.weights) - self.weights[~pulls].sum()
        scaled = moved[pulls] * left / moved[pulls].sum()
        low = scaled <= LEAST
        scaled = torch.where(low, LEAST, scaled * (left - LEAST * low.sum()) / scaled[~low].sum())
        self.weights[pulls] = scaled


def gradient_norms(losses: Sequence[Tensor], parameters: Sequence[Tensor], *, create_graph: bool = False) -> Tensor:
    """|grad L_m| over all `parameters` together; 0 for a loss that does not depend on them."""
    norms = []
    for loss in losses:
        if not loss.requires_grad:
            norms.append(torch.zeros_like(loss))
            continue
        parts = torch.autograd.grad(
            loss, list(parameters), retain_graph=True, create_graph=create_graph, allow_unused=True
        )
        squares = [part.square().sum() for part in parts if part is not None]
        norms.append(torch.stack(squares).sum().sqrt() if squares else torch.zeros_like(loss))
    return torch.stack(norms)


def _slope(weights: Tensor, norms: Tensor, target: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """d/dw sum |w norms - target| by the second backward pass, which also goes down to the parameters."""
    free = weights.clone().requires_grad_(True)
    loss = (free * norms - target).abs().sum()
    found: Tensor = torch.autograd.grad(loss, [free, *parameters], retain_graph=True, allow_unused=True)[0]
    return found
