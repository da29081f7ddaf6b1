"""Figures of the pinns wing: from small stored results of every shape, and from what the evaluations store."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal

from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.core.files import read_json, write_json
from phasemill.core.model_files import save_tensors
from phasemill.pinns import dataset
from phasemill.pinns.config.runs import problem_of
from phasemill.pinns.evaluate.inverse import _least_squares as least_squares
from phasemill.pinns.evaluate.inverse import inverse as evaluate_inverse
from phasemill.pinns.evaluate.runs import evaluate
from phasemill.pinns.evaluate.tables import words
from phasemill.pinns.figures.inverse import inverse as draw_inverse
from phasemill.pinns.figures.runs import draw
from phasemill.pinns.protocol import Protocol
from phasemill.pinns.terms import plain
from phasemill.pinns.train import inverse as train_inverse
from phasemill.pinns.train.runs import Run, plan
from phasemill.report import claims as catalogue
from phasemill.report.page import Metrics
from tests.unit.pinn_pages import check_files, keeping, smoke_job, xy

TERMS = {"burgers": ("pde", "ic", "bc"), "poisson": ("pde", "bc"), "allen_cahn": ("pde", "ic", "bc")}
DIMS = {"burgers": ("time", "x"), "poisson": ("x", "y"), "allen_cahn": ("time", "x")}
MAIN = ("fixed", "ma_0.99", "id_0.99", "dn_0.99")
DELAYED = ("dn_0.999", "dn_0.99_corrected", "dn_0.999_corrected")
TRUTH = np.arange(20.0).reshape(4, 5)


def names(delays: bool = False) -> list[str]:
    first = ["fields", "recipes", "errors", *(["delays"] if delays else [])]
    return [*first, "losses", "weights", "seeds", "pareto", "gradients"]


def line(dim: str, values: Any) -> xr.DataArray:
    return xr.DataArray(values, dims=(dim,), attrs={"units": "1", "long_name": dim})


def stored(folder: Path, name: str, rows: Any, seeds: int, shown: tuple[str, ...] = ("fixed", "dn_0.99")) -> Any:
    """metrics.json and fields.zarr of a problem, with numbers that tell rows, seeds and terms apart; the metrics."""
    terms, rng = TERMS[name], np.random.default_rng(0)
    kinds = [f"{kind}_{term}" for kind in ("now", "weight", "norm") for term in terms]

    def curve(number: int, seed: int) -> dict[str, list[float]]:
        made = {key: (rng.uniform(1, 2, 3) + 10 * number + seed).tolist() for key in ("error", "error_mean", *kinds)}
        return {"step": [10.0, 20.0, 30.0 + seed], **made}

    march = [{"window": 0.0, "cpu": 1.0, "error": 0.5}, {"window": -1.0, "cpu": 2.0, "error": 0.25}]
    settled = [{"cpu": 1.0, "error": 0.5}, {"cpu": 2.0, "error": 0.1}]
    scored = {"error": ("final", "best"), **{term: ("loss",) for term in terms}}
    content = {
        "curves": {row: [curve(number, seed) for seed in range(seeds)] for number, row in enumerate(rows)},
        "scores": {row: {key: {kind: [ord(key[0]) + 10 * number + k + seed / 9 for seed in range(seeds)] for k, kind in enumerate(kinds)}
                         for key, kinds in scored.items()} for number, row in enumerate(rows)},
        "histograms": {row: {"edges": [-number - 1.0, 0.0, number + 1.0], "counts": {term: [3 + k, 5] for k, term in enumerate(terms)}}
                       for number, row in enumerate(shown)},
        "recipes": {"its_name": {"curves": [march if name == "allen_cahn" else settled] * seeds}},
        "classical": {"exact": {"cpu": 0.1, "error": 1e-3}, "coarse": {"cpu": 0.01, "error": 1e-2}},
    }  # fmt: skip
    write_json(folder / "metrics.json", {"metrics": content})
    first, second = DIMS[name]
    coords = {first: line(first, np.linspace(0, 1, 4)), second: line(second, np.linspace(-1, 3, 5)), "sim": line("sim", [2])}  # fmt: skip
    variables = {
        "truth": store.Variable(("sim", first, second), "1", "truth"),
        "prediction": store.Variable(("sim", "row", first, second), "1", "network"),
    }
    coords["row"] = store.flags(shown, shown, "row", "weighting")
    with store.create(folder / "fields.zarr", xr.Dataset(coords=coords), variables, {"title": name}) as writer:
        wrong = [np.eye(4, 5) * 2.0**number for number in range(len(shown))]
        writer.write(0, truth=TRUTH, prediction=TRUTH - np.stack(wrong))
    return content


Page = tuple[str, Any, dict[str, Figure]]


@pytest.fixture(scope="module", params=TERMS)
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A problem, its stored metrics of two seeds, and its figures."""
    folder = tmp_path_factory.mktemp(request.param)
    metrics = stored(folder, request.param, (*reversed(MAIN), *DELAYED), 2)
    with pytest.MonkeyPatch.context() as monkeypatch:
        drawn = keeping(monkeypatch)
        draw(folder, folder / "figures")
    return request.param, metrics, drawn


