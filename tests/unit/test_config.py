"""The configuration: what is accepted, what is refused and in which words."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from phasemill import config
from tests.conftest import ROOT


def change(raw: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *parents, last = path.split(".")
    block = raw
    for key in parents:
        block = block[key]
    block[last] = value
    return raw


def test_the_shipped_configuration_is_valid_at_every_scale(raw):
    for scale in config.SCALES:
        assert config.load({**raw, "scale": scale}).scale == scale


@pytest.mark.parametrize("scale", config.SCALES)
def test_a_scale_file_holds_its_scale_alone(scale):
    assert yaml.safe_load((ROOT / "config" / f"{scale}.yaml").read_text()) == {"scale": scale}


@pytest.mark.parametrize("wing", config.WINGS)
def test_the_numbers_of_a_wing_stand_in_a_file_of_its_own(wing):
    """Its common block, and in each scale its own block and the minutes of its own benchmarks."""
    content = yaml.safe_load((ROOT / "config" / f"{wing}.yaml").read_text())
    assert set(content) <= {wing, "scales"}
    assert tuple(content["scales"]) == config.SCALES
    for block in content["scales"].values():
        assert set(block) <= {wing, "minutes"}
        assert set(block["minutes"]) == set(config.TARGETS[wing])


def test_a_name_means_one_thing():
    """Jobs are known by their names alone, and targets, wings and data sets are named beside each other."""
    jobs = [name for wing in config.WINGS.values() for name in wing.jobs]
    targets = [*config.BENCHMARKS, *config.WINGS, "truth", "models", "all", "index"]
    for names in (jobs, targets, ["config", "site", *config.SCALES, *config.WINGS]):
        assert len(set(names)) == len(names)


def test_a_file_of_your_own_lies_over_the_shipped_ones(tmp_path, raw):
    path = tmp_path / "mine.yaml"
    path.write_text("scale: smoke\ntransport: {data: {dx: 0.25}}\n")
    assert config.read_yaml(path) == change({**raw, "scale": "smoke"}, "transport.data.dx", 0.25)


def test_a_folder_of_your_own_stands_for_the_shipped_one(tmp_path, raw):
    for path in (ROOT / "config").glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text().replace("dt: 0.005", "dt: 0.004"))
    mine = config.read_yaml(tmp_path / "smoke.yaml")
    assert (mine["scale"], mine["transport"]["data"]["dt"]) == ("smoke", 0.004)
    assert config.read_yaml(tmp_path / "config.yaml") == {key: mine[key] for key in raw}


def test_the_default_scale_is_laptop(raw):
    assert "scale" not in raw
    assert config.load(raw).scale == "laptop"


def test_common_values_reach_every_scale_and_own_values_differ(raw):
    loaded = config.load(raw)
    assert {scale.transport.data.dx for scale in loaded.scales.values()} == {0.5}
    assert [loaded.scales[scale].transport.data.size for scale in config.SCALES] == [32, 64, 128]


def test_the_command_line_may_give_numbers_as_text(raw):
    assert config.load(change(raw, "transport.data.dx", "0.25")).scales["laptop"].transport.data.dx == 0.25


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("scale", "huge", "scale: Input should be 'smoke', 'laptop' or 'paper' (got 'huge')"),
        ("scal", "smoke", "scal: unknown key 'scal'; did you mean 'scale'?"),
        ("run", ["transport_zero_sht"], "run: unknown benchmark 'transport_zero_sht'; did you mean 'transport_zero_shot'?"),
        ("transport.data.dx", -2, "transport.data.dx: Input should be greater than 0 (got -2)"),
        ("transport.data.dx", "wide", "transport.data.dx: Input should be a valid number"),
        ("transport.data.dx", float("nan"), "transport.data.dx: Input should be"),
        ("transport.dta", {}, "transport.dta: unknown key 'dta'; did you mean 'data'?"),
        ("transport.data.kappa", {"low": 2, "high": 1}, "transport.data.kappa: low 2 is not below high 1"),
        ("transport.search.kappa", {"low": 0.2, "high": 2}, "transport: search.kappa 0.2 to 2 must enclose data.kappa 0.1 to 0.7"),
        ("scales.smoke.transport.data.sise", 3, "scales.smoke.transport.data.sise: unknown key 'sise'; did you mean 'size'?"),
        ("scales.paper.transport.data.dx", 1.0, "scales.paper.transport.data.dx: also given as transport.data.dx; keep one"),
        ("scales.paper.transport.data.steps", 77, "scales.paper.transport.data: steps 77 is not a multiple of save_every 50"),
        ("scales.laptop.transport.data.test", 60, "scales.laptop.transport.data: validation 6 + test 60 leave none of 50"),
        ("scales.laptop.transport.training.frames", 31, "scales.laptop.transport: training.frames 31 cannot be evenly"),
        ("scales.laptop.minutes", {}, f"scales.laptop.minutes: no run time for {', '.join(sorted(config.BENCHMARKS))}"),
        ("transport.substeps.counts", [1, 50], "transport.substeps: counts lacks [2, 5, 10, 25] of the paper's Table 3"),
        ("grains.recurrent.window", 51, "grains: recurrent.window 51 is longer than the 50 frames of shrink_64"),
        ("grains.recurrent.batch", 1, "grains.recurrent.batch: Input should be greater than or equal to 2 (got 1)"),
        ("scales.laptop.grains.gradnorm.attention", 24, "scales.laptop.grains: shrink_64.cells 64 must be a multiple of 8"),
        ("scales.laptop.grains.gradnorm.points", 4097, "scales.laptop.grains: gradnorm.points 4097 and intervals 2 must be"),
        ("scales.paper.grains.gradnorm.intervals", 51, "scales.paper.grains: gradnorm.points 4096 and intervals 51 must be"),
        ("run", [], "run: List should have at least 1 item"),
        ("run", [[1]], "run.0: Input should be a valid string"),
        ("scales", {}, "scales: missing scale 'smoke'"),
        ("scales", 7, "scales: must hold the three scales"),
        ("slurm", {"acount": "x"}, "slurm.acount: unknown key 'acount'; did you mean 'account'?"),
        ("seed", -1, "seed: Input should be greater than or equal to 0 (got -1)"),
    ],
)  # fmt: skip
def test_bad_values_are_named_with_their_place(raw, path, value, message):
    with pytest.raises(config.ConfigError, match=re.escape(message)):
        config.load(change(raw, path, value))


def test_all_problems_come_at_once_and_each_once(raw):
    change(raw, "transport.data.dx", -1)
    change(raw, "scales.smoke.transport.data.sise", 3)
    change(raw, "device", "tpu")
    with pytest.raises(config.ConfigError) as caught:
        config.load(raw)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("3 problems in the configuration")
    assert sorted(line.split(":")[0].strip() for line in lines[1:]) == [
        "device",
        "scales.smoke.transport.data.sise",
        "transport.data.dx",
    ]


def test_a_missing_value_is_named_at_every_scale_that_lacks_it(raw):
    del raw["scales"]["paper"]["transport"]["data"]["size"]
    with pytest.raises(config.ConfigError, match=r"scales\.paper\.transport\.data\.size: Field required"):
        config.load(raw)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slrm: {account: x}", "site.yaml: unknown key 'slrm'; did you mean 'slurm'?"),
        ("slurm: {}\nseed: 7", "site.yaml: unknown key 'seed'; known: slurm"),
        ("slurm: {account: [", "site.yaml is not valid YAML: while parsing"),
        ("just words", "site.yaml holds no keys"),
    ],
)
def test_bad_site_settings_are_named(tmp_path, text, message):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(config.InputError, match=re.escape(message)):
        config.read_site(path)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "slurm: {account: mine}"])
def test_site_settings_may_be_empty(tmp_path, raw, text):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    assert config.load({**config.read_site(path), **raw}).slurm.account == ("mine" if text.startswith("slurm") else "")


@pytest.mark.parametrize("job", config.JOBS)
def test_a_job_gets_exactly_what_it_uses(raw, job):
    model = config.JOBS[job]
    for scale in config.SCALES:
        text = config.load(raw).spec(job, scale)
        assert model.model_validate_json(text).model_dump_json() == text


def test_a_job_does_not_see_what_it_does_not_use(raw):
    before = config.load(raw).spec("voronoi_heat", "laptop")
    change(raw, "scales.laptop.transport.training.epochs", 3)
    assert config.load(raw).spec("voronoi_heat", "laptop") == before


@pytest.mark.parametrize(("attempt", "limit", "minutes"), [(1, None, 60), (3, None, 180), (3, 100, 100), (1, 20, 20)])
def test_run_time_grows_with_the_attempt_up_to_the_partition_limit(raw, attempt, limit, minutes):
    loaded = config.load({**raw, "slurm": {"max_minutes": limit}})
    assert loaded.minutes("transport_trained", "laptop", attempt) == minutes


def test_the_json_schema_is_up_to_date():
    stored = json.loads((ROOT / "config" / "schema.json").read_text())
    assert stored == config.schema(), "run `make schema`"


def test_an_unknown_scale_is_named_with_the_nearest_one(raw):
    raw["scales"]["smokey"] = raw["scales"]["smoke"]
    with pytest.raises(config.ConfigError, match=r"  scales\.smokey: unknown scale 'smokey'; did you mean 'smoke'\?"):
        config.load(raw)
