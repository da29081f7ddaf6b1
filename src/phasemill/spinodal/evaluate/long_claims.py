"""What whole evolutions say on the paper's claims: judged on the first network, the others and the solvers beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phasemill.spinodal.evaluate.long_numbers import Numbers
from phasemill.spinodal.evaluate.long_references import DECIMATED, TIGHTER
from phasemill.spinodal.evaluate.long_slices import SURROUNDINGS

ALL, BESIDE = "truth, all boxes", "truth, same boxes"
"""Series of exponents: F on the solver's grid, and F after Fourier up-sampling of the decimated truth."""
SCALING = 2.0
"""Least F over the flat lamella's at the end of a window in which a box may still scale."""
PREDICTABLE = 0.25
"""Largest MSE over that of standing still for which the solver from the network's own start still tells the future."""
BLOWN = 1e3
"""Value of an error that is not finite any more, beyond every bound."""

Claims = dict[str, float | None]


def judged(
    names: Sequence[str], runs: Sequence[Numbers], slices: Sequence[Numbers], fits: Sequence[Numbers]
) -> tuple[Claims, dict[str, str]]:
    """The value of each claim, and a note on the values of the other networks and of the references."""
    usable = [fit for fit in fits if fit["series"] == ALL and fit["quantity"] == "F" and fit["over_lamella"] > SCALING]
    late = {"spinodal.long.exponent": usable[-1]["exponent"] if usable else None}
    if not names:
        return dict.fromkeys(PER_RUN) | late, {}
    values = {name: values_of(name, runs, slices, fits) for name in (*names, DECIMATED, TIGHTER)}
    first = values.pop(names[0])
    return first | late, notes_beside(names[0], first, values)


def notes_beside(judged_on: str, first: Claims, others: Mapping[str, Claims]) -> dict[str, str]:
    """For each claim a sentence with the values of the others, where they differ."""
    notes = {}
    for claim, value in first.items():
        if value is None:
            continue
        shown = {name: f"{its[claim]:.3g}" for name, its in others.items() if its[claim] is not None}
        beside = [f"{name} {text}" for name, text in shown.items() if text != f"{value:.3g}"]
        if beside:
            notes[claim] = f"Judged on {judged_on}. Beside it: {'; '.join(beside)}."
    return notes


PER_RUN = tuple(
    f"spinodal.long.{key}"
    for key in (
        "slice", "slice_phases", "bounds", "lamella_energy", "lamella_time", "lamella_stays", "lamella_flat",
        "lamella_settled", "topology", "rmse_initial", "rmse_floor", "decimation", "rmse_falls", "displacement",
        "energy_error", "exponent_gap",
    )
)  # fmt: skip


def values_of(
    name: str, runs: Sequence[Numbers], slices: Sequence[Numbers], fits: Sequence[Numbers]
) -> Claims:  # fmt: skip
    """The claims' values with one roll-out in the place of the network, in the first box."""
    run, seen = (next(run for run in runs if run["model"] == its) for its in (name, DECIMATED))
    mse = {(one["model"], one["around"]): one["mse"] for one in slices}
    known = {one["around"]: one["mse"] < PREDICTABLE * one["mse_still"] for one in slices if one["model"] == DECIMATED}
    arrives = run["arrival_truth"] is not None
    finite = run["energy_error_end"] is not None
    values = (
        *(_blown(ratio(mse[name, around], run["early_mse"])) if known[around] else None for around in SURROUNDINGS),
        max(run["high"] - 1, -run["low"], 0.0) if finite else BLOWN,
        _blown(run["over_lamella"]),
        (ratio(run["arrival_truth"], run["arrival"]) or 0.0) if arrives else None,
        (run["stays"] or 0.0) if arrives else None,
        _blown(run["waviness"]) if arrives else None,
        None if run["settling_truth"] is None else _blown(run["settling"], absolute=True),
        _recovered(run) if finite else BLOWN,
        run["rmse_nearest_initial"],
        run["rmse_nearest_floor_rise"],
        seen["rmse_peak"],
        _blown(ratio(run["rmse_nearest_end"], run["rmse_nearest_peak"])),
        _blown(run["displacement_nearest_median"]),
        _blown(run["energy_error_max"]),
        _exponent_gap(name, fits) if finite else BLOWN,
    )
    return dict(zip(PER_RUN, values, strict=True))


def _recovered(run: Mapping[str, Any]) -> float | None:
    """The last difference of the Euler characteristics over the largest one."""
    if run["euler_apart"] is None:
        return None
    return float(run["euler_apart_end"] / run["euler_apart"]) if run["euler_apart"] else 0.0


def _exponent_gap(name: str, fits: Sequence[Numbers]) -> float | None:
    its, true = (
        {tuple(fit["window"]): fit["exponent"] for fit in fits if (fit["series"], fit["quantity"]) == (series, "F")}
        for series in (name, BESIDE)
    )
    return max((abs(its[window] - true[window]) for window in true if window in its), default=None)


def _blown(value: float | None, absolute: bool = False) -> float:
    return BLOWN if value is None else abs(value) if absolute else value


def ratio(a: float | None, b: float | None) -> float | None:
    """a / b, where both are known."""
    return None if a is None or not b else a / b
