"""The frame of a full-batch minimisation, whichever method drives it: state, checkpoints, history, stop signals."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from phasemill.core.run import (
    Checkpoints,
    Interrupted,
    LoopError,
    Progress,
    Row,
    announce,
    make_row,
    not_finite,
    stop_signals,
    write_history,
)

log = logging.getLogger("phasemill")

Vector = NDArray[np.float64]
Fun = Callable[[Vector], tuple[float, Vector]]
"""x, shape (n,), float64 -> value and gradient, shape (n,); must be deterministic."""


class Options(TypedDict):
    """What every minimiser is asked for.

    iterations, every: most iterations; a history row is due after each `every` and at the end.
    checkpoints, key, history: as in `loop.train`; columns step, seconds, loss, then what `validate` returns for the x
    of the row. An Adam stage before needs a folder or key of its own.
    """

    iterations: int
    every: int
    checkpoints: Path
    key: str
    history: Path
    validate: NotRequired[Callable[[Vector], Mapping[str, float]] | None]


@dataclass
class Minimum:
    """Where a minimisation stands; saved in each checkpoint and returned at the end."""

    x: Vector
    value: float = math.inf
    iterations: int = 0
    evaluations: int = 0
    seconds: float = 0.0  # of work, over all restarts
    rows: list[Row] = field(default_factory=list)
    converged: bool = False
    message: str = ""
    finished: bool = False


class Minimisation:
    """A run from x0, or from the newest checkpoint of the same `key` if there is one (`saved`, else empty).

    Raises LoopError if the checkpoint has another length than x0.
    """

    progress: Progress

    def __init__(
        self,
        x0: Vector,
        *,
        label: str,
        checkpoint_seconds: float,
        iterations: int,
        every: int,
        checkpoints: Path,
        key: str,
        history: Path,
        validate: Callable[[Vector], Mapping[str, float]] | None = None,
    ) -> None:
        self.label, self.iterations, self.every, self.history, self.validate = (
            label,
            iterations,
            every,
            history,
            validate,
        )
        self.store = Checkpoints(checkpoints, key, seconds=checkpoint_seconds)
        self.state = Minimum(np.array(x0, dtype=np.float64))
        self.saved = self.store.load() or {}
        if self.saved:
            self.state = Minimum(**{**self.saved["result"], "x": self.saved["result"]["x"].numpy()})
            if self.state.x.size != np.size(x0):
                raise LoopError(
                    f"checkpoint {self.store.newest} holds {self.state.x.size} unknowns but {np.size(x0)} are asked "
                    f"for; delete {self.store.folder} to train again"
                )
        announce(label, self.state.iterations, iterations, self.store, finished=self.state.finished)
        write_history(history, self.state.rows)
        self._began = time.monotonic() - self.state.seconds
        self._step = self.state.iterations

    @contextmanager
    def running(self, fun: Fun) -> Iterator[Fun]:
        """Inside, `fun` as it is yielded ends the run at a stop signal; the state is saved as it stands then."""
        with (
            stop_signals() as stop,
            Progress(self.label, self.state.iterations, self.iterations) as self.progress,
        ):

            def watched(x: Vector) -> tuple[float, Vector]:
                if stop:
                    raise Interrupted
                return fun(x)

            try:
                yield watched
            except Interrupted:
                self.save()
                place = (stop[0].name, self._step, self.iterations, self.store.newest)
                log.warning("%s: %s at step %d of %d, saved as %s", self.label, *place)
                raise
        its = self.state
        log.info("%s: finished at step %d, loss %.6g: %s", self.label, its.iterations, its.value, its.message)

    def advance(self, step: int, x: Vector, value: float, rows: list[Row]) -> None:
        """Tell of an iteration that is done, and add the row that may be due after it."""
        self._step = step
        self.progress.show(step, {"loss": value})
        if step % self.every == 0:
            rows.append(self._row(step, x, value))

    def finish(self, message: str, *, converged: bool = False) -> None:
        """Save the state as the end of the run."""
        state = self.state
        state.converged, state.message, state.finished = converged, message, True
        if not state.rows or state.rows[-1]["step"] < state.iterations:
            state.rows.append(self._row(state.iterations, state.x, state.value))
        self.save()

    def save(self) -> None:
        """Write a checkpoint and the history."""
        self.state.seconds = time.monotonic() - self._began
        self.store.save(self.state.iterations, self.content())
        write_history(self.history, self.state.rows)

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"result": {**vars(self.state), "x": torch.from_numpy(self.state.x)}}

    def diverged(self, step: int) -> LoopError:
        """The error for a loss that is not finite."""
        return not_finite(self.label, step, "the loss", self.store, "start from better weights")

    def _row(self, step: int, x: Vector, value: float) -> Row:
        metrics = self.validate(x.copy()) if self.validate is not None else {}
        return make_row(self.label, {"step": step, "seconds": time.monotonic() - self._began, "loss": value}, metrics)
