"""Weights of loss terms from their gradients: L = L_0 + sum_j lambda_j L_j, with 0 the numerator (the equation).

    lambda_j <- beta lambda_j + (1 - beta) hat_j                    (with bias correction: from 0, over 1 - beta^n)

    dn:    hat_j = |g_0|_p / |g_j|_p                                (DN-PINN, dynamic norms; p = 1, 2 or inf)
    id:    hat_j = std(g_0) / std(g_j)                              (inverse Dirichlet, Maddu et al. 2022)
    ma:    hat_j = max|g_0| / (lambda_j mean|g_j|)                  (Wang et al. 2021 as in DN-PINN, eq. 15)
    ma14:  hat_j = max|g_0| / mean|g_j|                             (the same without lambda_j, eq. 14)

with g_j the gradient of L_j itself. `ma` comes to rest at the square root of max|g_0| / mean|g_j|, `ma14` at the ratio.
Two more weigh all terms, the numerator too, so that the weights sum to their number:

    softadapt:          lambda_j = M softmax(beta s_j / sum|s|), s_j = change of L_j since the last update
    modified, gradnorm: see `core.gradnorm`

A term without a gradient, or whose hat is not finite, keeps its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from phasemill.core.errors import InputError, unknown
from phasemill.core.gradnorm import Weighting

Scheme = Literal["fixed", "dn", "id", "ma", "ma14", "softadapt", "modified", "gradnorm"]
SCHEMES: tuple[str, ...] = get_args(Scheme)
AVERAGED = ("dn", "id", "ma", "ma14")


class Balance(nn.Module):
    """The weights of `count` terms; all of it is part of a checkpoint.

    Arguments
    ---------
    scheme: `fixed` leaves all weights as they begin.
    numerator: the term to which the others are balanced; its weight stays 1 with the averaged schemes.
    beta: share of the old weight in the new one; with `softadapt`, `modified` and `gradnorm` the sharpness or step.
    p: order of the norm of `dn`: 1, 2 or inf.
    correct: bias correction: averages begin at 0 and are divided by 1 - beta^n after n updates.
    weighted: the terms whose weights change, default all but the numerator (averaged schemes).
    start: weight with which the weighted terms begin.

    Attributes
    ----------
    weights: lambda, (count,).

    Raises InputError for an unknown scheme, a share outside of [0, 1), another p, or a term that is not there.
    """

    weights: Tensor
    averages: Tensor
    updates: Tensor
    averaged: Tensor
    losses: Tensor

    def __init__(
        self,
        count: int,
        scheme: Scheme,
        *,
        numerator: int = 0,
        beta: float = 0.99,
        p: float = 2,
        correct: bool = False,
        weighted: Sequence[int] | None = None,
        start: float = 1.0,
    ) -> None:
        super().__init__()
        if scheme not in SCHEMES:
            raise InputError(unknown(scheme, SCHEMES, "weighting"))
        if not (isinstance(beta, int | float) and 0 <= beta < 1):
            raise InputError(f"beta is {beta}: give a share of the old weight, 0 <= beta < 1")
        if p not in (1, 2, inf):
            raise InputError(f"p is {p!r}: norms are known for p = 1, 2 and inf")
        others = [j for j in range(count) if j != numerator]
        self.weighted = others if weighted is None else list(weighted)
        if not 0 <= numerator < count or not set(self.weighted) <= set(others):
            raise InputError(f"numerator {numerator}, weighted {self.weighted}: name terms below {count}, each once")
        self.scheme, self.numerator, self.beta, self.p, self.correct = scheme, numerator, beta, p, correct
        ones = torch.ones(count, dtype=torch.float64)
        ones[self.weighted] = start
        self.register_buffer("weights", ones)
        self.register_buffer("averages", torch.zeros_like(ones) if correct else ones.clone())
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("averaged", torch.zeros(count, dtype=torch.int64))  # terms of each average
        self.register_buffer("losses", torch.zeros_like(ones))
        self.all_terms = Weighting(count, scheme, beta=beta) if scheme in ("modified", "gradnorm") else None

    @torch.no_grad()
    def update(self, losses: Sequence[Tensor | float], gradients: Sequence[Tensor]) -> None:
        """One step of the weights.

        Arguments
        ---------
        losses: (count,) values, without their weights. gradients: one flat vector for each, of the loss itself; of the
            parameters that count (a protocol may leave out the biases).
        """
        values = torch.tensor([float(loss) for loss in losses], dtype=torch.float64)
        flat = [gradient.detach().flatten() for gradient in gradients]
        self.updates += 1
        if self.scheme in AVERAGED:
            self._average(flat)
        elif self.scheme == "softadapt" and self.updates > 1:
            change = values - self.losses
            scale = change.abs().sum()
            if scale > 0:
                self.weights = len(values) * torch.softmax(self.beta * change / scale, 0)
        elif self.all_terms is not None:
            lengths = torch.stack([torch.linalg.vector_norm(g).double().cpu() for g in flat])
            self.all_terms.move(values.float(), lengths.float())
            self.weights = self.all_terms.weights.double()
        self.losses = values

    def _average(self, gradients: list[Tensor]) -> None:
        lead = gradients[self.numerator]
        for j in self.weighted:
            hat = float(self._hat(lead, gradients[j]))
            if self.scheme == "ma":
                hat /= float(self.weights[j])
            if 0 < hat < inf:
                self.averaged[j] += 1
                self.averages[j] = self.beta * self.averages[j] + (1 - self.beta) * hat
                share = 1 - self.beta ** int(self.averaged[j]) if self.correct else 1.0
                self.weights[j] = self.averages[j] / share

    def _hat(self, lead: Tensor, g: Tensor) -> Tensor:
        if self.scheme == "dn":
            ratio: Tensor = torch.linalg.vector_norm(lead, self.p) / torch.linalg.vector_norm(g, self.p)
            return ratio
        if self.scheme == "id":
            return lead.std() / g.std()
        return lead.abs().max() / g.abs().mean()
