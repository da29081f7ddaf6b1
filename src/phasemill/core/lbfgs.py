"""Full-batch L-BFGS-B (scipy) with the checkpoints, history, progress and stop signals of the training loop.

scipy keeps the curvature pairs of L-BFGS to itself, so a run cannot be frozen at any iteration. It is therefore cut
into segments of a fixed number of iterations: at each boundary x is kept and the memory starts anew, in an
uninterrupted run as well. A resume at a boundary is thus bit-equal; a run that is stopped inside a segment repeats
that segment. Filling a new memory costs about as many iterations as it has pairs, so segments are long beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Unpack

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch.nn.utils import parameters_to_vector

from phasemill.core.minimisation import Fun, Minimisation, Minimum, Options, Vector


def minimise_lbfgs(
    fun: Fun,
    x0: Vector,
    *,
    segment: int = 500,
    memory: int = 50,
    gtol: float = 1e-8,
    ftol: float = 0.0,
    checkpoint_seconds: float = 60.0,
    label: str = "L-BFGS",
    **options: Unpack[Options],
) -> Minimum:
    """x = argmin fun(x), going on from the newest checkpoint of the same `key` if there is one.

    Arguments
    ---------
    fun: value and gradient; see `objective`.
    segment: iterations between restarts of the memory, several times `memory`; checkpoints lie on these boundaries.
    memory: number of curvature pairs (scipy's maxcor).
    gtol, ftol: converged when max|gradient| <= gtol or when the relative decrease of one iteration is <= ftol.
    checkpoint_seconds: time between checkpoints. options: see `minimisation.Options`.

    Raises
    ------
    LoopError
        `fun` is not finite, or the checkpoint has another length.
    Interrupted
        After SIGTERM or SIGUSR1, once the last boundary is saved.
    """
    run = Minimisation(x0, label=label, checkpoint_seconds=checkpoint_seconds, **options)
    state = run.state
    step, rows = state.iterations, state.rows  # the ones inside a segment: kept only at its end

    def after_iteration(intermediate_result: OptimizeResult) -> None:
        nonlocal step
        step += 1
        value = float(intermediate_result.fun)
        if not math.isfinite(value):
            raise run.diverged(step)
        run.advance(step, intermediate_result.x, value, rows)

    with run.running(fun) as watched:
        while not state.finished:
            step, rows = state.iterations, list(state.rows)
            found = minimize(
                watched,
                state.x,
                jac=True,
                method="L-BFGS-B",
                callback=after_iteration,
                options={
                    "maxiter": min(segment, run.iterations - state.iterations),
                    "maxfun": np.iinfo(np.int32).max,
                    "maxcor": memory,
                    "gtol": gtol,
                    "ftol": ftol,
                },
            )
            if not math.isfinite(found.fun):
                raise run.diverged(step)
            state.x, state.value, state.rows = found.x, float(found.fun), rows
            state.iterations += int(found.nit)
            state.evaluations += int(found.nfev)
            # A failed line search is worth another try with a new memory, unless it failed with a new memory.
            if found.success or found.nit == 0 or state.iterations >= run.iterations:
                run.finish(str(found.message), converged=bool(found.success))
            elif run.store.due(state.iterations):
                run.save()
    return state


def objective(parameters: Iterable[torch.nn.Parameter], loss: Callable[[], torch.Tensor]) -> Fun:
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
