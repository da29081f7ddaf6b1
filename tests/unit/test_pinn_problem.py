"""A problem of the user's own: what it draws, how it weighs, saves and goes on, and what it says to bad input."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from phasemill.core.errors import InputError
from phasemill.core.model_files import save_tensors
from phasemill.pinns import Problem, Solution
from phasemill.pinns.domain import Domain

BOX = {"t": (0.0, 2.0), "x": (-1.0, 3.0)}


def heat(u: Any, x: Any, d: Any) -> Any:
    return d(u, "t") - 0.1 * d(u, "x", "x")


def small(residual: Any = heat, **options: Any) -> Problem:
    problem = Problem(BOX, hidden=(6, 6))
    problem.equation("heat", residual, points=40)
    problem.condition("start", points=20, at={"t": 0}, target=lambda x: np.cos(np.pi * x.x), **options)
    problem.condition("walls", points=20, at={"x": [-1, 3]}, residual=lambda u, x, d: d(u, "x"))
    return problem


def pair() -> Problem:
    problem = Problem({"t": (0, 1)}, fields=("u", "v"), hidden=(8,))
    problem.equation(("rise", "fall"), lambda w, x, d: (d(w.u, "t") - w.v, d(w.v, "t") + w.u), points=20)
    problem.condition("start", points=1, at={"t": 0}, target=1.0, field="u")
    return problem


def outcome(solution: Solution) -> tuple[Any, ...]:
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in solution.history]
    return solution.network.theta.tolist(), solution.losses, solution.weights, solution.errors, rows


# Points.


def test_points_are_uniform_and_faces_take_turns() -> None:
    domain, rng = Domain({"t": (0, 2), "x": (-1, 3), "y": (5, 6)}), np.random.default_rng(0)
    points = domain.draw(rng, 20000)
    assert (points >= domain.low).all()
    assert (points <= domain.high).all()
    np.testing.assert_allclose(points.mean(0), [1, 1, 5.5], atol=0.04)
    np.testing.assert_allclose(points.var(0), [4 / 12, 16 / 12, 1 / 12], rtol=0.04)
    corners = domain.draw(rng, 8, {"x": [-1, 3], "y": 6})
    assert corners[:, 1].tolist() == [-1, 3] * 4
    assert set(corners[:, 2]) == {6}
    edges = domain.draw(rng, 8, [{"x": [-1, 3]}, {"y": [5, 6]}])
    on = [(edges[:, column] == value).sum() for column, value in ((1, -1), (1, 3), (2, 5), (2, 6))]
    assert on == [2, 2, 2, 2]


def test_points_of_a_term_depend_on_the_seed_and_its_name_alone() -> None:
    lone = Problem(BOX)
    lone.condition("start", points=20, at={"t": 0}, target=0.0)
    places = [problem.build(seed)[1]._parts for problem, seed in ((small(), 1), (lone, 1), (small(), 2))]
    first, other, reseeded = (next(p for c, p, _ in parts if c.names == ("start",)) for parts in places)
    assert torch.equal(first, other)
    lone.condition("again", points=20, at={"t": 0}, target=0.0)
    (_, one, _), (_, two, _) = lone.build(1)[1]._parts
    assert not torch.equal(one, two)
    assert not torch.equal(first, reseeded)


@pytest.mark.parametrize("coordinates", [1, 2, 3, 4])
def test_any_number_of_coordinates_and_fields_trains(coordinates: int) -> None:
    names = "txyz"[:coordinates]
    problem = Problem({name: (0, 1) for name in names}, fields=("a", "b", "c"), hidden=(5,))
    problem.condition("all", points=np.full((4, coordinates), 0.5), target=[[1.0, 2.0, 3.0]] * 4)
    problem.equation("flat", lambda w, x, d: tuple(d(f, name) for f in w for name in names), points=10)
    solution = problem.train(100, rate=0.05)
    assert solution.u([[0.5] * coordinates]) == pytest.approx(np.array([[1, 2, 3]]), abs=0.2)
    assert solution.u(np.zeros((2, 3, coordinates))).shape == (2, 3, 3)


# Training.


@pytest.mark.parametrize("weighting", ["fixed", "dn", "id", "ma", "ma14", "softadapt", "gradnorm", "modified"])
def test_each_weighting_runs_and_the_numerator_keeps_its_weight(weighting: Any) -> None:
    solution = small().train(10, weighting=weighting, tau=5, beta=0.5)
    changed = {name for name, weight in solution.weights.items() if weight != 1}
    averaged = weighting in ("dn", "id", "ma", "ma14")
    assert changed == (set() if weighting == "fixed" else {"start", "walls"} | (set() if averaged else {"heat"}))


def test_weights_move_at_every_tau_th_step() -> None:
    weights = [row["weight_walls"] for row in small().train(9, weighting="dn", tau=4, beta=0.5, every=1).history]
    assert weights == pytest.approx([1] * 3 + [weights[3]] * 4 + [weights[7]] * 2)
    assert len({1.0, weights[3], weights[7]}) == 3


def test_dn_weights_are_the_ratios_of_gradient_norms() -> None:
    problem = small()
    solution = problem.train(1, weighting="dn", tau=1, beta=0.0, numerator="start")
    network, losses = problem.build(0, torch.float32)
    g = {name: torch.autograd.grad(loss, network.theta)[0].norm() for name, loss in losses(network).items()}
    assert solution.weights == pytest.approx({name: float(g["start"] / norm) for name, norm in g.items()}, rel=1e-5)


def test_a_weight_of_its_own_stays_and_counts() -> None:
    solution = small(weight=7.0).train(20, weighting="dn", tau=5, beta=0.5)
    assert solution.weights["start"] == 7
    assert solution.weights["walls"] != 1
    lone = small(weight=7.0).train(1).history[0]
    assert lone["loss"] == pytest.approx(lone["loss_heat"] + 7 * lone["loss_start"] + lone["loss_walls"], rel=1e-6)


STAGES: dict[str, dict[str, Any]] = {
    "adam": {"steps": 10, "rate": 0.01},
    "update": {"steps": 10, "rate": 0.01, "weighting": "dn", "tau": 1},
    "lbfgs": {"steps": 0, "lbfgs": 10},
}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_weight_of_zero_is_a_term_left_out(stage: dict[str, Any]) -> None:
    without = small()
    del without.conditions[1]
    expected = without.train(**stage).network.theta.detach()
    assert torch.allclose(small(weight=0.0).train(**stage).network.theta, expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(small().train(**stage).network.theta, expected, rtol=1e-2, atol=1e-3)


def test_terms_of_a_system_have_their_own_weights() -> None:
    solution = pair().train(20, weighting="dn", numerator="fall", tau=5)
    assert solution.weights["fall"] == 1
    assert solution.weights["rise"] != 1


def test_the_same_seed_gives_the_same_solution() -> None:
    first, again, other = (outcome(small().train(20, weighting="dn", lbfgs=5, seed=seed)) for seed in (3, 3, 4))
    assert first == again
    assert first[0] != other[0]


def test_the_rate_falls_from_the_first_to_the_last() -> None:
    rates = [row["lr"] for row in small().train(20, rate=(1e-2, 1e-4), every=10).history]
    assert rates == pytest.approx([1e-3, 1e-4])


def test_lbfgs_goes_on_from_adam_with_its_weights() -> None:
    exact = (500, lambda x: np.cos(np.pi * x.x) * np.exp(-0.1 * np.pi**2 * x.t))
    adam, both = (small().train(20, weighting="dn", lbfgs=n, reference=exact, every=1) for n in (0, 30))
    assert both.weights == adam.weights
    assert sum(both.weights[name] * loss for name, loss in both.losses.items()) < 0.5 * adam.history[-1]["loss"]
    assert [row["step"] for row in both.history[-2:]] == [49, 50]
    assert both.history[-1]["error_u"] == both.errors["u"]
    assert both.network.theta.dtype == torch.float64


class Crash(Exception):
    """Stands for anything that ends a process between two checkpoints."""


@pytest.mark.parametrize("calls", [12, 30], ids=["adam", "lbfgs"])
def test_resume_is_bit_equal(tmp_path: Path, calls: int) -> None:
    """After a crash in Adam's part, and in that of L-BFGS."""

    def crashing(u: Any, x: Any, d: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise Crash
        return heat(u, x, d)

    exact = (50, lambda x: np.cos(x.x))
    options: Any = {"weighting": "dn", "tau": 3, "lbfgs": 15, "reference": exact, "every": 8, "correct": True}
    left = 0
    whole = small(crashing).train(20, **options, rate=(1e-2, 1e-3))
    needed = -left
    options |= {"folder": tmp_path, "checkpoint_seconds": 0, "rate": (1e-2, 1e-3)}
    left = calls
    with pytest.raises(Crash):
        small(crashing).train(20, **options)
    left = 0
    assert outcome(small(crashing).train(20, **options)) == outcome(whole)
    assert -left < needed - min(calls, 20) + 5  # it did go on
    left = 0
    small(crashing).train(20, **options)
    assert -left < 5  # and a finished training is not repeated


def test_another_equation_never_meets_a_checkpoint(tmp_path: Path) -> None:
    first = small().train(5, folder=tmp_path)
    other = small(lambda u, x, d: heat(u, x, d) + 0.001 * u).train(5, folder=tmp_path)
    assert first.network.theta.tolist() != other.network.theta.tolist()


# Files.


@pytest.mark.parametrize("lbfgs", [0, 5])
def test_a_saved_solution_is_the_same(tmp_path: Path, lbfgs: int) -> None:
    solution = small().train(5, weighting="dn", lbfgs=lbfgs, reference=(10, 1.0))
    solution.save(tmp_path / "heat.safetensors")
    loaded = Solution.load(tmp_path / "heat.safetensors")
    points = np.random.default_rng(0).uniform((0, -1), (2, 3), (3, 4, 2))
    assert np.array_equal(loaded.u(points), solution.u(points))
    assert outcome(loaded) == outcome(solution)
    assert loaded.history == solution.history


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.safetensors does not exist"):
        Solution.load(tmp_path / "no.safetensors")
    (tmp_path / "text").write_text("text")
    with pytest.raises(InputError, match="is not a model file"):
        Solution.load(tmp_path / "text")
    save_tensors(tmp_path / "half.safetensors", {}, {"kind": "pinn solution", "fields": ["u"]})
    with pytest.raises(InputError, match=r"half\.safetensors: its card is not whole"):
        Solution.load(tmp_path / "half.safetensors")


def test_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(f"{tmp_path} is a folder; give the path of a file")):
        small().train(1).save(tmp_path)
    (tmp_path / "file").write_text("text")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=re.escape(f"folder {folder}: {tmp_path / 'file'} is a file; give a fold")):
            small().train(1, folder=folder)


