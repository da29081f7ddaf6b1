"""Training on polycrystals: which ones, how they are turned, where windows begin, and that J falls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from phasemill.core import loop, store
from phasemill.core.errors import InputError
from phasemill.core.model_files import read_card
from phasemill.grains import library
from phasemill.grains.config.learned import Recurrent
from phasemill.grains.config.polycrystal import Crystals, Polycrystals, PolycrystalStepperJob, PolycrystalTruthJob
from phasemill.grains.datasets.polycrystal import simulate
from phasemill.grains.evaluate.polycrystal import score
from phasemill.grains.initial import one_hot, voronoi
from phasemill.grains.network import SCALE, Stepper
from phasemill.grains.physics import Medium
from phasemill.grains.simplex import Phases, onto_simplex
from phasemill.grains.train import polycrystal as train_polycrystal
from phasemill.grains.train.polycrystal import Places, fit, one_of, rollout, turned

pytestmark = pytest.mark.physics

PHASES = Phases.of(Medium(eta=4.0, mu=1.0), 0.3)
STARTS = torch.stack(
    [
        torch.from_numpy(one_hot(voronoi(np.random.default_rng(seed), (10, 10), 3), 3).astype(np.float32))
        for seed in (3, 4)
    ]
)
RECURRENT = Recurrent(
    cell="gru", channels=4, learning_rate=0.01, settling_rate=1e-3, batch=2, window=2, refresh=5
)  # fmt: skip
JOB = PolycrystalStepperJob(
    seed=1,
    polycrystal=Polycrystals(
        cells=10, eta=4, mu=2e-3, sigma=1.0, grains=3, relax=4.0, until=8.0, frames=4, train=2, test=1
    ),
    recurrent=RECURRENT,
    crystals=Crystals(seeds=1, steps=2, settling=1, length=2),
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(9)


def moving() -> Stepper:
    """A network that moves something, though not as it should."""
    network = Stepper("gru", 4)
    torch.nn.init.normal_(network.out.weight, std=0.5)
    return network


def energy(network: Stepper, phi: Tensor, intervals: int) -> float:
    """Mean J of the intervals of a roll-out, over s^2."""
    found = []
    with torch.no_grad():
        for after, *_ in rollout(network, phi, intervals, PHASES):
            found.append(float(PHASES.energy(after, PHASES.source(phi)).mean()) / SCALE**2)
            phi = after
    return float(np.mean(found))


def test_the_square_has_eight_symmetries() -> None:
    """Each turn and each mirror image once, as a group: two in a row are one of them."""
    cells = torch.arange(12.0).view(1, 1, 3, 4)[..., :3]
    found = [turned(cells, symmetry) for symmetry in range(8)]
    images = {tuple(one.flatten().tolist()) for one in found}
    assert torch.equal(found[0], cells)
    assert len(images) == 8
    assert {tuple(turned(one, symmetry).flatten().tolist()) for one in found for symmetry in range(8)} == images
    assert all(one.is_contiguous() for one in found[4:])
    # grains keep their numbers
    assert torch.equal(turned(STARTS, 5)[1, 2], turned(STARTS[1, 2], 5))


@pytest.mark.parametrize("symmetry", range(8))
def test_the_loss_does_not_see_how_the_square_is_turned(symmetry: int) -> None:
    phi, after = STARTS.double(), onto_simplex(STARTS + 0.2 * torch.randn_like(STARTS)).double()
    source = PHASES.source(phi)
    torch.testing.assert_close(PHASES.pinned_force(turned(phi, symmetry)), turned(PHASES.pinned_force(phi), symmetry))
    torch.testing.assert_close(
        PHASES.energy(turned(after, symmetry), turned(source, symmetry)), PHASES.energy(after, source)
    )
    torch.testing.assert_close(
        PHASES.residual(turned(after, symmetry), turned(source, symmetry)),
        turned(PHASES.residual(after, source), symmetry),
    )


def test_the_pinned_force_is_the_force_along_the_simplex() -> None:
    """Where all phases are present and none is about to go; with one absent, of the others alone."""
    for cell, expected in (
        ([0.9, 0.08, 0.02], [1.08 - 0.4, 0.096 - 0.4, 0.024 - 0.4]),
        ([0.9, 0.1, 0.0], [(1.08 - 0.12) / 2, (0.12 - 1.08) / 2, 0.0]),
    ):
        phi = torch.tensor(cell, dtype=torch.float64).view(1, 3, 1, 1)
        found = Phases(c=0.0, r=0.6).pinned_force(phi).flatten()
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_starts_take_turns_and_are_turned() -> None:
    begin, again, other = (one_of(STARTS, seed) for seed in (1, 1, 2))
    seen = []
    for number in range(40):
        phi = begin(number)
        (symmetry,) = (one for one in range(8) if torch.equal(phi[0], turned(STARTS[number % 2], one)))
        assert torch.equal(again(number), phi)
        seen.append(symmetry)
    assert set(seen) == set(range(8))
    assert not all(torch.equal(begin(number), other(number)) for number in range(4))


def test_windows_begin_along_a_roll_out_that_grows() -> None:
    network, begin = moving(), one_of(STARTS, 1)
    places = Places(network, begin, PHASES)

    def drawn(where: Places) -> list[tuple[Tensor, Tensor]]:
        return [(phi, state[0]) for phi, state in (where.draw(np.random.default_rng(one)) for one in range(12))]

    assert all(torch.equal(phi, begin(0)) for phi, _ in drawn(places))  # not one interval yet
    places.refresh(network, 3, 2)
    expected = [(begin(3), network.at_rest(begin(3).flatten(0, 1))[0])]
    with torch.no_grad():
        expected += [(phi, state[0]) for phi, state, _ in rollout(network, begin(3), 2, PHASES)]
    numbers = []
    for phi, state in drawn(places):
        (number,) = (one for one, (field, _) in enumerate(expected) if torch.equal(phi, field))
        assert torch.equal(state, expected[number][1])
        numbers.append(number)
    assert set(numbers) == {0, 1, 2}
    # a checkpoint holds weights, number and reach: all follows from these
    resumed = Places(Stepper("gru", 4), begin, PHASES)
    resumed.load_state_dict(places.state_dict())
    for one, other in zip(drawn(places), drawn(resumed), strict=True):
        assert torch.equal(one[0], other[0])


def test_the_energy_falls(tmp_path: Path) -> None:
    """From no motion, along roll-outs of a polycrystal in any orientation."""
    network, crystals = Stepper("gru", 4), Crystals(seeds=1, steps=40, settling=1, length=3)
    place: dict[str, Any] = {"checkpoints": tmp_path, "key": "toy".ljust(16, "_")}
    before = energy(network, STARTS, 3)
    result = fit(network, STARTS, PHASES, RECURRENT, crystals, 1, "toy", place)
    assert energy(network, STARTS, 3) < before
    assert energy(network, turned(STARTS, 6), 3) < before
    assert result.rows[-1]["residual"] < result.rows[0]["residual"]


def trained(folder: Path, job: PolycrystalStepperJob, data: Path) -> Path:
    output = folder / "model.safetensors"
    train_polycrystal.train(
        job, data, output, checkpoints=folder / "checkpoints", history=folder / "history.csv", threads=1, device="cpu"
    )  # fmt: skip
    return output


def test_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It trains on the first frames of the split `train` alone; with 0 steps it takes the networks that come along."""
    data = tmp_path / "truth.zarr"
    simulate(PolycrystalTruthJob(seed=1, polycrystal=JOB.polycrystal), data)
    phi = store.open_dataset(data)["phi"].values
    given: dict[str, list[Tensor]] = {"fit": [], "settle": []}
    fit, settle = train_polycrystal.fit, train_polycrystal.settle

    def fitting(network: Stepper, starts: Tensor, *others: Any) -> loop.Result:
        given["fit"].append(starts)
        return fit(network, starts, *others)

    def settling(network: Stepper, begin: Any, *others: Any, **options: Any) -> loop.Result:
        given["settle"] += [begin(0), begin(1)]
        return settle(network, begin, *others, **options)

    monkeypatch.setattr(train_polycrystal, "fit", fitting)
    monkeypatch.setattr(train_polycrystal, "settle", settling)
    model = trained(tmp_path, JOB, data)
    (starts,) = given["fit"]
    assert torch.equal(starts, torch.from_numpy(phi[:2, 0].astype(np.float32)))
    for begun, start in zip(given["settle"], starts, strict=True):
        assert any(torch.equal(begun[0], turned(start, symmetry)) for symmetry in range(8))
    card, weights = read_card(model), load_file(model)
    assert (card["kind"], card["runs"]["seed_0"]["steps"]) == ("polycrystal", 2)
    assert weights["seed_0.out.weight"].any()

    monkeypatch.setattr(library, "WEIGHTS", tmp_path / "weights")
    untrained = JOB.model_copy(update={"crystals": JOB.crystals.model_copy(update={"steps": 0})})
    folder = tmp_path / "taken"
    with pytest.raises(InputError, match="no networks of grain_polycrystal come with phasemill"):
        trained(folder, untrained, data)
    (tmp_path / "weights").mkdir()
    model.rename(tmp_path / "weights" / "grain_polycrystal.safetensors")
    taken = trained(folder, untrained, data)
    assert all(torch.equal(value, weights[name]) for name, value in load_file(taken).items())
    assert read_card(taken)["runs"]["seed_0"]["shipped"] == card["provenance"]
    assert len(given["fit"]) == 1
    wider = untrained.model_copy(update={"polycrystal": JOB.polycrystal.model_copy(update={"eta": 5.0})})
    with pytest.raises(InputError, match="are for eta 4, not 5"):
        trained(folder, wider, data)


def test_a_grain_that_has_gone_counts_no_more() -> None:
    """Its area in the prediction is no error of the others; that it is there is said beside."""
    truth = np.array([[3.0, 2.0, 1.0], [4.0, 2.0, 0.0]])
    found = score(truth, np.array([[3.0, 2.0, 1.0], [3.4, 2.0, 0.6]]))
    # of two live grains of mean area 3 the first is off by 0.6
    assert found["area_error"] == pytest.approx(0.6 / 2 / 3)
    assert found["grains_off"] == 1
