"""What the evaluation of long evolutions says: its tables, headline and sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from phasemill.spinodal.evaluate.long_claims import judged, ratio
from phasemill.spinodal.evaluate.long_numbers import EARLY, SETTLED, Numbers
from phasemill.spinodal.evaluate.long_references import DECIMATED, TIGHTER
from phasemill.spinodal.evaluate.numbers import headline

FLAT = 1e-4
"""Largest relative excess of the energy of a lamella that is called flat."""


def page(
    source: xr.Dataset,
    names: Sequence[str],
    runs: Sequence[Numbers],
    slices: Sequence[Numbers],
    ends: Sequence[Numbers],
    fits: Sequence[Numbers],
    interface: Mapping[str, tuple[float, float]],
    pace: float,
) -> dict[str, Any]:
    """Title, question, answer, headline, tables and claims; the first of the networks `names` is judged."""
    size, until = source.sizes["x"], float(source["time"][-1])
    tau = float(source.attrs["interval"])
    box = f"{size}^3 box over {until / tau:g} tau"
    claims, notes = judged(names, runs, slices, fits)
    tables = [
        *([_run_table(runs)] if runs else []),
        *([_slice_table(slices, runs)] if slices else []),
        exponent_table(fits),
        _ends_table(ends),
        *([_interface_table(interface)] if runs else []),
    ]
    return {
        "title": f"{'The whole evolution' if runs else 'True coarsening'}, {size}^3 to t = {until:g}"
        + (f" ({', '.join(names)})" if runs else ""),
        "question": (
            "A network that was trained on 50 frames is run for thousands of steps, from Perlin noise to the flat "
            f"lamella that is left in the end: a {box} (t = {until:g}). Does its free energy follow the truth all the "
            "way, does it keep mass and bounds, and does it arrive at the right stationary state?"
        ),
        "answer": _answer(runs, ends, box),
        "headline": _headline(names, runs, ends, pace),
        "tables": tables,
        "claims": claims,
        "claim_notes": notes,
    }


def _answer(runs: Sequence[Numbers], ends: Sequence[Numbers], box: str) -> str:
    arrived = [end for end in ends if end["two_interfaces_from"] is not None]
    flat = [end for end in ends if abs(end["energy_over_lamella"] - 1) < FLAT]
    truth = (
        f"Of {len(ends)} true evolution{'s' if len(ends) > 1 else ''} of a {box}, {len(arrived)} reach"
        f"{'es' if len(arrived) == 1 else ''} two interfaces and {len(flat)} the flat lamella."
    )
    if not runs:
        return truth
    told = [run for run in runs if run["box"] == runs[0]["box"] and run["model"] != TIGHTER]
    energies = "; ".join(f"{run['model']} {_percent(run)}" for run in told)
    arrivals = "; ".join(f"{run['model']} {_when(run['arrival'])}" for run in told)
    return (
        f"On a {box} the free energy is off by at most (and in the median over time by) {energies}. Two interfaces are "
        f"left: {arrivals}; truth {_when(runs[0]['arrival_truth'])}. {truth}"
    )


def _percent(run: Numbers) -> str:
    if run["energy_error_max"] is None:
        return "any amount: it is not finite any more"
    return "{:.3g} % ({:.3g} %)".format(*(100 * run[f"energy_error_{kind}"] for kind in ("max", "median")))


def _when(time: float | None) -> str:
    return "never" if time is None else f"from t = {time:.4g}"


def _headline(
    names: Sequence[str], runs: Sequence[Numbers], ends: Sequence[Numbers], pace: float
) -> list[Numbers]:  # fmt: skip
    lines: list[Numbers] = []
    for number, name in enumerate([*names, DECIMATED] if names else []):
        run = next(run for run in runs if run["model"] == name)
        claim = "" if number else "spinodal.long.{}"
        lines += [
            headline(f"largest |dF| / F, {name}", run["energy_error_max"],
                 note=f"at t = {run['energy_error_time']:g}, both after Fourier up-sampling",
                 claim=claim.format("energy_error")),
            headline(f"time of two interfaces, truth / {name}", ratio(run["arrival_truth"], run["arrival"]),
                 claim=claim.format("lamella_time")),
        ]  # fmt: skip
    for name in names:
        run = next(run for run in runs if run["model"] == name)
        lines += [
            headline(f"F of the last frame over the flat lamella, {name}", run["over_lamella"],
                 note=f"truth {run['over_lamella_truth']:.5g}"),
            headline(f"median delta-bar over time, {name}", run["displacement_nearest_median"],
                 note=f"cells; floor {run['displacement_nearest_floor_median']:.2g}"),
        ]  # fmt: skip
    best = min(ends, key=lambda end: abs(end["energy_over_lamella"] - 1))
    cost = max(ends, key=lambda end: end["evaluations"])
    return [
        *lines,
        headline("F / (2 gamma_h L^2) of the truth, nearest", best["energy_over_lamella"], note=f"box {best['sim']}"),
        headline(
            "core-hours of the truth", cost["evaluations"] * pace / 3600,
            f"{cost['evaluations']} right-hand sides of {1e3 * pace:.3g} ms, the longest box", unit="h",
        ),
    ]  # fmt: skip


ROWS = {
    "largest |dF| / F, %": (None, "energy_error_max", 100),
    "at t": (None, "energy_error_time", 1),
    "median |dF| / F over time, %": (None, "energy_error_median", 100),
    "last |dF| / F, %": (None, "energy_error_end", 100),
    "largest |dF| / F on the network's grid, %": (None, "coarse_energy_error_max", 100),
    "median |dF| / F over time on the network's grid, %": (None, "coarse_energy_error_median", 100),
    "F after up-sampling less F on the solver's grid, median, %": ("energy_bias", None, 100),
    "two interfaces from t": ("arrival_truth", "arrival", 1),
    "and stays so for, tau": ("stays_truth", "stays", 1),
    "F of the last frame over the flat lamella": ("over_lamella_truth", "over_lamella", 1),
    f"change of F in the last {SETTLED} tau, %": ("settling_truth", "settling", 100),
    "roughness of the last interfaces": ("roughness_truth", "roughness", 1),
    "distance of the last field from flat layers": ("waviness_truth", "waviness", 1),
    "RMSE, network's grid: peak": (None, "rmse_peak", 1),
    "at t ": (None, "rmse_peak_time", 1),
    "RMSE, network's grid: last": ("rmse_still_end", "rmse_end", 1),
    "RMSE, nearest up-sampling: first": ("rmse_nearest_initial", "rmse_nearest_initial", 1),
    "RMSE, nearest up-sampling: peak": ("rmse_nearest_floor", "rmse_nearest_peak", 1),
    "RMSE, nearest up-sampling: last": ("rmse_nearest_floor", "rmse_nearest_end", 1),
    "RMSE, Fourier up-sampling: peak": ("rmse_fourier_floor", "rmse_fourier_peak", 1),
    "RMSE, Fourier up-sampling: last": ("rmse_fourier_floor", "rmse_fourier_end", 1),
    "delta-bar, nearest up-sampling: median": ("displacement_nearest_floor_median", "displacement_nearest_median", 1),
    "delta-bar, Fourier up-sampling: median": ("displacement_fourier_floor_median", "displacement_fourier_median", 1),
    "largest drift of the mean": (None, "drift", 1),
    "least phi": ("low_truth", "low", 1),
    "largest phi": ("high_truth", "high", 1),
    "standard deviation of phi within the phases at the end": ("texture_truth", "texture", 1),
    f"largest difference of the Euler characteristic after {EARLY} tau": (None, "euler_apart", 1),
    "Euler characteristic at the end": ("euler_truth", "euler", 1),
    "components at the end": ("components_truth", "components", 1),
    "axes percolated at the end": ("percolation_truth", "percolation", 1),
}


def _run_table(runs: Sequence[Numbers]) -> Numbers:
    def cell(run: Numbers, key: str | None, factor: float) -> float | None:
        return None if key is None or run[key] is None else factor * run[key]

    boxes: dict[int, list[Numbers]] = {}
    for run in runs:
        boxes.setdefault(run["box"], []).append(run)
    heads = [
        head
        for box, its in boxes.items()
        for head in (f"truth or floor, box {box}", *(f"{run['model']}, box {box}" for run in its))
    ]
    return {
        "title": "The roll-out over the whole evolution",
        "columns": ["quantity", *heads],
        "rows": [
            [
                label,
                *(
                    value
                    for its in boxes.values()
                    for value in (cell(its[0], floor, factor), *(cell(run, own, factor) for run in its))
                ),
            ]
            for label, (floor, own, factor) in ROWS.items()
        ],
        "note": (
            "F after Fourier up-sampling of both fields, like for like, unless said otherwise. Beside each error "
            "stands its floor: for the last RMSE on the network's grid that of standing still, on the solver's grid "
            "that of the decimated truth itself. Medians weigh the stored times, which are even in log t, by the time "
            "that they stand for. Times of arrival are stored times. The solver from the decimated start gets what the "
            "networks get; the one at a hundredth of the tolerance shows how well the truth knows itself."
        ),
    }


def _slice_table(slices: Sequence[Numbers], runs: Sequence[Numbers]) -> Numbers:
    early = {run["model"]: run["early_mse"] for run in reversed(runs)}
    return {
        "title": "From noise in a slice",
        "columns": ["surroundings", "roll-out", "tau", "MSE, mean", "last", "standing still",
                    f"MSE from Perlin noise, {EARLY} tau", "ratio", "largest |dF| / F, %", "drift"],
        "rows": [
            [one["around"], one["model"], one["steps"], one["mse"], one["mse_end"], one["mse_still"],
             early[one["model"]], ratio(one["mse"], early[one["model"]]),
             None if one["energy_error_max"] is None else 100 * one["energy_error_max"], one["drift"]]
            for one in slices
        ],
        "note": (
            "Means over time, on the network's grid; the roll-out from Perlin noise is in a box of the same size. The "
            "uniform mixture around the slice is unstable and amplifies every difference, of the solver that starts "
            "from the network's cells too; the phases on either side of it do not. What a solver drifts is the mean of "
            "every second cell."
        ),
    }  # fmt: skip


def exponent_table(fits: Sequence[Numbers]) -> Numbers:
    """Slopes of ln F against ln t in each window, with their intervals."""
    return {
        "title": "Exponents of the free energy",
        "columns": ["quantity", "series", "t from", "to", "exponent", "low", "high"],
        "rows": [
            [fit["quantity"], fit["series"], *fit["window"], fit["exponent"], fit["low"], fit["high"]] for fit in fits
        ],
        "note": (
            "Slopes of ln(mean F) over ln t with 95 % bootstrap intervals: over boxes where there are at least three, "
            "else over residuals. F - lamella is the excess over the flat lamella in which the box ends; -1/3 is "
            "expected while the pattern is small against the box, and F levels off after."
        ),
    }


def _ends_table(ends: Sequence[Numbers]) -> Numbers:
    return {
        "title": "Where the truth ends",
        "columns": ["box", "state at the end", "F / (2 gamma_h L^2)", "two interfaces from t", "F within 1e-5 from t",
                    "change of F in the last fifth", "Euler", "components", "axes percolated", "roughness", "drift"],
        "rows": [
            [end["sim"], state(end), end["energy_over_lamella"], end["two_interfaces_from"], end["lamella_energy_from"],
             end["change_in_last_fifth"], end["euler"], end["components"], end["percolation"], end["roughness"],
             end["drift"]]
            for end in ends
        ],
        "note": (
            "gamma_h is the energy of a flat interface on this grid. The grid pins interfaces: a step in a lamella, or "
            "a surface of constant mean curvature, can be stationary as well. Euler characteristic of phi > 1/2: a "
            "lamella has 0, the Schwarz P surface -2 per cell."
        ),
    }  # fmt: skip


def _interface_table(interface: Mapping[str, tuple[float, float]]) -> Numbers:
    return {
        "title": "Energy of a flat interface, by its place between cells",
        "columns": ["grid", "least", "largest", "spread, %"],
        "rows": [[grid, low, high, 100 * (high / low - 1)] for grid, (low, high) in interface.items()],
        "note": (
            "Per area, of the profile (1 + tanh(3 x / eps)) / 2; 1 in the continuum. On the network's own grid the "
            "energy of a lamella says little: it changes as the lamella moves by a cell."
        ),
    }


def state(end: Mapping[str, Any]) -> str:
    """The last state of a box in words."""
    moving = "" if abs(end["change_in_last_fifth"]) < FLAT else ", still moving"
    if end["two_interfaces_from"] is not None:
        flat = abs(end["energy_over_lamella"] - 1) < FLAT
        return ("flat lamella" if flat else "lamella with steps") + moving
    if end["euler"] < 0 and end["percolation"] == 3:
        return "bicontinuous" + moving
    return "other" + moving
