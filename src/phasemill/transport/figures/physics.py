"""Figures of the recovery of the parameters of other equations."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from phasemill.core import figures, store
from phasemill.core.files import read_json
from phasemill.transport.systems import SYSTEMS


def physics(folder: Path, output: Path) -> list[figures.Entry]:
    """Error against K, error and calibration under noise, and fields of each system."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    return [_sweep(output, metrics), _noise(output, metrics), *_fields(output, folder)]


def _sweep(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(2, 2, height=6.2, sharex=True, sharey=True)
    for ax, (name, system) in zip(axes.flat, SYSTEMS.items(), strict=True):
        videos = [n for n, other in enumerate(metrics["systems"]) if other == name]
        counts = [int(k) for k in metrics["sweep"][videos[0]]]
        for p, parameter in enumerate(system.parameters):
            errors = np.array([_errors(metrics["sweep"][n], p) for n in videos])
            middle = np.median(errors, axis=0)
            spread = (middle - errors.min(axis=0), errors.max(axis=0) - middle)
            style = {"marker": figures.MARKERS[p], "fillstyle": "none", "capsize": 2, "elinewidth": 1}
            ax.errorbar(counts, middle, spread, color=figures.PALETTE[p], label=_symbol(parameter), **style)
        fourth = [metrics["runge_kutta"][n] for n in videos]
        worst = [np.abs(found["error"]).max() for found in fourth]
        ax.plot([found["substeps"] for found in fourth], worst, "x", color=figures.INK, label="Runge-Kutta")
        stable = max(metrics["stable_substeps"][n] for n in videos)
        ax.axvspan(0.8, stable, color=figures.GUIDE, alpha=0.15, linewidth=0)
        ax.set(xscale="log", yscale="log", title=system.title, xlim=(0.8, 1.3 * max(counts)), ylim=(1e-10, 10))
        ax.legend(fontsize=8, ncols=2, loc="upper right", frameon=False)
    for ax in axes[-1]:
        ax.set_xlabel("K, sub-steps per frame interval")
    for ax in axes[:, 0]:
        ax.set_ylabel("relative error")
    caption = (
        "Relative error of each parameter without noise: median over the videos, bars from the least to the largest. "
        "Explicit Euler sub-steps; grey: K below their stability limit. Crosses: the largest error of each video with "
        "as few Runge-Kutta sub-steps as are stable."
    )
    return figures.entry(output, "sweep", figure, "Error against the number of sub-steps", caption)


def _noise(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    """One panel per system: relative error with its reported sigma, per method, at the highest noise."""
    level = max(metrics["noise"], key=float)
    lines = metrics["noise"][level]
    figure, axes = figures.figure(2, 2, height=4.6, sharey=True)
    for ax, system in zip(axes.flat, SYSTEMS.values(), strict=True):
        chosen = [line for line in lines if line["system"] == system.title]
        for p, parameter in enumerate(system.parameters):
            for row, line in enumerate(chosen):
                error, sigma = np.array(line["error"])[:, p], np.array(line["sigma"])[:, p]
                places = row + (p - (len(system.parameters) - 1) / 2) * 0.2 + np.linspace(-0.07, 0.07, len(error))
                style = {"marker": figures.MARKERS[p], "markersize": 3.5, "linestyle": "", "elinewidth": 1}
                label = _symbol(parameter) if row == 0 else None
                ax.errorbar(error, places, xerr=2 * sigma, color=figures.PALETTE[p], label=label, **style)
        ax.axvline(0, color=figures.GUIDE, linewidth=1)
        ax.set(
            title=system.title,
            yticks=range(len(chosen)),
            yticklabels=[textwrap.fill(line["method"], 18) for line in chosen],
        )
        ax.set_xscale("symlog", linthresh=0.01)
        ax.set_xlim(-1, 1)
        ax.set_xticks([-0.1, -0.01, 0, 0.01, 0.1, 1], ["-0.1", "-0.01", "0", "0.01", "0.1", "1"], fontsize=8)
        ax.set_ylim(len(chosen) - 0.5, -0.5)
        ax.legend(fontsize=8, ncols=1 if len(system.parameters) < 4 else 2, loc="upper left", frameon=False)
    for ax in axes[-1]:
        ax.set_xlabel("relative error")
    caption = (
        f"Relative error of each parameter at {float(level):.0%} noise; each point is one video, with twice its "
        "reported sigma to both sides. The axis is linear within 1 % and logarithmic beyond. Pairs are biased, and "
        "their bars do not show it."
    )
    return figures.entry(output, "noise", figure, f"Error at {float(level):.0%} noise", caption)


def _fields(output: Path, folder: Path) -> list[figures.Entry]:
    """Truth, roll-out and difference of the first video of each system; of two species, the second."""
    fields = store.open_dataset(folder / "fields.zarr")
    names = np.array(store.meanings(fields.system))
    pages = []
    for name, system in SYSTEMS.items():
        sim = int(np.flatnonzero(names == name)[0])
        chosen = fields.isel(sim=sim)
        field = system.fields[-1]
        times = chosen.elapsed.values
        rows = {"truth": chosen[field].values, "prediction": chosen[f"{field}_prediction"].values}
        values = ", ".join(f"{parameter} = {float(chosen[parameter]):.4g}" for parameter in system.parameters)
        caption = (
            f"{system.equation}; {values}. The video, the roll-out from its first frame with the parameters found "
            "without noise and the largest K, and their difference."
        )
        figure = figures.strip(rows, [float(f"{time:.4g}") for time in times], quantity=f"${field}$")
        pages.append(figures.entry(output, f"fields_{name}", figure, f"Fields, {system.title}", caption))
    return pages


def _errors(by_k: Mapping[str, Any], p: int) -> list[float]:
    """|relative error| of one parameter against K; nan where no fit was possible, never below round-off."""
    return [float("nan") if error is None else max(abs(error[p]), 1e-9) for error in by_k.values()]


def _symbol(parameter: str) -> str:
    """A parameter as mathematics."""
    special = {"kappa": r"$\kappa$", "eps2": r"$\epsilon^2$", "D_u": "$D_u$", "D_v": "$D_v$"}
    return special.get(parameter, f"${parameter}$")
