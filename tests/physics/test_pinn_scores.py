"""What is read off trainings of the pinns wing: selection, claims, tables, rest points, recipes."""

from __future__ import annotations

import re
from math import exp, log, sqrt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import stats

from phasemill.core import store
from phasemill.core.balancing import Balance
from phasemill.core.errors import InputError
from phasemill.core.model_files import save_tensors
from phasemill.pinns import dataset
from phasemill.pinns.config.data import PoissonData, PoissonTruthJob
from phasemill.pinns.config.recipes import Recipes
from phasemill.pinns.config.runs import Row
from phasemill.pinns.evaluate import recipes, rest, runs, selection, tables
from phasemill.pinns.evaluate.claims import NORMS, TABLED, claims
from phasemill.pinns.evaluate.selection import Trained
from phasemill.pinns.reference import Reference
from phasemill.report import claims as catalogue

pytestmark = pytest.mark.physics

COMPARED: Any = SimpleNamespace(reached=0.1, stuck=0.1)
COSTS = {"fixed": {"seconds": 0.010, "ratio": 1.0}, "dn_0.99": {"seconds": 0.0103, "ratio": 1.034}}


def training(row: str = "dn_0.99", seed: int = 0, best: float = 0.2, final: float = 0.3, **columns: Any) -> Trained:
    """Each rule of selection finds another error; a number stands at the end of a column that began at 1."""
    found: dict[str, Any] = {f"{kind}_{term}": 1 for kind in ("weight", "norm", "now") for term in ("pde", "ic", "bc")}
    found |= {"step": [250, 500, 600, 990], "error": [99, best, best / 10, final], "now": [2, 4, 3, 5]}
    found |= {"error_mean": 0.7, **columns}
    history = {name: np.array(its if np.ndim(its) else [1, 1, 1, its], float) for name, its in found.items()}
    return Trained(row, seed, np.zeros(3), history)


def trainings(row: str, seeds: int = 3, **columns: Any) -> list[Trained]:
    """One for each seed; columns are lists over the seeds."""
    return [training(row, seed, **{name: its[seed] for name, its in columns.items()}) for seed in range(seeds)]


def test_each_rule_selects_in_its_own_way() -> None:
    assert [training().error(rule) for rule in ("final", "best", "lowest", "mean")] == [0.3, 0.2, 99, 0.7]
    assert training(step=[1, 2, 3, 4]).error("best") == pytest.approx(0.02)  # of a short run no check is a 250th epoch
    assert training(step=[250, 500, 600, 1000], final=0.1).error("best") == 0.1  # the last one counts, too
    start = training(error=[0.1, 0.3, 0.09, 0.05])
    assert (start.first_below(0.1), start.first_below(0.09), start.first_below(0.01)) == (600, 990, None)
    assert selection.mean_and_error([1.0, 2.0, 6.0]) == pytest.approx((3, sqrt(7 / 3)))


def poisson_rows() -> dict[str, list[Trained]]:
    """Means and medians, best and last, differ everywhere; the wrong term would be seen."""
    of_fixed = {"final": [0.3, 0.5, 1.0], "now_bc": [2, 4, 90], "norm_pde": [exp(2), exp(3), exp(9)]}
    of_ma = {"weight_bc": [1, 2, 3], "norm_bc": [2, 1, 1], "norm_pde": [16, 8, 6]}
    of_dn = {"weight_bc": [10, 20, 900], "norm_bc": [3, 3, 1], "norm_pde": [60, 50, 300]}
    of_dn |= {"final": [0.02, 0.04, 0.06], "now_bc": [0.1, 0.2, 9]}
    early, late = [[0.5, 0.05, 0.5, 0.5]] * 2 + [[0.05] * 4], [[0.5, 0.5, 0.05, 0.5]] * 2 + [[0.05] * 4]
    return {
        "fixed": trainings("fixed", best=[0.2, 0.4, 0.9], **of_fixed),
        "dn_0.99": trainings("dn_0.99", best=[0.01, 0.02, 0.06], **of_dn),
        "id_0.99": trainings("id_0.99", best=[0.05, 0.05, 0.08], weight_bc=[9, 25, 30]),
        "ma_0.99": trainings("ma_0.99", best=[0.07, 0.07, 0.085], **of_ma),
        "dn_0.99_p1": trainings("dn_0.99_p1", best=[0.01, 0.01, 0.04]),
        "dn_0.99_pinf": trainings("dn_0.99_pinf", best=[0.05, 0.04, 0.06]),
        "dn_0.999": trainings("dn_0.999", error=late),
        "dn_0.99_corrected": trainings("dn_0.99_corrected", error=early),
        "dn_0.999_corrected": trainings("dn_0.999_corrected", error=[[0.05] * 4] * 3),
    }