def labels(ax: Axes) -> list[str]:
    return [str(one.get_label()) for one in ax.lines if not str(one.get_label()).startswith("_")]


@pytest.mark.parametrize(
    ("name", "rows", "seeds", "shown"),
    [
        ("burgers", MAIN, 1, ("fixed", "ma_0.99", "dn_0.99")),
        ("poisson", (*MAIN, *DELAYED, "dn_0.99_p1", "gradnorm_0.01", "softadapt_0.1", "ma14_0.99"), 3, ("fixed", "dn_0.99")),
        ("allen_cahn", ("fixed", "dn_0.99", "dn_0.99_corrected", "dn_0.99_everywhere"), 2, ("dn_0.99",)),
    ],
)  # fmt: skip
def test_all_figures_are_saved_and_listed(name: str, rows: Any, seeds: int, shown: Any, tmp_path: Path) -> None:
    stored(tmp_path, name, rows, seeds, shown)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        entries = draw(tmp_path, tmp_path / "figures")
    assert [entry["file"] for entry in entries] == [f"{one}.svg" for one in names(delays=name != "burgers")]
    check_files(entries, tmp_path / "figures")


@pytest.mark.parametrize(
    ("name", "rows", "seeds"),
    [("poisson", ("dn_0.99",), 1), ("burgers", ("gradnorm_0.01",), 2), ("allen_cahn", ("dn_0.9_corrected",), 1),
     ("burgers", ("dn_0.9", "dn_0.99"), 2)],
)  # fmt: skip
def test_rows_may_be_missing(name: str, rows: Any, seeds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path, name, ("fixed", *rows), seeds, ("fixed",))
    drawn = keeping(monkeypatch)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No artists with labels")
        draw(tmp_path, tmp_path / "figures")
    assert list(drawn) == names(delays=len(rows) > 1)
    assert len(drawn["errors"].axes[0].lines) == seeds * (1 + ("dn_0.99" in rows))


def test_errors_losses_and_weights_have_a_line_for_each_seed(page: Page) -> None:
    name, metrics, drawn = page
    runs, (lead, *more) = [run for row in MAIN for run in metrics["curves"][row]], TERMS[name][1:]
    for ax, key in zip(drawn["errors"].axes, ("error", "error_mean"), strict=True):
        assert xy(ax) == [(run["step"], run[key]) for run in runs]
        assert labels(ax) == ["none", "MA 0.99", "ID 0.99", "DN 0.99"]
        assert ax.get_yscale() == "log"
    for ax, term in zip(drawn["losses"].axes, TERMS[name], strict=True):
        assert xy(ax) == [(run["step"], run[f"now_{term}"]) for run in runs]
    *weights, balance = drawn["weights"].axes
    for ax, term in zip(weights, (lead, *more), strict=True):
        assert xy(ax) == [(run["step"], run[f"weight_{term}"]) for run in runs]
    wanted = [np.multiply(run[f"weight_{lead}"], run[f"norm_{lead}"]) / run["norm_pde"] for run in runs]
    assert_allclose([y for _, y in xy(balance)[:-1]], wanted)
    assert xy(balance)[-1][1] == [1, 1]
    word = "boundary" if name == "poisson" else "initial"
    titles = [f"weight, {word}", *["weight, boundary"] * len(more), f"balance, {word}"]
    assert [ax.get_title("left") for ax in drawn["weights"].axes] == titles


