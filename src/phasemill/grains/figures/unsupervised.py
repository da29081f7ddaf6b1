"""Figures of a benchmark: fields, radii, errors, losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from phasemill.core import figures, store
from phasemill.core.files import read_json

NETWORKS = ("feed-forward", "recurrent", "hybrid")


def unsupervised(folder: Path, output: Path) -> list[figures.Entry]:
    """Strips of each microstructure, R(t) and F(t), errors by frame, and the trainings."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    fields = store.open_dataset(folder / "fields.zarr")
    entries = [_strip(output, fields, sim, start) for sim, start in enumerate(metrics["starts"])]
    radii = [_radii(output, metrics, start) for start in metrics["starts"]]
    return [*entries, *radii, _errors(output, metrics), _trainings(output, metrics)]


def _strip(output: Path, fields: Any, sim: int, start: str) -> figures.Entry:
    chosen = fields.isel(sim=sim, method=store.meanings(fields["method"]).index("hybrid"))
    view = figures.stored_strip({"truth": chosen.truth, "network": chosen.prediction}, rounded=figures.tenths)
    title = f"Truth, network and difference: {start}"
    return figures.entry(output, f"fields_{start}", view, title, "Hybrid network of the first seed, from its own past.")


@figures.style()
def _radii(output: Path, metrics: dict[str, Any], start: str) -> figures.Entry:
    times, scores, truth = metrics["times"], metrics["scores"][start], metrics["truth"][start]
    several = max(truth["grains"]) > 1
    quantities = [("radius_visible", "R(0.05)"), ("radius", "radius of the volume"), ("energy", "free energy F")]
    if several:
        quantities.append(("grain_radius", "mean radius of the grains"))
    figure, axes = figures.figure(1, len(quantities), height=3.3)
    for ax, (name, label) in zip(axes[0], quantities, strict=True):
        ax.plot(times, truth[name], color=figures.INK, linewidth=3, alpha=0.35, label="truth")
        for number, method in enumerate(NETWORKS):
            ax.plot(times, scores[method][0][name], color=figures.PALETTE[number], linewidth=1.2, label=method)
        ax.set(xlabel="t", ylabel=label)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    caption = "First seed."
    if several:
        caption += (
            " R(0.05) and the radius of the volume take all grains together and are smooth; the mean radius of the "
            "grains (connected, phi > 1/2) jumps where one vanishes or two merge: these are the peaks of a mean radius."
        )
    return figures.entry(output, f"radii_{start}", figure, f"Radii and energy: {start}", caption)


@figures.style()
def _errors(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    starts = metrics["starts"]
    figure, axes = figures.figure(1, len(starts), height=3.8, sharey=True)
    for ax, start in zip(axes[0], starts, strict=True):
        for number, (method, runs) in enumerate(metrics["scores"][start].items()):
            if method == "zero field":
                continue
            style = "-" if method in NETWORKS else ":"
            for seed, run in enumerate(runs):
                label = method if seed == 0 else None
                values = np.maximum(run["mse_by_frame"][1:], 1e-12)
                ax.plot(
                    metrics["times"][1:], values, style, color=figures.PALETTE[number % 6], linewidth=1.2, label=label
                )
        ax.set(yscale="log", xlabel="t", title=start)
    axes[0, 0].set_ylabel("mean square error")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    return figures.entry(output, "errors", figure, "Error by frame", "One line per seed; dotted: without training.")


@figures.style()
def _trainings(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 3, height=3.0)
    residual, steps, gamma = axes[0]
    for number, (name, run) in enumerate(metrics["march"].items()):
        colour, own = figures.PALETTE[number % 6], metrics["stepper"][name]
        residual.plot(np.arange(1, len(run["residual"]) + 1), run["residual"], color=colour, linewidth=1.2, label=name)
        steps.plot([row["step"] for row in own["curve"]], [row["residual"] for row in own["curve"]], color=colour)
        gamma.plot(np.arange(1, len(own["gamma"]) + 1), own["gamma"], color=colour)
    residual.set(yscale="log", xlabel="interval", ylabel="residual, feed-forward")
    steps.set(yscale="log", xlabel="step", ylabel="residual, recurrent")
    gamma.set(xlabel="roll-out", ylabel="gamma")
    residual.legend(fontsize="x-small")
    caption = (
        "Root mean squares, of each interval and of the whole roll-out. The residual is zero exactly at the solution "
        "of Crank-Nicolson with the obstacle."
    )
    return figures.entry(output, "trainings", figure, "Trainings", caption)
