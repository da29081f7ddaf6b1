"""Pictures and films of a field: the body and its slices in 3-D, the map in 2-D, curves of what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import imageio.v3
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from phasemill.core import figures
from phasemill.core.fields import AXES
from phasemill.core.isosurface import render

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]
"""(rows, columns, RGBA)"""

MILLISECONDS, PAUSE = 90, 1500
"""That a frame of a film is shown, and the last one."""
CONSERVED = 1e-6
"""Relative change below which a curve is drawn as its distance from the first value."""
LABEL = 30
"""Height of the line with the time, in pixels."""
SYMBOLS = {"phi": r"$\phi$"}


@dataclass(frozen=True)
class Look:
    """What all pictures of a field share."""

    name: str
    low: float
    high: float

    @property
    def level(self) -> float:
        """The surface that is drawn: 1/2 if the field crosses it, else half way between its extremes."""
        return 0.5 if self.low < 0.5 < self.high else (self.low + self.high) / 2

    @property
    def symbol(self) -> str:
        """The field's name beside a colour bar."""
        return SYMBOLS.get(self.name, self.name)


@figures.style()
def plate(frame: Floats, look: Look, text: str, *, pixels: int, dpi: int) -> Picture:
    """One frame on white: in 3-D the body, `pixels` wide, and the slices through the middle; in 2-D the map."""
    options: Any = {"origin": "lower", "cmap": figures.FIELD_MAP, "vmin": look.low, "vmax": look.high}
    if frame.ndim == 2:
        width = 5.2 * float(np.clip(frame.shape[0] / frame.shape[1], 0.5, 2)) + 1
        plot = Figure(figsize=(width, 5.2), dpi=dpi)
        panels = [plot.subplots()]
        cuts = [(frame, "x", "y")]
    else:
        plot = Figure(figsize=(8.4, 5.6), dpi=dpi)
        layout = [["body", *"x"], ["body", *"y"], ["body", *"z"]]
        body, *panels = plot.subplot_mosaic(layout, width_ratios=[3, 1]).values()
        body.imshow(render(frame, look.level, pixels=pixels), interpolation="antialiased")
        body.set_axis_off()
        cuts = [(frame.take(n // 2, a), *(axis for axis in AXES if axis != AXES[a])) for a, n in enumerate(frame.shape)]
    for panel, (cut, first, second) in zip(panels, cuts, strict=True):
        image = panel.imshow(cut.T, interpolation="nearest", **options)
        panel.set(xticks=[], yticks=[], xlabel=first, ylabel=second)
        panel.spines[:].set_visible(False)
    plot.colorbar(image, ax=panels, aspect=30, pad=0.03, label=look.symbol).outline.set_visible(False)
    if text:
        plot.suptitle(text, x=0.02, ha="left", fontsize="large")
    return _drawn(plot)


@figures.style()
def frame_of_film(frame: Floats, look: Look, text: str, *, pixels: int) -> Picture:
    """The body alone, or the map with every cell a square of whole pixels, below a line of text."""
    if frame.ndim == 3:
        picture = render(frame, look.level, pixels=pixels)
    else:
        scaled = (frame.T[::-1] - look.low) / ((look.high - look.low) or 1.0)
        colours = np.asarray(matplotlib.colormaps[figures.FIELD_MAP](np.clip(scaled, 0, 1)))
        times = max(1, pixels // max(frame.shape))
        picture = np.rint(255 * colours).astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1)
    if not text:
        return picture
    plot = Figure(figsize=(picture.shape[1] / 100, LABEL / 100), dpi=100, facecolor="none")
    plot.set_layout_engine("none")
    plot.text(0.01, 0.5, text, va="center", fontsize=11)
    return np.concatenate([_drawn(plot)[:, : picture.shape[1]], picture])


@figures.style()
def curves(times: Floats, series: Mapping[str, Floats]) -> Figure:
    """One panel per quantity; a conserved one is drawn as what it strayed."""
    plot, axes = figures.figure(1, len(series), height=2.6)
    for panel, (name, values) in zip(axes[0], series.items(), strict=True):
        conserved = float(np.ptp(values)) <= CONSERVED * float(np.abs(values).max())
        panel.plot(times, values - values[0] if conserved else values)
        panel.set(title=f"{name} - {values[0]:.6g}" if conserved else name.replace("_", " "), xlabel="t")
        panel.margins(y=0.1)
    return plot


def encoded(pictures: Sequence[Picture], kind: str) -> bytes:
    """Pictures of one size as .png (the last one), .gif or .webp (a film that pauses at its end and starts again)."""
    options: dict[str, Any] = {"quality": 82} if kind == ".webp" else {}
    frames: NDArray[Any] = pictures[-1][None] if kind == ".png" else np.stack(pictures)
    if kind == ".gif":
        frames = frames[..., :3]
    if len(frames) > 1:
        options |= {"duration": [MILLISECONDS] * (len(frames) - 1) + [PAUSE], "loop": 0}
    content = frames if len(frames) > 1 else frames[0]
    return bytes(imageio.v3.imwrite("<bytes>", content, extension=kind, plugin="pillow", **options))


def _drawn(plot: Figure) -> Picture:
    canvas = FigureCanvasAgg(plot)
    figures.settle(plot)
    canvas.draw()  # type: ignore[no-untyped-call]  # untyped in matplotlib
    return np.array(canvas.buffer_rgba())  # type: ignore[no-untyped-call]  # as above
