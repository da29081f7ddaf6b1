"""Tests of what the kill tests stand on: which numbers count, and when a stage is unfinished."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
import torch

from phasemill.core.model_files import save_tensors
from tests.faults.chain import Chain, Job, digest


@pytest.mark.parametrize("key", ["seconds", "cpu", "costs"])
def test_what_a_clock_has_measured_does_not_count(tmp_path, key):
    assert digest_of(tmp_path, {"mse": 1, key: 2.0}) == digest_of(tmp_path, {"mse": 1, key: 3.0})


@pytest.mark.parametrize("key", ["energy_error_time", "rmse_peak_time", "times", "path", "trained + 4 test-time steps"])
def test_numbers_whose_names_only_sound_like_a_clock_count(tmp_path, key):
    assert digest_of(tmp_path, {"mse": 1, key: 2.0}) != digest_of(tmp_path, {"mse": 1, key: 3.0})


def digest_of(folder: Path, content: dict[str, float]) -> str:
    (folder / "a.json").write_text(json.dumps({"scores": [content]}))
    return digest(folder / "a.json")


def test_of_the_claims_only_that_about_seconds_does_not_count(tmp_path):
    def table(error: float, overhead: float) -> str:
        path = tmp_path / "claims.csv"
        path.write_text(f"claim,value\npinns.poisson.fixed,{error}\npinns.poisson.overhead,{overhead}\n")
        return digest(path)

    assert table(0.1, 5) == table(0.1, 6)
    assert table(0.1, 5) != table(0.2, 5)


def test_of_a_history_the_seconds_do_not_count(tmp_path):
    def model(error: float, seconds: float) -> str:
        tensors = {"a.theta": torch.ones(2), "a.history": torch.tensor([[error, seconds]])}
        save_tensors(tmp_path / "m.safetensors", tensors, {"runs": {"a": {"columns": ["error", "seconds"]}}})
        return digest(tmp_path / "m.safetensors")

    assert model(0.1, 5) == model(0.1, 6)
    assert model(0.1, 5) != model(0.2, 5)


def test_a_stage_is_unfinished_until_all_outputs_are_there_and_unmarked(tmp_path):
    chain = Chain.__new__(Chain)
    chain.folder = tmp_path
    job = Job("train", "train.log", ("model.safetensors", "history.csv"))
    marks = tmp_path / ".snakemake/incomplete"
    marks.mkdir(parents=True)
    (tmp_path / "model.safetensors").touch()
    assert chain.unfinished(job)
    (tmp_path / "history.csv").touch()
    assert not chain.unfinished(job)
    (marks / urlsafe_b64encode(b"history.csv").decode()).touch()
    assert chain.unfinished(job)
