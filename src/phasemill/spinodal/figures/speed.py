"""Figures of error against cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from phasemill.core import figures, store
from phasemill.core.files import read_json

C, M = figures.PALETTE, figures.MARKERS
STYLES = {
    "explicit Euler": (C[0], M[0]),
    "numpy roll": (C[0], M[4]),
    "RKL2": (C[1], M[1]),
    "spectral SBDF2": (C[2], M[2]),
    "Euler, coarse grid": (C[3], M[0]),
    "RKL2, coarse grid": (C[3], M[1]),
    "network, published": (C[4], M[0]),
    "network, features": (C[4], M[1]),
    "network, large stride": (figures.INK, "*"),
    "wide interfaces, no network": (figures.INK, "P"),
    "network, large stride, trained here": (C[5], "*"),
    "FNO": (C[5], M[3]),
    "U-Net": (C[5], M[2]),
}
"""Colour and marker of a family; others come in grey."""
STILL = "no motion"
ERRORS = (("rmse", "RMSE"), ("energy_error", "largest |dF| / F, worst box"))


def speed(folder: Path, output: Path) -> list[figures.Entry]:
    """Error against cost on both horizons, the solvers' cost over the network's, and what was asked for."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    return [
        _pareto(output, metrics, "long"),
        _pareto(output, metrics, "early"),
        _ratios(output, metrics),
        _bars(output, metrics),
        _states(output, folder, metrics),
    ]


def _pareto(output: Path, metrics: dict[str, Any], horizon: str) -> figures.Entry:
    """Two panels, log-log; the lines join the settings of a family in one precision."""
    rows, (start, end) = metrics[horizon], metrics["span"][horizon]
    figure, axes = figures.figure(1, 2, height=5.2)
    for ax, (quantity, label) in zip(axes[0], ERRORS, strict=True):
        for family in dict.fromkeys(row["family"] for row in rows):
            for precision in ("float64", "float32", "bfloat16"):
                chosen = [r for r in rows if (r["family"], r["precision"]) == (family, precision) and r[quantity]]
                if chosen and family == STILL:
                    ax.axhline(chosen[0][quantity], color=figures.GUIDE, linestyle=(0, (4, 3)), label=STILL)
                elif chosen:
                    _line(ax, family, precision, chosen, quantity)
        ax.set(xscale="log", yscale="log", xlabel="CPU ms per tau", ylabel=label)
        ax.xaxis.set_minor_formatter(NullFormatter())
    handles, labels = axes[0, 0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=3, fontsize="small")
    caption = (
        f"From t = {start:g} to {end:g}, on one core; down and left is better. A line joins the settings of a scheme, "
        "from small to large steps; open markers are float32 twins. Errors over all marks and boxes, on the networks' "
        "grid; F is that of Fourier up-sampled fields."
    )
    title = f"Error against cost, t = {start:g} to {end:g}"
    return figures.entry(output, f"pareto_{horizon}", figure, title, caption)


def _line(ax: Axes, family: str, precision: str, rows: list[dict[str, Any]], quantity: str) -> None:
    color, marker = STYLES.get(family, (figures.GUIDE, "X"))
    hollow = precision == "float32" and family in ("explicit Euler", "numpy roll", "RKL2")
    ax.plot(
        [1e3 * row["seconds_per_tau"] for row in rows],
        [row[quantity] for row in rows],
        marker=marker,
        markersize=12 if marker == "*" else 7,
        color=color,
        markerfacecolor="white" if hollow else color,
        linewidth=1.0,
        linestyle="--" if hollow else "-",
        label=None if hollow else family,
    )


def _ratios(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    found = metrics["ratios"]
    figure, axes = figures.figure(height=0.5 * len(found) + 1.3)
    ax: Axes = axes[0, 0]
    ax.barh(range(len(found)), [row["ratio"] for row in found], color=C[0], height=0.6)
    for place, row in enumerate(found):
        ax.annotate(f" {row['ratio']:.3g}", (row["ratio"], place), va="center")
    ax.axvline(1.0, color=figures.INK, linewidth=1.0)
    ax.set(xscale="log", xlabel="cost over that of the published network", xlim=(None, 2e3))
    ax.set_yticks(range(len(found)), [row["solver"] + ("\n(loosest tried)" if row["limited"] else "") for row in found])
    ax.invert_yaxis()
    caption = (
        "CPU seconds per tau, on one core. Left of the line the solver is cheaper than the network. Loosest tried: "
        "even so its error is no larger than the network's; a looser setting might be cheaper still."
    )
    return figures.entry(output, "ratios", figure, "Solvers against the published network", caption)


def _bars(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    found = [bar for bar in metrics["bars"] if bar["found"] is not None]
    figure, axes = figures.figure(height=0.5 * len(found) + 1.5)
    ax: Axes = axes[0, 0]
    colors = [C[2] if bar["met"] else C[1] for bar in found]
    ax.barh(range(len(found)), [bar["found"] for bar in found], color=colors, height=0.6)
    for place, bar in enumerate(found):
        ax.plot([bar["wanted"]] * 2, [place - 0.4, place + 0.4], color=figures.INK, linewidth=2.0)
        ax.annotate(f" {bar['found']:.2g}", (max(bar["found"], bar["wanted"]), place), va="center")
    ax.set(xscale="log", xlabel="times less")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_yticks(
        range(len(found)), [bar["what"].replace(" against ", "\nagainst ") for bar in found], fontsize="small"
    )
    ax.invert_yaxis()
    ax.margins(x=0.1)
    caption = (
        "The mark is what was wanted at least; green where met. A large stride counts only if its error of F is small, "
        "and its rival is RKL2 in float32 at the loosest tolerance tried with no larger one."
    )
    return figures.entry(output, "bars", figure, "Asked for, and found", caption)


def _states(output: Path, folder: Path, metrics: dict[str, Any]) -> figures.Entry:
    """Centre slices at the end of the long horizon: the truth, and each family with its largest steps."""
    fields = store.open_dataset(folder / "fields.zarr").isel(sim=0)
    early = len(metrics["early"])
    last = {row["family"]: early + number for number, row in enumerate(metrics["long"]) if row["family"] != STILL}
    middle = fields.sizes["x"] // 2
    panels = {"truth": fields.truth[1, middle].values}
    panels |= {family: fields.prediction[number, middle].values for family, number in last.items()}
    columns = 4
    figure, axes = figures.figure(-(-len(panels) // columns), columns, height=2.1 * -(-len(panels) // columns))
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, field) in zip(axes.flat, panels.items(), strict=False):
        ax.imshow(field.T, origin="lower", cmap=figures.FIELD_MAP, vmin=0, vmax=1, interpolation="none")
        ax.set_title(name.replace(", ", ",\n"), fontsize="small")
    caption = (
        f"Centre slices at t = {metrics['span']['long'][1]:g} of the first box, all from the same field at t = "
        f"{metrics['span']['long'][0]:g}; solvers with their largest tolerance."
    )
    return figures.entry(output, "states", figure, "States at the end", caption)
