"""The training loop: a killed run goes on bit-equal, a bad checkpoint does no harm, the best weights are kept."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from phasemill.core import loop
from tests.unit import toy
from tests.unit.toy import KEY, STEPS, Crash, Toy, checkpoints, crash_at, read_history


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    toy = Toy()
    toy.train(folder)
    return toy.outcome(folder)


def start_process(folder: Path) -> subprocess.Popen[str]:
    """The toy as a program, slowed down so that there is a middle to be killed in."""
    code = [sys.executable, toy.__file__, str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(code, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not checkpoints(folder):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return process


def test_resume_after_sigkill_is_bit_equal(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    process = start_process(tmp_path)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert max(checkpoints(tmp_path)).name < f"step-{STEPS:08d}.pt"
    toy = Toy()
    toy.train(tmp_path)
    assert 0 < toy.steps_done[0] < STEPS
    assert toy.outcome(tmp_path) == uninterrupted


def test_sigterm_saves_and_exits_with_143(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    process = start_process(tmp_path)
    process.terminate()
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 143
    saved = int(max(checkpoints(tmp_path)).stem.removeprefix("step-"))
    assert f"SIGTERM at step {saved} of {STEPS}, saved as {max(checkpoints(tmp_path))}" in messages
    toy = Toy()
    toy.train(tmp_path)
    assert toy.steps_done[0] == saved
    assert toy.outcome(tmp_path) == uninterrupted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_obeyed_after_the_step_and_handlers_return(tmp_path: Path, number: signal.Signals) -> None:
    toy, before = Toy(), signal.getsignal(number)

    def step(i: int) -> dict[str, float]:
        if i == 12:
            os.kill(os.getpid(), number)
        return toy.step(i)

    with pytest.raises(loop.Interrupted) as caught:
        toy.train(tmp_path, step=step)
    assert caught.value.code == 143
    assert toy.steps_done[-1] == 12
    assert max(checkpoints(tmp_path)).name == "step-00000013.pt"
    assert signal.getsignal(number) is before


def test_a_signal_in_the_last_validation_is_obeyed_once_all_is_saved(tmp_path: Path) -> None:
    toy, again = Toy(), Toy()

    def validate() -> dict[str, float]:
        if len(toy.steps_done) == STEPS:
            os.kill(os.getpid(), signal.SIGTERM)
        return toy.validate()

    with pytest.raises(loop.Interrupted):
        toy.train(tmp_path, validate=validate)
    assert again.train(tmp_path).finished
    assert again.steps_done == []


def test_training_works_outside_the_main_thread(tmp_path: Path) -> None:
    results: list[loop.Result] = []
    thread = threading.Thread(target=lambda: results.append(Toy().train(tmp_path)))
    thread.start()
    thread.join()
    assert results[0].finished


@pytest.mark.parametrize(
    ("schedule", "when"), [("cosine", 3), ("cosine", 29), ("plateau", 41), ("plateau", 59), ("none", 41)]
)
def test_resume_after_a_crash_is_bit_equal(tmp_path: Path, schedule: str, when: int) -> None:
    whole, broken, again = Toy(schedule), Toy(schedule), Toy(schedule)
    whole.train(tmp_path / "whole")
    with pytest.raises(Crash):
        broken.train(tmp_path / "broken", step=crash_at(broken.step, when))
    torch.rand(9)  # the generator of the new process is somewhere else
    again.train(tmp_path / "broken")
    assert again.steps_done == list(range(when // 7 * 7, STEPS))
    assert again.outcome(tmp_path / "broken") == whole.outcome(tmp_path / "whole")


def test_a_validation_that_was_killed_is_repeated(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    broken, again = Toy(), Toy()

    def validate() -> dict[str, float]:
        if broken.validations == 1:
            raise Crash
        return broken.validate()

    with pytest.raises(Crash):
        broken.train(tmp_path, validate=validate, checkpoint_every=20)
    again.train(tmp_path)
    assert (again.steps_done[0], again.validations) == (20, 5)
    assert again.outcome(tmp_path) == uninterrupted


def test_history_holds_averages_since_the_last_row_and_every_column(tmp_path: Path) -> None:
    toy, losses = Toy(), []

    def step(i: int) -> dict[str, float]:
        losses.append(toy.step(i))
        return losses[-1]

    result = toy.train(tmp_path, step=step, steps=34)
    rows = read_history(tmp_path / "history.csv")
    assert list(rows[0]) == ["step", "lr", "loss", "validation_loss", "second"]
    assert [row["step"] for row in rows] == ["10", "20", "30", "34"]
    assert [float(row["loss"]) for row in rows] == pytest.approx(
        [np.mean([m["loss"] for m in losses[a:b]]) for a, b in [(0, 10), (10, 20), (20, 30), (30, 34)]]
    )
    assert [row["second"] == "" for row in rows] == [True, True, False, False]
    assert float(rows[2]["second"]) == pytest.approx(np.mean([m["second"] for m in losses[25:30]]))
    assert [row["step"] for row in result.rows] == [10, 20, 30, 34]
    assert result.seconds > 0


def test_only_the_last_two_checkpoints_stay(tmp_path: Path) -> None:
    leftover = tmp_path / "checkpoints" / KEY[:16] / ".step-00000007.pt.99.partial"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    Toy().train(tmp_path)
    assert sorted(path.name for path in leftover.parent.iterdir()) == ["step-00000056.pt", "step-00000060.pt"]


def test_checkpoints_by_time(tmp_path: Path) -> None:
    toy = Toy()
    with pytest.raises(Crash):
        toy.train(tmp_path, step=crash_at(toy.step, 5), checkpoint_every=None, checkpoint_seconds=0)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000004.pt", "step-00000005.pt"]


class Payload:
    """A pickle that would create a file when it is read without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.target),))


