"""The recipe of Poisson and Burgers: a short Adam phase with dynamic norms, then quasi-Newton in double precision.

    L = L_equation + sum_j lambda_j L_j,   lambda_j from `core.balancing` during Adam and fixed afterwards

The dynamic weights say how strong the conditions must be, which is what the paper shows; with the weights at rest the
loss is one function, and a second-order method takes it down by orders of magnitude where Adam oscillates. With the
conditions built in (`hard`) there is nothing to weigh. New points after each segment keep the net from learning the
points by heart, so that few will do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from phasemill.core import loop
from phasemill.core.balancing import Balance
from phasemill.core.bfgs import minimise_bfgs
from phasemill.core.errors import InputError
from phasemill.core.lbfgs import minimise_lbfgs
from phasemill.core.provenance import config_hash
from phasemill.core.run import Row
from phasemill.core.seeds import branch, number_of
from phasemill.pinns.config.recipes import Optimiser
from phasemill.pinns.network import adam
from phasemill.pinns.physics import Equation
from phasemill.pinns.recipes.cases import Floats, case, error
from phasemill.pinns.recipes.clock import Clock
from phasemill.pinns.terms import Term

COLUMNS = ("step", "seconds", "cpu", "loss", "error")


@dataclass(frozen=True)
class Recipe:
    """Everything the outcome depends on."""

    case: Literal["poisson", "poisson_fourier", "burgers"]
    seed: int = 0
    hard: bool = False
    """Conditions built into u; without, they are terms with weights."""
    points: int = 2500
    """Of the equation."""
    conditions: int = 100
    """Points per end or edge."""
    adam: int = 1000
    """Steps of Adam."""
    rate: float = 1e-3
    """Adam's first learning rate; it falls to a tenth along a cosine."""
    beta: float = 0.9
    """Share of the old weight in the running mean of the dynamic norms."""
    least: float = 1.0
    """No weight of a condition is smaller: near u = 0 the residual of Burgers has no gradient, and DN would let go."""
    most: float = 1e9
    """None is larger."""
    optimiser: Optimiser = "ss_broyden"
    iterations: int = 2000
    segment: int = 500
    """Iterations between new points; those of L-BFGS between restarts."""
    resample: Literal["never", "uniform", "residual"] = "uniform"
    """`residual`: with a density (r / mean r + 1) / 2 of the residual r = |r_p| at the time."""


class Weighted(nn.Module):
    """The loss of a recipe: theta, its terms, and their weights."""

    def __init__(self, recipe: Recipe, equation: Equation) -> None:
        super().__init__()
        self.recipe, self.case = recipe, case(recipe.case, equation)
        begun, self.drawn = branch(recipe.seed, f"{recipe.case}_recipe", 2)
        start = self.case.network.initial(np.random.default_rng(begun))
        self.theta = nn.Parameter(torch.from_numpy(start))
        self.terms: dict[str, Term] = {}
        self.renew(-1, start)
        self.balance = Balance(len(self.terms), "dn", beta=recipe.beta, correct=True)

    def renew(self, number: int, theta: Floats) -> None:
        """The points of segment `number`; -1 is Adam's."""
        recipe, its = self.recipe, self.case
        if number >= 0 and recipe.resample == "never":
            number = -1
        rng = loop.rng(number_of(self.drawn), number + 1)
        x = its.draw(rng, recipe.points)
        if number >= 0 and recipe.resample == "residual":
            pool = its.draw(rng, 4 * recipe.points)
            size = np.abs(its.equation(pool, hard=recipe.hard).residuals(theta))
            density = size / size.sum() + 1 / len(size)
            x = pool[rng.choice(len(pool), recipe.points, replace=False, p=density / density.sum())]
        self.terms = its.terms(x, rng, recipe.conditions, hard=recipe.hard)

    @property
    def weights(self) -> torch.Tensor:
        """Of the terms: 1 for the equation, within the recipe's bounds for the conditions."""
        found = self.balance.weights.clamp(self.recipe.least, self.recipe.most)
        found[0] = 1
        return found

    def parts(self, theta: Floats) -> list[tuple[float, Floats]]:
        """Value and gradient of each term."""
        return [term.loss_and_gradient(theta)[:2] for term in self.terms.values()]

    def total(self, theta: Floats) -> tuple[float, Floats]:
        """L and its gradient, with the weights as they are."""
        loss, slope = 0.0, np.zeros(theta.size)
        for weight, (value, gradient) in zip(self.weights.tolist(), self.parts(theta), strict=True):
            loss += weight * value
            slope += weight * gradient
        return loss, slope


def train(
    recipe: Recipe,
    equation: Equation,
    grid: Floats,
    exact: Floats,
    *,
    checkpoints: Path,
    history: Path,
    every: int = 100,
) -> tuple[Floats, list[Row]]:
    """theta of the recipe and the rows of its history: step, seconds, loss, cpu (seconds) and error.

    Arguments
    ---------
    equation: with its coefficients.
    grid, exact: where the solution is known, (points, 2), and its values; they only score.
    checkpoints, history: as in `core.loop.train`; a stopped recipe goes on where it was.
    every: steps between two rows.

    Raises InputError for new points with L-BFGS, which knows no segments of other functions.
    """
    if recipe.optimiser == "l_bfgs" and recipe.resample != "never":
        raise InputError(f"resample is {recipe.resample!r}: with l_bfgs the points stay as they are; write 'never'")
    run = Weighted(recipe, equation)
    scored = run.case.features(grid, hard=recipe.hard)
    key = config_hash({**asdict(recipe), "equation": asdict(equation)})
    clock = Clock(key, (checkpoints / "adam", checkpoints / "adam.csv"), (checkpoints / "newton", history))

    def look(theta: Floats) -> dict[str, float]:
        cpu = clock()
        with clock.held():
            return {"error": error(run.case, theta, scored, exact), "cpu": cpu}

    def step(_: int) -> dict[str, float]:
        parts = run.parts(run.theta.detach().numpy())
        values, gradients = [value for value, _ in parts], [torch.from_numpy(gradient) for _, gradient in parts]
        run.balance.update(values, gradients)
        run.theta.grad = (run.weights[:, None] * torch.stack(gradients)).sum(0)
        optimizer.step()
        return {"loss": float(run.weights @ torch.tensor(values, dtype=torch.float64))}

    optimizer = adam(run.theta, recipe.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(recipe.adam, 1), 0.1 * recipe.rate)
    first = loop.train(
        loop.Training({"run": run}, optimizer, schedule), step, steps=recipe.adam, every=every, seed=0,
        checkpoints=checkpoints / "adam", key=key, history=checkpoints / "adam.csv", label=f"{recipe.case}, Adam",
        validate=lambda: look(run.theta.detach().numpy()),
    )  # fmt: skip
    start = run.theta.detach().numpy().copy()
    if not recipe.iterations:
        return start, [{name: row[name] for name in COLUMNS} for row in first.rows]
    options: dict[str, Any] = {
        "iterations": recipe.iterations, "every": every, "checkpoints": checkpoints / "newton", "key": key,
        "history": history, "validate": look, "segment": recipe.segment, "gtol": 0.0, "label": recipe.case,
    }  # fmt: skip
    if recipe.optimiser == "l_bfgs":
        found = minimise_lbfgs(run.total, start, **options)
    else:
        found = minimise_bfgs(run.total, start, update=recipe.optimiser, renew=run.renew, **options)
    rows = [*first.rows, *({**row, "step": row["step"] + recipe.adam} for row in found.rows)]
    return found.x, [{name: row[name] for name in COLUMNS} for row in rows]
