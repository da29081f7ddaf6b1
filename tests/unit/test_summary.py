"""The summary of a scale: numbers from the stores of any wing, shown as they are on `index.html`."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from phasemill.core import store
from phasemill.core.durations import duration
from phasemill.core.errors import InputError
from phasemill.core.files import read_json, write_json
from phasemill.report import index, summary_fields
from phasemill.report.page import short
from phasemill.report.summary import summarise
from tests.unit import predictions
from tests.unit.predictions import MODELS, coordinates, variables, write_benchmark, write_store


def made(folders: list[Path], **options: Any) -> dict[str, Any]:
    """summary.json of these folders."""
    output = folders[0].parents[1] / "summary.json"
    return dict(read_json(summarise(folders, output, folders[0].parts[-3], **options)))


def page(folders: list[Path]) -> str:
    """The text of their index.html."""
    made(folders)
    target = folders[0].parents[1] / "index.html"
    return index.write_index(folders, target, folders[0].parts[-3]).read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_benchmark(tmp_path / "results" / "laptop" / "transport" / "plain")


def opened(path: Path, held: dict[str, Any], coords: xr.Dataset | None = None, **attrs: Any) -> xr.Dataset:
    """A store of these variables alone, as the summary reads it."""
    write_store(path / "fields.zarr", held, coordinates() if coords is None else coords, **attrs)
    return summary_fields.open_fields(path)


def test_errors_are_those_of_the_store_and_the_best_network_stands_for_them(folder: Path) -> None:
    entry = made([folder])["benchmarks"][0]
    assert entry["model"] == "large net"
    assert entry["trivial"] == pytest.approx(0.4)
    found = {error["name"]: error for error in entry["errors"]}
    assert {name: error["role"] for name, error in found.items()} == MODELS
    assert {name: error["rmse"] for name, error in found.items()} == pytest.approx(predictions.RMSE)
    assert found["large net"]["ratio"] == pytest.approx(0.25)
    assert found["large net"]["displacement"] == pytest.approx(0.3)


def test_the_energy_is_compared_in_units_of_its_first_value(folder: Path) -> None:
    energy = made([folder])["benchmarks"][0]["courses"]["energy"]
    assert energy["model"] == "large net"
    assert energy["final"] == pytest.approx(0.2 * 0.4)
    assert (energy["rise"], energy["truth_rise"]) == (0.0, 0.0)


def test_a_rise_of_the_energy_is_the_largest_of_any_simulation(tmp_path: Path) -> None:
    held = {name: variables()[name] for name in ("energy", "energy_truth")}
    held["energy"][1][1, 3, 2] = 1.9  # of 2.0 at the start, after 1.6
    course = summary_fields.course(opened(tmp_path, held), ("energy",))
    assert course is not None
    _, models = course.normalised()
    assert np.nanmax(np.diff(models[3])) == pytest.approx(0.3 / 2)


def test_coefficients_have_the_median_and_the_worst_error_of_each_method(folder: Path) -> None:
    (kappa,) = made([folder])["benchmarks"][0]["coefficients"]
    assert (kappa["symbol"], kappa["videos"]) == ("kappa", 2)
    methods = {method["name"]: method for method in kappa["methods"]}
    assert methods["small net"]["median"] == pytest.approx((0.05 + 0.1) / 2)
    assert methods["large net"]["worst"] == pytest.approx(0.01)


def test_the_page_shows_the_numbers_of_the_summary(folder: Path) -> None:
    text = re.sub(r"<[^>]*>", " ", page([folder]))
    path = folder.parents[1] / "summary.json"
    content = read_json(path)
    assert re.search(r"Benchmark plain\s+large net\s+0\.1\s+0\.4\s+0\.25\s+0\.3\s", text)
    assert re.search(r"large net:\s+\+8\u00a0%\s+at the end; largest rise none", text)
    error = next(error for error in content["benchmarks"][0]["errors"] if error["name"] == "large net")
    error |= {"rmse": 0.123, "ratio": 0.456, "displacement": 0.789}
    content["benchmarks"][0]["trivial"] = 0.321
    content["benchmarks"][0]["courses"]["energy"] |= {"final": -0.0654, "rise": 0.0321, "truth_rise": 0.0012}
    content["benchmarks"][0]["coefficients"][0]["methods"][3] |= {"median": 0.00123, "worst": 0.00456}
    content["run"] |= {"seconds": 7200.0, "stages": 77}
    write_json(path, content)
    text = index.write_index([folder], folder.parents[1] / "index.html", "laptop").read_text()
    text = re.sub(r"<[^>]*>", " ", text)
    assert re.search(r"Benchmark plain\s+large net\s+0\.12\s+0\.32\s+0\.46\s+0\.79\s", text)
    assert re.search(
        r"large net:\s+\u22126\.5\u00a0%\s+at the end; largest rise\s+3\.2\u00a0%\s+\(truth 0\.12\u00a0%\)", text
    )
    assert re.search(r"large net: off by\s+0\.12\u00a0%\s+\(worst of 2 videos: 0\.46\u00a0%\)", text)
    assert re.search(r"2\u00a0h\s+in 77 stages", text)


def test_a_wing_that_nobody_knows_appears_by_itself(folder: Path) -> None:
    fifth = write_benchmark(folder.parents[1] / "dendrites" / "needles", model="needle network")
    html = page([folder, fifth])
    picture = made([folder, fifth])["pictures"][1]
    assert (picture["wing"], picture["model"], picture["time"]) == ("dendrites", "large net", 2.0)
    assert "in 2 wings" in html
    assert html.count('href="dendrites/needles/report.html"') >= 5  # picture, three panels, errors, list
    for section in ("energy", "size", "errors", "coefficients", "claims", "benchmarks"):
        assert "needles" in html.split(f'id="{section}"')[1].split("</section>")[0], section


def test_a_benchmark_without_energy_is_left_out_of_that_section_alone(folder: Path) -> None:
    bare = write_benchmark(folder.with_name("bare"), without=("energy", "energy_truth", "interface_displacement"))
    html = page([folder, bare])
    assert "Benchmark bare" not in html.split('id="energy"')[1].split("</section>")[0]
    assert "Benchmark bare" in html.split('id="size"')[1].split("</section>")[0]
    alone = page([bare])
    assert 'id="energy"' not in alone
    assert 'href="#energy"' not in alone


def test_a_store_that_shares_no_word_is_only_listed(folder: Path) -> None:
    coords = coordinates()
    held = {"map": (("sim", "x", "y"), np.zeros((2, predictions.CELLS, predictions.CELLS)))}
    write_store(folder / "fields.zarr", held, coords)
    entry = made([folder])["benchmarks"][0]
    assert (entry["model"], entry["errors"], entry["courses"], entry["coefficients"]) == ("", [], {}, [])
    assert "Benchmark plain" in page([folder])


def test_without_a_stored_error_it_is_that_of_the_fields_beside_standing_still(tmp_path: Path) -> None:
    held = {name: variables()[name] for name in ("truth", "prediction")}
    dataset = opened(tmp_path, held)
    found = summary_fields.errors(dataset)
    assert found is not None
    np.testing.assert_allclose(found.values, 0.1)
    still = summary_fields.rms(summary_fields.standing_still(dataset, len(predictions.TIMES)))
    truth = held["truth"][1]
    assert still == pytest.approx(np.sqrt(np.mean((truth - truth[:, :1]) ** 2)))
    assert summary_fields.standing_still(dataset, 99) is None


def test_a_video_that_runs_backwards_is_compared_forwards(tmp_path: Path) -> None:
    held = variables()
    for name in ("energy", "energy_truth", "truth"):
        dims, values = held[name]
        values[1] = np.flip(values[1], dims.index("time") - 1)
    coords = coordinates().assign_coords(direction=("sim", np.array([1, -1], np.int8)))
    dataset = opened(tmp_path, {name: held[name] for name in ("energy", "energy_truth", "truth")}, coords)
    course = summary_fields.course(dataset, ("energy",))
    assert course is not None
    truth, _ = course.normalised()
    np.testing.assert_allclose(truth[0], predictions.ENERGY / predictions.ENERGY[:, :1])
    forwards = predictions.truth()
    expected = np.sqrt(np.mean((forwards - forwards[:, :1]) ** 2))
    still = summary_fields.standing_still(dataset, len(predictions.TIMES))
    assert summary_fields.rms(still) == pytest.approx(expected)


def test_the_truth_may_be_one_of_a_series_and_a_model_one_of_the_simulations(tmp_path: Path) -> None:
    words = ("truth", "net")
    series = xr.Dataset(
        coords={"sim": [0], "time": predictions.TIMES, "series": store.flags(words, words, "series", "")}
    )
    energy = np.stack([predictions.ENERGY[0], 2 * predictions.ENERGY[0]])[None]
    one = summary_fields.course(
        opened(tmp_path / "a", {"energy": (("sim", "series", "time"), energy)}, series), ("energy",)
    )
    assert one is not None
    assert one.found.names == ("net",)
    np.testing.assert_allclose(one.truth[0, 0], predictions.ENERGY[0])
    runs = xr.Dataset(coords={"sim": [0, 1, 2], "time": predictions.TIMES})
    runs["model"] = store.flags(("a", "b", "a"), ("a", "b"), "sim", "")
    runs = runs.set_coords("model")
    values = np.array([1.0, 2.0, 3.0])[:, None] * np.ones(5)
    two = summary_fields.errors(opened(tmp_path / "b", {"rmse": (("sim", "time"), values)}, runs))
    assert two is not None
    assert two.names == ("a", "b")
    np.testing.assert_array_equal(two.values[..., 0], [[1, np.nan, 3], [np.nan, 2, np.nan]])


def test_only_test_simulations_count_and_a_first_frame_may_be_missing(tmp_path: Path) -> None:
    coords = coordinates()
    coords["split"] = store.flags(("train", "test"), ("train", "test"), "sim", "")
    held = {name: variables()[name] for name in ("energy", "energy_truth")}
    held["energy_truth"][1][1, 0] = np.nan
    course = summary_fields.course(opened(tmp_path, held, coords.set_coords("split")), ("energy",))
    assert course is not None
    truth, _ = course.normalised()
    np.testing.assert_allclose(truth[0], [[np.nan, 1.0, 0.75, 0.625, 0.5]])


def test_a_store_may_name_the_simulation_of_its_picture(folder: Path) -> None:
    before = made([folder])["pictures"][0]
    cover = write_benchmark(folder.with_name("cover"), cover=1)
    after = made([folder, cover])["pictures"]
    assert [picture["benchmark"] for picture in after] == ["cover"]
    assert before["benchmark"] == "plain"


def test_a_stage_counts_once_and_only_where_it_wrote_to_this_scale(folder: Path) -> None:
    other = write_benchmark(folder.with_name("other"))
    run = made([folder, other])["run"]
    assert (run["stages"], run["seconds"], run["cpu_seconds"]) == (3, 65.0, 40.0)
    assert run["finished"] == "2026-01-02T03:04+00:00"
    assert run["wings"] == [{"wing": "transport", "seconds": {"simulate": 5.0, "evaluate": 60.0}}]


def test_speeds_come_from_the_performance_file_the_largest_first(folder: Path, tmp_path: Path) -> None:
    entry = {"ratio": 2.0, "ours_ms_min": 1.0, "peer_ms_min": 2.0, "rounds": 3}
    file = {"machine": {}, "limits": {}, "others": {}}
    comparisons = {"a against numpy 2": entry, "b c against py-pde 0.5": entry | {"ratio": 40.5}}
    write_json(tmp_path / "performance.json", file | {"comparisons": comparisons})
    speeds = made([folder], performance=tmp_path / "performance.json")["speed"]
    assert [(speed["name"], speed["peer"], speed["ratio"]) for speed in speeds] == [
        ("b c", "py-pde 0.5", 40.5),
        ("a", "numpy 2", 2.0),
    ]


def test_a_summary_made_again_is_equal_and_leaves_no_old_figure(folder: Path) -> None:
    first = made([folder])
    (folder.parents[1] / "summary" / "old.svg").write_text("of a benchmark that is gone")
    assert made([folder]) == first
    listed = {
        item["file"] for entry in first["benchmarks"] for item in [*entry["courses"].values(), *entry["coefficients"]]
    }
    pictures = {file for picture in first["pictures"] for file in picture["files"].values()}
    assert {path.name for path in (folder.parents[1] / "summary").iterdir()} == listed | pictures


@pytest.mark.parametrize("name", ["metrics.json", "provenance.json", "fields.zarr", "fields.json"])
def test_a_missing_input_is_one_sentence(folder: Path, name: str) -> None:
    (folder / name).rename(folder / "elsewhere")
    with pytest.raises(InputError, match=rf"^\S+{re.escape(name.partition('.')[0])}.* snakemake -c all .*$"):
        made([folder])


@pytest.mark.parametrize("roles", ["network", "network network network king"])
def test_a_word_that_is_no_role_is_one_sentence(folder: Path, roles: str) -> None:
    write_benchmark(folder, coords=coordinates(roles))
    with pytest.raises(InputError, match="coordinate model: flag_roles needs one of network, model, solver"):
        made([folder])


def test_a_foreign_performance_file_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "performance.json", [1])
    with pytest.raises(InputError, match=r"performance\.json.*make bench"):
        made([folder], performance=tmp_path / "performance.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda scale: (scale / "summary.json").unlink(), r"summary\.json is missing; make it with: snakemake"),
        (lambda scale: (scale / "summary.json").write_text("{"), r"summary\.json is not valid JSON"),
        (
            lambda scale: write_json(scale / "summary.json", {}),
            r"summary\.json cannot be shown \(scale: Field required\)",
        ),
        (lambda scale: (scale / "summary/plain_energy.svg").unlink(), r"plain_energy\.svg cannot be shown"),
        (lambda scale: (scale / "summary/transport_truth.png").unlink(), r"transport_truth\.png cannot be shown"),
    ],
)
def test_a_broken_summary_is_one_sentence(folder: Path, damage: Any, message: str) -> None:
    page([folder])
    damage(folder.parents[1])
    with pytest.raises(InputError, match=message):
        index.write_index([folder], folder.parents[1] / "index.html", "laptop")


def test_rows_of_claims_can_be_told_apart_by_paper_and_verdict(folder: Path) -> None:
    html = unescape(page([folder]))
    rows = re.findall(r'<tr id="([^"]+)" data-paper="([^"]+)" data-verdict="([^"]+)">', html)
    assert [(row, verdict) for row, _, verdict in rows] == [
        ("transport.zero_shot.mae", "exceeded"),
        ("transport.zero_shot.stable_direction", "refuted"),
        ("transport.trained.mae", "not reproduced"),
    ]
    assert {paper for _, paper, _ in rows} <= set(re.findall(r'<option value="([^"]+)"', html))
    assert set(re.findall(r'data-verdict="([^"]+)">\w+ ?\w* <span>1<', html)) == {verdict for *_, verdict in rows}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.42\u00a0s"),
        (48.4, "48\u00a0s"),
        (754.0, "13\u00a0min"),
        (12600.0, "3.5\u00a0h"),
        (4.32e5, "5\u00a0d"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert index.duration(seconds) == duration(seconds) == text
    assert duration(seconds, gap="") == text.replace("\u00a0", "")


@pytest.mark.parametrize(
    ("label", "text"),
    [("A, B, C (2024)", "A et al. (2024)"), ("A, B (2023)", "A, B (2023)"), ("A (2026)", "A (2026)")],
)
def test_many_authors_become_the_first(label: str, text: str) -> None:
    assert short(label) == text
