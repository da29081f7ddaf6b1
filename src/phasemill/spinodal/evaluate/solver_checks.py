"""What the truth itself is worth: growth rates, stability and laws of the scheme, and the energy of an interface."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.datasets.mixtures import solver_medium
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.physics import Medium as Solved
from phasemill.spinodal.physics import (
    euler_step,
    free_energy,
    growth_rate,
    lattice_interface_energy,
    profile,
    stable_dt,
)
from phasemill.spinodal.solver import DT, integrate

Floats = NDArray[np.float64]

LINE = 64
"""Cells along the waves whose growth is measured."""
WAVES = (2, 4, 6, 8, 10, 12, 14)
BOX = 16
"""Cells per side of the small boxes."""
STEPS = 1000
"""Explicit steps after which a time step counts as stable."""
TRIED = (1.0, 2.0, 2.76, 3.2)
"""Time steps tried, in units of the paper's; the theory's limit for phi in [0, 1] is 2.78."""
FINER = (1.0, 2.0, 4.0, 8.0)
"""Grid spacings eps / (3 n) of the interface's energy."""
REST = 400.0
"""Time in which a disturbed lamella comes to rest."""


def check(medium: Medium, seed: np.random.SeedSequence) -> dict[str, Any]:
    """Metrics, table and claims of the solver; a few seconds."""
    solved = solver_medium(medium)
    start = perlin_mixture(np.random.default_rng(seed), (BOX,) * 3)
    waves = dispersion(solved)
    limits = {factor * DT: stable(start, factor * DT, solved) for factor in TRIED}
    largest = max((dt for dt, fine in limits.items() if fine), default=0.0)
    least = min((dt for dt, fine in limits.items() if not fine), default=float("inf"))
    rises, drift = laws(start, solved)
    area = {medium.eps / (3 * n): lattice_interface_energy(medium.eps, medium.eps / (3 * n)) for n in FINER}
    gamma = lattice_interface_energy(medium.eps, medium.dx)
    lamella = lamella_energy(solved)
    error = max(abs(row["measured"] - row["euler"]) for row in waves) / max(abs(row["euler"]) for row in waves)
    finest = area[min(area)]
    return {
        "metrics": {
            "dispersion": waves,
            "dispersion_error": error,
            "stable": {f"{dt:.6g}": fine for dt, fine in limits.items()},
            "largest_stable": largest,
            "energy_rises": rises,
            "mass_drift": drift,
            "interface_energy": {f"{dx:.6g}": value for dx, value in area.items()},
            "lamella": lamella,
        },
        "table": {
            "title": "The solver",
            "columns": ["quantity", "measured", "expected"],
            "rows": [
                ["largest error of a growth rate, over the fastest", error, 0.0],
                ["largest time step found stable", largest, f"limit {stable_dt(3, solved):.4g} with a margin"],
                ["least time step found unstable", least if np.isfinite(least) else None, "above the limit"],
                ["largest relative rise of F in a step, dt as in the paper", rises, "none"],
                ["drift of the mean to t = 24.5, dt as in the paper", drift, 0.0],
                ["energy per area of an interface at rest, this grid", gamma, "1 in the continuum"],
                [f"the same, dx = {min(area):g}", finest, "1 in the continuum"],
                [
                    f"F / N of a lamella in {BOX} cells, disturbed and let rest",
                    lamella["measured"],
                    lamella["expected"],
                ],
            ],
            "note": (
                f"Growth rates of {len(WAVES)} waves in float64 against explicit Euler's own, ln(1 + dt lambda) / dt. "
                f"A time step is stable if phi stays within [-0.2, 1.2] and F never rises in {STEPS} of them. "
                "F per area of an interface is 1 only where the grid resolves it; truth and networks share this grid."
            ),
        },
        "claims": {
            "spinodal.solver.dispersion": error,
            "spinodal.solver.stable_dt": largest / DT,
            "spinodal.solver.energy_decreases": rises,
            "spinodal.solver.mass": drift,
            "spinodal.solver.interface_area": finest,
            "spinodal.solver.interface_area_grid": gamma,
        },
        "claim_notes": {
            "spinodal.solver.interface_area": f"At dx = {min(area):g}, eps = {medium.eps:g}.",
            "spinodal.solver.interface_area_grid": (
                f"At dx = {medium.dx:g}, eps = {medium.eps:g}; a lamella has F / N = {lamella['measured']:.6f}, "
                f"2 gamma_h / L = {lamella['expected']:.6f}."
            ),
        },
    }


def dispersion(medium: Solved) -> list[dict[str, float]]:
    """Growth of small waves on phi = 1/2 by explicit Euler: measured, lambda, and ln(1 + dt lambda) / dt."""
    dt, steps = DT, 80
    found = []
    for count in WAVES:
        wave = np.cos(2 * np.pi * count * np.arange(LINE) / LINE)[:, None, None] * np.ones((1, 4, 4))
        run = integrate(0.5 + 1e-7 * wave, np.array([0.0, dt * steps]), medium=medium, scheme="euler", dt=dt)
        amplitude = [float(np.mean((frame - 0.5) * wave)) for frame in run.frames]
        k = 2 * np.pi * count / (LINE * medium.dx)
        rate = growth_rate((2 * np.sin(k * medium.dx / 2) / medium.dx) ** 2, medium)
        found.append(
            {
                "k": k,
                "measured": float(np.log(amplitude[1] / amplitude[0])) / (dt * steps),
                "exact": rate,
                "euler": float(np.log1p(dt * rate)) / dt,
            }
        )
    return found


def stable(start: Floats, dt: float, medium: Solved) -> bool:
    """Whether explicit Euler from `start` stays bounded and never raises F; `integrate` would refuse larger steps."""
    phi, before = start, np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(STEPS):
            phi = euler_step(phi, dt, medium)
            energy = free_energy(phi, medium.eps, medium.dx)
            # at rest F changes by rounding alone
            if not (energy <= before * (1 + 1e-13) and phi.min() > -0.2 and phi.max() < 1.2):
                return False
            before = energy
    return True


def laws(start: Floats, medium: Solved) -> tuple[float, float]:
    """Largest relative rise of F in a step, at least 0, and largest |drift of the mean| to t = 24.5."""
    every = integrate(start, DT * np.arange(2001), medium=medium, scheme="euler", dt=DT)
    rises = np.diff(every.energy) / every.energy[:-1]
    long = integrate(start, 0.5 * np.arange(50), medium=medium, scheme="euler", dt=DT)
    return max(0.0, float(rises.max())), float(np.abs(long.mean - long.mean[0]).max())


def lamella_energy(medium: Solved) -> dict[str, float]:
    """F / N of a lamella that was put half way between the lattice's two positions of rest, and 2 gamma_h / L."""
    x = medium.dx * (np.arange(BOX) + 0.5)
    half = BOX * medium.dx / 4
    distance = half - np.abs(x - BOX * medium.dx / 2 - 0.2 * medium.dx)
    start = profile(distance, medium.eps)[:, None, None] * np.ones((1, 4, 4))
    run = integrate(start, np.array([0.0, REST]), medium=medium, tolerance=1e-6)
    length = BOX * medium.dx
    return {
        "measured": float(run.energy[-1]) / start.size,
        "expected": 2 * lattice_interface_energy(medium.eps, medium.dx) / length * medium.dx**3,
    }
