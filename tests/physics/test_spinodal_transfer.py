"""The stages of the transfer and the arms of the ablation: what differs between trainings, and what does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from phasemill.core import store
from phasemill.core.weights import load_model
from phasemill.spinodal import train_transfer, train_variants
from phasemill.spinodal.config.data import CahnHilliardJob, Medium, Mixtures, Training
from phasemill.spinodal.config.learned import Curriculum, Network
from phasemill.spinodal.config.transfer import STAGES, Stages, StagesJob, Transfer, TransferStagesJob
from phasemill.spinodal.config.variants import ARMS, Variants, VariantsJob
from phasemill.spinodal.dataset import simulate as simulate_boxes
from phasemill.spinodal.physics import Medium as Constants
from phasemill.spinodal.solver import integrate
from phasemill.spinodal.stages_dataset import load_stage, simulate
from phasemill.spinodal.train_variants import start

pytestmark = pytest.mark.physics

MEDIUM = Medium(eps=3.0, mobility=1.0, dx=1.0, interval=0.5, factor=2)
MIXTURES = Mixtures(
    mean=0.5, mean_deviation=0.1, mean_range={"low": 0.2, "high": 0.8}, deviation={"low": 0.1, "high": 0.2},
    lattice=[16], octaves=1,
)  # fmt: skip
WANTED = Stages(
    size=16, frames=4, tolerance=1e-4, train=2, validation=1, test=1, late_times={"low": 5, "high": 10},
    surface_times={"low": 0.5, "high": 2},
)  # fmt: skip
AT_REST = Curriculum(
    stages=[{"steps": 2, "rollout": 1}], batch=2, learning_rate=1e-30, warm_up=1, clip=1.0, average=0.9, every=2,
    loss="relative", from_start=0.5, downscale="nearest",
)  # fmt: skip
"""A training that changes nothing, so that what it began with can be seen."""
NETWORK = Network(inputs="features", output="central", channels=3)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "cahn_hilliard_stages.zarr"
    simulate(StagesJob(seed=1, medium=MEDIUM, mixtures=MIXTURES, stages=WANTED), path)
    return path


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_follows_its_own_law(stages: Path, stage: str) -> None:
    source = store.open_dataset(stages)
    sim = store.meanings(source.stage).index(stage)
    phi = source.phi[sim].values.astype(np.float64)
    errors = {
        law: np.abs(integrate(phi[0], [0.0, 0.5], medium=Constants(law=law), tolerance=1e-5).frames[1] - phi[1]).max()
        for law in ("constant", "degenerate")
    }
    other = "constant" if stage == "surface" else "degenerate"
    own = "degenerate" if stage == "surface" else "constant"
    assert errors[own] < 2e-3
    assert errors[other] > 5 * errors[own]


def test_stages_start_in_their_windows_and_keep_their_splits(stages: Path) -> None:
    source = store.open_dataset(stages)
    starts = {stage: source.start.values[np.array(store.meanings(source.stage)) == stage] for stage in STAGES}
    assert (starts["early"] == 0).all()
    assert ((starts["late"] >= 4.5) & (starts["late"] <= 10.5)).all()
    assert ((starts["surface"] >= 0.5) & (starts["surface"] <= 2)).all()
    assert load_stage(source, "late", "train", 2).shape == (2, 4, 8, 8, 8)
    test, train = (load_stage(source, "surface", split, 2) for split in ("test", "train"))
    assert not any(np.array_equal(test[0], other) for other in train)


def test_transfer_begins_with_the_first_stage_and_scratch_with_chance(stages: Path, tmp_path: Path) -> None:
    settings = Transfer(
        seeds=2, sequences=[1, 2], first=AT_REST, further=AT_REST, warm=1e-30, steps=4, every=2, boxes=1
    )
    lively = AT_REST.model_copy(update={"learning_rate": 1e-3})
    job = TransferStagesJob(
        seed=1, medium=MEDIUM, network=NETWORK, transfer=settings.model_copy(update={"first": lively})
    )
    path = tmp_path / "stages.safetensors"
    train_transfer.train(
        job, stages, path, checkpoints=tmp_path / "c", history=tmp_path / "history.csv", threads=1, device="cpu"
    )
    trained = train_transfer.networks(job)
    card = load_model(path, trained)
    weights = {name: torch.cat([w.flatten() for w in net.parameters()]) for name, net in trained.items()}
    assert len(weights) == len(card["runs"]) == 2 * (1 + 2 * 2 * 2)
    for seed in (0, 1):
        first, chance = weights[f"early_scratch_0_{seed}"], weights[f"late_scratch_1_{seed}"]
        assert not torch.equal(first, chance)
        for stage in ("late", "surface"):
            for sequences in (1, 2):
                torch.testing.assert_close(weights[f"{stage}_transfer_{sequences}_{seed}"], first, rtol=0, atol=1e-7)
                torch.testing.assert_close(weights[f"{stage}_scratch_{sequences}_{seed}"], chance, rtol=0, atol=1e-7)
    assert not torch.equal(weights["late_scratch_1_0"], weights["late_scratch_1_1"])
    assert (tmp_path / "history.csv").read_text().startswith("run,step,loss,validation_mse\nearly_scratch_0_0,2,")


def test_the_arms_begin_alike(tmp_path: Path) -> None:
    data = tmp_path / "cahn_hilliard.zarr"
    boxes = Training(
        size=16, simulations=3, validation=1, frames=3, tolerance=1e-3, late=0.0, late_times={"low": 0.5, "high": 5.0}
    )
    simulate_boxes(CahnHilliardJob(seed=1, medium=MEDIUM, mixtures=MIXTURES, data=boxes), data)
    settings = Variants(seeds=1, validation=1, training=AT_REST)
    job = VariantsJob(seed=1, medium=MEDIUM, network=NETWORK, variants=settings)
    path = tmp_path / "variants.safetensors"
    train_variants.train(
        job, data, path, checkpoints=tmp_path / "c", history=tmp_path / "history.csv", threads=1, device="cpu"
    )
    trained = train_variants.networks(1, 3)
    card = load_model(path, trained)
    reference = torch.cat([w.flatten() for w in trained["reference_0"].parameters()])
    for arm, settings_of_arm in ARMS.items():
        network, facts = trained[f"{arm}_0"], card["runs"][f"{arm}_0"]
        assert (network.inputs, network.output) == (settings_of_arm.inputs, settings_of_arm.output)
        assert facts["train_mse"] > 0
        assert facts["validation_mse"] > 0
        if (network.inputs, network.output) == ("features", "central"):
            torch.testing.assert_close(
                torch.cat([w.flatten() for w in network.parameters()]), reference, rtol=0, atol=1e-7, msg=arm
            )


def test_the_same_seed_gives_the_same_start() -> None:
    one, two, other = (start("features", "central", 3, seed) for seed in (4, 4, 5))
    for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c) or not a.any()
