"""The published networks and losses: sizes of Table 1, what the residual says of the exact solution, restarts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from phasemill import config
from phasemill.core import loop
from phasemill.core.run import Interrupted
from phasemill.grains.config.gradnorm import ARMS, Arm, GradnormNetworksJob, runs
from phasemill.grains.datasets.cases import simulate
from phasemill.grains.evaluate.gradnorm_facts import imbalance as imbalance_of
from phasemill.grains.initial import published_disc
from phasemill.grains.physics import Medium, free_energy
from phasemill.grains.published import train as published
from phasemill.grains.published.course import COLUMNS, TERMS, Course
from phasemill.grains.published.losses import (
    Problem,
    coded_energy_imbalance,
    energies,
    energy_imbalance,
    frame_energy,
    frame_residual,
    residual,
)
from phasemill.grains.published.network import (
    Attention,
    Bottleneck,
    Coordinates,
    Decoder,
    Encoder,
    Gru,
    Lstm,
    Recurrent,
)
from phasemill.grains.solver import implicit_march, integrate

pytestmark = pytest.mark.physics

MEDIUM = Medium(eta=7 / 63, mu=5e-5, dx=1 / 63)
PROBLEM = Problem(MEDIUM, 30.02, 1501.0)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(3)


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    """All frames of the first benchmark."""
    return torch.from_numpy(integrate(published_disc(), 30.02 * np.arange(51), MEDIUM, dt=1500 / 1499).frames)


def size(network: nn.Module) -> int:
    return sum(part.numel() for part in network.parameters())


def test_sizes_of_the_networks() -> None:
    assert size(Coordinates()) == 281_345
    assert size(Encoder()) == 21_016
    assert size(Decoder()) == 20_953
    assert 5 * size(Gru(64)) == 1_106_880
    assert 5 * size(Lstm(64)) == 1_475_840
    bottleneck = Bottleneck()
    assert size(bottleneck.fc1) == 2_097_664
    assert size(bottleneck.mean) + size(bottleneck.log_variance) == 131_328
    assert size(bottleneck.back) == 2_167_296
    with torch.device("meta"):
        assert size(Attention()) == 50_331_648
        assert size(Attention(128)) == 805_306_368
        whole = Recurrent(variational=True, attention=64)
        assert size(Coordinates()) + size(whole) + 1 == 56_158_131


def test_sizes_on_the_finer_grid() -> None:
    hidden = (8, 32, 128)
    latent = Encoder(hidden, 4)(torch.rand(1, 1, 128, 128))
    assert latent.shape == (1, 128, 16, 16)
    assert Decoder(hidden, 4)(latent).shape == (1, 1, 128, 128)
    assert Decoder(hidden, 4, output_padding=1)(latent).shape == (1, 1, 135, 135)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        Bottleneck(16_384)(latent)
    drawn, divergence = Bottleneck(latent.numel())(latent)
    assert drawn.shape == latent.shape
    assert divergence > 0


def test_attention_is_not_masked_by_a_score_of_zero() -> None:
    attention = Attention(8)
    picture = torch.zeros(8, 8)
    picture[2:6, 2:6] = 1
    weights = attention.weights(picture)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(8))
    torch.testing.assert_close(weights[0], torch.full((8,), 1 / 8))  # no interface in this row: all alike, none is 0
    assert attention(torch.rand(1, 1, 32, 32)).shape == (1, 1, 32, 32)


def test_the_published_residual_of_the_exact_solution_is_a_constant(truth: torch.Tensor) -> None:
    def mean_square(frames: torch.Tensor, obstacle: bool = False) -> float:
        return float(frame_residual(frames, PROBLEM, obstacle=obstacle).square().mean())

    assert MEDIUM.reaction == pytest.approx(0.01999, rel=1e-3)
    assert mean_square(truth) == pytest.approx(3.23e-4, rel=0.01)
    exact, frozen = mean_square(truth[10:12]), mean_square(truth[[10, 10]])
    assert exact == pytest.approx(3.008e-4, rel=2e-3)
    assert frozen / exact - 1 == pytest.approx(1.5e-3, rel=0.1)
    half = torch.full((2, 64, 64), 0.5)
    assert mean_square(half) == 0
    # with the obstacle the constant is gone, and a frozen grain stands out
    assert mean_square(truth[10:12], obstacle=True) < 1e-3 * exact
    assert mean_square(truth[[10, 10]], obstacle=True) > 2 * mean_square(truth[10:12], obstacle=True)


def test_the_incremental_energy_prefers_the_motion(truth: torch.Tensor) -> None:
    solved = torch.from_numpy(np.stack(list(implicit_march(truth[10].numpy(), [0, 30.02], MEDIUM, "crank-nicolson"))))
    energies_found = [float(frame_energy(pair, PROBLEM)) for pair in (solved, truth[10:12], truth[[10, 10]])]
    assert energies_found == sorted(energies_found)
    assert energies_found[2] / energies_found[1] - 1 > 0.01


def test_the_obstacle_admits_one_sign() -> None:
    phi, zero = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.5]), torch.zeros(5)
    pushed = torch.tensor([0.1, -0.1, -0.1, 0.1, 0.1])
    held = residual(phi, pushed + MEDIUM.reaction * (2 * phi - 1), zero, MEDIUM, obstacle=True)
    torch.testing.assert_close(held, torch.tensor([0.0, 0.0, -0.1, 0.1, 0.1]))


def test_energies_and_their_balance(truth: torch.Tensor) -> None:
    torch.testing.assert_close(float(energies(truth[:1], PROBLEM)), free_energy(truth[0].numpy(), MEDIUM))
    imbalance, power = energy_imbalance(truth, PROBLEM), np.diff([free_energy(phi, MEDIUM) for phi in truth.numpy()])
    assert imbalance.abs().mean() < 0.05 * np.abs(power / 30.02).mean()
    told = imbalance_of(truth.numpy(), PROBLEM)
    assert told["mae"] == pytest.approx(float(imbalance.abs().mean()))
    assert told["rate"] == pytest.approx(np.abs(power / 30.02).mean())
    coded = coded_energy_imbalance(truth, PROBLEM)
    assert coded.abs().mean() == pytest.approx(1.3e-3, rel=0.1)  # the dissipation alone: it is no balance


def tiny(arm: Arm, shown: torch.Tensor | None = None) -> Course:
    """An arm of small networks on the first interval's problem."""
    first = torch.from_numpy(published_disc().astype(np.float32))
    return Course(arm, smoke().gradnorm, PROBLEM, first, first[None][:0] if shown is None else shown)