@pytest.mark.parametrize("damage", ["truncated", "empty", "malicious", "another run"])
def test_a_bad_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture, uninterrupted: dict[str, Any]
) -> None:
    broken, again = Toy(), Toy()
    with pytest.raises(Crash):
        broken.train(tmp_path, step=crash_at(broken.step, 30))
    newest, trap = checkpoints(tmp_path)[-1], tmp_path / "trap"
    if damage == "truncated":
        newest.write_bytes(newest.read_bytes()[:-200])
    elif damage == "empty":
        newest.write_bytes(b"")
    elif damage == "malicious":
        torch.save({"key": KEY, "step": 28, "modules": Payload(trap)}, newest)
    else:
        torch.save({**torch.load(newest, weights_only=True), "key": "another"}, newest)
    with caplog.at_level(logging.WARNING):
        again.train(tmp_path)
    assert f"{newest} is passed over" in caplog.text
    assert not trap.exists()
    assert again.steps_done[0] == 21
    assert again.outcome(tmp_path) == uninterrupted


def test_a_foreign_key_is_never_loaded(tmp_path: Path) -> None:
    Toy().train(tmp_path)
    other = Toy()
    other.train(tmp_path, key="f" * 64)
    assert other.steps_done[0] == 0
    assert {path.parent.name for path in checkpoints(tmp_path)} == {KEY[:16], "f" * 16}


def test_a_finished_run_returns_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Toy(), Toy()
    result = first.train(tmp_path)
    rows = (tmp_path / "history.csv").read_text()
    (tmp_path / "history.csv").unlink()  # as Snakemake does when the job fails later
    with caplog.at_level(logging.INFO, "phasemill"):
        again = second.train(tmp_path)
    assert (second.steps_done, second.validations) == ([], 0)
    assert again == result
    assert second.outcome(tmp_path) == first.outcome(tmp_path)
    assert (tmp_path / "history.csv").read_text() == rows
    folder = tmp_path / "checkpoints" / KEY[:16]
    assert f"already finished at step {STEPS}; delete {folder} to train again" in caplog.text


def test_a_checkpoint_of_changed_code_is_explained(tmp_path: Path) -> None:
    Toy().train(tmp_path)
    other = Toy()
    other.net = torch.nn.Sequential(torch.nn.Linear(3, 9), torch.nn.Linear(9, 1))
    with pytest.raises(loop.LoopError, match=r"does not fit this model.*delete .*0123456789abcdef to train again"):
        other.train(tmp_path)


