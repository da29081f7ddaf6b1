"""Figures of roll-outs from shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phasemill.core import figures, store
from phasemill.core.files import read_json
from phasemill.spinodal.figures.shared import bodies, lines
from phasemill.spinodal.shapes import BODIES, NOISE


def shapes(folder: Path, output: Path) -> list[figures.Entry]:
    """Errors by frame beside the held-out boxes', the shapes in three dimensions, and maps of the errors."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    return [
        _error(output, metrics),
        _bodies(output, folder, metrics, list(BODIES), "bodies", "Bodies"),
        _bodies(output, folder, metrics, list(NOISE), "noise", "Noise"),
        _maps(output, folder, metrics),
    ]


def _error(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    judged, labels = metrics["shown"], metrics["labels"]
    own = metrics["held_out"][judged]
    curves = {
        labels[name]: (metrics["frames"], metrics["methods"][judged]["mse"][sim])
        for sim, name in enumerate(metrics["names"])
    }
    references = {"held-out mixtures, mean over the training's length": float(np.mean(own["mse"]))}
    caption = f"{judged}, on its grid; the first frame alone is given."
    return lines(output, "error", curves, "Error by frame", caption, label="mean square error", references=references)


def _bodies(
    output: Path, folder: Path, metrics: dict[str, Any], names: list[str], file: str, title: str
) -> figures.Entry:
    """Start, and truth beside prediction at the middle and the end: one row per shape."""
    fields = store.open_dataset(folder / "fields.zarr")
    middle, last = fields.sizes["time"] // 2, fields.sizes["time"] - 1
    rows = {}
    for name in names:
        chosen = fields.isel(sim=metrics["names"].index(name))
        truth, prediction = chosen.truth.values, chosen.prediction.isel(model=0).values
        rows[metrics["labels"][name]] = [truth[0], truth[middle], prediction[middle], truth[last], prediction[last]]
    times = fields.time.values
    columns = [f"start\nt = {times[0]:g}"]
    columns += [f"{word}\nt = {times[index]:g}" for index in (middle, last) for word in ("truth", "prediction")]
    caption = f"The phase phi > 1/2 on the network's grid; {metrics['shown']}. Where the box cuts it, it is pale."
    return figures.entry(output, file, bodies(rows, columns), title, caption)


def _maps(output: Path, folder: Path, metrics: dict[str, Any]) -> figures.Entry:
    """Where the error of the last frame lies: its square, mean along the line of sight."""
    fields = store.open_dataset(folder / "fields.zarr").isel(time=-1)
    error = (fields.prediction.isel(model=0).values - fields.truth.values) ** 2
    panels = {metrics["labels"][name]: np.sqrt(error[sim].mean(axis=1)) for sim, name in enumerate(metrics["names"])}
    high = max(float(panel.max()) for panel in panels.values())
    figure, axes = figures.figure(2, -(-len(panels) // 2), height=4.4)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (label, panel) in zip(axes.flat, panels.items(), strict=False):
        image = ax.imshow(panel.T, origin="lower", cmap="magma_r", vmin=0, vmax=high, interpolation="none")
        ax.set_title(label.replace(", ", ",\n"), fontsize="small", loc="center")
    figure.colorbar(image, ax=axes, aspect=30, pad=0.02, label="RMSE")
    when = f"t = {float(fields.time):g}"
    caption = f"{metrics['shown']}, {when}: root mean square error along the lines of sight, seen along y."
    return figures.entry(output, "maps", figure, "Where the error lies", caption)
