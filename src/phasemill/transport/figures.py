"""Figures of the transport benchmarks, drawn from stored metrics and fields alone."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from phasemill.core import figures, store
from phasemill.core.files import read_json


def zero_shot(folder: Path, output: Path) -> list[figures.Entry]:
    """Parity, error per method, convergence of the network, and fields of one video in each direction."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    direct, network, forward = list(metrics["kappa"])[:3]
    pages = [_parity(output, metrics, direct, [network, forward]), _errors(output, metrics)]
    pages.append(_convergence(output, metrics))
    return pages + _fields(output, folder)


def trained(folder: Path, output: Path) -> list[figures.Entry]:
    """Parity, error per method, training history, and fields of one video in each direction."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    tuned, plain, fresh = list(metrics["kappa"])[:3]
    pages = [
        _parity(output, metrics, tuned, [plain, fresh]),
        _errors(output, metrics),
        _history(output, metrics["history"]),
    ]
    return pages + _fields(output, folder)


def substeps(folder: Path, output: Path) -> list[figures.Entry]:
    """Error against K, and fields of one video in each direction."""
    scores = read_json(folder / "metrics.json")["metrics"]["scores"]
    caption = (
        "Mean |error| of kappa over the held-out videos. Smoothing videos are the same in both modes; sharpening ones "
        "are predicted forward in the unstable direction (forward Euler) or back in the stable one (reverse)."
    )
    drawn = _sweep(output, scores, "K, sub-steps per frame interval", "Error against the number of sub-steps", caption)
    return [drawn, *_fields(output, folder)]


def stride(folder: Path, output: Path) -> list[figures.Entry]:
    """Error against the stride, and fields of one video in each direction."""
    scores = read_json(folder / "metrics.json")["metrics"]["scores"]
    caption = "Mean |error| of kappa over the held-out videos, with a fixed number of sub-steps per pair of frames."
    drawn = _sweep(output, scores, "s, of which every s-th frame is used", "Error against frames left out", caption)
    return [drawn, *_fields(output, folder)]


def _sweep(output: Path, scores: dict[str, Any], label: str, title: str, caption: str) -> figures.Entry:
    figure, axes = figures.figure(height=3.8)
    ax: Axes = axes[0, 0]
    lines = [("forward_euler", "mobility", "mobility, forward Euler"), ("reverse", "mobility", "mobility, reverse")]
    for (mode, regime, name), marker in zip([("reverse", "diffusion", "diffusion"), *lines], "osD", strict=True):
        values = [max(by[regime]["mae"], 1e-9) for by in scores[mode].values()]
        style = {"marker": marker, "fillstyle": "none", "linestyle": "--" if name.endswith("reverse") else "-"}
        ax.loglog([int(key) for key in scores[mode]], values, label=name, **style)
    ax.set(xlabel=label, ylabel="mean |error| of kappa")
    ax.legend()
    return figures.entry(output, "sweep", figure, title, caption)


def _parity(output: Path, metrics: dict[str, Any], best: str, others: list[str]) -> figures.Entry:
    truth, direction = np.array(metrics["truth"]), np.array(metrics["direction"])
    methods = [best, *others]
    figure, axes = figures.figure(1, len(methods), height=6.6 / len(methods) + 1.2, sharex=True, sharey=True)
    for ax, method in zip(axes[0], methods, strict=True):
        for sign, regime in ((1, "diffusion"), (-1, "mobility")):
            chosen = direction == sign
            figures.parity(ax, truth[chosen], np.array(metrics["kappa"][method])[chosen], label=regime)
        ax.set(title=textwrap.fill(method, 18), xlabel="true kappa", ylabel="")
    axes[0, 0].set_ylabel("estimated kappa")
    axes[0, 0].legend(loc="upper left")
    caption = "Each point is one held-out video; a perfect estimate lies on the dashed line."
    return figures.entry(output, "recovery", figure, "Estimated against true kappa", caption)


def _errors(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    methods = metrics["methods"]
    figure, axes = figures.figure(height=0.55 * len(methods) + 1.3)
    ax: Axes = axes[0, 0]
    for group, regime in enumerate(("diffusion", "mobility")):
        values = [max(scores[regime]["mae"], 1e-12) for scores in methods.values()]
        places = np.arange(len(methods)) + 0.16 * (2 * group - 1)
        ax.plot(values, places, figures.MARKERS[group], color=figures.PALETTE[group], markersize=8, label=regime)
    ax.set(xscale="log", xlabel="mean |error| of kappa", yticks=range(len(methods)), yticklabels=list(methods))
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.legend(loc="upper right")
    caption = (
        "Mean absolute error over the held-out videos, per direction of time, beside the trivial constant estimate."
    )
    return figures.entry(output, "errors", figure, "Error of each method", caption)


def _convergence(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(height=3.4)
    ax: Axes = axes[0, 0]
    for history, truth, direction in zip(
        metrics["network_history"], metrics["truth"], metrics["direction"], strict=True
    ):
        steps = np.arange(len(history))
        error = np.abs(np.array(history) - truth)
        ax.semilogy(steps, np.maximum(error, 1e-8), color=figures.PALETTE[direction < 0], alpha=0.6, linewidth=1.2)
    for group, regime in enumerate(("diffusion", "mobility")):
        ax.plot([], [], color=figures.PALETTE[group], label=regime)
    ax.set(xlabel="Adam steps of the network", ylabel="|error| of kappa")
    ax.legend()
    return figures.entry(output, "convergence", figure, "The network settles on kappa", "One line per held-out video.")


def _history(output: Path, history: dict[str, list[float]]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.2, sharex=True)
    for ax, names in ((axes[0, 0], ("safe", "validation_safe")), (axes[0, 1], ("validation_mae",))):
        for name in names:
            ax.plot(history["step"], history[name], label=name.replace("_", " ").replace("safe", "SAFE loss"))
        ax.set(xlabel="step")
        if second := next((s for s, term in zip(history["step"], history["identity"], strict=True) if term), None):
            ax.axvline(second, color=figures.GUIDE, linestyle=":", linewidth=1.2)
    axes[0, 0].set_ylabel("normalised SAFE loss")
    axes[0, 0].legend()
    axes[0, 1].set_ylabel("mean |error| of kappa, validation")
    caption = (
        "The loss that is minimised (training; from the dotted line on, phase two, that of the latent video) and the "
        "one that selects the model (validation, of the raw video); 1 is the persistence forecast. Right: the error of "
        "kappa on the validation videos, which neither training nor selection sees."
    )
    return figures.entry(output, "training", figure, "Training without labels", caption)


def _fields(output: Path, folder: Path) -> list[figures.Entry]:
    fields = store.open_dataset(folder / "fields.zarr")
    method = store.meanings(fields.model)[0].replace("_", " ")
    frames = np.linspace(0, fields.sizes["time"] - 1, 5).round().astype(int)
    pages = []
    for direction, name in ((1, "diffusion"), (-1, "mobility")):
        sim = int(np.flatnonzero(fields.direction.values == direction)[0])
        chosen = fields.isel(sim=sim, time=frames)
        rows = {"truth": chosen.truth.values, "prediction": chosen.prediction.isel(model=0).values}
        start = "first" if direction > 0 else "last"
        caption = (
            f"Base simulation {int(chosen.base)}, kappa = {float(chosen.kappa):.4f}. Truth, roll-out from the {start} "
            f"frame alone with the kappa of: {method}, and their difference. Last frame shown is of time "
            f"{float(chosen.time[-1]):g}."
        )
        figure = figures.strip(rows, [float(time) for time in chosen.time])
        pages.append(figures.entry(output, f"fields_{name}", figure, f"Fields, {name}", caption))
    return pages
