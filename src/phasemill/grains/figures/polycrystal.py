"""Figures of the polycrystals: interfaces, areas, cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phasemill.core import figures, store
from phasemill.core.files import read_json


def polycrystal(folder: Path, output: Path) -> list[figures.Entry]:
    """Interfaces of an unseen polycrystal, areas of its grains, errors by frame, cost of a step."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    fields = store.open_dataset(folder / "fields.zarr")
    sim = store.meanings(fields["split"]).index("test")
    return [
        _strip(output, fields.isel(sim=sim)),
        _areas(output, fields.isel(sim=sim)),
        _errors(output, metrics),
        _cost(output, metrics["costs"]),
    ]


def _strip(output: Path, fields: Any) -> figures.Entry:
    rows = {"truth": fields.truth, "network": fields.prediction}
    view = figures.stored_strip(rows, quantity=r"$\sum\phi^2$", rounded=round)
    return figures.entry(
        output, "interfaces", view, "Interfaces of an unseen polycrystal", "Free roll-out, first seed."
    )


@figures.style()
def _areas(output: Path, fields: Any) -> figures.Entry:
    figure, axes = figures.figure(height=3.6)
    ax, times = axes[0, 0], fields.time.values
    for grain in range(fields.sizes["grain"]):
        colour = figures.PALETTE[grain % 6]
        ax.plot(times, fields.area_truth[:, grain], color=colour, linewidth=3, alpha=0.35)
        ax.plot(times, fields.area[:, grain], color=colour, linewidth=1.1)
    ax.set(xlabel="t", ylabel="area of each grain")
    return figures.entry(
        output, "areas", figure, "Areas of the grains", "Wide: truth; thin: network. Unseen polycrystal."
    )


@figures.style()
def _errors(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(height=3.4)
    ax = axes[0, 0]
    for number, (name, found) in enumerate(metrics["scores"].items()):
        for place, one in enumerate(run for run in found if run["split"] == "test"):
            label = f"{name}, unseen" if place == 0 else None
            ax.plot(
                metrics["times"][1:], one["area_error_by_frame"][1:], color=figures.PALETTE[number], linewidth=1.2,
                label=label,
            )  # fmt: skip
    ax.set(yscale="log", xlabel="t", ylabel="mean |A - A*| over mean area")
    ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), fontsize="small")
    return figures.entry(
        output, "errors", figure, "Error of the areas", "One line for each unseen polycrystal and seed."
    )


@figures.style()
def _cost(output: Path, costs: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.2, sharey=True)
    names = list(costs["step"])
    taken, lengths = np.array([1e3 * costs["step"][n] for n in names]), np.array([costs["length"][n] for n in names])
    grains = np.array([float(n) for n in names])
    slopes = (taken / grains)[0], (taken @ lengths) / (lengths @ lengths)
    for ax, values, slope, label in zip(axes[0], (grains, lengths), slopes, ("as N", "as the length"), strict=True):
        ax.plot(values, taken, "o", color=figures.PALETTE[0], markersize=8)
        ax.plot([0, values.max()], [0, slope * values.max()], color=figures.GUIDE, linestyle=":", label=label)
        ax.set(xlim=(0, None), ylim=(0, 1.25 * taken.max()))
        ax.legend()
    axes[0, 0].set(xlabel="number of grains N", ylabel="milliseconds per step")
    axes[0, 1].set(xlabel="length of the interfaces / dx")
    return figures.entry(output, "cost", figure, "Cost of a step of the solver", "Boxes of one size in turn, one core.")
