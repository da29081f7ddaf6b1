"""Full-batch L-BFGS-B (scipy) with the checkpoints, history, progress and stop signals of the training loop.

scipy keeps the curvature pairs of L-BFGS to itself, so a run cannot be frozen at any iteration. It is therefore cut
into segments of a fixed number of iterations: at each boundary x is kept and the memory starts anew, in an
uninterrupted run as well. A resume at a boundary is thus bit-equal; a run that is stopped inside a segment repeats
that segment. Filling a new memory costs about as many iterations as it has pairs, so segments are long beside it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from torch.nn.utils import parameters_to_vector

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


@dataclass
class Minimum:
    """Where a minimisation stands at a segment boundary; saved in each checkpoint and returned at the end."""

    x: Vector
    value: float = math.inf
    iterations: int = 0
    evaluations: int = 0
    seconds: float = 0.0  # of work, over all restarts
    rows: list[Row] = field(default_factory=list)
    converged: bool = False
    message: str = ""
    finished: bool = False


def minimise_lbfgs(
    fun: Callable[[Vector], tuple[float, Vector]],
    x0: Vector,
    *,
    iterations: int,
    every: int,
    checkpoints: Path,
    key: str,
    history: Path,
    validate: Callable[[Vector], Mapping[str, float]] | None = None,
    segment: int = 500,
    memory: int = 50,
    gtol: float = 1e-8,
    ftol: float = 0.0,
    checkpoint_seconds: float = 60.0,
    log_seconds: float = 10.0,
    label: str = "L-BFGS",
) -> Minimum:
    """x = argmin fun(x), going on from the newest checkpoint of the same `key` if there is one.

    Arguments
    ---------
    fun: x, shape (n,), float64 -> value and gradient, shape (n,); must be deterministic. See `objective`.
    iterations, every: most iterations; a history row is due after each `every` and at the end.
    checkpoints, key, history, checkpoint_seconds, log_seconds: as in `loop.train`; columns step, seconds, loss, then
        what `validate` returns for the x of the row. An Adam stage before needs a folder or key of its own.
    segment: iterations between restarts of the memory, several times `memory`; checkpoints lie on these boundaries.
    memory: number of curvature pairs (scipy's maxcor).
    gtol, ftol: converged when max|gradient| <= gtol or when the relative decrease of one iteration is <= ftol.

    Raises
    ------
    LoopError
        `fun` is not finite, or the checkpoint has another length.
    Interrupted
        After SIGTERM or SIGUSR1, once the last boundary is saved.
    """
    store = Checkpoints(checkpoints, key, seconds=checkpoint_seconds)
    state = Minimum(np.array(x0, dtype=np.float64))
    if saved := store.load():
        state = Minimum(**{**saved["result"], "x": saved["result"]["x"].numpy()})
        if state.x.size != np.size(x0):
            raise LoopError(
                f"checkpoint {store.newest} holds {state.x.size} unknowns but {np.size(x0)} are asked for; "
                f"delete {store.folder} to train again"
            )
    announce(label, state.iterations, iterations, store, finished=state.finished)
    write_history(history, state.rows)
    began = time.monotonic() - state.seconds

    def row(step: int, x: Vector, value: float) -> Row:
        metrics = validate(x.copy()) if validate is not None else {}
        return make_row(label, {"step": step, "seconds": time.monotonic() - began, "loss": value}, metrics)

    def save() -> None:
        state.seconds = time.monotonic() - began
        store.save(state.iterations, {"result": {**vars(state), "x": torch.from_numpy(state.x)}})
        write_history(history, state.rows)

    with stop_signals() as stop, Progress(label, state.iterations, iterations, log_seconds) as progress:
        step, rows = state.iterations, state.rows  # the ones inside a segment: kept only at its end

        def watched(x: Vector) -> tuple[float, Vector]:
            if stop:
                raise Interrupted
            return fun(x)

        def after_iteration(intermediate_result: OptimizeResult) -> None:
            nonlocal step
            step += 1
            x, value = intermediate_result.x, float(intermediate_result.fun)
            if not math.isfinite(value):
                raise not_finite(label, step, "the loss", store, "start from better weights")
            progress.show(step, {"loss": value})
            if step % every == 0:
                rows.append(row(step, x, value))

        while not state.finished:
            step, rows = state.iterations, list(state.rows)
            try:
                found = minimize(
                    watched,
                    state.x,
                    jac=True,
                    method="L-BFGS-B",
                    callback=after_iteration,
                    options={
                        "maxiter": min(segment, iterations - state.iterations),
                        "maxfun": np.iinfo(np.int32).max,
                        "maxcor": memory,
                        "gtol": gtol,
                        "ftol": ftol,
                    },
                )
            except Interrupted:
                save()
                log.warning("%s: %s at step %d of %d, saved as %s", label, stop[0].name, step, iterations, store.newest)
                raise

            if not math.isfinite(found.fun):
                raise not_finite(label, step, "the loss", store, "start from better weights")
            state.x, state.value, state.rows = found.x, float(found.fun), rows
            state.iterations += int(found.nit)
            state.evaluations += int(found.nfev)
            state.converged, state.message = bool(found.success), str(found.message)
            # A failed line search is worth another try with a new memory, unless it failed with a new memory.
            state.finished = state.converged or found.nit == 0 or state.iterations >= iterations
            if state.finished and (not rows or rows[-1]["step"] < state.iterations):
                rows.append(row(state.iterations, state.x, state.value))
            if state.finished or store.due(state.iterations):
                save()
    log.info("%s: finished at step %d, loss %.6g: %s", label, state.iterations, state.value, state.message)
    return state


def objective(
    parameters: Iterable[torch.nn.Parameter], loss: Callable[[], torch.Tensor]
) -> Callable[[Vector], tuple[float, Vector]]:
    """fun(x) = (loss, d loss / d x) with the parameters set to x; float64 parameters lose nothing on the way."""
    tensors = list(parameters)

    def fun(x: Vector) -> tuple[float, Vector]:
        set_vector(tensors, x)
        value = loss()
        gradients = torch.autograd.grad(value, tensors, allow_unused=True, materialize_grads=True)
        return float(value.detach()), parameters_to_vector(gradients).double().cpu().numpy()

    return fun


def get_vector(parameters: Iterable[torch.nn.Parameter]) -> Vector:
    """All parameters as one float64 vector."""
    vector: Vector = parameters_to_vector(parameters).detach().double().cpu().numpy()
    return vector


def set_vector(parameters: Iterable[torch.nn.Parameter], x: Vector) -> None:
    """Set all parameters from one vector, in their own dtype and on their own device."""
    tensors = list(parameters)
    parts = np.split(x, np.cumsum([tensor.numel() for tensor in tensors])[:-1])
    with torch.no_grad():
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(torch.tensor(part).view_as(tensor))
