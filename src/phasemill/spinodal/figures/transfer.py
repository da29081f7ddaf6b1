"""Figures of the transfer: errors against sequences and steps, the late free energy, forgetting, slices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from phasemill.core import figures, store
from phasemill.core.files import read_json
from phasemill.spinodal.config.transfer import TARGETS
from phasemill.spinodal.figures.shared import clipped

TITLES = {"late": "late windows", "surface": "degenerate mobility"}
KINDS = {
    "shipped": "shipped, as it is",
    "before": "early stages alone",
    "scratch": "from scratch",
    "transfer": "transfer",
}
COLOURS = dict(zip(KINDS, (figures.PALETTE[2], figures.GUIDE, figures.PALETTE[1], figures.PALETTE[0]), strict=True))


def transfer(folder: Path, output: Path) -> list[figures.Entry]:
    """All figures of the benchmark."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    pages = [_errors(output, metrics), _steps(output, metrics), _frames(output, metrics)]
    pages += [_late(output, metrics), _forgetting(output, metrics)]
    return [*pages, *(_slices(folder, output, stage) for stage in TARGETS)]


def _errors(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    counts = [str(n) for n in metrics["sequences"]]
    rows = [("shipped", ""), ("before", ""), *((kind, n) for n in counts for kind in ("scratch", "transfer"))]
    figure, axes = figures.figure(1, 2, height=0.34 * len(rows) + 1.2, sharey=True)
    for ax, stage in zip(axes[0], TARGETS, strict=True):
        errors = metrics["errors"][stage]
        for row, (kind, n) in enumerate(rows):
            values = np.atleast_1d(errors[kind][n] if n else errors[kind])
            ax.plot([values.min(), values.max()], [row, row], color=figures.GUIDE, linewidth=1.5)
            ax.plot(values, [row] * len(values), "o", color=COLOURS[kind], markersize=6, alpha=0.75)
        ax.axvline(1, color=figures.INK, linewidth=1)
        ax.set(xscale="log", title=TITLES[stage], xlabel="error over standing still", yticks=range(len(rows)))
        ax.set_yticklabels([f"{KINDS[kind]}, {n} sequences" if n else KINDS[kind] for kind, n in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
    caption = (
        "Mean squared error of free roll-outs on test sequences over that of standing still (solid line); each point "
        "is one training, at the learning rate that validation chose for it. From scratch and by transfer: the same "
        "number of steps."
    )
    return figures.entry(output, "errors", figure, "Error on test sequences", caption)


def _steps(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.4)
    most = metrics["sequences"][-1]
    for ax, stage in zip(axes[0], TARGETS, strict=True):
        for kind in ("scratch", "transfer"):
            runs = [rows for name, rows in metrics["curves"].items() if name.startswith(f"{stage}_{kind}_{most}_")]
            for rows in runs:
                label = KINDS[kind] if rows is runs[0] else None
                steps, values = [row["step"] for row in rows], [row["validation_mse"] for row in rows]
                ax.semilogy(steps, values, "o-", color=COLOURS[kind], linewidth=1.3, markersize=4, label=label)
        ax.set(title=TITLES[stage], xlabel="steps")
    axes[0, 0].set_ylabel("validation error")
    axes[0, 0].legend(fontsize=8)
    caption = (
        f"Mean squared error of free roll-outs on the validation sequences; {most} training sequences, one line per "
        "training, at the learning rate that was chosen."
    )
    return figures.entry(output, "steps", figure, "Error against the number of steps", caption)


def _frames(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.2)
    for ax, stage in zip(axes[0], TARGETS, strict=True):
        for kind, values in metrics["by_frame"][stage].items():
            ax.semilogy(np.arange(1, len(values)), values[1:], color=COLOURS[kind], label=KINDS[kind])
        ax.set(title=TITLES[stage], xlabel="frame")
    axes[0, 0].set_ylabel("mean squared error")
    axes[0, 0].legend(fontsize=8)
    most = metrics["sequences"][-1]
    caption = f"Free roll-outs on test sequences, mean over boxes and trainings; {most} training sequences."
    return figures.entry(output, "frames", figure, "Error along the roll-out", caption)


def _late(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(height=3.4)
    ax = axes[0, 0]
    late = metrics["late"]
    for kind, label in KINDS.items():
        for curve in late[kind]["energy"]:
            first = curve is late[kind]["energy"][0]
            ax.plot(late["times"], curve, color=COLOURS[kind], linewidth=1.4, label=label if first else None)
    still = late["still"]["energy"][0]
    ax.plot(late["times"], still, color=figures.INK, linewidth=1, linestyle=(0, (4, 3)), label="standing still")
    ax.axhline(1, color=figures.INK, linewidth=1)
    ax.set(xlabel="t", ylabel="F over the truth's", ylim=(0.4, 2.5), yscale="log")
    ax.set_yticks([0.5, 0.7, 1, 1.4, 2], ["0.5", "0.7", "1", "1.4", "2"])
    ax.set_yticks([], minor=True)
    ax.legend(fontsize=8)
    caption = (
        "Free energy over that of the truth in a long roll-out from late boxes, mean over boxes; one line per "
        "training. Lines that leave the figure have blown up."
    )
    return figures.entry(output, "late", figure, "Late coarsening", caption)


def _forgetting(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(height=2.3)
    ax = axes[0, 0]
    names = {"before": "early stages alone", "late": "then late windows", "surface": "then degenerate mobility"}
    for row, key in enumerate(names):
        values = metrics["forgetting"][key]
        ax.plot([min(values), max(values)], [row, row], color=figures.GUIDE, linewidth=1.5)
        ax.plot(values, [row] * len(values), "o", color=figures.PALETTE[0], markersize=7, alpha=0.75)
    ax.axvline(1, color=figures.INK, linewidth=1)
    ax.set(xscale="log", xlabel="error on early stages over standing still", yticks=range(len(names)))
    ax.set_yticklabels(list(names.values()))
    ax.set_ylim(len(names) - 0.5, -0.5)
    caption = (
        "Test sequences from noise, before and after further training on all sequences; each point is one training."
    )
    return figures.entry(output, "forgetting", figure, "What is forgotten", caption)


def _slices(folder: Path, output: Path, stage: str) -> figures.Entry:
    fields = store.open_dataset(folder / "fields.zarr")
    sim = store.meanings(fields.stage).index(stage)
    chosen, kinds = fields.isel(sim=sim), store.meanings(fields.kind)
    rows = {"truth": chosen.truth, **{name: chosen.prediction.isel(kind=n) for n, name in enumerate(kinds)}}
    figure = figures.stored_strip(clipped(rows), shown=5)
    caption = (
        "The plane z = 0 of one test sequence; the last row is transfer less the truth. Times since the first frame."
    )
    return figures.entry(output, f"slices_{stage}", figure, f"Truth and roll-outs, {TITLES[stage]}", caption)
