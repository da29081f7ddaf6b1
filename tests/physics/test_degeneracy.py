"""An encoder that trains together with kappa: what it does, and what prevents it, on a small data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from phasemill.core import store
from phasemill.transport.config.single import ARMS, Arm, Degeneracy, DegeneracyJob
from phasemill.transport.config.videos import VoronoiHeatJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.evaluate.degeneracy import degeneracy, descend, spread_rows
from phasemill.transport.spectra import SafeScheme
from tests import heat

pytestmark = pytest.mark.physics

SCHEME = SafeScheme(interval=0.25, substeps=50, dx=0.5)
KAPPA = 0.12
ARM = {"safe": 1.0, "reconstruction": 0.0, "identity": 0.0, "phase_one": 0.0}
SETTINGS: dict[str, Any] = {
    **{"simulations": 2, "pairs": 4, "steps": 60, "channels": 4, "start": 0.6},
    **{"learning_rate_kappa": 0.05, "learning_rate_autoencoder": 3e-3},
    "arms": {
        "frozen": {**ARM, "phase_one": 1.0},
        "free": ARM,
        "reconstruction": {**ARM, "reconstruction": 1.0},
        "identity": {**ARM, "reconstruction": 1.0, "identity": 1.0},
        "large_safe": {**ARM, "safe": 10.0, "reconstruction": 1.0, "identity": 0.1},
        "two_phase": {**ARM, "safe": 10.0, "reconstruction": 1.0, "identity": 0.1, "phase_one": 0.5},
    },
}
DATA = {**heat.DATA, "steps": 250, "simulations": 5}


def video() -> np.ndarray:
    """Five frames, float32."""
    return heat.euler_frames(KAPPA, frames=5, age=0.1).astype(np.float32)


@pytest.fixture(scope="module")
def runs() -> dict[str, Any]:
    settings = Degeneracy.model_validate(SETTINGS)
    return {name: descend(video(), SCHEME, arm, settings, seed=0) for name, arm in settings.arms.items()}


def test_all_arms_start_alike_at_the_video_itself(runs: dict[str, Any]) -> None:
    for run in runs.values():
        assert run.kappa[0] == pytest.approx(0.6)
        assert run.spread[0] == 1
        assert run.terms["identity"][0] == run.terms["reconstruction"][0] == 0
        assert run.terms["safe"][0] == runs["frozen"].terms["safe"][0]
        assert len(run.kappa) == len(run.spread) == 61


def test_a_free_encoder_smooths_its_latent_field_and_holds_kappa_back(runs: dict[str, Any]) -> None:
    assert runs["free"].spread.min() < 0.6
    error = {name: abs(run.kappa[-1] - KAPPA) for name, run in runs.items()}
    assert error["free"] > 3 * error["frozen"]
    assert error["reconstruction"] > 1.5 * error["identity"]
    assert runs["identity"].spread.min() > 0.85
    assert error["large_safe"] > 2 * error["two_phase"]


def test_the_first_phase_leaves_the_encoder_alone(runs: dict[str, Any]) -> None:
    assert (runs["frozen"].spread == 1).all()
    assert (runs["two_phase"].spread[:31] == 1).all()  # the first update of the encoder follows step 30
    assert runs["two_phase"].spread[31] != 1
    np.testing.assert_allclose(runs["two_phase"].kappa[:30], runs["frozen"].kappa[:30], rtol=1e-5)  # Adam: any weight


def test_the_seed_decides_and_the_random_state_is_left_as_it_was() -> None:
    settings = Degeneracy.model_validate({**SETTINGS, "steps": 3})
    before = torch.get_rng_state()
    results = [descend(video(), SCHEME, settings.arms["free"], settings, seed).kappa[-1] for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert results[0] == results[1] != results[2]


def test_rows_are_spread_over_kappa() -> None:
    rows = [dataset.Row(n, 1, kappa, np.zeros((2, 2, 2)), 1) for n, kappa in enumerate((0.5, 0.1, 0.3, 0.7, 0.2))]
    assert [row.kappa for row in spread_rows(rows, 3)] == [0.1, 0.3, 0.7]
    assert [row.kappa for row in spread_rows(rows, 1)] == [0.1]


def test_evaluation_reports_every_arm_and_stores_its_latent_fields(tmp_path: Path) -> None:
    dataset.simulate(VoronoiHeatJob.model_validate({"seed": 5, "data": DATA}), tmp_path / "heat.zarr")
    job = DegeneracyJob.model_validate({"seed": 1, "degeneracy": {**SETTINGS, "steps": 4}})
    result = degeneracy(job, tmp_path / "heat.zarr", tmp_path)
    assert len(result["tables"][0]["rows"]) == 12
    assert set(result["metrics"]["kappa"]) == set(ARMS)
    error = {name: np.array(values) for name, values in result["metrics"]["error"].items()}
    lost = (error["free"] >= 0.1 * np.array(result["metrics"]["truth"])) & (error["free"] >= 2 * error["frozen"])
    claims = {name.removeprefix("transport.degeneracy."): value for name, value in result["claims"].items()}
    assert claims["kappa_lost"] == lost.mean()
    assert claims["two_phase"] == pytest.approx(np.median(error["large_safe"] / error["two_phase"]))
    assert claims["two_phase_needed"] == pytest.approx(np.median(error["identity"] / error["frozen"]))
    least = [run.min() for run in np.array(result["metrics"]["spread"]["free"])]
    assert claims["latent_smooths"] == pytest.approx(np.median(least))
    fields = store.open_dataset(tmp_path / "fields.zarr")
    assert fields.latent.dims == ("sim", "arm", "time", "x", "y")
    np.testing.assert_array_equal(fields.latent.isel(arm=0), fields.truth)  # the frozen encoder
    assert not np.array_equal(fields.latent.isel(arm=1), fields.truth)
    np.testing.assert_allclose(fields.time, [0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": {"frozen": Arm(**ARM)}}, "arms are frozen; they must be frozen, free"),
        ({"steps": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_the_benchmark_cannot_use_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Degeneracy.model_validate({**SETTINGS, **change})


@pytest.mark.parametrize(("stored", "test", "word"), [(4, 2, "pairs"), (5, 1, "simulations")])
def test_too_small_data_are_refused(stored: int, test: int, word: str) -> None:
    with pytest.raises(ValueError, match=f"degeneracy.{word}"):
        Degeneracy.model_validate(SETTINGS).check(stored, test)
