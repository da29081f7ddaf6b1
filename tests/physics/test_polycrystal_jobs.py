"""Polycrystals: data set, training without data, scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from phasemill import config
from phasemill.core import store
from phasemill.core.model_files import load_model
from phasemill.grains.config.polycrystal import PolycrystalStepperJob, PolycrystalTruthJob
from phasemill.grains.datasets import polycrystal as polycrystal_dataset
from phasemill.grains.evaluate.polycrystal import predict, score
from phasemill.grains.initial import one_hot, voronoi
from phasemill.grains.network import Stepper
from phasemill.grains.physics import Medium
from phasemill.grains.simplex import Phases
from phasemill.grains.train import polycrystal as train_polycrystal
from phasemill.grains.train.polycrystal import networks, rollout

pytestmark = pytest.mark.physics

MANY = Phases.of(Medium(eta=7 / 63, mu=5e-5, dx=1 / 63), 30.0)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(4)


def test_a_network_moves_numbered_grains_alike() -> None:
    network = Stepper("gru", 4)
    torch.nn.init.normal_(network.out.weight, std=0.5)
    phi = torch.from_numpy(one_hot(voronoi(np.random.default_rng(3), (16, 16), 4), 4).astype(np.float32))[None]
    order = [2, 0, 3, 1]
    for (one, *_), (other, *_) in zip(
        rollout(network, phi, 3, MANY), rollout(network, phi[:, order], 3, MANY), strict=True
    ):
        torch.testing.assert_close(one[:, order], other, rtol=0, atol=1e-5)
        torch.testing.assert_close(one.sum(dim=1), torch.ones(1, 16, 16), rtol=0, atol=1e-5)


def test_scores_of_areas() -> None:
    truth = np.array([[2.0, 2.0, 0.0], [3.0, 1.0, 0.0]])
    found = score(truth, np.array([[2.0, 2.0, 0.0], [2.5, 1.5, 0.0]]))
    assert found["area_error"] == pytest.approx(0.25)
    assert found["grains_off"] == 0
    assert score(truth, truth)["area_error"] == 0


def test_data_training_and_prediction(tmp_path: Path) -> None:
    """A few steps on the energy of intervals lower it, and the residual, on a polycrystal that is not trained on."""
    settings = config.load(config.read_yaml(Path("config/config.yaml")))
    truth = PolycrystalTruthJob.model_validate_json(settings.spec("grain_polycrystal_truth", "smoke"))
    job = PolycrystalStepperJob.model_validate_json(settings.spec("grain_polycrystal_stepper", "smoke"))
    fewer = truth.polycrystal.model_copy(update={"cells": 32, "until": 60.0, "frames": 2, "train": 1, "test": 1})
    job = job.model_copy(
        update={"polycrystal": fewer, "crystals": job.crystals.model_copy(update={"steps": 40, "length": 2})}
    )
    data, model = tmp_path / "truth.zarr", tmp_path / "model.safetensors"
    polycrystal_dataset.simulate(truth.model_copy(update={"polycrystal": fewer}), data)
    found = store.open_dataset(data)
    assert found["phi"].dims == ("sim", "time", "grain", "x", "y")
    np.testing.assert_allclose(found["phi"].sum("grain"), 1, atol=1e-5)
    assert (np.diff(found["energy"].values, axis=1) < 0).all()
    assert (found["grains"][:, 0] > 2).all()
    for sim in range(2):
        gone = [float(found["time"][np.argmax(area <= 0)]) if (area <= 0).any() else np.nan
                for area in found["area"][sim].values.T]  # fmt: skip
        np.testing.assert_array_equal(found["extinction"][sim], gone)
    train_polycrystal.train(
        job, data, model, checkpoints=tmp_path / "checkpoints", history=tmp_path / "history.csv", threads=1, device="cpu",
    )  # fmt: skip
    trained = networks(job)
    load_model(model, trained)
    phases = Phases.of(polycrystal_dataset.medium_of(fewer), fewer.until / fewer.frames)
    first = torch.from_numpy(found["phi"][1, 0].values.astype(np.float32))
    source = phases.source(first[None])
    energy, residual = {}, {}
    for name, network in {"untrained": networks(job)["seed_0"], "trained": trained["seed_0"]}.items():
        end = torch.from_numpy(predict(network, first.numpy(), 1, phases)[1:])
        energy[name] = float(phases.energy(end, source))
        residual[name] = float(phases.residual(end, source).square().mean())
    least = float(phases.energy(phases.minimum(first[None]), source))
    assert least < energy["trained"]
    assert energy["trained"] - least < 0.5 * (energy["untrained"] - least)
    assert residual["trained"] < 0.5 * residual["untrained"]
