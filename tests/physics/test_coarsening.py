"""Long evolutions: scaling laws, the lamella at the end, resumable data, and how roll-outs are judged and recorded."""

import json
import math

import numpy as np
import pytest
import torch

from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.core.files import read_json, write_json
from phasemill.core.seeds import branch
from phasemill.core.weights import save_model
from phasemill.report import claims
from phasemill.spinodal import long_dataset, recorded
from phasemill.spinodal.config.long import CoarseningJob, EnsembleJob, EnsembleTruthJob, LongJob
from phasemill.spinodal.evaluate.coarse_energy import interface_energies, lamella_energy, refined_energies
from phasemill.spinodal.evaluate.courses import follow, judge, roll, texture
from phasemill.spinodal.evaluate.ensemble import compare, ensemble
from phasemill.spinodal.evaluate.long import long
from phasemill.spinodal.evaluate.long_numbers import time_average
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.library import Surrogate, load_model
from phasemill.spinodal.network import ConvGRU
from phasemill.spinodal.physics import Medium, free_energy, lattice_interface_energy
from phasemill.spinodal.resume import resumable
from phasemill.spinodal.scaling import collapse, exponent, scaled
from phasemill.spinodal.solver import geometric_times

pytestmark = pytest.mark.physics

MEDIUM = {"eps": 3.0, "mobility": 1.0, "dx": 1.0, "interval": 0.5, "factor": 2}
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
    torch.manual_seed(0)
    network = ConvGRU("features", "central", 4)
    with torch.no_grad():
        network.to_flux[-1].weight.mul_(0.02)
        network.to_flux[-1].bias.zero_()
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    card = {
        "kind": "recurrent", "interval": 0.5, "network": {"inputs": "features", "output": "central", "channels": 4},
        "medium": MEDIUM, "downscale": "nearest", "box": 16, "mean_range": [0.4, 0.6], "provenance": {"stage": "none"},
    }  # fmt: skip
    save_model(path, network, card)
    return path


# ---- scaling


@pytest.mark.parametrize("members", [1, 8])
@pytest.mark.parametrize("slope", [-1 / 3, -0.44])
def test_exponent_of_a_noisy_power_law_lies_in_its_interval(members, slope):
    rng = np.random.default_rng(1)
    times = np.geomspace(1, 1000, 40)
    values = times**slope * np.exp(0.02 * rng.standard_normal((members, 40)))
    found = exponent(times, values, (5, 500), rng, 1000)
    assert found.low < slope < found.high
    assert abs(found.value - slope) < 0.01
    assert found.high - found.low < 0.03


def test_exponent_of_an_exact_power_law_has_no_width():
    times = np.geomspace(1, 1000, 40)
    found = exponent(times, times[None] ** -0.25, (5, 500), np.random.default_rng(0), 100)
    assert found.value == pytest.approx(-0.25, abs=1e-12)
    assert found.high - found.low < 1e-12


@pytest.mark.parametrize(
    ("window", "values"),
    [
        ((5, 5000), 1.0),  # not covered
        ((0.1, 500), 1.0),
        ((500, 600), 1.0),  # too few times
        ((5, 500), -1.0),  # no logarithm
    ],
)
def test_exponent_is_none_where_it_cannot_be_fitted(window, values):
    times = np.geomspace(1, 1000, 40)
    assert exponent(times, np.full((3, 40), values), window, np.random.default_rng(0), 100) is None


def self_similar(k, length, bent=0.0):
    """L^3 s(k L) with s(x) = x^2 exp(-x^2 / 2), bent by a term that does not scale."""
    x = k * length
    return length**3 * x**2 * np.exp(-(x**2) / 2) * (1 + bent * length * np.exp(-(x**2)))


def test_structure_factors_of_one_shape_collapse_and_others_do_not():
    k = 2 * np.pi / 512 * np.arange(1, 257)
    lengths = np.array([8.0, 11.0, 16.0])
    assert collapse(k, np.array([self_similar(k, length) for length in lengths])) < 5e-3
    assert collapse(k, np.array([self_similar(k, length, 0.05) for length in lengths])) > 0.015


def test_scaled_structure_factor_is_normalised():
    k = 2 * np.pi / 64 * np.arange(1, 33)
    x, s = scaled(k, self_similar(k, 10.0))
    assert np.sum(x**2 * s) * (x[1] - x[0]) == pytest.approx(1, rel=1e-12)
    assert np.sum(x * s) == pytest.approx(np.sum(s), rel=1e-12)


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


