"""Evaluation of the trained estimators: from spectra, and the paper's as it is and after test-time training.

Every error stands beside the constant-kappa baseline (the mean over the training simulations), because the sign of the
coefficient is given and alone makes a high signed R2.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from phasemill.core import loop, metrics, store
from phasemill.core.errors import InputError
from phasemill.core.files import read_json
from phasemill.core.provenance import Clock
from phasemill.transport.config.learned import TrainedJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.evaluate.amortised import (
    ATTENTION,
    Amortised,
    amortised,
    attention_gain,
    find,
    order_note,
    variants_table,
)
from phasemill.transport.evaluate.scoring import (
    Estimates,
    constant,
    difference,
    headline,
    mae,
    recovery_table,
    score,
    training_table,
    write_fields,
)
from phasemill.transport.network import SafeModel
from phasemill.transport.train.estimator import Videos, assemble, load_trained, make_step, make_training, read_history

WORTH = 0.1
"""Share of the error that a training must take away to count as help."""

log = logging.getLogger("phasemill")


def trained(
    job: TrainedJob,
    data: Path,
    output: Path,
    *,
    model: Path,
    tokens: Path,
    history: Path,
    compare: Path,
    threads: int = 1,
    device: str = "auto",
) -> dict[str, Any]:
    """Recover kappa of the held-out videos: by spectral tokens, and by the paper's estimator and its training."""
    clock = Clock()
    where = loop.pick_device(device)
    source = store.open_dataset(data)
    network = SafeModel(job.estimator.channels, job.estimator.features).to(where)
    card = load_trained(model, network, source)
    rows = list(dataset.rows(source, "test"))
    zero = comparable(compare, rows)
    spectral = amortised(tokens, job, source, rows, where)
    its = papers(network, source, rows, job, where)
    budget = job.trained.test_time_steps
    methods = [
        *spectral.methods,
        Estimates(f"trained + {budget} test-time steps", its.after, its.seconds),
        Estimates("trained, as it is", its.before),
        Estimates(f"fresh network after {budget} steps", [h[budget] for h in zero["metrics"]["network_history"]]),
        constant(source, rows),
    ]
    scores = {method.label: score(rows, method.kappa) for method in methods}
    best, _, tuned, plain, fresh, baseline = (scores[method.label] for method in methods)
    helps = mae(tuned) / mae(fresh)
    own = (
        f"As trained, without them: mean |error| {mae(plain):.3g}, a constant {mae(baseline):.3g}; a fresh network "
        f"after as many steps on the video: {mae(fresh):.3g}."
    )
    if helps > 1 - WORTH:
        own = f"What is gained is gained by the {budget} test-time steps and not by the training. {own}"
    ratio = zero["claims"]["transport.zero_shot.mae"] / tuned["all"]["mae"]
    shown = [methods[0], methods[2]]
    write_fields(output / "fields.zarr", source, rows, shown, job.trained.field_frames, clock, job.model_dump())
    noise = f"{100 * job.tokens.noise:g} % noise"
    seen, hardened = (find(spectral, "spectral", name) for name in ("main", "noisy"))
    return {
        "title": "Recovery of kappa with trained estimators",
        "question": (
            "Does an estimator trained on other simulations, without labels, read kappa off a new video? Two kinds are "
            "applied to held-out base simulations in both directions of time: one that sees each frame as a token of "
            "spectral band energies, and the paper's autoencoder with attention, trained in two phases, as it is and "
            f"after {budget} steps of test-time training on the video."
        ),
        "answer": (
            f"Spectral tokens: mean error {best['all']['mae']:.2g} in {1e3 * methods[0].median_seconds:.2g} ms. The "
            f"paper's estimator as trained has {plain['all']['mae']:.2g}, a constant {baseline['all']['mae']:.2g}; its "
            f"{budget} test-time steps give {tuned['all']['mae']:.2g}, but a fresh network with as many steps has "
            f"{fresh['all']['mae']:.2g}."
        ),
        "headline": [
            headline("R2 of kappa, diffusion, spectral tokens", best["diffusion"]["r2"], "one look, no minimisation"),
            headline("R2 of kappa, mobility, spectral tokens", best["mobility"]["r2"], "one look, no minimisation"),
            headline("mean |error|, spectral tokens", best["all"]["mae"]),
            headline(
                f"R2 of kappa, {noise}, spectral tokens trained with noise",
                hardened["noisy"]["r2"],
                f"trained on clean ones {_shown(seen['noisy']['r2'])}; itself without noise "
                f"{_shown(hardened['clean']['r2'])}",
            ),
            headline("one video, spectral tokens", 1e3 * methods[0].median_seconds, "frames in memory to kappa", "ms"),
            headline(
                "mean |error|, the paper's estimator",
                tuned["all"]["mae"],
                "after test-time training",
                claim="transport.trained.mae",
            ),
            headline("the same as trained", plain["all"]["mae"], "no look at the video's own loss"),
            headline("mean |error| of a constant kappa", baseline["all"]["mae"], "the trivial estimator"),
        ],
        "tables": [
            recovery_table(methods, scores),
            _seconds_table(methods, zero["metrics"]["seconds"]),
            variants_table(spectral, job.tokens.noise),
            {**training_table(card), "title": "Training of the paper's estimator"},
        ],
        "claims": {
            "transport.trained.mae": tuned["all"]["mae"],
            "transport.trained.r2": tuned["all"]["signed_r2"],
            "transport.trained.diffusion_r2": tuned["diffusion"]["r2"],
            "transport.zero_shot.beats_trained": ratio,
            "transport.zero_shot.comparable_to_trained": ratio,
            "transport.trained.mobility_weaker": difference(tuned["diffusion"]["r2"], tuned["mobility"]["r2"]),
            "transport.trained.attention_key": attention_gain(spectral, "pixels", "clean"),
            "transport.trained.training_helps": helps,
            "transport.trained.temporal_order": spectral.order,
            "transport.trained.field_safe": float(np.mean(its.safe)),
            "transport.trained.field_reconstruction": float(np.mean(its.reconstruction)),
        },
        "claim_notes": {
            **{f"transport.trained.{name}": own for name in ("mae", "r2", "diffusion_r2")},
            "transport.zero_shot.beats_trained": (
                f"After as many steps on the video ({budget}) the error of a fresh network over that of the trained "
                f"one is {mae(fresh) / mae(tuned):.2g}."
            ),
            "transport.trained.attention_key": (
                f"{_gains(spectral, 'clean')}; on frames with {noise} (all trained on clean ones) "
                f"{_gains(spectral, 'noisy')}. One training each: a ratio near 1 may be chance."
            ),
            "transport.trained.temporal_order": order_note(spectral),
        },
        "metrics": {
            "methods": scores,
            "seconds": {method.label: method.median_seconds for method in methods if method.seconds},
            "kappa": {method.label: list(method.kappa) for method in methods},
            "truth": [row.kappa for row in rows],
            "direction": [row.direction for row in rows],
            "spread_as_trained": float(np.ptp(its.before)),
            "reconstruction_rmse": its.reconstruction,
            "safe_loss": its.safe,
            "history": read_history(history),
            "variants": spectral.variants,
            "noise": job.tokens.noise,
        },
        "provenance": [
            store.provenance(source),
            card["provenance"],
            spectral.card["provenance"],
            clock.record("evaluate transport_trained", job.model_dump(), threads=threads, device=str(where)),
        ],
    }


