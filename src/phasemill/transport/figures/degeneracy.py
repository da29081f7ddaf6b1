"""Figures of the ablation of the encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from phasemill.core import figures, store
from phasemill.core.files import read_json

DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))


def degeneracy(folder: Path, output: Path) -> list[figures.Entry]:
    """kappa and spread of the latent field against the step, and latent fields, of every arm."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    least = int(np.argmin(metrics["truth"]))
    return [_kappa(output, metrics), _spread(output, metrics), _latent(output, folder, metrics["labels"], least)]


def _kappa(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = _panels(metrics, "kappa")
    for ax, truth in zip(axes[0], metrics["truth"], strict=True):
        ax.axhline(truth, color=figures.GUIDE, linewidth=1.0, zorder=1)
        ax.set(yscale="log")
    axes[0, 0].set_ylabel("kappa")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    caption = "One panel per held-out simulation; the grey line is the true kappa. All arms start alike."
    return figures.entry(output, "kappa", figure, "kappa against the step", caption)


def _spread(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = _panels(metrics, "spread")
    axes[0, 0].set_ylabel("spread, latent / video")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    caption = (
        "Standard deviation of the latent video over that of the video: at 1 the encoder leaves it as it is, towards "
        "0 it takes the structure away from which kappa is read."
    )
    return figures.entry(output, "spread", figure, "Spread of the latent field against the step", caption)


def _panels(metrics: dict[str, Any], quantity: str) -> tuple[Any, np.ndarray]:
    figure, axes = figures.figure(1, len(metrics["truth"]), height=4.2, sharey=True)
    for number, (name, label) in enumerate(metrics["labels"].items()):
        for ax, values, truth in zip(axes[0], metrics[quantity][name], metrics["truth"], strict=True):
            ax.plot(values, color=figures.PALETTE[number], linestyle=DASHES[number], label=label)
            ax.set(xlabel="step", title=f"true kappa {truth:.3f}")
    return figure, axes


def _latent(output: Path, folder: Path, labels: dict[str, str], sim: int) -> figures.Entry:
    """Last kept frame of the video and of each arm's latent video."""
    fields = store.open_dataset(folder / "fields.zarr").isel(sim=sim)
    panels = {"video": fields.truth.values[-1]}
    for number, name in enumerate(store.meanings(fields.arm)):
        panels[labels[name]] = fields.latent.isel(arm=number).values[-1]
    figure, axes = figures.figure(2, -(-len(panels) // 2), height=4.6)
    low, high = panels["video"].min(), panels["video"].max()
    ax: Axes
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (label, frame) in zip(axes.flat, panels.items(), strict=False):
        image = ax.imshow(frame.T, origin="lower", cmap=figures.FIELD_MAP, vmin=low, vmax=high, interpolation="none")
        ax.set_title(label.replace(", ", ",\n").replace(" + ", "\n+ "), fontsize="small", loc="center")
    figure.colorbar(image, ax=axes, aspect=30, pad=0.02)
    caption = (
        f"Base simulation {int(fields.base)}, kappa = {float(fields.kappa):.3f}, time {float(fields.time[-1]):g}: the "
        "video and latent field of each arm at the step of its least spread, all on the colours of the video."
    )
    return figures.entry(output, "latent", figure, "Latent fields", caption)
