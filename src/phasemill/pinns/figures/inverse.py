"""Figures of the inverse problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phasemill.core import figures, store
from phasemill.core.files import read_json


def inverse(folder: Path, output: Path) -> list[figures.Entry]:
    """The field with its data, and the coefficients on the way."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    return [_field(output, store.open_dataset(folder / "fields.zarr")), _curves(output, metrics["scores"])]


@figures.style()
def _field(output: Path, fields: Any) -> figures.Entry:
    first = fields.isel(sim=0)
    truth, found = first["truth"].values, first["prediction"].values
    sides = [float(first[dim][end]) for dim in ("time", "x") for end in (0, -1)]
    figure, axes = figures.figure(1, 2, height=3.2, sharey=True)
    reach = float(np.abs(found - truth).max())
    options = {"origin": "lower", "extent": sides, "aspect": "auto"}
    image = axes[0, 0].imshow(found.T, cmap=figures.FIELD_MAP, **options)
    axes[0, 0].plot(first["sample_t"], first["sample_x"], ".", color="white", markersize=1.5)
    axes[0, 0].set_title("network, and where the data lie")
    figure.colorbar(image, ax=axes[0, 0])
    wrong = axes[0, 1].imshow((found - truth).T, cmap=figures.DIFFERENCE_MAP, vmin=-reach, vmax=reach, **options)
    axes[0, 1].set_title("difference from the reference")
    figure.colorbar(wrong, ax=axes[0, 1])
    for ax in axes[0]:
        ax.set_xlabel("t")
        ax.grid(False)
    axes[0, 0].set_ylabel("x")
    return figures.entry(output, "field", figure, "Burgers from sparse noisy data", "First seed.")


@figures.style()
def _curves(output: Path, scores: list[dict[str, Any]]) -> figures.Entry:
    names = list(dict.fromkeys(line["name"] for score in scores for line in score["lines"]))
    figure, axes = figures.figure(1, len(names), height=3.2)
    for score in scores:
        for line in score["lines"]:
            ax = axes[0, names.index(line["name"])]
            steps = [row["step"] for row in score["curve"]]
            ax.plot(steps, [row[line["name"]] / line["true"] for row in score["curve"]], linewidth=1.1)
    for ax, name in zip(axes[0], names, strict=True):
        ax.axhline(1, color=figures.INK, linewidth=0.8)
        ax.set(yscale="log", xlabel="steps", title=name)
    axes[0, 0].set_ylabel("found / true")
    return figures.entry(
        output, "coefficients", figure, "Coefficients while they are found",
        "One line for each seed; first Adam with dynamic weights, then the quasi-Newton method.",
    )  # fmt: skip
