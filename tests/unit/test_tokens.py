"""The amortised estimators: what a token holds, what the order of frames matters, what the training sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from phasemill.core import loop
from phasemill.core.errors import InputError
from phasemill.core.model_files import load_model
from phasemill.transport.config.learned import Schedule, Tokens, TokensJob
from phasemill.transport.config.videos import VoronoiHeat, VoronoiHeatJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.evaluate.amortised import newton
from phasemill.transport.network import PhysicsEstimator
from phasemill.transport.operator import SpectralLoss
from phasemill.transport.spectra import FrameSpectra, SafeScheme
from phasemill.transport.tokens import (
    BANDS,
    EDGES,
    FLOOR,
    SPECTRAL,
    PooledEstimator,
    SpectralEstimator,
    TimeSummary,
    diffusion_unit,
    estimators,
    frame_tokens,
)
from phasemill.transport.train import tokens as train_tokens

SCHEME = SafeScheme(interval=0.25, substeps=50, dx=0.5)
SETTINGS = Tokens(
    features=8,
    noise=0.01,
    spectral=Schedule(frames=5, epochs=6, batch=2, learning_rate=1e-2),
    pooled=Schedule(frames=3, epochs=1, batch=2, learning_rate=1e-3),
)


def heat(kappa: float, frames: int = 9, size: int = 32, seed: int = 0) -> np.ndarray:
    """White noise under the operator of SCHEME."""
    s = 16 * np.sin(np.pi * np.arange(size) / size) ** 2
    growth = (1 - kappa * SCHEME.tau * (s[:, None] + s)) ** (SCHEME.substeps * np.arange(frames))[:, None, None]
    start = np.fft.fft2(np.random.default_rng(seed).standard_normal((size, size)))
    return np.fft.ifft2(start * growth).real


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("waves", "size"), [(1, 32), (3, 32), (5, 20), (16, 32)])
def test_token_of_one_decaying_wave(waves: int, size: int) -> None:
    rate, x = 0.8, np.arange(size)
    wave = np.cos(2 * np.pi * waves * x / size)[:, None] * np.ones(size)
    frames = 0.3 + 0.2 * np.exp(-rate * np.arange(6))[:, None, None] * wave
    tokens = frame_tokens(frames)
    assert tokens.shape == (6, 2 * BANDS)
    band = np.digitize(4 * np.sin(np.pi * waves / size) ** 2, EDGES)
    np.testing.assert_allclose(tokens[:, band], -2 * rate * np.arange(6), atol=1e-2)
    np.testing.assert_allclose(tokens[:, BANDS + band], -2 * rate, atol=1e-2)
    others = np.delete(np.arange(BANDS), band)
    np.testing.assert_allclose(tokens[:, others], np.log(FLOOR), atol=1e-6)
    np.testing.assert_allclose(tokens[:, BANDS + others], 0, atol=1e-6)


def test_every_mode_is_in_one_band() -> None:
    frames = heat(0.4)
    share = np.exp(frame_tokens(frames)[:, :BANDS].astype(float)) - FLOOR
    np.testing.assert_allclose(share.sum(1), frames.var((1, 2)) / frames[0].var(), rtol=1e-5)


def test_tokens_do_not_depend_on_affine_maps_or_shifts() -> None:
    frames = heat(0.4)
    tokens = frame_tokens(frames)
    for other in (2.5 * frames + 0.7, -frames, np.roll(frames, (3, 5), (1, 2)), frames.swapaxes(1, 2)):
        np.testing.assert_allclose(frame_tokens(other), tokens, atol=2e-5)
    assert np.abs(frame_tokens(frames[::-1]) - tokens).max() > 1


def test_same_tokens_on_another_grid_mean_another_kappa() -> None:
    """Only kappa interval / dx^2 is in the pixels."""
    finer = SafeScheme(interval=0.1, substeps=50, dx=0.25)
    number = 0.4 / diffusion_unit(SCHEME)
    kappa = number * diffusion_unit(finer)
    frames = heat(0.4).astype(np.float32)
    assert kappa != pytest.approx(0.4)
    assert float(FrameSpectra.from_frames(frames, finer).loss(kappa)) < 1e-9


@pytest.mark.parametrize(
    ("options", "matters"),
    [
        ({}, True),
        ({"attention": False}, True),
        ({"positions": False}, False),
        ({"attention": False, "positions": False}, False),
    ],
)
@pytest.mark.parametrize("kind", [SpectralEstimator, PooledEstimator])
def test_order_matters_with_positions_alone(kind: type, options: dict[str, bool], matters: bool) -> None:
    shape = (2, 6, 2 * BANDS) if kind is SpectralEstimator else (2, 6, 20, 20)
    estimator, seen = kind(6, 8, **options).double(), torch.rand(shape, dtype=torch.float64)
    shuffled = estimator(seen[:, [3, 0, 5, 4, 2, 1]])
    assert estimator(seen).shape == (2,)
    assert torch.allclose(shuffled, estimator(seen), rtol=1e-12) is not matters


@pytest.mark.parametrize("attention", [True, False])
def test_attention_alone_compares_frames(attention: bool) -> None:
    """In a plain mean, what one frame adds does not depend on the others."""
    summary = TimeSummary(2, 8, attention=attention, positions=False).double()
    summary.norm = summary.head = torch.nn.Identity()
    a, b, c, d = torch.rand(4, 1, 8, dtype=torch.float64)
    values = [summary(torch.stack(pair, 1)) for pair in ((a, b), (c, d), (a, d), (c, b))]
    additive = torch.allclose(values[0] + values[1], values[2] + values[3], rtol=1e-10)
    assert additive is not attention


@pytest.mark.parametrize(
    ("estimator", "count"),
    [
        (SpectralEstimator(101, 64), 29057),
        (SpectralEstimator(101, 64, differences=False), 29057 - 12 * 64),
        (PooledEstimator(11, 64, positions=False), 39809),
    ],
)
def test_parameter_counts(estimator: torch.nn.Module, count: int) -> None:
    assert sum(parameter.numel() for parameter in estimator.parameters()) == count


def test_without_positions_and_standardisation_it_is_the_papers_estimator() -> None:
    ours, paper = PooledEstimator(4, 8, standardised=False, positions=False), PhysicsEstimator(8)
    ours.load_state_dict(
        {key if key.startswith("frame") else f"summary.{key}": value for key, value in paper.state_dict().items()}
    )
    pooled = PhysicsEstimator.pool(torch.rand(2, 4, 32, 32))
    torch.testing.assert_close(ours(pooled), paper.from_pooled(pooled))


def test_standardised_frames_do_not_depend_on_affine_maps() -> None:
    estimator, pooled = PooledEstimator(4, 8).double(), torch.rand(2, 4, 20, 20, dtype=torch.float64)
    torch.testing.assert_close(estimator(3 * pooled - 0.4), estimator(pooled), rtol=1e-10, atol=0)


def test_standardise_leaves_a_constant_feature_at_zero() -> None:
    estimator, tokens = SpectralEstimator(4, 8), 5 + 3 * torch.randn(10, 4, 2 * BANDS)
    tokens[..., 2] = -13.0
    estimator.standardise(tokens)
    standard = (tokens - estimator.mean) / estimator.scale
    torch.testing.assert_close(standard.mean((0, 1)), torch.zeros(2 * BANDS), atol=1e-5, rtol=0)
    assert standard[..., 2].abs().max() == 0
    torch.testing.assert_close(standard[..., 3:].std((0, 1)), torch.ones(2 * BANDS - 3), atol=0.02, rtol=0)


def test_a_video_of_another_length_is_refused() -> None:
    with pytest.raises(InputError, match="gives 5 tokens; this estimator was trained for 4"):
        SpectralEstimator(4, 8)(torch.rand(1, 5, 2 * BANDS))


def test_variants_start_from_the_same_numbers_and_leave_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    models = estimators(SETTINGS, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    main, twin = (models["spectral"][name].state_dict() for name in ("main", "supervised"))
    assert all(torch.equal(main[key], twin[key]) for key in main)


@pytest.mark.parametrize("off", [0.9, 1.1])
def test_newton_steps_refine_an_estimate(off: float) -> None:
    spectra = FrameSpectra.from_frames(heat(0.4), SCHEME)
    assert newton(spectra, off * 0.4, 5) == pytest.approx(0.4, rel=1e-6)
    assert abs(newton(spectra, off * 0.4, 1) - 0.4) < 0.5 * abs(off * 0.4 - 0.4)


def toy_inputs() -> train_tokens.Inputs:
    kappas = [0.2, 0.3, 0.4, 0.5]
    videos = [heat(kappa, 5, 16, index) for index, kappa in enumerate(kappas)]
    clean = np.stack([frame_tokens(video) for video in videos])
    return train_tokens.Inputs(
        copies=torch.from_numpy(np.stack([clean, clean + 0.1])),
        loss=SpectralLoss([FrameSpectra.from_frames(video, SCHEME) for video in videos]),
        unit=torch.full((4,), diffusion_unit(SCHEME)),
        kappa=torch.tensor(kappas),
    )


def trained_weights(data: train_tokens.Inputs) -> dict[str, torch.Tensor]:
    group = estimators(SETTINGS, seed=0)["spectral"]
    training = loop.Training({"group": group}, torch.optim.Adam(group.parameters(), lr=1e-2))
    step = train_tokens.make_step(training, SPECTRAL, data, lambda _: np.arange(4), seed=0)
    for index in range(3):
        step(index)
    return dict(group.state_dict())


def test_labels_reach_the_supervised_variant_alone() -> None:
    data = toy_inputs()
    one, other = trained_weights(data), trained_weights(replace(data, kappa=data.kappa.flip(0)))
    changed = {key.split(".")[0] for key in one if not torch.equal(one[key], other[key])}
    assert changed == {"supervised"}


def test_noise_reaches_the_noisy_variant_alone() -> None:
    data = toy_inputs()
    quiet = replace(data, copies=data.copies[:1].expand(2, -1, -1, -1))
    one, other = trained_weights(data), trained_weights(quiet)
    changed = {key.split(".")[0] for key in one if not torch.equal(one[key], other[key])}
    assert changed == {"noisy"}


def test_interrupted_training_ends_bit_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heat_job = VoronoiHeatJob(
        seed=1,
        data=VoronoiHeat(
            **{"size": 16, "dx": 0.5, "dt": 0.005, "steps": 40, "save_every": 10, "simulations": 6},
            **{"validation": 1, "test": 1, "kappa": {"low": 0.1, "high": 0.7}, "grains": {"low": 3, "high": 5}},
            **{"interface_width": 0.25, "roughness": 0.3, "correlation_length": 2.0},
        ),
    )
    data, job = tmp_path / "heat.zarr", TokensJob(seed=1, tokens=SETTINGS)
    dataset.simulate(heat_job, data)

    def run(name: str) -> dict[str, torch.Tensor]:
        places = {"checkpoints": tmp_path / name, "history": tmp_path / f"{name}.csv"}
        train_tokens.train(job, data, tmp_path / f"{name}.safetensors", threads=1, device="cpu", **places)
        models = estimators(SETTINGS, seed=2)
        card = load_model(tmp_path / f"{name}.safetensors", models)
        assert set(card["groups"]["spectral"]["validation_safe"]) == set(SPECTRAL)
        return dict(models.state_dict())

    whole, original = run("whole"), train_tokens.make_step

    class Crash(Exception):
        """Stands for a kill."""

    def crashing(*arguments: object) -> object:
        step = original(*arguments)

        def crash(index: int) -> dict[str, float]:
            if index == 7:
                raise Crash
            return step(index)

        return crash

    def always_due(self: object, step: int) -> bool:
        return step > self._saved_at[1]

    monkeypatch.setattr("phasemill.core.run.Checkpoints.due", always_due)
    with monkeypatch.context() as broken:
        broken.setattr(train_tokens, "make_step", crashing)
        with pytest.raises(Crash):
            run("broken")
    again = run("broken")
    assert all(torch.equal(whole[key], again[key]) for key in whole)
