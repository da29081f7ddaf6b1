"""Grains that a network has not seen: their starts, their store, and what counts as followed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from pydantic import ValidationError

from phasemill import config
from phasemill.core import store
from phasemill.core.model_files import save_model
from phasemill.grains.config.unseen import Unseen, UnseenJob, UnseenTruthJob
from phasemill.grains.datasets.cases import draw, medium_of
from phasemill.grains.datasets.unseen import load, simulate
from phasemill.grains.evaluate.unseen import unseen
from phasemill.grains.initial import square
from phasemill.grains.physics import Medium
from phasemill.grains.solver import integrate
from phasemill.grains.train.stepper import hybrids

pytestmark = pytest.mark.physics

SMALL = {"cells": 32, "eta": 5, "mu": 2e-4, "sigma": 1.0, "dg": 0.0, "until": 20.0, "frames": 2}
HOLE = {"kind": "hole", "x": 0.5, "y": 0.4, "radius": 0.3}
DISC = {"kind": "discs", "discs": [{"x": 0.5, "y": 0.4, "radius": 0.3}]}
SETUPS = {
    "one": SMALL | {"starts": {"hole": HOLE, "disc": DISC}},
    "two": SMALL | {"cells": 40, "starts": {"wide": DISC}},
}


def wanted(**change: object) -> Unseen:
    return Unseen.model_validate({"expected_to_fail": ["hole"], "setups": SETUPS} | change)


def test_a_square_has_its_area_and_turns_round() -> None:
    phi = square((48, 48), 1.0, np.array([10.0, 30.0]), 24.0, 7.0)
    assert phi.sum() == pytest.approx(24**2, rel=0.02)
    assert_allclose(phi, np.roll(square((48, 48), 1.0, np.array([0.0, 0.0]), 24.0, 7.0), (10, 30), (0, 1)), atol=1e-12)
    later = integrate(phi, np.array([0.0, 40.0]), Medium(eta=7.0, mu=1.0)).frames[-1]

    def reach(field: NDArray[np.float64]) -> float:
        """The corner's distance over the side's: 1.41 of a square, 1 of a disc."""
        distances = [np.interp(-0.5, -np.roll(line, 3)[:21], np.arange(-3.0, 18.0)) for line in rays(field)]
        return np.sqrt(2) * distances[1] / distances[0]

    def rays(field: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        centred = np.roll(field, (-10, -30), (0, 1))
        return [centred[:, 0], np.diagonal(centred)]

    assert reach(phi) == pytest.approx(1.41, abs=0.05)
    assert reach(later) < 1.2


def test_a_hole_shrinks_as_a_disc_does() -> None:
    case = wanted().setups["one"]
    fields = [draw(case.starts[name], case) for name in ("hole", "disc")]
    ends = [integrate(field, np.array([0.0, 20.0]), medium_of(case)).frames[-1] for field in fields]
    assert_allclose(1 - ends[0], ends[1], atol=1e-12)
    assert ends[1].sum() < 0.95 * fields[1].sum()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"expected_to_fail": ["square"]},
            "expected_to_fail names square, which is no start; starts are hole, disc, wide",
        ),
        ({"setups": {**SETUPS, "three": SMALL | {"starts": {"disc": DISC}}}}, "two setups have a start of one name"),
        ({"setups": {**SETUPS, "three": SMALL | {"frames": 3, "starts": {"x": DISC}}}}, "same number of frames"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        wanted(**change)


def test_a_network_that_moves_nothing_follows_nothing(tmp_path: Path) -> None:
    settings = config.load(config.read_yaml(Path("config/config.yaml")))
    job = UnseenJob.model_validate_json(settings.spec("grains_unseen", "smoke")).model_copy(update={"unseen": wanted()})
    data, model = tmp_path / "grains_unseen_truth.zarr", tmp_path / "stepper.safetensors"
    simulate(UnseenTruthJob(seed=1, unseen=wanted()), data)
    found = store.open_dataset(data)
    assert store.meanings(found["start"]) == ["hole", "disc", "wide"]
    assert load(found, 0).shape == (3, 32, 32)
    assert load(found, 2).shape == (3, 40, 40)
    assert np.isnan(found["phi"][0, :, 32:]).all()
    assert np.isfinite(load(found, 0)).all()

    save_model(model, hybrids(job.shrink_64, job.shrink_64_learn, job.recurrent), {"provenance": {}})
    page = unseen(job, data, tmp_path, models=[model])
    scores = page["metrics"]["scores"]
    for one in scores.values():
        assert one["gain"] == pytest.approx(1)
        assert not one["followed"]
    # the hole is scored by its own radius
    assert scores["hole"]["mse"] == pytest.approx(scores["disc"]["mse"], rel=1e-5)
    assert scores["hole"]["truth_radius"] == pytest.approx(scores["disc"]["truth_radius"], rel=1e-5)
    assert "follows none of 3 starts" in page["answer"]
    stored = store.open_dataset(tmp_path / "fields.zarr")
    assert_allclose(stored["prediction"][0, 2, :32, :32], stored["truth"][0, 0, :32, :32], atol=1e-6)
