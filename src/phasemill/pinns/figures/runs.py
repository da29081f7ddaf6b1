"""Figures of the paper's comparison: errors, weights, losses, gradients and fields."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from phasemill.core import figures, store
from phasemill.core.files import read_json
from phasemill.pinns.evaluate.tables import TERMS, words

COLOURS = {
    "fixed": figures.INK, "dn": figures.PALETTE[0], "id": figures.PALETTE[1], "ma": figures.PALETTE[2],
    "ma14": figures.PALETTE[3], "softadapt": figures.PALETTE[4], "gradnorm": figures.PALETTE[5],
}  # fmt: skip
MAIN = ("fixed", "ma_0.99", "id_0.99", "dn_0.99")


def draw(folder: Path, output: Path) -> list[figures.Entry]:
    """All figures of a problem's page."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    fields = store.open_dataset(folder / "fields.zarr")
    curves = metrics["curves"]
    found = [_fields(output, fields), _recipes(output, metrics), _errors(output, curves)]
    averaged = [row for row in curves if re.fullmatch(r"dn_[0-9.]+(_corrected)?", row)]
    if len(averaged) > 1:
        found.append(_delays(output, curves, averaged))
    return [
        *found,
        _losses(output, curves),
        _weights(output, curves),
        _seeds(output, metrics["scores"]),
        _pareto(output, metrics["scores"]),
        _histograms(output, metrics["histograms"]),
    ]


def _plot(ax: Axes, row: str, runs: list[dict[str, list[float]]], key: str, **options: Any) -> None:
    """One line per seed, the first one with the label."""
    for number, run in enumerate(runs):
        ax.plot(run["step"], run[key], label=words(row) if number == 0 else None, linewidth=1.1, **options)


@figures.style()
def _errors(output: Path, curves: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.6, sharey=True)
    for row in [row for row in MAIN if row in curves]:
        for ax, key in zip(axes[0], ("error", "error_mean"), strict=True):
            _plot(ax, row, curves[row], key, color=COLOURS[row.split("_")[0]])
    for ax, title in zip(axes[0], ("parameters", "their running mean"), strict=True):
        ax.set(yscale="log", xlabel="epochs", title=title)
    axes[0, 0].set_ylabel("relative L2 error")
    axes[0, 1].legend(fontsize="x-small")
    return figures.entry(output, "errors", figure, "Error on the reference", "One line for each seed.")


@figures.style()
def _recipes(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 1, height=3.8)
    ax = axes[0, 0]
    for number, (name, score) in enumerate(metrics["recipes"].items()):
        colour = figures.PALETTE[number % len(figures.PALETTE)]
        for seed, curve in enumerate(score["curves"]):
            whole = [row for row in curve if row.get("window", -1) < 0]  # a march has an error when it is through
            mark = "-" if len(whole) > 1 else "o"
            ax.plot(
                [row["cpu"] for row in whole], [row["error"] for row in whole], mark, color=colour, linewidth=1.1,
                label=name.replace("_", " ") if seed == 0 else None,
            )  # fmt: skip
    for number, (name, its) in enumerate(metrics["classical"].items()):
        marker = figures.MARKERS[(2 + number) % len(figures.MARKERS)]
        ax.plot(its["cpu"], its["error"], marker, color=figures.INK, markersize=6, label=name)
    ax.set(xscale="log", yscale="log", xlabel="CPU seconds", ylabel="relative L2 error")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper", fontsize="x-small")
    return figures.entry(
        output, "recipes", figure, "Recipes beyond the paper, and classical solvers",
        "One line for each seed; down and left is better. A march through time counts when it is through.",
    )  # fmt: skip


