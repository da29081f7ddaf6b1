"""The ablations of the operator against what their theory says, on a small data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from phasemill.core.blocks import Job
from phasemill.transport.config.single import StrideJob, SubstepsJob
from phasemill.transport.config.videos import VoronoiHeatJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.evaluate import ablation
from phasemill.transport.evaluate.scoring import Scores
from tests.heat import DATA

SETTINGS = {
    "seed": 1,
    "data": DATA,
    "search": {"kappa": {"low": 0.01, "high": 2}, "field_frames": 3},
    "substeps": {"counts": [1, 2, 5, 10, 25, 50], "resamples": 50, "population": 6},
    "stride": {"strides": [1, 2, 5, 50]},
}


J = TypeVar("J", bound=Job)


def settings(job: type[J]) -> J:
    return job.model_validate({key: SETTINGS[key] for key in job.model_fields if key in SETTINGS})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "heat.zarr"
    dataset.simulate(VoronoiHeatJob.model_validate({"seed": 5, "data": DATA}), path)
    return path


@pytest.fixture(scope="module")
def by_substeps(data: Path) -> dict[str, Any]:
    return ablation.substeps(settings(SubstepsJob), data, data.parent / "substeps")


@pytest.fixture(scope="module")
def by_stride(data: Path) -> dict[str, Any]:
    return ablation.stride(
        settings(StrideJob),
        data,
        data.parent / "stride",
    )


def errors(result: dict[str, Any], mode: str, regime: str) -> np.ndarray:
    return np.array([by[regime]["mae"] for by in result["metrics"]["scores"][mode].values()])


def test_error_falls_with_the_substeps_and_vanishes_at_those_of_the_solver(by_substeps: dict[str, Any]) -> None:
    for regime in ("diffusion", "mobility"):
        mae = errors(by_substeps, "reverse", regime)
        assert (np.diff(mae) < 0).all()
        assert mae[-1] < 1e-6
    assert by_substeps["claims"]["transport.substeps.slope"] > 0.7


def test_forward_euler_is_the_harder_direction_and_is_biased_even_with_all_substeps(
    by_substeps: dict[str, Any],
) -> None:
    assert (errors(by_substeps, "forward_euler", "mobility") > errors(by_substeps, "forward_euler", "diffusion")).all()
    assert errors(by_substeps, "forward_euler", "mobility")[-1] > 1e-3
    np.testing.assert_allclose(
        errors(by_substeps, "forward_euler", "diffusion"), errors(by_substeps, "reverse", "diffusion"), atol=1e-12
    )


def test_one_substep_makes_diffusion_too_small_and_mobility_too_large(by_substeps: dict[str, Any]) -> None:
    metrics, claims = by_substeps["metrics"], by_substeps["claims"]
    ratio = np.divide(metrics["kappa"]["forward_euler"]["1"], metrics["truth"])
    sharpening = np.array(metrics["direction"]) < 0
    assert (ratio[~sharpening] < 1).all()
    assert (ratio[sharpening] > 1).all()
    assert claims["transport.substeps.collapse_below"] == np.median(ratio)
    note = by_substeps["claim_notes"]["transport.substeps.mobility_r2_k1"]
    assert f"{np.median(ratio[sharpening]):.2g} ({ratio[sharpening].min():.2g} to" in note


def test_both_regimes_must_degrade() -> None:
    """With every 10th frame the errors are 0.1 and 0.2, with every 50th 1.0 and 0.3."""
    errors = {1: (0.01, 0.1), 10: (0.1, 0.2), 50: (1.0, 0.3)}
    scores: dict[int, Scores] = {
        s: {"diffusion": {"mae": one}, "mobility": {"mae": other}} for s, (one, other) in errors.items()
    }
    assert ablation._stride_claims(scores)["transport.stride.both_degrade"] == pytest.approx(1.5)
    assert ablation._stride_notes(scores)["transport.stride.both_degrade"].endswith("diffusion 10, mobility 1.5.")


def test_bands_hold_the_spread_of_the_data(by_substeps: dict[str, Any]) -> None:
    for low, high in by_substeps["claim_bands"].values():
        assert 0 <= low < high


def test_strides_that_leave_no_pair_are_left_out_and_matched_substeps_stay_exact(by_stride: dict[str, Any]) -> None:
    assert list(by_stride["metrics"]["scores"]["reverse"]) == ["1", "2", "5"]  # 21 frames: not every 50th
    assert (np.diff(errors(by_stride, "reverse", "all")) > 0).all()
    assert by_stride["metrics"]["matched"]["all"]["mae"] < 1e-5


def test_both_directions_keep_the_same_frames(data: Path) -> None:
    source = ablation.store.open_dataset(data)
    smoothing, sharpening = list(dataset.rows(source, "test"))[:2]
    for stride in (1, 3, 7):
        np.testing.assert_array_equal(ablation._thin(smoothing, stride), ablation._thin(sharpening, stride)[::-1])


def test_the_unit_of_a_re_draw_is_a_base_simulation_of_the_same_distribution(by_substeps: dict[str, Any]) -> None:
    """Sets of three out of six simulations: their band encloses the population."""
    metrics = by_substeps["metrics"]
    assert list(metrics["expected"]) == list(metrics["bands"]) == ["1", "2", "5", "10", "25", "50"]
    for count, expected in metrics["expected"].items():
        low, high = metrics["bands"][count]
        assert low < expected < high


def test_a_simulation_belongs_to_its_seed(data: Path) -> None:
    source = ablation.store.open_dataset(data)
    job = VoronoiHeatJob.model_validate({"seed": 5, "data": DATA})
    seed = ablation.branch(5, "voronoi_heat", 6)[4]
    for _ in range(2):  # drawing does not use the seed up
        np.testing.assert_array_equal(
            dataset.draw_simulation(job.data, seed).frames.astype(np.float32), source.phi.values[4]
        )
        assert dataset.draw_kappa(job.data, seed) == float(source.kappa[4])
