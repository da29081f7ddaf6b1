"""Figure of the recurrent cells: errors by CPU seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phasemill.core import figures, store
from phasemill.core.files import read_json

COLOURS = {"gru": figures.PALETTE[0], "lstm": figures.PALETTE[1]}
STYLES = ("-", "--", ":", "-.")


def cells(folder: Path, output: Path) -> list[figures.Entry]:
    """Errors of the roll-outs while the networks train, and the fields of the best one."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    return [_curves(output, metrics), _strip(output, store.open_dataset(folder / "fields.zarr"), metrics["scores"])]


@figures.style()
def _curves(output: Path, metrics: dict[str, Any]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.6)
    widths = sorted({int(name.split("_")[1]) for name in metrics["scores"]})
    for name, runs in metrics["scores"].items():
        cell, channels = name.split("_")
        style = STYLES[widths.index(int(channels)) % len(STYLES)]
        for number, run in enumerate(runs):
            label = f"{cell.upper()}, {channels} channels" if number == 0 else None
            for ax, key in zip(axes[0], ("mse", "residual"), strict=True):
                ax.plot(
                    [row["cpu"] for row in run["curve"]], [row[key] for row in run["curve"]], style,
                    color=COLOURS[cell], linewidth=1.3, label=label,
                )  # fmt: skip
    for ax, words in zip(axes[0], ("mean square error", "rms residual"), strict=True):
        ax.set(yscale="log", xlabel="CPU seconds", ylabel=words, xlim=(0, None))
    axes[0, 1].legend(fontsize="x-small")
    return figures.entry(
        output, "curves", figure, "Roll-outs while the networks train",
        "One line for each training; nothing is selected, the last weights stay.",
    )  # fmt: skip


def _strip(output: Path, fields: Any, scores: dict[str, Any]) -> figures.Entry:
    best = min(scores, key=lambda name: scores[name][0]["mse"])
    arm = store.meanings(fields["arm"]).index(best)
    chosen = fields.isel(sim=0, arm=arm)
    view = figures.stored_strip({"truth": chosen.truth, "network": chosen.prediction}, rounded=round)
    cell, channels = best.split("_")
    title = f"Truth, network and difference: {cell.upper()}, {channels} channels"
    return figures.entry(output, "fields", view, title, "Free roll-out, first seed.")
