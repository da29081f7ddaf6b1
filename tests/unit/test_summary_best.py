"""Which model of a benchmark the summary calls the best: errors, courses and roles decide; who blows up is out."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from phasemill.core import store
from phasemill.core.files import read_json, write_json
from phasemill.core.provenance import Clock
from phasemill.report import index, summary_fields, summary_figures
from phasemill.spinodal.evaluate import transfer
from phasemill.transport.evaluate import scoring
from tests.unit import predictions
from tests.unit.predictions import coordinates, variables, write_benchmark, write_store
from tests.unit.test_summary import folder, made, opened, page

__all__ = ["folder"]


def test_a_home_folder_of_the_name_of_the_scale_does_not_make_stages_count(folder: Path) -> None:
    path = folder / "provenance.json"
    stages = [stage | {"command": f"{Path.home() / 'laptop' / 'bin'}/{stage['command']}"} for stage in read_json(path)]
    write_json(path, stages)
    assert made([folder])["run"]["seconds"] == 35.0, "the shipped network was not trained here"


def series(tmp_path: Path, energy: np.ndarray, roles: str, name: str = "energy") -> dict[str, Any]:
    """The entry of a benchmark that has energies (sim, series, time) of truth, a and b alone, and no error."""
    folder = write_benchmark(tmp_path / "results" / "laptop" / "spinodal" / "ensemble")
    words = ("truth", "a", "b")
    coords = xr.Dataset(
        coords={"sim": [0], "time": predictions.TIMES, "series": store.flags(words, words, "series", "")}
    )
    coords["series"].attrs["flag_roles"] = roles
    write_store(folder / "fields.zarr", {name: (("sim", "series", "time"), energy)}, coords)
    return dict(made([folder])["benchmarks"][0])


@pytest.mark.parametrize("name", ["energy", "energy_density"])
def test_without_errors_the_course_itself_ranks_the_models(tmp_path: Path, name: str) -> None:
    energy = np.stack([predictions.ENERGY[0], 1.5 * predictions.ENERGY[0], 1.1 * predictions.ENERGY[0]])[None]
    entry = series(tmp_path, energy, "check network network", name)
    assert entry["courses"]["energy"]["model"] == "b"
    assert entry["courses"]["energy"]["standing"] == "best learned model"
    assert (entry["model"], entry["standing"]) == ("", None)


def test_where_nothing_ranks_no_model_is_called_best(tmp_path: Path) -> None:
    energy = np.stack([predictions.ENERGY[0]] * 3)[None]
    energy[:, 1:, -1] = np.inf
    course = series(tmp_path, energy, "check network network")["courses"]["energy"]
    assert (course["model"], course["standing"]) == ("a", "learned model")
    assert (course["rise"], course["final"]) == (None, None)
    path = tmp_path / "results" / "laptop"
    html = index.write_index([path / "spinodal" / "ensemble"], path / "index.html", "laptop").read_text()
    assert re.search(r"a \(learned model\): +diverged", re.sub(r"<[^>]*>", " ", html))


def test_where_nothing_was_learned_the_best_method_is_shown_as_such(folder: Path) -> None:
    write_benchmark(folder, coords=coordinates("trivial solver solver solver"))
    html = page([folder])
    entry = read_json(folder.parents[1] / "summary.json")["benchmarks"][0]
    assert (entry["model"], entry["standing"]) == ("fine solver", "best method")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))
    assert "fine solver best method 0.01" in text
    assert "fine solver (best method): " in text
    assert made([folder])["pictures"] == []


@pytest.mark.parametrize("last", [np.inf, np.nan])
def test_a_model_that_blows_up_has_no_error_and_does_not_win(folder: Path, last: float) -> None:
    held = variables()
    held["rmse"][1][:, 3, :] = [0.01, 0.02, 0.03, 0.04, last]
    held["energy"][1][1, 3, -1] = last
    write_store(folder / "fields.zarr", held, coordinates())
    html = page([folder])
    entry = read_json(folder.parents[1] / "summary.json")["benchmarks"][0]
    found = {error["name"]: error for error in entry["errors"]}
    assert entry["model"] == "small net"
    assert found["large net"]["diverged"]
    assert [found["large net"][key] for key in ("rmse", "ratio", "displacement")] == [None] * 3
    assert not any(error["diverged"] for name, error in found.items() if name != "large net")
    assert "diverged: large net" in html


def test_a_course_that_ends_early_diverged_unless_the_truth_ends_there_too(tmp_path: Path) -> None:
    energy = np.stack([predictions.ENERGY[0]] * 3)[None]
    energy[0, :, -1] = np.nan
    assert series(tmp_path, energy, "check network solver")["courses"]["energy"]["rise"] == 0.0
    energy[0, 1, 3] = np.nan
    assert series(tmp_path, energy, "check network solver")["courses"]["energy"]["rise"] is None


def test_the_mean_curve_of_the_figure_ends_where_one_simulation_diverges() -> None:
    values = np.array([[1.0, 2.0, np.nan], [3.0, 4.0, 5.0]])
    np.testing.assert_array_equal(summary_figures._mean(values, np.ones((2, 3), bool)), [2, 3, np.nan])
    np.testing.assert_array_equal(summary_figures._mean(values), [2, 3, 5])


def test_the_trivial_predictor_is_taken_where_the_model_has_errors(folder: Path) -> None:
    held = variables()
    held["rmse"][1][1] *= 2
    held["rmse"][1][1, 3] = np.nan  # the large net was run on the first simulation alone
    write_store(folder / "fields.zarr", held, coordinates())
    entry = made([folder])["benchmarks"][0]
    found = {error["name"]: error for error in entry["errors"]}
    assert found["large net"]["ratio"] == pytest.approx(0.1 / 0.4)
    assert entry["trivial"] == pytest.approx(0.4)
    assert found["small net"]["trivial"] == pytest.approx(0.4 * np.sqrt(2.5))


def test_a_blow_up_in_a_video_that_runs_backwards_is_found(tmp_path: Path) -> None:
    rmse = np.full((2, 4, 5), 0.1)
    rmse[1, 3, 0] = np.nan
    coords = coordinates().assign_coords(direction=("sim", np.array([1, -1], np.int8)))
    found = summary_fields.errors(opened(tmp_path, {"rmse": (("sim", "model", "time"), rmse)}, coords))
    assert found is not None
    lost = summary_fields.diverged(found.values, np.ones(found.values.shape[1:], bool))
    assert np.argwhere(lost).tolist() == [[3, 1, 4]]


def test_a_label_speaks_of_both_truth_and_model(tmp_path: Path) -> None:
    dataset = opened(tmp_path, {name: variables()[name] for name in ("energy", "energy_truth")})
    dataset["energy"].attrs["long_name"] = "Dirichlet energy of the truth"
    course = summary_fields.course(dataset, ("energy",))
    assert course is not None
    assert course.label == "Dirichlet energy"


def test_the_page_says_how_the_best_and_the_trivial_are_chosen(folder: Path, tmp_path: Path) -> None:
    entry = {"ratio": 2.0, "ours_ms_min": 1.0, "peer_ms_min": 2.0, "rounds": 3}
    write_json(
        tmp_path / "performance.json",
        {"machine": {}, "limits": {}, "others": {}, "comparisons": {"a against numpy 2": entry}},
    )
    made([folder], performance=tmp_path / "performance.json")
    html = index.write_index([folder], folder.parents[1] / "index.html", "laptop").read_text()
    for words in (
        "least RMSE on these same test simulations",
        "the benchmark's own, else the start held still, or the mean where there is no time",
        "mean over frames and simulations of the root mean square distance",
        "both in one run on one core; what is equal stands beside it",
    ):
        assert words in unescape(html), words
    assert "the same work" not in html


def test_methods_of_transport_say_whether_they_hold_a_network(tmp_path: Path) -> None:
    source = xr.Dataset(
        coords={"time": [0.0, 1.0], "x": [0.0, 1.0], "y": [0.0, 1.0]},
        attrs={"dx": 1.0, "dt": 0.1, "save_every": 1, "digest": "0"},
    )
    methods = [scoring.Estimates("net", []), scoring.Estimates("direct", [], role="solver")]
    scoring.write_fields(tmp_path / "fields.zarr", source, [], methods, 2, Clock(), {})
    assert xr.open_zarr(tmp_path / "fields.zarr").model.attrs["flag_roles"] == "network solver"


def test_the_network_that_is_not_trained_further_is_none_of_the_trainings(tmp_path: Path) -> None:
    axis = np.arange(2.0)
    names = ("equation", "scheme", "stencil", "eps", "dx", "interval", "references", "digest")
    source = xr.Dataset(coords={"time": axis, "x": axis, "y": axis}, attrs=dict.fromkeys(names, "1"))
    job: Any = SimpleNamespace(medium=SimpleNamespace(factor=1), model_dump=dict)
    truths = {stage: np.zeros((0, 2, 2, 2, 2)) for stage in transfer.TARGETS}
    transfer._write_fields(tmp_path / "fields.zarr", source, job, truths, {}, Clock())
    kinds = xr.open_zarr(tmp_path / "fields.zarr").kind.attrs
    roles = dict(zip(kinds["flag_meanings"].split(), kinds["flag_roles"].split(), strict=True))
    assert roles == {"shipped": "check", "before": "network", "scratch": "network", "transfer": "network"}
