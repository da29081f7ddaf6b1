"""The jobs of the grains wing's networks: bit-equal restarts, the gate, the data set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from phasemill import config
from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.core.model_files import load_model
from phasemill.core.run import Interrupted
from phasemill.core.statistics import write_statistics
from phasemill.grains import library
from phasemill.grains.config.learned import MarchJob, StepperJob
from phasemill.grains.datasets.cases import interval_length, medium_of, simulate
from phasemill.grains.gate import gate
from phasemill.grains.train import march as train_march
from phasemill.grains.train import stepper as train_stepper

pytestmark = pytest.mark.physics


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def jobs(tmp_path: Path) -> tuple[MarchJob, StepperJob, Path]:
    """The smoke jobs of the first benchmark, with their data set."""
    found = config.load(config.read_yaml(Path("config/config.yaml")))
    parse = {name: config.JOBS[name].model_validate_json(found.spec(name, "smoke")) for name in config.JOBS}
    data = tmp_path / "truth.zarr"
    simulate(parse["grain_shrink_64_truth"], data)  # type: ignore[arg-type]
    return parse["grain_shrink_64_march"], parse["grain_shrink_64_stepper"], data  # type: ignore[return-value]


def test_both_trainings_go_on_bit_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    march, stepper, data = jobs(tmp_path)
    options = {"threads": 1, "device": "cpu"}

    def run(folder: Path, verb: str) -> Path:
        job = march if verb == "march" else stepper
        extra = {} if verb == "march" else {"start": tmp_path / "whole" / "march.safetensors"}
        train = train_march.train if verb == "march" else train_stepper.train
        places = {"checkpoints": folder / verb, "history": folder / f"{verb}.csv"}
        train(job, data, folder / f"{verb}.safetensors", **places, **options, **extra)  # type: ignore[arg-type, operator]
        return folder / f"{verb}.safetensors"

    from phasemill.core import loop

    plain = loop.train
    for verb, stop in (("march", 7), ("stepper", 1)):
        whole = run(tmp_path / "whole", verb)

        def interrupted(training, step, stop=stop, **keywords):  # type: ignore[no-untyped-def]
            def stopping(number: int) -> dict[str, float]:
                if number == stop:
                    raise Interrupted
                return step(number)

            return plain(training, stopping, **keywords | {"checkpoint_every": 1})

        monkeypatch.setattr(loop, "train", interrupted)
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", verb)
        monkeypatch.setattr(loop, "train", plain)
        parts = run(tmp_path / "parts", verb)
        from safetensors.torch import load_file

        one, two = load_file(whole), load_file(parts)
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_gate(tmp_path: Path) -> None:
    march, _, data = jobs(tmp_path)
    model = tmp_path / "march.safetensors"
    places = {"checkpoints": tmp_path / "checkpoints", "history": tmp_path / "march.csv"}
    train_march.train(march, data, model, **places, threads=1, device="cpu")  # type: ignore[arg-type]
    gate(model, tmp_path / "gate.json")
    found = json.loads((tmp_path / "gate.json").read_text())
    assert found["runs"]["published_0"]["intervals"] == march.case.frames
    assert 0 < found["runs"]["published_0"]["share"] < 100
    networks = train_march.marches(march.case, march.learn, march.marching)
    card = load_model(model, networks)
    # a network that has learnt nothing, from whose zeros nothing moves
    run = card["runs"]["published_0"]
    run["residual"] = run["still"]
    card["spec"]["shrink_64_learn"]["gate"] = 0.9
    from phasemill.core.model_files import save_model

    save_model(model, networks, card)
    with pytest.raises(InputError, match=r"has 1 times the residual of no motion, above the gate 0\.9"):
        gate(model, tmp_path / "other.json")
    assert not (tmp_path / "other.json").exists()
    with pytest.raises(InputError, match="is not a model file of phasemill"):
        gate(data, tmp_path / "other.json")


def test_the_data_set(tmp_path: Path) -> None:
    march, _, data = jobs(tmp_path)
    found = store.open_dataset(data)
    assert found["phi"].dims == ("sim", "time", "x", "y")
    assert float(found["radius_visible"][0, 0]) == pytest.approx(0.4235 * 64 / 63, abs=1e-3)
    assert (np.diff(found["energy"][0]) < 0).all()
    assert np.isnan(found["extinction"][0])
    write_statistics(data, tmp_path / "statistics.json")
    numbers = json.loads((tmp_path / "statistics.json").read_text())["statistics"]["all"]
    assert numbers["grain_extinction"] == {"min": None, "max": None, "mean": None, "std": None}
    assert numbers["phi"]["max"] == 1
    assert found.attrs["interval"] == pytest.approx(30.02)
    assert interval_length(march.case) == pytest.approx(30.02)
    assert medium_of(march.case).eta == pytest.approx(7 / 63)


def test_networks_that_come_with_phasemill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 0 steps the shipped networks are taken, with the facts of their training; what does not fit is refused."""
    march, stepper, data = jobs(tmp_path)
    places = {"checkpoints": tmp_path / "checkpoints", "history": tmp_path / "history.csv", "threads": 1}
    train_march.train(march, data, tmp_path / "march.safetensors", **places, device="cpu")  # type: ignore[arg-type]
    monkeypatch.setattr(library, "WEIGHTS", tmp_path)
    one, two = tmp_path / "grain_shrink_64.safetensors", tmp_path / "two.safetensors"
    extra = {**places, "device": "cpu", "start": tmp_path / "march.safetensors"}
    untrained = stepper.model_copy(update={"shrink_64_learn": stepper.learn.model_copy(update={"steps": 0})})
    with pytest.raises(InputError, match="no networks of grain_shrink_64 come with phasemill; train it yourself"):
        train_stepper.train(untrained, data, two, **extra)  # type: ignore[arg-type]
    train_stepper.train(stepper, data, one, **extra)  # type: ignore[arg-type]
    train_stepper.train(untrained, data, two, **extra)  # type: ignore[arg-type]
    trained, taken = (train_stepper.hybrids(stepper.case, stepper.learn, stepper.recurrent) for _ in range(2))
    first, second = load_model(one, trained), load_model(two, taken)
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), taken.parameters(), strict=True))
    assert second["runs"]["published_0"]["shipped"] == first["provenance"]
    wider = untrained.model_copy(update={"recurrent": stepper.recurrent.model_copy(update={"channels": 8})})
    with pytest.raises(InputError, match="have 12 channels and the cell gru"):
        train_stepper.train(wider, data, two, **extra)  # type: ignore[arg-type]