def test_delays_stand_beside_their_correction(page: Page) -> None:
    _, metrics, drawn = page
    left, right = drawn["delays"].axes
    assert labels(left) == ["DN 0.99", "DN 0.999"]
    assert labels(right) == ["DN 0.99, corrected", "DN 0.999, corrected"]
    for ax, kind in ((left, ""), (right, "_corrected")):
        wanted = [run for beta in ("0.99", "0.999") for run in metrics["curves"][f"dn_{beta}{kind}"]]
        assert xy(ax) == [(run["step"], run["error"]) for run in wanted]
    colours = [[to_hex(one.get_color()) for one in ax.lines] for ax in (left, right)]
    assert colours[0] == colours[1]  # a colour is a beta
    assert len(set(colours[0])) == 2


def test_losses_and_gradients_are_those_of_their_terms(page: Page) -> None:
    name, metrics, drawn = page
    for ax, term in zip(drawn["pareto"].axes, TERMS[name][1:], strict=True):
        assert xy(ax) == [(its["pde"]["loss"], its[term]["loss"]) for its in metrics["scores"].values()]
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    for number, ax in enumerate(drawn["gradients"].axes):
        shapes = [one.get_data() for one in ax.patches]  # type: ignore[attr-defined]  # of stairs
        assert [shape.values.tolist() for shape in shapes] == [[3 + k, 5] for k in range(len(TERMS[name]))]
        assert {tuple(shape.edges) for shape in shapes} == {(-number - 1, 0, number + 1)}
        assert ax.get_title("left") == ("none", "DN 0.99")[number]


def test_seeds_stand_in_the_line_of_their_row(page: Page) -> None:
    _, metrics, drawn = page
    (ax,) = drawn["seeds"].axes
    rules = [
        (place, its["error"][rule])
        for place, its in enumerate(metrics["scores"].values())
        for rule in ("final", "best")
    ]
    assert xy(ax) == [(errors, [place, place]) for place, errors in rules]
    assert labels(ax) == ["last", "best on test"]
    assert [text.get_text() for text in ax.get_yticklabels()] == [words(row) for row in metrics["scores"]]


def test_recipes_count_when_they_are_through(page: Page) -> None:
    """A march has one point, its end; any other recipe a line."""
    marched, (ax,) = page[0] == "allen_cahn", page[2]["recipes"].axes
    assert xy(ax)[:2] == [([2], [0.25]) if marched else ([1, 2], [0.5, 0.1])] * 2
    assert ax.lines[0].get_marker() == ("o" if marched else "None")
    assert [(float(np.squeeze(x)), float(np.squeeze(y))) for x, y in xy(ax)[2:]] == [(0.1, 1e-3), (0.01, 1e-2)]
    assert labels(ax) == ["its name", "exact", "coarse"]


def test_fields_lie_as_they_are(page: Page) -> None:
    """The first coordinate to the right; the networks on the reference's scale; differences are network - reference."""
    name, _, drawn = page
    upper, lower = np.array(drawn["fields"].axes, dtype=object).reshape(2, 3)
    assert [ax.get_title("left") for ax in upper] == ["reference", "none", "DN 0.99"]
    for ax, wrong in zip(upper, (0, 1, 2), strict=True):
        assert_allclose(ax.images[0].get_array(), (TRUTH - wrong * np.eye(4, 5)).T)
        assert ax.images[0].get_clim() == (0, 19)
        assert list(ax.images[0].get_extent()) == [0, 1, -1, 3]
        assert ax.images[0].origin == "lower"
    for ax, wrong in zip(lower[1:], (1, 2), strict=True):
        assert_allclose(ax.images[0].get_array(), -wrong * np.eye(4, 5).T)
        assert ax.images[0].get_clim() == (-wrong, wrong)
    assert (lower[1].get_xlabel(), upper[0].get_ylabel()) == ("x" if name == "poisson" else "t", DIMS[name][1])


