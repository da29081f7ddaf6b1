"""`phasemill view`: an evolved field as PNG, GIF or a self-contained page, and as files for ParaView."""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import figures, store
from phasemill.core.errors import InputError
from phasemill.core.fields import AXES, cell_size, field_variable, nearest_frame, one_simulation, open_group
from phasemill.core.files import write_bytes
from phasemill.core.vti import write_pvd, write_vti
from phasemill.report import svg
from phasemill.report.page import Figure, Table, provenance_table
from phasemill.report.page import render as render_page
from phasemill.report.pictures import Look, curves, encoded, frame_of_film, plate

log = logging.getLogger("phasemill")

KINDS = (".html", ".png", ".gif")
MOST_FRAMES, STRIP = 40, 6
"""Frames of a film, and of the row of slices."""
PNG, GIF, HTML = {"pixels": 720, "dpi": 160}, {"pixels": 360, "dpi": 100}, {"pixels": 480}
"""Size of the body, and of all."""
HIDDEN = ("Conventions", "format", "format_version", "digest")
"""Attributes about the file itself."""


@dataclass(frozen=True)
class Source:
    """One simulation of a store, opened lazily."""

    path: Path
    dataset: xr.Dataset
    array: xr.DataArray
    """([time,] x, y[, z])"""
    number: int = 0
    """Of the simulation."""

    @property
    def times(self) -> NDArray[np.float64]:
        """Of all frames; 0 where the store has no time axis."""
        return np.asarray(self.array["time"].values, dtype=float) if "time" in self.array.dims else np.zeros(1)

    def frame(self, number: int) -> NDArray[np.float64]:
        """(x, y[, z])"""
        one = self.array.isel(time=number) if "time" in self.array.dims else self.array
        values = np.asarray(one.values, dtype=np.float64)
        if not np.isfinite(values).all():
            raise InputError(
                f"{self.path}: frame {number} of {self.array.name} is not finite: choose another with --time"
            )
        return values

    def label(self, number: int) -> str:
        """The time of a frame, as text; none without a time axis."""
        return f"t = {self.times[number]:.4g}" if "time" in self.array.dims else ""

    def chosen(self, most: int) -> list[int]:
        """Numbers of at most so many frames, evenly spread, first and last included."""
        count = len(self.times)
        return sorted({round(n) for n in np.linspace(0, count - 1, min(most, count))})


