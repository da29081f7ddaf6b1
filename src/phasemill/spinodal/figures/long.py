"""Figures of the whole evolutions: free energy, errors with their floors, sections, topology."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from phasemill.core import figures, store
from phasemill.core.files import read_json

SHOWN = 6
"""Sections side by side."""
DASHED = (0, (4, 3))


def long(folder: Path, output: Path) -> list[figures.Entry]:
    """All figures of a run with networks; of the truth alone its energy and sections."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    fields = store.open_dataset(folder / "fields.zarr")
    pages = [_energy(output, metrics, fields)]
    if not metrics["models"]:
        return [*pages, _truth_sections(output, metrics, fields)]
    names = store.meanings(fields["model"])
    first = [names.index(name) for name in metrics["models"]]
    pages.append(_errors(output, metrics, fields.isel(sim=first[0])))
    for sim in first:
        pages.append(_sections(output, names[sim], fields.isel(sim=sim)))
    pages.append(_topology(output, metrics, fields, first))
    for sim in first:
        pages.append(_slice(output, names[sim], fields.isel(sim=sim)))
    return pages


def _energy(output: Path, metrics: Mapping[str, Any], fields: xr.Dataset) -> figures.Entry:
    """F/N against time, and the relative error below it."""
    runs = metrics["runs"]
    heights = [3.0, 1.4] if runs else [1.0]
    figure, axes = figures.figure(len(heights), 1, height=5.6 if runs else 4.2, sharex=True, height_ratios=heights)
    ax: Axes = axes[0, 0]
    times = np.array(metrics["times"])
    truths = np.array(metrics["energy"]) / metrics["volume"]
    followed = {run["box"] for run in runs} or {0}
    for box, truth in enumerate(truths):
        if box in followed:
            label = "truth" if box == min(followed) else None
            ax.plot(times[1:], truth[1:], color=figures.INK, zorder=3, label=label)
        else:
            ax.plot(times[1:], truth[1:], color=figures.GUIDE, linewidth=1, alpha=0.7)
    for number, run in enumerate(runs):
        colour = figures.PALETTE[metrics["models"].index(run["model"])]
        label = run["model"] if run["box"] == runs[0]["box"] else None
        curve = fields.isel(sim=number)
        ax.plot(
            fields["time"][1:], curve["energy_fourier"][1:] / metrics["volume"], color=colour, label=label, zorder=4
        )
        axes[1, 0].plot(fields["time"][1:], 100 * curve["energy_fourier_error"][1:], color=colour)
    lamella = metrics["lamella_energy"] / metrics["volume"]
    ax.axhline(lamella, color=figures.PALETTE[2], linestyle=DASHED, linewidth=1.2, label="flat lamella")
    guide = times[(times >= 5) & (times <= 500)]
    if len(guide):
        start = np.interp(guide[0], times, truths[0])
        ax.plot(
            guide, 1.15 * start * (guide / guide[0]) ** (-1 / 3), color=figures.GUIDE, linestyle=":", label="$t^{-1/3}$"
        )
    ax.set(xscale="log", yscale="log", ylabel="$F / N$")
    ax.legend(frameon=False)
    if runs:
        axes[1, 0].set(ylabel="$|\\Delta F| / F$, %", ylim=(0, None))
    axes[-1, 0].set_xlabel("t")
    caption = (
        "Free energy per volume of truth and roll-out, both taken from the network's grid by Fourier up-sampling. Thin "
        "grey: the truth of the other boxes. Dashed: the flat lamella, the least that a box can reach; a lamella with "
        "steps is pinned by the grid above it."
    )
    return figures.entry(output, "energy", figure, "Free energy over the whole evolution", caption)


