"""`phasemill recover`: the fit, its JSON and figures in a folder, and the lines that are printed."""

from __future__ import annotations

from pathlib import Path

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


def recover_file(
    video: Video, folder: Path, *, dx: float | None, interval: float | None, physics: Physics, direction: Direction,
    boundary: Boundary, intensity: Intensity,
) -> tuple[list[str], list[Entry]]:  # fmt: skip
    """Recover, write `recovery.json` and `figures/` into `folder`; returns the lines to print and the figures."""
    clock = Clock()
    for option, given, known in (("--dx", dx, video.dx), ("--dt", interval, video.interval)):
        if given is None and known is None:
            what = "the size of a pixel" if option == "--dx" else "the time between two frames"
            raise InputError(f"{video.name} does not say {what}: give {option}")
    spec = {
        "dx": dx if dx is not None else video.dx,
        "interval": interval if interval is not None else video.interval,
        "physics": physics,
        "direction": direction,
        "boundary": boundary,
        "intensity": intensity,
    }
    result, evidence = recover_video(video, **spec)  # type: ignore[arg-type]  # the keys are its arguments
    figures = draw(result, evidence, folder / "figures")
    shown = evidence.forecast
    prediction = {
        "frames": list(shown.frames),
        "rms_error": shown.error.tolist(),
        "rms_no_motion": shown.no_motion.tolist(),
    }
    record = clock.record(f"recover {video.name}", spec)
    write_json(
        folder / "recovery.json",
        {"format": FORMAT, "recovery": result.as_json(), "prediction": prediction, "provenance": record},
    )
    return _lines(result), figures


def _lines(result: Recovery) -> list[str]:
    """What the terminal shows."""
    lines = [
        f"{result.video}: {result.frames} frames of {result.cells[0]} x {result.cells[1]}, {result.equation}",
        *(
            f"  {item.name} = {item.value:.5g} +- {item.sigma:.2g}"
            + (f"   (truth {item.truth:.5g})" if item.truth is not None else "")
            for item in result.coefficients
        ),
        f"  direction: {result.direction}; method: {result.method}",
        f"  reduced chi^2 {result.chi2:.3g}; whiteness p {result.whiteness['p']:.2g}; pixel noise {result.noise:.2g}",
        f"  verdict: {result.verdict}",
    ]
    return [*lines, *(f"  note: {note}" for note in result.notes)]