POISSON = {
    "fixed": 0.5, "dn_0_99": 0.03, "id_0_99": 0.06, "ma_0_99": 0.075, "dn_0_99_p1": 0.02, "dn_0_99_pinf": 0.05,
    "dn_like_id": 0.5, "dn_like_id_weight": 0.8, "balanced": 3 / log(2), "condition_loss": 20,
    "overhead": 3.4, "p_norms": 2.5, "selected": 0.5, "rescued": 0.5 / 0.03, "rescued_final": 15, "beats_ma": 2.5,
    "ma_balance": 0.25, "delay": 1.2, "delay_corrected": 0.5,
}  # fmt: skip


def claimed(name: str, rows: dict[str, list[Trained]], costs: Any = COSTS) -> dict[str, float]:
    """The values that are there, by the last part of their ids."""
    found = claims(name, rows, costs, COMPARED).items()
    return {key.removeprefix(f"pinns.{name}."): value for key, value in found if value is not None}


@pytest.mark.parametrize(
    ("gone", "lost"),
    [
        ("nothing", set()),
        ("id_0.99", {"id_0_99", "dn_like_id", "dn_like_id_weight"}),
        ("ma_0.99", {"ma_0_99", "beats_ma", "ma_balance"}),
        ("fixed", {"fixed", "balanced", "condition_loss", "rescued", "rescued_final"}),
        ("dn_0.99_p1", {"dn_0_99_p1", "p_norms"}),
        ("dn_0.999", {"delay"}),
        ("dn_0.99_corrected", {"delay_corrected"}),
        ("dn_0.99", set(POISSON) - {"fixed", "id_0_99", "ma_0_99", "dn_0_99_p1", "dn_0_99_pinf", "overhead", "ma_balance", "delay_corrected"}),
    ],
)  # fmt: skip
def test_claims_of_poisson_and_of_its_rows_that_are_missing(gone: str, lost: set[str]) -> None:
    rows = {row: its for row, its in poisson_rows().items() if row != gone}
    left = {key: value for key, value in POISSON.items() if key not in lost}
    assert claimed("poisson", rows) == pytest.approx(left)


def test_a_slow_row_that_never_gets_there_took_all_epochs_at_least() -> None:
    rows, never = poisson_rows(), training(error=[0.5] * 4)
    rows["dn_0.999"][:2] = [never, never]
    assert claimed("poisson", rows)["delay"] == 990 / 500
    rows["dn_0.99"][2] = never  # the one with which it is compared
    assert set(POISSON) - set(claimed("poisson", rows, {"fixed": COSTS["fixed"]})) == {"delay", "overhead"}


def burgers_rows(seeds: int = 3) -> dict[str, list[Trained]]:
    """The initial term's last two weights are a decade apart with 0.9, a fifth of that with 0.99: medians."""
    fast, slow = [[7, 3, 10, 100], [7, 3, 1, 10], [7, 3, 1, 1]], [[9, 9, 1, 10**0.2], [1, 99, 10**0.2, 1]]
    return {
        "fixed": trainings("fixed", seeds, best=[1, 2, 3]),
        "dn_0.99": trainings("dn_0.99", max(1, seeds - 1), best=[5, 9], now_pde=[1, 4], weight_ic=slow),
        "dn_0.9": trainings("dn_0.9", seeds, best=[2, 5, 11], weight_ic=fast),
    }


