"""Tables of the roll-out benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from phasemill.spinodal.evaluate.contest import Entry
from phasemill.spinodal.evaluate.floors import CONVENTIONS, WAYS

Methods = Mapping[str, dict[str, Any]]
Table = dict[str, Any]


def errors(methods: Methods, frames: Sequence[int]) -> Table:
    """Mean square errors, by frame and over all."""
    rows = []
    for label, found in methods.items():
        by_frame = dict(zip(found["marks"], found["mse_by_frame"], strict=True))
        low, high = found["mse_interval"]
        rows.append(
            [
                *(label, found["mse"], low, high, _mean(found["rmse_by_frame"])),
                *(by_frame.get(frame) for frame in frames),
                found["worst_frame"],
            ]
        )
    return {
        "title": "Error of free roll-outs",
        "columns": [
            *("method", "MSE", "95 % from", "to", "RMSE"),
            *(f"MSE, frame {frame}" for frame in frames),
            "worst frame",
        ],
        "rows": rows,
        "note": (
            "Means over boxes and all frames after the first; one frame is tau. Intervals by bootstrap over the boxes. "
            "RMSE is the mean of the roots. Finite differences are explicit Euler on the networks' grid, dx = 2. The "
            "solver from what networks see runs on the fine grid, from every second cell of the first frame, Fourier "
            "interpolated: its error is what was lost before the first step."
        ),
    }


def physics(methods: Methods) -> Table:
    """Free energy, interfaces, conservation and bounds."""
    keys = ("energy_mean", "energy_max", "displacement", "displacement_max", "drift")
    return {
        "title": "Free energy, interfaces, conservation and bounds",
        "columns": [
            *("method", "mean |dF|/F", "largest |dF|/F", "median delta-bar", "largest delta-bar", "drift of the mean"),
            *("least phi", "in the truth", "largest phi", "in the truth"),
        ],
        "rows": [
            [
                label,
                *(found[key] for key in keys),
                *(found["low"], found["low_truth"], found["high"], found["high_truth"]),
            ]
            for label, found in methods.items()
        ],
        "note": "F like for like: truth and prediction on the networks' grid. delta-bar with forward differences.",
    }


def pattern(methods: Methods, last: int) -> Table:
    """Topology and length of the last frame."""
    rows = []
    for label, found in methods.items():
        euler, truth = np.array(found["euler"]), np.array(found["euler_truth"])
        pairs = zip(found["wavelength"], found["wavelength_truth"], strict=True)
        length = [None if None in pair else pair[0] / pair[1] for pair in pairs]
        rows.append(
            [
                *(label, found["correlation"], found["agreement"], float(truth.mean()), float(euler.mean())),
                *(float(np.abs(euler - truth).mean()), float(np.mean(found["components_truth"]))),
                *(float(np.mean(found["components"])), found["percolation"], _mean(length)),
            ]
        )
    return {
        "title": f"Pattern of frame {last}",
        "columns": [
            *("method", "correlation", "same phase", "Euler characteristic, truth", "prediction", "mean |difference|"),
            *("domains, truth", "prediction", "same percolation", "wavelength over truth's"),
        ],
        "rows": rows,
        "note": (
            "Of phi > 1/2 on the networks' grid, means over the boxes; the percolation is the same if it is so along "
            "all three axes. Wavelength: 2 pi over the first moment of the structure factor."
        ),
    }


def floors(
    floor: Mapping[str, Mapping[str, Sequence[float]]], methods: Methods, judged: str, frames: Sequence[int]
) -> Table:
    """What the coarse grid costs, beside the network's own error."""
    rows: list[list[Any]] = [
        [WAYS[way], name, *values[key]]
        for key, name in (("rmse", "RMSE"), ("displacement", "delta-bar"))
        for way, values in floor.items()
    ]
    found = methods[judged]
    for key, name in (("rmse_by_frame", "RMSE"), ("displacement_by_frame", "delta-bar")):
        known = {0: 0.0, **dict(zip(found["marks"], found[key], strict=True))}
        rows.append([f"error of {judged}, coarse grid", name, *(known.get(frame) for frame in frames)])
    return {
        "title": "Floors of the coarse grid",
        "columns": ["down to the coarse grid and up", "error", *(f"frame {frame}" for frame in frames)],
        "rows": rows,
        "note": "Truth against itself on the fine grid, means over the boxes.",
    }


def conventions(found: Mapping[str, Mapping[str, float]], frames: Sequence[int], label: str) -> Table:
    """The error of F by the way F is computed."""
    return {
        "title": "Error of F by convention",
        "columns": ["F", "largest |dF|/F", "mean dF/F"],
        "rows": [[CONVENTIONS[name], values["max"], values["bias"]] for name, values in found.items()],
        "note": f"{label}, frames {', '.join(map(str, frames))}, all boxes. The first two are like for like.",
    }


def parity(found: Mapping[str, Mapping[str, float]]) -> Table:
    """The sub-lattices that the central divergence keeps apart."""
    return {
        "title": "Sub-lattices of the central divergence",
        "columns": ["method", "largest change of a sub-lattice's mean", "in the truth", "floor of the MSE if kept"],
        "rows": [[label, values["prediction"], values["truth"], values["floor"]] for label, values in found.items()],
        "note": (
            "Central differences exchange mass between cells two apart: each of the 8 interleaved sub-lattices keeps "
            "its own mean, which the equation does not demand. The floor is far below the networks' errors."
        ),
    }


def boxes(starts: Mapping[str, Sequence[float]], methods: Methods, labels: Sequence[str]) -> Table:
    """Errors by box, with what is known of its start."""
    return {
        "title": "Errors by box",
        "columns": [
            *("mean phi", "time of the first frame", "wavelength of the first frame"),
            *(f"MSE, {label}" for label in labels),
            *(f"largest |dF|/F, {label}" for label in labels),
        ],
        "rows": [
            [
                *(starts["mean"][box], starts["start"][box], starts["wavelength"][box]),
                *(methods[label]["mse_by_box"][box] for label in labels),
                *(methods[label]["energy_max_by_box"][box] for label in labels),
            ]
            for box in range(len(starts["mean"]))
        ],
        "note": "Wavelength: 2 pi over the first moment of the structure factor, in cells of the solver.",
    }


def networks(entries: Sequence[Entry]) -> Table:
    """What was trained, how long, and to what."""
    rows = []
    for entry in entries:
        card = entry.model.card
        training = card.get("training", {})
        rows.append(
            [
                *(entry.label, entry.model.parameters, entry.stride, card.get("box")),
                *(training.get(key) for key in ("steps", "seconds", "validation_mse")),
            ]
        )
    return {
        "title": "Networks",
        "columns": ["network", "parameters", "tau per step", "training boxes", "steps", "seconds", "validation MSE"],
        "rows": rows,
        "note": "Validation MSE: of the free roll-outs that chose the weights.",
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean where all are known."""
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if len(numbers) == len(values) else None
