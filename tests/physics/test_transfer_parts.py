"""The parts of a transfer stage: which weights its networks begin with, what they are shown, what is counted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from phasemill.config import JOBS
from phasemill.core import loop
from phasemill.core.errors import InputError
from phasemill.core.model_files import read_card, save_model
from phasemill.grains.config.data import Case
from phasemill.grains.config.learned import Marching, Recurrent
from phasemill.grains.config.transfer import Stage, StageJob, Transfer
from phasemill.grains.datasets.cases import simulate
from phasemill.grains.evaluate.transfer_tables import beyond, groups
from phasemill.grains.march import March
from phasemill.grains.network import Coordinates, Stepper
from phasemill.grains.train import transfer as train_transfer
from phasemill.grains.train.stepper import Hybrid
from phasemill.grains.train.transfer import Arm, curve, networks, parent_stepper, plan

pytestmark = pytest.mark.physics

CASE = Case.model_validate(
    {
        "cells": 10, "eta": 4, "mu": 8e-4, "sigma": 1.0, "dg": 0.0, "until": 20.0, "frames": 4,
        "starts": {"a": {"kind": "discs", "discs": [{"x": 0.5, "y": 0.5, "radius": 0.3}]}},
    }
)  # fmt: skip
MARCHING = Marching(width=4, depth=1, learning_rate=0.01, tolerance=0.1)
RECURRENT = Recurrent(
    cell="gru", channels=2, learning_rate=0.01, settling_rate=1e-3, batch=2, window=2, refresh=10
)  # fmt: skip


def stage(**settings: Any) -> Stage:
    few = {"waves": 2, "tolerance": 0.6, "iterations": 1, "steps": 1, "every": 1, "seeds": 1}
    return Stage.model_validate({"origins": ["scratch", "whole"], "supervised": [0.0], **few, **settings})


def job(name: str, **blocks: Any) -> StageJob:
    found = JOBS[f"grains_transfer_{name}"](seed=1, marching=MARCHING, recurrent=RECURRENT, **blocks)
    assert isinstance(found, StageJob)
    return found


class Begun(NamedTuple):
    """What a training was given."""

    weights: Tensor
    shown: int


class Trained(NamedTuple):
    """All trainings of a stage, and the parent's networks."""

    begun: dict[str, Begun]
    card: dict[str, Any]
    march: March
    stepper: Stepper


def vector(network: torch.nn.Module) -> Tensor:
    return torch.nn.utils.parameters_to_vector(network.parameters()).detach().clone()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A stage with all origins, without frames shown and with the first half, from a parent whose weights are noise."""
    torch.set_num_threads(1)
    torch.manual_seed(8)
    folder = tmp_path_factory.mktemp("stage")
    truth = JOBS["grain_shrink_64_narrow_truth"].model_validate({"seed": 1, "shrink_64_narrow": CASE})
    simulate(truth, folder / "truth.zarr")  # type: ignore[arg-type]
    march, hybrid = March(Coordinates((8, 8), 2, 4, 1), 3), Hybrid(Stepper("gru", 2))
    march.weights.normal_()
    torch.nn.init.normal_(hybrid.stepper.out.weight)
    parents = [folder / "march.safetensors", folder / "stepper.safetensors"]
    for path, network in zip(parents, (march, hybrid), strict=True):
        save_model(path, torch.nn.ModuleDict({"a_0": network}), {"provenance": {}})
    begun: dict[str, Begun] = {}
    solve_all, fit = train_transfer.solve_all, train_transfer.fit

    def solving(network: March, *data: Any, **options: Any) -> dict[str, Any]:
        begun[options["label"].removeprefix("narrow ")] = Begun(vector(network.network), options["shown"])
        return solve_all(network, *data, **options)

    def fitting(network: Stepper, *data: Any, **options: Any) -> loop.Result:
        begun[data[5].removeprefix("narrow ")] = Begun(vector(network), options["shown"])
        return fit(network, *data, **options)

    settings = stage(origins=["recurrent", "scratch", "feed_forward", "whole"], supervised=[0.0, 0.5])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_transfer, "solve_all", solving)
        patch.setattr(train_transfer, "fit", fitting)
        train_transfer.train(
            job("narrow", shrink_64=CASE, shrink_64_narrow=CASE, transfer_narrow=settings), folder / "truth.zarr",
            folder / "stage.safetensors", checkpoints=folder / "checkpoints", history=folder / "history.csv",
            threads=1, device="cpu", parents=parents,
        )  # fmt: skip
    return Trained(begun, read_card(folder / "stage.safetensors"), march, hybrid.stepper)


@pytest.mark.parametrize(
    ("origin", "march"),
    [("scratch", "scratch"), ("recurrent", "scratch"), ("feed_forward", "transfer"), ("whole", "transfer")],
)
def test_the_march_of_each_origin(origin: Any, march: str) -> None:
    assert Arm(origin, 0.125, 2).march == f"march_{march}_12_5_2"


def test_a_march_begins_with_the_parents_first_interval(trained: Trained) -> None:
    """Or with weights of its own, also where the recurrent network alone is the parent's."""
    marches = {name for name in trained.begun if name.startswith("march")}
    assert marches == {f"march_{kind}_{share}_0" for kind in ("scratch", "transfer") for share in (0, 50)}
    assert marches == set(trained.card["marches"])
    for share in (0, 50):
        torch.testing.assert_close(trained.begun[f"march_transfer_{share}_0"].weights, trained.march.weights[0])
        fresh = trained.begun[f"march_scratch_{share}_0"].weights
        assert not fresh[-5:].any()  # 4 weights and a bias: nothing moves
        assert not any(torch.allclose(fresh, known, atol=0.1) for known in trained.march.weights)


