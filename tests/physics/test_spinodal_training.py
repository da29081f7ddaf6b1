"""Training of networks that step through time: loss, curricula, symmetries, restarts, several processes."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from phasemill.core import loop, ranks
from phasemill.core.errors import InputError
from phasemill.spinodal.config.data import CahnHilliardJob, Medium, Mixtures, Training
from phasemill.spinodal.config.learned import Curriculum, Network, RecurrentJob, Stage
from phasemill.spinodal.config.variants import ARMS, Fno, FnoJob, Unet, UnetJob, Variants, VariantsJob, redistribute
from phasemill.spinodal.datasets.mixtures import coarsen, simulate
from phasemill.spinodal.fused import Fused
from phasemill.spinodal.library import load_model
from phasemill.spinodal.network import ConvGRU
from phasemill.spinodal.physics import Medium as Constants
from phasemill.spinodal.physics import euler_step
from phasemill.spinodal.train import curriculum as training
from phasemill.spinodal.train.curriculum import (
    augment,
    draw_window,
    fit,
    rollout_errors,
    rollout_loss,
    stage_at,
    warm_cosine,
)
from tests import mixtures

pytestmark = pytest.mark.physics

MEDIUM = Medium(**mixtures.MEDIUM)
MIXTURES = Mixtures(**mixtures.MIXTURES)
DATA = Training(
    size=16, simulations=6, validation=2, frames=8, tolerance=1e-3, late=0.3, late_times={"low": 0.5, "high": 5.0}
)
SETTINGS = Curriculum(
    stages=[{"steps": 3, "rollout": 1}, {"steps": 3, "rollout": 2, "pieces": 2}], batch=2, learning_rate=1e-3, warm_up=2,
    clip=1.0, average=0.9, loss="relative", from_start=0.5, every=2, downscale="nearest",
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "cahn_hilliard.zarr"
    simulate(CahnHilliardJob(seed=1, medium=MEDIUM, mixtures=MIXTURES, data=DATA), path)
    return path


def demix() -> dict[str, np.ndarray]:
    """Boxes that an explicit solver has demixed, on a grid of 6 cells per side."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(4):
        phi, series = 0.5 + 0.1 * rng.standard_normal((6, 6, 6)), []
        for _ in range(6):
            series.append(phi)
            for _ in range(20):
                phi = euler_step(phi, 2.5e-3, Constants())
        found.append(series)
    stored = np.array(found, np.float32)
    return {"train": stored[:3], "validation": stored[3:]}


@pytest.fixture(scope="module")
def frames() -> dict[str, np.ndarray]:
    return demix()


def run_fit(frames: dict[str, np.ndarray], folder: Path, settings: Curriculum = SETTINGS, **changes: Any) -> Any:
    torch.manual_seed(5)
    network = ConvGRU("features", "central", 4)
    training.initialise(network)
    return fit(
        network, changes.pop("stepper", Fused), frames, settings, 7, checkpoints=folder / "checkpoints", key="k" * 20,
        history=folder / "history.csv", label="test",
    )  # fmt: skip


# ---- loss and windows


def still(phi: Tensor, state: Any) -> tuple[Tensor, Any]:
    return phi, state


@pytest.mark.parametrize("pieces", [0, 1])
def test_the_relative_loss_of_standing_still_is_one(frames: dict[str, np.ndarray], pieces: int) -> None:
    window, stage = torch.from_numpy(frames["train"]), Stage(steps=1, rollout=2, pieces=2)
    loss, _, _ = rollout_loss(still, window, window[:, 0], None, stage, 2 * pieces, "relative")
    assert float(loss) == pytest.approx(1, rel=2e-2)  # less the small number that guards against division by zero
    plain, _, _ = rollout_loss(still, window, window[:, 0], None, stage, 2 * pieces, "plain")
    target = window[:, 2 * pieces + 1 : 2 * pieces + 3]
    assert float(plain) == pytest.approx(float(((target - window[:, :1]) ** 2).mean()))


