"""House style of the figures: one palette, one font size, SVG files that are equal byte for byte when remade."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from phasemill.core.files import write_bytes

if TYPE_CHECKING:
    import xarray as xr

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
MARKERS = ("o", "D", "s", "^", "v", "P")
INK, GUIDE = "#22262b", "#8b929a"
FIELD_MAP, DIFFERENCE_MAP = "viridis", "RdBu_r"
WIDTH = 7.0  # inches; a full column of the report

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": GUIDE,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same figure on every machine
    "font.size": 11,
    "grid.color": "#e6e8ea",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "phasemill",
    "text.color": INK,
    "xtick.color": GUIDE,
    "xtick.labelcolor": INK,
    "ytick.color": GUIDE,
    "ytick.labelcolor": INK,
}


@contextmanager
def style() -> Iterator[None]:
    """House style as a context or decorator (`@style()`) around code that draws; nothing global stays changed."""
    with mpl.rc_context(STYLE):
        yield


@style()
def figure(
    rows: int = 1, columns: int = 1, height: float = 3.6, width: float = WIDTH, **options: Any
) -> tuple[Figure, np.ndarray]:
    """A figure in house style and its axes, always as an array of shape (rows, columns).

    Arguments
    ---------
    height, width: of the whole figure in inches.
    options: as for `matplotlib.figure.Figure.subplots` (`sharex`, `width_ratios`, ...).
    """
    result = Figure(figsize=(width, height))
    return result, result.subplots(rows, columns, squeeze=False, **options)


@style()
def save_svg(fig: Figure, path: Path | str) -> Path:
    """Write `fig` as SVG, atomically."""
    return write_bytes(path, svg(fig))


@style()
def svg(fig: Figure) -> bytes:
    """`fig` as SVG; no date and fixed ids, so that an equal figure is an equal file."""
    settle(fig)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def settle(fig: Figure) -> None:
    """A first pass of the layout: panels that keep their proportions, and ticks, find their place in the second one."""
    if layout := fig.get_layout_engine():
        layout.execute(fig)


Entry = dict[str, str]
"""A line of `figures.json`: file, title, caption, and the digest that tells the page of a changed figure."""


def entry(folder: Path, name: str, fig: Figure, title: str, caption: str) -> Entry:
    """Save `fig` as `folder/name.svg` and return its line for `figures.json`."""
    path = save_svg(fig, folder / f"{name}.svg")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": path.name, "title": title, "caption": caption, "digest": digest}


@style()
def strip(rows: Mapping[str, np.ndarray], times: Sequence[float], quantity: str = r"$\phi$") -> Figure:
    """Field strip: one row of frames per label on a shared colour scale; last, the last row minus the first.

    Arguments
    ---------
    rows: label -> frames of shape (time, x, y), all of one shape, e.g. truth and prediction.
    times: time of each frame.
    quantity: name of the field beside its colour bar.

    Raises
    ------
    ValueError
        Rows of different shape, or a number of times that is not the number of frames.
    """
    frames = {label: np.asarray(row) for label, row in rows.items()}
    shapes = {label: row.shape for label, row in frames.items()}
    if len(set(shapes.values())) != 1 or any(shape[0] != len(times) for shape in shapes.values()):
        raise ValueError(f"a field strip needs rows of one shape (len(times), x, y); got {shapes}")
    low, high = min(map(np.min, frames.values())), max(map(np.max, frames.values()))
    panels = [(label, row, FIELD_MAP, low, high) for label, row in frames.items()]
    if len(frames) > 1:
        first, *_, last = frames.values()
        difference = last - first
        reach = np.abs(difference).max() or 1.0
        panels.append(("difference", difference, DIFFERENCE_MAP, -reach, reach))

    cell = (WIDTH - 1.2) / len(times)  # the rest is for the labels and the colour bars
    fig, axes = figure(len(panels), len(times), height=(cell + 0.04) * len(panels) + 0.35)
    for line, (label, row, colours, vmin, vmax) in zip(axes, panels, strict=True):
        for ax, frame in zip(line, row, strict=True):
            ax.imshow(frame.T, origin="lower", cmap=colours, vmin=vmin, vmax=vmax, interpolation="none")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(label)
    for lines, name in ((axes[: len(frames)], quantity), (axes[len(frames) :], "")):
        if lines.size:
            bar = fig.colorbar(lines[0, 0].images[0], ax=lines, aspect=9 * len(lines), pad=0.02, label=name)
            bar.outline.set_visible(False)
    for ax, time in zip(axes[0], times, strict=True):
        ax.set_title(f"t = {time:g}", loc="center")
    return fig


def evenly(count: int, shown: int) -> np.ndarray:
    """Up to `shown` of the numbers 0 ... count - 1, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, shown).round().astype(int))


def tenths(time: float) -> float:
    """The time with one decimal."""
    return round(time, 1)


def four_digits(time: float) -> float:
    """The time with four digits."""
    return float(f"{time:.4g}")


def stored_strip(
    rows: Mapping[str, xr.DataArray], *, shown: int = 6, quantity: str = r"$\phi$",
    rounded: Callable[[float], float] = float,
) -> Figure:  # fmt: skip
    """`strip` of arrays (time, x, y) at up to `shown` of their times, evenly spaced in the store.

    rounded: gives the time that is shown.
    """
    times = next(iter(rows.values()))["time"].values
    kept = evenly(len(times), shown)
    frames = {label: row.isel(time=kept).values for label, row in rows.items()}
    return strip(frames, [rounded(float(time)) for time in times[kept]], quantity)


@style()
def parity(ax: Axes, truth: ArrayLike, estimate: ArrayLike, label: str | None = None) -> None:
    """Scatter of estimate against truth with the line estimate = truth; call once per group of points.

    Panels that share one axis should share both, or the line leaves the diagonal.
    """
    group = len(ax.collections)
    low, high = np.nanmin([truth, estimate]), np.nanmax([truth, estimate])
    if not group:
        ax.axline((low, low), slope=1.0, color=GUIDE, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
        ax.set(xlabel="truth", ylabel="estimate", box_aspect=1.0)
    ax.scatter(
        truth,
        estimate,
        label=label,
        s=42,
        marker=MARKERS[group % len(MARKERS)],
        facecolor="none" if group else PALETTE[0] + "66",
        edgecolor=PALETTE[group % len(PALETTE)],
        linewidth=1.4,
        zorder=2 + group,
    )
    # both axes span the values of both, so that the line is the diagonal
    ax.update_datalim([(low, low), (high, high)])
    ax.autoscale_view()
