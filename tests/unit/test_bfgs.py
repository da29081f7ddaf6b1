"""Full-memory quasi-Newton: its formula, its convergence, and an interrupted run that goes on bit-equal."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from phasemill.core import bfgs
from phasemill.core.lbfgs import minimise_lbfgs
from phasemill.core.minimisation import Minimum, Vector
from phasemill.core.run import Interrupted, LoopError

Function = Callable[[Vector], tuple[float, Vector]]
START = np.linspace(-1.5, 1.5, 10)
KINDS: list[bfgs.Update] = ["bfgs", "ss_bfgs", "ss_broyden"]


def rosenbrock(x: Vector) -> tuple[float, Vector]:
    return rosen(x), rosen_der(x)


def quadratic(x: Vector, condition: float = 100) -> tuple[float, Vector]:
    stiffness = np.geomspace(1, condition, x.size)
    return float(stiffness @ (x - 2) ** 2 / 2), stiffness * (x - 2)


def minimise(fun: Function, folder: Path, start: Vector = START, **changes: Any) -> Minimum:
    options: dict[str, Any] = {
        "iterations": 500,
        "every": 5,
        "checkpoints": folder / "checkpoints",
        "key": "k" * 40,
        "history": folder / "history.csv",
        "segment": 12,
        "checkpoint_seconds": 60,
    }
    return bfgs.minimise_bfgs(fun, start, **(options | changes))


def outcome(result: Minimum, folder: Path) -> dict[str, Any]:
    with open(folder / "history.csv") as stream:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]
    return {"x": result.x.tolist(), "value": result.value, "iterations": result.iterations, "rows": rows}


def at_call(fun: Function, call: int, action: Callable[[], None]) -> Function:
    calls = 0

    def acting(x: Vector) -> tuple[float, Vector]:
        nonlocal calls
        calls += 1
        if calls == call:
            action()
        return fun(x)

    return acting


def readable(h: Vector, s: Vector, y: Vector, b: float, kind: bfgs.Update) -> Vector:
    """The update as the module states it, of a full matrix."""
    w = h @ y
    sy, yw = s @ y, y @ w
    tau, phi = bfgs.scaling(kind, b, yw / sy, len(s))
    v = s / sy - w / yw
    new: Vector = (h - np.outer(w, w) / yw + phi * yw * np.outer(v, v)) / tau + np.outer(s, s) / sy
    return new


@pytest.mark.parametrize("kind", KINDS)
def test_the_inverse_equals_its_formula_over_waiting_and_settled_updates(kind: bfgs.Update) -> None:
    rng = np.random.default_rng(1)
    n = 23
    root = rng.standard_normal((n, n))
    hessian = root @ root.T + np.eye(n)
    inverse, full = bfgs.Inverse(n, 0.3), 0.3 * np.eye(n)
    for count in range(2 * bfgs.WAITING + 5):
        g, s = rng.standard_normal((2, n))
        y = hessian @ s
        before = inverse @ (g - y)
        scale = float(s @ np.linalg.solve(full, s))
        if count == 0:
            ratio = s @ y / (y @ full @ y)
            full *= ratio
            scale_full = scale / ratio
        else:
            scale_full = scale
        product = inverse.update(kind, s, y, g, before, scale)
        full = readable(full, s, y, scale_full / (s @ y), kind)
        np.testing.assert_allclose(product, full @ g, rtol=1e-9, atol=1e-9 * np.abs(full @ g).max())
        np.testing.assert_allclose(inverse @ g, product, rtol=1e-9, atol=1e-9 * np.abs(product).max())
        np.testing.assert_allclose(inverse @ y, s, rtol=1e-8, atol=1e-9)  # the secant equation
        np.testing.assert_array_less(0, np.linalg.eigvalsh(full))


def test_scalings_leave_a_step_that_fits_alone() -> None:
    for kind in KINDS:
        tau, phi = bfgs.scaling(kind, 1.0, 1.0, 10)
        assert tau == pytest.approx(1, abs=1e-5)
        assert phi == pytest.approx(1, abs=1e-5)
    assert bfgs.scaling("ss_bfgs", 4.0, 1.0, 10) == (0.25, 1.0)  # only where the old matrix is too large
    assert bfgs.scaling("ss_bfgs", 0.5, 4.0, 10) == (1.0, 1.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fun", "solution"), [(rosenbrock, 1.0), (quadratic, 2.0)])
def test_converges(tmp_path: Path, fun: Function, solution: float, kind: bfgs.Update) -> None:
    calls = []

    def counted(x: Vector) -> tuple[float, Vector]:
        calls.append(x)
        return fun(x)

    result = minimise(counted, tmp_path, update=kind)
    assert result.converged
    assert result.evaluations == len(calls) - 1  # the one at the start belongs to no iteration
    assert np.abs(fun(result.x)[1]).max() <= 1e-8
    np.testing.assert_allclose(result.x, solution, atol=1e-6)
    assert result.rows[-1]["step"] == result.iterations < 200
    assert [row["step"] for row in result.rows[:-1]] == list(range(5, result.iterations, 5))


def test_self_scaling_pays_where_l_bfgs_forgets(tmp_path: Path) -> None:
    start = np.linspace(-1.5, 1.5, 60)

    def stiff(x: Vector) -> tuple[float, Vector]:
        return quadratic(x, 1e6)

    steps = {kind: minimise(stiff, tmp_path / kind, start, iterations=1000, update=kind) for kind in KINDS}
    assert all(result.converged for result in steps.values())
    assert steps["ss_broyden"].iterations < 0.6 * steps["bfgs"].iterations
    short = {"iterations": 300, "every": 300, "history": tmp_path / "l.csv", "checkpoints": tmp_path / "l", "key": "l"}
    limited = minimise_lbfgs(stiff, start, **short)  # type: ignore[arg-type]
    assert limited.value > 1e6 * steps["ss_broyden"].value


@pytest.mark.parametrize("call", [2, 9, 50])
@pytest.mark.parametrize("kind", ["bfgs", "ss_broyden"])
def test_resume_after_a_signal_is_bit_equal(tmp_path: Path, call: int, kind: bfgs.Update) -> None:
    renewals: list[tuple[int, list[float]]] = []
    stiff = np.ones(10)

    def renew(number: int, x: Vector) -> None:
        renewals.append((number, x.tolist()))
        stiff[:] = 1 + 0.5 * np.sin(number + x)

    def fun(x: Vector) -> tuple[float, Vector]:
        value, slope = rosenbrock(x)
        return value + float(stiff @ (x - 1) ** 2), slope + 2 * stiff * (x - 1)

    changes: dict[str, Any] = {"renew": renew, "update": kind, "iterations": 57, "gtol": 0.0}
    whole = minimise(fun, tmp_path / "whole", **changes)
    expected = renewals.copy()
    assert [number for number, _ in expected] == [0, 1, 2, 3, 4]
    renewals.clear()
    stop = at_call(fun, call, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted):
        minimise(stop, tmp_path / "stopped", **changes)
    stiff[:] = np.nan  # a resume must ask for the points of its segment
    again = minimise(fun, tmp_path / "stopped", **changes)
    assert outcome(again, tmp_path / "stopped") == outcome(whole, tmp_path / "whole")
    assert all(renewal in expected for renewal in renewals)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tests.unit.test_bfgs import at_call, minimise, rosenbrock
import numpy as np
folder = Path({folder!r})
minimise(at_call(rosenbrock, 50, lambda: os.kill(os.getpid(), signal.SIGKILL)), folder, checkpoint_seconds=0)
"""


