"""Figures that several benchmarks share: bodies in three dimensions, scores by frame."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from phasemill.core import figures
from phasemill.core.isosurface import render

DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
PIXELS = 200
"""Side of one picture of a body."""


def paper_value(folder: Path, claim: str) -> float | None:
    """The paper's number of a claim, from the benchmark's `claims.csv`."""
    with (folder / "claims.csv").open(newline="") as stream:
        found = {row["claim"]: row["paper_value"] for row in csv.DictReader(stream)}
    return float(found[claim]) if found.get(claim) else None


@figures.style()
def bodies(rows: Mapping[str, Sequence[NDArray[Any]]], columns: Sequence[str]) -> Figure:
    """The bodies phi > 1/2 seen from one side: one row per label, one column per name."""
    cell = (figures.WIDTH - 1.0) / len(columns)
    figure, axes = figures.figure(len(rows), len(columns), height=cell * len(rows) + 0.3)
    for line, (label, fields) in zip(axes, rows.items(), strict=True):
        for ax, field in zip(line, fields, strict=True):
            ax.imshow(render(field, pixels=PIXELS))
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(textwrap.fill(label, 14), fontsize="small")
    for ax, name in zip(axes[0], columns, strict=True):
        ax.set_title(name, loc="center", fontsize="small")
    return figure


def clipped(rows: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """The fields within [-0.2, 1.2], so that a roll-out that has blown up leaves the others their colours; nan is 0."""
    return {label: row.fillna(0).clip(-0.2, 1.2) for label, row in rows.items()}


def lines(
    output: Path,
    name: str,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float | None]]],
    title: str,
    caption: str,
    *,
    label: str,
    references: Mapping[str, float] | None = None,
    log: bool = True,
) -> figures.Entry:
    """Scores against the number of the frame, one curve per method; `references` are horizontal grey lines."""
    count = len(curves) + len(references or {})
    figure, axes = figures.figure(height=3.6 + 0.2 * ((count + 1) // 2))
    ax = axes[0, 0]
    for number, (method, (frames, values)) in enumerate(curves.items()):
        numbers = np.array(values, dtype=float)  # None becomes nan
        colour = figures.PALETTE[number % len(figures.PALETTE)]
        dash = DASHES[(number + number // len(figures.PALETTE)) % len(DASHES)]
        ax.plot(frames, numbers, color=colour, linestyle=dash, label=method)
    for number, (method, value) in enumerate((references or {}).items()):
        ax.axhline(value, color=figures.GUIDE, linewidth=1.2, linestyle=DASHES[1 + number % 4], label=method, zorder=1)
    ax.set(xlabel="frame (tau)", ylabel=label, yscale="log" if log else "linear")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figures.entry(output, name, figure, title, caption)
