"""Solvers and networks as contestants: each marches a field from mark to mark while only its own work is timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phasemill.spinodal import metrics
from phasemill.spinodal.config.speed import Solvers
from phasemill.spinodal.datasets.mixtures import coarsen
from phasemill.spinodal.evaluate.coarse_energy import refined_energies
from phasemill.spinodal.evaluate.numbers import finite
from phasemill.spinodal.evaluate.speed_marches import DeviceMarch, Marching, NetworkMarch, Still, StrideMarch
from phasemill.spinodal.library import Surrogate
from phasemill.spinodal.physics import Medium
from phasemill.spinodal.solver import MOST_STAGES, Euler, Rkl2
from phasemill.spinodal.spectral import SemiImplicit
from phasemill.spinodal.torch_solver import TorchEuler, TorchRkl2

Floats = NDArray[np.float64]

SHORT = 1.0
"""Seconds below which a run is repeated."""
STAGES = 401
"""Of a step of a racing RKL2, at most: as rough as a network, it takes steps for which its usual number is too few."""
PRECISIONS: dict[str, Any] = {"float64": np.float64, "float32": np.float32}


@dataclass(frozen=True)
class Method:
    """A contestant."""

    family: str
    setting: str
    start: Callable[[NDArray[Any], float], Marching]
    """(field on the solver's grid, its time) -> the march."""
    precision: str = "float64"
    device: str = "cpu"
    value: float | None = None
    """dt or tolerance, where there is one."""
    everywhere: bool = True
    """Runs through all boxes; references whose errors nobody doubts take the first alone."""


@dataclass(frozen=True)
class Row:
    """What a contestant reached and what it took."""

    method: Method
    seconds: float
    """CPU seconds per tau on one core, or seconds per tau on a GPU; of the first box."""
    frames: NDArray[Any]
    """(box, mark, x, y, z) on the networks' grid."""
    rmse: float | None
    """Over all boxes and marks; None, as of all errors, where a field is not finite."""
    rmse_worst: float | None
    """Over all marks of the worst box."""
    energy_error: float | None
    """Largest |F - F_truth| / F_truth of all boxes and marks; both fields are decimated and Fourier up-sampled."""
    energy_error_mean: float | None
    """Mean over the boxes of the largest one of each."""
    coarse_energy_error: float | None
    """`energy_error` as summed on the networks' grid, where F of an interface depends on its place."""
    drift: float | None
    """Largest change of the mean of phi, on the grid of the frames; says nothing of a march that changes its grid."""


@dataclass(frozen=True)
class Course:
    """The evolutions that all methods run through."""

    starts: Sequence[NDArray[Any]]
    """Fields (x, y, z) on the solver's grid."""
    now: Sequence[float]
    """Their times."""
    marks: Sequence[float]
    """Times after `now` at which errors are taken; the last one is the end."""
    truth: Floats
    """(box, mark, x, y, z) on the solver's grid."""
    medium: Medium
    factor: int
    """Cells of the solver per cell of the networks, along each side."""
    interval: float
    """tau"""

    @classmethod
    def of(
        cls, starts: Sequence[NDArray[Any]], now: Sequence[float], marks: Sequence[float], tolerance: float,
        medium: Medium, factor: int, interval: float, threads: int = 1,
    ) -> Course:  # fmt: skip
        """The course whose truth is RKL2 in float64 at `tolerance`."""
        solver = rkl2("truth", tolerance, medium)
        runs = beside(threads, [(solver, *start, marks) for start in zip(starts, now, strict=True)])
        return cls(starts, now, marks, np.stack(runs), medium, factor, interval)

    @cached_property
    def decimated(self) -> Floats:
        """The truth on the networks' grid."""
        return coarsen(self.truth, self.factor)

    @cached_property
    def energies(self) -> tuple[Floats, Floats]:
        """F of the truth by box and mark, see `energies`."""
        return energies(self.decimated, self.medium, self.factor)

    @property
    def intervals(self) -> float:
        """tau from the start to the last mark."""
        return self.marks[-1] / self.interval


def solvers(settings: Solvers, medium: Medium, factor: int) -> list[Method]:
    """The rows of the classical schemes: both precisions where a kernel has them, RKL2 with `STAGES`."""
    found = [Method("no motion", "the initial field", lambda phi, now: Still(phi))]
    coarse = replace(medium, dx=factor * medium.dx)
    for precision in PRECISIONS:
        for dt in settings.euler:
            found.append(replace(euler("explicit Euler", dt, medium, precision), everywhere=False))
        for value in settings.tolerances:
            twin = rkl2("RKL2", value, medium, precision, most_stages=STAGES)
            found.append(replace(twin, everywhere=precision == "float32"))
    found += [_spectral(dt, medium) for dt in settings.spectral]
    for precision in PRECISIONS:
        found += [euler("Euler, coarse grid", dt, coarse, precision, factor) for dt in settings.coarse_euler]
        found += [
            rkl2("RKL2, coarse grid", value, coarse, precision, factor, STAGES) for value in settings.coarse_tolerances
        ]
    return found


def euler(family: str, dt: float, medium: Medium, precision: str = "float64", factor: int = 1) -> Method:
    """Explicit Euler, on every `factor`-th cell; `medium` has the spacing of that grid."""

    def start(phi: NDArray[Any], now: float) -> Marching:
        return Euler(coarsen(phi, factor), medium, dt=dt, dtype=PRECISIONS[precision])

    return Method(family, f"dt {dt:g}", start, precision, value=dt)


def rkl2(
    family: str, tolerance: float, medium: Medium, precision: str = "float64", factor: int = 1,
    most_stages: int = MOST_STAGES,
) -> Method:  # fmt: skip
    """Adaptive RKL2, on every `factor`-th cell; `medium` has the spacing of that grid."""

    def start(phi: NDArray[Any], now: float) -> Marching:
        kind = PRECISIONS[precision]
        return Rkl2(coarsen(phi, factor), medium, tolerance=tolerance, dtype=kind, most_stages=most_stages)

    return Method(family, f"tolerance {tolerance:g}", start, precision, value=tolerance)


def _spectral(dt: float, medium: Medium) -> Method:
    return Method("spectral SBDF2", f"dt {dt:g}", lambda phi, now: SemiImplicit(phi, medium, dt=dt), value=dt)


def on_gpu(settings: Solvers, medium: Medium) -> list[Method]:
    """Euler and RKL2 in torch, on the GPU."""

    found = []
    for precision in PRECISIONS:
        options = {"device": "cuda", "dtype": getattr(torch, precision)}
        found += [_torch("explicit Euler", "dt", dt, TorchEuler, medium, options, precision) for dt in settings.euler]
        found += [
            _torch("RKL2", "tolerance", tolerance, TorchRkl2, medium, options, precision)
            for tolerance in settings.tolerances
        ]
    return found


def _torch(
    family: str, name: str, value: float, solver: Callable[..., Marching], medium: Medium, options: dict[str, Any],
    precision: str,
) -> Method:  # fmt: skip
    def start(phi: NDArray[Any], now: float) -> Marching:
        return solver(phi, medium, **{name: value}, **options)

    everywhere = solver is not TorchEuler
    return Method(family, f"{name} {value:g}", start, precision, str(options["device"]), value, everywhere)


def network(family: str, model: Surrogate, *, begin: float, solver: Method, device: str = "cpu") -> Method:
    """The row of a trained network; one of large strides is preceded by `solver` until `begin`."""
    if model.card["kind"] == "stride":
        setting = f"strides grow with time, from t = {begin:g}"
        return Method(
            family, setting, lambda phi, now: StrideMarch(phi, now, model, solver.start(phi, now), begin), "bfloat16"
        )  # fmt: skip
    setting = f"{model.name}, {model.interval:g} a step"
    if device == "cuda":
        return Method(family, setting, lambda phi, now: DeviceMarch(phi, model, device), "bfloat16", device)
    return Method(family, setting, lambda phi, now: NetworkMarch(phi, model), "bfloat16")


def guess(family: str, model: Surrogate, *, begin: float, solver: Method) -> Method:
    """The row of what a network of large strides corrects: the coarse solver with wide interfaces, alone."""
    return Method(
        family,
        f"strides as the network's, from t = {begin:g}",
        lambda phi, now: StrideMarch(phi, now, model, solver.start(phi, now), begin, corrected=False),
        "float32",
    )


def race(methods: Iterable[Method], course: Course, repeats: int, threads: int = 1) -> list[Row]:
    """Run all methods over the course; timed is the first box, where short runs take several turns: the fastest counts.

    Errors are those of all boxes, unless a method is not to run `everywhere`. Nothing else runs beside what is timed;
    the other boxes come after it, `threads` at a time.
    """
    contestants, (first, *others) = list(methods), zip(course.starts, course.now, strict=True)
    for method in contestants:
        method.start(*first).advance(course.marks[0])  # compiles, and warms the caches
    runs = [march(method, *first, course.marks) for method in contestants]
    for _ in range(repeats - 1):
        for number, method in enumerate(contestants):
            frames, seconds = runs[number]
            if seconds <= SHORT:
                runs[number] = frames, min(seconds, march(method, *first, course.marks)[1])
    marches = [(method, *box, course.marks) for method in contestants if method.everywhere for box in others]
    beyond = iter(beside(threads, marches))
    rows = []
    for method, (frames, seconds) in zip(contestants, runs, strict=True):
        everywhere = [frames, *(next(beyond) for _ in others if method.everywhere)]
        rows.append(score(method, seconds / course.intervals, np.stack(everywhere), course))
    return rows


def beside(threads: int, marches: Iterable[tuple[Any, ...]]) -> list[NDArray[Any]]:
    """The frames of several arguments of `march`, `threads` at a time with one core each; nothing is timed."""
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return [frames for frames, _ in pool.map(lambda arguments: march(*arguments), marches)]


def score(method: Method, seconds: float, frames: NDArray[Any], course: Course) -> Row:
    """A row from frames (box, mark, x, y, z), decimated where they are on the solver's grid."""
    boxes, found = len(frames), np.asarray(frames, np.float64)
    fine = found.shape[2:] == course.truth.shape[2:]
    starts = [coarsen(start, 1 if fine else course.factor).mean() for start in course.starts[:boxes]]
    drift = np.abs(found.mean(axis=(2, 3, 4)) - np.array(starts)[:, None]).max()
    if fine:
        found = coarsen(found, course.factor)
    squares = metrics.mse(course.decimated[:boxes], found).mean(axis=1)
    refined, coarse = (
        np.abs(own / true[:boxes] - 1).max(axis=1)
        for own, true in zip(energies(found, course.medium, course.factor), course.energies, strict=True)
    )
    errors = np.sqrt(squares.mean()), np.sqrt(squares.max()), refined.max(), refined.mean(), coarse.max(), drift
    return Row(method, seconds, found.astype(np.float32), *map(finite, errors))


def energies(phi: NDArray[Any], medium: Medium, factor: int) -> tuple[Floats, Floats]:
    """F of fields on the networks' grid, Fourier up-sampled to the solver's, and summed as they are."""
    return refined_energies(phi, medium, factor), metrics.energies(phi, medium.eps, factor * medium.dx)


def march(method: Method, phi: NDArray[Any], begin: float, marks: Sequence[float]) -> tuple[NDArray[Any], float]:
    """The field at each mark, and the seconds that the marching took."""
    contestant, spent, reached, frames = method.start(phi, begin), 0.0, 0.0, []
    for mark in marks:
        started = clock(method.device)
        with np.errstate(over="ignore", invalid="ignore"):  # one that blows up is a row without errors
            contestant.advance(mark - reached)
        spent += clock(method.device) - started
        reached = mark
        frames.append(np.array(contestant.phi))
    return np.stack(frames), spent


def clock(device: str) -> float:
    """CPU seconds of this process, or seconds once the GPU has nothing left to do."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
