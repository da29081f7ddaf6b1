"""The estimator from spectral tokens learns kappa without labels, from a few small simulations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from phasemill.core import metrics, store
from phasemill.core.errors import InputError
from phasemill.transport.config.learned import Schedule, Tokens, TokensJob
from phasemill.transport.config.videos import VoronoiHeat, VoronoiHeatJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.tokens import diffusion_unit, estimators, frame_tokens
from phasemill.transport.train.estimator import load_trained
from phasemill.transport.train.tokens import train

pytestmark = pytest.mark.physics

DATA = VoronoiHeat(
    **{"size": 32, "dx": 0.5, "dt": 0.005, "steps": 1000, "save_every": 50, "simulations": 40},
    **{"validation": 4, "test": 12, "kappa": {"low": 0.1, "high": 0.7}, "grains": {"low": 5, "high": 10}},
    **{"interface_width": 0.25, "roughness": 0.3, "correlation_length": 2.0},
)
SETTINGS = Tokens(
    features=32,
    noise=0.01,
    spectral=Schedule(frames=11, epochs=60, batch=8, learning_rate=1e-2),
    pooled=Schedule(frames=3, epochs=1, batch=8, learning_rate=1e-3),
)


def test_learns_kappa_without_labels(tmp_path: Path) -> None:
    dataset.simulate(VoronoiHeatJob(seed=1, data=DATA), tmp_path / "heat.zarr")
    job, model = TokensJob(seed=1, tokens=SETTINGS), tmp_path / "tokens.safetensors"
    places = {"checkpoints": tmp_path, "history": tmp_path / "history.csv"}
    train(job, tmp_path / "heat.zarr", model, threads=1, device="cpu", **places)
    models = estimators(SETTINGS, seed=0).eval()
    source = store.open_dataset(tmp_path / "heat.zarr")
    load_trained(model, models, source)
    with pytest.raises(InputError, match=r"tokens\.safetensors was trained on other data than the given"):
        load_trained(model, models, source.assign_attrs(digest="another"))

    stride = dataset.thinning(source, SETTINGS.spectral.frames)
    rows = list(dataset.rows(source, "test", stride))
    seen = torch.from_numpy(np.stack([frame_tokens(row.frames[:: row.direction]) for row in rows]))
    with torch.no_grad():
        number = models["spectral"]["main"](seen).numpy()
    kappa = number * [diffusion_unit(dataset.scheme(source, row, stride)) for row in rows]
    truth = np.array([row.kappa for row in rows])
    baseline = np.abs(truth - np.mean([row.kappa for row in dataset.rows(source, "train")])).mean()
    assert metrics.r2(truth, kappa) >= 0.9
    assert metrics.mae(truth, kappa) < baseline / 4
    np.testing.assert_allclose(kappa[::2], kappa[1::2], rtol=1e-5)  # a video and its reverse
