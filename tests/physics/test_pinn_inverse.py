"""Inverse problems: slopes, what the data's noise does, and coefficients that are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from phasemill import config
from phasemill.pinns import dataset, reference
from phasemill.pinns.config.inverse import Inverse, InverseNetworksJob, Unknown
from phasemill.pinns.inverse import Samples, Unknowns, find, sample, slopes, uncertainty
from phasemill.pinns.physics import AllenCahn, Burgers, Equation
from phasemill.pinns.train import inverse as train_inverse
from phasemill.pinns.train.inverse import solution

pytestmark = pytest.mark.physics
ROOT = Path(__file__).parents[2]

SMALL: dict[str, dict[str, Any]] = {
    "burgers": {"guess": {"viscosity": 0.05}},
    "allen_cahn": {"guess": {"diffusion": 1e-3, "reaction": 1.0}},
}


def unknowns(equation: Equation, samples: Samples, **other: Any) -> Unknowns:
    settings = {"samples": len(samples.values), "points": 80, "depth": 3, "width": 8, **SMALL[equation.name], **other}
    return Unknowns(equation, samples, Unknown(**settings), np.random.SeedSequence(3))


def data(equation: Equation, count: int = 30, noise: float = 0.01, seed: int = 0) -> Samples:
    values = {name: getattr(equation, name) for name in SMALL[equation.name]["guess"]}
    return sample(equation, solution(equation.name, values), count, noise, np.random.default_rng(seed))


@pytest.mark.parametrize("equation", [Burgers(), AllenCahn()], ids=lambda one: one.name)
def test_gradient_is_that_of_the_loss(equation: Equation) -> None:
    """By central differences, in the parameters and in the logarithms of the coefficients."""
    problem = unknowns(equation, data(equation))
    problem.balance.weights[1] = 3.0
    x = problem.x.detach().numpy().copy()
    _, gradient = problem.total(x)
    for place in (0, 11, -2, -1):
        step = np.zeros_like(x)
        step[place] = 1e-6
        slope = (problem.total(x + step)[0] - problem.total(x - step)[0]) / 2e-6
        assert gradient[place] == pytest.approx(slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("equation", [Burgers(), AllenCahn()], ids=lambda one: one.name)
def test_slopes_make_the_gradient(equation: Equation) -> None:
    """grad mean r^2 = 2 mean r J for both terms."""
    problem = unknowns(equation, data(equation))
    x = problem.x.detach().numpy().copy()
    theta, c = problem.split(x)
    for term, (_, gradient) in zip((problem.pde, problem.data), problem.parts(x), strict=True):
        r = term.residuals(theta, c)
        assert_allclose(2 * r @ slopes(problem, term, x) / len(r), gradient, rtol=1e-9, atol=1e-12)


def test_uncertainty_is_what_noise_does() -> None:
    """On a network whose output is linear in its last layer alone the minimum moves as the formula says."""
    equation = Burgers(viscosity=0.2)
    problem = unknowns(equation, data(equation, 60))
    x = problem.x.detach().numpy().copy()
    once, twice = uncertainty(problem, x, 1.0), None
    problem.noise *= 2
    twice = uncertainty(problem, x, 1.0)
    assert_allclose(twice, 2 * once, rtol=1e-12)
    by_pde, by_data = slopes(problem, problem.pde, x), slopes(problem, problem.data, x)
    hessian = by_pde.T @ by_pde / len(by_pde) + by_data.T @ by_data / len(by_data)
    inverse = np.linalg.pinv(hessian, rcond=1e-10, hermitian=True)
    rng = np.random.default_rng(0)
    moved = [(inverse @ by_data.T @ rng.normal(0, problem.noise, 60))[-1] / 60 for _ in range(4000)]
    assert np.std(moved) == pytest.approx(float(twice[0]), rel=0.05)


def test_a_viscosity_is_found(tmp_path: Path) -> None:
    """A viscous Burgers equation from 200 values with 1 % noise: within a few of its own standard deviations."""
    equation = Burgers(viscosity=0.1)
    samples = data(equation, 200)
    problem = unknowns(equation, samples, points=300, depth=4, width=12)
    block = Unknown(samples=200, points=300, depth=4, width=12, guess={"viscosity": 0.5})
    settings = Inverse(
        noise=0.01, beta=0.9, adam=200, learning_rate=5e-3, iterations=400, seeds=1, burgers=block, allen_cahn=block
    )
    x, rows = find(problem, settings, tmp_path, "key", "viscosity")
    sure = float(uncertainty(problem, x, float(problem.balance.weights[1]))[0])
    error = np.log(problem.coefficients(x)["viscosity"] / 0.1)
    assert abs(error) < 0.05
    assert abs(error) < 4 * sure < 0.2
    assert rows[-1]["viscosity"] == pytest.approx(problem.coefficients(x)["viscosity"])
    again, _ = find(unknowns(equation, samples, points=300, depth=4, width=12), settings, tmp_path, "key", "viscosity")
    assert_allclose(again, x, rtol=0, atol=0)


def test_intervals_are_as_wide_as_the_scatter_over_noise(tmp_path: Path) -> None:
    """Ten draws of points and noise, each fitted: errors over their own standard deviations have a scatter of about 1."""
    equation = Burgers(viscosity=0.1)
    block = Unknown(samples=100, points=150, depth=3, width=10, guess={"viscosity": 0.2})
    settings = Inverse(
        noise=0.01, beta=0.9, adam=150, learning_rate=5e-3, iterations=250, seeds=1, burgers=block, allen_cahn=block
    )
    scores = []
    for seed in range(10):
        problem = unknowns(equation, data(equation, 100, seed=seed), points=150, depth=3, width=10)
        x, _ = find(problem, settings, tmp_path / str(seed), "key", "viscosity")
        misfit = np.sqrt(problem.data.loss_and_gradient(problem.split(x)[0])[0])
        sure = float(uncertainty(problem, x, float(problem.balance.weights[1]))[0])
        if misfit < 1.5 * problem.noise:
            scores.append(np.log(problem.coefficients(x)["viscosity"] / 0.1) / sure)
    assert len(scores) >= 8
    scatter = np.median(np.abs(scores)) / norm.ppf(0.75)  # one draw far out does not count
    assert 0.4 < scatter < 1.7


def test_checkpoints_of_an_inverse_problem_depend_on_that_problem_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smoke = config.load(config.read_yaml(ROOT / "config" / "config.yaml") | {"scale": "smoke"})
    job: Any = InverseNetworksJob.model_validate_json(smoke.spec("pinn_inverse_networks", "smoke"))
    truth: Any = config.JOBS["burgers_truth"].model_validate_json(smoke.spec("burgers_truth", "smoke"))
    dataset.burgers(truth, tmp_path / "truth.zarr")
    keys: dict[str, str] = {}

    def found(problem: Unknowns, settings: Inverse, place: Path, key: str, label: str) -> Any:
        keys[label] = key
        x = problem.x.detach().numpy().copy()
        return x, [{"step": 1, "seconds": 0.0, "loss": 1.0, **problem.coefficients(x)}]

    monkeypatch.setattr(train_inverse, "find", found)
    monkeypatch.setattr(train_inverse, "uncertainty", lambda *_: np.zeros(2))
    monkeypatch.setattr(train_inverse, "POINTS", 64)

    def keys_of(**changes: Any) -> dict[str, str]:
        keys.clear()
        settings = job.inverse.model_copy(update=changes)
        options: Any = {"checkpoints": tmp_path, "history": tmp_path / "h.csv", "threads": 1, "device": "cpu"}
        train_inverse.train(
            job.model_copy(update={"inverse": settings}), tmp_path / "truth.zarr", tmp_path / "x.safetensors", **options
        )
        return keys.copy()

    first, other = keys_of(seeds=1), job.inverse.allen_cahn.model_copy(update={"width": 5})
    more, changed, noisy = keys_of(seeds=2, allen_cahn=other), keys_of(seeds=1, beta=0.5), keys_of(seeds=1, noise=0.5)
    assert set(more) > set(first) == {"burgers_0", "allen_cahn_0"}
    assert more["burgers_0"] == first["burgers_0"]
    assert more["allen_cahn_0"] != first["allen_cahn_0"]
    assert len({first["burgers_0"], more["burgers_1"], changed["burgers_0"], noisy["burgers_0"]}) == 4


def test_scattered_values_are_those_of_the_solution() -> None:
    points = np.random.default_rng(1).uniform([0, -1], [1, 1], (200, 2))
    exact = reference.burgers(points[:, 0], points[:, 1], 0.01)
    assert_allclose(solution("burgers", {"viscosity": 0.01})(points), exact)
    frames, cells = 40, 1024
    u = reference.allen_cahn(1e-4, 5.0, points=cells, frames=frames, steps=20)
    rng = np.random.default_rng(2)
    i, j = rng.integers(1, frames + 1, 300), rng.integers(0, cells, 300)
    at = np.stack([i / frames, reference.grid(cells)[j]], axis=1)
    assert_allclose(solution("allen_cahn", {"diffusion": 1e-4, "reaction": 5.0})(at), u[i, j], atol=2e-5)
    left, right = (np.array([[0.3, x]]) for x in (-1.0, 1.0))
    values = solution("allen_cahn", {"diffusion": 1e-4, "reaction": 5.0})
    assert_allclose(values(left), values(right), atol=1e-12)
