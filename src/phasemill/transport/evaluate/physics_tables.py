"""Tables of the evaluation of other equations, from its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from phasemill.transport.evaluate.scoring import headline
from phasemill.transport.systems import SYSTEMS


def sweep_table(
    results: Mapping[str, Any], orders: Mapping[str, float | None], substeps: Sequence[int]
) -> dict[str, Any]:
    """Largest error of each parameter over the videos of its system, against K, and the order of the error."""
    rows: list[list[Any]] = []
    for name, system in SYSTEMS.items():
        chosen = [n for n, other in enumerate(results["systems"]) if other == name]
        stable = max(results["stable_substeps"][n] for n in chosen)
        for p, parameter in enumerate(system.parameters):
            found = [[results["sweep"][n][str(k)] for n in chosen] for k in substeps]
            worst = [None if None in by_video else max(abs(error[p]) for error in by_video) for by_video in found]
            fourth = max(abs(results["runge_kutta"][n]["error"][p]) for n in chosen)
            rows.append([system.title, parameter, stable, *worst, orders[name], fourth])
    return {
        "title": "Largest relative error against K, without noise",
        "columns": ["system", "parameter", "least stable K", *(f"K = {k}" for k in substeps), "order", "Runge-Kutta"],
        "rows": rows,
        "note": (
            "Explicit Euler sub-steps, as in the paper; largest over the videos. The data are converged in time, so "
            "this is the error of the operator. Below the least stable K the fit of a smooth, noiseless video still "
            "mostly succeeds: one frame interval is too short for the instability to grow out of round-off. Order: "
            "slope of the error of the system in 1 / K over the stable K. Last column: Runge-Kutta with its own least "
            "stable K, at four evaluations per sub-step; what is left is near the rounding of the stored frames."
        ),
    }


def noise_table(scores: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Error and calibration of every method."""
    worst = max(
        line["z_rms"] for lines in scores.values() for line in lines if line["method"].startswith("instruments")
    )
    return {
        "title": "White noise on every frame",
        "columns": ["noise", "system", "method", "median of the largest relative error", "rms of error / sigma"],
        "rows": [
            [
                f"{float(level):.0%}",
                *(line[key] for key in ("system", "method", "median", "z_rms")),
            ]
            for level, lines in scores.items()
            for line in [*lines, *_together(lines)]
        ],
        "note": (
            "Noise in units of the standard deviation of each field; Runge-Kutta sub-steps. An honest sigma makes the "
            "last column 1. Pairs take a noisy frame as the operator's exact input: their error is a bias that their "
            "sigma does not know. Instruments are free of it but for the curvature of the equation: the mean of u^3 "
            "of a noisy u is u^3 + 3 s^2 u, a bias that grows with the square of the noise; it is not in their sigma, "
            f"which is too small by up to the factor {worst:.2g} here. Every s-th frame: the changes grow and the "
            "noise does not, which helps pairs as much as instruments do."
        ),
    }


def noise_headlines(lines: Sequence[Mapping[str, Any]], level: float, stride: int) -> list[dict[str, Any]]:
    """Error of the worst system at one level of noise: what instruments take away, and what thinning does."""
    median = {
        method: max(line["median"] for line in lines if line["method"] == method)
        for method in dict.fromkeys(line["method"] for line in lines)
    }
    pairs, instruments = median["pairs"], median["instruments"]
    thinned, both = (median[f"{method}, every {stride}th frame"] for method in ("pairs", "instruments"))
    return [
        headline(f"largest median error, {level:.0%} noise, pairs", pairs, "the paper's loss"),
        headline("same, instruments", instruments, "all frames as well; noise level not needed"),
        headline(
            f"same, pairs, every {stride}th frame",
            thinned,
            f"thinning alone takes {1 - thinned / pairs:.0%} of the error of pairs away, instruments alone "
            f"{1 - instruments / pairs:.0%}; both together leave {both:.2g}",
        ),
    ]


def _together(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same over all systems, per method."""
    pooled = []
    for method in dict.fromkeys(line["method"] for line in lines):
        chosen = [line for line in lines if line["method"] == method]
        z = np.concatenate([(np.array(line["error"]) / line["sigma"]).ravel() for line in chosen])
        worst = np.concatenate([np.abs(line["error"]).max(axis=1) for line in chosen])
        scores = {"median": float(np.median(worst)), "z_rms": float(np.sqrt(np.mean(z**2)))}
        pooled.append({"system": "all", "method": method, **scores})
    return pooled


def example_table(
    results: Mapping[str, Any], scores: Mapping[str, Any], substeps: Sequence[int], level: float, stride: int
) -> dict[str, Any]:
    """Found beside true parameters of the first video of each system."""
    careful, rows = f"instruments, every {stride}th frame", []
    for name, system in SYSTEMS.items():
        first = results["systems"].index(name)
        truth, clean = results["truth"][first], results["sweep"][first][str(max(substeps))]
        by_method = {line["method"]: line for line in scores[str(level)] if line["system"] == system.title}
        for p, parameter in enumerate(system.parameters):
            errors = [clean and clean[p], *(by_method[method]["error"][0][p] for method in ("pairs", careful))]
            found = [None if error is None else truth[p] * (1 + error) for error in errors]
            rows.append([system.title, parameter, truth[p], *found, truth[p] * by_method[careful]["sigma"][0][p]])
    return {
        "title": "Found beside true, first video of each system",
        "columns": [
            *("system", "parameter", "true", "no noise", f"{level:.0%} noise, pairs"),
            *(f"{level:.0%} noise, {careful}", "its sigma"),
        ],
        "rows": rows,
        "note": "Without noise: Euler sub-steps with the largest K.",
    }
