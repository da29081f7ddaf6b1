"""Words, tables and claims of a benchmark's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from phasemill.grains.config.data import Case

Scores = Mapping[str, Sequence[Mapping[str, Any]]]
"""Method -> scores of its seeds."""

HOURS = ("grain_shrink_64", "grain_shrink_128", "grain_growth_2", "grain_growth_35")
"""Benchmarks whose cost the paper gives."""
NETWORKS = ("feed-forward", "recurrent", "hybrid")


def middle(scores: Scores, method: str, name: str) -> float:
    """The median over the seeds."""
    return float(np.median([one[name] for one in scores[method]]))


def answer(scores: Mapping[str, Scores]) -> str:
    """The sentences on top of a page: the first microstructure, and briefly the others."""
    first, *others = scores.items()
    feed, own, both = (middle(first[1], method, "mse") for method in NETWORKS)
    rest = "".join(
        f" From the start {name}: {middle(one, 'hybrid', 'mse'):.2g} and "
        f"{100 * middle(one, 'hybrid', 'radius_error'):.2g} % (no motion: {middle(one, 'no motion', 'mse'):.2g} and "
        f"{100 * middle(one, 'no motion', 'radius_error'):.2g} %)."
        for name, one in others
    )
    return (
        f"The mean square error over all frames is {feed:.2g} for the feed-forward network, {own:.2g} for the "
        f"recurrent one and {both:.2g} for their mixture (no motion: {middle(first[1], 'no motion', 'mse'):.2g}). Its "
        f"radius is off by {100 * middle(first[1], 'hybrid', 'radius_error'):.2g} % on average.{rest}"
    )


def headline(benchmark: str, scores: Scores, costs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The large numbers."""
    return [
        {
            "label": "MSE, hybrid", "value": middle(scores, "hybrid", "mse"), "note": "median of the seeds",
            "claim": f"grains.{benchmark}.mse" if benchmark == "grain_shrink_64" else "",
        },
        {
            "label": "worst frame", "value": middle(scores, "hybrid", "mse_worst"), "note": "hybrid, median",
            "claim": "",
        },
        {
            "label": "error of R(0.05)", "value": middle(scores, "hybrid", "radius_visible_error"),
            "note": "hybrid, largest of all frames; the box is about 1 wide", "claim": "",
        },
        {
            "label": "training, CPU hours", "value": spent(costs) / 3600, "note": "both networks, mean of the seeds",
            "claim": f"grains.{benchmark}.hours" if benchmark in HOURS else "",
        },
    ]  # fmt: skip


def spent(costs: Mapping[str, Any]) -> float:
    """Seconds to train a pair of networks."""
    return float(np.mean(costs["march"]) + np.mean(costs["stepper"]))


def reuses(costs: Mapping[str, Any]) -> str:
    """After how many evolutions a training has paid."""
    saved = costs["solver"] - float(np.mean(costs["rollout"]))
    if saved <= 0:
        return "no number of reuses pays the training back"
    return f"the training pays after {np.mean(costs['stepper']) / saved:.2g} evolutions"