def test_claims_of_burgers() -> None:
    found, alone = (claimed("burgers", burgers_rows(seeds), {}) for seeds in (3, 1))
    assert (found["worse_than_none"], found["equation_loss"]) == (3, 2.5)
    assert (found["unstable"], found["restless"]) == pytest.approx((sqrt(21 / 8), 5))
    assert set(found) - set(alone) == {"unstable"}  # one seed has no spread
    many = {"fixed": trainings("fixed", 8, best=[1, 3] * 4), "dn_0.99": trainings("dn_0.99", 9, best=[1, 4, 7] * 3)}
    first, second = (8 / 7) / 8, 6.75 / 9  # squares of the standard errors
    tail = stats.t.sf(2 / sqrt(first + second), (first + second) ** 2 / (first**2 / 7 + second**2 / 8))
    assert claimed("burgers", many, {})["no_gain"] == pytest.approx(2 * tail)
    assert "no_gain" not in claimed("burgers", many | {"fixed": many["fixed"][:7]}, {})


def test_balance_and_losses_are_those_of_the_last_quarter() -> None:
    def lasting(row: str, *last: float) -> list[Trained]:
        columns = {name: [1] * 12 for name in ("error", "norm_ic", "norm_pde", "weight_pde")}
        columns |= {"weight_ic": [50] * 9 + [exp(one) for one in last], "now_ic": [50] * 9 + [one**2 for one in last]}
        return [training(row, step=range(250, 3250, 250), **columns)]

    found = claimed("burgers", {"fixed": lasting("fixed", 1, 3, 5), "dn_0.99": lasting("dn_0.99", 2, -1, -4)}, {})
    assert (found["balanced"], found["condition_loss"]) == pytest.approx((3, 9 / 4))  # a geometric mean; medians


def test_claims_of_allen_cahn() -> None:
    """The best of the checks decides who is stuck; an error of 0.1 is not."""
    rows = {
        "fixed": trainings("fixed", best=[0.5, 0.1, 0.101], now_ic=[1, 8, 9]),
        "dn_0.99": trainings("dn_0.99", best=[0.01, 0.02, 0.03], now_ic=[1, 2, 4], weight_ic=[1, 3, 4]),
        "ma_0.99": trainings("ma_0.99", best=[0.02, 0.03, 0.04], weight_ic=[1, 6, 7]),
        "dn_0.99_everywhere": trainings("dn_0.99_everywhere", weight_bc=[5, 1000, 9000]),
        "dn_0.9_everywhere": trainings("dn_0.9_everywhere", weight_bc=[7, 8, 9]),
    }
    found = claimed("allen_cahn", rows, {})
    assert (found["stuck"], found["weighted_stuck"]) == pytest.approx((2 / 3, 0))
    assert (found["beats_ma"], found["condition_loss"]) == pytest.approx((1.5, 4))
    assert (found["ma_weight"], found["periodic"]) == (2, 1000)


@pytest.mark.parametrize(
    ("name", "derived"),
    [("burgers", {"no_gain", "unstable", "worse_than_none"}), ("poisson", {"rescued", "rescued_final", "beats_ma"}), ("allen_cahn", {"beats_ma", "weighted_stuck"})],
)  # fmt: skip
def test_the_papers_own_rows_give_its_own_values(name: str, derived: set[str]) -> None:
    """All claims that follow from its tables' means and standard errors; and each row's interval, +- 2 deviations."""
    unit = (np.arange(10) - 4.5) * sqrt(10) / np.arange(10).std(ddof=1)
    rows, printed = {}, {}
    for row in (*TABLED, *NORMS):
        statement = catalogue.load().claim(f"pinns.{name}.{row.replace('.', '_')}").statement
        mean, error = printed[row] = tuple(map(float, re.findall(r"error ([\d.e-]+) \+- ([\d.e-]+) \(", statement)[0]))
        rows[row] = trainings(row, 10, error=[[value] * 4 for value in mean + error * unit])
    known = {key.rsplit(".", 1)[1]: its for key, its in catalogue.load().claims.items() if f"pinns.{name}." in key}
    found = claimed(name, rows, {})
    numbers = {key: known[key].paper_value for key in found if known[key].paper_value is not None}
    assert {key: found[key] for key in numbers} == pytest.approx(numbers, rel=6e-3)
    assert set(numbers) == {row.replace(".", "_") for row in rows} | {"dn_like_id", "p_norms"} | derived
    assert known["recipe"].paper_value == min(mean for mean, _ in printed.values())
    for row, (mean, error) in printed.items():
        assert selection.mean_and_error([one.error("best") for one in rows[row]]) == pytest.approx((mean, error))
        check: Any = known[row.replace(".", "_")].check
        ends = max(0, mean - 2 * sqrt(10) * error), mean + 2 * sqrt(10) * error
        assert (check.low, check.high) == pytest.approx(ends, rel=6e-3)


