"""Figures of the ablation: errors of the arms, by frame, while they learn, in the long run, and slices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from phasemill.core import figures, store
from phasemill.core.files import read_json
from phasemill.spinodal.config.variants import OUTPUTS
from phasemill.spinodal.figures.shared import clipped

GROUPS = {
    "how phi changes": OUTPUTS,
    "input and scale": ("reference", "centred", "raw", "average", "none"),
    "training": ("reference", "absolute", "given", "at_once"),
}


def ablation(folder: Path, output: Path) -> list[figures.Entry]:
    """All figures of the benchmark."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    return [
        _errors(output, metrics),
        _frames(output, metrics),
        _curves(output, metrics),
        _long(output, metrics),
        _slices(folder, output),
    ]


def _errors(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    arms = list(metrics["arms"].values())
    figure, axes = figures.figure(1, 2, height=0.34 * len(arms) + 1.2, sharey=True)
    for ax, key, label in zip(axes[0], ("errors", "energies"), ("mean squared error", "mean |dF|/F"), strict=True):
        for row, arm in enumerate(arms):
            ax.plot([min(arm[key]), max(arm[key])], [row, row], color=figures.GUIDE, linewidth=1.5)
            ax.plot(arm[key], [row] * len(arm[key]), "o", color=figures.PALETTE[0], markersize=6, alpha=0.75)
        reference = np.exp(np.mean(np.log(arms[0][key])))
        ax.axvline(reference, color=figures.GUIDE, linestyle=(0, (4, 3)), linewidth=1)
        ax.set(xscale="log", xlabel=label, yticks=range(len(arms)), yticklabels=[arm["label"] for arm in arms])
        ax.set_ylim(len(arms) - 0.5, -0.5)
    still = float(np.mean(metrics["persistence"]))
    axes[0, 0].axvline(still, color=figures.INK, linewidth=1)
    axes[0, 0].annotate(
        "no motion",
        (still, -0.45),
        xytext=(3, 0),
        textcoords="offset points",
        fontsize=8,
        va="top",
        annotation_clip=False,
    )
    caption = (
        "Free roll-outs over all frames of the held-out boxes; each point is one training. Dashed: the reference's "
        "geometric mean. Solid: the error of standing still."
    )
    return figures.entry(output, "arms", figure, "Error of each arm", caption)


def _frames(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(2, len(GROUPS), height=5.2, sharex=True, sharey="row")
    for column, (title, members) in enumerate(GROUPS.items()):
        for number, name in enumerate(members):
            arm = metrics["arms"][name]
            for ax, key in zip(axes[:, column], ("by_frame", "energy_by_frame"), strict=True):
                values = np.array(arm[key])[1:]
                ax.semilogy(np.arange(1, len(values) + 1), values, color=figures.PALETTE[number], label=arm["label"])
        still = metrics["persistence"][1:]
        axes[0, column].semilogy(np.arange(1, len(still) + 1), still, color=figures.INK, linewidth=1, label="no motion")
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel("frame")
        axes[0, column].legend(fontsize=6.5, loc="lower right", handlelength=1.2)
    axes[0, 0].set_ylabel("mean squared error")
    axes[1, 0].set_ylabel("|dF|/F")
    caption = "Mean over the trainings and boxes, by frame of the free roll-out; one frame is tau."
    return figures.entry(output, "frames", figure, "Error along the roll-out", caption)


def _curves(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, len(GROUPS), height=3.2, sharey=True)
    for ax, (title, members) in zip(axes[0], GROUPS.items(), strict=True):
        for number, name in enumerate(members):
            runs = [rows for run, rows in metrics["curves"].items() if run.rsplit("_", 1)[0] == name]
            steps = np.array([row["step"] for row in runs[0]]) / runs[0][-1]["step"]
            values = np.array([[row["validation_mse"] for row in rows] for rows in runs])
            label = metrics["arms"][name]["label"]
            style = {"color": figures.PALETTE[number], "marker": "o", "markersize": 4}
            ax.semilogy(steps, np.exp(np.log(values).mean(axis=0)), label=label, **style)
        ax.set(title=title, xlabel="share of the training")
        ax.legend(fontsize=6.5, handlelength=1.2)
    axes[0, 0].set_ylabel("validation error")
    caption = "Mean squared error of free roll-outs on the validation sequences, geometric mean over the trainings."
    return figures.entry(output, "learning", figure, "While they learn", caption)


def _long(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.4, width_ratios=[1.6, 1])
    ax: Axes = axes[0, 0]
    arms = list(metrics["long"].values())
    for number, arm in enumerate(arms):
        for curve in arm["energy"]:
            label = arm["label"] if curve is arm["energy"][0] else None
            tau = metrics["every"] * np.arange(len(curve))
            ax.plot(tau, curve, color=figures.PALETTE[number], linewidth=1.3, label=label)
    ax.axhline(1, color=figures.INK, linewidth=1)
    ax.set(xlabel="t / tau", ylabel="F over the truth's", yscale="log", ylim=(0.3, 5))
    ax.legend(fontsize=7.5)
    for number, arm in enumerate(arms):
        axes[0, 1].plot(
            max(arm["drift"], 1e-9), number, figures.MARKERS[0], color=figures.PALETTE[number], markersize=8
        )
    axes[0, 1].set(xscale="log", xlabel="largest change of the mean", yticks=range(len(arms)))
    axes[0, 1].set_yticklabels([arm["label"] for arm in arms], fontsize=8)
    axes[0, 1].set_ylim(len(arms) - 0.5, -0.5)
    caption = (
        "Left: free energy over that of the truth in small boxes, one line per training; 1 is right. Right: how far "
        "the mean concentration strays, which the equation conserves."
    )
    return figures.entry(output, "long", figure, "The long roll-out", caption)


def _slices(folder: Path, output: Path) -> figures.Entry:
    fields = store.open_dataset(folder / "fields.zarr").isel(sim=0)
    names = store.meanings(fields.arm)
    shown = ("reference", "raw", "plain", "none")
    rows = {"truth": fields.truth} | {name: fields.prediction.isel(arm=names.index(name)) for name in shown}
    figure = figures.stored_strip(clipped(rows))
    caption = (
        "The plane z = 0 of one held-out box; the last row is the last arm less the truth. Values beyond [-0.2, 1.2] "
        "are cut."
    )
    return figures.entry(output, "slices", figure, "Truth and roll-outs", caption)