def test_interrupted_run_goes_on_bit_equal_and_cleans_up(truth, tmp_path):
    output = tmp_path / "again.zarr"
    folder = tmp_path / "again_frames"
    times = geometric_times(WIDE["until"], WIDE["frames"], 0.5)
    rng = np.random.default_rng(branch(20260313, "spinodal_coarsening", 1)[0])
    run = resumable(
        perlin_mixture(rng, (16,) * 3, mean=0.5, deviation=0.15, lattice=8),
        times,
        folder,
        medium=Medium(),
        tolerance=1e-3,
    )
    evaluations = [next(run)[1] for _ in range(7)][-1]
    run.close()  # as a kill would, between two frames
    long_dataset.coarsening(coarsening_job(), output)
    assert not folder.exists()
    a, b = store.open_dataset(truth), store.open_dataset(output)
    for name in a.data_vars:
        np.testing.assert_array_equal(a[name], b[name], err_msg=str(name))
    assert store.provenance(b)["evaluations_found"] == evaluations


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


def oracle(path, step=None):
    """The network's card with another step."""
    model = load_model(path)
    return Surrogate("oracle", model.card, model.network, step or (lambda phi, state: (phi, state)))


def test_perfect_roll_out_has_no_error_but_the_floors(truth, weights):
    data = store.open_dataset(truth)
    model = oracle(weights)
    course = judge(model, 0, data["time"].values, data["phi"][0], data["phi"][0].values[:, ::2, ::2, ::2])
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
    (course,) = follow(oracle(weights), data, [1])
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


def test_frames_are_those_of_their_steps(weights):
    starts, marks = np.full((2, 4, 4, 4), 0.5, np.float32), np.array([0, 1, 4, 9])
    frames = roll(oracle(weights, lambda phi, state: (phi + 0.01, state)), starts, marks)
    np.testing.assert_allclose(frames[1, :, 0, 0, 0], 0.5 + 0.01 * marks, atol=1e-6)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_roll_out_that_blows_up_is_scored_as_such(truth, weights, tmp_path):
    data = store.open_dataset(truth)
    (course,) = follow(oracle(weights, lambda phi, state: (phi * 1e30, state)), data, [0])
    assert not math.isfinite(course.curves["mse"][-1])
    assert course.curves["components"][-1] == 0


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
    assert len(page["metrics"]["runs"]) == 2
    assert page["metrics"]["ends"][0]["energy_over_lamella"] == pytest.approx(1, abs=1e-5)
    assert {tuple(fit["window"]) for fit in page["metrics"]["exponents"]} == {(2.0, 20.0)}  # the other is not covered
    json.dumps(page, allow_nan=False)
    fields = store.open_dataset(folder / "fields.zarr")
    np.testing.assert_array_equal(fields["truth"][1], store.open_dataset(truth)["phi"][1, :, ::2, ::2, ::2])


def test_truth_alone_is_evaluated_without_networks(truth, tmp_path):
    settings = {"models": [], "rollouts": 1, "slice_steps": 6}
    job = LongJob.model_validate({"seed": 3, "medium": MEDIUM, "scaling": SCALING, "long": settings})
    page = long(job, truth, tmp_path)
    assert {name for name, value in page["claims"].items() if value is not None} == {"spinodal.long.exponent"}
    assert "truth" in store.open_dataset(tmp_path / "fields.zarr")


def test_ensemble_evaluation(weights, tmp_path):
    data = {**WIDE, "simulations": 4, "until": 50.0, "frames": 8}
    truth = EnsembleTruthJob.model_validate({"seed": 1, "medium": MEDIUM, "mixtures": MIXTURES, "ensemble_truth": data})
    path = tmp_path / "spinodal_ensemble_truth.zarr"
    long_dataset.ensemble(truth, path)
    settings = {"model": str(weights), "members": 3}
    job = EnsembleJob.model_validate({"seed": 1, "medium": MEDIUM, "scaling": SCALING, "ensemble": settings})
    page = ensemble(job, path, tmp_path / "out")
    assert set(page["claims"]) == {name for name in claims.load().claims if name.startswith("spinodal.ensemble.")}
    assert page["claims"]["spinodal.ensemble.mean"] > 0.1  # this network hardly moves
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
