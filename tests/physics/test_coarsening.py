"""Long evolutions: the lamella at the end, resumable data, and how roll-outs are judged and recorded."""

import json
import math
import signal
import subprocess
import sys

import numpy as np
import pytest

from phasemill.core import recorded, store
from phasemill.core.errors import InputError
from phasemill.core.files import read_json, write_json
from phasemill.core.model_files import save_model
from phasemill.report import claims
from phasemill.spinodal.config.data import Medium as GridMedium
from phasemill.spinodal.config.long import CoarseningJob, EnsembleJob, EnsembleTruthJob, LongJob
from phasemill.spinodal.datasets import long as long_dataset
from phasemill.spinodal.evaluate.coarse_energy import interface_energies, lamella_energy, refined_energies
from phasemill.spinodal.evaluate.courses import follow, judge, roll, texture, waviness
from phasemill.spinodal.evaluate.ensemble import compare, ensemble
from phasemill.spinodal.evaluate.long import long
from phasemill.spinodal.evaluate.long_claims import ALL, BLOWN, judged, values_of
from phasemill.spinodal.evaluate.long_numbers import run_numbers, time_average, time_median
from phasemill.spinodal.evaluate.long_references import DECIMATED, TIGHTER
from phasemill.spinodal.library import Surrogate, load_model
from phasemill.spinodal.physics import Medium, free_energy, lattice_interface_energy
from tests.conftest import ROOT
from tests.mixtures import MEDIUM, card, small_network

pytestmark = pytest.mark.physics

SCALING = {"windows": [{"low": 2.0, "high": 20.0}, {"low": 1e3, "high": 1e4}], "resamples": 200}
MIXTURES = {
    "mean": 0.5, "mean_deviation": 0.1, "mean_range": {"low": 0.4, "high": 0.6}, "deviation": {"low": 0.1, "high": 0.2},
    "lattice": [8, 12], "octaves": 2,
}  # fmt: skip
WIDE = {"size": 16, "simulations": 2, "until": 50.0, "frames": 12, "tolerance": 1e-3}


