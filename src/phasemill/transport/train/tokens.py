"""Training of the amortised estimators: two groups of variants, each group side by side in one run.

The variants of a group share batches, steps and optimiser; their parameters are independent, so each learns as it
would alone. The loss is the SAFE loss of the clean videos, without labels (but for the variant that is trained on them
for comparison). A mobility video is the reversal of its base simulation and is read in smoothing order, hence the same
input: each base simulation counts once. Selection sees the label-free SAFE loss of the validation videos only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from phasemill.core import loop, store
from phasemill.core.model_files import save_model
from phasemill.core.provenance import config_hash
from phasemill.core.seeds import branch
from phasemill.core.session import Options, Session
from phasemill.transport.config.learned import Schedule, TokensJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.network import PhysicsEstimator
from phasemill.transport.operator import SpectralLoss
from phasemill.transport.spectra import FrameSpectra
from phasemill.transport.tokens import (
    GROUPS,
    SPECTRAL,
    SpectralEstimator,
    Variant,
    diffusion_unit,
    estimators,
    frame_tokens,
)
from phasemill.transport.train.estimator import batches

NOISY_COPIES = 4
"""Draws of the noise per training video, beside the clean one."""
SELECTION = 2 / 3
"""Share of the steps before the first validation that may be selected: the learning rate must have come down."""


@dataclass(frozen=True)
class Inputs:
    """What the estimators of a group see of a split's base simulations, and what their answers are judged by."""

    copies: Tensor
    """(copy, simulation, time, ...): the first copy is clean, the others carry noise of their own."""
    loss: SpectralLoss
    """SAFE loss of the clean videos as a function of kappa."""
    unit: Tensor
    """kappa of the Fourier number 1, for each simulation."""
    kappa: Tensor
    """True coefficients."""

    def __len__(self) -> int:
        return len(self.kappa)

    @property
    def clean(self) -> Tensor:
        """(simulation, time, ...)."""
        return self.copies[0]


class Noise(NamedTuple):
    """How many noisy copies of the videos are made, with which standard deviation, from which root of the seeds."""

    sigma: float = 0.0
    copies: int = 0
    seed: int = 0


def add_noise(frames: np.ndarray, noise: float, seed: np.random.SeedSequence) -> np.ndarray:
    """Frames with independent normal noise of standard deviation `noise` on every cell."""
    return np.asarray(frames + noise * np.random.default_rng(seed).standard_normal(frames.shape, dtype=np.float32))


def pooled_frames(frames: np.ndarray) -> np.ndarray:
    """The input of the estimators from pixels: pooled frames (time, 20, 20)."""
    return np.asarray(PhysicsEstimator.pool(torch.from_numpy(frames.copy())[None])[0])


def inputs(
    source: xr.Dataset,
    split: str,
    frames: int,
    see: Callable[[np.ndarray], np.ndarray],
    device: torch.device,
    noise: Noise = Noise(),
) -> Inputs:
    """The base simulations of a split, thinned to `frames`, through `see`: clean, and in noisy copies."""
    stride = dataset.thinning(source, frames)
    rows = [row for row in dataset.rows(source, split, stride) if row.direction > 0]
    schemes = [dataset.scheme(source, row, stride) for row in rows]
    copies = [[see(row.frames) for row in rows]]
    for copy in branch(noise.seed, f"tokens noise {split}", noise.copies):
        leaves = copy.spawn(len(rows))
        copies.append([see(add_noise(row.frames, noise.sigma, leaf)) for row, leaf in zip(rows, leaves, strict=True)])
    spectra = [FrameSpectra.from_frames(row.frames, scheme) for row, scheme in zip(rows, schemes, strict=True)]
    return Inputs(
        copies=torch.from_numpy(np.array(copies)).to(device),
        loss=SpectralLoss(spectra).to(device),
        unit=torch.tensor([diffusion_unit(scheme) for scheme in schemes], dtype=torch.float32, device=device),
        kappa=torch.tensor([row.kappa for row in rows], dtype=torch.float32, device=device),
    )


