"""The paper's protocol: its points, its steps, its selection rules, and that a killed run goes on as it was."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from phasemill import config
from phasemill.core import loop
from phasemill.core.balancing import Balance
from phasemill.core.errors import InputError
from phasemill.core.model_files import load_tensors
from phasemill.pinns import dataset
from phasemill.pinns.config.runs import Row, Runs, problem_of
from phasemill.pinns.evaluate import claims, rest, runs, selection, tables
from phasemill.pinns.evaluate.selection import Trained
from phasemill.pinns.physics import EQUATIONS
from phasemill.pinns.protocol import Protocol
from phasemill.pinns.train import runs as train_runs
from phasemill.pinns.train.runs import Run, plan

pytestmark = pytest.mark.physics

ROOT = Path(__file__).parents[2]
ROWS = [Row(scheme="fixed"), Row(scheme="dn", tau=2), Row(scheme="dn", tau=2, correct=True)]
SMALL: dict[str, Any] = {
    "depth": 3, "width": 8, "points": 60, "boundary": 6, "epochs": 12, "learning_rate": 1e-3, "check": 4, "ema": 0.9,
    "seeds": 2, "parts": 1, "rows": ROWS,
}  # fmt: skip


def protocol(name: str, **other: Any) -> Protocol:
    settings = Runs(**{**SMALL, "initial": 0 if name == "poisson" else 10, **other})
    return Protocol(EQUATIONS[name](bounds=settings.bounds), settings)


def run(problem: Protocol, row: Row, seed: int = 0) -> Run:
    return Run(problem, row, np.random.SeedSequence(seed), torch.device("cpu"))


def coordinates(problem: Protocol, name: str) -> np.ndarray:
    """Where a term's points lie, from what the network gets."""
    z = problem.terms(np.random.default_rng(0), np.float64)[name].points.features[0].T
    low, high = np.array(problem.equation.low), np.array(problem.equation.high)
    return np.asarray(low + (z + 1) / 2 * (high - low))


def test_points_of_burgers() -> None:
    problem = protocol("burgers")
    terms = problem.terms(np.random.default_rng(0), np.float64)
    assert list(terms) == ["pde", "ic", "bc"]
    assert [len(term.points) for term in terms.values()] == [60, 10, 12]
    start, ends = coordinates(problem, "ic"), coordinates(problem, "bc")
    assert_allclose(start[:, 0], 0, atol=1e-15)
    assert_allclose(terms["ic"].target, -np.sin(np.pi * start[:, 1]), atol=1e-12)
    assert_allclose(ends[:, 1], np.repeat([-1, 1], 6))
    inside = coordinates(problem, "pde")
    assert inside[:, 0].min() >= 0
    assert np.ptp(inside[:, 1]) > 1.8


def test_points_of_poisson() -> None:
    problem = protocol("poisson")
    terms = problem.terms(np.random.default_rng(0), np.float64)
    assert list(terms) == ["pde", "bc"]
    at = coordinates(problem, "bc")
    assert len(at) == 24
    assert_array_equal(np.minimum(at, 1 - at).min(axis=1).round(12), 0)
    assert_allclose(terms["bc"].target, problem.equation.boundary(at), atol=1e-12)
    assert problem.counted.sum() == problem.network.count - 8 - 8 - 1  # no biases


@pytest.mark.parametrize(("bounds", "end"), [("paper", 1), ("code", 1 - 2 / 512)])
def test_points_of_allen_cahn(bounds: str, end: float) -> None:
    problem = protocol("allen_cahn", bounds=bounds)
    pairs = coordinates(problem, "bc")
    assert_allclose(pairs[::2, 1], -1)
    assert_allclose(pairs[1::2, 1], end)
    assert_array_equal(pairs[::2, 0], pairs[1::2, 0])
    assert run(problem, ROWS[1]).balance.weighted == [1]
    assert run(problem, Row(scheme="dn", everywhere=True)).balance.weighted == [1, 2]