def coarsening_job(**changes):
    data = {**WIDE, "mean": 0.5, "deviation": 0.15, "lattice": 8, **changes}
    return CoarseningJob.model_validate({"seed": 20260313, "medium": MEDIUM, "coarsening": data})


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("truth") / "spinodal_coarsening.zarr"
    long_dataset.coarsening(coarsening_job(), path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A recurrent network that hardly moves anything, with the card of a trained one."""
    network = small_network()
    network.to_flux[-1].weight.mul_(0.02)
    network.to_flux[-1].bias.zero_()
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(path, network, card(mean_range=[0.4, 0.6]))
    return path


# ---- energy on the network's grid


@pytest.mark.parametrize("size", [16, 32])
def test_lamella_energy_is_that_of_two_lattice_interfaces(size):
    assert lamella_energy(size, Medium()) == pytest.approx(2 * lattice_interface_energy() * size**2, rel=1e-5)


def test_energy_on_a_coarse_grid_depends_on_the_place_of_an_interface():
    found = interface_energies(Medium(), 2)
    low, high = found["solver's grid"]
    assert (low, high) == pytest.approx((0.9615, 0.9776), abs=1e-4)
    spread = {grid: high / low - 1 for grid, (low, high) in found.items()}
    assert spread["network's grid"] > 0.5
    assert spread["network's grid, Fourier up-sampled"] < 0.04
    # relaxed on the solver's grid an interface is sharper than tanh, and up-sampling rings more
    low, high = found["network's grid, Fourier up-sampled"]
    assert low < lamella_energy(32, Medium(), 2) / (2 * 32**2) < 1.02 * high


def test_refined_energy_of_a_smooth_field_is_its_energy():
    x = 2 * np.pi * np.arange(16) / 16
    phi = 0.5 + 0.1 * np.sin(x)[:, None, None] * np.cos(x)[None, :, None] * np.ones(16)
    fine = free_energy(phi, 3.0, 1.0)
    assert refined_energies(phi[None, ::2, ::2, ::2], Medium(), 2)[0] == pytest.approx(fine, rel=1e-12)


# ---- data


def test_perlin_noise_ends_in_the_flat_lamella(truth):
    data = store.open_dataset(truth)
    flat = 2 * lattice_interface_energy() * 16**2
    np.testing.assert_allclose(data["energy"][:, -1], flat, rtol=1e-5)
    assert (data["lamella"][:, -1] >= 0).all()
    assert (data["lamella"][:, 0] == long_dataset.NO_AXIS).all()
    assert (data["percolation"][:, -1].sum("axis") == 2).all()
    assert (data["euler"][:, -1] == 0).all()
    assert (data["components"][:, -1] == 1).all()
    assert (np.diff(data["energy"], axis=1) <= 0).all()
    np.testing.assert_allclose(data["mean"], 0.5, atol=1e-13)
    assert (np.diff(data["evaluations"], axis=1) > 0).all()


def test_killed_run_goes_on_bit_equal_and_cleans_up(truth, tmp_path):
    """kill -9 of the job while its eighth frame is half-written."""
    output, folder = tmp_path / "again.zarr", tmp_path / "again_frames"
    program = f"""
import os, signal
from pathlib import Path
from phasemill.spinodal.datasets import long as long_dataset
from phasemill.spinodal.config.long import CoarseningJob
rename = os.replace
def kill_or_rename(old, new):
    os.kill(os.getpid(), signal.SIGKILL) if Path(new).name == "frame-00007.npz" else rename(old, new)
os.replace = kill_or_rename
long_dataset.coarsening(CoarseningJob.model_validate_json({coarsening_job().model_dump_json()!r}), Path({str(output)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(ROOT / "src")})
    assert done.returncode == -signal.SIGKILL
    assert not output.exists()
    assert len(list(folder.glob("*/frame-*.npz"))) == 7
    assert len(list(folder.glob("*/.frame-00007.npz.*.partial"))) == 1
    evaluations = long_dataset.evaluations_in(folder)
    long_dataset.coarsening(coarsening_job(), output)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["again.json", "again.zarr"]
    a, b = store.open_dataset(truth), store.open_dataset(output)
    for name in a.data_vars:
        np.testing.assert_array_equal(a[name], b[name], err_msg=str(name))
    assert store.provenance(b)["evaluations_found"] == evaluations > 0


def test_ensemble_members_do_not_depend_on_their_number(tmp_path):
    for count in (3, 4):
        data = {**WIDE, "simulations": count, "until": 4.0, "frames": 4}
        job = EnsembleTruthJob.model_validate(
            {"seed": 1, "medium": MEDIUM, "mixtures": MIXTURES, "ensemble_truth": data}
        )
        (tmp_path / str(count)).mkdir()
        long_dataset.ensemble(job, tmp_path / str(count) / "spinodal_ensemble_truth.zarr")
    few, many = (store.open_dataset(tmp_path / str(n) / "spinodal_ensemble_truth.zarr") for n in (3, 4))
    np.testing.assert_array_equal(few["phi"], many["phi"][:3])
    np.testing.assert_allclose(few["mean"][:, -1], few["mean_drawn"], atol=1e-12)
    assert len(np.unique(few["mean_drawn"])) == 3


# ---- judging roll-outs


GRID = GridMedium.model_validate(MEDIUM)
SLICES = [
    {"model": name, "around": around, "mse": mse, "mse_still": 0.1}
    for name, mse in (("oracle", None), (DECIMATED, 0.01)) for around in ("mixture", "phases")
]  # fmt: skip


def oracle(path, step=None):
    """The network's card with another step."""
    model = load_model(path)
    return Surrogate("oracle", model.card, model.network, step or (lambda phi, state: (phi, state)))


def test_perfect_roll_out_has_no_error_but_the_floors(truth):
    data = store.open_dataset(truth)
    decimated = data["phi"][0].values[:, ::2, ::2, ::2]
    course = judge("oracle", 0, data["time"].values, data["phi"][0], decimated, GRID)
    for name in ("rmse", "energy_error", "energy_fourier_error", "displacement"):
        assert course.curves[name].max() == 0
    for name in ("rmse_nearest", "rmse_fourier", "displacement_nearest", "displacement_fourier"):
        np.testing.assert_array_equal(course.curves[name], course.curves[f"{name}_floor"])
    # phase-separated fields: the floor of nearest up-sampling stays, Fourier's is far lower
    assert (course.curves["rmse_nearest_floor"][3:7] > 0.13).all()
    assert (course.curves["rmse_fourier_floor"] < 0.08).all()
    np.testing.assert_array_equal(course.curves["euler"], course.curves["euler_truth"])


def test_standing_still_scores_as_standing_still(truth, weights):
    data = store.open_dataset(truth)
    (course,) = follow(oracle(weights), data, [1], GRID)
    np.testing.assert_allclose(course.curves["rmse"], course.curves["rmse_still"], atol=1e-7)
    assert course.curves["drift"].max() < 1e-12
    assert time_average(course) > 0.5 * course.curves["mse"][-1]


def test_texture_is_that_within_the_phases_alone():
    x = np.arange(32)
    slab = np.where((x >= 8) & (x < 24), 1.0, 0.0)[:, None, None] * np.ones((32, 32, 32))
    slab[7] = slab[24] = 0.3  # interfaces do not count
    slab[8] = slab[23] = 0.7
    assert texture(slab) == 0
    alternating = 0.03 * (-1.0) ** np.indices(slab.shape).sum(axis=0)
    assert texture(slab + alternating) == pytest.approx(0.03, rel=1e-6)
    assert math.isnan(texture(0.5 + alternating))


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_waviness_is_the_distance_from_flat_layers(shift):
    """A lamella whose interfaces undulate in parallel, by `shift` in the root mean square."""
    x, y = np.arange(32)[:, None, None] + 0.5, np.arange(32)[None, :, None]
    moved = shift * np.sqrt(2) * np.sin(2 * np.pi * y / 32)
    # wide enough for the grid to see its slope
    lamella = np.broadcast_to(1 / (1 + np.exp(-(8 - np.abs(x + moved - 16)) / 1.5)), (32, 32, 4))
    for axis in range(3):
        found = waviness(np.moveaxis(lamella, 0, axis), 1.0)
        assert found == pytest.approx(shift, rel=0.05, abs=1e-12)
    assert waviness(lamella, 2.0) == pytest.approx(2 * waviness(lamella, 1.0))


def test_median_over_time_does_not_count_the_stored_times():
    times = np.concatenate([[0.0], np.geomspace(1, 1000, 31)])
    values = np.where(times < 500, 1.0, 3.0)  # few stored times, and more than half of the run
    assert np.median(values) == 1
    assert time_median(times, values) == 3
    assert time_median(times, times) == pytest.approx(500, rel=0.2)


def test_frames_are_those_of_their_steps(weights):
    starts, marks = np.full((2, 4, 4, 4), 0.5, np.float32), np.array([0, 1, 4, 9])
    frames = roll(oracle(weights, lambda phi, state: (phi + 0.01, state)), starts, marks)
    np.testing.assert_allclose(frames[1, :, 0, 0, 0], 0.5 + 0.01 * marks, atol=1e-6)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_roll_out_that_blows_up_is_scored_as_such(truth, weights, tmp_path):
    data = store.open_dataset(truth)
    (course,) = follow(oracle(weights, lambda phi, state: (phi * 1e30, state)), data, [0], GRID)
    assert not math.isfinite(course.curves["mse"][-1])
    assert course.curves["components"][-1] == 0
    # its error is none that a claim could miss: beyond every bound, not "not testable"
    numbers = run_numbers(course, 1.0)
    claimed = values_of("oracle", [numbers, {**numbers, "model": DECIMATED}], SLICES, [])
    for name in ("energy_error", "bounds", "lamella_energy", "lamella_flat", "topology", "exponent_gap", "slice"):
        assert claimed[f"spinodal.long.{name}"] == BLOWN
    assert claimed["spinodal.long.lamella_time"] == claimed["spinodal.long.lamella_stays"] == 0


@pytest.fixture(scope="module")
def evaluated(truth, weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated")
    job = LongJob.model_validate(
        {
            "seed": 3, "medium": MEDIUM, "scaling": SCALING,
            "long": {"models": [str(weights)], "rollouts": 2, "slice_steps": 6},
        }
    )  # fmt: skip
    return folder, long(job, truth, folder)


def test_evaluation_answers_all_its_claims(evaluated, truth):
    folder, page = evaluated
    wanted = {name for name in claims.load().claims if name.startswith("spinodal.long.")}
    assert set(page["claims"]) == wanted
    assert page["metrics"]["runs"][0]["drift"] < 1e-6
    assert [run["model"] for run in page["metrics"]["runs"]] == [
        "small",
        "small",
        DECIMATED,
        DECIMATED,
        TIGHTER,
        TIGHTER,
    ]
    assert {one["around"] for one in page["metrics"]["slice"]} == {"mixture", "phases"}
    assert page["metrics"]["ends"][0]["energy_over_lamella"] == pytest.approx(1, abs=1e-5)
    assert f"Judged on small. Beside it: {DECIMATED} " in page["claim_notes"]["spinodal.long.energy_error"]
    assert {tuple(fit["window"]) for fit in page["metrics"]["exponents"]} == {(2.0, 20.0)}  # the other is not covered
    json.dumps(page, allow_nan=False)
    fields = store.open_dataset(folder / "fields.zarr")
    np.testing.assert_array_equal(fields["truth"][1], store.open_dataset(truth)["phi"][1, :, ::2, ::2, ::2])


def test_solvers_in_the_place_of_the_network_follow_the_truth(evaluated):
    """In a box of 16^3 neither the lost cells nor the solver's tolerance changes where the evolution goes."""
    runs = {run["model"]: run for run in evaluated[1]["metrics"]["runs"] if run["box"] == 0}
    assert runs[TIGHTER]["rmse_peak"] < runs[DECIMATED]["rmse_peak"] < 0.01
    assert max(runs[name]["energy_error_max"] for name in (TIGHTER, DECIMATED)) < 2e-3
    assert runs[DECIMATED]["arrival"] == runs[TIGHTER]["arrival"] == runs["small"]["arrival_truth"]
    assert runs["small"]["rmse_peak"] > 0.1


def test_exponent_of_the_claim_is_the_last_before_the_lamella(evaluated):
    fits = [
        {"series": ALL, "quantity": "F", "window": [5.0, 50.0], "exponent": -0.2, "over_lamella": 4.0},
        {"series": ALL, "quantity": "F", "window": [50.0, 500.0], "exponent": -0.3, "over_lamella": 2.1},
        {"series": ALL, "quantity": "F", "window": [500.0, 5000.0], "exponent": -0.1, "over_lamella": 1.4},
    ]
    assert judged([], [], [], fits)[0]["spinodal.long.exponent"] == -0.3
    assert judged([], [], [], fits[2:])[0]["spinodal.long.exponent"] is None
    (found,) = [fit for fit in evaluated[1]["metrics"]["exponents"] if (fit["series"], fit["quantity"]) == (ALL, "F")]
    assert found["over_lamella"] == pytest.approx(1, abs=0.5)


def test_truth_alone_is_evaluated_without_networks(truth, tmp_path):
    settings = {"models": [], "rollouts": 1, "slice_steps": 6}
    job = LongJob.model_validate({"seed": 3, "medium": MEDIUM, "scaling": SCALING, "long": settings})
    page = long(job, truth, tmp_path)
    assert set(page["claims"]) == {name for name in claims.load().claims if name.startswith("spinodal.long.")}
    assert {value for name, value in page["claims"].items() if name != "spinodal.long.exponent"} == {None}
    assert "truth" in store.open_dataset(tmp_path / "fields.zarr")


def test_ensemble_evaluation(weights, tmp_path):
    data = {**WIDE, "simulations": 4, "until": 50.0, "frames": 8}
    truth = EnsembleTruthJob.model_validate({"seed": 1, "medium": MEDIUM, "mixtures": MIXTURES, "ensemble_truth": data})
    path = tmp_path / "spinodal_ensemble_truth.zarr"
    long_dataset.ensemble(truth, path)
    settings = {"models": [str(weights)], "members": 3}
    job = EnsembleJob.model_validate({"seed": 1, "medium": MEDIUM, "scaling": SCALING, "ensemble": settings})
    page = ensemble(job, path, tmp_path / "out")
    assert set(page["claims"]) == {name for name in claims.load().claims if name.startswith("spinodal.ensemble.")}
    assert page["claims"]["spinodal.ensemble.mean"] > 0.1  # this network hardly moves
    assert np.abs(page["metrics"]["difference"][DECIMATED]["mean"]).max() < 0.05
    json.dumps(page, allow_nan=False)


def test_ensemble_differences():
    truth = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = compare(truth, 1.1 * truth)
    for name in ("mean", "std", "member", "member_median"):
        np.testing.assert_allclose(found[name], 0.1)
    # swapped members: the statistics cannot tell, the members can
    swapped = compare(truth, truth[::-1])
    np.testing.assert_allclose(swapped["mean"], 0)
    np.testing.assert_allclose(swapped["std"], 0)
    assert (swapped["member"] > 0.4).all()


# ---- records


def test_record_keeps_numbers_and_is_shown_as_recorded(evaluated, tmp_path):
    _, page = evaluated
    content = {key: value for key, value in page.items() if key not in ("provenance", "claim_notes")}
    write_json(
        tmp_path / "metrics.json", {**content, "benchmark": "spinodal_long", "scale": "smoke", "wing": "spinodal"}
    )
    write_json(tmp_path / "provenance.json", [page["provenance"][0], page["provenance"][-1]])
    output = recorded.keep(tmp_path, tmp_path / "spinodal_long_16.json")
    assert read_json(output)["spec"]["evaluate"]["long"]["slice_steps"] == 6
    assert read_json(output)["spec"]["simulate"]["coarsening"]["size"] == 16
    records = recorded.load([output])
    tables = recorded.tables(records)
    assert all(table["title"].startswith("Recorded: ") for table in tables)
    assert "Recorded 20" in tables[0]["note"]
    assert len(recorded.tables(records, records[0]["tables"])) == 1  # what the page has itself is not said twice
    assert all(len(row) == len(table["columns"]) for table in tables for row in table["rows"])
    assert (
        f"{page['claims']['spinodal.long.energy_error']:.4g}"
        in recorded.claim_notes(records)["spinodal.long.energy_error"]
    )


def test_records_refuse_what_is_none(tmp_path):
    write_json(tmp_path / "spinodal_long_x.json", {"format": "something"})
    with pytest.raises(InputError, match="no record"):
        recorded.load([tmp_path / "spinodal_long_x.json"])
    write_json(tmp_path / "metrics.json", {"benchmark": "spinodal_long", "tables": []})
    write_json(tmp_path / "provenance.json", [])
    with pytest.raises(InputError, match="name it spinodal_long_"):
        recorded.keep(tmp_path, tmp_path / "other.json")
