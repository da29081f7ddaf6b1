"""Figures of the benchmark on corrupted videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from phasemill.core import figures, store
from phasemill.core.files import read_json
from phasemill.transport.evaluate.scoring import word

FLOOR = 1e-9
"""Errors below are drawn here: the fits of clean frames end at their rounding."""


def robustness(folder: Path, output: Path) -> list[figures.Entry]:
    """Errors, calibration, frames as observed, and the field behind the noise."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    fields = store.open_dataset(folder / "fields.zarr")
    return [
        _errors(output, metrics),
        _intervals(output, metrics),
        _calibration(output, metrics),
        _observed(output, fields),
        _denoised(output, fields, metrics),
    ]


def _errors(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    labels = list(metrics["matched"])
    figure, axes = figures.figure(height=0.36 * len(labels) + 1.4)
    ax: Axes = axes[0, 0]
    lines = [
        ("naive, mobility forward", [by["mobility"]["mae"] for by in metrics["forward"].values()]),
        ("naive", [by["all"]["mae"] for by in metrics["naive"].values()]),
        ("matching fit", [by["all"]["mae"] for by in metrics["matched"].values()]),
    ]
    places = np.arange(len(labels))
    for (name, values), marker, colour in zip(lines, ("^", "D", "o"), (2, 1, 0), strict=True):
        line = ax.plot(np.maximum(values, FLOOR), places, marker, label=name, markersize=7)[0]
        line.set(color=figures.PALETTE[colour], fillstyle="full" if colour == 0 else "none")
    shares = ("forward", lines[0][1]), ("naive", lines[1][1])
    stopped = [
        (value, place)
        for kind, values in shares
        for place, (value, by) in enumerate(zip(values, metrics["at_bound"].values(), strict=True))
        if by[kind]
    ]
    if stopped:
        ax.plot(
            *zip(*stopped, strict=True), "x", color=figures.INK, markersize=5, label="some at a bound of the search"
        )
    ax.axvline(metrics["constant"]["all"]["mae"], color=figures.GUIDE, linestyle="--", linewidth=1.2)
    ax.set(xscale="log", xlabel="mean |error| of kappa", yticks=places, yticklabels=labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    figure.legend(loc="outside upper center", ncols=2)
    caption = (
        "Mean absolute error over the held-out videos after each corruption: with the SAFE loss over pairs as it "
        "stands, in the stable direction and, for sharpening videos, forward in the unstable one; and with the fit "
        "that matches the corruption. Crosses: some answers are an end of the interval searched, which then sets "
        "the error. Dashed: a constant kappa. Errors below 1e-9 are drawn there."
    )
    return figures.entry(output, "errors", figure, "Error after each corruption", caption)


def _intervals(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    noisy = metrics["noisy"]
    figure, axes = figures.figure(1, len(noisy), height=3.2, sharex=True)
    for ax, (label, found) in zip(axes[0], noisy.items(), strict=True):
        truth, kappa = np.array(found["truth"]), np.array(found["kappa"])
        ax.axhline(0, color=figures.GUIDE, linewidth=1.0, linestyle="--")
        bars = 2 * np.array(found["sigma"])
        ax.errorbar(truth, kappa - truth, bars, fmt="o", markersize=3, linewidth=1, color=figures.PALETTE[0], alpha=0.6)
        ax.set(title=label, xlabel="true kappa")
    axes[0, 0].set_ylabel("error of kappa")
    caption = (
        "Whole-trajectory fit: one point per video and draw of the noise, with bars of two standard deviations as the "
        "fit states them; each panel has its own scale. About one bar in twenty should miss the dashed line."
    )
    return figures.entry(output, "intervals", figure, "Error of kappa with its stated uncertainty", caption)


def _calibration(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    noisy = metrics["noisy"]
    figure, axes = figures.figure(1, len(noisy), height=3.0, sharex=True, sharey=True)
    edges = np.arange(-4, 4.01, 0.5)
    z = np.linspace(-4, 4, 200)
    for ax, (label, found) in zip(axes[0], noisy.items(), strict=True):
        ax.hist(np.clip(found["z"], -4, 4), edges, density=True, color=figures.PALETTE[0], alpha=0.45)
        ax.plot(z, np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), color=figures.PALETTE[1])
        by = metrics["calibration"][label]
        spread = f"{by['std']:.2f} [{by['std_low']:.2f}, {by['std_high']:.2f}]"
        ax.set(title=f"{label}\nspread {spread}", xlabel="error / sigma")
    axes[0, 0].set_ylabel("density")
    caption = (
        "Error of kappa over the standard deviation that the fit states, one entry per video and draw; values beyond "
        "4 are counted in the last bar. Line: the normal distribution, which a calibrated sigma follows. In brackets, "
        "the 95 % interval of the spread."
    )
    return figures.entry(output, "calibration", figure, "Errors in units of their standard deviation", caption)


def _observed(output: Path, fields: xr.Dataset) -> figures.Entry:
    """One frame of a held-out video under each corruption; crops differ in their fit alone, so one is shown."""
    labels = [label.replace("_", " ") for label in store.meanings(fields.corruption)]
    crops = [place for place, label in enumerate(labels) if label.startswith("crop")]
    chosen = [place for place in range(len(labels)) if place not in crops[1:]]
    video = fields.isel(sim=int(np.argmin(fields.kappa.values)), time=1)  # the slowest keeps its grains longest
    columns = 6
    figure, axes = figures.figure(-(-(len(chosen) + 1) // columns), columns, height=3.0)
    panels = [("data set", video.truth.values)]
    panels += [(labels[place].split(" margin")[0], video.observed.isel(corruption=place).values) for place in chosen]
    for ax in axes.ravel():
        ax.set_axis_off()
    for ax, (label, frame) in zip(axes.ravel(), panels, strict=False):
        ax.imshow(frame.T, origin="lower", cmap=figures.FIELD_MAP, vmin=0, vmax=1, interpolation="none")
        ax.set_title(label, loc="center", fontsize="small")
    caption = (
        f"The frame at time {float(video.time):g} of base simulation {int(video.sim)}, kappa = "
        f"{float(video.kappa):.4f}, under each corruption; one colour scale from 0 to 1."
    )
    return figures.entry(output, "observed", figure, "What the fits are given", caption)


def _denoised(output: Path, fields: xr.Dataset, metrics: dict[str, Any]) -> figures.Entry:
    """The strongest noise, and the noise-free video behind it."""
    label = max(metrics["noisy"], key=lambda name: float(np.median(metrics["noisy"][name]["noise"])))
    place = store.meanings(fields.corruption).index(word(label))
    # the first frame is known from itself alone in most modes: it would hide the others behind its noise
    video = fields.isel(sim=int(np.argmin(fields.kappa.values)), corruption=place, time=slice(1, None))
    truth = video.truth.values
    observed = np.clip(video.observed.values, truth.min(), truth.max())
    rows = {"data set": truth, "observed": observed, "fitted": video.fitted.values}
    figure = figures.strip(rows, [float(time) for time in video.time])
    caption = (
        f"Base simulation {int(video.sim)}, kappa = {float(video.kappa):.4f}, recovered as "
        f"{float(video.kappa_estimate):.4f}: the field, what was observed with {label} (clipped to the range "
        "of the field), the video that was fitted to it, and fitted minus data set. The first "
        "frame, which no other frame helps to know in its finest modes, is left out."
    )
    return figures.entry(output, "fields_noise", figure, f"The field behind {label}", caption)
