"""Coefficients of an equation from sparse noisy values of its solution.

    min over theta, s:  mean r(theta, c(s))^2 + lambda_data mean (u(theta, x_i) - d_i)^2,   |coefficient| = exp(s)

The equation is the term that the data are balanced with: lambda_data follows dynamic norms during Adam and rests in
the quasi-Newton phase afterwards. No initial or boundary values are given. How sure a coefficient is follows from how
the minimum moves with the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from phasemill.core import loop
from phasemill.core.balancing import Balance
from phasemill.core.bfgs import minimise_bfgs
from phasemill.core.run import Row
from phasemill.core.seeds import children
from phasemill.pinns.config.inverse import Inverse, Unknown
from phasemill.pinns.kernels import RESIDUAL, VALUE
from phasemill.pinns.network import Network, adam
from phasemill.pinns.physics import Equation
from phasemill.pinns.terms import Term, plain

Floats = NDArray[np.float64]

PLACES = {"burgers": {"viscosity": 2}, "allen_cahn": {"diffusion": 2, "reaction": 3}}
"""Where a coefficient stands in c, with a minus."""

CUT = 1e-10
"""See `uncertainty`. Smaller ones make intervals wider, larger ones far too narrow; with this one they hold the truth
about as often as they should (`test_intervals_are_as_wide_as_the_scatter_over_noise`)."""


@dataclass(frozen=True)
class Samples:
    """Values of a solution at scattered points."""

    points: Floats
    """(n, 2)"""
    values: Floats
    """(n,), with noise"""
    noise: float
    """Its standard deviation"""


class Unknowns(nn.Module):
    """theta and the logarithms of the coefficients, with the terms of the loss in float64."""

    def __init__(self, equation: Equation, samples: Samples, settings: Unknown, seed: np.random.SeedSequence) -> None:
        super().__init__()
        drawn, begun = children(seed, 2)
        self.noise, self.at, self.names = samples.noise, samples.points, list(settings.guess)
        self.places = [PLACES[equation.name][name] for name in self.names]
        self.network = Network((2, *[settings.width] * (settings.depth - 1), 1))
        low, high, rng = equation.low, equation.high, np.random.default_rng(drawn)
        inside = rng.uniform(low, high, (settings.points, 2))
        self.fixed = np.array(equation.c)
        self.pde = Term(self.network, RESIDUAL, plain(inside, low, high), c=self.fixed, e=equation.e, dtype=np.float64)
        points = plain(samples.points, low, high)
        self.data = Term(self.network, VALUE, points, samples.values, dtype=np.float64)
        start = np.append(self.network.initial(np.random.default_rng(begun)), np.log(list(settings.guess.values())))
        self.x = nn.Parameter(torch.from_numpy(start))
        self.balance = Balance(2, "dn", correct=True)

    def split(self, x: Floats) -> tuple[Floats, Floats]:
        """theta, and c with the coefficients as they are in x."""
        theta, logs = np.split(x, [self.network.count])
        c = self.fixed.copy()
        c[self.places] = -np.exp(logs)
        return theta, c

    def parts(self, x: Floats) -> list[tuple[float, Floats]]:
        """Value and gradient in x of the equation's and the data's term."""
        theta, c = self.split(x)
        loss, slope, slopes = self.pde.loss_and_gradient(theta, c)
        value, fit, _ = self.data.loss_and_gradient(theta)
        by_logs = slopes[self.places] * c[self.places]
        return [(loss, np.append(slope, by_logs)), (value, np.append(fit, np.zeros(len(self.places))))]

    def total(self, x: Floats) -> tuple[float, Floats]:
        """The weighted loss and its gradient, the weight as it is."""
        (loss, slope), (value, fit) = self.parts(x)
        weight = float(self.balance.weights[1])
        return loss + weight * value, slope + weight * fit

    def coefficients(self, x: Floats) -> dict[str, float]:
        """The coefficients by name."""
        return dict(zip(self.names, np.exp(x[self.network.count :]).tolist(), strict=True))


def sample(equation: Equation, solution: Any, count: int, noise: float, rng: np.random.Generator) -> Samples:
    """`count` values of solution(points) with normal noise, whose deviation is `noise` times the solution's."""
    points = rng.uniform(equation.low, equation.high, (count, 2))
    clean = solution(points)
    deviation = noise * float(clean.std())
    return Samples(points, clean + deviation * rng.normal(size=count), deviation)


