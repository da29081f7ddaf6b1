"""What the comparison of recurrent cells says of given scores and costs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from phasemill.config import JOBS
from phasemill.core.model_files import save_model
from phasemill.grains.config.cells import Arm, Cells, CellsJob
from phasemill.grains.config.data import Case
from phasemill.grains.config.learned import Recurrent
from phasemill.grains.datasets.cases import simulate
from phasemill.grains.evaluate import cells as page
from phasemill.grains.network import State, Stepper
from phasemill.grains.train import cells as train_cells

pytestmark = pytest.mark.physics

CASE = Case.model_validate(
    {
        "cells": 12, "eta": 4, "mu": 8e-4, "sigma": 1.0, "dg": 0.0, "until": 20.0, "frames": 4,
        "starts": {"a": {"kind": "discs", "discs": [{"x": 0.5, "y": 0.5, "radius": 0.3}]}},
    }
)  # fmt: skip
ARMS = [Arm(cell="gru", channels=2, steps=9), Arm(cell="lstm", channels=3, steps=4)]
JOB = CellsJob(
    seed=1,
    shrink_64=CASE,
    recurrent=Recurrent(cell="gru", channels=2, learning_rate=0.01, settling_rate=1e-3, batch=2, window=3, refresh=10),
    cells=Cells(seeds=2, looks=2, repeats=2, reached=1e-3, arms=ARMS),
)


def runs(*errors: float, reached: tuple[float | None, ...] = ()) -> list[dict[str, Any]]:
    """Scores by seed."""
    times = reached or (1.0,) * len(errors)
    return [
        {"mse": mse, "radius_error": 10 * mse, "cpu": 60.0 + seed, "reached": time}
        for seed, (mse, time) in enumerate(zip(errors, times, strict=True))
    ]


def test_the_best_has_the_least_median() -> None:
    """Neither the least of all seeds nor the least mean."""
    scores = {
        "gru_2": runs(1e-6, 3e-3, 3e-3),
        "gru_4": runs(2e-3, 2e-3, 9e-1),
        "gru_8": runs(4e-3, 4e-3, 4e-3),
        "lstm_2": runs(1e-9, 1e-9, 1e-9),
    }
    assert page._best(scores, "gru") == "gru_4"
    assert page._best(scores, "lstm") == "lstm_2"


@pytest.mark.parametrize(
    ("gru", "lstm", "words"),
    [
        ((1e-4, 2e-4, 3e-4), (4e-4, 5e-4, 6e-4), "no seed of either is among those of the other"),
        ((1e-4, 2e-4, 5e-4), (4e-4, 5e-4, 6e-4), "but their seeds overlap"),
        ((2e-4,), (5e-4,), "one training each"),
    ],
)
def test_what_is_said_of_the_seeds(gru: tuple[float, ...], lstm: tuple[float, ...], words: str) -> None:
    scores, best = {"gru_2": runs(*gru), "lstm_3": runs(*lstm)}, {"gru": "gru_2", "lstm": "lstm_3"}
    said = page._answer(scores, best, {"gru_2": 1.2, "lstm_3": 0.6})
    assert said.startswith(
        "GRU, 2 channels: mean square error 0.0002; LSTM, 3 channels: 0.0005 for 0.50 times the cost"
    )
    assert said.endswith(f"{words}.")


def test_the_better_one_comes_first() -> None:
    scores, best = {"gru_2": runs(5e-4), "lstm_3": runs(2e-4)}, {"gru": "gru_2", "lstm": "lstm_3"}
    said = page._answer(scores, best, {"gru_2": 1.2, "lstm_3": 0.6})
    assert said.startswith(
        "LSTM, 3 channels: mean square error 0.0002; GRU, 2 channels: 0.0005 for 2.00 times the cost"
    )


def test_the_table() -> None:
    scores = {
        "gru_2": runs(1e-4, 7e-4, reached=(4.0, 6.0)),
        "lstm_3": runs(5e-4, 3e-4, reached=(None, 2.0)),
    }
    table = page._table(scores, {"gru_2": 1.2, "lstm_3": 0.8}, JOB)
    columns = table["columns"]
    first, second = (dict(zip(columns, row, strict=True)) for row in table["rows"])
    assert (first["cell"], first["channels"], first["steps"], first["cost"]) == ("GRU", 2, 9, 1.2)
    assert (first["MSE"], first["worst seed"]) == (pytest.approx(4e-4), 7e-4)
    assert first["CPU seconds"] == 60.5
    assert first["seconds to 0.001"] == 5
    # one seed never got there
    assert second["seconds to 0.001"] is None
    assert second["parameters"] == sum(one.numel() for one in Stepper("lstm", 3).parameters())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU seconds that pass with the calls of a network alone: as many as it has channels."""
    torch.set_num_threads(1)
    spent = [0.0]

    class Ticking(Stepper):
        def forward(self, phi: Tensor, force: Tensor, state: State) -> tuple[Tensor, State]:
            spent[0] += self.decode.in_channels
            return super().forward(phi, force, state)

    for module in (page, train_cells):
        monkeypatch.setattr(module, "Stepper", Ticking)
    monkeypatch.setattr(page, "time", SimpleNamespace(process_time=lambda: spent[0]))


@pytest.mark.usefixtures("clock")
def test_costs_and_shares(tmp_path: Path) -> None:
    """Of a window, times the steps; whatever the trainings took beside other work counts nothing."""
    data, model = tmp_path / "truth.zarr", tmp_path / "networks.safetensors"
    truth = JOBS["grain_shrink_64_truth"].model_validate({"seed": 1, "shrink_64": CASE})
    simulate(truth, data)  # type: ignore[arg-type]
    curve = [
        {"step": 2, "cpu": 3.0, "mse": 9.0},
        {"step": 4, "cpu": 7.0, "mse": 1e-4},
        {"step": 6, "cpu": 8.0, "mse": 0},
    ]
    networks = train_cells.networks(JOB.cells)
    card = {name: {"steps": 4, "cpu": 1e3, "curve": curve} for name in networks}
    card["lstm_3_1"]["curve"] = curve[:1]
    save_model(model, networks, {"runs": card, "provenance": {}})
    found = page.cells(JOB, data, tmp_path, models=[model])["metrics"]
    assert found["costs"] == {"gru_2": 2 * 3, "lstm_3": 3 * 3}
    assert found["share"] == {"gru_2": pytest.approx(1.2), "lstm_3": pytest.approx(0.8)}
    # the first look at which the error is no more than 1e-3
    assert [one["reached"] for runs in found["scores"].values() for one in runs] == [7, 7, 7, None]
    assert [one["rollout"] for one in found["scores"]["lstm_3"]] == [3 * 4] * 2
