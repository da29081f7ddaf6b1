"""Transfer stages of the grains wing: what is carried over, what is shared, what the truth may and may not do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from phasemill import config
from phasemill.core import loop, store
from phasemill.core.errors import InputError
from phasemill.core.model_files import read_card, save_model
from phasemill.core.run import Interrupted
from phasemill.grains.config.data import Case
from phasemill.grains.config.transfer import Stage, StageJob, check_chain
from phasemill.grains.datasets.cases import load, simulate
from phasemill.grains.evaluate.transfer_tables import speedup
from phasemill.grains.march import rms
from phasemill.grains.network import Coordinates, Stepper
from phasemill.grains.train import march as train_march
from phasemill.grains.train import stepper as train_stepper
from phasemill.grains.train import transfer as train_transfer
from phasemill.grains.train.transfer import Arm, carry, networks, parent_march, plan, read
from phasemill.grains.variation import Interval

pytestmark = pytest.mark.physics

STAGE = {"waves": 2, "tolerance": 0.6, "iterations": 3, "steps": 4, "every": 2, "seeds": 1}
DISC = {"kind": "discs", "discs": [{"x": 0.5, "y": 0.5, "radius": 0.3}]}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def case(eta: float) -> Case:
    """A small disc that shrinks."""
    return Case.model_validate(
        {
            "cells": 16,
            "eta": eta,
            "mu": 8e-4,
            "sigma": 1.0,
            "dg": 0.0,
            "until": 20.0,
            "frames": 4,
            "starts": {"a": DISC},
        }
    )


def job(name: str, **blocks: Any) -> Any:
    """A job of the smoke scale with other blocks."""
    found = config.load(config.read_yaml(Path("config/config.yaml")))
    parsed = config.JOBS[name].model_validate_json(found.spec(name, "smoke"))
    return parsed.model_copy(update=blocks)


def stage(**settings: Any) -> Stage:
    return Stage.model_validate({"origins": ["scratch", "whole"], "supervised": [0.0], **STAGE, **settings})


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """The data of the child, and the parent's networks."""
    folder = tmp_path_factory.mktemp("parents")
    parent, child = {"shrink_64": case(6)}, {"shrink_64_narrow": case(4)}
    simulate(job("grain_shrink_64_truth", **parent), folder / "parent.zarr")
    simulate(job("grain_shrink_64_narrow_truth", **child), folder / "child.zarr")
    paths = [folder / "march.safetensors", folder / "stepper.safetensors"]
    options: Any = {"threads": 1, "device": "cpu", "history": folder / "history.csv"}
    train_march.train(
        job("grain_shrink_64_march", **parent), folder / "parent.zarr", paths[0], checkpoints=folder / "m", **options
    )
    train_stepper.train(
        job("grain_shrink_64_stepper", **parent), folder / "parent.zarr", paths[1], checkpoints=folder / "s",
        start=paths[0], **options,
    )  # fmt: skip
    return folder / "child.zarr", paths


def narrow(**settings: Any) -> StageJob:
    found: StageJob = job(
        "grains_transfer_narrow", shrink_64=case(6), shrink_64_narrow=case(4), transfer_narrow=stage(**settings)
    )
    return found


def trained(folder: Path, stage_job: StageJob, parents: tuple[Path, list[Path]]) -> tuple[dict[str, Any], Any]:
    """The card and the tensors of a stage."""
    output = folder / "stage.safetensors"
    train_transfer.train(
        stage_job, parents[0], output, checkpoints=folder / "checkpoints", history=folder / "history.csv", threads=1,
        device="cpu", parents=parents[1],
    )  # fmt: skip
    return read_card(output), load_file(output)


@pytest.mark.parametrize(("waves", "same"), [(2, True), (5, True), (1, False)])
def test_a_march_carries_over_to_more_harmonics_and_another_grid(waves: int, same: bool) -> None:
    torch.manual_seed(0)
    parent = Coordinates((8, 8), 2, width=6, depth=2)
    for parameter in parent.parameters():
        torch.nn.init.normal_(parameter)
    child = Coordinates((16, 16), waves, width=6, depth=2)
    carry(child, torch.nn.utils.parameters_to_vector(parent.parameters()).detach())
    assert torch.allclose(child()[:, ::2, ::2], parent(), atol=1e-6) == same


def test_another_width_is_refused() -> None:
    weights = torch.zeros(sum(one.numel() for one in Coordinates((8, 8), 2, 6, 2).parameters()))
    with pytest.raises(InputError, match=r"fits no number of harmonics at marching.width 7"):
        carry(Coordinates((8, 8), 2, 7, 2), weights)


def test_each_origin_begins_with_what_it_says(tmp_path: Path, parents: tuple[Path, list[Path]]) -> None:
    origins = ["scratch", "whole", "feed_forward", "recurrent"]
    chosen = narrow(origins=origins)
    card, _ = trained(tmp_path, chosen, parents)
    assert set(card["marches"]) == {"march_scratch_0_0", "march_transfer_0_0"}
    begun = {origin: card["runs"][f"stepper_{origin}_0_0"]["curve"][0] for origin in origins}
    # an untrained network moves nothing
    assert begun["scratch"]["mse"] == pytest.approx(card["still"]["mse"], rel=1e-6)
    assert begun["scratch"]["residual"] == pytest.approx(card["still"]["residual"], rel=1e-6)
    assert begun["feed_forward"] == begun["scratch"]
    assert begun["whole"] == begun["recurrent"] != begun["scratch"]
    # what the parent's network does here, from its own file
    network = Stepper(chosen.recurrent.cell, chosen.recurrent.channels)
    network.load_state_dict(read(parents[1], "a_0.stepper."))
    truth = torch.from_numpy(load(store.open_dataset(parents[0]))[0])
    interval = train_march.interval_of(chosen.case)
    frames, _ = train_stepper.scored_rollout(network, truth[0], 4, interval)
    assert begun["whole"]["mse"] == pytest.approx(float((frames - truth).square().mean()), rel=1e-5)
    # an interval of the march stops at a share of the residual of no motion there
    marching = card["marches"]["march_scratch_0_0"]
    assert card["still"]["residual"] == pytest.approx(marching["still"][0], rel=1e-6)
    for residual, still, solved in zip(marching["residual"], marching["still"], marching["solved"], strict=True):
        assert solved == (residual <= 0.6 * still)


