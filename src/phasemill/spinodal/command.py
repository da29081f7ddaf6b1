"""`phasemill evolve`: from a file to a Zarr store, with progress, and going on after a kill."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.core.fields import AXES, read_field
from phasemill.core.files import read_json
from phasemill.core.provenance import Clock
from phasemill.core.run import Progress
from phasemill.spinodal.evolution import TITLE, Setup, run
from phasemill.spinodal.physics import Boundary, Medium

log = logging.getLogger("phasemill")


def evolve_file(
    path: Path, output: Path, *, variable: str | None = None, sim: int | None = None, time: float | None = None,
    eps: float | None = None, mobility: float = 1.0, dx: float | None = None, boundary: Boundary = "periodic",
    seconds: float = 10.0, **choices: Any,
) -> list[str]:  # fmt: skip
    """Evolve the field in a file into a Zarr store, and return the lines to print; `choices` are those of `Setup`.

    A solver that was killed goes on, bit-equal, from the folder `.NAME.resume` beside the output, removed at the end;
    a network starts again. An older result of this command is replaced once the new one is complete.

    Raises InputError, before anything is written, for what cannot be evolved and for an output that is anything else.
    """
    clock = Clock()
    check_output(output, path)
    start = read_field(path, variable=variable, sim=sim, time=time)
    size = dx if dx is not None else start.dx or 1.0
    width = eps if eps is not None else 3 * abs(size) or 3.0  # a wrong dx is reported as such
    setup = Setup(Medium(width, mobility, size, boundary), **choices)
    notes = [*start.notes, *([f"cells of {size:g} are taken from {path}"] if dx is None and size != 1 else [])]
    if output.exists():
        log.info("%s is replaced once the new result is complete", output)
    folder = output.with_name(f".{output.stem}.resume")
    frames = len(setup.times)
    with Progress(f"evolve {path.name}", 0, frames - 1, seconds) as progress:
        result = run(
            start.values, setup, start.name, notes, folder=folder,
            show=lambda number, reached: progress.show(number, {"t": reached}),
        )  # fmt: skip
    spec = {key: value for key, value in asdict(setup).items() if key != "threads"}
    save(result, output, clock.record(f"evolve {path.name}", spec | {"initial": start.sha256}, threads=setup.threads))
    shutil.rmtree(folder, ignore_errors=True)
    return summary(result, output)


def check_output(output: Path, source: Path) -> None:
    """Refuse a place that the result must not take, before the work."""
    if output.suffix != ".zarr":
        raise InputError(f"the output {output} must end in .zarr")
    if output.resolve() == source.resolve():
        raise InputError(f"the output {output} is the input: give another name")
    above = next(folder for folder in output.absolute().parents if folder.exists())
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        raise InputError(f"{above} is no folder that you can write to: give the output another place")
    if output.exists() and not _replaceable(output):
        raise InputError(f"{output} exists and is no result of evolve: move it away or choose another name")
    beside = store.manifest_path(output)
    if beside.is_file() and not output.exists():
        raise InputError(
            f"{beside} exists, and the manifest of {output.name} goes there: move it away or choose another name"
        )
    if beside.is_file():
        try:
            ours = read_json(beside)["format"] == store.FORMAT
        except (InputError, KeyError, TypeError):
            ours = False
        if not ours:
            raise InputError(
                f"{beside} is no manifest of a data set and would be replaced: move it away or choose another name"
            )


def _replaceable(output: Path) -> bool:
    """Whether it is an older result of this command, also one whose writing was cut short, or an empty folder."""
    if output.is_dir() and not any(output.iterdir()):
        return True
    try:
        return str(read_json(output / "zarr.json")["attributes"]["title"]).startswith(TITLE)
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return False


def save(result: xr.Dataset, output: Path, record: dict[str, Any]) -> None:
    """Write the one simulation with its manifest and provenance."""
    variables = {
        str(name): store.Variable(
            tuple(map(str, array.dims)), array.attrs["units"], array.attrs["long_name"], str(array.dtype)
        )
        for name, array in result.data_vars.items()
    }
    with store.create(output, result.coords.to_dataset(), variables, result.attrs) as writer:
        writer.write(0, **{str(name): array.values[0] for name, array in result.data_vars.items()})
        writer.provenance = record


def summary(result: xr.Dataset, output: Path) -> list[str]:
    """What the terminal shows at the end."""
    one = result.isel(sim=0)
    shape = " x ".join(str(one.sizes[axis]) for axis in AXES if axis in one.sizes)
    first, last = (one.isel(time=number) for number in (0, -1))
    extent = "area" if "z" in one.sizes else "length"
    drift = float(np.abs(one["mean"] - one["mean"][0]).max())
    return [
        f"{output}: {one.sizes['time']} frames of {shape} cells to t = {float(one.time[-1]):g}",
        f"  mean {float(first['mean']):.6g}, changed by {drift:.1e} at most",
        f"  free energy {float(first.energy):.5g} -> {float(last.energy):.5g}",
        f"  interface {extent} {float(first.interface_area):.5g} -> {float(last.interface_area):.5g}",
        f"  look at it: phasemill view {output}",
    ]
