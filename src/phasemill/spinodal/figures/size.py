"""Figures of larger boxes and of the cost of a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phasemill.core import figures, store
from phasemill.core.files import read_json
from phasemill.spinodal.figures.shared import bodies, lines


def size(folder: Path, output: Path) -> list[figures.Entry]:
    """Errors by frame beside the held-out boxes', cost of a step, and one box in three dimensions."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    return [_error(output, metrics), _cost(output, metrics), *_fields(output, folder, metrics)]


def _error(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    judged = metrics["shown"]
    own = metrics["held_out"][judged]
    curves = {
        label: (metrics["frames"], np.mean(np.array(found["mse"], dtype=float), axis=0).tolist())
        for label, found in metrics["methods"].items()
    }
    curves[f"{judged}, held-out boxes"] = (own["frames"], own["mse"])
    caption = "Mean over the larger boxes; the held-out ones are shorter, and seen for the training's length."
    return lines(output, "error", curves, "Error by frame", caption, label="mean square error")


def _cost(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    cells = np.array(metrics["grids"], dtype=float) ** 3
    figure, axes = figures.figure(height=3.6)
    ax = axes[0, 0]
    for number, (label, seconds) in enumerate(metrics["seconds"].items()):
        colour, marker = figures.PALETTE[number % 6], figures.MARKERS[number % 6]
        text = f"{label}: exponent {metrics['slopes'][label]:.2f}"
        ax.plot(cells, seconds, marker, color=colour, markerfacecolor="none", markersize=7, label=text)
    first = metrics["seconds"][metrics["shown"]]
    scale = np.exp(np.mean(np.log(first) - np.log(cells)))
    ax.plot(cells, scale * cells, color=figures.GUIDE, linestyle="--", linewidth=1.2, label="linear", zorder=1)
    ax.set(xscale="log", yscale="log", xlabel="cells of the network's grid", ylabel="core-seconds per step")
    ax.legend()
    return figures.entry(output, "cost", figure, "Cost of a step", "One box, fastest of a few steps.")


def _fields(output: Path, folder: Path, metrics: dict[str, Any]) -> list[figures.Entry]:
    fields = store.open_dataset(folder / "fields.zarr").isel(sim=0)
    chosen = fields.isel(time=figures.evenly(fields.sizes["time"], 4))
    truth, prediction = chosen.truth.values, chosen.prediction.isel(model=0).values
    times = [float(time) for time in chosen.time]
    view = bodies({"truth": list(truth), "prediction": list(prediction)}, [f"t = {time:g}" for time in times])
    middle = truth.shape[1] // 2
    slices = figures.strip({"truth": truth[:, middle], "prediction": prediction[:, middle]}, times)
    where = f"First of the larger boxes; {metrics['shown']}."
    return [
        figures.entry(output, "bodies", view, "The phase phi > 1/2", f"{where} Where the box cuts it, it is pale."),
        figures.entry(output, "slices", slices, "Central slice", f"{where} Last row: prediction less truth."),
    ]
