"""A circle that shrinks by its curvature: the Allen-Cahn equation in two space dimensions, without data.

    u_t = eps^2 (u_xx + u_yy) - (u^3 - u),   u = tanh((R - r) / (sqrt(2) eps)) at t = 0

The interface moves with eps^2 times its curvature, so that R' = -eps^2 / R and

    R(t)^2 = R0^2 - 2 eps^2 t,

up to terms of order (eps / R)^2. The domain is a quarter; by symmetry no derivative crosses its edges.

    python -m phasemill.pinns.examples.circle
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phasemill.pinns import Problem, Solution

EPS, R0, END = 0.1, 0.7, 8.0


def circle(points: int = 1200, end: float = END) -> Problem:
    """The problem from t = 0 to `end`, with so many points for the equation."""

    def residual(u, x, d):  # type: ignore[no-untyped-def]  # as a user writes it
        return d(u, "t") - EPS**2 * (d(u, "x", "x") + d(u, "y", "y")) + u**3 - u

    def start(x):  # type: ignore[no-untyped-def]  # as a user writes it
        return np.tanh((R0 - np.hypot(x.x, x.y)) / (np.sqrt(2) * EPS))

    problem = Problem({"t": (0, end), "x": (0, 1), "y": (0, 1)}, fields="u", hidden=(24, 24, 24))
    problem.equation("equation", residual, points=points)
    problem.condition("initial", points=points // 3, at={"t": 0}, target=start)
    problem.condition("edges x", points=points // 6, at={"x": [0, 1]}, residual=lambda u, x, d: d(u, "x"))
    problem.condition("edges y", points=points // 6, at={"y": [0, 1]}, residual=lambda u, x, d: d(u, "y"))
    return problem


def squared_radius(solution: Solution, times: ArrayLike, cells: int = 200) -> NDArray[np.float64]:
    """R^2 of the circle with the area in which u > 0, at each time."""
    middle = (np.arange(cells) + 0.5) / cells
    t, x, y = np.meshgrid(np.asarray(times, dtype=np.float64), middle, middle, indexing="ij")
    share: NDArray[np.float64] = (solution.u(np.stack([t, x, y], axis=-1)) > 0).mean((1, 2))
    return 4 * share / np.pi


if __name__ == "__main__":
    solution = circle().train(400, rate=(1e-2, 1e-3), weighting="dn", beta=0.9, lbfgs=1000)
    times = np.linspace(0, END, 5)
    print("t      R^2    R0^2 - 2 eps^2 t")
    for t, found in zip(times, squared_radius(solution, times), strict=True):
        print(f"{t:<6.3g} {found:.4f} {R0**2 - 2 * EPS**2 * t:.4f}")