def reference_epochs(ours: Run, epochs: int) -> torch.Tensor:
    """The protocol for all points in one batch, in plain torch: nested streams, Adam and dynamic norms by hand."""
    theta = ours.theta.detach().clone().requires_grad_(True)
    optimizer = torch.optim.Adam([theta], lr=1e-3, eps=1e-7)
    weights, averages, updates = [1.0] * len(ours.terms), [0.0 if ours.row.correct else 1.0] * len(ours.terms), 0
    for epoch in range(1, epochs + 1):
        losses = [term.formula(theta, torch.as_tensor(term.c)) for term in ours.terms.values()]
        slopes = [torch.autograd.grad(loss, theta, retain_graph=True)[0] for loss in losses]
        moves = epoch % ours.row.tau == 0 or (ours.row.correct and epoch == 1)
        if ours.row.scheme == "dn" and moves:
            updates += 1
            lengths = [float(slope[ours.counted].norm()) for slope in slopes]
            for j in ours.balance.weighted:
                averages[j] = 0.99 * averages[j] + 0.01 * lengths[0] / lengths[j]
                weights[j] = averages[j] / (1 - 0.99**updates if ours.row.correct else 1)
        theta.grad = sum((w * slope for w, slope in zip(weights, slopes, strict=True)), torch.zeros_like(theta))
        optimizer.step()
    return theta.detach()