def test_scores_and_tables_of_the_comparison() -> None:
    """Three seeds, of which one never gets to the error asked for, and a row of one seed."""
    columns = {"weight_bc": [2, 4, 60], "norm_bc": [3, 2, 1], "std_bc": [3, 5, 1], "cosine_bc": [-0.5, 0.1, 0.2]}
    columns |= {"norm_pde": [6, 4, 2], "std_pde": [2, 4, 3], "cosine_pde": [1, 1, 1], "now_bc": [5, 7, 90]}
    its = trainings("dn_0.99", best=[0.4, 0.3, 0.5], final=[0.1, 0.3, 0.8], seconds=[8, 9, 7], **columns)
    found = runs._scores(its, ["pde", "bc"], 0.05)
    assert found["error"] == {"final": [0.1, 0.3, 0.8], "best": [0.4, 0.3, 0.5], "lowest": [99] * 3, "mean": [0.7] * 3}
    assert (found["seeds"], found["seconds"]) == ([0, 1, 2], [8, 9, 7])
    assert found["reached"] == [600, 600, None]  # 0.05 itself is not below
    of_bc = {"loss": [5, 7, 90], "weight": [2, 4, 60], "balance": [1, 2, 30], "std_ratio": [3, 5, 20]}
    assert found["bc"] == of_bc | {"cosine": [-0.5, 0.1, 0.2]}
    alone = training("fixed", std_pde=1, std_bc=1, cosine_bc=0, cosine_pde=1, seconds=1)
    settings: Any = SimpleNamespace(epochs=1000, check=50, batch=None)
    scores = {"dn_0.99": found, "fixed": runs._scores([alone], ["pde", "bc"], 0.05)}
    (first, second), cited = (tables.errors("poisson", scores, settings)[key] for key in ("rows", "claims"))
    assert cited == ["pinns.poisson.dn_0_99", "pinns.poisson.fixed"]
    assert first[1:] == pytest.approx([3, 0.4, sqrt(0.13 / 3), 0.4, 0.1 / sqrt(3), 99, 0, 0.7, 0], abs=1e-12)
    assert second == ["none", 1, 0.3, None, 0.2, None, 99, None, 0.7, None]
    lines = tables.terms(scores, settings)["rows"]
    assert lines[:2] == [["DN 0.99", "equation", 1, 1, 1, 1, None], ["DN 0.99", "boundary", 7, 4, 2, 5, 0.1]]
    scores["fixed"]["reached"] = [100, 900, 300]
    lines = tables.epochs(scores, settings, 0.05)["rows"]
    assert lines == [["DN 0.99", "2 of 3", "not in 1000"], ["none", "3 of 3", 300]]
    assert_allclose([line[1:] for line in tables.overhead(COSTS, settings)["rows"]], [[10, 0], [10.3, 3.4]])
    parts = {"dn_0.99": {"inside": [1.0, 2.0, 9.0], "outside": [4.0, 5.0, 60.0]}}
    assert tables.regions(parts, "t >= 0.5")["rows"] == [["DN 0.99", 2, 5]]
    titles = [tables.regions(parts, where)["title"] for where in ("t >= 0.5", "within 0.1 of an edge")]
    assert titles == ["Relative L2 error where t >= 0.5", "Relative L2 error within 0.1 of an edge"]
    rows = "dn_0.9_p1", "dn_0.99_everywhere", "softadapt_0.1", "id_0.9_tau100"
    assert "; ".join(map(tables.words, rows)) == "DN 0.9, p = 1; DN 0.99, everywhere; SoftAdapt 0.1; ID 0.9, tau = 100"


