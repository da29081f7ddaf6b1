"""Figures of the ensemble: mean and spread of the free energy, and the collapse of the structure factor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phasemill.core import figures, store
from phasemill.core.files import read_json
from phasemill.spinodal.scaling import scaled

COLOURS = {"truth": figures.INK, "network": figures.PALETTE[0]}


def ensemble(folder: Path, output: Path) -> list[figures.Entry]:
    """Bands of the free energy, structure factors as they are and scaled."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    return [_bands(output, metrics), _collapse(output, metrics, store.open_dataset(folder / "fields.zarr"))]


def _bands(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(2, 1, height=5.4, sharex=True, height_ratios=[3, 1.5])
    times = np.array(metrics["times"])[1:]
    for name, colour in COLOURS.items():
        energy = {key: np.array(values, dtype=np.float64)[1:] for key, values in metrics["energy"][name].items()}
        low, high = energy["mean"] - energy["std"], energy["mean"] + energy["std"]
        axes[0, 0].fill_between(times, low, high, color=colour, alpha=0.15, linewidth=0)
        label = metrics["model"] if name == "network" else name
        axes[0, 0].plot(times, energy["mean"], color=colour, marker="o", markersize=3, label=label)
        for edge in ("low", "high"):
            axes[0, 0].plot(times, energy[edge], color=colour, linewidth=0.8, linestyle=":")
    for key, label, colour in (
        ("mean", "mean", figures.PALETTE[0]),
        ("std", "standard deviation", figures.PALETTE[1]),
        ("member", "worst member, absolute", figures.GUIDE),
    ):
        values = 100 * np.array(metrics["difference"][key], dtype=np.float64)[1:]
        axes[1, 0].plot(times, values, color=colour, label=label, marker="o", markersize=3)
    axes[1, 0].axhline(0, color=figures.GUIDE, linewidth=1)
    axes[0, 0].set(xscale="log", yscale="log", ylabel="$F / N$")
    axes[1, 0].set(xlabel="t", ylabel="difference, %")
    axes[0, 0].legend(frameon=False)
    axes[1, 0].legend(fontsize=8, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    caption = (
        f"Mean of {metrics['members']} members with one standard deviation (shaded) and the 95 % bootstrap interval of "
        "the mean (dotted); below, network less truth. Same members, on the network's grid."
    )
    return figures.entry(output, "bands", figure, "Free energy of the ensemble", caption)


def _collapse(output: Path, metrics: Mapping[str, Any], fields: xr.Dataset) -> figures.Entry:
    """S(k) of the member means, truth and network: as it is, and scaled."""
    figure, axes = figures.figure(2, 2, height=5.8, sharex="row", sharey="row")
    k, times = fields["k"].values, fields["time"].values
    shown = [i for i, t in enumerate(times) if t >= metrics["collapse"]["from"]]
    shades = np.linspace(0.25, 1, len(shown))
    for column, (name, key) in enumerate((("truth", "structure_factor_truth"), (metrics["model"], "structure_factor"))):
        for shade, i in zip(shades, shown, strict=True):
            s = fields[key][:, i].mean("sim").values
            style = {"color": COLOURS["network"], "alpha": float(shade), "linewidth": 1.4}
            axes[0, column].plot(k, s, label=f"t = {times[i]:g}", **style)
            axes[1, column].plot(*scaled(k, s), **style)
        axes[0, column].set(xscale="log", yscale="log", xlabel="$k$", title=name, ylim=(1e-4, None))
        axes[1, column].set(xscale="log", yscale="log", xlabel="$k / q$", xlim=(0.2, 4), ylim=(1e-3, None))
        axes[1, column].set_xticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
        axes[1, column].set_xticks([], minor=True)
    axes[0, 0].set_ylabel("$S(k)$")
    axes[1, 0].set_ylabel("$S(k)$, scaled")
    axes[0, 0].legend(fontsize=8, frameon=False)
    spread = metrics["collapse"]
    caption = (
        f"Structure factor, mean of {metrics['members']} members, from t = {spread['from']:g} on (darker is later); "
        f"below, scaled by the mean wavenumber q: the curves of all times scatter by {100 * spread['truth']:.2g} % in "
        f"truth and {100 * spread['network']:.2g} % by the network for 0.5 < k / q < 2."
    )
    return figures.entry(output, "structure_factor", figure, "Dynamic scaling of the structure factor", caption)
