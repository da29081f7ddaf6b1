"""Training of the paper's estimator: two phases, no labels (SAFE-PIT-CM, section 2.6).

Phase one freezes encoder and decoder at their identity start, so the latent video is the video and the SAFE loss is a
function of kappa alone, known from spectra computed once. Phase two trains everything with the four terms of eq. 8.
Model selection and early stopping (both within phase two) and the learning rate see the label-free SAFE loss of the
validation videos only.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from phasemill.core import loop, store
from phasemill.core.errors import InputError
from phasemill.core.model_files import load_model, save_model
from phasemill.core.provenance import config_hash
from phasemill.core.session import Options, Session
from phasemill.transport.config.learned import EstimatorJob, EstimatorTraining
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.network import PhysicsEstimator, SafeModel, bounds_penalty, composite_loss
from phasemill.transport.operator import SpectralLoss
from phasemill.transport.spectra import FrameSpectra, SafeScheme


@dataclass(frozen=True)
class Videos:
    """Videos of a split with everything that stays constant during training."""

    frames: Tensor
    """(video, time, x, y), float32."""
    pooled: Tensor
    """What the estimator sees while the encoder is frozen."""
    loss: SpectralLoss
    """SAFE loss of the raw videos as a function of kappa."""
    schemes: list[SafeScheme]
    kappa: np.ndarray
    """True coefficients: for reporting, never for training or selection."""

    def __len__(self) -> int:
        return len(self.schemes)


def videos(data: xr.Dataset, split: str, frames: int, device: torch.device) -> Videos:
    """Both directions of a split's simulations, thinned to `frames` evenly spaced frames."""
    stride = dataset.thinning(data, frames)
    return assemble([(row, dataset.scheme(data, row, stride)) for row in dataset.rows(data, split, stride)], device)


def assemble(
    rows: Sequence[tuple[dataset.Row, SafeScheme]], device: torch.device, encoder: torch.nn.Module | None = None
) -> Videos:
    """Put the videos on the device with the pooled frames and spectra of what a frozen `encoder` makes of them."""
    stack = torch.from_numpy(np.stack([row.frames for row, _ in rows])).to(device)
    with torch.no_grad():
        latent = stack if encoder is None else encoder(stack)
    pairs = zip(latent.cpu().numpy(), (scheme for _, scheme in rows), strict=True)
    spectra = [FrameSpectra.from_frames(frames, scheme) for frames, scheme in pairs]
    return Videos(
        frames=stack,
        pooled=PhysicsEstimator.pool(latent),
        loss=SpectralLoss(spectra).to(device),
        schemes=[scheme for _, scheme in rows],
        kappa=np.array([row.kappa for row, _ in rows]),
    )


def make_training(model: SafeModel, settings: EstimatorTraining) -> loop.Training:
    """Adam with one learning rate for the estimator and one for encoder and decoder, halved on a plateau."""
    autoencoder = [*model.encoder.parameters(), *model.decoder.parameters()]
    optimizer = torch.optim.Adam(
        [
            {"params": list(model.estimator.parameters()), "lr": settings.learning_rate_estimator},
            {"params": autoencoder, "lr": settings.learning_rate_autoencoder},
        ]
    )
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=settings.plateau_factor, patience=settings.plateau_patience
    )
    return loop.Training({"model": model}, optimizer, schedule)


def make_step(
    training: loop.Training,
    data: Videos,
    settings: EstimatorTraining,
    phase_one: int,
    choose: Callable[[int], np.ndarray],
) -> Callable[[int], dict[str, float]]:
    """One optimiser step on the videos `choose(step)`; the first `phase_one` steps train the estimator alone."""
    model = training.modules["model"]
    assert isinstance(model, SafeModel)
    bounds = (settings.kappa.low, settings.kappa.high)
    weights = settings.weights

    def step(index: int) -> dict[str, float]:
        chosen = torch.from_numpy(choose(index)).to(data.frames.device)
        if index < phase_one:
            kappa = model.estimator.from_pooled(data.pooled[chosen])
            safe = data.loss(kappa, chosen).mean()
            terms = {"safe": safe, "total": weights.safe * safe + weights.bounds * bounds_penalty(kappa, bounds)}
        else:
            video = data.frames[chosen]
            terms = composite_loss(model(video), video, [data.schemes[i] for i in chosen.tolist()], weights, bounds)
        training.optimizer.zero_grad()
        terms["total"].backward()
        training.optimizer.step()
        return {name: float(value.detach()) for name, value in terms.items()}

    return step