def test_the_answer_and_the_headline_say_what_came_out() -> None:
    rows, fast = poisson_rows(), {"dn_0.99": {"seconds": 0.01, "ratio": 0.99}}
    assert tables.answer("poisson", rows, COSTS) == (
        "The lowest mean error of the last parameters, 0.04, is left by DN 0.99; without weights it is 0.6, 15 times as much. "
        "DN 0.99 makes the boundary loss 20 times smaller and costs 3.4 % more time."
    )
    assert tables.answer("poisson", rows, fast).endswith("costs no more time than was measurable.")
    assert "parameters, 0.3, is left by none." in tables.answer("burgers", {"fixed": [training()]}, {})
    assert "All errors are still about 1" in tables.answer("burgers", {"fixed": [training(final=0.95)]}, {})
    rows = {"fixed": trainings("fixed"), "dn_0.99": trainings("dn_0.99", final=[0.1, 0.2, 0.4], now_ic=[0.5] * 3)}
    assert "cannot tell apart. DN 0.99 makes the initial loss 2 times" in tables.answer("allen_cahn", rows, COSTS)
    assert (tables.apart([1, 1.1], [2, 2.1]), tables.apart([1.0], [2.0])) == (True, False)
    lines = tables.headline("poisson", poisson_rows(), {"pinns.poisson.dn_0_99": 1.0})
    labels = ["error, none", "error, MA 0.99", "error, ID 0.99", "error, DN 0.99"]
    assert [line["label"] for line in lines] == [f"{label}, best on test" for label in labels]
    assert [line["claim"] for line in lines] == ["", "", "", "pinns.poisson.dn_0_99"]
    assert (lines[3]["value"], lines[3]["note"]) == (pytest.approx(0.03), "+- 0.015, 3 seeds")
    assert tables.headline("poisson", {"fixed": [training()]}, {})[0]["note"] == "one seed"


@pytest.mark.parametrize(
    ("row", "words"),
    [("fixed", "none"), ("ma14_0.99", "MA 0.99, eq. 14"), ("dn_0.9_pinf_corrected_tau5", "DN 0.9, p = inf, corrected, tau = 5")],
)  # fmt: skip
def test_a_row_is_named_as_it_is_read(row: str, words: str) -> None:
    assert tables.words(row) == words


@pytest.mark.parametrize(
    ("name", "first", "second", "inside"),
    [("burgers", [0, 0.4, 0.41, 1], [-1, 1], [1, 1, 0, 0]), ("poisson", [0.05, 0.5, 0.9], [0.11, 0.5], [1, 0, 1]),
     ("allen_cahn", [0, 0.49, 0.5, 1], [-1, 1], [0, 0, 1, 1])],
)  # fmt: skip
def test_regions_divide_the_error(name: str, first: list[float], second: list[float], inside: list[int]) -> None:
    """A field that is wrong by 10 % inside and 50 % outside; the edges of each region belong to it."""
    truth = Reference(np.array(first), np.array(second), np.arange(1.0, 2 * len(first) + 1).reshape(-1, 2))
    wrong = (truth.u * (1 + np.where(np.array(inside) == 1, 0.1, -0.5)[:, None])).ravel()
    its: Any = SimpleNamespace(name=name, values=lambda at: SimpleNamespace(field=lambda theta, count: theta[None]))
    found = runs._regions([Trained("fixed", 0, wrong, {})] * 2, its, truth)
    assert_allclose([found["inside"], found["outside"]], [[0.1] * 2, [0.5] * 2])