@pytest.mark.parametrize("share", [0, 50])
def test_a_recurrent_network_begins_with_the_parents(trained: Trained, share: int) -> None:
    begun = {origin: trained.begun[f"stepper_{origin}_{share}_0"].weights for origin in train_transfer.CARRIED}
    parent = vector(trained.stepper)
    assert torch.equal(begun["whole"], parent)
    assert torch.equal(begun["recurrent"], parent)
    assert torch.equal(begun["scratch"], begun["feed_forward"])
    assert not torch.equal(begun["scratch"], parent)


def test_shares_are_shown_to_both_networks(trained: Trained) -> None:
    """The first two of four intervals, or none."""
    assert {name: one.shown for name, one in trained.begun.items()} == {
        name: 2 if "_50_" in name else 0 for name in trained.begun
    }
    assert len(trained.begun) == 4 + 8
    # what is shown changes the weights: both marches begin alike
    one, other = (trained.card["marches"][f"march_transfer_{share}_0"] for share in (0, 50))
    assert other["loss"][0] > one["loss"][0]


def test_many_grains_begin_with_what_the_pair_has_made_by_transfer(tmp_path: Path) -> None:
    """The recurrent network of the arm `whole` of the same share and seed, whatever the own origin is."""
    two = stage(origins=["scratch", "recurrent", "whole"], supervised=[0.0, 0.5], seeds=2)
    pair = job("pair", transfer_pair=two, growth_2=CASE, shrink_128=CASE)
    many = job("many", transfer_many=stage(origins=["recurrent"], supervised=[0.5], seeds=2), growth_35=CASE)
    made = networks(pair)
    for number, (name, one) in enumerate(made.items()):
        if name.startswith("stepper"):
            torch.nn.init.constant_(one.out.bias, float(number))
    save_model(tmp_path / "pair.safetensors", made, {"provenance": {}})
    for seed, arm in enumerate(plan(many.settings)):
        found = parent_stepper([tmp_path / "pair.safetensors"], many, arm)
        expected = made[f"stepper_whole_50_{seed}"].state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)
    with pytest.raises(InputError, match="no network stepper_whole_10_0; give the files of the parent"):
        parent_stepper([tmp_path / "pair.safetensors"], many, Arm("recurrent", 0.1, 0))


def test_the_cpu_seconds_of_a_curve_add_up() -> None:
    """A history's row holds the mean of the steps since the row before."""
    costs = {20: 0.5, 40: 0.25, 50: 2.0}
    rows = [
        {"step": step, "lr": 1.0, "seconds": 9.0, "loss": 3.0, "residual": 2.0, "mse": 1.0, "cpu": cpu}
        for step, cpu in costs.items()
    ]
    found = curve(loop.Result(step=50, seconds=99.0, rows=rows), 8.0, 7.0)
    assert found[0] == {"step": 0, "residual": 8.0, "mse": 7.0, "cpu": 0.0}
    assert [row["step"] for row in found] == [0, 20, 40, 50]
    assert [row["cpu"] for row in found] == [0, 10, 15, 35]
    assert {key: found[2][key] for key in ("loss", "residual", "mse")} == {"loss": 3.0, "residual": 2.0, "mse": 1.0}


@pytest.mark.parametrize(
    ("supervised", "frames", "first"),
    [([0.0], 4, 1), ([0.0, 0.5], 4, 3), ([0.5, 0.0], 4, 3), ([0.1], 200, 21), ([1.0], 4, 5)],
)
def test_the_first_frame_that_no_training_is_shown(supervised: list[float], frames: int, first: int) -> None:
    """Frame 0 is the start; of `frames` intervals the first share of ends is shown to some."""
    card = {"still": {"mse_by_frame": [0.0] * (frames + 1)}}
    assert beyond(stage(supervised=supervised), card) == first


def test_what_is_said_of_a_kind_of_training() -> None:
    settings = stage(origins=["whole"], supervised=[0.0, 0.5], seeds=2, every=10, steps=30)
    rows = [
        {"step": 0, "residual": 8.0, "mse": 0.9, "cpu": 0.0},
        {"step": 10, "residual": 2.0, "mse": 0.2, "cpu": 1.0},
        {"step": 20, "residual": 1.0, "mse": 0.4, "cpu": 3.0},
        {"step": 30, "residual": 0.5, "mse": 0.05, "cpu": 6.0},
    ]
    march = {"iterations": [7, 2], "residual": [0.3, 0.1], "solved": [True, False], "mse": 0.4, "cpu": 5.0}
    run = {"mse": 0.05, "mse_by_frame": [0.0, 1.0, 2.0, 4.0, 6.0], "residual": 0.5}
    card = {
        "runs": {arm.name: run | {"curve": rows[: 4 if arm.seed else 3]} for arm in plan(settings)},
        "marches": {arm.march: march for arm in plan(settings)},
        "still": {"residual": 10.0, "mse_by_frame": [0.0] * 5},
    }
    found = groups(settings, card, Transfer(stages=["narrow"], reached=0.1, solved=0.1))["whole", 0.0]
    assert found["steps"] == [math.inf, 30]
    assert found["cpu"] == [math.inf, 6]
    assert found["begun"] == [0.9, 0.9]
    # of the last two frames, which no training of the stage is shown
    assert found["hidden"] == [5, 5]
    # a tenth of the residual of no motion
    assert found["stop"] == [20, 20]
    assert found["stop_mse"] == [0.4, 0.4]
    assert (found["iterations"][0], found["first_iterations"][0], found["solved"][0]) == (9, 7, 0.5)
