"""Figures of the recovery of kappa(x)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from phasemill.core import figures, store
from phasemill.core.files import read_json

NAMES = {"pairs": "pairs", "pairs_smooth": "pairs", "trajectory": "4D-Var"}


def map_recovery(folder: Path, output: Path) -> list[figures.Entry]:
    """Maps and their errors, every video, error against noise, loss against iterations, and what is visible."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    fields = store.open_dataset(folder / "fields.zarr").load()
    return [
        _maps(output, fields, metrics),
        _videos(output, fields, metrics),
        _noise(output, metrics),
        _loss(output, metrics),
        _visibility(output, fields, metrics),
    ]


def _label(run: dict[str, Any]) -> str:
    label = f"{NAMES[run['method']]}\n" + (f"{100 * run['noise']:g} % noise" if run["noise"] else "clean")
    return label if run["settled"] else f"{label}\nno choice"


def _maps(output: Path, fields: xr.Dataset, metrics: dict[str, Any]) -> figures.Entry:
    """The first video: the truth and every estimate, with its error below."""
    first = [row for row, run in enumerate(metrics["runs"]) if run["sim"] == 0]
    truth = fields.truth.values[0]
    maps = [truth, *fields.estimate.values[first]]
    titles = ["truth", *(_label(metrics["runs"][row]) for row in first)]
    drawn = _panels([maps, [one - truth for one in maps]], titles, truth)
    caption = (
        f"{metrics['videos'][0]['name']}: kappa(x) and, below, estimate minus truth. The same noise is used for the "
        "pairs and for 4D-Var; no choice: the rule found no smoothness within its path; colours end at the range of "
        "the truth and at half of it."
    )
    return figures.entry(output, "maps", drawn, "True and estimated maps", caption)


def _videos(output: Path, fields: xr.Dataset, metrics: dict[str, Any]) -> figures.Entry:
    """Every video: truth, clean estimate and 4D-Var at the noise that all have."""
    videos, runs = metrics["videos"], metrics["runs"]
    wanted = [("pairs", 0.0), ("trajectory", metrics["compared_noise"])]
    chosen = [
        next(row for row, run in enumerate(runs) if (run["sim"], run["method"], run["noise"]) == (sim, *key))
        for key in wanted
        for sim in range(len(videos))
    ]
    count = len(videos)
    clean, noisy = fields.estimate.values[chosen[:count]], fields.estimate.values[chosen[count:]]
    truths = fields.truth.values[chosen[:count]]
    titles = [video["name"].replace(", ", "\n") for video in videos]
    drawn = _panels([truths, clean, noisy], titles, truths, labels=["truth", "clean", _label(runs[chosen[-1]])])
    caption = (
        "Truth, estimate from the clean video and estimate by 4D-Var from the noisy one, on the colours of the truth. "
        "Where large grains leave the field flat, no video shows kappa."
    )
    return figures.entry(output, "videos", drawn, "All videos", caption)


def _panels(rows: list[Any], titles: list[str], truth: np.ndarray, labels: list[str] | None = None) -> Any:
    """Rows of maps on one colour scale; without labels the second row shows differences."""
    low, high = float(np.min(truth)), float(np.max(truth))
    columns = len(rows[0])
    figure, axes = figures.figure(len(rows), columns, height=5.2 / columns * len(rows) + 0.6)
    for number, (line, maps) in enumerate(zip(axes, rows, strict=True)):
        difference = labels is None and number == 1
        reach = (high - low) / 2
        limits = (-reach, reach) if difference else (low, high)
        for ax, values in zip(line, maps, strict=True):
            colours = figures.DIFFERENCE_MAP if difference else figures.FIELD_MAP
            ax.imshow(values.T, origin="lower", cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="none")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(labels[number] if labels else "error" if difference else r"$\kappa(x)$")
        if difference or number == 0:
            shared = line if labels is None else axes
            figure.colorbar(line[0].images[0], ax=shared, pad=0.02).outline.set_visible(False)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, loc="center", fontsize=8)
    return figure


