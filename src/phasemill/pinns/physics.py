"""The three equations of the benchmark: coefficients, domains, initial and boundary values, as readable numpy.

All have one residual, in the streams of `kernels` (value u, first derivatives u_0 and u_1, second derivative q):

    r = c0 u_0 + c1 u u_1 + c2 q + c3 (u - u^3) - f,     q = e0 u_00 + e1 u_11

The coordinates are (t, x), or (x, y) of the stationary one. Source: DN-PINN, section 4.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phasemill.core.errors import InputError, unknown

Floats = NDArray[np.float64]
Pair = tuple[float, float]
Bounds = Literal["paper", "code"]
"""Whose domain: the one that the paper states, or where the grid of its code's reference ends."""

XX, LAPLACIAN = (0.0, 1.0), (1.0, 1.0)
"""e of q = u_11 and of the Laplacian."""


@dataclass(frozen=True, kw_only=True)
class Equation(ABC):
    """r = c0 u_0 + c1 u u_1 + c2 q + c3 (u - u^3) - f = 0 on a rectangle of two coordinates."""

    bounds: Bounds = "paper"

    name: ClassVar[str]
    title: ClassVar[str]
    formula: ClassVar[str]
    coordinates: ClassVar[tuple[str, str]]
    e: ClassVar[Pair]
    walls: ClassVar[tuple[int, ...]]
    """The axes with a condition at both ends."""
    periodic: ClassVar[bool] = False
    """Whether u and u_1 are equal at the two ends of axis 1; else u is given there, by `boundary`."""

    def __post_init__(self) -> None:
        if self.bounds not in ("paper", "code"):
            raise InputError(unknown(str(self.bounds), ("paper", "code"), "bounds"))

    @property
    @abstractmethod
    def c(self) -> tuple[float, float, float, float]:
        """Coefficients of the residual."""

    @property
    @abstractmethod
    def low(self) -> Pair:
        """Where the domain begins."""

    @property
    @abstractmethod
    def high(self) -> Pair:
        """Where it ends."""

    def source(self, points: ArrayLike) -> Floats:
        """f at points (n, 2): (n,)."""
        return np.zeros(len(np.asarray(points)))

    def boundary(self, points: ArrayLike) -> Floats:
        """u at points (n, 2) on the walls: (n,)."""
        return np.zeros(len(np.asarray(points)))

    @staticmethod
    def initial(x: ArrayLike) -> Floats:
        """u(0, x). Where an equation has no time it is zero, and not asked for."""
        return np.zeros(np.shape(x))

    def residual(self, u: Any, u_0: Any, u_1: Any, q: Any, points: ArrayLike) -> Any:
        """r of a field with these derivatives at points (n, 2)."""
        c = self.c
        return c[0] * u_0 + c[1] * u * u_1 + c[2] * q + c[3] * (u - u**3) - self.source(points)

    @property
    def sides(self) -> list[tuple[int, float]]:
        """(axis, coordinate) of each wall."""
        return [(axis, end[axis]) for axis in self.walls for end in (self.low, self.high)]


@dataclass(frozen=True, kw_only=True)
class Burgers(Equation):
    """u_t + u u_x = viscosity u_xx,  u(0, x) = -sin(pi x),  u(t, -1) = u(t, 1) = 0.

    t in [0, 1] (code: [0, 0.99]), x in [-1, 1]. Source: DN-PINN, eqs. 28 to 30.
    """

    viscosity: float = 0.01 / np.pi

    name, title = "burgers", "Burgers"
    formula = "u_t + u u_x = viscosity u_xx, u(0, x) = -sin(pi x), u(t, -1) = u(t, 1) = 0"
    coordinates, e, walls = ("t", "x"), XX, (1,)

    @property
    def c(self) -> tuple[float, float, float, float]:
        return 1.0, 1.0, -self.viscosity, 0.0

    @property
    def low(self) -> Pair:
        return 0.0, -1.0

    @property
    def high(self) -> Pair:
        return (1.0 if self.bounds == "paper" else 0.99), 1.0

    @staticmethod
    def initial(x: ArrayLike) -> Floats:
        """u(0, x)"""
        return np.asarray(-np.sin(np.pi * np.asarray(x)))


@dataclass(frozen=True, kw_only=True)
class Poisson(Equation):
    """u_xx + u_yy = -2 omega^2 cos(omega x) sin(omega y) on [0, 1]^2, u = cos(omega x) sin(omega y) on its edges.

    With omega = 4 pi the edges have u(x, 0) = u(x, 1) = 0 and u(0, y) = u(1, y) = sin(omega y), which hold on the unit
    square, as in the code, and not for the y in [-1, 1] of the text: `bounds` makes no difference. Source: DN-PINN,
    eqs. 31 to 33.
    """

    omega: float = 4 * np.pi

    name, title = "poisson", "Poisson"
    formula = "u_xx + u_yy = -2 omega^2 cos(omega x) sin(omega y), u = cos(omega x) sin(omega y) on the edges"
    coordinates, e, walls = ("x", "y"), LAPLACIAN, (0, 1)

    @property
    def c(self) -> tuple[float, float, float, float]:
        return 0.0, 0.0, 1.0, 0.0

    @property
    def low(self) -> Pair:
        return 0.0, 0.0

    @property
    def high(self) -> Pair:
        return 1.0, 1.0

    def source(self, points: ArrayLike) -> Floats:
        return np.asarray(-2 * self.omega**2 * self.exact(points))

    def boundary(self, points: ArrayLike) -> Floats:
        return self.exact(points)

    def exact(self, points: ArrayLike) -> Floats:
        """u = cos(omega x) sin(omega y) at points (n, 2): (n,)."""
        x, y = np.asarray(points, dtype=np.float64).T
        return np.asarray(np.cos(self.omega * x) * np.sin(self.omega * y))


@dataclass(frozen=True, kw_only=True)
class AllenCahn(Equation):
    """u_t = diffusion u_xx + reaction (u - u^3),  u(0, x) = x^2 cos(pi x),  u and u_x periodic in x.

    t in [0, 1], x in [-1, 1]; the code's x ends at 1 - 2/512, the last point of its reference's grid, where it asks
    for the value at -1. The slopes of u(0, x) at the two ends are 2 and -2: its periodic continuation has a kink
    there, which diffusion rounds off at once. Source: DN-PINN, eqs. 34 to 37.
    """

    diffusion: float = 1e-4
    reaction: float = 5.0

    name, title = "allen_cahn", "Allen-Cahn"
    formula = "u_t = diffusion u_xx + reaction (u - u^3), u(0, x) = x^2 cos(pi x), periodic in x"
    coordinates, e, walls = ("t", "x"), XX, (1,)
    periodic = True

    @property
    def c(self) -> tuple[float, float, float, float]:
        return 1.0, 0.0, -self.diffusion, -self.reaction

    @property
    def low(self) -> Pair:
        return 0.0, -1.0

    @property
    def high(self) -> Pair:
        return 1.0, (1.0 if self.bounds == "paper" else 1 - 2 / 512)

    @staticmethod
    def initial(x: ArrayLike) -> Floats:
        """u(0, x)"""
        at = np.asarray(x)
        return np.asarray(at**2 * np.cos(np.pi * at))


EQUATIONS: dict[str, type[Equation]] = {kind.name: kind for kind in (Burgers, Poisson, AllenCahn)}
