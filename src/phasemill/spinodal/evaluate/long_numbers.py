"""Roll-outs over whole evolutions in single numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.spinodal import metrics
from phasemill.spinodal.evaluate.courses import Course
from phasemill.spinodal.evaluate.numbers import finite

SETTLED = 1000
"""tau over which a stationary state must stay."""
EARLY = 100
"""tau of the roll-out from Perlin noise with which the one from a slice is compared, as in the paper."""

Numbers = dict[str, Any]


def run_numbers(course: Course, lamella: float) -> Numbers:
    """A roll-out beside its truth in single numbers; None where there is nothing to tell. Medians are over time."""
    curves, times = course.curves, course.times
    apart = np.abs(curves["euler"] - curves["euler_truth"])[times >= EARLY * course.tau]
    found = {
        "rmse_peak": largest(curves["rmse"]),
        "rmse_peak_time": times[np.argmax(curves["rmse"])],
        "rmse_end": curves["rmse"][-1],
        "rmse_still_end": curves["rmse_still"][-1],
        "rmse_nearest_initial": curves["rmse_nearest"][0],
        "displacement_nearest_max": largest(curves["displacement_nearest"][1:]),
        "drift": largest(curves["drift"]),
        "time_end": times[-1],
        "early_mse": time_average(course, EARLY),
        "euler_apart": max(apart, default=np.nan),
        "euler_apart_end": np.nan if not len(apart) else apart[-1],
    }
    for key, name in (("energy_error", "energy_fourier_error"), ("coarse_energy_error", "energy_error")):
        error = curves[name]
        found |= {
            f"{key}_max": largest(error),
            f"{key}_time": times[np.argmax(error)],
            f"{key}_median": time_median(times, error),
            f"{key}_end": error[-1],
        }
    found["energy_bias"] = time_median(times, curves["energy_fourier_truth"] / curves["energy_fine"]) - 1
    for grid in ("rmse_nearest", "rmse_fourier"):
        floor = curves[f"{grid}_floor"]
        found |= {f"{grid}_peak": largest(curves[grid]), f"{grid}_end": curves[grid][-1]}
        found |= {f"{grid}_floor": time_median(times, floor), f"{grid}_floor_rise": floor[-1] / floor[0]}
    for grid in ("displacement", "displacement_nearest", "displacement_fourier"):
        found[f"{grid}_median"] = time_median(times, curves[grid])
    for grid in ("displacement_nearest_floor", "displacement_fourier_floor"):
        found[f"{grid}_median"] = time_median(times, curves[grid])
    for suffix, frames in (("", course.prediction), ("_truth", course.truth)):
        energy, arrival = curves[f"energy_fourier{suffix}"], metrics.arrival_time(times, frames)
        before = np.interp(times[-1] - SETTLED * course.tau, times, energy, left=np.nan)
        found |= {
            f"over_lamella{suffix}": energy[-1] / lamella,
            f"arrival{suffix}": arrival,
            f"stays{suffix}": (times[-1] - arrival) / course.tau,
            f"settling{suffix}": energy[-1] / before - 1,
            f"low{suffix}": curves[f"low{suffix}"].min(),
            f"high{suffix}": curves[f"high{suffix}"].max(),
            **{f"{key}{suffix}": curves[f"{key}{suffix}"][-1] for key in LAST},
        }
    return {"model": course.model, "box": course.sim, **{key: finite(value) for key, value in found.items()}}


LAST = ("roughness", "waviness", "texture", "euler", "components", "percolation")
"""Curves of which the last value counts."""


def slice_numbers(course: Course, around: str) -> Numbers:
    """The roll-out from noise in a slice in single numbers."""
    found = {
        "steps": course.times[-1] / course.tau,
        "mse": time_average(course),
        "mse_end": course.curves["mse"][-1],
        "mse_still": float(np.mean(course.curves["rmse_still"][1:] ** 2)),
        "energy_error_max": largest(course.curves["energy_fourier_error"]),
        "energy_error_end": course.curves["energy_fourier_error"][-1],
        "drift": largest(course.curves["drift"]),
    }
    return {"model": course.model, "around": around, **{key: finite(value) for key, value in found.items()}}


def time_average(course: Course, taus: float | None = None) -> float:
    """Mean over time of the mean squared error, on the network's grid, up to `taus`."""
    until = course.times[-1] if taus is None else min(taus * course.tau, course.times[-1])
    inside = course.times <= until * (1 + 1e-9)
    times = course.times[inside]
    return float(np.trapezoid(course.curves["mse"][inside], times) / times[-1])


def time_median(times: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """The value below which a curve stays for half of the time; stored times are even in log t and are not counted."""
    half = np.diff(times) / 2
    weights = np.concatenate([half, [0]]) + np.concatenate([[0], half])
    order = np.argsort(values)
    passed = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(passed, passed[-1] / 2)])


def largest(values: NDArray[np.float64]) -> float:
    """The largest value as a Python number."""
    return float(np.max(values))
