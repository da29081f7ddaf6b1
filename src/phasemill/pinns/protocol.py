"""The loss terms of the three problems as the paper's protocol has them: points drawn once, uniformly, for a run.

    burgers, poisson:  L = L_pde + lambda_ic L_ic + lambda_bc L_bc        (Poisson without L_ic)
    allen_cahn:        L = L_pde + lambda_ic L_ic + L_bc,  L_bc = mean (u - u')^2 + mean (u_x - u_x')^2 over pairs

Which terms are weighted, and whether biases count in the gradients' norms, differs between the problems (spec of the
published code); both stand here. Source: DN-PINN, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.core.metrics import relative_l2
from phasemill.pinns.config.runs import Runs
from phasemill.pinns.dataset import load
from phasemill.pinns.kernels import PAIRS, RESIDUAL, VALUE
from phasemill.pinns.network import Network
from phasemill.pinns.physics import Equation
from phasemill.pinns.terms import Term, plain

UNWEIGHTED: dict[str, tuple[str, ...]] = {"burgers": (), "poisson": (), "allen_cahn": ("bc",)}
BIASES_COUNT = {"burgers": True, "poisson": False, "allen_cahn": True}

Scored = Callable[[NDArray[Any]], float]


class Protocol:
    """An equation with the network, the points and the terms of its trainings."""

    def __init__(self, equation: Equation, settings: Runs) -> None:
        if (equation.coordinates[0] == "t") != bool(settings.initial):
            raise InputError(
                f"{equation.name}: initial is {settings.initial}; give points of the initial condition where the "
                "equation has a time, and 0 where it has none"
            )
        self.name, self.equation, self.settings = equation.name, equation, settings
        self.network = Network((2, *[settings.width] * (settings.depth - 1), 1))
        self.unweighted = UNWEIGHTED[equation.name]

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """The parameters whose gradients make the norms."""
        return np.ones(self.network.count, bool) if BIASES_COUNT[self.name] else self.network.is_weight

    def terms(self, rng: np.random.Generator, dtype: Any = np.float32) -> dict[str, Term]:
        """The equation first, at points of its own each; all means."""
        its, settings = self.equation, self.settings
        inside = rng.uniform(its.low, its.high, (settings.points, 2))
        points = plain(inside, its.low, its.high)
        found = {"pde": Term(self.network, RESIDUAL, points, its.source(inside), c=its.c, e=its.e, dtype=dtype)}
        if settings.initial:
            start = np.full((settings.initial, 2), its.low[0])
            start[:, 1] = rng.uniform(its.low[1], its.high[1], settings.initial)
            found["ic"] = self.values(start, its.initial(start[:, 1]), dtype)
        if its.periodic:
            pairs = np.empty((2 * settings.boundary, 2))
            pairs[:, 0] = np.repeat(rng.uniform(its.low[0], its.high[0], settings.boundary), 2)
            pairs[::2, 1], pairs[1::2, 1] = its.low[1], its.high[1]
            found["bc"] = Term(self.network, PAIRS, plain(pairs, its.low, its.high), e=its.e, dtype=dtype)
        else:
            edges = []
            for axis, place in its.sides:
                edge = rng.uniform(its.low, its.high, (settings.boundary, 2))
                edge[:, axis] = place
                edges.append(edge)
            at = np.concatenate(edges)
            found["bc"] = self.values(at, its.boundary(at), dtype)
        return found

    def values(self, at: NDArray[np.float64], wanted: Any = 0.0, dtype: Any = np.float32) -> Term:
        """The mean square of u - wanted at points (n, 2)."""
        return Term(self.network, VALUE, plain(at, self.equation.low, self.equation.high), wanted, dtype=dtype)

    def scored(self, data: xr.Dataset) -> Scored:
        """theta -> relative L2 error on the reference's whole grid, |u - u*| / |u*|."""
        found = load(data, self.equation)
        field, wanted = self.values(found.points), found.u.ravel()
        return lambda theta: relative_l2(wanted, field.field(theta, 1)[0])
