"""One training loop, read top to bottom: steps, validation, history, early stopping, checkpoints.

A wing hands over a step function that does its own forward, backward, clipping and `optimizer.step()`.
The loop therefore needs no hooks: two phases, several parameter groups or a clipped gradient are plain
PyTorch in the wing, written as a pure function of the step index. In return the loop keeps everything that a
restart needs, so that a killed training goes on bit-equal to one that was never interrupted.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from phasemill.core import ranks
from phasemill.core.provenance import git_state
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

__all__ = ["Interrupted", "LoopError", "Result", "Training", "pick_device", "rng", "train"]

log = logging.getLogger("phasemill")


def pick_device(name: str) -> torch.device:
    """The device to train on; `auto` takes a GPU if PyTorch sees one.

    For a GPU it also asks PyTorch for deterministic kernels, so that a resume is bit-equal there too.

    Raises
    ------
    LoopError
        If the name is unknown, or `cuda` is asked for where there is no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise LoopError(f"device {name!r} is unknown; use 'auto', 'cpu' or 'cuda'")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise LoopError(
            "device 'cuda' is asked for but PyTorch sees no GPU on this machine; use device 'auto' or 'cpu', "
            "or run on a GPU node with a CUDA build of torch"
        )
    if name == "cpu" or not available:
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS has no deterministic kernels
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda")