@figures.style()
def _delays(output: Path, curves: dict[str, Any], rows: list[str]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.6, sharey=True)
    betas = sorted({row.split("_")[1] for row in rows})
    for row in rows:
        colour = figures.PALETTE[betas.index(row.split("_")[1]) % len(figures.PALETTE)]
        _plot(axes[0, int("corrected" in row)], row, curves[row], "error", color=colour)
    for ax, title in zip(axes[0], ("averages from 1", "with bias correction"), strict=True):
        ax.set(yscale="log", xlabel="epochs", title=title)
        if ax.lines:
            ax.legend(fontsize="x-small")
    axes[0, 0].set_ylabel("relative L2 error")
    return figures.entry(
        output, "delays", figure, "The delay of the average", "DN; one line for each seed. Compare the paper's Fig. 12."
    )


@figures.style()
def _losses(output: Path, curves: dict[str, Any]) -> figures.Entry:
    terms = [term for term in TERMS if f"now_{term}" in curves["fixed"][0]]
    figure, axes = figures.figure(1, len(terms), height=3.6)
    for row in [row for row in MAIN if row in curves]:
        for ax, term in zip(axes[0], terms, strict=True):
            _plot(ax, row, curves[row], f"now_{term}", color=COLOURS[row.split("_")[0]])
    for ax, term in zip(axes[0], terms, strict=True):
        ax.set(yscale="log", xlabel="epochs", title=f"loss, {TERMS[term]}")
    axes[0, -1].legend(fontsize="x-small")
    return figures.entry(
        output, "losses", figure, "Losses without their weights", "At all points; one line for each seed."
    )


@figures.style()
def _seeds(output: Path, scores: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 1, height=0.9 + 0.26 * len(scores))
    ax = axes[0, 0]
    for place, score in enumerate(scores.values()):
        for rule, marker, word in (("final", "o", "last"), ("best", "|", "best on test")):
            errors = score["error"][rule]
            ax.plot(
                errors, [place] * len(errors), marker, color=figures.PALETTE[int(rule == "best")], linestyle="none",
                markersize=7, alpha=0.8, label=word if place == 0 else None,
            )  # fmt: skip
    ax.set(xscale="log", xlabel="relative L2 error", ylim=(len(scores) - 0.5, -0.5))
    ax.set_yticks(range(len(scores)), [words(row) for row in scores], fontsize="x-small")
    ax.tick_params(axis="x", which="both", labelsize="x-small")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper", fontsize="x-small")
    return figures.entry(
        output, "seeds", figure, "Errors of each seed", "Clusters, where some seeds are stuck and others are not."
    )


@figures.style()
def _weights(output: Path, curves: dict[str, Any]) -> figures.Entry:
    terms = [term for term in TERMS if term != "pde" and f"weight_{term}" in curves["fixed"][0]]
    figure, axes = figures.figure(1, len(terms) + 1, height=3.6)
    for row in [row for row in MAIN if row in curves]:
        colour = COLOURS[row.split("_")[0]]
        for ax, term in zip(axes[0], terms, strict=False):
            _plot(ax, row, curves[row], f"weight_{term}", color=colour)
        for number, run in enumerate(curves[row]):
            norms = np.array(run[f"weight_{terms[0]}"]) * np.array(run[f"norm_{terms[0]}"]) / np.array(run["norm_pde"])
            axes[0, -1].plot(run["step"], norms, color=colour, linewidth=1.1, label=words(row) if not number else None)
    for ax, term in zip(axes[0], terms, strict=False):
        ax.set(yscale="log", xlabel="epochs", title=f"weight, {TERMS[term]}")
    axes[0, -1].set(yscale="log", xlabel="epochs", title=f"balance, {TERMS[terms[0]]}")
    axes[0, -1].axhline(1, color=figures.GUIDE, linewidth=0.8)
    axes[0, -1].legend(fontsize="x-small")
    return figures.entry(
        output, "weights", figure, "Weights and balance of the gradients",
        "Balance: norm of the weighted gradient over that of the equation's. One line for each seed.",
    )  # fmt: skip


