"""GRU and LSTM on one march: what they have in common, and what is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from phasemill import config
from phasemill.core.model_files import read_card
from phasemill.grains.config.cells import Arm, Cells, CellsJob, CellsNetworksJob
from phasemill.grains.config.data import TruthJob
from phasemill.grains.config.learned import MarchJob
from phasemill.grains.datasets.cases import simulate
from phasemill.grains.evaluate.cells import cells
from phasemill.grains.train import cells as train_cells
from phasemill.grains.train import march as train_march

pytestmark = pytest.mark.physics

SETTINGS = Cells(
    seeds=2, looks=2, repeats=1, reached=10.0,
    arms=[Arm(cell="gru", channels=3, steps=4), Arm(cell="lstm", channels=2, steps=3)],
)  # fmt: skip


def specs(name: str) -> str:
    found = config.load(config.read_yaml(Path("config/config.yaml")))
    return found.spec(name, "smoke")


def test_arms_differ() -> None:
    arm = {"cell": "gru", "channels": 3, "steps": 4}
    with pytest.raises(ValidationError, match="arms gru_3, gru_3 must differ"):
        Cells.model_validate({**SETTINGS.model_dump(), "arms": [arm, arm]})


def test_training_and_page(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    truth = TruthJob.__subclasses__()[0].model_validate_json(specs("grain_shrink_64_truth"))
    case = truth.case.model_copy(update={"frames": 6, "until": 180.0})
    data, other = tmp_path / "truth.zarr", tmp_path / "other.zarr"
    simulate(truth.model_copy(update={"shrink_64": case}), data)
    simulate(truth.model_copy(update={"shrink_64": case.model_copy(update={"mu": 4e-5})}), other)
    march = config.JOBS["grain_shrink_64_march"].model_validate_json(specs("grain_shrink_64_march"))
    assert isinstance(march, MarchJob)
    places = {
        "checkpoints": tmp_path / "checkpoints",
        "history": tmp_path / "history.csv",
        "threads": 1,
        "device": "cpu",
    }
    train_march.train(march.model_copy(update={"shrink_64": case}), data, tmp_path / "march.safetensors", **places)  # type: ignore[arg-type]

    job = CellsNetworksJob.model_validate_json(specs("grains_cells_networks"))
    job = job.model_copy(update={"shrink_64": case, "cells": SETTINGS})
    files = {}
    for name, store in (("right", data), ("wrong", other)):
        files[name] = tmp_path / f"{name}.safetensors"
        train_cells.train(job, store, files[name], start=tmp_path / "march.safetensors", **places)  # type: ignore[arg-type]
    one, two = (load_file(file) for file in files.values())
    # the truth scores, it does not train or select
    assert all(torch.equal(one[name], two[name]) for name in one)
    cards = [read_card(file)["runs"] for file in files.values()]
    assert set(cards[0]) == {"gru_3_0", "gru_3_1", "lstm_2_0", "lstm_2_1"}
    assert cards[0]["gru_3_0"]["curve"][-1]["mse"] != cards[1]["gru_3_0"]["curve"][-1]["mse"]
    for name, run in cards[0].items():
        spent = [row["cpu"] for row in run["curve"]]
        assert spent == sorted(spent)
        assert spent[-1] == pytest.approx(run["cpu"], abs=0.01)
        assert run["steps"] == (4 if name.startswith("gru") else 3)
    assert not torch.equal(one["gru_3_0.encode.weight"], one["gru_3_1.encode.weight"])

    page = cells(
        CellsJob.model_validate_json(specs("grains_cells")).model_copy(update={"shrink_64": case, "cells": SETTINGS}),
        data, tmp_path, models=[files["right"]],
    )  # fmt: skip
    scores = page["metrics"]["scores"]
    assert [len(runs) for runs in scores.values()] == [2, 2]
    assert scores["gru_3"][0]["mse"] == pytest.approx(cards[0]["gru_3_0"]["curve"][-1]["mse"], rel=0.5)
    # everything is below 10 at the first look
    assert scores["lstm_2"][1]["reached"] == cards[0]["lstm_2_1"]["curve"][0]["cpu"]
    assert sum(page["metrics"]["share"].values()) == pytest.approx(2)
    assert "times the cost" in page["answer"]