def _errors(output: Path, metrics: Mapping[str, Any], curve: xr.Dataset) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.8, sharex=True)
    times = curve["time"].values[1:]
    for ax, stem in zip(axes[0], ("rmse", "displacement"), strict=True):
        series = [
            (f"{stem}_nearest", "nearest up-sampling"),
            (f"{stem}_fourier", "Fourier up-sampling"),
            (stem, "network's grid"),
        ]
        for colour, (name, label) in zip(figures.PALETTE, series, strict=False):
            ax.plot(times, curve[name][1:], color=colour, label=label)
            if f"{name}_floor" in curve:
                ax.plot(times, curve[f"{name}_floor"][1:], color=colour, linestyle=DASHED, linewidth=1)
        ax.set(xscale="log", xlabel="t", ylim=(0, None))
    axes[0, 0].plot(times, curve["rmse_still"][1:], color=figures.GUIDE, linestyle=":", label="standing still")
    axes[0, 1].axhline(float(curve.attrs["eps"]), color=figures.GUIDE, linestyle=":", label="interface width")
    axes[0, 0].set_title("RMSE of phi")
    axes[0, 1].set_title(r"$\bar{\delta}$, in cells")
    for ax in axes[0]:
        ax.legend(fontsize=8, frameon=False)
    caption = (
        f"Error of {metrics['models'][0]} on the solver's grid after two ways of up-sampling, and on its own grid. "
        "Dashed in the same colour: the floor, that is the error of the truth itself after decimation and up-sampling."
    )
    return figures.entry(output, "errors", figure, "Errors and their floors", caption)


def _sections(output: Path, name: str, run: xr.Dataset) -> figures.Entry:
    """Truth above network, at times evenly spaced in log t."""
    chosen = _geometric(run.sizes["time"])
    middle = run.sizes["z"] // 2
    frames = run.isel(time=chosen, z=middle)
    rows = {"truth": frames["truth"].values, name: frames["prediction"].values}
    caption = f"Middle section of box {int(run['box'])} on the network's grid: truth, {name}, and their difference."
    figure = figures.strip(rows, [float(f"{t:.4g}") for t in frames["time"].values])
    return figures.entry(output, f"sections_{name}", figure, f"Sections, {name}", caption)


def _truth_sections(output: Path, metrics: Mapping[str, Any], fields: xr.Dataset) -> figures.Entry:
    chosen = _geometric(fields.sizes["time"])
    frames = fields.isel(time=chosen, z=fields.sizes["z"] // 2)["truth"]
    boxes = range(min(3, fields.sizes["sim"]))
    rows = {f"box {box}": frames.isel(sim=box).values for box in boxes}
    figure = figures.strip(rows, [float(f"{t:.4g}") for t in frames["time"].values])
    caption = "Middle sections of true evolutions" + (
        "; last row: the last box less the first." if len(rows) > 1 else "."
    )
    return figures.entry(output, "sections", figure, "Sections", caption)


def _topology(output: Path, metrics: Mapping[str, Any], fields: xr.Dataset, first: list[int]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.6, sharex=True)
    times = fields["time"].values[1:]
    for ax, key in zip(axes[0], ("euler", "wavelength"), strict=True):
        ax.plot(times, fields[f"{key}_truth"][first[0], 1:], color=figures.INK, label="truth")
        for colour, sim, name in zip(figures.PALETTE, first, metrics["models"], strict=False):
            ax.plot(times, fields[key][sim, 1:], color=colour, label=name)
        ax.set(xscale="log", xlabel="t")
    axes[0, 0].set_yscale("symlog", linthresh=10)
    axes[0, 0].set_title(r"Euler characteristic of $\phi > 1/2$")
    axes[0, 1].set_yscale("log")
    axes[0, 1].set_title("mean wavelength")
    axes[0, 0].legend(frameon=False)
    caption = (
        "Components less handles plus cavities of the domains, 0 for a lamella, and the mean wavelength of the "
        "structure factor; both on the network's grid."
    )
    return figures.entry(output, "topology", figure, "Topology and length", caption)


def _slice(output: Path, name: str, run: xr.Dataset) -> figures.Entry:
    chosen = np.unique(np.linspace(0, run.sizes["slice_time"] - 1, SHOWN).round().astype(int))
    frames = run.isel(slice_time=chosen)
    rows = {"truth": frames["slice_truth"].values, name: frames["slice_prediction"].values}
    figure = figures.strip(rows, [float(f"{t:.4g}") for t in frames["slice_time"].values])
    caption = f"Noise in the central quarter alone: truth, {name}, and their difference; middle section."
    return figures.entry(output, f"slice_{name}", figure, f"From noise in a slice, {name}", caption)


def _geometric(count: int) -> np.ndarray:
    """Frames of a store whose times are evenly spaced in log t: the first, and later ones up to the last."""
    return np.unique(np.linspace(0, count - 1, SHOWN).round().astype(int))