def test_costs_are_those_of_a_whole_turn_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 s for an epoch, 10 s more where weights move, thrice as slow in the last two turns; the first one warms up."""
    now = [0.0]

    def start(problem: Any, row: Row, seed: Any, where: Any) -> Any:
        period, more = (10, 0) if row.scheme == "fixed" else (row.tau, 10)

        def epoch(index: int) -> None:
            now[0] += {0: 50, 1: 1}.get(index // period, 3) * (2 + more * ((index + 1) % period == 0))

        return SimpleNamespace(epoch=epoch)

    monkeypatch.setattr(runs, "Run", start)
    monkeypatch.setattr(runs, "time", SimpleNamespace(process_time=lambda: now[0]))
    rows: Any = [Row(scheme="dn", tau=4), Row(scheme="fixed"), Row(scheme="id")]
    found = {name: (its["seconds"], its["ratio"]) for name, its in runs._costs(SimpleNamespace(), rows, 3).items()}  # type: ignore[arg-type]
    assert found == {"dn_0.99_tau4": (13.5, 2.25), "fixed": (6, 1), "id_0.99": (9, 1.5)}


def test_rules_rest_at_their_hats_and_eq_15_at_the_root() -> None:
    """By hand, with the second of five parameters not counted; and where a rule that is iterated comes to."""
    gradients = {"pde": [3, 77, -4, 0, 1], "bc": [0.01, 77, 0.01, -0.03, 0.03], "ic": [8, 77, 0, 0, -8]}
    vectors = {name: torch.tensor(g, dtype=torch.float64) for name, g in gradients.items()}
    terms: Any = {name: SimpleNamespace(value_and_gradient=lambda theta, g=g: (1.0, g)) for name, g in vectors.items()}
    problem: Any = SimpleNamespace(counted=np.array([True, False, True, True, True]))
    found = rest.rests(training(), problem, terms)
    by_hand = {"dn": sqrt(26 / 0.002), "id": sqrt(26 / (0.002 - 0.02**2 / 4)), "ma14": 4 / 0.02, "ma": sqrt(4 / 0.02)}
    of_ic = {"dn": sqrt(26 / 128), "id": sqrt(26 / 128), "ma14": 1, "ma": 1}
    assert found == {"bc": pytest.approx(by_hand), "ic": pytest.approx(of_ic)}
    counted = [vector[[0, 2, 3, 4]] for vector in vectors.values()]
    for rule, beta in (("dn", 0.9), ("id", 0.9), ("ma14", 0.5), ("ma", 0.9)):
        balance = Balance(3, rule, beta=beta)  # type: ignore[arg-type]  # a scheme
        for _ in range(400):
            balance.update([1.0] * 3, counted)
        assert_allclose(balance.weights[1:], [found[name][rule] for name in ("bc", "ic")], rtol=1e-6)
    lines = rest.table({"ma_0.99": found})["rows"]
    assert lines[0][2:] == pytest.approx([*by_hand.values(), by_hand["ma"] / by_hand["dn"]])
    assert [line[-1] < 1 for line in lines] == [its["ma14"] < its["dn"] ** 2 for its in found.values()] == [True, False]


def test_recipes_are_read_and_tabled(tmp_path: Path) -> None:
    data = tmp_path / "truth.zarr"
    dataset.poisson(PoissonTruthJob(seed=0, poisson_data=PoissonData(omega=5.0, points=9)), data)
    march = {"name": "march", "windows": 1, "base": "heat", "modes": 1, "hidden": [2], "points": 1, "iterations": 1}
    step = {"name": "step", "points": 1, "adam": 1, "iterations": 1}
    kinds = {"burgers": [step | {"case": "burgers"}], "poisson": [step | {"case": "poisson"}], "allen_cahn": [march]}
    settings = Recipes.model_validate({"seeds": 3, "every": 1, **kinds})
    origin = {"spec": {"recipes": settings.model_dump()}, "data_digest": store.digest(data)}
    ends = {"two_words_0": (3, 0.2), "two_words_1": (5, 0.4), "two_words_2": (7, 0.6), "other_0": (1, 0.5)}
    card: dict[str, Any] = {"kind": "poisson_recipes", "runs": {}, **origin}
    for label, (cpu, error) in ends.items():
        card["runs"][label] = {"recipe": label[:-2], "curve": [{"cpu": 0, "error": 9}, {"cpu": cpu, "error": error}]}
    save_tensors(tmp_path / "recipes.safetensors", {}, card)
    scores, _ = recipes.recipes(tmp_path / "recipes.safetensors", "poisson", settings, data)
    read_off = {name: (its["error"], its["cpu"]) for name, its in scores.items()}
    assert read_off == {"two_words": ([0.2, 0.4, 0.6], [3, 5, 7]), "other": ([0.5], [1])}
    first, *others = recipes.table(scores, {"exact": {"error": 1e-3, "cpu": 0.5}}, ["other"])["rows"]
    assert first == ["two words (not judged)", 3, 0.4, 0.6, 5]
    assert others == [["other", 1, 0.5, 0.5, 1], ["exact", None, 1e-3, None, 0.5]]
    with pytest.raises(InputError, match="holds poisson_recipes, not burgers_recipes"):
        recipes.recipes(tmp_path / "recipes.safetensors", "burgers", settings, data)
    for other in ({"spec": {"recipes": settings.model_dump() | {"seeds": 2}}}, {"data_digest": "another"}):
        save_tensors(tmp_path / "other.safetensors", {}, card | other)
        with pytest.raises(InputError, match=r"other\.safetensors was trained with other settings or data"):
            recipes.recipes(tmp_path / "other.safetensors", "poisson", settings, data)