@dataclass(frozen=True)
class Papers:
    """What the paper's estimator makes of each held-out video."""

    before: list[float] = field(default_factory=list)
    """kappa as trained."""
    after: list[float] = field(default_factory=list)
    """kappa after test-time training."""
    seconds: list[float] = field(default_factory=list)
    """Of the test-time training, with its preparation."""
    reconstruction: list[float] = field(default_factory=list)
    """RMSE of the decoded video, as trained."""
    safe: list[float] = field(default_factory=list)
    """SAFE loss of `after`."""


def papers(
    network: SafeModel, source: xr.Dataset, rows: list[dataset.Row], job: TrainedJob, where: torch.device
) -> Papers:
    """Apply the paper's estimator to each video, as trained and after test-time training from the same weights."""
    found, stride = Papers(), dataset.thinning(source, job.training.frames)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    for number, row in enumerate(rows):
        thinned = replace(row, frames=row.frames[::stride])
        network.load_state_dict(weights)
        network.eval()
        begun = time.perf_counter()
        video = assemble([(thinned, dataset.scheme(source, row, stride))], where, network.encoder)
        prepared = time.perf_counter() - begun
        with torch.no_grad():
            result = network(video.frames)
        found.before.append(result.kappa.item())
        found.reconstruction.append(metrics.rmse(thinned.frames[None], result.reconstruction.cpu().numpy()))
        begun = time.perf_counter()
        found.after.append(adapt(network, video, job))
        found.seconds.append(prepared + time.perf_counter() - begun)
        found.safe.append(video.loss(torch.tensor([found.after[-1]], device=where)).item())
        log.info(
            "trained: row %d of %d (%s), kappa %.4f: before %.4f, after test-time training %.4f in %.1f s",
            *(number + 1, len(rows), row.regime, row.kappa, found.before[-1], found.after[-1], found.seconds[-1]),
        )
    return found


def _gains(found: Amortised, condition: str) -> str:
    return ", ".join(f"{attention_gain(found, seen, condition):.2g} from {seen}" for seen in ATTENTION)


def _shown(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3g}"


def _seconds_table(methods: list[Estimates], others: dict[str, float]) -> dict[str, Any]:
    """Time per video of the methods here, and of those of the zero-shot benchmark."""
    timed = {method.label: method.median_seconds for method in methods if method.seconds}
    return {
        "title": "Time per video",
        "columns": ["method", "seconds", "benchmark"],
        "rows": [
            *([label, seconds, "this one"] for label, seconds in timed.items()),
            *([label, seconds, "transport_zero_shot"] for label, seconds in others.items()),
        ],
        "note": "From the frames in memory to kappa, median over the held-out videos; the training is not counted.",
    }


def comparable(path: Path, rows: list[dataset.Row]) -> dict[str, Any]:
    """The metrics of the zero-shot benchmark, if they are about the same videos."""
    other = read_json(path)
    same = [(row.kappa, row.direction) for row in rows]
    if list(zip(other["metrics"]["truth"], other["metrics"]["direction"], strict=True)) != same:
        raise InputError(f"{path} is about other videos; give the metrics.json of transport_zero_shot at this scale")
    return dict(other)


def adapt(network: SafeModel, video: Videos, job: TrainedJob) -> float:
    """kappa of one video after test-time training on it: phase one, then phase two (section 3.1).

    The network stays in eval mode: batch statistics of a single video would change the encoder between the phases.
    """
    steps = job.trained.test_time_steps
    phase_one = round(job.training.phase_one * steps)
    step = make_step(make_training(network, job.training), video, job.training, phase_one, lambda _: np.zeros(1, int))
    for index in range(steps):
        step(index)
    with torch.no_grad():
        return float(network.estimator(network.encoder(video.frames)).item())