@figures.style()
def _pareto(output: Path, scores: dict[str, Any]) -> figures.Entry:
    terms = [term for term in TERMS if term != "pde" and term in scores["fixed"]]
    figure, axes = figures.figure(1, len(terms), height=3.8, width=figures.WIDTH if len(terms) > 1 else 4.6)
    seen: list[str] = []
    for row, score in scores.items():
        scheme = row.split("_")[0]
        number, seen = seen.count(scheme), [*seen, scheme]  # the schemes by colour, their kinds by marker and filling
        for ax, term in zip(axes[0], terms, strict=True):
            ax.plot(
                score["pde"]["loss"], score[term]["loss"], figures.MARKERS[number // 2 % len(figures.MARKERS)],
                color=COLOURS[scheme], markersize=5, alpha=0.8, label=words(row), linestyle="none",
                fillstyle="none" if number % 2 else "full",
            )  # fmt: skip
    for ax, term in zip(axes[0], terms, strict=True):
        ax.set(xscale="log", yscale="log", xlabel="loss of the equation", ylabel=f"{TERMS[term]} loss")
        ax.tick_params(axis="x", which="both", labelrotation=40, labelsize="x-small")  # many where less than a decade
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="x-small"
    )  # fmt: skip
    return figures.entry(
        output, "pareto", figure, "Which losses are bought with which",
        "Losses without their weights, medians of the last quarter, one mark for each seed: down and left is better.",
    )  # fmt: skip


@figures.style()
def _histograms(output: Path, histograms: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, len(histograms), height=3.2, sharey=True)
    for ax, (row, found) in zip(axes[0], histograms.items(), strict=True):
        for number, (term, counts) in enumerate(found["counts"].items()):
            ax.stairs(counts, found["edges"], label=TERMS[term], color=figures.PALETTE[number], linewidth=1.2)
        ax.set(yscale="log", title=words(row), xlabel="entry of the gradient")
    axes[0, 0].set_ylabel("parameters")
    axes[0, -1].legend(fontsize="x-small")
    return figures.entry(
        output, "gradients", figure, "Gradients of the weighted terms at the end",
        "First seed, last parameters; equal widths of all terms mean balance.",
    )  # fmt: skip


@figures.style()
def _fields(output: Path, fields: Any) -> figures.Entry:
    rows = store.meanings(fields["row"])
    first = fields.isel(sim=0)
    dims = [str(dim) for dim in first["truth"].dims]
    truth = first["truth"].values
    figure, axes = figures.figure(2, len(rows) + 1, height=3.9, sharex=True, sharey=True)
    sides = [float(first[dim][end]) for dim in dims for end in (0, -1)]
    lowest, highest = float(truth.min()), float(truth.max())
    options = {"origin": "lower", "extent": sides, "aspect": "auto"}
    axes[0, 0].imshow(truth.T, cmap=figures.FIELD_MAP, vmin=lowest, vmax=highest, **options)
    axes[0, 0].set_title("reference")
    axes[1, 0].axis("off")
    for number, row in enumerate(rows):
        found = first["prediction"].isel(row=number).values
        wrong = found - truth
        far = float(np.abs(wrong).max())
        axes[0, number + 1].imshow(found.T, cmap=figures.FIELD_MAP, vmin=lowest, vmax=highest, **options)
        axes[0, number + 1].set_title(words(row))
        axes[1, number + 1].imshow(wrong.T, cmap=figures.DIFFERENCE_MAP, vmin=-far, vmax=far, **options)
        axes[1, number + 1].set_title(f"difference, up to {far:.2g}", fontsize="small")
    for ax in axes[-1]:
        ax.set_xlabel(dims[0] if dims[0] != "time" else "t")
    axes[0, 0].set_ylabel(dims[1])
    for ax in axes.ravel():
        ax.grid(False)
    return figures.entry(
        output, "fields", figure, "Reference, networks and differences", "First seed, last parameters."
    )
