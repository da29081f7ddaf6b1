"""Figures of the whole evolutions: free energy, errors with their floors, sections, topology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from phasemill.core import figures, store
from phasemill.core.files import read_json
from phasemill.spinodal.evaluate.long_references import DECIMATED

DASHED = (0, (4, 3))
LEAST = 1e-3
"""Least error that is drawn, in per cent."""
STYLES: tuple[dict[str, Any], ...] = tuple(
    {"color": colour, "linestyle": line}
    for line, colours in (("-", figures.PALETTE[:2]), (":", figures.PALETTE[2:4]), ("-", figures.PALETTE[4:]))
    for colour in colours
)
"""By roll-out: two networks, two solvers, and more networks."""


def long(folder: Path, output: Path) -> list[figures.Entry]:
    """All figures of a run with networks; of the truth alone its energy and sections."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    fields = store.open_dataset(folder / "fields.zarr")
    pages = [_energy(output, metrics, fields)]
    if not metrics["models"]:
        return [*pages, _truth_sections(output, fields)]
    names = [run["model"] for run in metrics["runs"]]
    shown = list(dict.fromkeys(names))
    first = [names.index(name) for name in shown]
    learned = [names.index(name) for name in metrics["models"]]
    for sim in learned:
        pages.append(_errors(output, names[sim], fields.isel(sim=sim), fields.isel(sim=names.index(DECIMATED))))
    for sim in learned:
        pages.append(_sections(output, names[sim], fields.isel(sim=sim)))
    pages.append(_topology(output, fields, dict(zip(shown, first, strict=True))))
    for around in store.meanings(fields["around"]):
        pages.append(_slice(output, {names[sim]: sim for sim in learned}, fields, around))
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
        style = dict(STYLES[_place(runs, run["model"])])
        curve = fields.isel(sim=number)
        label = run["model"] if run["box"] == runs[0]["box"] else None
        values = curve["energy_fourier"][1:] / metrics["volume"]
        ax.plot(fields["time"][1:], values, label=label, zorder=4, **style)
        errors = 100 * curve["energy_fourier_error"][1:]
        axes[1, 0].plot(fields["time"][1:], np.maximum(errors, LEAST), **style)
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
        axes[1, 0].set(ylabel="$|\\Delta F| / F$, %", yscale="log")
        ax.set_ylim(0.5 * truths[:, -1].min(), 2 * truths[:, 1].max())
    axes[-1, 0].set_xlabel("t")
    caption = (
        "Free energy per volume of truth and roll-out, both taken from the network's grid by Fourier up-sampling. Thin "
        "grey: the truth of the other boxes. Dashed: the flat lamella, the least that a box can reach; a lamella with "
        "steps is pinned by the grid above it. Dotted: solvers in the place of the network."
    )
    return figures.entry(output, "energy", figure, "Free energy over the whole evolution", caption)


