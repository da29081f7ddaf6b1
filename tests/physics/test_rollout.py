"""Free roll-outs, their floors, the checks of the solver, and the three evaluations from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from phasemill.core.errors import InputError
from phasemill.core.model_files import save_model
from phasemill.report import claims
from phasemill.spinodal import library
from phasemill.spinodal.config.data import HeldOutJob, Medium
from phasemill.spinodal.config.rollout import LargeJob, RolloutJob, ShapesDataJob, ShapesJob, SizeJob
from phasemill.spinodal.datasets import extrapolation
from phasemill.spinodal.datasets import mixtures as dataset
from phasemill.spinodal.evaluate import floors, solver_checks
from phasemill.spinodal.evaluate.beyond import against_held_out
from phasemill.spinodal.evaluate.contest import Run, from_what_is_seen, gather
from phasemill.spinodal.evaluate.numbers import known
from phasemill.spinodal.evaluate.rollout import coarse_differences, rollout
from phasemill.spinodal.evaluate.shapes import shapes
from phasemill.spinodal.evaluate.size import cost_slope, size
from phasemill.spinodal.fused import Fused
from phasemill.spinodal.physics import lattice_interface_energy, profile
from phasemill.spinodal.rollout import exchange_averaged, predict_at, refine
from phasemill.spinodal.rollout import rollout as march
from phasemill.spinodal.solver import integrate
from tests.mixtures import MEDIUM, card, small_network

pytestmark = pytest.mark.physics


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def mixture(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.2, 0.8, shape)


@pytest.mark.parametrize("n", [8, 9])
@pytest.mark.parametrize("factor", [2, 3])
def test_refining_is_exact_without_aliasing(n: int, factor: int) -> None:
    x, y, z = np.meshgrid(*[2 * np.pi * np.arange(n * factor) / (n * factor)] * 3, indexing="ij")
    fine = 0.5 + 0.2 * np.cos(2 * x + y) * np.sin(3 * z) - 0.1 * np.sin(x - 2 * y + z)
    assert refine(fine[::factor, ::factor, ::factor], factor) == pytest.approx(fine, abs=1e-13)


def test_frames_at_marks_are_those_of_the_whole_roll_out() -> None:
    step, phi = Fused(small_network(), torch.float32), mixture(3, 8, 8, 8)
    every = list(march(step, phi, 6))
    found = predict_at(step, phi, [0, 2, 6], batch=2)
    assert found[:, 0] == pytest.approx(phi)
    assert found[:, 1] == pytest.approx(every[1], abs=1e-6)
    assert found[:, 2] == pytest.approx(every[5], abs=1e-5)


@pytest.mark.parametrize("output", ["central", "staggered"])
def test_roll_out_conserves_mass_over_many_steps(output: str) -> None:
    """Rounding in bfloat16 inside the network does not reach the mean."""
    phi = mixture(1, 8, 8, 8)
    *_, last = march(Fused(small_network(output)), phi, 200)
    assert last.mean(dtype=np.float64) == pytest.approx(phi.mean(), abs=2e-7)
    assert np.abs(last - phi).max() > 1e-3  # it moves


def test_averaging_over_the_exchange_of_phases_makes_the_step_symmetric() -> None:
    step, phi = exchange_averaged(Fused(small_network(), torch.float32)), mixture(2, 8, 8, 8)
    one, other = (predict_at(step, start, [3])[:, 0] for start in (phi, 1 - phi))
    assert one == pytest.approx(1 - other, abs=1e-6)
    single = predict_at(Fused(small_network(), torch.float32), phi, [3])[:, 0]
    assert np.abs(one - single).max() > 1e-4


@pytest.mark.parametrize(("output", "kept"), [("central", True), ("staggered", False)])
def test_central_divergence_keeps_eight_means(output: str, kept: bool) -> None:
    phi = mixture(1, 8, 8, 8).astype(np.float32)
    frames = predict_at(Fused(small_network(output), torch.float32), phi, range(5))
    change = floors.parity(Run("any", frames, frames))["prediction"]
    assert (change < 1e-6) == kept


def test_parity_floor_of_a_known_truth() -> None:
    """One of eight sub-lattices gains 0.08 and stays there: (0.08)^2 / 8 in every later frame."""
    truth = np.full((1, 3, 4, 4, 4), 0.5, np.float32)
    truth[:, 1:, ::2, ::2, ::2] += 0.08
    assert floors.parity(Run("any", truth, truth))["floor"] == pytest.approx(0.08**2 / 8, rel=1e-5)


def test_grid_floors_of_smooth_and_rough_fields() -> None:
    """Nothing is lost of a smooth field by Fourier, and nothing is kept of cells that alternate."""
    x = 2 * np.pi * np.arange(16) / 16
    smooth = 0.5 + 0.3 * np.cos(x)[:, None, None] * np.ones((1, 16, 16))
    assert floors.there_and_back(smooth, 2, "fourier") == pytest.approx(smooth)
    chequered = 0.5 + 0.25 * (-1.0) ** np.indices((8, 8, 8)).sum(axis=0)
    assert floors.there_and_back(chequered, 2, "average") == pytest.approx(np.full((8, 8, 8), 0.5))
    assert floors.there_and_back(chequered, 2, "nearest") == pytest.approx(np.full((8, 8, 8), 0.75))


def test_coarse_differences_conserve_mass_and_coarsen() -> None:
    truth = np.repeat(mixture(1, 1, 8, 8, 8).astype(np.float32), 4, axis=1)
    found = coarse_differences(truth, Medium(**MEDIUM))
    assert found.shape == truth.shape
    assert found.mean(axis=(2, 3, 4)) == pytest.approx(truth.mean(axis=(2, 3, 4)), abs=1e-6)
    assert np.abs(found[:, -1] - found[:, 0]).max() > 0.05


def test_solver_from_what_is_seen_is_the_truth_where_nothing_is_lost() -> None:
    """A smooth start passes through the coarse grid unchanged; what remains is the tolerance."""
    x = 2 * np.pi * np.arange(16) / 16
    start = 0.5 + 0.3 * np.cos(x)[:, None, None] * np.cos(x)[:, None] * np.ones(16)
    times = 0.5 * np.arange(4)
    truth = dataset.coarsen(integrate(start, times, tolerance=1e-5).frames, 2)[None].astype(np.float32)
    found = from_what_is_seen(truth, Medium(**MEDIUM), times)
    assert np.sqrt(np.mean((found - truth) ** 2)) < 2e-3
    assert np.abs(truth[:, -1] - truth[:, 0]).max() > 0.1


def test_ratio_to_the_held_out_boxes() -> None:
    mse = np.array([[2.0, 4.0, 6.0], [4.0, 8.0, 12.0]])
    found = against_held_out(mse, [10, 20, 60], {"frames": [1, 10, 20], "mse": [0.5, 1.0, 1.5]})
    assert found == pytest.approx(
        {"mse": 6.0, "held_out": 1.0, "ratio": 6.0, "mse_shared": 4.5, "held_out_shared": 1.25}
    )


def test_cost_slope_of_a_power_law() -> None:
    grids = [8, 16, 32]
    assert cost_slope(grids, [1e-6 * n**3.6 for n in grids]) == pytest.approx(1.2)


def test_numbers_that_are_not_finite_are_not_known() -> None:
    assert known({"a": [1.0, float("nan")], "b": (float("inf"), "x")}) == {"a": [1.0, None], "b": [None, "x"]}


def test_solver_checks() -> None:
    """Growth rates, the bracket of the stability limit 2 / 576 = 3.47e-3, laws, and gamma_h."""
    found = solver_checks.check(Medium(**MEDIUM), np.random.SeedSequence(3))["metrics"]
    assert found["dispersion_error"] < 1e-7
    assert found["stable"]["0.00345"]
    assert not found["stable"]["0.004"]
    assert found["energy_rises"] <= 1e-15
    assert found["mass_drift"] < 1e-13
    assert found["lamella"]["measured"] == pytest.approx(found["lamella"]["expected"], rel=1e-4)
    assert found["interface_energy"]["1"] == pytest.approx(0.942591, abs=1e-6)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped models with one, `features`, and a file beside it."""
    monkeypatch.setattr(library, "WEIGHTS", tmp_path / "weights")
    save_model(tmp_path / "weights" / "features.safetensors", small_network(), card())
    save_model(tmp_path / "other.safetensors", small_network(seed=1), card())
    return tmp_path


