"""Figures of the trained estimators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from phasemill.core import figures
from phasemill.core.files import read_json
from phasemill.transport.figures.shared import errors, fields, parity


def trained(folder: Path, output: Path) -> list[figures.Entry]:
    """Parity, error per method and per variant, training history, fields of one video in each direction."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    tokens, _, tuned, plain = list(metrics["kappa"])[:4]
    pages = [
        parity(output, metrics, tokens, [tuned, plain]),
        errors(output, metrics),
        _variants(output, metrics["variants"], metrics["noise"]),
        _history(output, metrics["history"]),
    ]
    return pages + fields(output, folder)


def _variants(output: Path, variants: list[dict[str, Any]], noise: float) -> figures.Entry:
    figure, axes = figures.figure(height=0.32 * len(variants) + 1.3)
    ax: Axes = axes[0, 0]
    places = np.arange(len(variants))
    for group, (condition, label) in enumerate((("clean", "clean videos"), ("noisy", f"{100 * noise:g} % noise"))):
        values = [variant[condition]["mae"] for variant in variants]
        ax.plot(values, places, figures.MARKERS[group], color=figures.PALETTE[group], markersize=7, label=label)
    names = [variant["label"] for variant in variants]
    ax.set(xscale="log", xlabel="mean |error| of kappa", yticks=places, yticklabels=names)
    ax.invert_yaxis()
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    caption = (
        "Estimators that see a video once, each trained once without labels unless said, on the held-out base "
        "simulations. From spectra: tokens of band energies. From pixels: the paper's convolutions of pooled frames."
    )
    return figures.entry(
        output, "variants", figure, "What attention, positions and noise in training are worth", caption
    )


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
    return figures.entry(output, "training", figure, "Training of the paper's estimator, without labels", caption)
