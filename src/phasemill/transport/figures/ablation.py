"""Figures of the ablations of the operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from phasemill.core import figures
from phasemill.core.files import read_json
from phasemill.transport.figures.shared import fields


def substeps(folder: Path, output: Path) -> list[figures.Entry]:
    """Error against K, and fields of one video in each direction."""
    scores = read_json(folder / "metrics.json")["metrics"]["scores"]
    caption = (
        "Mean |error| of kappa over the held-out videos. Smoothing videos are the same in both modes; sharpening ones "
        "are predicted forward in the unstable direction (forward Euler) or back in the stable one (reverse)."
    )
    drawn = _sweep(output, scores, "K, sub-steps per frame interval", "Error against the number of sub-steps", caption)
    return [drawn, *fields(output, folder)]


def stride(folder: Path, output: Path) -> list[figures.Entry]:
    """Error against the stride, and fields of one video in each direction."""
    scores = read_json(folder / "metrics.json")["metrics"]["scores"]
    caption = "Mean |error| of kappa over the held-out videos, with a fixed number of sub-steps per pair of frames."
    drawn = _sweep(output, scores, "s, of which every s-th frame is used", "Error against frames left out", caption)
    return [drawn, *fields(output, folder)]


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
