"""Gauss-Newton against problems with known answers, and its covariance against repeated noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from phasemill.core.errors import InputError
from phasemill.transport.recover.gauss_newton import gauss_newton, jacobian_of

pytestmark = pytest.mark.physics

T = np.linspace(0, 3, 40)


def decay(theta: np.ndarray) -> np.ndarray:
    return np.asarray(theta[0] * np.exp(-theta[1] * T))


def rosenbrock(theta: np.ndarray) -> np.ndarray:
    return np.array([10 * (theta[1] - theta[0] ** 2), 1 - theta[0]])


@pytest.mark.parametrize(
    ("residual", "start", "answer"),
    [
        (lambda theta: decay(theta) - decay([2.0, 0.7]), [1.0, 2.0], [2.0, 0.7]),
        (lambda theta: decay(theta) - decay([2e6, 0.7]), [1e6, 1.0], [2e6, 0.7]),
        (rosenbrock, [-1.2, 1.0], [1.0, 1.0]),
        (lambda theta: theta - 3.0, [0.0], [3.0]),
    ],
    ids=["decay", "units far apart", "Rosenbrock", "one unknown"],
)
def test_zero_residual_is_found_to_round_off(
    residual: Callable[[np.ndarray], np.ndarray], start: list[float], answer: list[float]
) -> None:
    fit = gauss_newton(residual, start)
    assert fit.converged
    assert_allclose(fit.parameters, answer, rtol=1e-9)


def test_linear_problem_is_the_textbook_one() -> None:
    design = np.random.default_rng(0).standard_normal((30, 3))
    data = design @ [1.0, -2.0, 0.5] + 0.1 * np.random.default_rng(1).standard_normal(30)
    fit = gauss_newton(lambda theta: design @ theta - data, [0, 0, 0])
    expected, squares = np.linalg.lstsq(design, data)[:2]
    assert_allclose(fit.parameters, expected, rtol=1e-6)
    assert_allclose(fit.variance, squares[0] / 27, rtol=1e-9)
    assert_allclose(fit.covariance, squares[0] / 27 * np.linalg.inv(design.T @ design), rtol=1e-5)


def test_sigma_covers_repeated_noise() -> None:
    truth, scores = np.array([2.0, 0.7]), []
    for seed in range(200):
        data = decay(truth) + 0.05 * np.random.default_rng(seed).standard_normal(T.size)
        fit = gauss_newton(lambda theta, data=data: decay(theta) - data, [1.0, 1.0])  # type: ignore[misc]
        scores.append((fit.parameters - truth) / fit.sigma)
    assert_allclose(np.std(scores, axis=0), 1, atol=0.15)
    assert_allclose(np.mean(scores, axis=0), 0, atol=0.2)


def test_evaluations_are_counted() -> None:
    calls = []
    fit = gauss_newton(lambda theta: (calls.append(1), decay(theta) - decay([2.0, 0.7]))[1], [1.0, 1.0])
    assert fit.evaluations == len(calls)


def test_steps_out_of_the_range_of_numbers_are_taken_back() -> None:
    fit = gauss_newton(lambda theta: np.log(theta) - 5 if theta[0] > 0 else np.array([np.nan]), [1e4])
    assert_allclose(fit.parameters, np.exp(5))


def test_too_few_iterations_are_said() -> None:
    assert not gauss_newton(rosenbrock, [-1.2, 1.0], iterations=3).converged


def test_jacobian() -> None:
    theta = np.array([2.0, 0.7])
    exact = np.stack([np.exp(-0.7 * T), -2 * T * np.exp(-0.7 * T)], axis=1)
    assert_allclose(jacobian_of(decay, theta), exact, atol=1e-7)


@pytest.mark.parametrize(
    ("residual", "start", "words"),
    [
        (decay, [np.nan, 1.0], "start is"),
        (decay, [], "start is"),
        (lambda theta: theta * np.nan, [1.0], "not finite at the start"),
        (lambda theta: theta[:1], [1.0, 2.0], "cannot determine 2 parameters"),
        (lambda theta: np.full(5, theta[0] + theta[1]) - 3, [1.0, 1.0], "do not determine all 2 parameters"),
        (lambda theta: np.full(5, theta[0] - 3), [1.0, 1.0], "do not determine all 2 parameters"),
    ],
    ids=["nan", "none", "infinite residual", "few data", "degenerate", "no effect"],
)
def test_unusable_input_is_one_sentence(residual: Any, start: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        gauss_newton(residual, start)
