"""Figures of the ablations of the operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from phasemill.core import figures
from phasemill.core.files import read_json
from phasemill.transport.figures.shared import fields, paper_values


def substeps(folder: Path, output: Path) -> list[figures.Entry]:
    """Error against K, and fields of one video in each direction."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    scores = metrics["scores"]
    caption = (
        "Mean |error| of kappa over the held-out videos. Smoothing videos are the same in both modes; sharpening ones "
        "are predicted forward in the unstable direction (forward Euler) or back in the stable one (reverse)."
    )
    drawn = _sweep(output, scores, "K, sub-steps per frame interval", "The same, per direction of time", caption)
    return [_against_the_paper(output, folder, metrics), drawn, *fields(output, folder)]


def stride(folder: Path, output: Path) -> list[figures.Entry]:
    """Error against the stride, and fields of one video in each direction."""
    scores = read_json(folder / "metrics.json")["metrics"]["scores"]
    caption = "Mean |error| of kappa over the held-out videos, with a fixed number of sub-steps per pair of frames."
    drawn = _sweep(output, scores, "s, of which every s-th frame is used", "Error against frames left out", caption)
    return [drawn, *fields(output, folder)]


def _against_the_paper(output: Path, folder: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(height=3.8)
    ax: Axes = axes[0, 0]
    counts = list(metrics["bands"])
    low, high = zip(*metrics["bands"].values(), strict=True)
    k = [int(count) for count in counts]
    ax.fill_between(k, low, high, color=figures.PALETTE[0], alpha=0.18, linewidth=0, label="5 to 95 % of other sets")
    held_out = [metrics["scores"]["forward_euler"][count]["all"]["mae"] for count in counts]
    ax.loglog(k, held_out, "o-", color=figures.PALETTE[0], label="held-out videos")
    papers = paper_values(folder)
    printed = [(int(c), papers[name]) for c in counts if (name := f"transport.substeps.mae_k{c}") in papers]
    ax.loglog(*zip(*printed, strict=True), figures.MARKERS[1], color=figures.PALETTE[1], label="paper, Table 3")
    ax.set(xlabel="K, sub-steps per frame interval", ylabel="mean |error| of kappa")
    _ticks(ax, k)
    ax.legend()
    caption = (
        "All videos, sharpening ones predicted forward in the unstable direction. The band is that of sets of as many "
        "new simulations, drawn as the data set is."
    )
    return figures.entry(output, "table", figure, "Error against the number of sub-steps, beside the paper's", caption)


def _sweep(output: Path, scores: dict[str, Any], label: str, title: str, caption: str) -> figures.Entry:
    figure, axes = figures.figure(height=3.8)
    ax: Axes = axes[0, 0]
    lines = [("forward_euler", "mobility", "mobility, forward Euler"), ("reverse", "mobility", "mobility, reverse")]
    for (mode, regime, name), marker in zip([("reverse", "diffusion", "diffusion"), *lines], "osD", strict=True):
        values = [max(by[regime]["mae"], 1e-9) for by in scores[mode].values()]
        style = {"marker": marker, "fillstyle": "none", "linestyle": "--" if name.endswith("reverse") else "-"}
        ax.loglog([int(key) for key in scores[mode]], values, label=name, **style)
    ax.set(xlabel=label, ylabel="mean |error| of kappa")
    _ticks(ax, [int(key) for key in scores["reverse"]])
    ax.legend()
    return figures.entry(output, "sweep", figure, title, caption)


def _ticks(ax: Axes, values: list[int]) -> None:
    """The values themselves along the logarithmic axis, not powers of ten."""
    ax.set_xticks(values, [str(value) for value in values])
    ax.set_xticks([], minor=True)