@pytest.mark.parametrize(
    ("scores", "patience", "after", "best_step", "stopped_at"),
    [
        ([3, 2, 1, 2, 3, 4], None, 0, 30, 60),
        ([3, 2, 1, 2, 3, 4], 2, 0, 30, 50),
        ([3, 2, 2.5, 1, 3, 4], 2, 0, 40, 60),
        ([3, math.nan, 1, math.inf, 3, 4], 2, 0, 30, 50),
        ([6, 5, 4, 3, 2, 1], 1, 0, 60, 60),
        ([1, 2, 3, 4, 5, 6], 2, 0, 10, 30),
        ([1, 2, 3, 4, 5, 6], 1, 30, 40, 50),
    ],
)
def test_best_weights_and_early_stopping(
    tmp_path: Path, scores: list[float], patience: int | None, after: int, best_step: int, stopped_at: int
) -> None:
    toy, seen = Toy(), {}

    def validate() -> dict[str, float]:
        seen[10 * (len(seen) + 1)] = toy.net[0].weight.detach().clone()
        return {"validation_loss": scores[len(seen) - 1]}

    result = toy.train(tmp_path, validate=validate, patience=patience, select_after=after)
    assert (result.best_step, result.best, result.step) == (best_step, scores[best_step // 10 - 1], stopped_at)
    assert torch.equal(toy.net[0].weight, seen[best_step])
    assert len(toy.steps_done) == stopped_at
    assert not toy.net.training


def test_plateau_lowers_the_learning_rate_by_the_monitored_metric(tmp_path: Path) -> None:
    scores = iter([3, 4, 2, 5, 1, 0])
    result = Toy("plateau").train(tmp_path, validate=lambda: {"validation_loss": next(scores)})
    assert [row["lr"] for row in result.rows] == pytest.approx([0.05 * f for f in (1, 1, 0.7, 0.7, 0.49, 0.49)])


@pytest.mark.parametrize("validated", [True, False])
def test_without_a_monitor_the_last_weights_stay(tmp_path: Path, validated: bool) -> None:
    toy = Toy()
    last: list[torch.Tensor] = []

    def step(i: int) -> dict[str, float]:
        metrics = toy.step(i)
        last[:] = [toy.net[0].weight.detach().clone()]
        return metrics

    validate = (lambda: {"validation_loss": float(len(last))}) if validated else None
    result = toy.train(tmp_path, step=step, validate=validate, monitor=None)
    assert torch.equal(toy.net[0].weight, last[0])
    assert result.best_step is None
    assert all(("validation_loss" in row) == validated for row in result.rows)


@pytest.mark.parametrize("poison", ["metric", "weight"])
def test_divergence_stops_with_a_sentence_and_saves_nothing_bad(tmp_path: Path, poison: str) -> None:
    toy = Toy()

    def step(i: int) -> dict[str, float]:
        metrics = toy.step(i)
        if i == 20 and poison == "metric":
            metrics["loss"] = math.nan
        if i == 20 and poison == "weight":
            torch.nn.init.constant_(toy.scale.bias, math.inf)
        return metrics

    what = {"metric": "metric loss is not finite at step 20", "weight": "weight scale.bias is not finite at step 21"}
    with pytest.raises(loop.LoopError, match=f"{what[poison]}; the last good checkpoint is .*step-00000014.pt; lower"):
        toy.train(tmp_path, step=step)
    for path in checkpoints(tmp_path):
        for weights in torch.load(path, weights_only=True)["modules"].values():
            assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize(
    ("changes", "schedule", "sentence"),
    [
        ({"monitor": None, "patience": 2}, "cosine", "need a validation metric; name it in monitor"),
        ({"monitor": None}, "plateau", "need a validation metric; name it in monitor"),
        ({"validate": None}, "cosine", "monitor 'validation_loss' needs a validate function"),
        ({"monitor": "rmse"}, "cosine", "monitor 'rmse' is none of \\['validation_loss'\\]"),
        ({"validate": lambda: {"loss": 1.0}, "monitor": "loss"}, "cosine", "two history columns have the same name"),
    ],
)
def test_contradicting_arguments(tmp_path: Path, changes: dict[str, Any], schedule: str, sentence: str) -> None:
    with pytest.raises(loop.LoopError, match=sentence):
        Toy(schedule).train(tmp_path, **changes)


def test_progress_in_a_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "phasemill"):
        Toy().train(tmp_path, log_seconds=0, steps=3, label="toy")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("toy: starts at step 0 of 3")
    assert lines[1].startswith("toy: step 1/3, loss ")
    assert " s/step, ETA 0:00:0" in lines[1]
    assert lines[-1].startswith("toy: finished at step 3 of 3")
    assert "best validation_loss" in lines[-1]


def test_progress_on_a_terminal_is_a_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    Toy().train(tmp_path, steps=3, label="toy")
    assert "3/3" in capsys.readouterr().err


def test_rng_is_a_function_of_seed_and_step() -> None:
    draws = {(seed, step): loop.rng(seed, step).random() for seed in range(3) for step in range(5)}
    assert len(set(draws.values())) == 15
    assert loop.rng(2, 4).random() == draws[2, 4]


@pytest.mark.parametrize(
    ("name", "gpu", "device"), [("auto", False, "cpu"), ("cpu", False, "cpu"), ("cpu", True, "cpu")]
)
def test_pick_device(name: Any, gpu: bool, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert loop.pick_device(name).type == device


@pytest.mark.parametrize(
    ("name", "sentence"), [("cuda", "sees no GPU on this machine; use device 'auto' or 'cpu'"), ("tpu", "is unknown")]
)
def test_pick_device_explains(name: Any, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(loop.LoopError, match=sentence):
        loop.pick_device(name)