def test_resume_after_kill_9_is_bit_equal(tmp_path: Path) -> None:
    whole = minimise(rosenbrock, tmp_path / "whole")
    program = KILLED.format(tests=str(Path(__file__).parents[2]), folder=str(tmp_path / "killed"))
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL
    again = minimise(rosenbrock, tmp_path / "killed")
    assert outcome(again, tmp_path / "killed") == outcome(whole, tmp_path / "whole")


def test_a_finished_run_returns_at_once_and_keeps_no_matrix(tmp_path: Path) -> None:
    first = minimise(rosenbrock, tmp_path)
    again = minimise(lambda x: pytest.fail("fun is called"), tmp_path)
    assert outcome(again, tmp_path) == outcome(first, tmp_path)


def test_a_loss_that_is_not_finite_stops_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        LoopError, match="BFGS: the loss is not finite at step 0; no checkpoint was saved before; start"
    ):
        minimise(lambda x: (float("nan"), x), tmp_path)


def test_steps_out_of_the_domain_are_shortened(tmp_path: Path) -> None:
    def barrier(x: Vector) -> tuple[float, Vector]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return float((x - np.log(x)).sum()), 1 - 1 / x

    result = minimise(barrier, tmp_path, np.geomspace(1e-3, 1e2, 6))
    assert result.converged
    np.testing.assert_allclose(result.x, 1, atol=1e-6)


@pytest.mark.parametrize(
    ("failures", "goes_on"),
    [({8}, True), ({8, 10}, False), ({8, 20}, True), ({8, 9}, True), (set(range(8, 14)), False)],
    ids=["once", "again in the segment", "again in another segment", "the first step, too", "ever shorter steps, too"],
)
def test_a_failed_line_search_starts_anew_once_in_a_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: set[int], goes_on: bool
) -> None:
    searches, search = [], bfgs.search

    def failing(*arguments: Any) -> bfgs.Found:
        searches.append(arguments)
        return bfgs.Found(1) if len(searches) in failures else search(*arguments)

    monkeypatch.setattr(bfgs, "search", failing)
    result = minimise(rosenbrock, tmp_path)
    assert (result.finished, result.converged) == (True, goes_on)
    if goes_on:
        gradient, direction = searches[8][4], searches[8][2]  # the search after the failure: along the gradient
        np.testing.assert_allclose(direction, -gradient / np.linalg.norm(gradient))
    else:
        assert result.message == "the line search finds no lower value"
        assert len(searches) == max(failures)


@pytest.mark.parametrize("away", [1e-9, 1e-12])
def test_a_stiff_minimum_that_is_near_needs_a_much_shorter_first_step(tmp_path: Path, away: float) -> None:
    start = np.full(10, 2 + away)
    result = minimise(lambda x: quadratic(x, 1e12), tmp_path, start, gtol=1e-14)
    assert result.converged
    assert result.value < 1e-12 * quadratic(start, 1e12)[0]


def test_a_slope_of_the_wrong_sign_ends_cleanly(tmp_path: Path) -> None:
    result = minimise(lambda x: (quadratic(x)[0], -quadratic(x)[1]), tmp_path)
    assert (result.finished, result.converged, result.iterations) == (True, False, 0)


def test_a_checkpoint_of_another_length_is_explained(tmp_path: Path) -> None:
    minimise(rosenbrock, tmp_path)
    with pytest.raises(LoopError, match=r"holds 10 unknowns but 3 are asked for; delete .*k{16} to train again"):
        minimise(rosenbrock, tmp_path, np.zeros(3))