def trained(job: Any, problem: Protocol, folder: Path) -> tuple[list[Path], dict[str, Any], dict[str, Any]]:
    """Files of two parts, the second seed's first, with networks at their start and histories of random numbers."""
    (name, settings), parts = problem_of(job), []
    columns = ["step", "lr", "seconds", "loss", "error", "error_mean", "now"]
    columns += [f"{kind}_{term}" for term in TERMS[name] for kind in ("loss", "now", "weight", "norm", "std", "cosine")]
    thetas, histories, rng = {}, {}, np.random.default_rng(0)
    for part in (1, 0):
        tensors, facts = {}, {}
        for row in settings.rows:
            label = f"{row.name}_{part}"
            thetas[label] = problem.network.initial(rng).astype(np.float32)
            histories[label] = rng.uniform(0.1, 1, (8, len(columns)))
            tensors[f"{label}.theta"] = torch.from_numpy(thetas[label])
            tensors[f"{label}.history"] = torch.from_numpy(histories[label])
            facts[label] = {"row": row.name, "seed": part, "columns": columns}
        parts.append(folder / f"runs_{part}.safetensors")
        card = {"kind": f"{name}_runs", "runs": facts, "provenance": {}, "spec": {name: settings.model_dump()}}
        save_tensors(parts[-1], tensors, card | {"data_digest": store.digest(folder / "truth.zarr")})
    named = {label: dict(zip(columns, its.T, strict=True)) for label, its in histories.items()}
    return parts, thetas, named


