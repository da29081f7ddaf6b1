"""What stands beside the networks of the pinns wing: classical solvers, bases alone, intervals of coefficients."""

from __future__ import annotations

from itertools import cycle
from math import exp
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from phasemill.pinns import reference
from phasemill.pinns.config.inverse import Unknown
from phasemill.pinns.config.recipes import Marched
from phasemill.pinns.evaluate import inverse, recipes
from phasemill.pinns.physics import AllenCahn, Burgers, Poisson
from phasemill.pinns.reference import Reference

pytestmark = pytest.mark.physics


def test_classical_solvers_converge_to_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    side, x = np.linspace(0, 1, 21), np.linspace(-1, 1, 21)
    ticks = cycle([0, 5, 10, 12, 20, 27])
    monkeypatch.setattr(recipes, "time", SimpleNamespace(process_time=lambda: next(ticks)))
    found = recipes.classical(Burgers(viscosity=0.05), Reference(side, x, reference.burgers(side[:, None], x, 0.05)))
    cpu = {label: its["cpu"] for label, its in found.items()}
    assert cpu == {"Cole-Hopf by the trapezoid rule": 2, "ETDRK4, 80 points": 2}  # the fastest of three
    quadrature, waves = (its["error"] for its in found.values())
    assert quadrature < 1e-9 < waves < 1e-3
    exact = Poisson(omega=5.0).exact(Reference(side, side, side).points).reshape(21, 21)
    found = recipes.classical(Poisson(omega=5.0), Reference(side, side, exact))
    assert list(found) == ["five-point differences, 21 points a side", "five-point differences, 81 points a side"]
    coarse, fine = (its["error"] for its in found.values())
    assert coarse / fine == pytest.approx(16, rel=0.05)
    u = reference.allen_cahn(1e-2, 5.0, points=256, frames=20, steps=20)[:, ::8]
    found = recipes.classical(AllenCahn(diffusion=1e-2), Reference(side, reference.grid(32), u))
    assert list(found) == ["ETDRK4, 32 points", "ETDRK4, 64 points"]
    coarse, fine = (its["error"] for its in found.values())
    assert 1e-2 > coarse > 4 * fine > 0


@pytest.mark.parametrize("base", ["heat", "split"])
def test_a_base_alone_is_exact_for_what_it_is_made_of(base: str) -> None:
    """Heat: the diffusion, whatever the reaction. Split: without diffusion, the flow of the reaction at each place."""
    times, x = np.array([0, 0.3, 0.5, 1]), np.arange(8) / 8
    if base == "heat":
        equation = AllenCahn(diffusion=0.05, reaction=2.0)
        exact = reference.allen_cahn(0.05, 0, points=4096, frames=10, steps=1)[[0, 3, 5, 10], 2048::256]
    else:
        equation, u0, e = AllenCahn(diffusion=1e-13, reaction=2.0), AllenCahn.initial(x), np.exp(2 * times)[:, None]
        exact = e * u0 / np.sqrt(1 + (e**2 - 1) * u0**2)
    wanted = Marched(name="its_name", windows=2, base=base, modes=2, hidden=[4], points=8, iterations=1)  # type: ignore[arg-type]
    found = recipes.base_alone(wanted, equation, Reference(times, x, exact))
    assert_allclose(found, exact, atol=1e-4)
    again = wanted.model_copy(update={"name": "same_base", "hidden": [7]})
    ((label, its),) = list(recipes.classical(equation, Reference(times, x, 2 * found), [wanted, again]).items())[2:]
    assert label == "its name, without its network"
    assert its["error"] == pytest.approx(0.5)


LINE = Unknown(samples=40, points=1, depth=2, width=1, guess={"diffusion": 0.5, "reaction": 2.0})
SLOPES = np.random.default_rng(0).normal(size=(40, 2)) + 1


@pytest.fixture
def noisy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Seed -> values 0.2 f + 5 g with noise: a problem whose least squares and their spread have closed forms."""
    monkeypatch.setattr(inverse, "solution", lambda name, its: lambda at: SLOPES @ [its["diffusion"], its["reaction"]])

    def drawn(seed: int) -> Any:
        target = SLOPES @ [0.2, 5.0] + 0.01 * np.random.default_rng(seed).normal(size=40)
        return SimpleNamespace(at=None, noise=0.01, data=SimpleNamespace(target=target))

    return drawn


def test_intervals_of_95_percent_hold_the_truth_in_95_percent(noisy: Any) -> None:
    """Least squares in place of a network, with the bound as its spread; both in closed form."""
    by_logarithms, true, lines = SLOPES * [0.2, 5.0] / 0.01, {"diffusion": 0.2, "reaction": 5.0}, []
    others = dict.fromkeys(("noise", "misfit", "weight", "seconds", "curve"), 1)
    for seed in range(150):
        best, bound = inverse._least_squares("allen_cahn", true, LINE, noisy(seed))
        assert_allclose(list(best.values()), np.linalg.lstsq(SLOPES, noisy(seed).data.target)[0], rtol=1e-5)
        assert_allclose(bound, np.sqrt(np.diag(np.linalg.inv(by_logarithms.T @ by_logarithms))), rtol=1e-5)
        run = {"found": best, "spread": bound, "seed": seed, **others}
        lines += inverse._score(run, AllenCahn(diffusion=0.2), LINE, noisy(seed))["lines"]
    assert np.mean([line["inside"] for line in lines]) == pytest.approx(0.95, abs=0.025)
    assert np.std([line["error"] / line["bound"] for line in lines]) == pytest.approx(1, abs=0.1)
    assert_allclose([line["error"] for line in lines], [line["least_squares"] for line in lines])


@pytest.mark.parametrize(("deviations", "inside"), [(1.95, True), (-1.95, True), (1.97, False), (-1.97, False)])
def test_an_interval_ends_at_196_deviations(noisy: Any, deviations: float, inside: bool) -> None:
    """Of the logarithm; and what the tables say of it."""
    run = {"found": {"diffusion": 0.2 * exp(0.1 * deviations), "reaction": 5.0}, "spread": [0.1, 0.3], "seed": 4}
    run |= {"noise": 2.0, "misfit": 2.5, "weight": 7.0, "seconds": 9.0, "curve": []}
    score = inverse._score(run, AllenCahn(diffusion=0.2), LINE, noisy(0))
    first, second = score["lines"]
    assert (first["inside"], second["inside"], second["spread"], second["error"]) == (inside, True, 0.3, 0)
    row = inverse._table(score["lines"])["rows"][0]
    assert [*row[:4], row[7]] == ["Allen-Cahn", "diffusion", 4, 0.2, "yes" if inside else "no"]
    assert row[4:7] == pytest.approx([0.2 * exp(0.1 * deviations), 100 * exp(0.1 * deviations) - 100, 19.6], abs=0.01)
    assert row[8:] == pytest.approx([100 * first["least_squares"], 196 * first["bound"]], rel=1e-3)
    assert inverse._costs([score])["rows"] == [["Allen-Cahn", 4, 9.0, score["classical"], 7.0, 1.25]]
    loose = inverse._score(run | {"misfit": 3.0}, AllenCahn(diffusion=0.2), LINE, noisy(0))
    assert inverse._table(loose["lines"])["rows"][0][6:8] == ["no fit", ""]