def make_step(
    training: loop.Training,
    variants: Mapping[str, Variant],
    data: Inputs,
    choose: Callable[[int], np.ndarray],
    seed: int,
) -> Callable[[int], dict[str, float]]:
    """One step of all variants on the simulations `choose(step)`: the sum of their losses."""
    group = training.modules["group"]
    assert isinstance(group, nn.ModuleDict)

    def step(index: int) -> dict[str, float]:
        chosen = torch.from_numpy(choose(index)).to(data.unit.device)
        copies = torch.from_numpy(loop.rng(seed, index).integers(len(data.copies), size=len(chosen)))
        losses = {}
        for name, variant in variants.items():
            seen = data.copies[copies.to(chosen.device), chosen] if variant.noisy else data.clean[chosen]
            number = group[name](seen)
            if variant.supervised:
                losses[name] = (number - data.kappa[chosen] / data.unit[chosen]).square().mean()
            else:
                losses[name] = data.loss(number * data.unit[chosen], chosen).mean()
        training.optimizer.zero_grad()
        torch.autograd.backward(list(losses.values()))  # of the sum
        training.optimizer.step()
        return {name: float(value.detach()) for name, value in losses.items()}

    return step


def validate(group: nn.ModuleDict, variants: Mapping[str, Variant], data: Inputs) -> dict[str, float]:
    """The SAFE loss of each variant, and their geometric mean, so that the selection weighs all alike."""
    with torch.no_grad():
        losses = {
            f"validation_{name}": data.loss(group[name](data.copies[1] if variant.noisy else data.clean) * data.unit)
            .mean()
            .item()
            for name, variant in variants.items()
        }
    return {"validation_safe": float(np.exp(np.mean(np.log(list(losses.values()))))), **losses}


def train(job: TokensJob, data: Path, output: Path, **options: Unpack[Options]) -> None:
    """Train both groups and store the weights of their best validations in one safetensors file.

    `history` gets the losses of the estimators from spectra; those of the paper's lie beside the checkpoints.
    """
    session, settings = Session(job, data, **options), job.tokens
    source, where, folder = store.open_dataset(data), session.where, session.checkpoints / "tokens"
    models = estimators(settings, job.seed).to(where)

    def run(name: str, schedule: Schedule, train_on: Inputs, validate_on: Inputs, history: Path) -> dict[str, Any]:
        group, variants = models[name], GROUPS[name]
        assert isinstance(group, nn.ModuleDict)
        per_epoch, choose = batches(job.seed, len(train_on), schedule.batch)
        steps = schedule.epochs * per_epoch
        optimizer = torch.optim.Adam(group.parameters(), lr=schedule.learning_rate)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, schedule.learning_rate, total_steps=steps + 1, pct_start=0.1
        )
        training = loop.Training({"group": group}, optimizer, cycle)
        result = loop.train(
            training,
            make_step(training, variants, train_on, choose, job.seed),
            steps=steps,
            every=per_epoch,
            seed=job.seed,
            checkpoints=folder,
            key=config_hash({**session.spec, "data": session.digest, "group": name}),
            history=history,
            validate=lambda: validate(group, variants, validate_on),
            monitor="validation_safe",
            select_after=round(SELECTION * steps),
            checkpoint_seconds=5,
            label=f"transport_tokens, {name}",
        )
        best = next(row for row in result.rows if row["step"] == result.best_step)
        return {
            "steps": result.step,
            "best_step": result.best_step,
            "seconds": round(result.seconds, 1),
            "code": result.code,
            "validation_safe": {variant: best[f"validation_{variant}"] for variant in variants},
        }

    frames = settings.spectral.frames
    spectral = inputs(source, "train", frames, frame_tokens, where, Noise(settings.noise, NOISY_COPIES, job.seed))
    for name, variant in SPECTRAL.items():
        estimator = models["spectral"].get_submodule(name)
        assert isinstance(estimator, SpectralEstimator)
        estimator.standardise(spectral.copies if variant.noisy else spectral.clean)
    spectral_validation = inputs(source, "validation", frames, frame_tokens, where, Noise(settings.noise, 1, job.seed))
    pooled, pooled_validation = (
        inputs(source, split, settings.pooled.frames, pooled_frames, where) for split in ("train", "validation")
    )
    groups = {
        "spectral": run("spectral", settings.spectral, spectral, spectral_validation, session.history),
        "pooled": run("pooled", settings.pooled, pooled, pooled_validation, folder / "pooled.csv"),
    }
    card = session.card(
        "transport_tokens",
        trained_at=", ".join(sorted({commit for group in groups.values() for commit in group["code"]})),
        training_seconds=sum(group["seconds"] for group in groups.values()),
    )
    save_model(output, models, {"groups": groups, **card})
