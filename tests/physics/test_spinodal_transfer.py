"""The stages of the transfer and the arms of the ablation: what differs between trainings, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.core.model_files import load_model
from phasemill.core.seeds import branch, number_seeds
from phasemill.spinodal.config.data import CahnHilliardJob, Medium, Mixtures, Training
from phasemill.spinodal.config.learned import Curriculum, Network
from phasemill.spinodal.config.transfer import STAGES, Stages, StagesJob, Transfer, TransferJob, TransferStagesJob
from phasemill.spinodal.config.variants import ARMS, Variants, VariantsJob
from phasemill.spinodal.datasets.mixtures import draw
from phasemill.spinodal.datasets.mixtures import simulate as simulate_boxes
from phasemill.spinodal.datasets.stages import first, late_box, load_stage, simulate
from phasemill.spinodal.evaluate import ablation_claims, transfer_claims
from phasemill.spinodal.evaluate.numbers import interval
from phasemill.spinodal.evaluate.transfer import load_shipped
from phasemill.spinodal.physics import Medium as Constants
from phasemill.spinodal.solver import integrate
from phasemill.spinodal.train import transfer as train_transfer
from phasemill.spinodal.train import variants as train_variants
from phasemill.spinodal.train.many import start
from tests import mixtures

pytestmark = pytest.mark.physics

MEDIUM = Medium(**mixtures.MEDIUM)
MIXTURES = Mixtures(**mixtures.MIXTURES)
WANTED = Stages(
    size=16, frames=4, tolerance=1e-4, train=2, validation=1, test=1, late_times={"low": 5, "high": 10},
    surface_times={"low": 0.5, "high": 2},
)  # fmt: skip
BOXES = Training(
    size=16, simulations=3, validation=1, frames=3, tolerance=1e-3, late=0.0, late_times={"low": 0.5, "high": 5.0}
)
AT_REST = Curriculum(
    stages=[{"steps": 2, "rollout": 1}], batch=2, learning_rate=1e-30, warm_up=1, clip=1.0, average=0.9, every=2,
    loss="relative", from_start=0.5, downscale="nearest",
)  # fmt: skip
"""A training that changes nothing, so that what it began with can be seen."""
NETWORK = Network(inputs="features", output="central", channels=3)
TRANSFER = Transfer(
    seeds=2,
    sequences=[1, 2],
    first=AT_REST,
    further=AT_REST,
    rates=[1.0],
    shipped="features",
    steps=4,
    every=2,
    boxes=1,
)


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
    lively = AT_REST.model_copy(update={"learning_rate": 1e-3})
    job = TransferStagesJob(
        seed=1, medium=MEDIUM, network=NETWORK, transfer=TRANSFER.model_copy(update={"first": lively})
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


def test_both_ways_are_tried_at_all_rates_and_validation_chooses(stages: Path, tmp_path: Path) -> None:
    stages_of = {"stages": [{"steps": 8, "rollout": 1}], "learning_rate": 1e-2, "every": 4}
    further = Curriculum(**(AT_REST.model_dump() | stages_of))
    transfer = TRANSFER.model_copy(
        update={"seeds": 1, "sequences": [2], "further": further, "rates": [1.0, 1e-20, 50.0]}
    )
    job = TransferStagesJob(seed=1, medium=MEDIUM, network=NETWORK, transfer=transfer)
    path = tmp_path / "stages.safetensors"
    train_transfer.train(
        job, stages, path, checkpoints=tmp_path / "c", history=tmp_path / "history.csv", threads=1, device="cpu"
    )
    trained = train_transfer.networks(job)
    card = load_model(path, trained)
    still = start(NETWORK, number_seeds(1, "spinodal_transfer", 1)[0])
    rates = [0.01, 1e-22, 0.5]
    for name, run in card["runs"].items():
        if run["stage"] == "early":
            continue
        errors = run["validation_by_rate"]
        assert [float(rate) for rate in errors] == rates
        assert errors[f"{run['learning_rate']:g}"] == min(errors.values()), name
        assert len(set(errors.values())) == len(rates), "the rates make no difference"
        moved = max(
            float((a - b).detach().abs().max())
            for a, b in zip(trained[name].parameters(), still.parameters(), strict=True)
        )
        assert (moved > 1e-6) == (run["learning_rate"] > 1e-20), name
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 1 + 1 + 4 * len(rates) * 2


def test_no_box_of_the_first_design_is_used_again() -> None:
    for stage in STAGES:
        new = first(MIXTURES, WANTED, MEDIUM, 1, stage, 3)["phi"]
        for seed in branch(1, f"cahn_hilliard_stages {stage}", 4):
            wanted = BOXES.model_copy(update={"late": float(stage != "early"), "late_times": WANTED.late_times})
            old = draw(MIXTURES, wanted, MEDIUM, seed)["phi"]
            assert np.abs(new - old).max() > 0.05
    held = [late_box(MIXTURES, WANTED, MEDIUM, 1, number)["phi"] for number in (0, 1)]
    assert np.abs(held[0] - first(MIXTURES, WANTED, MEDIUM, 1, "late", 0)["phi"]).max() > 0.05
    assert np.abs(held[0] - held[1]).max() > 0.05


def arms(**errors: list[float]) -> dict[str, dict[str, object]]:
    """Arms with these errors; the others have learned."""
    names = ("reference", "none", "given", "at_once")
    return {
        name: {"errors": errors.get(name, [0.2, 0.2]), "fine": errors.get(name, [0.2, 0.2]), "steps": 9}
        for name in names
    }


def claim(name: str, passes: float = 2.0, blown: float = 0.3, **errors: list[float]) -> tuple[float | None, str]:
    long = {"reference": {"errors": [0.2, blown]}, "plain": {"ratio": 4.0, "ratios": [4.0, 4.0]}}
    run = {"passes": passes, "steps": 9, "batch": 2, "sequences": 6}
    run |= {"train_mse": 0.1, "validation_mse": 0.11, "validation_persistence": 1.0}
    claims, notes = ablation_claims.claims_and_notes(
        arms(**errors), long, {"nearest": 0.01}, {"coarse": 1.0, "fine": 1.0}, [run, run]
    )
    return claims[f"spinodal.ablation.{name}"], notes[f"spinodal.ablation.{name}"]


@pytest.mark.parametrize(
    ("name", "given", "value", "words"),
    [
        ("downscale", {"none": [0.1, 0.1]}, 2.0, "Ratio by seed: 2, 2"),
        ("downscale", {"none": [0.1, 1.1]}, None, "no down-scaling has 0.1, 1.1 times"),
        ("downscale", {"none": [0.1, float("nan")]}, None, "no down-scaling has"),
        ("downscale", {"reference": [1.2, 0.1]}, None, "reference has 1.2, 0.1 times"),
        ("curriculum", {"at_once": [0.4, 0.4]}, 2.0, "after 9 steps"),
        ("curriculum", {"at_once": [0.4, 3.0]}, None, "no curriculum has 0.4, 3 times"),
        ("divergence", {"plain": []}, 4.0, "By seed: 4, 4"),
        ("divergence", {"blown": 1.5}, None, "blows up too, in 1 of 2"),
        ("overfitting", {"passes": 1.5}, 1.1, "Covers 9 steps of 2 windows: 3 windows of each of 6 sequences, 1.5 passes"),
        ("overfitting", {"passes": 0.3}, None, "0.3 passes"),
    ],
)  # fmt: skip
def test_no_arm_wins_against_a_failure(name: str, given: dict[str, Any], value: float | None, words: str) -> None:
    found, note = claim(name, **given)
    assert found == (None if value is None else pytest.approx(value))
    assert words in note
    assert note.startswith("Not testable") == (value is None)


@pytest.mark.parametrize(
    ("before", "scratch", "still", "ratio", "words"),
    [
        ([300.0, 500.0], [0.4, 0.4], 0.8, 0.5, "blows up in 2 of 2"),
        ([0.25, 500.0], [0.4, 0.4], 0.8, np.sqrt(0.2 / 0.25 * 0.5), "the network before where it stays bounded"),
        ([0.25, 0.25], [0.4, 0.4], 0.8, 0.8, "late windows alone, standing still and the network before."),
        ([300.0, 300.0], [70.0, 90.0], 0.1, 2.0, "blows up in 2 of 2"),
    ],
)
def test_late_coarsening_is_cured_only_where_nothing_simpler_does_as_well(
    before: list[float], scratch: list[float], still: float, ratio: float, words: str
) -> None:
    late = {
        "before": {"errors": before, "blown": sum(value >= 1 for value in before)},
        "scratch": {"errors": scratch},
        "transfer": {"errors": [0.2, 0.2]},
        "still": {"energy_error": still},
    }
    assert_late(late, ratio, words)


def assert_late(late: dict[str, Any], ratio: float, words: str) -> None:
    surface = {"shipped": 0.7, "before": [2.0, 2.0], "scratch": {"1": [0.6, 0.6], "2": [0.6, 0.6]}}
    for after, wanted in ((0.3, {"surface": 2.0, "law_bound": 4.0}), (1.3, {"surface": None, "law_bound": 4.0})):
        errors = {"late": {"shipped": 0.1}, "surface": surface | {"transfer": {"1": [0.3, after], "2": [0.5, 0.5]}}}
        claims, notes = transfer_claims.claims_and_notes(TRANSFER, errors, late)
        assert claims["spinodal.transfer.late"] == pytest.approx(ratio)
        assert words in notes["spinodal.transfer.late"]
        for name, value in wanted.items():
            assert claims[f"spinodal.transfer.{name}"] == (None if value is None else pytest.approx(value))
        assert "0.7 times the error of standing still" in notes["spinodal.transfer.law_bound"]


def test_the_shipped_network_is_scored_only_in_its_own_medium() -> None:
    job = TransferJob.model_construct(medium=MEDIUM, transfer=TRANSFER)
    assert load_shipped(job).interval == MEDIUM.interval
    other = TransferJob.model_construct(medium=MEDIUM.model_copy(update={"interval": 1.0}), transfer=TRANSFER)
    with pytest.raises(InputError, match=r"transfer\.shipped features"):
        load_shipped(other)


def test_fewer_steps_keep_the_shape_of_the_learning_rate() -> None:
    reference = Curriculum(**(AT_REST.model_dump() | {
        "stages": [{"steps": 60, "rollout": 1}, {"steps": 14, "rollout": 10}], "warm_up": 20, "every": 37, "batch": 2,
    }))  # fmt: skip
    job = VariantsJob(
        seed=1, medium=MEDIUM, network=NETWORK, variants=Variants(seeds=1, validation=1, training=reference)
    )
    shapes = {arm: job.settings(ARMS[arm], 2) for arm in ("reference", "at_once", "none")}
    assert {arm: (one.steps, one.warm_up, one.every) for arm, one in shapes.items()} == {
        "reference": (74, 20, 37), "at_once": (20, 5, 10), "none": (18, 5, 9),
    }  # fmt: skip


def test_the_arms_begin_alike(tmp_path: Path) -> None:
    data = tmp_path / "cahn_hilliard.zarr"
    simulate_boxes(CahnHilliardJob(seed=1, medium=MEDIUM, mixtures=MIXTURES, data=BOXES), data)
    settings = Variants(seeds=1, validation=1, training=AT_REST)
    job = VariantsJob(seed=1, medium=MEDIUM, network=NETWORK, variants=settings)
    path = tmp_path / "variants.safetensors"
    train_variants.train(
        job, data, path, checkpoints=tmp_path / "c", history=tmp_path / "history.csv", threads=1, device="cpu"
    )
    trained = train_variants.networks(1, NETWORK)
    card = load_model(path, trained)
    reference = torch.cat([w.flatten() for w in trained["reference_0"].parameters()])
    for arm, settings_of_arm in ARMS.items():
        network, facts = trained[f"{arm}_0"], card["runs"][f"{arm}_0"]
        assert (network.inputs, network.output) == (settings_of_arm.inputs, settings_of_arm.output)
        assert ("train_mse" in facts) == (arm == "reference")
        assert facts["passes"] == pytest.approx(facts["steps"] * facts["batch"] / (2 * 2))  # 2 sequences of 2 intervals
        if (network.inputs, network.output) == ("features", "central"):
            torch.testing.assert_close(
                torch.cat([w.flatten() for w in network.parameters()]), reference, rtol=0, atol=1e-7, msg=arm
            )


def test_intervals_of_the_geometric_mean() -> None:
    low, high = interval([1.0, np.e, np.e**2])
    half = 4.302653 / np.sqrt(3)  # t of two degrees of freedom; the logarithms 0, 1, 2 have deviation 1
    assert (low, high) == (pytest.approx(np.exp(1 - half)), pytest.approx(np.exp(1 + half)))
    assert interval([2.0]) == (None, None)


def test_the_same_seed_gives_the_same_start() -> None:
    one, two, other = (start(NETWORK, seed) for seed in (4, 4, 5))
    for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c) or not a.any()