def rng(seed: int, step: int) -> np.random.Generator:
    """The random numbers of one step, a pure function of (seed, step): batches do not depend on restarts."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(step,)))


@dataclass
class Training:
    """What is trained: named modules, their optimiser (any number of parameter groups) and its schedule.

    A `ReduceLROnPlateau` steps at each validation with the monitored metric, any other scheduler after each step.
    """

    modules: dict[str, torch.nn.Module]
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler | ReduceLROnPlateau | None = None


@dataclass
class Result:
    """Where a training stands; saved whole in each checkpoint and returned at the end."""

    step: int = 0
    seconds: float = 0.0  # of work, over all restarts
    rows: list[Row] = field(default_factory=list)
    best: float = math.inf  # lowest monitored metric and its step
    best_step: int | None = None
    stale: int = 0  # validations since then
    finished: bool = False
    code: list[str] = field(default_factory=list)  # commits of the code that did the steps, over all restarts


def train(
    training: Training,
    step: Callable[[int], Mapping[str, float]],
    *,
    steps: int,
    every: int,
    seed: int,
    checkpoints: Path,
    key: str,
    history: Path,
    validate: Callable[[], Mapping[str, float]] | None = None,
    monitor: str | None = None,
    patience: int | None = None,
    select_after: int = 0,
    checkpoint_seconds: float = 60.0,
    checkpoint_every: int | None = None,
    log_seconds: float = 10.0,
    label: str = "training",
) -> Result:
    """Train for `steps` steps, going on from the newest checkpoint of the same `key` if there is one.

    At the end the modules hold the weights with the lowest `monitor` (the last ones without it), in eval mode.

    Arguments
    ---------
    training: modules, optimiser and scheduler, newly built; a checkpoint overwrites their state.
    step: trains on step i = 0, 1, ... and returns its metrics; the first one is shown as progress.
    steps, every: number of steps; a history row (with a validation) is due after each `every` and at the end.
    seed: of torch's global generators at step 0 (dropout and the like); see `rng` for batches.
    checkpoints, key: folder and the digest of everything that the result depends on (config, data). Another
        key never meets these checkpoints: they lie in `checkpoints/key[:16]/`.
    history: CSV with the columns step, lr (of the first group), seconds, the step's metrics
        averaged since the previous row, validation metrics. Rewritten whole with each checkpoint.
    validate: returns validation metrics; the modules are in eval mode meanwhile.
    monitor: validation metric, lower is better, for best weights, `patience` and ReduceLROnPlateau.
    patience: stop after so many validations without a new best.
    select_after: validations up to this step (a first phase) count neither for the best weights nor for `patience`.
    checkpoint_seconds, checkpoint_every: save when so many seconds or steps have passed since the last save.

    Raises
    ------
    LoopError
        Metric or weight not finite, checkpoint that does not fit the modules, arguments that contradict each other.
    Interrupted
        After SIGTERM or SIGUSR1, once the step at work is done and saved.
    """
    scheduler, modules = training.scheduler, training.modules
    if monitor is None and (patience is not None or isinstance(scheduler, ReduceLROnPlateau)):
        raise LoopError(f"{label}: early stopping and ReduceLROnPlateau need a validation metric; name it in monitor")
    if monitor is not None and validate is None:
        raise LoopError(f"{label}: monitor {monitor!r} needs a validate function")

    torch.manual_seed(seed)
    store = Checkpoints(checkpoints, key, seconds=checkpoint_seconds, every=checkpoint_every)
    state = Result()
    sums: dict[str, list[float]] = {}  # metric -> [sum, count] since the last row
    best_weights: dict[str, dict[str, Any]] | None = None
    if saved := store.load():
        state, sums, best_weights = _restore(training, saved, store)
    announce(label, state.step, steps, store, finished=state.finished)
    commit, _ = git_state()
    if not state.finished and state.code[-1:] != [commit]:
        if state.code:
            log.warning("%s: goes on with other code (%s) than it began with (%s)", label, commit, state.code[-1])
        state.code.append(commit)
    writes = ranks.rank() == 0
    if writes:
        write_history(history, state.rows)
    began = time.monotonic() - state.seconds
    remedy = "lower the learning rate or clip the gradients"

    def save() -> None:
        for name, module in modules.items():
            for parameter, values in module.named_parameters():
                if not values.isfinite().all():
                    raise not_finite(label, state.step, f"weight {name}.{parameter}", store, remedy)
        state.seconds = time.monotonic() - began
        if not writes:
            return
        content = {"result": vars(state), "sums": sums, "best_weights": best_weights, **_snapshot(training)}
        store.save(state.step, content)
        write_history(history, state.rows)

    with stop_signals() as stop, Progress(label, state.step, steps, log_seconds) as progress:
        set_mode(modules, training=True)
        while not state.finished:
            # Here the state is whole. A due validation comes after the save: if it is killed, it is repeated.
            # Of several processes only the first obeys a signal: the others would stop without it at another step.
            stopping = bool(stop) and writes
            if stopping or store.due(state.step):
                save()
            if stopping:
                log.warning(
                    "%s: %s at step %d of %d, saved as %s", label, stop[0].name, state.step, steps, store.newest
                )
                raise Interrupted

            row_due = state.step % every == 0 or state.step == steps
            if row_due and state.step > (state.rows[-1]["step"] if state.rows else 0):
                measured: Mapping[str, float] = {}
                if validate is not None:
                    set_mode(modules, training=False)
                    measured = validate()
                    set_mode(modules, training=True)
                means = {name: total / count for name, (total, count) in sums.items()}
                lr = training.optimizer.param_groups[0]["lr"]
                first = {"step": state.step, "lr": lr, "seconds": time.monotonic() - began}
                state.rows.append(make_row(label, first, means, measured))
                sums = {}
                if monitor is not None:
                    if monitor not in measured:
                        raise LoopError(f"{label}: monitor {monitor!r} is none of {sorted(measured)}")
                    value = float(measured[monitor])
                    selecting = state.step > select_after
                    state.stale += selecting
                    if selecting and value < state.best:
                        state.best, state.best_step, state.stale = value, state.step, 0
                        best_weights = {name: _copy(module) for name, module in modules.items()}
                    if isinstance(scheduler, ReduceLROnPlateau):
                        scheduler.step(value)

            if state.step >= steps or (patience is not None and state.stale >= patience):
                state.finished = True
                save()
                continue

            metrics = {name: float(value) for name, value in step(state.step).items()}
            for name, value in metrics.items():
                if not math.isfinite(value):
                    raise not_finite(label, state.step, f"metric {name}", store, remedy)
                total, count = sums.get(name, (0.0, 0))
                sums[name] = [total + value, count + 1]
            if scheduler is not None and not isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step()
            state.step += 1
            progress.show(state.step, metrics)

    best = "" if state.best_step is None else f", best {monitor} {state.best:.6g} at step {state.best_step}"
    log.info("%s: finished at step %d of %d after %.0f s%s", label, state.step, steps, state.seconds, best)
    for name, weights in (best_weights or {}).items():
        modules[name].load_state_dict(weights)
    set_mode(modules, training=False)
    return state


def set_mode(modules: Mapping[str, torch.nn.Module], *, training: bool) -> None:
    """Put all modules into training or evaluation mode."""
    for module in modules.values():
        module.train(training)


def _copy(module: torch.nn.Module) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _snapshot(training: Training) -> dict[str, Any]:
    """Modules, optimiser, scheduler and the states of torch's generators, in types that `weights_only` reads."""
    return {
        "modules": {name: module.state_dict() for name, module in training.modules.items()},
        "optimizer": training.optimizer.state_dict(),
        "scheduler": training.scheduler.state_dict() if training.scheduler else None,
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _restore(
    training: Training, saved: Mapping[str, Any], store: Checkpoints
) -> tuple[Result, dict[str, list[float]], dict[str, dict[str, Any]] | None]:
    try:
        for name, module in training.modules.items():
            module.load_state_dict(saved["modules"][name])
        training.optimizer.load_state_dict(saved["optimizer"])
        if training.scheduler is not None:
            training.scheduler.load_state_dict(saved["scheduler"])
        torch.set_rng_state(saved["rng"])
        torch.cuda.set_rng_state_all(saved["rng_cuda"][: torch.cuda.device_count()])
        return Result(**saved["result"]), saved["sums"], saved["best_weights"]
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise LoopError(
            f"checkpoint {store.newest} does not fit this model, so the code has changed since; "
            f"delete {store.folder} to train again"
        ) from error