@pytest.mark.parametrize("given", [1, 2, 4])
def test_the_network_is_fed_the_given_frames(frames: dict[str, np.ndarray], given: int) -> None:
    window, seen = torch.from_numpy(frames["train"]), []

    def shift(phi: Tensor, state: Any) -> tuple[Tensor, Any]:
        seen.append(phi)
        return phi + 1, state

    rollout_loss(shift, window, window[:, 0], None, Stage(steps=1, rollout=4, given=given), 0, "plain")
    for frame, phi in enumerate(seen):
        free = frame - given + 1
        expected = window[:, frame] if free <= 0 else window[:, given - 1] + free
        torch.testing.assert_close(phi, expected)


def test_a_rollout_that_blows_up_still_teaches() -> None:
    """Twelve steps of a cubic map overflow; the loss ends where the field leaves all bounds."""
    window, gain = torch.full((2, 13, 4, 4, 4), 0.5), torch.tensor(50.0, requires_grad=True)
    steps = []

    def cube(phi: Tensor, state: Any) -> tuple[Tensor, None]:
        steps.append(float(phi.detach().max()))
        return gain * phi**3, None

    for kind in ("relative", "plain"):
        loss, phi, _ = rollout_loss(cube, window, window[:, 0], None, Stage(steps=1, rollout=12), 0, kind)
        (slope,) = torch.autograd.grad(loss, gain)
        assert torch.isfinite(torch.stack([loss, slope])).all()
        assert slope > 0
        assert training.blown_up(phi)
    assert len(steps) == 2 * 2


def test_roll_out_errors_are_those_of_each_frame(frames: dict[str, np.ndarray]) -> None:
    window = torch.from_numpy(frames["train"])
    errors, none = rollout_errors(still, window)
    assert torch.equal(errors, none)
    assert errors.shape == (5,)
    torch.testing.assert_close(errors[2], ((window[:, 0] - window[:, 3]) ** 2).mean())


def test_augmentation_is_a_symmetry_of_the_solver() -> None:
    """Steps of the augmented first frame give the augmented later frames."""
    rng, medium = np.random.default_rng(2), Constants()
    phi = rng.uniform(size=(2, 5, 5, 5))
    later = np.stack([euler_step(field, 1e-3, medium) for field in phi])
    window = torch.from_numpy(np.stack([phi, later], 1))
    kinds = set()
    for _ in range(60):
        first, second = augment(rng, window).unbind(1)
        for field, target in zip(first.numpy(), second.numpy(), strict=True):
            np.testing.assert_allclose(euler_step(field, 1e-3, medium), target, rtol=0, atol=1e-14)
        kinds.add(first[0].numpy().tobytes())
    assert len(kinds) > 30  # of 96


