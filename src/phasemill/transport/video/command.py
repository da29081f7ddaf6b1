"""`phasemill recover`: the fit, its JSON and figures in a folder, and the lines that are printed."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from phasemill.core.errors import InputError
from phasemill.core.figures import Entry
from phasemill.core.files import write_json
from phasemill.core.provenance import Clock
from phasemill.core.video import Video
from phasemill.transport.figures.recovery import recovery as draw
from phasemill.transport.video.equations import Physics
from phasemill.transport.video.recovery import Boundary, Direction, Intensity, Recovery, recover_video

FORMAT = 1
"""Version of the layout of `recovery.json`."""


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A folder to write into, beside `folder`, whose content is moved into place if all went well."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output {folder} is a file: give the name of a folder")
    folder = folder.absolute()
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        (partial / "old").mkdir(parents=True)
        yield partial
        folder.mkdir(exist_ok=True)
        for made in [path for path in partial.iterdir() if path.name != "old"]:
            if (folder / made.name).is_dir():
                (folder / made.name).rename(partial / "old" / made.name)
            made.replace(folder / made.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def recover_file(
    video: Video, folder: Path, *, dx: float | None, interval: float | None, physics: Physics, direction: Direction,
    boundary: Boundary, intensity: Intensity,
) -> tuple[list[str], list[Entry]]:  # fmt: skip
    """Recover, write `recovery.json` and `figures/` into `folder`; returns the lines to print and the figures.

    Raises InputError, before anything is written, for what cannot be used or leads to no finite numbers.
    """
    clock = Clock()
    dx, interval = video.scales(dx, interval, "--")
    source = {"sha256": video.sha256, "values": list(video.levels) if video.levels else None}
    spec: dict[str, Any] = {
        "dx": dx,
        "interval": interval,
        "physics": physics,
        "direction": direction,
        "boundary": boundary,
        "intensity": intensity,
    }
    result, evidence = recover_video(video, **spec)
    if not _finite([result.as_json(), evidence.forecast.error.tolist()]):
        raise InputError(
            f"{video.name}: the numbers overflow or vanish: use more frames, or other units of field or time"
        )
    figures = draw(result, evidence, folder / "figures")
    shown = evidence.forecast
    prediction = {
        "frames": list(shown.frames),
        "rms_error": shown.error.tolist(),
        "rms_no_motion": shown.no_motion.tolist(),
    }
    record = clock.record(f"recover {video.name}", {**spec, **source})
    content = {
        "format": FORMAT,
        "source": source,
        "recovery": result.as_json(),
        "prediction": prediction,
        "provenance": record,
    }
    write_json(folder / "recovery.json", content)
    return _lines(result), figures


def _finite(content: Any) -> bool:
    """Whether all numbers in nested lists and dictionaries are finite."""
    if isinstance(content, dict):
        return _finite(list(content.values()))
    if isinstance(content, list | tuple):
        return all(map(_finite, content))
    return not isinstance(content, float) or math.isfinite(content)


def _lines(result: Recovery) -> list[str]:
    """What the terminal shows."""
    lines = [
        f"{result.video}: {result.frames} frames of {result.cells[0]} x {result.cells[1]}, {result.equation}",
        f"  verdict: {result.verdict}",
        *(
            f"  {item.name} = {item.value:.5g} +- {item.sigma:.2g}"
            + (f"   (truth {item.truth:.5g})" if item.truth is not None else "")
            for item in result.coefficients
        ),
        f"  direction: {result.direction}; method: {result.method}",
        f"  reduced chi^2 {result.chi2:.3g}; whiteness p {result.whiteness['p']:.2g}; pixel noise {result.noise:.2g}",
    ]
    return [*lines, *(f"  note: {note}" for note in result.notes)]
