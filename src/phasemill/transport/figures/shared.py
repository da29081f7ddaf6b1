"""Figures that several benchmarks share: parity, errors per method, fields of one video in each direction."""

from __future__ import annotations

import csv
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from phasemill.core import figures, store


def paper_values(folder: Path) -> dict[str, float]:
    """The papers' numbers of a benchmark's claims, by claim id, from its `claims.csv`."""
    with (folder / "claims.csv").open(newline="") as stream:
        return {row["claim"]: float(row["paper_value"]) for row in csv.DictReader(stream) if row["paper_value"]}


def parity(output: Path, metrics: dict[str, Any], best: str, others: list[str]) -> figures.Entry:
    """Estimated against true kappa, one panel per method."""
    truth, direction = np.array(metrics["truth"]), np.array(metrics["direction"])
    methods = [best, *others]
    figure, axes = figures.figure(1, len(methods), height=6.6 / len(methods) + 1.2, sharex=True, sharey=True)
    for ax, method in zip(axes[0], methods, strict=True):
        for sign, regime in ((1, "diffusion"), (-1, "mobility")):
            chosen = direction == sign
            figures.parity(ax, truth[chosen], np.array(metrics["kappa"][method])[chosen], label=regime)
        ax.set(title=textwrap.fill(method, 18), xlabel="true kappa", ylabel="")
    axes[0, 0].set_ylabel("estimated kappa")
    axes[0, 0].legend(loc="upper left")
    caption = "Each point is one held-out video; a perfect estimate lies on the dashed line."
    return figures.entry(output, "recovery", figure, "Estimated against true kappa", caption)


def errors(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    """Mean |error| of each method, per direction of time."""
    methods = metrics["methods"]
    figure, axes = figures.figure(height=0.55 * len(methods) + 1.3)
    ax: Axes = axes[0, 0]
    for group, regime in enumerate(("diffusion", "mobility")):
        values = [max(scores[regime]["mae"], 1e-12) for scores in methods.values()]
        places = np.arange(len(methods)) + 0.16 * (2 * group - 1)
        ax.plot(values, places, figures.MARKERS[group], color=figures.PALETTE[group], markersize=8, label=regime)
    ax.set(xscale="log", xlabel="mean |error| of kappa", yticks=range(len(methods)), yticklabels=list(methods))
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    caption = (
        "Mean absolute error over the held-out videos, per direction of time, beside the trivial constant estimate."
    )
    return figures.entry(output, "errors", figure, "Error of each method", caption)


def fields(output: Path, folder: Path) -> list[figures.Entry]:
    """Truth, roll-out and difference for one video in each direction of time."""
    fields = store.open_dataset(folder / "fields.zarr")
    method = store.meanings(fields.model)[0].replace("_", " ")
    frames = np.linspace(0, fields.sizes["time"] - 1, 5).round().astype(int)
    pages = []
    for direction, name in ((1, "diffusion"), (-1, "mobility")):
        sim = int(np.flatnonzero(fields.direction.values == direction)[0])
        chosen = fields.isel(sim=sim, time=frames)
        rows = {"truth": chosen.truth.values, "prediction": chosen.prediction.isel(model=0).values}
        start = "first" if direction > 0 else "last"
        caption = (
            f"Base simulation {int(chosen.base)}, kappa = {float(chosen.kappa):.4f}. Truth, roll-out from the {start} "
            f"frame alone with the kappa of: {method}, and their difference. Last frame shown is of time "
            f"{float(chosen.time[-1]):g}."
        )
        figure = figures.strip(rows, [float(time) for time in chosen.time])
        pages.append(figures.entry(output, f"fields_{name}", figure, f"Fields, {name}", caption))
    return pages