def claims(
    benchmark: str, scores: Scores, costs: Mapping[str, Any], laws: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, str]]:
    """Values by claim, and the notes beside them; benchmarks without a paper make none."""
    found, notes = {}, {}
    if benchmark in HOURS:
        found["hours"] = spent(costs) / 3600
        notes["hours"] = (
            f"{spent(costs) / 60:.2g} CPU minutes on one core. An explicit solver takes {1e3 * costs['solver']:.2g} ms "
            f"for all frames, a roll-out of the recurrent network {1e3 * float(np.mean(costs['rollout'])):.2g} ms: "
            f"{reuses(costs)}."
        )
    if benchmark == "grain_shrink_64":
        seeds = ", ".join(format(one["mse"], ".2g") for one in scores["hybrid"])
        others = "; ".join(f"{name} {middle(scores, name, 'mse'):.2g}" for name in scores if name != "hybrid")
        found["mse"] = middle(scores, "hybrid", "mse")
        notes["mse"] = f"Seeds: {seeds}. {others}."
        found["intervals"] = middle(scores, "Crank-Nicolson, exact", "mse")
        found["smoother"] = middle(scores, "recurrent", "roughness") / middle(scores, "feed-forward", "roughness")
        notes["smoother"] = "Sum of |second differences| of R_v(t), recurrent over feed-forward; median of the seeds."
        found["slope"], found["dissipation"] = laws["slope"], laws["dissipation"]
        notes["slope"] = f"The largest distance from a straight line is {laws['curved']:.1g} of R_v^2 at the start."
        notes["dissipation"] = f"Median over the steps; F rises in {laws['rising']:g} of them."
    if benchmark in ("grain_growth_2", "grain_growth_35"):
        found["radius"] = middle(scores, "hybrid", "radius_error")
    names = {name: f"grains.{benchmark}.{name}" for name in found}
    return {names[name]: value for name, value in found.items()}, {names[name]: notes[name] for name in notes}


def tables(
    scores: Mapping[str, Scores], costs: Mapping[str, Any], case: Case, cards: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Errors by method for each microstructure, and what the networks cost."""
    columns = [
        "method", "MSE", "worst frame", "error of R_v", "largest error of R(0.05)", "error of F", "grains off",
        "residual", "seconds",
    ]  # fmt: skip
    keys = ("mse", "mse_worst", "radius_error", "radius_visible_error", "energy_error", "grains_off", "residual")
    found = [
        {
            "title": f"Errors, {start}",
            "columns": columns,
            "rows": [
                [
                    method,
                    *(middle(one, method, key) for key in keys),
                    None if one[method][0]["seconds"] is None else middle(one, method, "seconds"),
                ]
                for method in one
            ],
            "note": (
                f"Over {case.frames + 1} frames, the first among them; medians over the seeds. R_v: radius of the "
                "volume, mean relative error; R(0.05): the paper's radius, in lengths; F relative to its start; "
                "grains off: largest difference in their number; residual: rms over all intervals; "
                "seconds: of the roll-out, one core."
            ),
        }
        for start, one in scores.items()
    ]
    march, stepper = cards["march"]["runs"], cards["stepper"]["runs"]
    found.append(
        {
            "title": "Trainings",
            "columns": [
                "training", "iterations", "intervals solved", "largest residual", "seconds", "recurrent: steps",
                "residual", "seconds ", "gamma",
            ],
            "rows": [
                [
                    name, sum(run["iterations"]), sum(run["solved"]), max(run["residual"]), run["seconds"],
                    stepper[name]["steps"], stepper[name]["residual"], stepper[name]["seconds"],
                    stepper[name]["gamma"][-1],
                ]
                for name, run in march.items()
            ],
            "note": (
                f"Feed-forward network first: {case.frames} intervals, each solved where its residual is "
                f"{cards['march']['spec']['marching']['tolerance']:g} times that of no motion, else left at the most "
                "iterations."
            ),
        }
    )  # fmt: skip
    return [*found, _cost(next(iter(scores.values())), costs)]


def _cost(scores: Scores, costs: Mapping[str, Any]) -> dict[str, Any]:
    """The classical solvers at the networks' errors."""
    before = {
        "feed-forward": float(np.mean(costs["march"])),
        "recurrent": float(np.mean(costs["stepper"])),
        "hybrid": spent(costs),
    }
    methods = ("backward Euler, exact", "Crank-Nicolson, exact", *NETWORKS)
    return {
        "title": "CPU seconds to an error",
        "columns": ["method", "MSE", "one evolution", "training before"],
        "rows": [
            ["explicit solver, largest stable step", costs["solver_mse"], costs["solver"], 0.0],
            *(
                [name, middle(scores, name, "mse"), middle(scores, name, "seconds"), before.get(name, 0.0)]
                for name in methods
            ),
        ],
        "note": (
            "One core. The feed-forward network knows this one evolution, which is solved once it is trained. With the "
            f"recurrent one, {reuses(costs)}."
        ),
    }