def test_a_formula_is_evaluated_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    solution = small().train(0)
    points = np.random.default_rng(0).uniform((0, -1), (2, 3), (10, 5, 2))
    whole = solution.evaluate(heat, points)
    monkeypatch.setattr("phasemill.pinns.solution.BLOCK", 7)
    assert solution.evaluate(heat, points) == pytest.approx(whole, rel=1e-5)
    assert whole.shape == (10, 5)
    with pytest.raises(InputError, match="one number per point"):
        solution.evaluate(lambda u, x, d: u.mean(), points)


# What it says.


def test_weights_that_cannot_move_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "phasemill"):
        small().train(5, weighting="dn", tau=10)
    assert "weighting dn moves no weight in 5 steps of Adam: it needs tau = 10" in caplog.text


def test_threads_are_those_asked_for_and_left_as_they_were() -> None:
    before, seen = torch.get_num_threads(), []
    small(lambda u, x, d: (seen.append(torch.get_num_threads()), heat(u, x, d))[1]).train(1, threads=before + 1)
    assert before + 1 in seen
    assert torch.get_num_threads() == before


def test_a_solution_is_shown_in_a_line_or_two() -> None:
    assert len(repr(small().train(3, every=1))) < 1000


def add(**options: Any) -> Callable[[], Any]:
    return lambda: small().condition("more", **options)


