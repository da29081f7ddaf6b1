"""Figures of the published method: errors, way of the radius, weights, losses, fields, bottleneck, attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phasemill.core import figures, store
from phasemill.core.files import read_json
from phasemill.grains.config.gradnorm import ALONE, ARMS, FIXES, WEIGHTED
from phasemill.grains.published.course import TERMS
from phasemill.grains.published.course import WEIGHTED as WEIGHTS

RECURRENT = tuple(name for name, arm in ARMS.items() if not arm.feed_forward)
CHOSEN = ("fixed", "modified", "gradnorm", "hard", "variational", "all")
STYLES = ("-", "--")


def gradnorm(folder: Path, output: Path) -> list[figures.Entry]:
    """All figures of the page."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    fields = store.open_dataset(folder / "fields.zarr").isel(sim=0)
    return [
        _errors(output, metrics),
        _ways(output, metrics),
        _strip(output, fields, "modified", "published", "Published method, Algorithm 2."),
        _strip(output, fields, "all", "all", "Hard initial condition, incremental energy, increments mixed."),
        _weights(output, metrics),
        _losses(output, metrics),
        _bottleneck(output, fields),
        _attention(output, fields),
    ]


@figures.style()
def _errors(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 3, height=4.6, sharey=True)
    intervals, still = np.arange(1, len(metrics["reference"]["still"])), metrics["reference"]["still"][1:]
    for ax, names, title in zip(
        axes[0], (WEIGHTED, FIXES, RECURRENT), ("weights", "one change each", "recurrent alone"), strict=True
    ):
        for number, name in enumerate(names):
            for seed, run in enumerate(metrics["scores"][name]):
                ax.plot(
                    intervals, run["mse_by_frame"][1:], figures.MARKERS[number % 6] + STYLES[number // 6],
                    color=figures.PALETTE[number % 6], linewidth=1.2, markersize=4, label=None if seed else _name(name),
                )  # fmt: skip
        ax.plot(intervals, still, ":", color=figures.INK, label="no motion")
        ax.set(yscale="log", xlabel="interval", title=title)
        ax.set_xticks(intervals if len(intervals) < 7 else intervals[:: len(intervals) // 5])
        ax.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.45, -0.2))
    axes[0, 0].set_ylabel("mean square error")
    return figures.entry(
        output, "errors", figure, "Error by interval", "One line per seed. Middle: the published arm with one change."
    )


@figures.style()
def _ways(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=4.8)
    truth, times = metrics["reference"], metrics["reference"]["times"]
    for ax, names in zip(axes[0], (CHOSEN, RECURRENT), strict=True):
        ax.plot(times, _way(truth), color=figures.INK, linewidth=3, alpha=0.35, label="truth")
        for number, name in enumerate(names):
            ax.plot(
                times, _way(metrics["scores"][name][0]), figures.MARKERS[number % 6] + STYLES[number // 6],
                color=figures.PALETTE[number % 6], linewidth=1.2, markersize=4, label=_name(name),
            )  # fmt: skip
        reach = abs(_way(truth)[-1])
        ax.set(xlabel="t", ylim=(-3 * reach, 2 * reach))
        ax.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.2))
    axes[0, 0].set_ylabel("R(0.05) less its start")
    return figures.entry(
        output, "ways", figure, "Way of the radius",
        "First seed; lines that leave the frame go far.",
    )  # fmt: skip


def _way(run: dict[str, Any]) -> np.ndarray:
    return np.asarray(run["radius_visible"], np.float64) - float(run["radius_visible"][0])


def _name(arm: str) -> str:
    return ARMS[arm].label.removeprefix(ALONE).replace("incremental energy for the residual", "energy")


def _strip(output: Path, fields: Any, arm: str, name: str, caption: str) -> figures.Entry:
    prediction = fields.prediction.isel(arm=store.meanings(fields["arm"]).index(arm))
    view = figures.stored_strip({"truth": fields.truth, "network": prediction}, rounded=figures.tenths)
    return figures.entry(output, f"fields_{name}", view, f"Truth, network and difference: {_name(arm)}", caption)


