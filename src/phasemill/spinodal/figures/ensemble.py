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

COLOURS = (figures.INK, *figures.PALETTE)


def ensemble(folder: Path, output: Path) -> list[figures.Entry]:
    """Bands of the free energy, structure factors as they are and scaled."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    return [_bands(output, metrics), _collapse(output, metrics, store.open_dataset(folder / "fields.zarr"))]


def _bands(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(2, 1, height=5.4, sharex=True, height_ratios=[3, 1.5])
    times = np.array(metrics["times"])[1:]
    for colour, (name, energy) in zip(COLOURS, _energies(metrics).items(), strict=False):
        band = name == "truth" or name == metrics["models"][0]
        if band:
            low, high = energy["mean"] - energy["std"], energy["mean"] + energy["std"]
            axes[0, 0].fill_between(times, low, high, color=colour, alpha=0.15, linewidth=0)
        axes[0, 0].plot(times, energy["mean"], color=colour, marker="o", markersize=3, label=name)
        for edge in ("low", "high") if band else ():
            axes[0, 0].plot(times, energy[edge], color=colour, linewidth=0.8, linestyle=":")
        for key, dash in DASHES.items() if name != "truth" else ():
            values = 100 * np.array(metrics["difference"][name][key], dtype=np.float64)[1:]
            label = LABELS[key] if name == metrics["models"][0] else None
            axes[1, 0].plot(times, values, color=colour, linestyle=dash, label=label)
    axes[1, 0].axhline(0, color=figures.GUIDE, linewidth=1)
    axes[0, 0].set(xscale="log", yscale="log", ylabel="$F / N$")
    axes[1, 0].set(xlabel="t", ylabel="difference, %")
    axes[0, 0].legend(frameon=False)
    axes[1, 0].legend(fontsize=8, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    caption = (
        f"Mean of {metrics['members']} members; for the truth and {metrics['models'][0]} with one standard deviation "
        "(shaded) and the 95 % bootstrap interval of the mean (dotted). Below, each less the truth. Same "
        "members, on the network's grid."
    )
    return figures.entry(output, "bands", figure, "Free energy of the ensemble", caption)


DASHES: dict[str, Any] = {"mean": "-", "std": (0, (4, 2)), "member": ":"}
LABELS = {"mean": "mean", "std": "standard deviation", "member": "worst member, absolute"}


def _energies(metrics: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """name -> statistic -> values from the second time on."""
    return {
        name: {key: np.array(values, dtype=np.float64)[1:] for key, values in its.items()}
        for name, its in metrics["energy"].items()
    }


def _collapse(output: Path, metrics: Mapping[str, Any], fields: xr.Dataset) -> figures.Entry:
    """S(k) of the member means, truth and networks: as it is, and scaled."""
    names = ["truth", *metrics["models"]]
    figure, axes = figures.figure(2, len(names), height=5.4, sharex="row", sharey="row")
    k, times = fields["k"].values, fields["time"].values
    shown = [i for i, t in enumerate(times) if t >= metrics["collapse"]["from"]]
    shades = np.linspace(0.25, 1, len(shown))
    for column, name in enumerate(names):
        series = list(metrics["energy"]).index(name)
        for shade, i in zip(shades, shown, strict=True):
            s = fields["structure_factor"][:, series, i].mean("sim").values
            style = {"color": figures.PALETTE[0], "alpha": float(shade), "linewidth": 1.4}
            ends = f"t = {times[i]:g}" if i in (shown[0], shown[-1]) else None
            axes[0, column].plot(k, s, label=ends, **style)
            axes[1, column].plot(*scaled(k, s), **style)
        axes[0, column].set(xscale="log", yscale="log", xlabel="$k$", title=name, ylim=(1e-4, None))
        axes[1, column].set(xscale="log", yscale="log", xlabel="$k / q$", xlim=(0.2, 4), ylim=(1e-3, None))
        axes[1, column].set_xticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
        axes[1, column].set_xticks([], minor=True)
    axes[0, 0].set_ylabel("$S(k)$")
    axes[1, 0].set_ylabel("$S(k)$, scaled")
    axes[0, 0].legend(fontsize=8, frameon=False, loc="lower left")
    spread = metrics["collapse"]
    scatter = ", ".join(f"{name} {100 * spread[name]:.2g} %" for name in names if spread[name] is not None)
    caption = (
        f"Structure factor, mean of {metrics['members']} members, from t = {spread['from']:g} on (darker is later); "
        f"below, scaled by the mean wavenumber q. The curves of all times scatter for 0.5 < k / q < 2 by: {scatter}."
    )
    return figures.entry(output, "structure_factor", figure, "Dynamic scaling of the structure factor", caption)