def batches(seed: int, count: int, batch: int) -> tuple[int, Callable[[int], np.ndarray]]:
    """Steps per epoch, and the indices of a step's batch: each epoch sees all `count` once, in an order of its own."""
    per_epoch = -(-count // batch)

    def choose(step: int) -> np.ndarray:
        epoch, place = divmod(step, per_epoch)
        return loop.rng(seed, epoch).permutation(count)[place * batch : (place + 1) * batch]

    return per_epoch, choose


def train(job: EstimatorJob, data: Path, output: Path, **options: Unpack[Options]) -> None:
    """Train the estimator and store the weights of the best validation as safetensors."""
    session, settings = Session(job, data, **options), job.training
    source = store.open_dataset(data)
    training_videos = videos(source, "train", settings.frames, session.where)
    validation_videos = videos(source, "validation", settings.frames, session.where)

    torch.manual_seed(job.seed)
    model = SafeModel(job.estimator.channels, job.estimator.features).to(session.where)
    training = make_training(model, settings)
    per_epoch, choose = batches(job.seed, len(training_videos), settings.batch)
    steps = settings.epochs * per_epoch
    phase_one = round(settings.phase_one * steps)

    def validate() -> dict[str, float]:
        with torch.no_grad():
            kappa = torch.cat([model.estimator(model.encoder(video[None])) for video in validation_videos.frames])
            error = np.abs(kappa.cpu().numpy() - validation_videos.kappa)
            return {"validation_safe": validation_videos.loss(kappa).mean().item(), "validation_mae": error.mean()}

    result = loop.train(
        training,
        make_step(training, training_videos, settings, phase_one, choose),
        steps=steps,
        every=per_epoch,
        seed=job.seed,
        checkpoints=session.checkpoints,
        key=config_hash({**session.spec, "data": session.digest}),
        history=session.history,
        validate=validate,
        monitor="validation_safe",
        patience=settings.patience,
        select_after=phase_one,
        checkpoint_seconds=5,
        label="transport_estimator",
    )
    constants = torch.linspace(settings.kappa.low, settings.kappa.high, 400)
    with torch.no_grad():
        by_constant = [
            validation_videos.loss(kappa.expand(len(validation_videos))).mean().item() for kappa in constants
        ]
    card = {
        "steps": result.step,
        "phase_one_steps": phase_one,
        "best_step": result.best_step,
        "validation_safe": result.best,
        "validation_safe_constant": min(by_constant),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        **session.card(
            "transport_estimator", trained_at=", ".join(result.code), training_seconds=round(result.seconds, 1)
        ),
    }
    save_model(output, model, card)


def load_trained(path: Path, module: torch.nn.Module, source: xr.Dataset) -> dict[str, Any]:
    """Fill `module` from a trained model and return its card.

    Raises InputError, as `load_model`, and for a model that was trained on other data than `source`.
    """
    card = load_model(path, module)
    if card["data_digest"] != source.attrs["digest"]:
        raise InputError(f"{path} was trained on other data than the given; train it again or give its own data set")
    return card


def read_history(path: Path) -> dict[str, list[float | None]]:
    """The columns of a training history; None where a term was not in the loss yet."""
    with path.open(newline="") as stream:
        table = list(csv.DictReader(stream))
    return {name: [float(row[name]) if row[name] else None for row in table] for name in (table[0] if table else {})}