@figures.style()
def _weights(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 3, height=3.6)
    for ax, arm in zip(axes[0, :2], ("modified", "gradnorm"), strict=True):
        log = metrics["scores"][arm][0]["log"]
        for number, name in enumerate(WEIGHTS):
            values = log[f"weight_{name}"]
            ax.plot(np.arange(1, len(values) + 1), values, color=figures.PALETTE[number], label=LOSSES[name])
        ax.set(xlabel="epoch", title=ARMS[arm].label)
    axes[0, 0].set_ylabel("weight")
    axes[0, 1].sharey(axes[0, 0])
    axes[0, 0].legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.25))
    for number, arm in enumerate(WEIGHTED):
        gamma = metrics["scores"][arm][0]["log"]["gamma"]
        axes[0, 2].plot(np.arange(1, len(gamma) + 1), gamma, color=figures.PALETTE[number], label=ARMS[arm].label)
    axes[0, 2].set(xlabel="epoch", title="gamma")
    axes[0, 2].legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.25))
    return figures.entry(
        output, "weights", figure, "Weights of the losses, and of the coordinates' network",
        "First seed; those of the losses begin at 1, sum 3.",
    )  # fmt: skip


LOSSES = {
    "initial": "initial condition",
    "motion": "motion",
    "pde": "frames",
    "latent": "latent",
    "difference": "difference of the networks",
    "reconstruction": "reconstruction",
    "energy": "energy, as coded",
    "regularisation": "L1 and L2",
    "data": "data",
}


@figures.style()
def _losses(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(height=3.8)
    ax, log = axes[0, 0], metrics["scores"]["modified"][0]["log"]
    for number, name in enumerate(TERMS):
        values = np.array(log[name])
        if not (values > 0).any():
            continue
        style = STYLES[number // 6]
        ax.plot(
            np.arange(1, len(values) + 1), np.where(values > 0, values, np.nan), style, linewidth=1.3,
            color=figures.PALETTE[number % 6], label=LOSSES[name],
        )  # fmt: skip
    ax.axhline(metrics["losses"]["all"]["residual, as published"], color=figures.GUIDE, linewidth=1)
    ax.set(yscale="log", xlabel="epoch", ylabel="loss")
    ax.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figures.entry(
        output, "losses", figure, "All losses of the published arm",
        "First seed, before their weights. Grey: the published residual of the exact evolution.",
    )  # fmt: skip


@figures.style()
def _bottleneck(output: Path, fields: Any) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.2)
    last = fields.isel(time=-1)
    error = np.abs(last.drawn_mean.values - last.truth.values)
    high = float(max(error.max(), last.drawn_spread.values.max())) or 1.0
    for ax, values, title in zip(
        axes[0], (error, last.drawn_spread.values), ("error of the mean", "standard deviation"), strict=True
    ):
        image = ax.imshow(values.T, origin="lower", cmap=figures.FIELD_MAP, vmin=0, vmax=high)
        ax.set(xticks=[], yticks=[], title=title)
    figure.colorbar(image, ax=axes[0], shrink=0.8)
    return figures.entry(
        output, "bottleneck", figure, "Does the variational bottleneck know its error?", "Drawn roll-outs, last frame."
    )


@figures.style()
def _attention(output: Path, fields: Any) -> figures.Entry:
    figure, axes = figures.figure(1, 4, height=2.1)
    for ax, look, title in zip(
        axes[0], fields.attention.values, ("begun", "begun, no map", "trained", "trained, no map"), strict=True
    ):
        ax.imshow(look.T * len(look), origin="lower", cmap=figures.FIELD_MAP)
        ax.set(xticks=[], yticks=[], title=title)
    return figures.entry(
        output, "attention", figure, "Weights of the attention",
        "Rows by rows, each with a colour scale of its own; with the map of interfaces in the formula and without it.",
    )  # fmt: skip