@pytest.mark.parametrize("name", DIMS)
def test_an_evaluation_is_drawn(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    getattr(dataset, name)(smoke_job(f"{name}_truth"), tmp_path / "truth.zarr")
    job = smoke_job(name)
    job = job.model_copy(update={name: problem_of(job)[1].model_copy(update={"seeds": 2, "parts": 2})})
    source = store.open_dataset(tmp_path / "truth.zarr")
    problem = Protocol(dataset.equation(source), problem_of(job)[1])
    models, thetas, histories = trained(job, problem, tmp_path)
    first, second = (one.name for one in getattr(job.recipes, name))
    errors = {first: [0.3, 0.5], second: [0.6, 0.7], "not_configured": [0.1, 0.2]}
    recipes = {f"{recipe}_{seed}": {"recipe": recipe, "curve": [{"cpu": 1.0, "error": error}]}
               for recipe, its in errors.items() for seed, error in enumerate(its)}  # fmt: skip
    card = {"kind": f"{name}_recipes", "runs": recipes, "provenance": {}, "spec": {"recipes": job.recipes.model_dump()}}
    digest = store.digest(tmp_path / "truth.zarr")
    save_tensors(tmp_path / "recipes.safetensors", {}, card | {"data_digest": digest})
    found = evaluate(job, tmp_path / "truth.zarr", tmp_path, models=models, model=tmp_path / "recipes.safetensors")

    few = evaluate(job, tmp_path / "truth.zarr", tmp_path / "few", models=models)  # without recipes
    assert (few["metrics"]["recipes"], few["claims"][f"pinns.{name}.recipe"]) == ({}, None)
    assert len(few["tables"]) == len(found["tables"]) - 1

    claims, metrics = found["claims"], found["metrics"]
    shown = [row for row in job.compared.shown if f"{row}_0" in thetas]
    assert set(claims) == {claim for claim in catalogue.load().claims if claim.startswith(f"pinns.{name}.")}
    assert claims[f"pinns.{name}.recipe"] == pytest.approx(0.65 if first == "split" else 0.4)  # split is not judged
    assert len(found.pop("provenance")) == 5
    write_json(tmp_path / "metrics.json", {"wing": "pinns", "benchmark": name, "scale": "smoke", **found})
    Metrics.model_validate(read_json(tmp_path / "metrics.json"))
    assert {tuple(score["seeds"]) for score in metrics["scores"].values()} == {(0, 1)}
    for label, its in histories.items():
        curve = metrics["curves"][label[:-2]][int(label[-1])]
        assert curve.keys() == its.keys() - {"lr", "seconds", "loss"}
        assert all(curve[key] == its[key].tolist() for key in curve)
        assert metrics["scores"][label[:-2]]["bc"]["loss"][int(label[-1])] == pytest.approx(its["now_bc"][-2:].mean())

    fields = store.open_dataset(tmp_path / "fields.zarr").isel(sim=0)
    assert_array_equal(fields["truth"], source["u"].values[-1].astype(np.float32))
    assert store.meanings(fields["row"]) == shown
    starts = {label: Run(problem, row, seed, torch.device("cpu")) for label, row, _, seed in plan(job)}
    for number, row in enumerate(shown):
        wrong = fields["prediction"].values[number] - fields["truth"].values
        error = np.linalg.norm(wrong) / np.linalg.norm(fields["truth"])
        assert error == pytest.approx(problem.scored(source)(thetas[f"{row}_0"]), rel=1e-5)
        inside, outside = (metrics["regions"][row][where][0] for where in ("inside", "outside"))
        assert min(inside, outside) < error < max(inside, outside)
        terms, gradients, pull = starts[f"{row}_0"].terms, {}, {}  # at the points on which it was trained
        for term, its in terms.items():
            slope = its.value_and_gradient(torch.from_numpy(thetas[f"{row}_0"]))[1].numpy()[problem.counted]
            pull[term] = np.linalg.norm(slope)
            gradients[term] = slope * histories[f"{row}_0"][f"weight_{term}"][-1]
        histogram, widest = metrics["histograms"][row], 3 * max(its.std() for its in gradients.values())
        assert_allclose(histogram["edges"], np.linspace(-widest, widest, job.compared.bins + 1), rtol=1e-5, atol=1e-12)
        assert list(histogram["counts"]) == list(TERMS[name])
        for term, its in gradients.items():
            assert np.abs(np.histogram(its, histogram["edges"])[0] - histogram["counts"][term]).sum() <= 2  # on edges
        resting = {term: its["dn"] for term, its in metrics["resting"][row].items()}
        assert resting == pytest.approx({term: pull["pde"] / pull[term] for term in TERMS[name][1:]}, rel=1e-4)
    drawn = keeping(monkeypatch)
    draw(tmp_path, tmp_path / "figures")
    assert list(drawn) == names(delays=name == "poisson")


def test_inverse_problems_are_evaluated_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for constant, value in (("POINTS", 64), ("FRAMES", 20), ("STEPS", 5)):  # of the exact solver: coarse is enough here
        monkeypatch.setattr(train_inverse, constant, value)
    dataset.burgers(smoke_job("burgers_truth"), tmp_path / "truth.zarr")
    job = smoke_job("pinn_inverse")
    job = job.model_copy(update={"inverse": job.inverse.model_copy(update={"seeds": 2})})
    tensors, facts = {}, {}
    burgers = train_inverse.equations(job)["burgers"]
    seed = train_inverse.branch(job.seed, "inverse_burgers", 2)[0]
    unknowns = train_inverse.prepare(burgers, job.inverse.burgers, job.inverse, seed)
    x = unknowns.x.detach().numpy()
    for number, share in ((0, 1.02), (1, 0.9)):
        tensors[f"burgers_{number}.x"] = torch.from_numpy(x * share)
        for name, equation in train_inverse.equations(job).items():
            true = train_inverse.coefficients(equation, getattr(job.inverse, name))
            found = {key: value * (share + 0.01 * (name == "allen_cahn")) for key, value in true.items()}
            curve = [{"step": float(step), "loss": 1.0, **found} for step in (10, 20)]
            facts[f"{name}_{number}"] = {
                "found": found, "spread": [0.02 + 0.2 * number * (name == "allen_cahn")] * len(true), "seed": number, "noise": 2.0, "weight": 5.0,
                "seconds": 7.0, "curve": curve, "misfit": 4.0 if (name, number) == ("allen_cahn", 1) else 2.0,
            }  # fmt: skip
    card = {"kind": "inverse", "runs": facts, "provenance": {}, "spec": {"inverse": job.inverse.model_dump()}}
    card |= {"data_digest": store.digest(tmp_path / "truth.zarr")}
    save_tensors(tmp_path / "networks.safetensors", tensors, card)
    result = evaluate_inverse(job, tmp_path / "truth.zarr", tmp_path, models=[tmp_path / "networks.safetensors"])

    rows = result["tables"][0]["rows"]
    assert [row[1] for row in rows] == ["viscosity", "viscosity", *["diffusion", "reaction"] * 2]
    assert [row[7] for row in rows] == ["yes", "no", "yes", "yes", "", ""]
    assert_allclose([row[5] for row in rows], [2, -10, 3, 3, -9, -9])
    assert all(abs(row[8]) < 2 * row[9] for row in rows)  # least squares within four of the least deviations
    assert [item["value"] for item in result["headline"]] == pytest.approx([6, 6, 6])
    assert result["headline"][0]["note"] == "median of 2, the worst 10"
    best, _ = least_squares("burgers", {"viscosity": burgers.viscosity}, job.inverse.burgers, unknowns)
    assert rows[0][8] == pytest.approx(100 * best["viscosity"] / burgers.viscosity - 100, rel=1e-3)
    assert "found to 6 % (median of 2, the worst 10 %) from 100 values with 1 % noise; 3 of 4 inter" in result["answer"]
    other = job.model_copy(update={"inverse": job.inverse.model_copy(update={"noise": 0.02})})
    with pytest.raises(InputError, match="was trained with other settings"):
        evaluate_inverse(other, tmp_path / "truth.zarr", tmp_path, models=[tmp_path / "networks.safetensors"])
    save_tensors(tmp_path / "foreign.safetensors", tensors, card | {"data_digest": "another"})
    with pytest.raises(InputError, match=r"foreign\.safetensors was trained with other settings or data"):
        evaluate_inverse(job, tmp_path / "truth.zarr", tmp_path, models=[tmp_path / "foreign.safetensors"])
    fields = store.open_dataset(tmp_path / "fields.zarr").isel(sim=0)
    assert_allclose(fields["sample_u"], unknowns.data.target)
    assert_allclose(np.stack([fields["sample_t"], fields["sample_x"]], axis=1), unknowns.at)
    truth = store.open_dataset(tmp_path / "truth.zarr")["u"].values[-1]
    assert_allclose(fields["truth"], truth, rtol=1e-6, atol=1e-7)
    points = np.stack(np.meshgrid(fields["time"], fields["x"], indexing="ij"), axis=-1).reshape(-1, 2)
    term = unknowns.data.moved(plain(points, burgers.low, burgers.high), 0.0)
    wanted = term.field(unknowns.split(x * 1.02)[0], 1).reshape(truth.shape)
    assert_allclose(fields["prediction"], wanted, rtol=1e-5, atol=1e-6)

    write_json(tmp_path / "metrics.json", {"metrics": result["metrics"]})
    entries = draw_inverse(tmp_path, tmp_path / "figures")
    assert [entry["file"] for entry in entries] == ["field.svg", "coefficients.svg"]
    check_files(entries, tmp_path / "figures")
    assert draw_inverse(tmp_path, tmp_path / "again") == entries  # byte for byte
    shown = keeping(monkeypatch)
    draw_inverse(tmp_path, tmp_path / "figures")
    image, wrong = (ax.images[0].get_array() for ax in shown["field"].axes[:2])
    assert_allclose(image, fields["prediction"].values.T)
    assert_allclose(wrong, (fields["prediction"] - fields["truth"]).values.T)
    assert xy(shown["field"].axes[0]) == [(fields["sample_t"].values.tolist(), fields["sample_x"].values.tolist())]
    assert [ax.get_title("left") for ax in shown["coefficients"].axes] == ["viscosity", "diffusion", "reaction"]
    for ax, more in zip(shown["coefficients"].axes, (0, 0.01, 0.01), strict=True):
        assert_allclose([y for _, y in xy(ax)], [[1.02 + more] * 2, [0.9 + more] * 2, [1, 1]])
        assert [x for x, _ in xy(ax)[:2]] == [[10, 20], [10, 20]]