def test_cpu_seconds_and_steps_grow(tmp_path: Path, parents: tuple[Path, list[Path]]) -> None:
    card, _ = trained(tmp_path, narrow(origins=["whole"]), parents)
    rows = card["runs"]["stepper_whole_0_0"]["curve"]
    assert [row["step"] for row in rows] == [0, 2, 4]
    assert 0 == rows[0]["cpu"] < rows[1]["cpu"] < rows[2]["cpu"]


def test_the_truth_only_scores_unless_it_is_shown(tmp_path: Path, parents: tuple[Path, list[Path]]) -> None:
    march = torch.from_numpy(load(store.open_dataset(parents[0]))[0])
    settings, interval = narrow().recurrent, train_march.interval_of(case(4))
    found = {}
    for name, truth, shown in (
        ("none", None, 0),
        ("other", 1 - march, 0),
        ("one", 1 - march, 1),
        ("all", 1 - march, 4),
    ):
        torch.manual_seed(0)
        network = Stepper(settings.cell, settings.channels)
        place = {"checkpoints": tmp_path / name, "key": name.ljust(16, "_")}
        train_stepper.fit(network, march, interval, settings, 6, 1, name, place, truth=truth, shown=shown)
        found[name] = torch.nn.utils.parameters_to_vector(network.parameters())
    assert torch.equal(found["none"], found["other"])
    assert not torch.allclose(found["one"], found["none"])
    assert not torch.allclose(found["all"], found["one"])


def test_a_stage_goes_on_bit_equal(
    tmp_path: Path, parents: tuple[Path, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = narrow(supervised=[0.5])
    _, whole = trained(tmp_path / "whole", chosen, parents)
    plain = loop.train

    def interrupted(training: Any, step: Any, **keywords: Any) -> Any:
        def stopping(number: int) -> Any:
            if number == 3 and "whole" in keywords["label"]:
                raise Interrupted
            return step(number)

        return plain(training, stopping, **keywords | {"checkpoint_every": 1})

    monkeypatch.setattr(loop, "train", interrupted)
    with pytest.raises(Interrupted):
        trained(tmp_path / "parts", chosen, parents)
    monkeypatch.setattr(loop, "train", plain)
    _, parts = trained(tmp_path / "parts", chosen, parents)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_last_stage_begins_with_what_the_one_before_has_made(tmp_path: Path) -> None:
    pair = job("grains_transfer_pair", transfer_pair=stage(supervised=[0.0, 0.1]), growth_2=case(4))
    many = job("grains_transfer_many", transfer_many=stage(origins=["recurrent"], waves=3), growth_35=case(4))
    made = networks(pair)
    names = {name for name, _ in made.named_children()}
    assert {Arm("whole", 0.1, 0).name, Arm("whole", 0.1, 0).march} <= names
    torch.nn.init.ones_(made["march_transfer_0_0"].weights)
    path = tmp_path / "pair.safetensors"
    save_model(path, made, {"provenance": {}})
    (arm,) = plan(many.settings)
    assert torch.equal(parent_march([path], many, arm), torch.ones_like(made["march_transfer_0_0"].weights[0]))
    with pytest.raises(InputError, match="no network march_transfer_20_0; give the files of the parent"):
        parent_march([path], many, Arm("whole", 0.2, 0))


@pytest.mark.parametrize("pair", [{}, {"seeds": 3}, {"supervised": [0.1, 0.0]}])
def test_a_chain_that_holds(pair: dict[str, Any]) -> None:
    check_chain(stage(**{"seeds": 2, **pair}), stage(seeds=2))


@pytest.mark.parametrize("pair", [{"origins": ["scratch"]}, {"supervised": [0.1]}, {"seeds": 1}])
def test_a_chain_that_breaks_is_refused(pair: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="transfer_many begins with networks of transfer_pair"):
        check_chain(stage(**{"seeds": 2, **pair}), stage(seeds=2))


@pytest.mark.parametrize(
    ("scratch", "moved", "expected"),
    [
        ([400, 600, 500], [100, 200, 300], 2.5),
        ([400, 600, 500], [0, 0, 300], 25),  # one look's worth at least
        ([math.inf, math.inf, 500], [100, 200, 300], math.inf),
        ([400, 600, 500], [math.inf, math.inf, 100], None),
    ],
)
def test_the_gain_in_steps(scratch: list[float], moved: list[float], expected: float | None) -> None:
    found: Any = {("scratch", 0.0): {"steps": scratch}, ("whole", 0.0): {"steps": moved}}
    assert speedup(found, stage(every=20), "whole", 0.0) == expected


def test_still_is_no_motion() -> None:
    interval = Interval(0.0, 1.0)
    phi = torch.full((1, 4, 4), 0.75)
    # nothing but the reaction: f = 1/2, so that the residual is phi - clip(phi + f) = -1/4 at the obstacle
    assert rms(interval.residual(phi, interval.source(phi))) == pytest.approx(0.25)
