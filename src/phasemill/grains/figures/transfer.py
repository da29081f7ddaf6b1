"""Figures of the transfer stages: errors and residuals against CPU seconds, errors by frame, marches, fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasemill.core import figures, store
from phasemill.core.files import read_json

KINDS = {
    "scratch": "scratch",
    "whole": "both networks",
    "feed_forward": "feed-forward only",
    "recurrent": "recurrent only",
}
COLOURS = dict(zip(KINDS, figures.PALETTE, strict=False))
COLUMNS = 3


def transfer(folder: Path, output: Path) -> list[figures.Entry]:
    """All figures of the benchmark."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    fields = store.open_dataset(folder / "fields.zarr")
    return [_errors(output, metrics), _residuals(output, metrics), _frames(output, metrics), _strip(output, fields)]


def _errors(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, panels = _panels(metrics)
    for ax, stage in panels:
        _lines(ax, stage, "mse")
        ax.axhline(metrics["reached"], color=figures.INK, linewidth=1)
        ax.axhline(np.mean(stage["still"]), color=figures.GUIDE, linewidth=1, linestyle=(0, (4, 3)))
    _finish(figure, panels, "mean square error")
    caption = (
        "Of the roll-out from the first frame, before and during the training of the recurrent network, without the "
        "time of the march; one line per seed, dotted where the first frames are shown. Solid line: the error to which "
        "steps are counted; dashed: no motion."
    )
    return figures.entry(output, "errors", figure, "Error against CPU seconds", caption)


def _residuals(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, panels = _panels(metrics)
    for ax, stage in panels:
        _lines(ax, stage, "residual")
    _finish(figure, panels, "rms residual")
    caption = "Of the same roll-outs: what a training without any data can see and be stopped by."
    return figures.entry(output, "residuals", figure, "Residual against CPU seconds", caption)


def _frames(output: Path, metrics: Mapping[str, Any]) -> figures.Entry:
    figure, panels = _panels(metrics)
    for ax, stage in panels:
        for origin, share in dict.fromkeys((run["origin"], run["supervised"]) for run in stage["runs"]):
            errors = [
                run["mse_by_frame"] for run in stage["runs"] if (run["origin"], run["supervised"]) == (origin, share)
            ]
            middle = np.maximum(np.median(errors, axis=0)[1:], 1e-9)
            ax.semilogy(
                np.arange(1, len(middle) + 1), middle, ":" if share else "-", color=COLOURS[origin], linewidth=1.3,
                label=_label(origin, share),
            )  # fmt: skip
        if stage["hidden_from"] > 1:
            ax.axvspan(1, stage["hidden_from"] - 1, color=figures.GUIDE, alpha=0.2, linewidth=0)
        ax.set(xlabel="frame", title=stage["words"])
    _finish(figure, panels, "mean square error")
    caption = "After the training, medians over the seeds; dotted: trained with the shaded frames shown."
    return figures.entry(output, "frames", figure, "Error by frame", caption)


@figures.style()
def _panels(metrics: Mapping[str, Any]) -> tuple[Figure, list[tuple[Axes, Mapping[str, Any]]]]:
    """A figure with one panel per stage."""
    stages = list(metrics["stages"].values())
    columns = min(COLUMNS, len(stages))
    rows = -(-len(stages) // columns)
    figure, axes = figures.figure(rows, columns, height=(3.4 if rows == 1 else 2.7 * rows))
    for ax in axes.flat[len(stages) :]:
        ax.set_visible(False)
    return figure, list(zip(axes.flat, stages, strict=False))


@figures.style()
def _finish(figure: Figure, panels: Sequence[tuple[Axes, Any]], label: str) -> None:
    """Label the rows, and explain the lines below all panels."""
    for ax, _ in panels[::COLUMNS]:
        ax.set_ylabel(label)
    lines = {text: line for ax, _ in panels for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4, fontsize=8)


def _lines(ax: Axes, stage: Mapping[str, Any], name: str) -> None:
    """A quantity of all trainings of a stage against their CPU seconds."""
    labelled = set()
    for run in stage["runs"]:
        kind = (run["origin"], run["supervised"])
        label = None if kind in labelled else _label(*kind)
        labelled.add(kind)
        seconds, values = ([row[key] for row in run["curve"]] for key in ("cpu", name))
        style = ":" if run["supervised"] else "-"
        ax.semilogy(seconds, values, style, color=COLOURS[run["origin"]], linewidth=1.2, label=label)
    ax.set(xlabel="CPU seconds", title=stage["words"])


def _label(origin: str, share: float) -> str:
    return KINDS[origin] + (f", {100 * share:g} % shown" if share else "")


def _strip(output: Path, fields: Any) -> figures.Entry:
    first, kinds = fields.isel(sim=0), store.meanings(fields["kind"])
    predicted = {kind: first.prediction.isel(kind=kinds.index(kind)) for kind in ("scratch", "whole") if kind in kinds}
    rows = {"truth": first.truth, **{KINDS[kind]: frames for kind, frames in predicted.items()}}
    view = figures.stored_strip(rows, rounded=figures.tenths)
    caption = "Recurrent network of the first seed after its training, no frames shown; the last row less the first."
    return figures.entry(output, "fields", view, "Truth and roll-outs of the first stage", caption)