def _noise(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(height=3.6)
    ax: Axes = axes[0, 0]
    for place, method in enumerate(("pairs_smooth", "trajectory")):
        runs = [run for run in metrics["runs"] if run["sim"] == 0 and run["method"] == method]
        noise = [100 * run["noise"] for run in runs]
        missing = [1 - run["scores"]["r2"] if run["settled"] else np.nan for run in runs]
        best = [1 - max(point["r2"] for point in run["path"]) for run in runs]
        style = {"color": figures.PALETTE[place], "marker": figures.MARKERS[place]}
        ax.loglog(noise, missing, label=NAMES[method], **style)
        ax.loglog(noise, best, "--", fillstyle="none", label=f"{NAMES[method]}, mu by the truth", **style)
    ax.axhline(1, color=figures.GUIDE, linestyle="--", linewidth=1, label="best single kappa")
    ax.set(xlabel="noise, % of the range of the field", ylabel="1 - R2 of kappa(x)")
    ax.legend()
    caption = (
        "First video. With noise the loss over pairs misleads; one trajectory through all frames does not. Dashed: "
        "the best along the path of smoothness, which only the truth could choose. A point is missing where the rule "
        "finds no least change within the path, so that it makes no choice."
    )
    return figures.entry(output, "noise", figure, "Error of the map against noise", caption)


def _loss(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(height=3.6)
    ax: Axes = axes[0, 0]
    for run in metrics["runs"]:
        if run["method"] == "pairs":
            ax.semilogy(run["history"], label=metrics["videos"][run["sim"]]["name"])
    ax.set(xlabel="iterations of L-BFGS", ylabel="loss over persistence error")
    ax.legend(fontsize=9)
    caption = "Clean videos: the loss over pairs of frames; 1 is the forecast that nothing moves."
    return figures.entry(output, "loss", figure, "The search for kappa(x)", caption)


def _visibility(output: Path, fields: xr.Dataset, metrics: dict[str, Any]) -> figures.Entry:
    """|error| of each cell against its |grad phi|^2, for the video of which least is visible."""
    sim = int(np.argmin([video["coverage"] for video in metrics["videos"]]))
    figure, axes = figures.figure(1, 2, height=3.6, width_ratios=[1.6, 1])
    ax: Axes = axes[0, 0]
    wanted = [("pairs", 0.0), ("trajectory", metrics["compared_noise"])]
    for place, (method, noise) in enumerate(wanted):
        runs = metrics["runs"]
        row = next(n for n, r in enumerate(runs) if r["sim"] == sim and r["method"] == method and r["noise"] == noise)
        one = fields.isel(sim=row)
        seen = one.gradient_square.values
        error = np.maximum(np.abs(one.estimate.values - one.truth.values), 1e-7)
        label = _label(runs[row]).replace("\n", ", ")
        ax.loglog(
            np.maximum(seen / seen.mean(), 1e-16).ravel(), error.ravel(), ".", markersize=3, alpha=0.5, label=label
        )
        ax.lines[-1].set(rasterized=True, color=figures.PALETTE[place])
    ax.axvline(metrics["visible"], color=figures.GUIDE, linestyle="--", linewidth=1)
    ax.set(xlabel=r"$|\nabla\phi|^2$ over its mean", ylabel="|error| of kappa")
    ax.legend(fontsize=9, markerscale=4, loc="lower left")
    picture: Axes = axes[0, 1]
    picture.imshow(one.visible.values.T, origin="lower", cmap="Greys_r", vmin=0, vmax=1, interpolation="none")
    picture.set(xticks=[], yticks=[], title="visible (white)")
    video = metrics["videos"][sim]
    caption = (
        f"{video['name']}: each cell's error against the gradient that the video shows there, averaged over time. "
        f"Left of the dashed line kappa is not visible, which leaves {100 * video['coverage']:.0f} % of the cells."
    )
    return figures.entry(output, "visibility", figure, "No gradient, no answer", caption)