def test_models_are_named_by_their_origin(weights: Path) -> None:
    found = gather(["features"], [weights / "other.safetensors"] * 2, Medium(**MEDIUM))
    assert [entry.label for entry in found] == [
        "features, shipped",
        "features, trained here",
        "features, trained here (other)",
    ]


@pytest.mark.parametrize("changes", [{"interval": 0.75}, {"medium": MEDIUM | {"eps": 4.0}}, {"downscale": "none"}])
def test_networks_of_another_medium_are_refused(weights: Path, changes: dict[str, Any]) -> None:
    path = weights / "foreign.safetensors"
    save_model(path, small_network(), card(**changes))
    with pytest.raises(InputError, match="trained for another medium"):
        gather([], [path], Medium(**MEDIUM))


MIXTURES = {
    "mean": 0.5, "mean_deviation": 0.1, "mean_range": {"low": 0.4, "high": 0.6}, "deviation": {"low": 0.1, "high": 0.2},
    "lattice": [8], "octaves": 1,
}  # fmt: skip
SEQUENCES = {
    "size": 16, "simulations": 3, "frames": 5, "tolerance": 1e-3, "late": 0.4, "late_times": {"low": 0.5, "high": 1.0},
}  # fmt: skip
LONG = {"steps": 8, "every": 2, "tolerance": 1e-3}


