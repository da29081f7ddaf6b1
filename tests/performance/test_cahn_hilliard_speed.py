"""The Cahn-Hilliard solvers on a 64^3 box, one core: against numpy, py-pde, the machine's limits, and one another."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from time import process_time
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from phasemill.core.files import read_json, write_json
from phasemill.core.machine import bandwidth, multiply_adds
from phasemill.spinodal.evaluate.speed_marches import Roll
from phasemill.spinodal.evaluate.speed_pieces import OPERATIONS, keep_pages
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.physics import Medium
from phasemill.spinodal.solver import DT, Euler, Rkl2, integrate

pytestmark = pytest.mark.performance

SIZE, STEPS = 64, 20
PRECISIONS = {"float32": np.float32, "float64": np.float64}


@cache
def start() -> np.ndarray:
    return perlin_mixture(np.random.default_rng(0), (SIZE, SIZE, SIZE))


def euler(dtype: Any) -> Callable[[], object]:
    stepper = Euler(start(), Medium(), dt=DT, dtype=dtype)
    return lambda: stepper.advance(STEPS * DT)


@pytest.fixture(autouse=True)
def numpy_keeps_its_pages() -> None:
    """The baseline is as fast as it can be."""
    keep_pages()


@pytest.fixture
def keep(pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """keep(key, entry): into results/performance.json, and printed."""
    path = pytestconfig.rootpath / "results" / "performance.json"

    def run(key: str, **entry: Any) -> None:
        rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in entry.items()}
        write_json(path, {**(read_json(path) if path.exists() else {}), key: rounded})
        with capsys.disabled():
            print(f"\n{key}: " + ", ".join(f"{name} {value}" for name, value in rounded.items()))

    return run


@pytest.mark.parametrize(("precision", "close"), [("float32", 2e-6), ("float64", 1e-14)])
def test_euler_against_numpy_rolls(compare: Callable[..., float], precision: str, close: float) -> None:
    dtype = PRECISIONS[precision]
    ours, rolled = Euler(start(), Medium(), dt=DT, dtype=dtype), Roll(start(), Medium(), DT, precision)
    ours.advance(STEPS * DT)
    rolled.advance(STEPS * DT)
    assert_allclose(ours.phi, rolled.phi, rtol=0, atol=close)
    key = f"spinodal Euler {SIZE}^3 {precision}, {STEPS} steps, against numpy roll"
    assert compare(key, euler(dtype), lambda: rolled.advance(STEPS * DT), 30) >= 8


def test_euler_against_py_pde(compare: Callable[..., float]) -> None:
    """Its compiled explicit Euler stepper with one thread; the compilation, up to a minute, is not counted."""
    pde = pytest.importorskip("pde", reason="py-pde is missing: pip install -e .[peers]")
    pde.config["backend.numba.multithreading"] = "never"
    field = pde.ScalarField(pde.CartesianGrid([[0, SIZE]] * 3, SIZE, periodic=True), start().copy())
    equation = pde.PDE({"phi": "laplace(12 * phi * (1 - phi) * (1 - 2 * phi) - 3 * laplace(phi))"})
    step = pde.EulerSolver(equation, backend="numba").make_stepper(field, DT)
    step(field, 0, STEPS * DT)
    ours = Euler(start(), Medium(), dt=DT)
    ours.advance(STEPS * DT)
    assert_allclose(ours.phi, field.data, rtol=0, atol=1e-13)
    key = f"spinodal Euler {SIZE}^3 float64, {STEPS} steps, against py-pde {pde.__version__} with numba"
    assert compare(key, euler(np.float64), lambda: step(field, 0, STEPS * DT), 30) >= 2.4


@pytest.mark.parametrize("precision", PRECISIONS)
def test_euler_against_the_limits_of_the_machine(keep: Callable[..., None], precision: str) -> None:
    """No step is faster than its operations at the rate of multiply-adds, nor than one read and one write of phi."""
    dtype = np.dtype(PRECISIONS[precision])
    limits = {
        "arithmetic_ns": 1e9 * OPERATIONS / multiply_adds(dtype),
        "memory_ns": 1e9 * 2 * dtype.itemsize / bandwidth(2 * dtype.itemsize * SIZE**3, dtype),
    }
    ours = euler(dtype)
    taken = 1e9 * min(seconds(ours) for _ in range(30)) / STEPS / SIZE**3
    key = f"spinodal Euler {SIZE}^3 {precision}, per cell and step, against the limits of the core"
    keep(key, ours_ns=taken, **limits, fraction_of_limit=max(limits.values()) / taken)


def test_a_stage_of_rkl2_against_an_euler_step(keep: Callable[..., None]) -> None:
    """The same right-hand side with five fields instead of two; float64."""
    ours, (y, *others) = euler(np.float64), (box := Rkl2(start(), Medium(), tolerance=1e-4)).fields

    def stages() -> None:
        for _ in range(STEPS):
            box.stage(others[0], y, others[1], others[2], (0.1, 0.1, 0.1, 0.1, 0.1))

    times = [(seconds(ours), seconds(stages)) for _ in range(30)]
    step, stage = (1e3 * min(column) / STEPS for column in zip(*times, strict=True))
    keep(
        f"spinodal stage of RKL2 {SIZE}^3 float64 against an Euler step",
        euler_ms=step,
        stage_ms=stage,
        ratio=stage / step,
    )


def test_rkl2_against_euler(compare: Callable[..., float], keep: Callable[..., None]) -> None:
    """To t = 50 at the tolerance at which RKL2 has the error of Euler; both errors are measured."""
    times = np.array([0.0, 2.0, 5.0, 10.0, 25.0, 50.0])
    runs = {
        name: lambda options=options: integrate(start(), times, **options)
        for name, options in {
            "euler": {"scheme": "euler"},
            "rkl2": {"tolerance": 1e-4},
            "exact": {"tolerance": 1e-6},
        }.items()
    }
    exact = runs["exact"]().frames
    errors = {
        n: float(np.sqrt(np.mean((runs[n]().frames - exact) ** 2, axis=(1, 2, 3))).max()) for n in ("euler", "rkl2")
    }
    key = f"spinodal RKL2 {SIZE}^3 to t = 50 at tolerance 1e-4 against Euler"
    ratio = compare(key, runs["rkl2"], runs["euler"], 2)
    keep(f"{key}, largest rms error", **errors)
    assert errors["rkl2"] < 2 * errors["euler"]
    assert ratio >= 5


def test_long_rkl2_against_euler(keep: Callable[..., None]) -> None:
    """To t = 2000 at tolerance 1e-3; Euler's 1.6 million steps are extrapolated from 4000, measured in turn with RKL2."""
    until, parts, steps = 2000.0, 20, 200
    explicit, box = Euler(start(), Medium(), dt=DT), Rkl2(start(), Medium(), tolerance=1e-3)
    explicit.advance(DT)
    taken = measured = 0.0
    for _ in range(parts):
        taken += seconds(lambda: box.advance(until / parts))
        measured += seconds(lambda: explicit.advance(steps * DT))
    extrapolated = measured / (parts * steps) * until / DT
    keep(
        f"spinodal RKL2 {SIZE}^3 to t = {until:g} at tolerance 1e-3 against Euler, extrapolated",
        ours_s=taken, euler_s_extrapolated=extrapolated, ratio=extrapolated / taken, evaluations=box.evaluations,
    )  # fmt: skip
    assert extrapolated / taken >= 20


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds: on an idle core the time on the clock."""
    begun = process_time()
    function()
    return process_time() - begun