def find(
    unknowns: Unknowns, settings: Inverse, checkpoints: Path, key: str, label: str, every: int = 100
) -> tuple[Floats, list[Row]]:
    """x after Adam and the quasi-Newton method, and the rows of both: step, seconds, loss, and the coefficients."""
    unknowns.balance.beta = settings.beta

    def step(_: int) -> dict[str, float]:
        parts = unknowns.parts(unknowns.x.detach().numpy())
        gradients = [torch.from_numpy(gradient) for _, gradient in parts]
        unknowns.balance.update([value for value, _ in parts], gradients)
        weights = unknowns.balance.weights
        unknowns.x.grad = weights[0] * gradients[0] + weights[1] * gradients[1]
        optimizer.step()
        return {"loss": sum(float(weight) * value for weight, (value, _) in zip(weights, parts, strict=True))}

    optimizer = adam(unknowns.x, settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.adam, 0.1 * settings.learning_rate)
    first = loop.train(
        loop.Training({"unknowns": unknowns}, optimizer, schedule), step, steps=settings.adam, every=every, seed=0,
        checkpoints=checkpoints / "adam", key=key, history=checkpoints / "adam.csv", label=f"{label}, Adam",
        validate=lambda: unknowns.coefficients(unknowns.x.detach().numpy()),
    )  # fmt: skip
    start = unknowns.x.detach().numpy().copy()
    found = minimise_bfgs(
        unknowns.total, start, iterations=settings.iterations, every=every, checkpoints=checkpoints / "newton",
        key=key, history=checkpoints / "newton.csv", segment=settings.iterations, gtol=0.0, label=label,
        validate=unknowns.coefficients,
    )  # fmt: skip
    rows = [*first.rows, *({**row, "step": row["step"] + settings.adam} for row in found.rows)]
    kept = ("step", "seconds", "loss", *unknowns.names)
    return found.x, [{name: row[name] for name in kept} for row in rows]


def uncertainty(unknowns: Unknowns, x: Floats, weight: float) -> Floats:
    """Standard deviations of the logarithms of the coefficients that the noise of the data causes.

    With J_r and J_u the slopes of all residuals and of all values of u at the data, and A half the Gauss-Newton Hessian
    of the loss, a change of the data by noise moves x by A^-1 (weight / n) J_u^T noise, so that

        cov = noise^2 M M^T,   M = A^-1 (weight / n) J_u^T

    Directions whose eigenvalue of A is below `CUT` times the largest do not move: the loss does not know of them.
    """
    by_pde, by_data = slopes(unknowns, unknowns.pde, x), slopes(unknowns, unknowns.data, x)
    hessian = by_pde.T @ by_pde / len(by_pde) + weight * by_data.T @ by_data / len(by_data)
    values, vectors = np.linalg.eigh(hessian)
    kept = values > CUT * values[-1]
    last = vectors[-len(unknowns.names) :, kept] / values[kept] @ vectors[:, kept].T
    moved = weight / len(by_data) * (last @ by_data.T)
    found: Floats = unknowns.noise * np.sqrt((moved**2).sum(axis=1))
    return found


def slopes(unknowns: Unknowns, term: Term, x: Floats) -> Floats:
    """d r_p / d x at each point of a term, (points, unknowns): the gradient of r^2 with a target that makes r 1/2."""
    theta, c = unknowns.split(x)
    residuals, count = term.residuals(theta, c), unknowns.network.count
    found = np.zeros((len(residuals), x.size))
    for p, residual in enumerate(residuals):
        alone = term.moved(term.points.take(slice(p, p + 1)), term.target[p : p + 1] + residual - 0.5)
        _, found[p, :count], by_c = alone.loss_and_gradient(theta, c)
        if term.kind == RESIDUAL:
            found[p, count:] = by_c[unknowns.places] * c[unknowns.places]
    return found
