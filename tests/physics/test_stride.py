"""The network of large strides: conservation, symmetry, its clock, its schedule, and that training learns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from phasemill import config
from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.core.seeds import branch
from phasemill.spinodal import library, physics
from phasemill.spinodal.config.stride import StrideJob, StridesJob
from phasemill.spinodal.datasets.mixtures import draw_parameters, solver_medium
from phasemill.spinodal.datasets.stride import simulate
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.rollout import rollout
from phasemill.spinodal.solver import integrate
from phasemill.spinodal.stride_network import (
    StrideNetwork,
    fold,
    narrow,
    prepared,
    schedule,
    stepper,
    strided,
    unfold,
    widen,
)
from phasemill.spinodal.train.stride import free_energy, train

pytestmark = pytest.mark.physics

CONFIG = config.load(config.read_yaml(Path(__file__).parents[2] / "config" / "config.yaml"))


@pytest.fixture
def network() -> StrideNetwork:
    torch.manual_seed(0)
    settings = CONFIG.at("smoke").spinodal
    small = settings.stride_network.model_copy(update={"channels": 16, "dilations": [1, 2]})
    network = StrideNetwork(settings.medium, **small.model_dump())
    torch.nn.init.normal_(network.flux.weight, std=0.05)  # zero before the training
    return network


@pytest.fixture
def phi() -> Tensor:
    rng = np.random.default_rng(1)
    return torch.from_numpy(np.stack([perlin_mixture(rng, (16, 12, 8), mean=mean) for mean in (0.4, 0.5)])).float()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("strides") / "cahn_hilliard_strides.zarr"
    simulate(StridesJob.model_validate_json(CONFIG.spec("cahn_hilliard_strides", "smoke")), path, threads=2)
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_mean_is_conserved(network: StrideNetwork, phi: Tensor, dtype: torch.dtype) -> None:
    after, _ = strided(network, 5.0, dtype)(phi)
    assert (after - phi).abs().max() > 1e-3  # something moved
    assert (after.double() - phi.double()).mean(dim=(1, 2, 3)).abs().max() < 1e-7


def test_a_shift_by_two_cells_commutes_with_a_step(network: StrideNetwork, phi: Tensor) -> None:
    step = strided(network, 5.0, torch.float32)
    shifted, _ = step(phi.roll((2, -4, 2), (1, 2, 3)))
    torch.testing.assert_close(shifted, step(phi)[0].roll((2, -4, 2), (1, 2, 3)), rtol=0, atol=1e-5)


def test_the_length_of_the_stride_matters(network: StrideNetwork, phi: Tensor) -> None:
    short, long = (strided(network, dt, torch.float32)(phi)[0] for dt in (1.0, 50.0))
    assert (short - long).abs().max() > 1e-3


def test_samples_of_a_batch_have_their_own_strides(network: StrideNetwork, phi: Tensor) -> None:
    both = network(phi, torch.tensor([1.0, 50.0]))
    alone = network(phi[1:], torch.tensor([50.0]))
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-6)


def test_narrow_undoes_widen(phi: Tensor) -> None:
    field = phi[0].numpy().astype(float)
    np.testing.assert_allclose(narrow(widen(field, 1.75), 1.75, field.mean()), field, atol=1e-3)
    sheet = physics.profile(np.arange(-12, 12) + 0.5, 3.0)
    np.testing.assert_allclose(widen(sheet, 2), physics.profile(np.arange(-12, 12) + 0.5, 6.0), atol=0.02)
    assert narrow(widen(field, 1.75), 1.75, 0.3).mean() == pytest.approx(0.3, abs=1e-12)


def test_a_flux_of_zero_leaves_the_guess_which_is_near_the_truth(network: StrideNetwork) -> None:
    torch.nn.init.zeros_(network.flux.weight)
    torch.nn.init.zeros_(network.flux.bias)
    start = perlin_mixture(np.random.default_rng(3), (32, 32, 32), lattice=12)
    truth = integrate(start, np.array([0.0, 10.0, 20.0]), tolerance=1e-3).frames[1:, ::2, ::2, ::2].astype(np.float32)
    before, after = torch.from_numpy(truth)
    predicted, _ = strided(network, 10.0, torch.float32)(before[None])
    assert ((predicted[0] - after) ** 2).mean() < 0.25 * ((before - after) ** 2).mean()
    energies = [physics.free_energy(field.numpy(), 3.0, 2.0) for field in (predicted[0], after, before)]
    assert abs(energies[0] / energies[1] - 1) < 0.04 < energies[2] / energies[1] - 1


def test_unfold_undoes_fold() -> None:
    x = torch.arange(2 * 3 * 8 * 4 * 6.0).view(2, 3, 8, 4, 6)
    folded = fold(x)
    assert folded.shape == (2, 24, 4, 2, 3)
    assert torch.equal(unfold(folded), x)
    assert torch.equal(folded[:, 0], x[:, 0, ::2, ::2, ::2])  # a channel is one of the interleaved sub-lattices


def test_an_odd_side_is_refused(network: StrideNetwork) -> None:
    with pytest.raises(InputError, match="odd side"):
        network(torch.zeros(1, 9, 8, 8), torch.ones(1))


def test_the_frozen_copy_is_the_network(network: StrideNetwork, phi: Tensor) -> None:
    expected = network(phi, torch.full((2,), 5.0)).detach()
    torch.testing.assert_close(
        prepared(network, torch.float32)(phi, torch.full((2,), 5.0)), expected, rtol=0, atol=1e-6
    )
    assert (stepper(network)(phi)[0] - expected).abs().max() < 0.02 * (expected - phi).abs().max() + 0.01
    assert next(network.parameters()).requires_grad


@pytest.mark.parametrize(("start", "end"), [(5, 500), (2.5, 640), (5, 6), (5, 5.5), (3, 499.5), (0.5, 2)])
def test_a_schedule_hits_its_end(start: float, end: float) -> None:
    strides = np.array(schedule(start, end))
    assert start + strides.sum() == end
    assert (strides > 0).all()
    assert (strides % 0.5 == 0).all()
    ages = start + np.concatenate([[0], strides.cumsum()[:-1]])
    assert (strides <= np.maximum(0.8 * ages, 1)).all()


@pytest.mark.parametrize(("start", "end"), [(0, 5), (5, 5), (6, 5), (-1, 5)])
def test_a_schedule_needs_an_age(start: float, end: float) -> None:
    with pytest.raises(InputError, match="start"):
        schedule(start, end)


def test_the_energy_of_the_loss_is_the_physics() -> None:
    medium = CONFIG.at("smoke").spinodal.medium
    phi = np.random.default_rng(0).uniform(size=(2, 8, 8, 6))
    ours = free_energy(torch.from_numpy(phi), medium)
    expected = [physics.free_energy(field, medium.eps, medium.dx * medium.factor) for field in phi]
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_stored_frames_are_the_solver_s_on_the_coarse_grid(data: Path) -> None:
    job = StridesJob.model_validate_json(CONFIG.spec("cahn_hilliard_strides", "smoke"))
    dataset = store.open_dataset(data)
    times = dataset["time"].values
    assert times[0] == 2.5
    assert times[-1] <= 40
    assert dict(dataset.sizes) == {"sim": 6, "time": len(times), "x": 8, "y": 8, "z": 8}
    assert set(np.diff(dataset["x"].values)) == {2.0}
    np.testing.assert_allclose(dataset["mean"][2], dataset["mean_drawn"][2], atol=1e-12)
    assert (np.diff(dataset["energy"].values, axis=1) < 0).all()
    rng = np.random.default_rng(branch(job.seed, "cahn_hilliard_strides", 6)[2])
    phi = perlin_mixture(rng, (16, 16, 16), **draw_parameters(job.mixtures, rng))
    run = integrate(phi, np.array([0.0, times[0]]), medium=solver_medium(job.medium), tolerance=job.strides.tolerance)
    np.testing.assert_allclose(dataset["phi"][2, 0], run.frames[1][::2, ::2, ::2], rtol=0, atol=1e-7)
    assert float(dataset["energy"][2, 0]) == pytest.approx(run.energy[1], rel=1e-12)


def test_training_learns_and_writes_a_model_that_steps(data: Path, tmp_path: Path) -> None:
    spec = json.loads(CONFIG.spec("spinodal_stride", "smoke"))
    spec["stride_training"] |= {"stages": [{"steps": 120, "rollout": 1}], "every": 40, "warm_up": 10}
    spec["stride_network"] = {**spec["stride_network"], "channels": 16, "dilations": [1]}
    model, history = tmp_path / "stride.safetensors", tmp_path / "history.csv"
    train(StrideJob(**spec), data, model, checkpoints=tmp_path / "ck", history=history, threads=1, device="cpu")
    rows = np.genfromtxt(history, delimiter=",", names=True)
    assert rows["relative_mse"][-1] < 0.95 * rows["relative_mse"][0]
    loaded = library.load_model(model)
    assert loaded.interval == 5.0
    start = store.open_dataset(data)["phi"][0, :1].values
    frames = list(rollout(loaded.step, start, 2))
    assert np.isfinite(frames[-1]).all()
    assert abs(frames[-1].mean(dtype=float) - start.mean(dtype=float)) < 1e-7
