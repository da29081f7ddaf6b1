"""What counts as followed, on grains that a network has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.model_files import save_model
from phasemill.grains.config.data import Case
from phasemill.grains.config.learned import Learn, Recurrent
from phasemill.grains.config.unseen import Unseen, UnseenJob, UnseenTruthJob
from phasemill.grains.datasets.cases import draw, frame_times, medium_of
from phasemill.grains.datasets.unseen import load, simulate
from phasemill.grains.evaluate import unseen as page
from phasemill.grains.evaluate.predictions import Prediction, residual
from phasemill.grains.solver import integrate
from phasemill.grains.train.march import interval_of
from phasemill.grains.train.stepper import hybrids, scored_rollout

pytestmark = pytest.mark.physics

SMALL = {"cells": 14, "eta": 4, "mu": 8e-4, "sigma": 1.0, "dg": 0.0, "until": 16.0, "frames": 4}
PLACE = {"x": 0.5, "y": 0.4, "radius": 0.3}
DISC, HOLE = {"kind": "discs", "discs": [PLACE]}, {"kind": "hole", **PLACE}
WANTED = Unseen.model_validate(
    {
        "expected_to_fail": [],
        "setups": {
            "slow": SMALL | {"starts": {"disc": DISC, "hole": HOLE}},
            "fast": SMALL | {"until": 32.0, "starts": {"long": DISC}},
            "sharp": SMALL | {"eta": 3.5, "mu": 4e-4, "starts": {"narrow": DISC}},
        },
    }
)
JOB = UnseenJob(
    seed=1,
    shrink_64=WANTED.setups["slow"],
    shrink_64_learn=Learn(
        seeds=3, waves=1, iterations=1, gate=1.0, steps=1, settling=1, mixing=1, supervised=0.0
    ),
    recurrent=Recurrent(cell="gru", channels=3, learning_rate=0.01, settling_rate=1e-3, batch=2, window=2, refresh=10),
    unseen=WANTED,
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(7)


def truth_of(start: str) -> tuple[Case, NDArray[Any]]:
    case = WANTED.starts[start]
    phi = draw(case.starts[start], case)
    return case, np.asarray(integrate(phi, frame_times(case), medium_of(case)).frames)


def scored(start: str, *parts: float) -> dict[str, Any]:
    """Roll-outs whose error is at each frame so many times that of no motion."""
    case, truth = truth_of(start)
    still = np.broadcast_to(truth[:1], truth.shape)
    return page._scored(start, case, truth, [Prediction("toy", truth + part * (still - truth), 1.0) for part in parts])


@pytest.mark.parametrize("start", ["disc", "hole"])
@pytest.mark.parametrize(
    ("part", "followed"), [(1.0, False), (0.5, False), (0.32, False), (0.31, True), (1e-3, True), (2.0, False)]
)
def test_followed_is_ten_times_better_than_no_motion(start: str, part: float, followed: bool) -> None:
    """The mean square error goes as the square of the share."""
    found = scored(start, part)
    assert found["gain"] == pytest.approx(1 / part**2, rel=1e-4)
    assert found["followed"] == followed
    assert found["mse"] == pytest.approx(found["still"] * part**2, rel=1e-4)


def test_an_exact_rollout_is_followed() -> None:
    found = scored("disc", 0.0)
    assert (found["mse"], found["gain"], found["followed"]) == (0, None, True)
    assert page._answer({"a": found}, []) == "It follows 1 of 1 starts, with mean square errors of 0 to 0."


def test_medians_over_the_seeds() -> None:
    found = scored("disc", 1e-3, 2.0, 0.2)
    assert found["gain"] == pytest.approx(25, rel=1e-4)
    assert found["mse_seeds"] == pytest.approx([found["still"] * part**2 for part in (1e-6**0.5, 2.0, 0.2)])
    assert found["mse"] == pytest.approx(found["mse_seeds"][2])


def test_the_radius_of_a_hole_is_that_of_the_disc() -> None:
    disc, hole = scored("disc", 0.5), scored("hole", 0.5)
    for key in ("radius", "truth_radius"):
        assert_allclose(disc[key], hole[key], rtol=1e-9)
    assert disc["truth_radius"][-1] < disc["truth_radius"][0]


def test_what_is_said() -> None:
    scores = {name: scored(start, part) for name, start, part in [("a", "disc", 0.1), ("b_c", "hole", 0.5)]}
    said = page._answer(scores, ["b_c"])
    assert said.startswith("It follows 1 of 2 starts")
    assert "100 to 100 times below those of no motion" in said
    assert f"It fails on: b c ({scores['b_c']['mse']:.2g})." in said
    row = page._errors(scores, ["a"])["rows"][0]
    assert row[-2:] == ["fails", "follows"]


def test_each_start_is_rolled_out_with_its_own_equation(tmp_path: Path) -> None:
    data, model = tmp_path / "truth.zarr", tmp_path / "stepper.safetensors"
    simulate(UnseenTruthJob(seed=1, unseen=WANTED), data)
    trained = hybrids(JOB.shrink_64, JOB.shrink_64_learn, JOB.recurrent)
    for hybrid in trained.values():
        torch.nn.init.normal_(hybrid.stepper.out.weight, std=0.5)
    save_model(model, trained, {"provenance": {}})
    found = page.unseen(JOB, data, tmp_path, models=[model])["metrics"]["scores"]
    source, shown = store.open_dataset(data), store.open_dataset(tmp_path / "fields.zarr")
    rolled = {}
    for sim, (start, case) in enumerate(WANTED.starts.items()):
        truth = load(source, sim)
        runs = [
            scored_rollout(hybrid.stepper, torch.from_numpy(truth[0]), case.frames, interval_of(case))[0].numpy()
            for hybrid in trained.values()
        ]
        rolled[start] = runs[0]
        assert_allclose(shown["prediction"][0 + sim], runs[0], atol=1e-6)
        assert_allclose(found[start]["mse_seeds"], [((run - truth) ** 2).mean() for run in runs], rtol=1e-4)
        residuals = [residual(run if start != "hole" else 1 - run, interval_of(case)) for run in runs]
        assert found[start]["residual"] == pytest.approx(float(np.median(residuals)), rel=1e-4)
    assert np.abs(rolled["long"] - rolled["disc"]).max() > 1e-3