def test_windows_come_from_one_sequence_and_often_begin_at_its_start() -> None:
    truth = torch.arange(4 * 20).view(4, 20, 1, 1, 1).float()
    stage, starts = Stage(steps=1, rollout=3, pieces=2), []
    for index in range(200):
        window = draw_window(loop.rng(1, index), truth, SETTINGS, stage)[..., 0, 0, 0]
        assert window.shape == (2, 7)
        assert (window.diff(dim=1) == 1).all()
        assert len(set((window[:, 0] // 20).tolist())) == 2
        starts += (window[:, 0] % 20).tolist()
    assert max(starts) == 13
    assert starts.count(0) / len(starts) == pytest.approx(0.5 + 0.5 / 14, abs=0.08)


# ---- schedules


@pytest.mark.parametrize(("step", "rollout"), [(0, 1), (2, 1), (3, 2), (5, 2), (99, 2)])
def test_stages_follow_each_other(step: int, rollout: int) -> None:
    assert stage_at(SETTINGS, step).rollout == rollout


def test_the_learning_rate_warms_up_and_falls_to_one_percent() -> None:
    rates = [warm_cosine(step, SETTINGS) for step in range(7)]
    assert rates[:2] == [0.5, 1.0]
    assert rates[2] == 1.0
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_curricula_cost_the_same() -> None:
    stages = [Stage(steps=60, rollout=1), Stage(steps=20, rollout=3), Stage(steps=30, rollout=6)]
    cost = {
        kind: sum(stage.steps * stage.rollout * stage.pieces for stage in redistribute(stages, kind))
        for kind in ("growing", "given", "none")
    }
    assert cost == {"growing": 300, "given": 300, "none": 300}
    taught = redistribute(stages, "given")
    assert [stage.given for stage in taught] == [6, 5, 4, 3, 2, 1]
    assert {stage.rollout for stage in taught} == {6}


@pytest.mark.parametrize(("batch", "wanted", "steps"), [(8, 1, 30), (16, 2, 30), (2, 1, 7), (4, 1, 15)])
def test_without_down_scaling_as_many_cells_are_predicted(batch: int, wanted: int, steps: int) -> None:
    network = Network(inputs="features", output="central", channels=10)
    reference = SETTINGS.model_copy(update={"batch": batch, "stages": [Stage(steps=30, rollout=2)]})
    job = VariantsJob(
        seed=1, medium=MEDIUM, network=network, variants=Variants(seeds=1, validation=1, training=reference)
    )
    found = job.settings(ARMS["none"], 2)
    assert (found.batch, found.steps, found.downscale) == (wanted, steps, "none")
    assert job.settings(ARMS["reference"], 2) == reference


# ---- whole trainings


def test_a_short_training_lowers_the_loss(frames: dict[str, np.ndarray], tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(
        update={"stages": [Stage(steps=60, rollout=2)], "every": 30, "batch": 3, "learning_rate": 5e-3, "average": 0.5}
    )
    result, _ = run_fit(frames, tmp_path, settings)
    assert result.rows[-1]["loss"] < 0.7 * result.rows[0]["loss"] < 1
    assert result.rows[-1]["validation_relative"] < 0.5


def test_the_papers_curriculum_runs(frames: dict[str, np.ndarray], tmp_path: Path) -> None:
    stages = redistribute([Stage(steps=2, rollout=1), Stage(steps=3, rollout=4)], "given")
    result, _ = run_fit(frames, tmp_path, SETTINGS.model_copy(update={"stages": stages}))
    assert result.step == sum(stage.steps for stage in stages)


def test_a_killed_training_goes_on_bit_equal(
    frames: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, weights = run_fit(frames, tmp_path / "whole")
    made = 0

    def failing(network: ConvGRU) -> Fused:
        nonlocal made
        made += 1
        if made == 10:  # in the second stage
            raise KeyboardInterrupt
        return Fused(network)

    plain = loop.train
    monkeypatch.setattr(training.loop, "train", lambda *args, **options: plain(*args, **options, checkpoint_every=1))
    with pytest.raises(KeyboardInterrupt):
        run_fit(frames, tmp_path / "killed", stepper=failing)
    saved = sorted(path.stem for path in (tmp_path / "killed").rglob("step-*.pt"))
    assert "step-00000000" < saved[-1] < f"step-{SETTINGS.steps:08d}"
    resumed, found = run_fit(frames, tmp_path / "killed")
    assert [{**row, "seconds": 0} for row in resumed.rows] == [{**row, "seconds": 0} for row in whole.rows]
    for name, value in weights.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


NETWORK = Network(inputs="raw", output="central", channels=4)
JOBS = {
    "recurrent": RecurrentJob(seed=1, medium=MEDIUM, network=NETWORK, training=SETTINGS),
    "fno": FnoJob(seed=1, medium=MEDIUM, fno=Fno(width=4, modes=2, layers=1, learning_rate=7e-4), training=SETTINGS),
    "unet": UnetJob(seed=1, medium=MEDIUM, unet=Unet(width=4, learning_rate=7e-4), training=SETTINGS),
}


@pytest.mark.parametrize("kind", list(JOBS))
def test_a_trained_model_is_stored_with_its_card(kind: str, data: Path, tmp_path: Path) -> None:
    path, history = tmp_path / "model.safetensors", tmp_path / "history.csv"
    training.train(JOBS[kind], data, path, checkpoints=tmp_path / "c", history=history, threads=1, device="cpu")
    model = load_model(path)
    assert (model.card["kind"], model.interval, model.factor) == (kind, 0.5, 2)
    with history.open() as stream:
        last = list(csv.DictReader(stream))[-1]
    assert int(last["step"]) == SETTINGS.steps
    if kind == "recurrent":
        assert model.network.inputs == "raw"  # trained centred, folded back
    phi = torch.from_numpy(coarsen(np.random.default_rng(0).uniform(size=(1, 16, 16, 16)).astype(np.float32), 2))
    moved, _ = model.step(phi, None)
    assert moved.shape == phi.shape
    assert not torch.equal(moved, phi)


# ---- several processes


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    """The program in two processes of gloo, on one thread each."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_two_processes_train_as_one_does(data: Path, tmp_path: Path) -> None:
    """`torchrun` with two processes of gloo, one sample each, against one with both; in float32, so without rounding."""
    settings = SETTINGS.model_copy(update={"stages": [Stage(steps=3, rollout=1), Stage(steps=3, rollout=2, pieces=2)]})
    job = JOBS["fno"].model_copy(update={"training": settings})
    alone = tmp_path / "alone"
    training.train(
        job,
        data,
        alone / "model.safetensors",
        checkpoints=alone,
        history=alone / "history.csv",
        threads=1,
        device="cpu",
    )
    pair = tmp_path / "pair"
    words = ["-m", "phasemill", "train", "spinodal_fno", "--spec", job.model_dump_json(), "--data", str(data)]
    words += ["--checkpoints", str(pair), "--history", str(pair / "history.csv"), "--device", "cpu"]
    done = torchrun(*words, "--output", str(pair / "model.safetensors"))
    one, two = (load_file(folder / "model.safetensors") for folder in (alone, pair))
    torch.manual_seed(job.seed)
    start = training.build(job, np.zeros((1, 1, 8, 8, 8), np.float32))[2].state_dict()
    assert max(float((one[name] - start[name]).abs().max()) for name in one) > 1e-3
    del one["flux.bias"]  # a constant flux changes nothing: its gradient is rounding alone, which Adam makes large
    for name, value in one.items():
        assert float((two[name] - value).abs().max()) < 1e-5, name
    assert done.stderr.count("finished at step 6 of 6") == 1  # the first process alone speaks and writes
    histories = [[row["loss"] for row in csv.DictReader((f / "history.csv").open())] for f in (alone, pair)]
    np.testing.assert_allclose(*(np.array(losses, float) for losses in histories), rtol=1e-3)


PRECISIONS = (torch.float32, torch.bfloat16)


def train_in_both_precisions(folder: Path) -> None:
    """What each process of the next test does: the first stores the losses and weights."""
    with ranks.joined(torch.device("cpu")):
        for dtype in PRECISIONS:
            place = folder / str(dtype)
            result, network = run_fit(demix(), place, stepper=partial(Fused, dtype=dtype))
            if not ranks.rank():
                torch.save(([row["loss"] for row in result.rows], network.state_dict()), place / "found.pt")


def test_two_processes_train_the_recurrent_network_as_one_does(tmp_path: Path) -> None:
    """In float32 but for the order of sums; bfloat16 rounds the gradients of each process by up to 2^-9.

    Adam divides them by their size, so that small ones are far off. Measured: weights differ by 3 % of the way that
    they went, losses by 0.3 %.
    """
    train_in_both_precisions(tmp_path / "alone")
    torchrun(str(Path(__file__)), str(tmp_path / "pair"))
    torch.manual_seed(5)
    network = ConvGRU("features", "central", 4)
    training.initialise(network)
    for dtype, apart, losses_apart in zip(PRECISIONS, (2e-5, 0.06), (1e-5, 1e-2), strict=True):
        (losses, one), (pair_losses, two) = (
            torch.load(tmp_path / name / str(dtype) / "found.pt") for name in ("alone", "pair")
        )
        np.testing.assert_allclose(pair_losses, losses, rtol=losses_apart)
        names = [name for name in one if name != "to_flux.4.bias"]  # a constant flux: see above
        start, one, two = (
            torch.cat([weights[name].flatten() for name in names]) for weights in (network.state_dict(), one, two)
        )
        assert float((one - start).abs().max()) > 1e-3
        assert float((two - one).norm() / (one - start).norm()) < apart
        if dtype == torch.float32:
            assert float((two - one).abs().max()) < 1e-5


def test_a_batch_that_cannot_be_shared_is_refused(
    frames: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "count", lambda: 3)
    with pytest.raises(InputError, match="a batch of 2 is not shared evenly by 3 processes"):
        run_fit(frames, tmp_path)
    assert not list(tmp_path.iterdir())


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_in_both_precisions(Path(sys.argv[1]))
