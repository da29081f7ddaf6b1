"""Long evolutions that survive a kill: each stored frame, in float64, is also the state from which the run goes on."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.files import write_bytes
from phasemill.spinodal.physics import Medium
from phasemill.spinodal.solver import Scheme, Stepper, make_stepper, march

log = logging.getLogger("phasemill")


def resumable(
    phi: NDArray[Any], times: NDArray[Any], folder: Path, *, medium: Medium, scheme: Scheme = "rkl2",
    dt: float | None = None, tolerance: float = 1e-4, threads: int = 1,
) -> Iterator[tuple[NDArray[Any], int]]:  # fmt: skip
    """The field at each of `times` and the right-hand sides so far, going on from `folder` if it has frames.

    At a stored time phi and the next time step are the whole state of every scheme, so that a resumed run is bit-equal
    to an uninterrupted one. Each combination of initial field, times, medium and scheme has its own folder in
    `folder`. The other arguments and the errors are those of `solver.integrate`.
    """

    def stepper_at(field: NDArray[Any]) -> Stepper:
        return make_stepper(field, medium, scheme, dt=dt, tolerance=tolerance, threads=threads)

    stepper = stepper_at(phi)  # refuses what cannot be evolved before anything is written
    start, schedule = np.ascontiguousarray(phi, np.float64), np.asarray(times, np.float64)
    numbers = f"{tolerance!r}" if scheme == "rkl2" else f"{scheme} {stepper.dt!r}"
    depends = f"{start.shape} {medium} {numbers}".encode() + start.tobytes() + schedule.tobytes()
    folder = folder / hashlib.sha256(depends).hexdigest()[:16]
    paths = [folder / f"frame-{number:05d}.npz" for number in range(len(schedule))]

    state: dict[str, Any] = {}
    done = 0
    while done < len(paths) and (found := _load(paths[done])):
        state, done = found, done + 1
        yield state["phi"], int(state["evaluations"])
    if done == len(paths):
        return
    if state:
        log.info("goes on from %s, t = %g", folder, schedule[done - 1])
        stepper = stepper_at(state["phi"])
        stepper.dt, stepper.evaluations = float(state["dt"]), int(state["evaluations"])
    fields = march(stepper, schedule[max(done - 1, 0) :])
    if done:
        next(fields)  # the frame from which it goes on
    for path, field in zip(paths[done:], fields, strict=True):
        buffer = io.BytesIO()
        np.savez(buffer, phi=field, dt=stepper.dt, evaluations=stepper.evaluations)
        write_bytes(path, buffer.getvalue())
        yield np.array(field), stepper.evaluations


def _load(path: Path) -> dict[str, Any] | None:
    """A stored frame, or None where there is none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in ("phi", "dt", "evaluations")}
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged file raises almost anything
        log.warning("%s is passed over: damaged (%s)", path, type(error).__name__)
        return None
