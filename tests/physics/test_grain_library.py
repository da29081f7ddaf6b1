"""Networks that come with phasemill: each fits the benchmark whose laptop scale counts on it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from phasemill import config
from phasemill.core.errors import InputError
from phasemill.core.model_files import read_card, save_model
from phasemill.grains import library
from phasemill.grains.config.learned import StepperJob
from phasemill.grains.config.polycrystal import PolycrystalStepperJob
from phasemill.grains.library import fill, shipped
from phasemill.grains.network import Stepper
from phasemill.grains.train import polycrystal as train_polycrystal
from phasemill.grains.train.stepper import Hybrid, hybrids

pytestmark = pytest.mark.physics

STEPPERS = sorted(name for name in config.JOBS if name.startswith("grain_") and name.endswith("_stepper"))
CASE = {"cells": 16, "eta": 5.0, "mu": 1e-3, "sigma": 1.0, "dg": 0.5, "until": 40.0, "frames": 20}
RECURRENT = {"cell": "gru", "channels": 3, "batch": 2}


@pytest.fixture(scope="module")
def settings() -> config.Config:
    return config.load(config.read_yaml(Path("config/config.yaml")))


@pytest.mark.parametrize("name", STEPPERS)
def test_the_laptop_scale_finds_the_networks_that_it_counts_on(settings: config.Config, name: str) -> None:
    job = config.JOBS[name].model_validate_json(settings.spec(name, "laptop"))
    assert isinstance(job, StepperJob | PolycrystalStepperJob)
    build: Callable[[Any, int], nn.Module]
    if isinstance(job, PolycrystalStepperJob):
        steps, wanted, build = job.crystals.steps, train_polycrystal.networks(job), Stepper
    else:
        steps, wanted = job.learn.steps, hybrids(job.case, job.learn, job.recurrent)

        def build(cell: Any, channels: int) -> nn.Module:
            return Hybrid(Stepper(cell, channels))

    path = library.WEIGHTS / f"{job.benchmark}.safetensors"
    if steps:
        assert not path.is_file()  # nobody would notice that it is old
        return
    facts, card, stored = fill(job.benchmark, job.model_dump(), wanted, build), read_card(path), load_file(path)
    for key, value in wanted.state_dict().items():
        assert torch.equal(value, stored[key])
        if key.endswith("out.weight"):
            assert value.abs().max() > 1e-3  # it is trained
    assert facts == {run: card["runs"][run] | {"shipped": card["provenance"]} for run in wanted}
    assert shipped(facts) == [card["provenance"]]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.ModuleDict:
    """Two networks that come along, of a benchmark `toy`."""
    monkeypatch.setattr(library, "WEIGHTS", tmp_path)
    made = nn.ModuleDict({f"a_{number}": Stepper("gru", 3) for number in range(2)})
    for number, one in enumerate(made.values()):
        nn.init.constant_(one.out.bias, 1.0 + number)  # type: ignore[arg-type]  # there is one
    card = {
        "runs": {name: {"steps": 7, "residual": 0.1} for name in made},
        "spec": {"seed": 1, "toy": CASE, "toy_learn": {"steps": 7}, "recurrent": RECURRENT},
        "provenance": {"started": "then", "what": "train toy"},
    }
    save_model(tmp_path / "toy.safetensors", made, card)
    return made


def wanted(*names: str, cell: Any = "gru", channels: int = 3) -> nn.ModuleDict:
    return nn.ModuleDict({name: Stepper(cell, channels) for name in names})


def spec(**change: float) -> dict[str, Any]:
    """Of a job of that benchmark, with other steps and channels and a case with other constants."""
    return {"seed": 2, "recurrent": RECURRENT, "toy": CASE | change, "toy_learn": {"steps": 0}}


def test_networks_are_filled_by_name(toy: nn.ModuleDict) -> None:
    only = wanted("a_1")
    facts = fill("toy", spec(), only, Stepper)
    assert all(torch.equal(one, two) for one, two in zip(only.parameters(), toy["a_1"].parameters(), strict=True))
    provenance = {"started": "then", "what": "train toy"}
    assert facts == {"a_1": {"steps": 7, "residual": 0.1, "shipped": provenance}}
    both = wanted("a_0", "a_1")
    assert shipped(fill("toy", spec(), both, Stepper)) == [provenance]
    assert both.state_dict()["a_0.out.bias"].item() == 1
    assert shipped({"a_0": {"steps": 7}}) == []


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"eta": 3.5}, "are for eta 5, not 3.5; train it yourself"),
        ({"mu": 1e-4}, "mu 0.001, not 0.0001"),
        ({"sigma": 2.0}, "sigma 1, not 2"),
        ({"dg": 0.0}, "dg 0.5, not 0"),
        ({"cells": 32}, "cells 16, not 32"),
        ({"until": 80.0}, "interval 2, not 4"),
        ({"frames": 40}, "interval 2, not 1"),
        ({"eta": 4.0, "mu": 2e-3}, "eta 5, not 4, mu 0.001, not 0.002"),
    ],
)
def test_networks_of_another_equation_are_refused(change: dict[str, float], words: str) -> None:
    """Also where their sizes fit."""
    untouched = wanted("a_0")
    with pytest.raises(InputError, match=words):
        fill("toy", spec(**change), untouched, Stepper)
    assert not untouched.state_dict()["a_0.out.bias"].any()


@pytest.mark.usefixtures("toy")
def test_a_longer_run_of_the_same_intervals_is_the_same_equation() -> None:
    fill("toy", spec(until=80.0, frames=40), wanted("a_0"), Stepper)


@pytest.mark.usefixtures("toy")
def test_what_else_is_refused() -> None:
    with pytest.raises(InputError, match="no networks of other come with phasemill; train it yourself"):
        fill("other", spec(), wanted("a_0"), Stepper)
    with pytest.raises(InputError, match="has the runs a_0, a_1, not a_2; lower seeds or train"):
        fill("toy", spec(), wanted("a_0", "a_1", "a_2"), Stepper)
    for sizes in ({"channels": 4}, {"cell": "lstm"}):
        with pytest.raises(InputError, match="have 3 channels and the cell gru; set recurrent so or train"):
            fill("toy", spec(), wanted("a_0", **sizes), Stepper)