def test_free_energy_over_area_is_that_of_a_flat_interface() -> None:
    medium = Medium(**MEDIUM)
    lamella = profile(8 - np.abs(np.arange(32) - 15.5), medium.eps)[:, None, None] * np.ones((1, 32, 32))
    source = xr.Dataset({"phi": (("sim", "time", "x", "y", "z"), lamella[None, None])})
    found = floors.energy_over_area(source, medium)
    assert found["ratios"] == [pytest.approx(1 / lattice_interface_energy(medium.eps, medium.dx), rel=0.08)]
    assert found["largest_gap"] == abs(found["ratios"][0] - 1)


def test_errors_on_the_fine_grid_hold_what_repeated_cells_lose() -> None:
    medium, rng = Medium(**MEDIUM), np.random.default_rng(0)
    flat = np.full((2, 1, 8, 8, 8), 0.25)
    rough = flat + 0.1 * rng.standard_normal(flat.shape)
    source = xr.Dataset({"phi": (("sim", "time", "x", "y", "z"), np.concatenate([flat, rough], axis=1))})
    truth = dataset.coarsen(source["phi"].values, 2).astype(np.float32)
    fine = floors.fine_over_coarse(source, Run("any", truth, truth + 0.05), [0, 1], medium)
    assert fine[0] == pytest.approx(1, rel=1e-4)
    assert fine[1] == pytest.approx(np.sqrt(1 + 7 / 8 * 2 * (0.1 / 0.05) ** 2), rel=0.1)


def test_the_published_network_is_raw_with_a_state_that_is_never_forgotten() -> None:
    raw, published = library.load_model("raw"), library.load_model("published")
    assert published.name == "published"
    assert (raw.card["network"]["memory"], published.card["network"]["memory"]) == (24, 0)
    assert raw.card["network"] | {"memory": 0} == published.card["network"]
    assert all(torch.equal(a, b) for a, b in zip(raw.network.parameters(), published.network.parameters(), strict=True))
    assert set(library.shipped()) == {"features", "published", "raw", "stride"}


COMMON = {
    "seed": 1,
    "medium": MEDIUM,
    "rollout": {"models": ["features"], "judged": "features", "frames": [1, 4], "resamples": 100},
}


def test_evaluations_end_to_end(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data, roll-outs, scores: finite numbers, known claims, fields at the frames asked for."""
    monkeypatch.setattr(solver_checks, "TRIED", (1.0,))  # tested above
    held, big, bodies = (weights / f"{name}.zarr" for name in ("held_out", "large", "shapes"))
    dataset.simulate(HeldOutJob(seed=1, medium=MEDIUM, mixtures=MIXTURES, held_out=SEQUENCES), held)
    extrapolation.large(
        LargeJob(seed=1, medium=MEDIUM, mixtures=MIXTURES, large={"size": 24, "simulations": 1, **LONG}), big
    )
    extrapolation.shapes(ShapesDataJob(seed=1, medium=MEDIUM, shapes={"size": 24, **LONG}), bodies)

    models = [weights / "other.safetensors"]
    result = rollout(RolloutJob(**COMMON, held_out=SEQUENCES), held, weights / "rollout", models=models)
    compare = weights / "metrics.json"
    compare.write_text(json.dumps({**result, "benchmark": "spinodal_rollout"}, allow_nan=False))
    assert result["metrics"]["networks"] == ["features, shipped", "features, trained here"]
    assert result["metrics"]["methods"]["standing still"]["drift"] == 0
    with pytest.raises(InputError, match="not the metrics"):
        size(SizeJob(**COMMON, size={"grids": [4, 8], "repeats": 1}), big, weights / "size", compare=held / "zarr.json")

    for found, folder, boxes, frames in (
        (result, "rollout", 3, 3),
        (
            size(SizeJob(**COMMON, size={"grids": [4, 8], "repeats": 1}), big, weights / "size", compare=compare),
            "size",
            1,
            5,
        ),
        (shapes(ShapesJob(**COMMON), bodies, weights / "shapes", compare=compare), "shapes", 7, 5),
    ):
        json.dumps(found, allow_nan=False)
        assert set(found["claims"]) <= set(claims.load().claims)
        fields = dataset.store.open_dataset(weights / folder / "fields.zarr")
        assert fields.prediction.shape[0] == boxes
        assert fields.prediction.shape[2] == fields.truth.shape[1] == frames
        assert fields.prediction[:, 0, 0].values == pytest.approx(fields.truth[:, 0].values)
        assert np.isfinite(fields.prediction.values).all()
