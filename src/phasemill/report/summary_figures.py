"""Figures of the summary page: small panels of one kind, so that the page arranges them by the width it has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from phasemill.core import figures
from phasemill.core.files import write_bytes
from phasemill.core.isosurface import render
from phasemill.report.pictures import encoded
from phasemill.report.summary_fields import LEARNED, Cube, Floats, diverged

K = TypeVar("K", bound=str)

SIZE = (2.5, 1.7)
"""Of a panel, in inches."""
TRUTH, MODEL, OTHER = figures.INK, figures.PALETTE[1], "#b3b9bf"
"""Colours of the truth, the best model and the other learned ones; the page explains them once."""
PIXELS = 640
"""Side of a picture, about."""


@figures.style()
def course(path: Path, found: Cube, truth: Floats, models: Floats, best: str) -> str:
    """Mean over the simulations of truth and models against time, both normalised; the digest of the file."""
    plot, ax = _panel()
    span = float(np.ptp(found.times)) or 1.0
    times = (found.times - found.times[0]) / span
    known = np.isfinite(np.broadcast_to(truth, models.shape))
    for number, (name, role) in enumerate(zip(found.names, found.roles, strict=True)):
        if role in LEARNED and name != best:
            ax.plot(times, _mean(models[number], known[number]), color=OTHER, linewidth=1.0, zorder=2)
    number = found.names.index(best)
    reference, own = _mean(truth[number if len(truth) > 1 else 0]), _mean(models[number], known[number])
    ax.plot(times, reference, color=TRUTH, linewidth=2.6, alpha=0.85, zorder=3)
    ax.plot(times, own, color=MODEL, linewidth=1.5, linestyle=(0, (4, 1.6)), zorder=4)
    ax.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "", "T"])
    highest, tried = (float(np.max(values[np.isfinite(values)], initial=1.0)) for values in (reference, own))
    ax.set_ylim(0, 1.06 * max(highest, min(tried, 2 * highest)))  # a model that blows up shall not flatten the truth
    return _saved(plot, path)


@figures.style()
def recovery(path: Path, found: Cube, truth: Floats, sigma: Floats | None, best: str) -> str:
    """Estimates against true values, the best method in colour, with their standard deviations if there are any."""
    plot, ax = _panel()
    low, high = float(np.nanmin(truth)), float(np.nanmax(truth))
    margin = 0.25 * (high - low) or 0.5 * abs(high) or 1.0
    ax.axline((low, low), slope=1.0, color=figures.GUIDE, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    for number, name in enumerate(found.names):
        chosen = name == best
        look: dict[str, Any] = {"color": MODEL if chosen else OTHER, "zorder": 3 if chosen else 2, "linewidth": 1}
        values = found.values[number, :, 0]
        if sigma is not None:
            ax.errorbar(truth, values, sigma[number, :, 0], fmt="none", **look)
        face = look["color"] if chosen else "none"
        ax.scatter(truth, values, s=16, facecolor=face, edgecolor=look["color"], linewidth=1, zorder=look["zorder"])
    ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    return _saved(plot, path)


def pair(folder: Path, wing: str, fields: Mapping[K, Floats], square: bool) -> dict[K, str]:
    """Truth and model as PNG files of one scale of colours; digests of the files.

    Arguments:
        fields: the truth first; maps (x, y) or (time, x), or bodies (x, y, z), drawn as the surface at 1/2 or, where
            the truth does not cross it, half way between its extremes.
        square: whether a map becomes a square whatever its cells, as suits axes of different kinds.
    """
    truth = next(iter(fields.values()))
    low, high = float(np.nanmin(truth)), float(np.nanmax(truth))
    digests: dict[K, str] = {}
    for kind, values in fields.items():
        if values.ndim == 3:
            picture = render(values, 0.5 if low < 0.5 < high else (low + high) / 2, pixels=PIXELS)
        else:
            picture = _map(values, low, high, square)
        content = encoded([picture], ".png")
        write_bytes(folder / f"{wing}_{kind}.png", content)
        digests[kind] = hashlib.sha256(content).hexdigest()
    return digests


def _map(values: Floats, low: float, high: float, square: bool) -> Any:
    """The first axis runs to the right and the second up, each cell of whole pixels."""
    kept = values[np.isfinite(values).any(axis=1)][:, np.isfinite(values).any(axis=0)]
    colours = mpl.colormaps[figures.FIELD_MAP](np.clip((kept.T[::-1] - low) / ((high - low) or 1.0), 0, 1))
    down, across = (max(1, round(PIXELS / (side if square else max(kept.shape)))) for side in kept.T.shape)
    return np.rint(255 * colours).astype(np.uint8).repeat(down, axis=0).repeat(across, axis=1)


def _panel() -> tuple[Figure, Any]:
    plot, axes = figures.figure(1, 1, height=SIZE[1], width=SIZE[0])
    plot.patch.set_visible(False)  # the page has its own ground, light or dark
    axes[0, 0].patch.set_visible(False)
    axes[0, 0].tick_params(labelsize=9, length=0)
    axes[0, 0].locator_params(nbins=4)
    return plot, axes[0, 0]


def _saved(plot: Figure, path: Path) -> str:
    return hashlib.sha256(figures.save_svg(plot, path).read_bytes()).hexdigest()


def _mean(values: Floats, known: Any = False) -> Floats:
    """(sim, time) to (time), over the simulations that there are; a curve ends where one of them diverges."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    total: Floats = np.where(finite, values, 0.0).sum(axis=0)
    lost = diverged(values, np.broadcast_to(known, values.shape)).any(axis=0)
    return np.where((count > 0) & ~lost, total / np.maximum(count, 1), np.nan)
