"""Figures of the zero-shot benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from phasemill.core import figures
from phasemill.core.files import read_json
from phasemill.transport.figures.shared import errors, fields, parity


def zero_shot(folder: Path, output: Path) -> list[figures.Entry]:
    """Parity, error per method and against seconds, convergence of the network, and fields of two videos."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    direct, network, forward = list(metrics["kappa"])[:3]
    pages = [parity(output, metrics, direct, [network, forward]), errors(output, metrics)]
    pages += [_ways(output, metrics["comparison"]["few"]), _convergence(output, metrics)]
    return pages + fields(output, folder)


def _ways(output: Path, comparison: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(height=4.2)
    ax: Axes = axes[0, 0]
    for number, (label, way) in enumerate(comparison.items()):
        colour, marker = figures.PALETTE[number], figures.MARKERS[number]
        seconds, error = np.array(way["seconds"]), np.maximum(way["error"], 1e-10)
        middle = (float(np.median(seconds)), float(np.exp(np.mean(np.log(error)))))
        ax.loglog(seconds, error, marker, color=colour, fillstyle="none", alpha=0.6)
        ax.loglog(*middle, marker, color=colour, markersize=9)
        # beside the marker; the slow ways lie close together at the right side: above and below in turns
        place, across, up = ((11, 0), "left", "center") if middle[0] < 0.5 else ((0, -18), "center", "center")
        if number % 2 == 0:
            place = (place[0], -place[1])
        ax.annotate(label, middle, xytext=place, textcoords="offset points", ha=across, va=up)
    ax.set(xlabel="seconds for one video", ylabel="|error| of kappa")
    ax.margins(0.15)
    videos = len(next(iter(comparison.values()))["error"])
    caption = (
        f"The same {videos} held-out videos for every way: one open marker each, the filled one is the median of "
        "the seconds and the geometric mean of the errors. One thread, from the frames in memory to the answer. The "
        "operator behind the first four ways has made these data itself: the tables have the errors on others, too."
    )
    return figures.entry(output, "ways", figure, "Ways to find one scalar", caption)


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