def smoke() -> GradnormNetworksJob:
    found = config.load(config.read_yaml(Path("config/config.yaml"))).spec("grains_gradnorm_networks", "smoke")
    return GradnormNetworksJob.model_validate_json(found)


def test_the_coded_energy_loss_has_no_gradient() -> None:
    course = tiny(ARMS["modified"])
    terms = course.terms(1, np.random.default_rng(0))
    assert float(terms["energy"]) > 0
    assert not terms["energy"].requires_grad
    real = tiny(ARMS["energy"])
    assert real.coordinates is not None
    loss = real.terms(1, np.random.default_rng(0))["energy"]
    (slope,) = torch.autograd.grad(loss, [real.coordinates.first])
    assert slope.norm() > 0


def test_the_data_loss_is_the_coordinates_networks_in_the_first_interval_alone(truth: torch.Tensor) -> None:
    assert [name for name, arm in ARMS.items() if arm.shown] == ["data"]
    shown = truth[1:2].float()
    course = tiny(ARMS["data"], shown)
    assert course.coordinates is not None
    loss = course.terms(0, np.random.default_rng(0))["data"]
    cells = torch.arange(len(course.points))
    seen = course.field(0, cells, torch.ones(len(cells))).view(64, 64)
    torch.testing.assert_close(loss, (seen - shown[0]).square().mean())
    (slope,) = torch.autograd.grad(loss, [course.coordinates.first])
    assert slope.norm() > 0
    assert "data" not in course.terms(1, np.random.default_rng(0))
    row = course.epoch(0, np.random.default_rng(0))
    others = sum(
        row.get(f"weight_{name}", 1.0) * (1.5 if name == "energy" else 1.0) * row[name]
        for name in TERMS if name != "data"
    )  # fmt: skip
    assert row["total"] == pytest.approx(others + row["data"], rel=1e-5)  # its weight is 1


def test_only_the_data_arm_sees_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, plain = truth_store(tmp_path / "truth.zarr"), published.load
    kept = ("modified", "data", "threshold", "recurrent_energy", "lstm")
    monkeypatch.setattr(published, "runs", lambda settings: [one for one in runs(settings) if one[1] in kept])

    def train(folder: Path) -> dict[str, torch.Tensor]:
        published.train(
            smoke(), data, folder / "model.safetensors", checkpoints=folder / "checkpoints",
            history=folder / "history.csv", threads=1, device="cpu",
        )  # fmt: skip
        return load_file(folder / "model.safetensors")

    own = train(tmp_path / "own")

    def swapped(source):  # type: ignore[no-untyped-def]
        frames = plain(source).copy()
        frames[:, 1:] = 1 - frames[:, 1:]
        return frames

    monkeypatch.setattr(published, "load", swapped)
    other = train(tmp_path / "other")
    place = COLUMNS.index("data")
    for name in kept:
        same = torch.equal(own[f"{name}_0.frames"], other[f"{name}_0.frames"])
        assert same == (name != "data"), name
        rows = own[f"{name}_0.log"][..., place]
        assert bool((rows[0] > 0).all()) == (name == "data")  # 0 where absent
        assert (rows[1] == 0).all()


