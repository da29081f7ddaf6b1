"""The Cahn-Hilliard solvers on a 64^3 box, one core: against numpy, py-pde, exponax, and one another."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from time import process_time
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from phasemill.spinodal.evaluate.speed_marches import Roll
from phasemill.spinodal.evaluate.speed_pieces import keep_pages
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


def test_rkl2_against_exponax(compare: Callable[..., float], keep: Callable[..., None]) -> None:
    """To t = 2 with the same error in time, in float64: its spectral ETDRK of order 2 or 4, whichever is faster.

    u = 2 phi - 1 turns the equation into u_t = lap (6 u^3 - 6 u - 3 lap u). The grids differ (spectral, 7-point), so that
    each run is held against its own with far smaller steps, and how far these two are apart is kept beside.
    """
    jax = pytest.importorskip("jax", reason="exponax is missing: pip install -e .[peers]")
    jax.config.update("jax_enable_x64", True)
    import exponax

    begun, until = integrate(start(), np.array([0.0, 1.0]), tolerance=1e-5).frames[-1].astype(np.float64), 2.0
    equation = {"diffusivity": 1.0, "gamma": 3.0, "first_order_coefficient": -6.0, "third_order_coefficient": 6.0}

    def spectral(dt: float, order: int) -> Callable[[], np.ndarray]:
        stepper = exponax.stepper.reaction.CahnHilliard(3, float(SIZE), SIZE, dt, order=order, **equation)
        march, u = jax.jit(exponax.repeat(stepper, round(until / dt))), jax.numpy.asarray(2 * begun - 1)[None]
        return lambda: np.asarray(march(u).block_until_ready())[0] / 2 + 0.5

    def ours(tolerance: float) -> Callable[[], np.ndarray]:
        return lambda: integrate(begun, np.array([0.0, until]), tolerance=tolerance).frames[-1]

    def rms(field: np.ndarray) -> float:
        return float(np.sqrt(np.mean(field**2)))

    exact = {"ours": ours(1e-7)(), "exponax": spectral(0.005, 4)()}
    apart, way = rms(exact["ours"] - exact["exponax"]), rms(exact["ours"] - begun)
    assert apart < 0.5 * way  # the same equation; what is left is the grid of three cells per interface
    allowed = rms(ours(1e-4)() - exact["ours"])
    steps = [spectral(dt, order) for order, dt in ((2, 0.02), (4, 0.05), (4, 0.04))]
    errors = [rms(step() - exact["exponax"]) for step in steps]
    able = [step for step, error in zip(steps, errors, strict=True) if error < 1.5 * allowed]
    fastest = min(able, key=seconds)
    key = f"spinodal RKL2 {SIZE}^3 to t = 2 at equal error in time against exponax {exponax.__version__} ETDRK"
    compare(key, ours(1e-4), fastest, 5)
    peer = errors[steps.index(fastest)]
    keep(f"{key}, rms", ours_error=allowed, exponax_error=peer, between_the_grids=apart, whole_change=way)


def test_a_stage_of_rkl2_against_an_euler_step(keep: Callable[..., None]) -> None:
    """The same right-hand side with five fields instead of two; float64."""
    ours, (y, *others) = euler(np.float64), (box := Rkl2(start(), Medium(), tolerance=1e-4)).fields

    def stages() -> None:
        for _ in range(STEPS):
            box.stage(others[0], y, others[1], others[2], (0.1, 0.1, 0.1, 0.1, 0.1))

    times = [(seconds(ours), seconds(stages)) for _ in range(30)]
    step, stage = (1e3 * min(column) / STEPS for column in zip(*times, strict=True))
    keep(
        f"spinodal: a stage of RKL2 {SIZE}^3 float64 beside an Euler step",
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
    key = f"spinodal RKL2 {SIZE}^3 to t = 50 at tolerance 1e-4 against our Euler"
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
        f"spinodal RKL2 {SIZE}^3 to t = {until:g} at tolerance 1e-3 beside our Euler, extrapolated",
        ours_s=taken, euler_s_extrapolated=extrapolated, ratio=extrapolated / taken, evaluations=box.evaluations,
    )  # fmt: skip
    assert extrapolated / taken >= 20


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds: on an idle core the time on the clock."""
    begun = process_time()
    function()
    return process_time() - begun
