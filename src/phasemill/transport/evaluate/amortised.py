"""Scores of the amortised estimators: one look at a video, without a loss to minimise."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from phasemill.core import metrics
from phasemill.transport.config.learned import TrainedJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.datasets.videos import Row
from phasemill.transport.evaluate.scoring import Estimates
from phasemill.transport.spectra import FrameSpectra
from phasemill.transport.tokens import GROUPS, diffusion_unit, estimators, frame_tokens
from phasemill.transport.train.estimator import load_trained
from phasemill.transport.train.tokens import Inputs, Noise, inputs, pooled_frames

NEWTON_STEPS = 3
SEEN = {"spectral": "spectra", "pooled": "pixels"}

ATTENTION = {
    "pixels": ("pooled", "attention", "mean_pooling"),
    "spectra": ("spectral", "main", "mean_pooling"),
    "spectra without positions": ("spectral", "no_positions", "no_order"),
}
"""Group, and variants that differ in attention alone, with it first."""
PLACED = {("spectral", "no_positions"), ("spectral", "main"), ("pooled", "attention"), ("pooled", "positions")}
"""Variants with attention that differ in positions alone."""


@dataclass(frozen=True)
class Amortised:
    """The estimators from spectra and from pooled frames on the held-out videos."""

    methods: list[Estimates]
    """The main estimator as it is, and refined."""
    variants: list[dict[str, Any]]
    """Scores of every variant on the held-out base simulations, clean and with noise."""
    order: float
    """Largest relative change of kappa when frames are shuffled, attention on pooled frames without positions."""
    card: dict[str, Any]


def amortised(tokens: Path, job: TrainedJob, source: xr.Dataset, rows: list[Row], device: torch.device) -> Amortised:
    """Apply the trained estimators to the held-out videos."""
    models = estimators(job.tokens, job.seed).to(device)
    card = load_trained(tokens, models, source)
    models.eval()
    noisy = Noise(job.tokens.noise, 1, job.seed)
    held_out = {
        "spectral": inputs(source, "test", job.tokens.spectral.frames, frame_tokens, device, noisy),
        "pooled": inputs(source, "test", job.tokens.pooled.frames, pooled_frames, device, noisy),
    }
    main = models["spectral"].get_submodule("main")
    with torch.no_grad():
        variants = [
            _score(group, name, models[group].get_submodule(name), held_out[group], card)
            for group, known in GROUPS.items()
            for name in known
        ]
        seen = held_out["pooled"].clean
        shuffled = torch.from_numpy(np.random.default_rng(job.seed).permutation(seen.shape[1]))
        estimator = models["pooled"].get_submodule("attention")
        change = (estimator(seen[:, shuffled]) / estimator(seen) - 1).abs().max()
        methods = _methods(main, source, rows, job.tokens.spectral.frames, device)
    return Amortised(methods, variants, float(change), card)


def _methods(
    main: nn.Module, source: xr.Dataset, rows: list[Row], frames: int, device: torch.device
) -> list[Estimates]:
    """kappa of each video by the main estimator, and after Newton steps on the SAFE loss of the video."""
    stride = dataset.thinning(source, frames)
    plain, refined, seconds, refined_seconds = [], [], [], []
    for row in rows:
        begun = time.perf_counter()
        seen = frame_tokens(row.frames[:: row.direction][::stride])
        unit = diffusion_unit(dataset.scheme(source, row, stride))
        plain.append(unit * main(torch.from_numpy(seen)[None].to(device)).item())
        seconds.append(time.perf_counter() - begun)
        spectra = FrameSpectra.from_frames(row.frames, dataset.scheme(source, row))
        refined.append(newton(spectra, plain[-1], NEWTON_STEPS))
        refined_seconds.append(time.perf_counter() - begun)
    return [
        Estimates("spectral tokens", plain, seconds),
        Estimates(f"spectral tokens + {NEWTON_STEPS} Newton steps", refined, refined_seconds),
    ]


def newton(spectra: FrameSpectra, kappa: float, steps: int) -> float:
    """kappa <- kappa - L'/L'', `steps` times, for a start near the minimum; it ends early where L is not convex."""
    for _ in range(steps):
        _, slope, curvature = spectra.derivatives(kappa)
        if curvature <= 0:
            break
        kappa -= slope / curvature
    return kappa


def _score(group: str, name: str, estimator: nn.Module, data: Inputs, card: dict[str, Any]) -> dict[str, Any]:
    truth = data.kappa.cpu().numpy()
    scores = {}
    for condition, seen in zip(("clean", "noisy"), data.copies, strict=True):
        kappa = (estimator(seen) * data.unit).cpu().numpy()
        r2 = metrics.r2(truth, kappa)
        scores[condition] = {"mae": metrics.mae(truth, kappa), "r2": r2 if np.isfinite(r2) else None}
    return {
        "group": group,
        "name": name,
        "label": f"{SEEN[group]}: {GROUPS[group][name].label}",
        "parameters": sum(parameter.numel() for parameter in estimator.parameters()),
        "validation_safe": card["groups"][group]["validation_safe"][name],
        **scores,
    }


def variants_table(found: Amortised, noise: float) -> dict[str, Any]:
    """What attention, positions, time differences, labels and noise in the training are worth."""
    rows = [
        [
            *(v["label"], v["parameters"], v["validation_safe"]),
            *(v[condition][measure] for condition in ("clean", "noisy") for measure in ("mae", "r2")),
        ]
        for v in found.variants
    ]
    percent = f"{100 * noise:g} % noise"
    seconds = {group: card["seconds"] for group, card in found.card["groups"].items()}
    return {
        "title": "Attention, mean pooling, positions",
        "columns": [
            *("estimator from", "parameters", "validation SAFE loss"),
            *("mean |error|", "R2", f"mean |error|, {percent}", f"R2, {percent}"),
        ],
        "rows": rows,
        "note": (
            "From spectra: tokens of band energies; from pixels: the paper's convolutions of pooled frames. One "
            "training each, without labels unless said, on the base simulations; the held-out ones are scored. Both "
            "directions of time give the same answer, because a video is read in smoothing order. The variants of a "
            f"group were trained side by side, in {seconds['spectral']:.0f} s (spectra) and {seconds['pooled']:.0f} s "
            "(pixels). The paper's estimator takes frames as they are; beside it the same network takes them "
            "standardised."
        ),
    }


def attention_gain(found: Amortised, seen: str, condition: str) -> float:
    """Error with mean pooling alone over that with attention, of one of ATTENTION, "clean" or "noisy"."""
    group, *names = ATTENTION[seen]
    with_attention, without = (find(found, group, name)[condition]["mae"] for name in names)
    return float(without / with_attention)


def order_note(found: Amortised) -> str:
    """What positions are worth, which make the order of the frames known: mean |error| on clean videos."""
    error = {v["label"]: v["clean"]["mae"] for v in found.variants if (v["group"], v["name"]) in PLACED}
    return "Mean |error|: " + "; ".join(f"{label} {value:.2g}" for label, value in error.items()) + "."


def find(found: Amortised, group: str, name: str) -> dict[str, Any]:
    """The scores of one variant."""
    return next(v for v in found.variants if (v["group"], v["name"]) == (group, name))