def equation(residual: Any, name: Any = "more") -> Callable[[], Any]:
    def run() -> None:
        problem = small()
        problem.equation(name, residual, points=10)
        problem.train(1)

    return run


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "ends": (lambda: Problem({"x": (1, 0)}), "coordinate 'x' has the ends (1, 0): give two finite numbers"),
    "word_ends": (lambda: Problem({"x": ("left", "right")}), "coordinate 'x' has the ends ('left', 'right'): give two"),
    "infinite": (lambda: Problem({"x": (0, np.inf)}), "coordinate 'x' has the ends (0, inf)"),
    "coordinates": (lambda: Problem({name: (0, 1) for name in "abcde"}), "one to 4 coordinates, not 5"),
    "keyword": (lambda: Problem({"lambda": (0, 1)}), "coordinate 'lambda' is no name"),
    "field_name": (lambda: Problem(BOX, fields=("u", "2v")), "field '2v' is no name"),
    "no_field": (lambda: Problem(BOX, fields=()), "no field is given"),
    "hidden_number": (lambda: Problem(BOX, hidden=20), "hidden 20: give the width of each hidden layer"),
    "hidden_half": (lambda: Problem(BOX, hidden=(20, 2.5)), "hidden (20, 2.5): give the width of each hidden layer"),
    "fields_number": (lambda: Problem(BOX, fields=2), "names of fields, such as fields=('u', 'v')"),
    "domain_list": (lambda: Problem([0, 1]), "Problem takes a domain {name: (low, high)}"),
    "seed": (lambda: small().train(1, seed=-1), "seed -1: give a whole number, 0 or more"),
    "seed_none": (lambda: small().train(1, seed=None), "seed None: give a whole number"),
    "term_number": (lambda: small().condition(3, points=3, target=0), "the name of a term is 3: give a word"),
    "hidden": (lambda: Problem(BOX, hidden=()), "give the width of each hidden layer"),
    "twice_field": (lambda: Problem(BOX, fields=("u", "x")), "the name 'x' is used twice"),
    "twice_term": (lambda: small().equation("walls", heat, points=3), "the name 'walls' is used twice"),
    "twice_tuple": (lambda: small().equation(("a", "a"), heat, points=3), "the name 'a' is used twice"),
    "at_unknown": (add(points=3, at={"z": 0}, target=0), "unknown coordinate 'z'; known: t, x"),
    "at_outside": (add(points=3, at={"x": 4}, target=0), "'x' is held at 4, outside of the domain (-1 to 3)"),
    "at_nothing": (add(points=3, at=[], target=0), "no face is given"),
    "at_and_points": (add(points=[[0, 0]], at={"t": 0}, target=0), "leave out 'at'"),
    "at_empty": (add(points=3, at={}, target=0), "no face is given"),
    "at_empty_too": (add(points=3, at=[{"t": 0}, {}], target=0), "no face is given"),
    "no_points": (add(points=0, target=0), "0 points of 'more': give 1 or more"),
    "float_points": (add(points=1e3, target=0), "points of 'more' are 1000.0: give a whole number, or an array"),
    "outside": (add(points=[[0, 0], [0, 3.1], [0, 5]], target=0), "2 points of 'more' lie outside of the domain, in 'x' (-1 to 3)"),
    "columns": (add(points=[[0, 0, 0]], target=0), "points of 'more' have shape (1, 3): give (points, 2), columns ('t', 'x')"),
    "nan_points": (add(points=[[0, np.nan]], target=0), "points of 'more' are not all finite"),
    "neither": (add(points=3), "condition 'more': give either a target or a residual"),
    "both": (add(points=3, target=0, residual=heat), "condition 'more': give either a target or a residual"),
    "weight": (add(points=3, target=0, weight=-1), "condition 'more' has weight -1"),
    "field": (add(points=3, target=0, field="v"), "unknown field 'v'; known: u"),
    "drawn_values": (add(points=3, target=[1, 2, 3]), "points of 'more' are drawn, so its target must be a number or a function"),
    "target_shape": (add(points=[[0, 0]] * 3, target=[1, 2]), "the target of 'more' has shape (2,): give (3,)"),
    "target_nan": (add(points=[[0, 0]], target=[np.nan]), "the target of 'more' is not finite everywhere"),
    "shape": (equation(lambda u, x, d: u[:, None]), "the residual of 'more' has shape (10, 1): give one number per point, a tensor (10,)"),
    "mean": (equation(lambda u, x, d: u.mean()), "the residual of 'more' has shape (): give one"),
    "type": (equation(lambda u, x, d: None), "the residual of 'more' has type NoneType"),
    "empty": (equation(lambda u, x, d: ()), "the residual of 'more' has type NoneType"),
    "only_places": (equation(lambda u, x, d: x.x**2), "the residual of 'more' does not depend on the fields; it must use u"),
    "numpy": (equation(lambda u, x, d: u - np.sin(x.x)), "formulas work on tensors: write torch.sin, not np.sin"),
    "constant": (equation(lambda u, x, d: x.t.detach()), "the residual of 'more' does not depend on the fields"),
    "number": (equation(lambda u, x, d: (u, u, u), ("a", "b")), "the residual of 'a', 'b' gives 3 values; give one for each name"),
    "root": (equation(lambda u, x, d: u * (x.t - 1).sqrt()), "the residual of 'more' is not finite at"),
    "root_place": (equation(lambda u, x, d: u / (0 * x.t)), "at 10 of 10 points with the untrained network, first at t="),
    "d_unknown": (equation(lambda u, x, d: d(u, "y")), "unknown coordinate 'y'; known: t, x"),
    "d_nothing": (equation(lambda u, x, d: d(u)), "d() needs at least one coordinate"),
    "d_shape": (equation(lambda u, x, d: d(u[:5], "x")), "d() differentiates one number per point, shape (10,), not a tensor of shape (5,)"),
    "d_fields": (lambda: (p := pair(), p.equation("c", lambda w, x, d: d(w, "t"), 5), p.train(1)), "not Values; name one field"),
    "d_at": (equation(lambda u, x, d: u - d.at(x=7)), "'x' is held at 7, outside of the domain"),
    "scheme": (lambda: small().train(1, weighting="gradnrm"), "unknown weighting 'gradnrm'; did you mean 'gradnorm'?"),
    "numerator": (lambda: small().train(1, weighting="dn", numerator="hat"), "unknown numerator among the terms without a weight of their own 'hat'; did you mean 'heat'?"),
    "numerator_held": (lambda: small(weight=2).train(1, weighting="dn", numerator="start"), "'start'; known: heat, walls"),
    "numerator_missing": (lambda: pair().train(1, weighting="dn"), "weighting 'dn' balances against one term and there are 2 equations; name the numerator, one of 'rise', 'fall', 'start'"),
    "beta": (lambda: small().train(1, weighting="dn", beta=1.0), "beta is 1"),
    "no_term": (lambda: Problem(BOX).train(1), "the problem has no term"),
    "weight_word": (add(points=3, target=0, weight="1"), "condition 'more' has weight '1': give a finite number"),
    "at_word": (add(points=3, at="x", target=0), "face 'x': name a coordinate and its value, such as at={'t': 0}"),
    "at_number": (add(points=3, at=0, target=0), "face 0: name a coordinate and its value"),
    "at_word_value": (add(points=3, at={"x": "left"}, target=0), "'x' is held at 'left': give a number"),
    "steps": (lambda: small().train(-1), "steps -1: give a whole number, 0 or more"),
    "steps_word": (lambda: small().train("10"), "steps '10': give a whole number, 0 or more"),
    "lbfgs": (lambda: small().train(1, lbfgs=1.5), "lbfgs 1.5: give a whole number, 0 or more"),
    "tau": (lambda: small().train(1, tau=0), "tau 0: give a whole number, 1 or more"),
    "every": (lambda: small().train(1, every=0), "every 0: give a whole number, 1 or more"),
    "threads": (lambda: small().train(1, threads=0), "threads 0: give a whole number, 1 or more"),
    "rate_word": (lambda: small().train(1, rate="fast"), "rate fast: give a learning rate above 0"),
    "rates": (lambda: small().train(1, rate=(1e-2, 1e-3, 1e-4)), "give a learning rate above 0, or the first and the last"),
    "beta_word": (lambda: small().train(1, weighting="dn", beta="0.9"), "beta is 0.9: give a share of the old weight"),
    "reference_alone": (lambda: small().train(1, reference=3), "the reference is a pair: give (points, target)"),
    "rate": (lambda: small().train(1, rate=0.0), "rate 0.0: give a learning rate above 0"),
    "rate_nan": (lambda: small().train(1, rate=np.nan), "rate nan: give a learning rate above 0"),
    "p": (lambda: small().train(1, weighting="dn", p="inf"), "p is 'inf': norms are known for p = 1, 2 and inf"),
    "reference": (lambda: small().train(1, reference=([[0, 9]], 1.0)), "1 points of the reference lie outside of the domain"),
    "diverges": (lambda: small().train(300, rate=1e30), "is not finite at step"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_sentence(name: str) -> None:
    run, message = BAD[name]
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        run()
    assert "\n" not in str(caught.value)


def test_an_unknown_export_is_an_attribute_error() -> None:
    from phasemill import pinns

    assert dir(pinns) == ["Problem", "Solution"]
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = pinns.Nothing


def test_the_configuration_stays_light() -> None:
    code = "import sys, phasemill.pinns.config; print('torch' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
