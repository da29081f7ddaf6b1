"""Figures of one recovered video: fields, residual, missing terms, and the coefficient by every method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from phasemill.core import figures
from phasemill.transport.video.diagnosis import SIGNIFICANT
from phasemill.transport.video.recovery import Evidence, Recovery

HALF = 4.75  # inches: two such figures stand side by side on a page


def recovery(result: Recovery, evidence: Evidence, output: Path) -> list[figures.Entry]:
    """Draw all figures of the page into the folder `output`."""
    pages = [_fields(result, evidence, output), _missing(result, output), _errors(result, evidence, output)]
    return [*pages, _estimates(result, output), _residual(evidence, output)]


def _times(result: Recovery, frames: np.ndarray) -> np.ndarray:
    """Times of frames that are counted in the order in which the field smooths."""
    counted = frames if result.direction == "smoothing" else result.frames - 1 - frames
    return np.asarray(counted * result.interval)


def _fields(result: Recovery, evidence: Evidence, output: Path) -> figures.Entry:
    shown = evidence.forecast
    picks = np.unique(np.linspace(0, len(shown.frames) - 1, 5).round().astype(int))
    rows = {"video": shown.observed[picks], "prediction": shown.predicted[picks]}
    times = [float(f"{time:.4g}") for time in _times(result, np.array(shown.frames)[picks])]
    first = "first" if result.direction == "smoothing" else "last (the field sharpens, so it is run backwards)"
    caption = (
        f"The middle of the video; what {result.equation} predicts for it with the recovered coefficients from the "
        f"{first} frame, given the observed frames along its border alone; and the difference."
    )
    return figures.entry(output, "fields", figures.strip(rows, times, "u"), "Video and prediction", caption)


def _errors(result: Recovery, evidence: Evidence, output: Path) -> figures.Entry:
    figure, axes = figures.figure(height=3.6, width=HALF)
    ax: Axes = axes[0, 0]
    shown = evidence.forecast
    times = _times(result, np.array(shown.frames))
    ax.plot(times[1:], shown.error[1:], label="prediction")
    ax.plot(times[1:], shown.no_motion[1:], "--", label="no motion")
    ax.axhline(result.noise, color=figures.GUIDE, linewidth=1, label="noise of a pixel")
    ax.set(xlabel="time", ylabel="rms difference", yscale="log")
    ax.legend()
    caption = (
        "Difference between prediction and video. The video itself is noisy, so a right prediction stays at about the "
        "noise of a pixel; 'no motion' repeats the starting frame."
    )
    return figures.entry(output, "errors", figure, "Error of the prediction", caption)


def _missing(result: Recovery, output: Path) -> figures.Entry:
    figure, axes = figures.figure(height=3.6, width=HALF)
    ax: Axes = axes[0, 0]
    places = np.arange(len(result.missing))
    t = np.array([term.t for term in result.missing])
    needed = np.array([term.needed for term in result.missing])
    ax.axvspan(-SIGNIFICANT, SIGNIFICANT, color=figures.GUIDE, alpha=0.15, linewidth=0)
    ax.axvline(0, color=figures.GUIDE, linewidth=1)
    ax.plot(t[~needed], places[~needed], "o", fillstyle="none", markersize=8, label="not needed")
    if needed.any():
        ax.plot(t[needed], places[needed], "D", color=figures.PALETTE[1], markersize=8, label="needed")
        ax.legend()
    reach = max(1.3 * float(np.abs(t).max()), 1.6 * SIGNIFICANT)
    ax.set(xlim=(-reach, reach), xlabel="coefficient / sigma", yticks=places)
    ax.set_yticklabels([term.term for term in result.missing])
    ax.set_ylim(len(result.missing) - 0.5, -0.5)
    caption = (
        "Each term was added to the equation alone. It is needed if it lies outside the grey band of five sigma and "
        "explains at least one percent of the rate of change."
    )
    return figures.entry(output, "missing", figure, "Is a term missing?", caption)


def _estimates(result: Recovery, output: Path) -> figures.Entry:
    first = result.coefficients[0]
    figure, axes = figures.figure(height=3.2, width=HALF)
    ax: Axes = axes[0, 0]
    for place, estimate in enumerate(result.estimates):
        value, sigma = estimate.values[0], estimate.sigmas[0]
        ax.errorbar(value, place, xerr=sigma, fmt="o", capsize=4, markersize=7, color=figures.PALETTE[0])
    if first.truth is not None:
        ax.axvline(first.truth, color=figures.PALETTE[1], linestyle="--", label="truth")
        ax.legend()
    ax.set(xlabel=first.name, yticks=range(len(result.estimates)))
    ax.set_yticklabels([estimate.method.replace(", ", ",\n") for estimate in result.estimates])
    ax.set_ylim(len(result.estimates) - 0.5, -0.5)
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.locator_params(axis="x", nbins=4)
    caption = f"{first.name} with one sigma by each method. They use the same pixels, so they agree better than sigma."
    return figures.entry(output, "estimates", figure, f"{first.name} by each method", caption)


def _residual(evidence: Evidence, output: Path) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.2, width=HALF, width_ratios=(1.2, 1))
    ax: Axes = axes[0, 0]
    ax.plot(np.linspace(0, 1, len(evidence.residual_time)), evidence.residual_time, "o-", markersize=4)
    ax.axhline(1, color=figures.GUIDE, linewidth=1)
    ax.set(xlabel="time / length of the video", ylabel="rms residual / noise", ylim=(0, None))
    image = axes[0, 1].imshow(evidence.residual_map.T, origin="lower", cmap=figures.FIELD_MAP, vmin=0)
    axes[0, 1].set(xticks=[], yticks=[], xlabel="x", ylabel="y")
    axes[0, 1].grid(False)
    figure.colorbar(image, ax=axes[0, 1])
    caption = (
        "Whitened residual of the equation, over time and over the first block of pixels: 1 everywhere if the equation "
        "fits and the noise is white and of the measured size."
    )
    return figures.entry(output, "residual", figure, "Where the residual is", caption)
