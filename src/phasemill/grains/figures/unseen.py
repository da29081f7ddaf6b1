"""Figures of the unseen grains: strips of every start, errors and radii by interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phasemill.core import figures, store
from phasemill.core.files import read_json


def unseen(folder: Path, output: Path) -> list[figures.Entry]:
    """Errors and radii of all starts, then truth, network and difference of each."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    fields = store.open_dataset(folder / "fields.zarr")
    strips = [
        _strip(output, fields.isel(sim=sim), start, metrics["scores"][start])
        for sim, start in enumerate(metrics["scores"])
    ]
    return [_gains(output, metrics["scores"]), _radii(output, metrics["scores"]), *strips]


@figures.style()
def _gains(output: Path, scores: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(height=0.4 + 0.42 * len(scores))
    ax, places = axes[0, 0], np.arange(len(scores))[::-1]
    ax.plot(
        [one["still"] for one in scores.values()], places, "|", color=figures.GUIDE, markersize=14, label="no motion"
    )
    for followed, colour, marker, label in (
        (True, figures.PALETTE[0], "o", "network, follows"), (False, figures.PALETTE[1], "X", "network, fails"),
    ):  # fmt: skip
        chosen = [number for number, one in enumerate(scores.values()) if one["followed"] == followed]
        values = [list(scores.values())[number]["mse"] for number in chosen]
        if chosen:
            ax.plot(values, places[chosen], marker, color=colour, markersize=8, label=label)
    ax.set(xscale="log", xlabel="mean square error", yticks=places, yticklabels=[s.replace("_", " ") for s in scores])
    ax.legend(loc="upper center", bbox_to_anchor=(0.45, 1.22), ncols=3, fontsize="small")
    return figures.entry(output, "errors", figure, "Errors without training", "Median over the trainings.")


@figures.style()
def _radii(output: Path, scores: dict[str, Any]) -> figures.Entry:
    columns = 3
    rows = -(-len(scores) // columns)
    figure, axes = figures.figure(rows, columns, height=1.9 * rows, sharex=True)
    for ax, (start, one) in zip(axes.flat, scores.items(), strict=False):
        ax.plot(one["truth_radius"], color=figures.INK, linewidth=3, alpha=0.35)
        ax.plot(one["radius"], color=figures.PALETTE[0 if one["followed"] else 1], linewidth=1.3)
        ax.set_title(start.replace("_", " ") + ("" if one["followed"] else " (fails)"), fontsize="small")
    for ax in axes.flat[len(scores) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("interval")
    axes[rows // 2, 0].set_ylabel("radius of the volume")
    return figures.entry(output, "radii", figure, "Radii", "Wide: truth; thin: network of the first seed.")


def _strip(output: Path, fields: Any, start: str, one: dict[str, Any]) -> figures.Entry:
    cells = int(fields.cells)
    chosen = fields.isel(x=slice(cells), y=slice(cells)).assign_coords(time=fields.time * fields.interval)
    view = figures.stored_strip({"truth": chosen.truth, "network": chosen.prediction}, rounded=round)
    verdict = "follows" if one["followed"] else "fails"
    caption = (
        f"The network {verdict}: mean square error {one['mse_seeds'][0]:.2g}, without motion {one['still']:.2g}; "
        "first seed."
    )
    return figures.entry(output, f"fields_{start}", view, f"{start.replace('_', ' ').capitalize()}: {verdict}", caption)
