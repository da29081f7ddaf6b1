"""Tables of the ablation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasemill.spinodal.evaluate.numbers import geometric, interval


def errors(arms: Mapping[str, Any], still: float, seen: str) -> dict[str, Any]:
    """Errors of all arms on the held-out boxes, beside that of standing still."""
    return {
        "title": "Free roll-out on held-out boxes",
        "columns": [
            *("arm", "mean squared error", "95 % from", "to", "over the reference", "95 % from", "to"),
            *("mean |dF|/F", "largest change of the mean", "steps", "seconds"),
        ],
        "rows": [
            [
                *(arm["label"], arm["mse"], *interval(arm["errors"])),
                *(arm["ratio"], *interval(arm["ratios"])),
                *(arm["energy"], arm["drift"], arm["steps"], arm["seconds"]),
            ]
            for arm in arms.values()
        ],
        "note": (
            "Geometric means over the trainings, with intervals by Student's t. Ratios are taken seed by seed. Each "
            "arm on its own grid: with averages the target is smoother, without down-scaling it has 8 times as many "
            "cells, and batches are smaller, or fewer, accordingly. All trainings predict as many cells, so that long "
            "roll-outs from the start make few steps. Errors count as 1000 at most; that of standing still is "
            f"{still:.2g}. The reference: {seen[0].lower()}{seen[1:]}"
        ),
    }


def long_run(long: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of mean and free energy after a long time."""
    return {
        "title": "Long roll-out: how the change of phi is made",
        "columns": [
            "arm",
            "|dF|/F, second half",
            "least",
            "largest",
            "over the reference",
            "largest change of the mean",
        ],
        "rows": [
            [arm["label"], arm["energy_error"], min(arm["errors"]), max(arm["errors"]), arm["ratio"], arm["drift"]]
            for arm in long.values()
        ],
        "note": (
            "Free energies on the network's grid, like for like with decimated truth. An error above 1 is that of a "
            "roll-out that has blown up."
        ),
    }


def down_scaling(arms: Mapping[str, Any], floors: Mapping[str, float], still: float) -> dict[str, Any]:
    """Errors on the solver's grid, with their floors, beside that of standing still."""
    rows = [
        [arms[arm]["label"], geometric(arms[arm]["fine"]), min(arms[arm]["fine"]), max(arms[arm]["fine"]), floors[kind]]
        for arm, kind in (("reference", "nearest"), ("average", "average"), ("none", "none"))
    ]
    rows[0][0] = "every second cell (reference)"
    return {
        "title": "Error on the solver's grid",
        "columns": ["down-scaling", "mean squared error", "least", "largest", "floor"],
        "rows": rows,
        "note": (
            "Coarse fields are Fourier-interpolated. The floor is the error of the down-scaled truth itself. Standing "
            f"still has the error {still:.2g}: where a training does no better, arms are not compared."
        ),
    }
