"""Poisson and Burgers as the recipes take them: terms at any points, with conditions in the loss or built in.

Poisson built in: u = sin(omega y) + 16 x (1 - x) y (1 - y) n
Burgers built in: u = -sin(pi x) + t (1 - x^2) n
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phasemill.core.errors import InputError
from phasemill.core.metrics import relative_l2
from phasemill.pinns.kernels import RESIDUAL, VALUE
from phasemill.pinns.network import Network
from phasemill.pinns.physics import Burgers, Equation, Poisson
from phasemill.pinns.terms import Points, Term, plain

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """An equation with its network; coordinates are (points, 2), in the order of the equation."""

    its: Equation
    network: Network
    base: Callable[[Floats], Floats]
    """A function with the wanted conditions: (4, points) streams"""
    factor: Callable[[Floats], Floats]
    """One that vanishes where conditions are: (4, points) streams"""
    frequency: float = 0.0
    """If not 0 the network also gets sine and cosine of frequency x and frequency y"""

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Independent uniform points of the domain."""
        return rng.uniform(self.its.low, self.its.high, (count, 2))

    def features(self, coordinates: ArrayLike, *, hard: bool) -> Points:
        """What the network gets; with `hard` the conditions are built in."""
        x = np.asarray(coordinates, dtype=np.float64)
        points = plain(x, self.its.low, self.its.high)
        if self.frequency:
            found = waves(x, self.frequency, self.its.e)
            points = replace(points, features=np.concatenate([points.features, found], 1))
        return replace(points, base=self.base(x), factor=self.factor(x)) if hard else points

    def equation(self, coordinates: Floats, *, hard: bool) -> Term:
        """Mean square of the residual."""
        points, source = self.features(coordinates, hard=hard), self.its.source(coordinates)
        return Term(self.network, RESIDUAL, points, source, c=self.its.c, e=self.its.e, dtype=np.float64)

    def conditions(self, rng: np.random.Generator, count: int) -> dict[str, tuple[Floats, Floats]]:
        """name -> (coordinates, values) of so many points at the start, and on each wall."""
        found = {}
        if self.its.coordinates[0] == "t":
            start = self.draw(rng, count)
            start[:, 0] = self.its.low[0]
            found["initial"] = start, self.its.initial(start[:, 1])
        walls = []
        for axis, place in self.its.sides:
            wall = self.draw(rng, count)
            wall[:, axis] = place
            walls.append(wall)
        at = np.concatenate(walls)
        found["boundary"] = at, self.its.boundary(at)
        return found

    def terms(self, coordinates: Floats, rng: np.random.Generator, count: int, *, hard: bool) -> dict[str, Term]:
        """The equation at `coordinates`, and unless `hard` each condition, at so many points per wall."""
        found = {"equation": self.equation(coordinates, hard=hard)}
        if not hard:
            for name, (where, wanted) in self.conditions(rng, count).items():
                found[name] = Term(self.network, VALUE, self.features(where, hard=False), wanted, dtype=np.float64)
        return found


def case(name: str, equation: Equation) -> Case:
    """poisson, poisson_fourier or burgers with the paper's network and the equation's own coefficients.

    `poisson_fourier` has the waves of the source among the inputs: tuned to the problem, so that it stands apart.

    Raises InputError for an equation of another kind.
    """
    if name == "burgers" and isinstance(equation, Burgers):
        return Case(equation, Network((2, *[20] * 8, 1)), _burgers_base, _burgers_factor)
    if name in ("poisson", "poisson_fourier") and isinstance(equation, Poisson):
        omega = equation.omega

        def base(x: Floats) -> Floats:
            s, zero = np.sin(omega * x[:, 1]), np.zeros(len(x))
            return np.stack([s, zero, omega * np.cos(omega * x[:, 1]), -(omega**2) * s])

        fourier = name == "poisson_fourier"
        network = Network((6 if fourier else 2, *[50] * 4, 1))
        return Case(equation, network, base, _poisson_factor, omega if fourier else 0.0)
    raise InputError(f"recipe of {name} for the equation {equation.name}: take one of its own")


def _poisson_factor(x: Floats) -> Floats:
    a, b = x.T
    p, q = a * (1 - a), b * (1 - b)
    return 16 * np.stack([p * q, (1 - 2 * a) * q, p * (1 - 2 * b), -2 * (p + q)])


def _burgers_base(x: Floats) -> Floats:
    s, zero = np.sin(pi * x[:, 1]), np.zeros(len(x))
    return np.stack([-s, zero, -pi * np.cos(pi * x[:, 1]), pi**2 * s])


def _burgers_factor(x: Floats) -> Floats:
    t, p = x[:, 0], 1 - x[:, 1] ** 2
    return np.stack([t * p, p, -2 * t * x[:, 1], -2 * t])


def waves(x: Floats, frequency: float, e: tuple[float, float]) -> Floats:
    """Streams (4, 4, points) of sin and cos of frequency x_0, then of frequency x_1."""
    found = np.zeros((4, 4, len(x)))
    for i in range(2):
        s, c = np.sin(frequency * x[:, i]), np.cos(frequency * x[:, i])
        found[0, 2 * i : 2 * i + 2] = s, c
        found[1 + i, 2 * i : 2 * i + 2] = frequency * c, -frequency * s
        found[3, 2 * i : 2 * i + 2] = -e[i] * frequency**2 * s, -e[i] * frequency**2 * c
    return found


def error(case: Case, theta: Floats, points: Points, exact: Floats) -> float:
    """Relative L2 error over the points of `Case.features`."""
    return relative_l2(exact, Term(case.network, VALUE, points, exact, dtype=np.float64).field(theta, 1)[0])
