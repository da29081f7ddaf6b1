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
from phasemill.spinodal.solver import Rkl2, check_field

log = logging.getLogger("phasemill")


def resumable(
    phi: NDArray[Any], times: NDArray[Any], folder: Path, *, medium: Medium, tolerance: float, threads: int = 1
) -> Iterator[tuple[NDArray[Any], int]]:
    """The field at each of `times` and the right-hand sides so far, with RKL2, going on from `folder` if it has frames.

    phi and the next time step are the whole state of the scheme, so that a resumed run is bit-equal to an
    uninterrupted one. Each combination of initial field, times, medium and tolerance has its own folder in `folder`.
    """
    check_field(phi)
    start, schedule = np.ascontiguousarray(phi, np.float64), np.asarray(times, np.float64)
    depends = f"{start.shape} {medium} {tolerance!r}".encode() + start.tobytes() + schedule.tobytes()
    folder = folder / hashlib.sha256(depends).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    stepper: Rkl2 | None = None
    state: dict[str, Any] = {}
    for number, time in enumerate(times):
        path = folder / f"frame-{number:05d}.npz"
        if stepper is None and (found := _load(path)):
            state = found
            yield state["phi"], int(state["evaluations"])
            continue
        if stepper is None:
            if state:
                log.info("goes on from %s, t = %g", folder, times[number - 1])
            stepper = Rkl2(
                state.get("phi", phi), medium, tolerance=tolerance, threads=threads,
                dt=float(state["dt"]) if state else None,
            )  # fmt: skip
            stepper.evaluations = int(state.get("evaluations", stepper.evaluations))
        if number:
            stepper.advance(time - times[number - 1])
        buffer = io.BytesIO()
        np.savez(buffer, phi=stepper.phi, dt=stepper.dt, evaluations=stepper.evaluations)
        write_bytes(path, buffer.getvalue())
        yield np.array(stepper.phi), stepper.evaluations


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
