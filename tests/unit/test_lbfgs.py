"""L-BFGS in segments: it converges, and an interrupted run goes on bit-equal."""

from __future__ import annotations

import csv
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import rosen, rosen_der

from phasemill.core import lbfgs
from phasemill.core.run import Interrupted, LoopError

Function = Callable[[lbfgs.Vector], tuple[float, lbfgs.Vector]]
START = np.linspace(-1.5, 1.5, 10)


def rosenbrock(x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
    return rosen(x), rosen_der(x)


def quadratic(x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
    stiffness = np.logspace(0, 2, x.size)
    return float(stiffness @ (x - 2) ** 2 / 2), stiffness * (x - 2)


def minimise(fun: Function, folder: Path, **changes: Any) -> lbfgs.Minimum:
    options: dict[str, Any] = {
        "iterations": 500,
        "every": 5,
        "checkpoints": folder / "checkpoints",
        "key": "k" * 40,
        "history": folder / "history.csv",
        "segment": 12,
        "memory": 8,
        "checkpoint_seconds": 0,
    }
    return lbfgs.minimise_lbfgs(fun, START, **(options | changes))


def at_call(fun: Function, call: int, action: Callable[[], None]) -> Function:
    calls = 0

    def acting(x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
        nonlocal calls
        calls += 1
        if calls == call:
            action()
        return fun(x)

    return acting


def outcome(result: lbfgs.Minimum, folder: Path) -> dict[str, Any]:
    with open(folder / "history.csv") as stream:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]
    return {
        "x": result.x.tolist(),
        "value": result.value,
        "counts": (result.iterations, result.evaluations),
        "rows": rows,
    }


@pytest.mark.parametrize(("fun", "solution"), [(rosenbrock, 1.0), (quadratic, 2.0)])
@pytest.mark.parametrize("segment", [30, 1000])
def test_converges(tmp_path: Path, fun: Function, solution: float, segment: int) -> None:
    calls = []

    def counted(x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
        calls.append(x)
        return fun(x)

    result = minimise(counted, tmp_path, segment=segment)
    assert result.evaluations == len(calls)
    assert result.converged
    assert result.finished
    assert np.abs(fun(result.x)[1]).max() <= 1e-8
    np.testing.assert_allclose(result.x, solution, atol=1e-6)
    assert result.rows[-1]["step"] == result.iterations < 500
    assert result.rows[-1]["loss"] == result.value
    assert [row["step"] for row in result.rows[:-1]] == list(range(5, result.iterations, 5))


@pytest.mark.parametrize("call", [2, 9, 38])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_resume_after_a_signal_is_bit_equal(tmp_path: Path, call: int, number: signal.Signals) -> None:
    whole = minimise(rosenbrock, tmp_path / "whole")
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught:
        minimise(at_call(rosenbrock, call, lambda: os.kill(os.getpid(), number)), tmp_path / "stopped")
    assert caught.value.code == 143
    assert signal.getsignal(number) is before
    again = minimise(rosenbrock, tmp_path / "stopped")
    assert outcome(again, tmp_path / "stopped") == outcome(whole, tmp_path / "whole")


def test_resume_after_a_crash_starts_at_a_boundary(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def crash() -> None:
        raise MemoryError

    whole = minimise(rosenbrock, tmp_path / "whole")
    with pytest.raises(MemoryError):
        minimise(at_call(rosenbrock, 50, crash), tmp_path / "crashed")
    with caplog.at_level(logging.INFO, "phasemill"):
        again = minimise(rosenbrock, tmp_path / "crashed")
    assert "goes on at step 36 of 500" in caplog.text or "goes on at step 24 of 500" in caplog.text
    assert outcome(again, tmp_path / "crashed") == outcome(whole, tmp_path / "whole")


def test_ftol_stops_where_progress_is_small(tmp_path: Path) -> None:
    result = minimise(quadratic, tmp_path, ftol=0.1, every=1, segment=1000)
    losses = np.array([row["loss"] for row in result.rows])
    small = losses[:-1] - losses[1:] <= 0.1 * np.maximum(losses[:-1], 1)
    assert result.converged
    assert small.nonzero()[0].tolist() == [small.size - 1]


def test_a_finished_run_returns_at_once(tmp_path: Path) -> None:
    first = minimise(rosenbrock, tmp_path)
    again = minimise(lambda x: pytest.fail("fun is called"), tmp_path)
    assert outcome(again, tmp_path) == outcome(first, tmp_path)


def test_the_number_of_iterations_is_kept_and_rows_are_validated(tmp_path: Path) -> None:
    result = minimise(rosenbrock, tmp_path, iterations=17, validate=lambda x: {"distance": float(np.abs(x - 1).max())})
    assert (result.iterations, result.converged) == (17, False)
    assert [row["step"] for row in result.rows] == [5, 10, 15, 17]
    assert result.rows[-1]["distance"] == np.abs(result.x - 1).max()


def test_a_loss_that_is_not_finite_stops_with_a_sentence(tmp_path: Path) -> None:
    def fun(x: lbfgs.Vector) -> tuple[float, lbfgs.Vector]:
        return float("nan"), x

    with pytest.raises(
        LoopError, match="L-BFGS: the loss is not finite at step 1; no checkpoint was saved before; start from"
    ):
        minimise(fun, tmp_path)


def test_a_checkpoint_of_another_length_is_explained(tmp_path: Path) -> None:
    minimise(rosenbrock, tmp_path)
    with pytest.raises(LoopError, match=r"holds 10 unknowns but 3 are asked for; delete .*k{16} to train again"):
        lbfgs.minimise_lbfgs(
            rosenbrock,
            np.zeros(3),
            iterations=5,
            every=1,
            checkpoints=tmp_path / "checkpoints",
            key="k" * 40,
            history=tmp_path / "history.csv",
        )


def test_objective_of_a_module_and_its_vector(tmp_path: Path) -> None:
    torch.manual_seed(0)
    line = torch.nn.Linear(2, 1).double()
    unused = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    parameters = [*line.parameters(), unused]
    x = torch.randn(40, 2, dtype=torch.float64)
    y = x @ torch.tensor([[2.0], [-3.0]], dtype=torch.float64) + 0.5
    fun = lbfgs.objective(parameters, lambda: (line(x) - y).square().mean())
    start = lbfgs.get_vector(parameters)
    value, gradient = fun(start)
    shifted = start + 1e-6 * np.eye(start.size)
    np.testing.assert_allclose([(fun(point)[0] - value) / 1e-6 for point in shifted], gradient, atol=1e-4)

    options: dict[str, Any] = {"checkpoints": tmp_path, "history": tmp_path / "history.csv", "key": "line"}
    result = lbfgs.minimise_lbfgs(fun, start, iterations=50, every=10, **options)
    lbfgs.set_vector(parameters, result.x)
    np.testing.assert_array_equal(lbfgs.get_vector(parameters), result.x)
    np.testing.assert_allclose(result.x, [2, -3, 0.5, 1, 1], atol=1e-7)
    result.x[:] = 0  # the parameters are copies
    assert lbfgs.get_vector(parameters).any()
