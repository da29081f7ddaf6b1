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
    """Parity, error per method, convergence of the network, and fields of one video in each direction."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    direct, network, forward = list(metrics["kappa"])[:3]
    pages = [parity(output, metrics, direct, [network, forward]), errors(output, metrics)]
    pages.append(_convergence(output, metrics))
    return pages + fields(output, folder)


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
