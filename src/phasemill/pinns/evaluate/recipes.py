"""Recipes beyond the paper: errors against CPU seconds, with a classical solver beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phasemill.core.metrics import relative_l2
from phasemill.core.model_files import read_card
from phasemill.pinns import reference
from phasemill.pinns.config.recipes import Marched, Recipes
from phasemill.pinns.evaluate.selection import check_kind, check_origin
from phasemill.pinns.physics import AllenCahn, Burgers, Equation, Poisson
from phasemill.pinns.recipes import marching
from phasemill.pinns.reference import Reference

Floats = NDArray[np.float64]
Scores = dict[str, dict[str, Any]]

REPEATS = 3
"""Solutions of which the fastest counts."""


def recipes(path: Path, name: str, settings: Recipes, data: Path) -> tuple[Scores, list[dict[str, Any]]]:
    """Curves, last errors and CPU seconds of each recipe, lists over the seeds; and the file's card in a list.

    Raises InputError for a file of another problem, or of other settings or data.
    """
    card = read_card(path)
    check_kind(path, card, f"{name}_recipes")
    check_origin(path, card, "recipes", settings, data)
    scores: Scores = {}
    for run in card["runs"].values():
        score = scores.setdefault(run["recipe"], {"error": [], "cpu": [], "curves": []})
        last = run["curve"][-1]
        score["error"].append(last["error"])
        score["cpu"].append(last["cpu"])
        score["curves"].append(run["curve"])
    return scores, [card]


def classical(equation: Equation, truth: Reference, marched: Sequence[Marched] = ()) -> dict[str, dict[str, float]]:
    """Relative L2 error and CPU seconds of classical solvers on the same grid, and of what marches begin with."""
    found = {}
    shapes = {(one.base, one.windows, one.modes): one for one in reversed(marched)}  # the first of each
    bases = {
        f"{words(one.name)}, without its network": lambda one=one: base_alone(one, equation, truth)
        for one in reversed(shapes.values())
    }
    for label, solve in {**_solvers(equation, truth), **bases}.items():
        seconds = []
        for _ in range(REPEATS):
            begun = time.process_time()
            u = solve()
            seconds.append(time.process_time() - begun)
        found[label] = {"error": relative_l2(truth.u, u), "cpu": min(seconds)}
    return found


def _solvers(equation: Equation, truth: Reference) -> Mapping[str, Callable[[], Floats]]:
    if isinstance(equation, Burgers):
        points = 4 * (len(truth.second) - 1)
        return {
            "Cole-Hopf by the trapezoid rule": lambda: reference.burgers_trapezoid(
                truth.first[:, None], truth.second, equation.viscosity
            ),
            f"ETDRK4, {points} points": lambda: _closed(
                reference.burgers_spectral(equation.viscosity, points=points, frames=len(truth.first) - 1)[:, ::4]
            ),
        }
    if isinstance(equation, Poisson):
        cells = len(truth.first) - 1
        return {
            f"five-point differences, {factor * cells + 1} points a side": lambda factor=factor: (  # type: ignore[misc]  # bound here
                reference.poisson_differences(factor * cells + 1, equation.omega)[::factor, ::factor]
            )
            for factor in (1, 4)
        }
    assert isinstance(equation, AllenCahn)
    rates = equation.diffusion, equation.reaction
    frames, points = len(truth.first) - 1, len(truth.second)
    return {
        f"ETDRK4, {factor * points} points": lambda factor=factor: (  # type: ignore[misc]  # bound here
            reference.allen_cahn(*rates, points=factor * points, frames=frames, steps=2)[:, ::factor]
        )
        for factor in (1, 2)
    }


def _closed(u: Floats) -> Floats:
    """Periodic values with those at the other end."""
    return np.concatenate([u, u[:, :1]], axis=1)


def base_alone(wanted: Marched, equation: Equation, truth: Reference) -> Floats:
    """u of a march whose networks are zero: the formula into which they are built."""
    assert isinstance(equation, AllenCahn)
    settings = marching.Marching(
        diffusion=equation.diffusion, reaction=equation.reaction, windows=wanted.windows, base=wanted.base,
        modes=wanted.modes, hidden=tuple(wanted.hidden),
    )  # fmt: skip
    march, nodes = marching.March(settings), np.arange(settings.grid + 1) / settings.grid
    modes = marching.cosines(equation.initial(np.arange(8 * settings.grid + 1) / (8 * settings.grid)))[: len(nodes)]
    for number in range(settings.windows):
        march.start[number] = torch.from_numpy(modes)
        modes = marching.cosines(
            march.window(number).field(march.theta[number].numpy(), np.array([settings.length]), nodes)[0]
        )
    return march.u(truth.first, truth.second)


def table(scores: Scores, solvers: Mapping[str, Mapping[str, float]], judged: Sequence[str]) -> dict[str, Any]:
    """Errors and CPU seconds of recipes and solvers; of recipes that are not judged it says so."""
    rows: list[list[Any]] = [
        [
            words(name) if name in judged else f"{words(name)} (not judged)",
            len(score["error"]),
            float(np.median(score["error"])),
            max(score["error"]),
            float(np.median(score["cpu"])),
        ]
        for name, score in scores.items()
    ]
    rows += [[label, None, its["error"], None, its["cpu"]] for label, its in solvers.items()]
    return {
        "title": "Recipes beyond the paper",
        "columns": ["recipe", "seeds", "relative L2 error", "worst seed", "CPU seconds"],
        "rows": rows,
        "note": (
            "Medians over the seeds, last parameters; the claim takes the lowest of the recipes. Not judged: one whose "
            "features are the solution's own waves, or whose formula is below the paper's error without a network. "
            "Marches know that the solution is even. CPU seconds of one core, scoring left out, beside whatever else "
            "ran. The last rows are classical solvers, and the formulas into which networks are built."
        ),
    }


def words(name: str) -> str:
    """A recipe's name as it is read."""
    return name.replace("_", " ")
