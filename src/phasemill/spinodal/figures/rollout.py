"""Figures of free roll-outs on held-out boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phasemill.core import figures, store
from phasemill.core.files import read_json
from phasemill.spinodal.figures.shared import bodies, lines, paper_value


def rollout(folder: Path, output: Path) -> list[figures.Entry]:
    """Errors by frame, errors of F, errors by box, and one box in three dimensions and in a slice."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    limit = paper_value(folder, "spinodal.rollout.energy_error")
    return [
        _error(output, metrics),
        _energy(output, metrics, limit),
        _boxes(output, metrics),
        *_fields(output, folder, metrics),
    ]


def _error(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    curves = {label: (found["marks"], found["mse_by_frame"]) for label, found in metrics["methods"].items()}
    caption = "Mean over the held-out boxes, on the networks' grid; the first frame alone is given."
    return lines(output, "error", curves, "Error by frame", caption, label="mean square error")


def _energy(output: Path, metrics: dict[str, Any], limit: float | None) -> figures.Entry:
    curves = {
        label: (found["marks"], found["energy_error_max_by_frame"]) for label, found in metrics["methods"].items()
    }
    references = {} if limit is None else {"paper, one evolution": limit}
    caption = "Largest of the held-out boxes, truth and prediction on the networks' grid."
    title = "Error of the free energy by frame"
    return lines(output, "energy", curves, title, caption, label="largest |dF| / F", references=references)


def _boxes(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    """Error of each box against its mean concentration and the length of its first frame."""
    boxes = metrics["boxes"]
    panels = {"mean concentration": boxes["mean"], "wavelength of the first frame": boxes["wavelength"]}
    figure, axes = figures.figure(1, 2, height=3.8, sharey=True)
    for ax, (name, places) in zip(axes[0], panels.items(), strict=True):
        for number, label in enumerate(metrics["networks"]):
            errors = np.array(metrics["methods"][label]["mse_by_box"], dtype=float)
            colour, marker = figures.PALETTE[number % 6], figures.MARKERS[number % 6]
            ax.plot(places, errors, marker, color=colour, markersize=7, markerfacecolor="none", label=label)
        ax.set(xlabel=name, yscale="log")
    axes[0, 0].set_ylabel("mean square error")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    late = sum(start > 0 for start in boxes["start"])
    caption = f"One point per held-out box and network; {late} of the boxes start late, when the pattern has coarsened."
    return figures.entry(output, "boxes", figure, "Error by composition and length", caption)


def _fields(output: Path, folder: Path, metrics: dict[str, Any]) -> list[figures.Entry]:
    """The box of median error by the network shown."""
    errors = metrics["methods"][metrics["shown"]]["mse_by_box"]
    sim = int(np.argsort(errors)[len(errors) // 2])
    fields = store.open_dataset(folder / "fields.zarr").isel(sim=sim)
    truth, prediction = fields.truth.values, fields.prediction.isel(model=0).values
    times = [float(time) for time in fields.time]
    columns = [f"t = {time:g}" for time in times]
    where = f"Box {sim + 1}, mean {float(fields.mean_drawn):.2f}, the one of median error; {metrics['shown']}."
    view = bodies({"truth": list(truth), "prediction": list(prediction)}, columns)
    middle = truth.shape[1] // 2
    slices = figures.strip({"truth": truth[:, middle], "prediction": prediction[:, middle]}, times)
    return [
        figures.entry(output, "bodies", view, "The phase phi > 1/2", f"{where} Where the box cuts it, it is pale."),
        figures.entry(output, "slices", slices, "Central slice", f"{where} Last row: prediction less truth."),
    ]