def test_the_cells_of_an_arm(truth: torch.Tensor) -> None:
    for name, kind in (("recurrent_energy", Gru), ("lstm", Lstm), ("modified", Gru)):
        assert all(isinstance(cell, kind) for cell in tiny(ARMS[name]).recurrent.cells)
    starts = published.Starts(smoke().gradnorm, truth[0].float(), PROBLEM)
    for cell in ("gru", "lstm"):  # fitted parts of one are no start for the other
        starts.begin(replace(ARMS["modified"], cell=cell), 3)


def test_what_the_fixes_change() -> None:
    """A detached Laplacian has no gradient; a hard initial condition needs no loss and begins at the frame."""
    rng = np.random.default_rng
    for name in ("modified", "attached"):
        torch.manual_seed(3)
        course = tiny(ARMS[name])
        loss = course.terms(0, rng(1))["motion"]
        (slope,) = torch.autograd.grad(loss, [course.coordinates.first])  # type: ignore[union-attr]
        if name == "modified":
            detached, value = slope, loss.detach()
        else:
            torch.testing.assert_close(loss.detach(), value)
    assert (slope - detached).norm() > 1e-6 * detached.norm()
    hard = tiny(ARMS["hard"])
    assert "initial" not in hard.terms(0, rng(1))
    everywhere = torch.arange(len(hard.points))
    torch.testing.assert_close(hard.field(0, everywhere, torch.ones(4096)).view(64, 64), hard.frames[0])


def test_derivatives_of_the_hard_field(truth: torch.Tensor) -> None:
    """With g = 0 the field stands still: R is what a frozen grain's frames have."""
    hard = tiny(ARMS["hard"])
    cells = torch.arange(len(hard.points))
    frame = truth[0].float()
    expected = frame_residual(torch.stack([frame, frame]), PROBLEM, obstacle=False).square().mean()
    torch.testing.assert_close(hard.motion(0, cells, torch.rand(4096)), expected, rtol=1e-4, atol=0)


def truth_store(path: Path) -> Path:
    """The truth of the smoke scale."""
    settings = config.load(config.read_yaml(Path("config/config.yaml")))
    job = config.JOBS["grain_shrink_64_truth"].model_validate_json(settings.spec("grain_shrink_64_truth", "smoke"))
    simulate(job, path)  # type: ignore[arg-type]
    return path


def test_a_killed_training_goes_on_bit_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, data, plain = smoke(), truth_store(tmp_path / "truth.zarr"), loop.train
    kept = {name: ARMS[name] for name in ("modified", "vae", "lstm")}
    monkeypatch.setattr(published, "runs", lambda settings: [one for one in runs(settings) if one[1] in kept])

    def train(folder: Path) -> dict[str, torch.Tensor]:
        published.train(
            job, data, folder / "model.safetensors", checkpoints=folder / "checkpoints",
            history=folder / "history.csv", threads=1, device="cpu",
        )  # fmt: skip
        return load_file(folder / "model.safetensors")

    whole = train(tmp_path / "whole")

    def interrupted(training, step, **keywords):  # type: ignore[no-untyped-def]
        def stopping(number: int) -> dict[str, float]:
            if number == 1:
                raise Interrupted
            return step(number)

        return plain(training, stopping, **keywords | {"checkpoint_every": 1})

    def first_time(training, step, **keywords):  # type: ignore[no-untyped-def]
        chosen = plain if keywords["checkpoints"].exists() else interrupted
        return chosen(training, step, **keywords)

    monkeypatch.setattr(loop, "train", first_time)
    for _ in kept:  # each arm is killed once
        with pytest.raises(Interrupted):
            train(tmp_path / "parts")
    monkeypatch.setattr(loop, "train", plain)
    parts = train(tmp_path / "parts")
    compared = [name for name in whole if not name.endswith(".seconds")]
    assert any(name.startswith("vae") for name in compared)
    for name in compared:
        assert torch.equal(whole[name].nan_to_num(-1), parts[name].nan_to_num(-1)), name
    assert (tmp_path / "whole" / "history.csv").read_text().count("\n") == 1 + 2 * 2 * len(kept)