def _errors(output: Path, name: str, curve: xr.Dataset, solver: xr.Dataset) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=4.4, sharex=True)
    times = curve["time"].values[1:]
    for ax, stem in zip(axes[0], ("rmse", "displacement"), strict=True):
        series = [
            (f"{stem}_nearest", "nearest up-sampling"),
            (f"{stem}_fourier", "Fourier up-sampling"),
            (stem, "network's grid"),
        ]
        for colour, (key, label) in zip(figures.PALETTE, series, strict=False):
            ax.plot(times, curve[key][1:], color=colour, label=label)
            if f"{key}_floor" in curve:
                ax.plot(times, curve[f"{key}_floor"][1:], color=colour, linestyle=DASHED, linewidth=1)
        ax.plot(times, solver[stem][1:], color=figures.INK, linestyle=":", label=f"{DECIMATED}, network's grid")
        ax.set(xscale="log", xlabel="t", ylim=(0, None))
    axes[0, 0].plot(times, curve["rmse_still"][1:], color=figures.GUIDE, linestyle="-.", label="standing still")
    axes[0, 1].axhline(float(curve.attrs["eps"]), color=figures.GUIDE, linestyle="-.", label="interface width")
    axes[0, 0].set_title("RMSE of phi")
    axes[0, 1].set_title(r"$\bar{\delta}$, in cells")
    entries = {text: line for ax in axes[0] for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    caption = (
        f"Error of {name} on the solver's grid after two ways of up-sampling, and on its own grid. Dashed in the same "
        "colour: the floor, that is the error of the truth itself after decimation and up-sampling. Dotted: the solver "
        "from the network's own start."
    )
    return figures.entry(output, f"errors_{name}", figure, f"Errors and their floors, {name}", caption)


def _sections(output: Path, name: str, run: xr.Dataset) -> figures.Entry:
    """Truth above network, at times evenly spaced in log t, as they are stored."""
    middle = run.isel(z=run.sizes["z"] // 2)
    figure = figures.stored_strip({"truth": middle.truth, name: middle.prediction}, rounded=figures.four_digits)
    caption = f"Middle section of box {int(run['box'])} on the network's grid: truth, {name}, and their difference."
    return figures.entry(output, f"sections_{name}", figure, f"Sections, {name}", caption)


def _truth_sections(output: Path, fields: xr.Dataset) -> figures.Entry:
    middle = fields["truth"].isel(z=fields.sizes["z"] // 2)
    rows = {f"box {box}": middle.isel(sim=box) for box in range(min(3, fields.sizes["sim"]))}
    figure = figures.stored_strip(rows, rounded=figures.four_digits)
    caption = "Middle sections of true evolutions" + (
        "; last row: the last box less the first." if len(rows) > 1 else "."
    )
    return figures.entry(output, "sections", figure, "Sections", caption)


def _topology(output: Path, fields: xr.Dataset, shown: Mapping[str, int]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.6, sharex=True)
    times = fields["time"].values[1:]
    for ax, key in zip(axes[0], ("euler", "wavelength"), strict=True):
        ax.plot(times, fields[f"{key}_truth"][0, 1:], color=figures.INK, label="truth")
        for style, (name, sim) in zip(STYLES, shown.items(), strict=False):
            ax.plot(times, fields[key][sim, 1:], label=name, **style)
        ax.set(xscale="log", xlabel="t")
    axes[0, 0].set_yscale("symlog", linthresh=10)
    axes[0, 0].set_title(r"Euler characteristic of $\phi > 1/2$")
    axes[0, 1].set_yscale("log")
    axes[0, 1].set_title("mean wavelength")
    axes[0, 0].legend(fontsize=8, frameon=False)
    caption = (
        "Components less handles plus cavities of the domains, 0 for a lamella, and the mean wavelength of the "
        "structure factor; both on the network's grid."
    )
    return figures.entry(output, "topology", figure, "Topology and length", caption)


def _slice(output: Path, learned: Mapping[str, int], fields: xr.Dataset, around: str) -> figures.Entry:
    place = store.meanings(fields["around"]).index(around)
    chosen = fields.isel(around=place)[["slice_truth", "slice_prediction"]].rename(slice_time="time")
    rows = {"truth": chosen.slice_truth[0]}
    rows |= {name: chosen.slice_prediction[sim] for name, sim in learned.items()}
    figure = figures.stored_strip(rows, rounded=figures.four_digits)
    where = "in the uniform mixture" if around == "mixture" else "between phi = 0 and 1"
    caption = (
        f"Noise in the central quarter alone, {where}: {', '.join(rows)}, and the difference of the last from the "
        "first; middle section."
    )
    return figures.entry(output, f"slice_{around}", figure, f"From noise in a slice, {where}", caption)


def _place(runs: Sequence[Mapping[str, Any]], name: str) -> int:
    """The number of a roll-out among all names."""
    return list(dict.fromkeys(run["model"] for run in runs)).index(name) % len(STYLES)
