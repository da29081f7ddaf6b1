"""Recipes of Poisson and Burgers: conditions that hold, slopes that fit, errors that fall, runs that go on bit-equal."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from math import pi
from pathlib import Path

import numpy as np
import pytest

from phasemill.core.errors import InputError
from phasemill.core.run import Interrupted
from phasemill.pinns.kernels import VALUE
from phasemill.pinns.physics import Burgers, Poisson
from phasemill.pinns.recipes import cases, fit
from phasemill.pinns.recipes.fit import Recipe
from phasemill.pinns.terms import Points, Term

pytestmark = pytest.mark.physics

CASES = [cases.case("poisson", Poisson()), cases.case("burgers", Burgers())]
SHORT = Recipe("burgers", points=300, conditions=50, adam=20, iterations=140, segment=50)
GRID = np.column_stack([np.zeros(41), np.linspace(-1, 1, 41)])
EXACT = -np.sin(pi * GRID[:, 1])


def streams(function: object, x: cases.Floats, e: tuple[float, float], h: float = 1e-4) -> cases.Floats:
    """Value, d0, d1 and q of a function by central differences."""
    f = [function(x)[0]]  # type: ignore[operator]
    second = np.zeros(len(x))
    for i in range(2):
        step = h * np.eye(2)[i]
        up, down = function(x + step)[0], function(x - step)[0]  # type: ignore[operator]
        f.append((up - down) / (2 * h))
        second += e[i] * (up - 2 * f[0] + down) / h**2
    return np.stack([*f, second])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.its.name)
@pytest.mark.parametrize("part", ["base", "factor"])
def test_what_is_built_in_has_the_derivatives_it_claims(case: cases.Case, part: str) -> None:
    x = case.draw(np.random.default_rng(0), 200)
    function = getattr(case, part)
    np.testing.assert_allclose(function(x), streams(function, x, case.its.e), rtol=1e-4, atol=1e-4)


def test_waves_have_the_derivatives_they_claim() -> None:
    case = cases.case("poisson_fourier", Poisson())
    x = case.draw(np.random.default_rng(0), 50)
    for i in range(4):
        wave = lambda at, i=i: cases.waves(at, 3.0, (1.0, 0.5))[:, i]  # noqa: E731
        np.testing.assert_allclose(wave(x), streams(wave, x, (1.0, 0.5)), rtol=1e-4, atol=1e-4)
    assert case.features(x, hard=True).features.shape == (4, 6, 50)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.its.name)
def test_conditions_hold_for_any_network_when_they_are_built_in(case: cases.Case) -> None:
    theta = case.network.initial(np.random.default_rng(3)) * 2
    for where, wanted in case.conditions(np.random.default_rng(1), 50).values():
        term = Term(case.network, VALUE, case.features(where, hard=True), wanted, dtype=np.float64)
        np.testing.assert_allclose(term.field(theta, 1)[0], wanted, atol=1e-12)
        free = case.features(where, hard=False)
        assert np.abs(Term(case.network, VALUE, free, wanted, dtype=np.float64).residuals(theta)).max() > 0.1


def test_the_exact_solution_has_no_residual() -> None:
    """Poisson: u with its own streams. Burgers, where viscosity is small: a front, -tanh(x / 2 nu), stays in place."""
    case = cases.case("poisson", Poisson())
    x = case.draw(np.random.default_rng(2), 300)
    w, u = 4 * pi, Poisson().exact(x)
    exact = Points(np.zeros((4, 2, 300)), np.stack([u, 0 * u, 0 * u, -2 * w**2 * u]), np.zeros((4, 300)))
    term = case.equation(x, hard=False).moved(exact, case.its.source(x))
    np.testing.assert_allclose(term.residuals(np.zeros(case.network.count)), 0, atol=1e-9)

    case, nu = cases.case("burgers", Burgers()), 0.01 / pi
    x = np.column_stack([np.full(101, 0.3), np.linspace(-0.02, 0.02, 101)])
    u = -np.tanh(x[:, 1] / (2 * nu))
    slope = -(1 - u**2) / (2 * nu)
    front = np.stack([u, 0 * u, slope, u * slope / nu])
    term = case.equation(x, hard=False).moved(Points(np.zeros((4, 2, 101)), front, np.zeros((4, 101))), np.zeros(101))
    np.testing.assert_allclose(term.residuals(np.zeros(case.network.count)), 0, atol=1e-10)
    assert np.abs(u * slope).max() > 10


def test_the_gradient_is_that_of_the_weighted_total() -> None:
    run = fit.Weighted(Recipe("burgers", points=80, conditions=10, least=2.0, most=5.0), Burgers())
    run.balance.weights[1:] = run.balance.weights.new_tensor([0.1, 50.0])  # out of both bounds
    theta = run.theta.detach().numpy().copy()
    along = np.random.default_rng(5).standard_normal(theta.size)
    along /= np.linalg.norm(along)
    value, slope = run.total(theta)
    difference = (run.total(theta + 1e-5 * along)[0] - run.total(theta - 1e-5 * along)[0]) / 2e-5
    assert difference == pytest.approx(float(slope @ along), rel=1e-5)
    losses = [part for part, _ in run.parts(theta)]
    assert value == pytest.approx(losses[0] + 2 * losses[1] + 5 * losses[2])


def test_new_points_follow_the_segment_and_the_residual() -> None:
    run = fit.Weighted(replace(SHORT, points=1000, resample="residual"), Burgers())
    theta = 2 * run.theta.detach().numpy()
    density = []
    for resample in ("uniform", "residual"):
        run.recipe = replace(run.recipe, resample=resample)  # type: ignore[arg-type]
        run.renew(3, theta)
        first = run.terms["equation"].points.features.copy()
        run.renew(4, theta)
        assert (run.terms["equation"].points.features != first).any()
        run.renew(3, theta)
        np.testing.assert_array_equal(run.terms["equation"].points.features, first)
        density.append(float(np.abs(run.terms["equation"].residuals(theta)).mean()))
    assert density[1] > 1.1 * density[0]


def test_a_recipe_learns_and_goes_on_bit_equal_after_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theta, rows = fit.train(
        SHORT, Burgers(), GRID, EXACT, checkpoints=tmp_path / "a", history=tmp_path / "a.csv", every=20
    )
    assert [row["step"] for row in rows] == list(range(20, 161, 20))
    assert rows[-1]["loss"] < 0.4 * rows[0]["loss"]
    assert rows[-1]["error"] < 0.65 * rows[0]["error"]

    total, calls = fit.Weighted.total, []

    def stopping(self: fit.Weighted, theta: fit.Floats) -> tuple[float, fit.Floats]:
        calls.append(0)
        if len(calls) == 75:
            os.kill(os.getpid(), signal.SIGTERM)
        return total(self, theta)

    monkeypatch.setattr(fit.Weighted, "total", stopping)
    files = {"checkpoints": tmp_path / "b", "history": tmp_path / "b.csv"}
    with pytest.raises(Interrupted):
        fit.train(SHORT, Burgers(), GRID, EXACT, every=20, **files)  # type: ignore[arg-type]
    again, resumed = fit.train(SHORT, Burgers(), GRID, EXACT, every=20, **files)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again, theta)
    assert [(row["step"], row["loss"], row["error"]) for row in resumed] == [
        (row["step"], row["loss"], row["error"]) for row in rows
    ]


def test_weights_of_the_conditions_are_those_of_dynamic_norms(tmp_path: Path) -> None:
    recipe = Recipe("poisson", points=300, conditions=20, adam=30, iterations=30, optimiser="l_bfgs", resample="never")
    grid = np.random.default_rng(0).uniform(0, 1, (120, 2))
    _, rows = fit.train(
        recipe, Poisson(), grid, Poisson().exact(grid), checkpoints=tmp_path, history=tmp_path / "h.csv", every=30
    )
    assert rows[-1]["loss"] < rows[0]["loss"]
    with pytest.raises(InputError, match="resample is 'uniform': with l_bfgs the points stay"):
        fit.train(
            replace(recipe, resample="uniform"),
            Poisson(),
            grid,
            grid[:, 0],
            checkpoints=tmp_path,
            history=tmp_path / "h",
        )
    run = fit.Weighted(recipe, Poisson())
    equation, boundary = (float(np.linalg.norm(gradient)) for _, gradient in run.parts(run.theta.detach().numpy()))
    run.balance.update([0, 0], [run.theta.new_tensor([equation]), run.theta.new_tensor([boundary])])
    assert float(run.balance.weights[1]) == pytest.approx(equation / boundary)
    assert equation > 20 * boundary  # why the paper's Poisson problem fails without weights


def test_a_recipe_solves_the_equation_that_it_is_given() -> None:
    """Other coefficients make another residual, and another kind of equation is refused."""
    thin, thick = (fit.Weighted(SHORT, Burgers(viscosity=nu)) for nu in (0.01, 0.1))
    np.testing.assert_allclose(thick.terms["equation"].c, [1, 1, -0.1, 0])
    theta = thin.theta.detach().numpy()
    assert thin.parts(theta)[0][0] != thick.parts(theta)[0][0]
    waves = cases.case("poisson", Poisson(omega=3.0))
    where, wanted = waves.conditions(np.random.default_rng(0), 20)["boundary"]
    np.testing.assert_allclose(wanted, np.cos(3 * where[:, 0]) * np.sin(3 * where[:, 1]))
    with pytest.raises(InputError, match="recipe of burgers for the equation poisson"):
        fit.Weighted(SHORT, Poisson())