@pytest.mark.parametrize("name", ["burgers", "poisson", "allen_cahn"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_epochs_are_those_of_the_paper(name: str, row: Row) -> None:
    ours = run(protocol(name), row)
    wanted = reference_epochs(run(protocol(name), row), 12)
    for index in range(12):
        ours.epoch(index)
    begun = run(protocol(name), row).theta
    moved = float((wanted - begun.detach()).norm())
    assert float((ours.theta.detach() - wanted).norm()) < 1e-3 * moved
    assert ours.balance.weights[0] == 1
    if row.scheme == "dn":
        assert float(ours.balance.weights[1]) != 1


def test_a_batch_is_a_step_and_norms_take_all_points() -> None:
    whole, batched = run(protocol("allen_cahn"), ROWS[1]), run(protocol("allen_cahn", batch=25), ROWS[1])
    taken: list[int] = []
    step = batched.optimizer.step
    batched.optimizer.step = lambda *a, **k: (taken.append(1), step(*a, **k))[1]  # type: ignore[method-assign]
    batched.epoch(0)
    assert len(taken) == 3  # 25, 25 and 10 points
    whole.epoch(0)
    fresh = run(protocol("allen_cahn", batch=25), ROWS[2])
    fresh.epoch(1)
    other = run(protocol("allen_cahn"), ROWS[2])
    other.epoch(1)
    assert_allclose(fresh.balance.weights, other.balance.weights, rtol=1e-5)  # with correction: the quotient of norms
    assert other.balance.weights[1] != 1


def test_rows_of_a_plan_share_points_and_start(smoke: config.Config) -> None:
    """All rows of a seed, whatever stands before them: a comparison of weightings and of nothing else."""
    job, problem = small_job(smoke), protocol("poisson")
    made = {(row.name, number): Run(problem, row, seed, torch.device("cpu")) for _, row, number, seed in plan(job)}
    first, other = made[("fixed", 0)], made[("fixed", 1)]
    for row in ROWS:
        its = made[(row.name, 0)]
        assert_array_equal(its.theta.detach(), first.theta.detach())
        assert_array_equal(its.terms["pde"].points.features, first.terms["pde"].points.features)
        assert its.shuffle == first.shuffle
    assert not np.array_equal(other.theta.detach(), first.theta.detach())


def test_rows_share_points_and_start_and_seeds_do_not() -> None:
    first, second, third = run(protocol("burgers"), ROWS[0]), run(protocol("burgers"), ROWS[1]), None
    assert_array_equal(first.theta.detach(), second.theta.detach())
    assert_array_equal(first.terms["pde"].points.features, second.terms["pde"].points.features)
    third = run(protocol("burgers"), ROWS[0], seed=1)
    assert not np.array_equal(first.theta.detach(), third.theta.detach())
    assert not np.array_equal(first.terms["pde"].points.features, third.terms["pde"].points.features)


@pytest.fixture(scope="module")
def smoke() -> config.Config:
    return config.load(config.read_yaml(ROOT / "config" / "config.yaml") | {"scale": "smoke"})


@pytest.fixture(scope="module")
def truth(smoke: config.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "poisson_truth.zarr"
    dataset.poisson(config.JOBS["poisson_truth"].model_validate_json(smoke.spec("poisson_truth", "smoke")), path)  # type: ignore[arg-type]
    return path


def small_job(smoke: config.Config, **other: Any) -> Any:
    settings = Runs(**{**SMALL, "initial": 0, **other})
    return config.JOBS["poisson_runs"](seed=1, poisson=settings)  # type: ignore[call-arg]


def trained(job: Any, truth: Path, folder: Path, part: int = 0) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    train_runs.train(
        job, truth, folder / "runs.safetensors", checkpoints=folder / "checkpoints", history=folder / "runs.csv",
        part=part, threads=1, device="cpu",
    )  # fmt: skip
    return load_tensors(folder / "runs.safetensors")[0]


def test_a_killed_job_goes_on_bit_equal(
    smoke: config.Config, truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small_job(smoke)
    whole = trained(job, truth, tmp_path / "whole")
    usual = loop.train

    def interrupted(training: Any, step: Any, **keywords: Any) -> Any:
        def breaks(index: int) -> Any:
            if index == 7:
                raise KeyboardInterrupt
            return step(index)

        return usual(training, breaks, **keywords, checkpoint_every=1)

    monkeypatch.setattr(loop, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(job, truth, tmp_path / "cut")
    monkeypatch.setattr(loop, "train", usual)
    again = trained(job, truth, tmp_path / "cut")
    for name, value in whole.items():
        if name.endswith("theta"):
            assert torch.equal(value, again[name]), name


def test_parts_are_the_whole(smoke: config.Config, truth: Path, tmp_path: Path) -> None:
    whole = trained(small_job(smoke), truth, tmp_path / "whole")
    dealt = small_job(smoke, parts=2)
    parts = [trained(dealt, truth, tmp_path / f"part{number}", number) for number in (0, 1)]
    assert sorted(whole) == sorted([*parts[0], *parts[1]])
    assert all(torch.equal(whole[name], {**parts[0], **parts[1]}[name]) for name in whole if name.endswith("theta"))
    rows, cards = selection.read([tmp_path / f"part{number}" / "runs.safetensors" for number in (0, 1)], "poisson_runs")
    assert [one.seed for one in rows["dn_0.99_tau2"]] == [0, 1]
    assert len(cards) == 2
    with pytest.raises(InputError, match="burgers_runs"):
        selection.read([tmp_path / "part0" / "runs.safetensors"], "burgers_runs")


def test_what_does_not_belong_together_is_refused(smoke: config.Config, truth: Path, tmp_path: Path) -> None:
    job = small_job(smoke, parts=2)
    for part in (0, 1):
        trained(job, truth, tmp_path / f"part{part}", part)
    first, second = (tmp_path / f"part{part}" / "runs.safetensors" for part in (0, 1))
    with pytest.raises(InputError, match="poisson_runs has 2 parts: give --part 0 to 1, not 2"):
        trained(job, truth, tmp_path / "part2", 2)
    compared = json.loads(smoke.spec("poisson", "smoke")) | {"poisson": job.poisson.model_dump(), "seed": 1}

    def evaluated(*models: Path, data: Path = truth, **other: Any) -> None:
        settings = {**compared, "poisson": {**compared["poisson"], **other}}
        its: Any = config.JOBS["poisson"].model_validate(settings)
        runs.evaluate(its, data, tmp_path / "page", models=list(models), model=tmp_path / "recipes.safetensors")

    with pytest.raises(InputError, match=r"holds \S+_0 a second time; give each part once"):
        evaluated(first, first)
    with pytest.raises(InputError, match="was trained with other settings or data"):
        evaluated(first, second, points=61)
    strange = tmp_path / "burgers.zarr"
    dataset.burgers(config.JOBS["burgers_truth"].model_validate_json(smoke.spec("burgers_truth", "smoke")), strange)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="holds burgers, not poisson; give the store that poisson_truth makes"):
        evaluated(first, second, data=strange)
    with pytest.raises(InputError, match="holds burgers, not poisson"):
        trained(job, strange, tmp_path / "foreign")


@pytest.mark.parametrize(("name", "initial"), [("poisson", 5), ("burgers", 0), ("allen_cahn", 0)])
def test_an_initial_condition_belongs_to_an_equation_with_time(name: str, initial: int) -> None:
    with pytest.raises(InputError, match=f"{name}: initial is {initial}; give points of the initial condition where"):
        protocol(name, initial=initial)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"scheme": "gradnorm"}, "gradnorm does not average: give its beta"),
        ({"scheme": "softadapt"}, "softadapt does not average: give its beta"),
        ({"scheme": "id", "p": "inf"}, "p is for dn alone, not for id"),
        ({"scheme": "gradnorm", "beta": 0.01, "correct": True}, "gradnorm has no average to correct"),
    ],
)
def test_options_that_a_scheme_does_not_have(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Row(**row)


def history(**columns: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(values, dtype=float) for name, values in columns.items()}


def test_rules_of_selection() -> None:
    one = Trained(
        "fixed", 0, np.zeros(1),
        history(
            step=[125, 250, 375, 500], error=[0.5, 0.3, 0.1, 0.4], now=[9, 5, 4, 6], error_mean=[1, 1, 1, 0.2],
            weight_bc=[1, 1, 1, 8], norm_bc=[1, 1, 1, 3], norm_pde=[1, 1, 1, 12], weight_pde=[1, 1, 1, 2],
        ),
    )  # fmt: skip
    assert [one.error(rule) for rule in selection.RULES] == [0.4, 0.3, 0.1, 0.2]
    assert one.first_below(0.35) == 250
    assert one.first_below(0.05) is None
    assert one.balance("bc") == 1


def test_eq_15_rests_where_it_is_said_to() -> None:
    """Averaged for long at the same parameters it comes to the square root; the sign against DN follows."""
    problem = protocol("burgers")
    terms = problem.terms(np.random.default_rng(0))
    one = Trained("fixed", 0, problem.network.initial(np.random.default_rng(1)).astype(np.float32), {})
    found = rest.rests(one, problem, terms)
    balance = Balance(3, "ma", beta=0.9)
    parts = [term.value_and_gradient(torch.from_numpy(one.theta)) for term in terms.values()]
    for _ in range(400):
        balance.update([value for value, _ in parts], [gradient for _, gradient in parts])
    assert_allclose(balance.weights[1:], [found[name]["ma"] for name in ("ic", "bc")], rtol=1e-6)
    lengths = [float(gradient.norm()) for _, gradient in parts]
    assert_allclose([found[name]["dn"] for name in ("ic", "bc")], lengths[0] / np.array(lengths[1:]), rtol=1e-5)
    lines = rest.table({"fixed": found})["rows"]
    assert [line[-1] for line in lines] == [its["ma"] / its["dn"] for its in found.values()]


def test_names_of_rows_are_read_as_words() -> None:
    row = Row(scheme="dn", beta=0.9, p="inf", correct=True, tau=100)
    assert row.name == "dn_0.9_pinf_corrected_tau100"
    assert tables.words(row.name) == "DN 0.9, p = inf, corrected, tau = 100"
    assert tables.words("fixed") == "none"
    assert run(protocol("poisson"), row).balance.p == inf


def test_claims_without_their_rows_are_not_testable(smoke: config.Config) -> None:
    job = config.JOBS["poisson"].model_validate_json(smoke.spec("poisson", "smoke"))
    found = claims.claims("poisson", {}, {}, job.compared)  # type: ignore[attr-defined]
    assert found
    assert set(found.values()) == {None}
    assert problem_of(job)[0] == "poisson"


@pytest.mark.parametrize(
    ("change", "message"),
    [({"rows": [ROWS[0], ROWS[0]]}, "stands twice"), ({"parts": 3}, "at most one part per seed")],
)
def test_bad_settings(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Runs(**{**SMALL, "initial": 0, **change})