def open_source(path: Path, variable: str | None = None, sim: int | None = None) -> Source:
    """The field in any Zarr group; `variable` and `sim` choose where there are several.

    Raises InputError for what is no such group or holds no 2-D or 3-D field.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist: give the .zarr that phasemill evolve or simulate wrote")
    try:
        dataset = open_group(path)
    except Exception as error:  # whatever zarr and xarray raise about a foreign or broken folder
        raise InputError(f"{path} is no Zarr store: give the .zarr that phasemill evolve or simulate wrote") from error
    array = one_simulation(field_variable(dataset, path, variable), path, sim)
    if min(array.sizes[axis] for axis in AXES if axis in array.dims) < 2:
        raise InputError(f"{path}: {array.name} has fewer than 2 cells along an axis: there is nothing to see")
    return Source(path, dataset, array, sim or 0)


def view(source: Source, output: Path, time: float | None = None) -> Path:
    """Draw the field into `output`: .png is one frame (default the last), .gif a film, .html a page with a film.

    Raises InputError for another ending, and for a time where all are shown, before anything is drawn.
    """
    kind = output.suffix.lower()
    if kind not in KINDS:
        raise InputError(f"{output} has the unknown ending '{output.suffix}': give one of {', '.join(KINDS)}")
    if kind == ".png":
        numbers, size = [_frame_at(source, time)], PNG
    else:
        _refuse_time(time, f"a {kind}")
        numbers, size = source.chosen(MOST_FRAMES), GIF
    log.info("%s: drawing %d frame%s", source.path, len(numbers), "s" * (len(numbers) > 1))
    if kind == ".html":
        return _page(source, output, numbers)
    look = _look(source)
    return write_bytes(output, encoded([plate(source.frame(n), look, source.label(n), **size) for n in numbers], kind))


def export(source: Source, output: Path, time: float | None = None) -> Path:
    """Write one frame as .vti, or all of them as a .pvd with a folder of .vti beside it, for ParaView."""
    kind, name = output.suffix.lower(), str(source.array.name)
    if kind not in (".vti", ".pvd"):
        raise InputError(
            f"{output} has the unknown ending '{output.suffix}': give .vti (one frame) or .pvd (all frames)"
        )
    dx = cell_size(source.array, source.path) or 1.0
    if kind == ".vti":
        return write_vti(output, {name: source.frame(_frame_at(source, time)).astype(np.float32)}, dx)
    _refuse_time(time, "a .pvd")
    folder = output.with_suffix("")
    files = [
        write_vti(folder / f"{folder.name}-{number:05d}.vti", {name: source.frame(number).astype(np.float32)}, dx)
        for number in range(len(source.times))
    ]
    return write_pvd(output, source.times.tolist(), files)


def _frame_at(source: Source, time: float | None) -> int:
    """Number of the frame nearest to `time`, by default the last."""
    if "time" not in source.array.dims:
        if time is not None:
            raise InputError(f"{source.path} has no axis time: leave --time out")
        return 0
    return nearest_frame(source.array, source.path, time)


def _refuse_time(time: float | None, kind: str) -> None:
    if time is not None:
        raise InputError(f"--time is for .png and .vti, {kind} shows all times: leave it out")


def _look(source: Source) -> Look:
    extremes = [(float(frame.min()), float(frame.max())) for frame in map(source.frame, source.chosen(STRIP))]
    return Look(str(source.array.name), min(e[0] for e in extremes), max(e[1] for e in extremes))


def _page(source: Source, output: Path, numbers: Sequence[int]) -> Path:
    look, dataset = _look(source), source.dataset
    film = [frame_of_film(source.frame(number), look, source.label(number), **HTML) for number in numbers]
    series = _series(source)
    drawn = [("Slices", *_slices(source, look))]
    if series:
        meanings = [str(dataset[name].attrs.get("long_name", name)) for name in series]
        drawn.append(("Through time", f"{'; '.join(meanings)}.", figures.svg(curves(source.times, series)).decode()))
    attrs = {str(k): v for k, v in dataset.attrs.items() if not str(k).startswith("provenance_") and k not in HIDDEN}
    title, warnings = str(attrs.pop("title", source.path.name)), str(attrs.pop("warnings", "none"))
    record = store.provenance(dataset)
    return render_page(
        "view.html.j2",
        output,
        title=title,
        store=source.path.name,
        variable=look.name,
        cells=[source.array.sizes[axis] for axis in AXES if axis in source.array.dims],
        times=source.times.tolist(),
        shown=len(numbers),
        level=look.level,
        film=_uri(encoded(film, ".webp"), "webp"),
        still=_uri(encoded(film, ".png"), "png"),
        figures=[
            Figure(name, caption, svg.inline(text, f"f{n}-", name)) for n, (name, caption, text) in enumerate(drawn)
        ],
        warnings=[] if warnings == "none" else warnings.splitlines(),
        numbers=[(name.replace("_", " "), float(values[0]), float(values[-1])) for name, values in series.items()],
        facts=Table(
            title="What the store says",
            columns=["attribute", "value"],
            rows=[[key, value if isinstance(value, str | int | float) else str(value)] for key, value in attrs.items()],
        ),
        provenance=provenance_table([record]) if record else None,
    )


def _slices(source: Source, look: Look) -> tuple[str, str]:
    """Caption and SVG of the field, or its middle plane, at a few times."""
    shown = source.chosen(STRIP)
    frames = [source.frame(number) for number in shown]
    flat = np.stack([frame[..., frame.shape[2] // 2] if frame.ndim == 3 else frame for frame in frames])
    plot = figures.strip({" ": flat}, [float(f"{source.times[number]:.4g}") for number in shown], look.symbol)
    where = "The field" if frames[0].ndim == 2 else "The plane in the middle of z"
    return f"{where}, at {len(shown)} of {len(source.times)} times.", figures.svg(plot).decode()


def _series(source: Source) -> dict[str, NDArray[np.float64]]:
    """What the store holds by time beside the field, for this simulation."""
    if len(source.times) == 1:
        return {}
    sim = {"sim": source.number} if "sim" in source.dataset.dims else {}
    held = source.dataset.isel(sim).data_vars.items()
    return {
        str(name): np.asarray(array.values, dtype=float)
        for name, array in held
        if array.dims == ("time",) and array.dtype.kind in "fiu" and np.isfinite(array).all()
    }


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
