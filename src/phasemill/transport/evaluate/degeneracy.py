"""What an encoder that trains together with kappa does to its recovery (SAFE-PIT-CM, section 2.6).

kappa is a free scalar here, not an estimator's answer: what is left to see is the encoder. All arms of the ablation
start from the same kappa and the same weights.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import number_seeds
from phasemill.transport.config.learned import LossWeights
from phasemill.transport.config.single import Arm, Degeneracy, DegeneracyJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.evaluate.scoring import headline, inherited
from phasemill.transport.network import FieldMap, Output, composite_loss
from phasemill.transport.operator import safe_loss
from phasemill.transport.spectra import SafeScheme

log = logging.getLogger("phasemill")

LABELS = {
    "frozen": "encoder frozen",
    "free": "encoder free, SAFE loss alone",
    "reconstruction": "+ reconstruction",
    "identity": "+ reconstruction + identity",
    "large_safe": "the same, SAFE loss large",
    "two_phase": "the same, two phases",
}
RATIOS = {
    "two_phase": ("large_safe", "two_phase"),
    "two_phase_needed": ("identity", "frozen"),
}
"""Claims on the error of one arm over that of another; the median over the videos counts."""
SPOILT, LOST = 2.0, 0.1
"""Error over that with a frozen encoder, and over kappa, from which kappa counts as lost: a ratio alone could be one of
two errors that are nothing beside kappa."""
SHOWN = 3
"""Frames of a latent video that are kept: first, middle, last."""


@dataclass(frozen=True)
class Run:
    """One arm on one video, by step; entry n is the state after n updates."""

    kappa: np.ndarray
    spread: np.ndarray
    """Standard deviation of the latent video over that of the video."""
    terms: dict[str, np.ndarray]
    """The loss terms of eq. 8, without their weights."""
    latent: np.ndarray
    """(frame, x, y): first, middle and last latent frame at the step of the least spread."""


def degeneracy(job: DegeneracyJob, data: Path, output: Path, *, threads: int = 1) -> dict[str, Any]:
    """Train kappa, encoder and decoder together on a few pairs of each video, in every arm of the ablation."""
    clock, settings = Clock(), job.degeneracy
    source = store.open_dataset(data)
    rows = spread_rows([row for row in dataset.rows(source, "test") if row.direction > 0], settings.simulations)
    rows = [replace(row, frames=row.frames[: settings.pairs + 1]) for row in rows]
    runs: dict[str, list[Run]] = {arm: [] for arm in settings.arms}
    for row, seed in zip(rows, number_seeds(job.seed, "degeneracy", len(rows)), strict=True):
        for name, arm in settings.arms.items():
            scheme = dataset.scheme(source, row)
            runs[name].append(descend(row.frames, scheme, arm, settings, seed))
        found = ", ".join(f"{name} {arm_runs[-1].kappa[-1]:.4f}" for name, arm_runs in runs.items())
        log.info("degeneracy: base %d, kappa %.4f: %s", row.base, row.kappa, found)
    _write_fields(output / "fields.zarr", source, rows, runs, clock, job)
    errors = {
        name: [abs(run.kappa[-1] - row.kappa) for run, row in zip(arm, rows, strict=True)] for name, arm in runs.items()
    }
    error = {name: float(np.median(values)) for name, values in errors.items()}
    least = {name: [float(run.spread.min()) for run in arm] for name, arm in runs.items()}
    relative = [wrong / row.kappa for wrong, row in zip(errors["free"], rows, strict=True)]
    ratios = {name: np.divide(errors[one], errors[other]) for name, (one, other) in RATIOS.items()}
    spoilt = np.divide(errors["free"], errors["frozen"])
    lost = (spoilt >= SPOILT) & (np.array(relative) >= LOST)
    truths = f"By video, true kappa {_listed([row.kappa for row in rows])}:"
    return {
        "title": "Encoder degeneracy",
        "question": (
            "Can encoder and kappa be trained together from the start? An encoder that smooths its latent field "
            f"makes the SAFE loss small for a wrong kappa. From kappa = {settings.start:g} a free kappa, encoder and "
            f"decoder are trained for {settings.steps} steps on the first {settings.pairs} pairs of frames of "
            f"{len(rows)} held-out simulations, spread over kappa, with and without what should prevent it."
        ),
        "answer": (
            f"The median error of kappa is {error['free']:.1g} with a free encoder and {error['frozen']:.1g} with a "
            f"frozen one; the largest is {max(errors['free']):.2g} with a free encoder and "
            f"{max(errors['identity']):.1g} where the identity loss holds it."
        ),
        "headline": [
            headline("median |error|, encoder frozen", error["frozen"]),
            headline("median |error|, encoder free", error["free"], "SAFE loss alone"),
            headline("largest |error|, encoder free", max(errors["free"]), "SAFE loss alone"),
            headline("least spread of the latent field", float(np.median(least["free"])), "encoder free, median video"),
            headline("median |error|, identity loss, one phase", error["identity"], "no frozen phase"),
            headline("median |error|, two phases", error["two_phase"], "SAFE loss large"),
        ],
        "tables": [_table(rows, runs), _weights(settings)],
        "claims": {
            "transport.degeneracy.latent_smooths": float(np.median(least["free"])),
            "transport.degeneracy.kappa_lost": float(np.mean(lost)),
            "transport.degeneracy.identity": min(least["identity"]),
            "transport.degeneracy.two_phase": float(np.median(ratios["two_phase"])),
            "transport.degeneracy.two_phase_needed": float(np.median(ratios["two_phase_needed"])),
        },
        "claim_notes": {
            "transport.degeneracy.latent_smooths": f"{truths} {_listed(least['free'])}.",
            "transport.degeneracy.kappa_lost": (
                f"{truths} |error| / kappa {_listed(relative)}; over the error with a frozen encoder "
                f"{_listed(spoilt)}, {np.median(spoilt):.2g} in the median."
            ),
            "transport.degeneracy.identity": f"{truths} {_listed(least['identity'])}.",
            **{
                f"transport.degeneracy.{name}": (
                    f"{truths} {_listed(ratios[name])}, from errors {_listed(errors[one])} over "
                    f"{_listed(errors[other])}."
                )
                for name, (one, other) in RATIOS.items()
            },
        },
        "metrics": {
            "truth": [row.kappa for row in rows],
            "base": [row.base for row in rows],
            "labels": LABELS,
            "kappa": {name: [run.kappa.tolist() for run in arm] for name, arm in runs.items()},
            "spread": {name: [run.spread.tolist() for run in arm] for name, arm in runs.items()},
            "terms": {
                name: [{term: values.tolist() for term, values in run.terms.items()} for run in arm]
                for name, arm in runs.items()
            },
            "error": errors,
            "least_spread": least,
            "ratio": {name: values.tolist() for name, values in ratios.items()} | {"kappa_lost": spoilt.tolist()},
        },
        "provenance": [
            store.provenance(source),
            clock.record("evaluate transport_degeneracy", job.model_dump(), threads=threads),
        ],
    }


def spread_rows(rows: Sequence[dataset.Row], count: int) -> list[dataset.Row]:
    """`count` rows from the least to the largest kappa: the farther the start from the truth, the worse the fall."""
    ordered = sorted(rows, key=lambda row: row.kappa)
    return [ordered[index] for index in np.linspace(0, len(ordered) - 1, count).round().astype(int)]


def descend(frames: np.ndarray, scheme: SafeScheme, arm: Arm, settings: Degeneracy, seed: int) -> Run:
    """min over log kappa, encoder and decoder of the weighted loss of eq. 8 by Adam, from a common start.

    During the arm's first phase encoder and decoder are left out: the latent video is the video and the loss is
    that of SAFE alone, at the weight that it keeps, since Adam would take a sudden change for a larger step.

    Arguments:
        frames: (time, x, y) of one simulation.
        scheme: of the video.
        arm: weights of the loss and length of the first phase.
        settings: steps, start and learning rates.
        seed: of the weights; the caller's random state is left as it was.
    """
    video = torch.from_numpy(np.ascontiguousarray(frames, dtype=np.float32))[None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, decoder = FieldMap(settings.channels), FieldMap(settings.channels)
    log_kappa = nn.Parameter(torch.tensor([math.log(settings.start)]))
    optimizer = torch.optim.Adam(
        [
            {"params": [*encoder.parameters(), *decoder.parameters()], "lr": settings.learning_rate_autoencoder},
            {"params": [log_kappa], "lr": settings.learning_rate_kappa},
        ]
    )
    weights = LossWeights(safe=arm.safe, reconstruction=arm.reconstruction, identity=arm.identity, bounds=0.0)
    phase_one = round(arm.phase_one * settings.steps)
    terms: dict[str, list[float]] = {"safe": [], "reconstruction": [], "identity": []}
    kappas, spreads = [], []
    least, shown = math.inf, video
    for step in range(settings.steps + 1):
        kappa = log_kappa.exp()
        if step < phase_one or arm.phase_one == 1:
            latent = video
            zero = torch.zeros(())
            parts = {"safe": safe_loss(video, kappa, scheme).mean(), "reconstruction": zero, "identity": zero}
            total = arm.safe * parts["safe"]
        else:
            latent = encoder(video)
            reconstruction = decoder(latent) if arm.reconstruction else video
            parts = composite_loss(Output(latent, kappa, reconstruction), video, [scheme], weights)
            total = parts["total"]
        spread = float(latent.detach().std() / video.std())
        kappas.append(kappa.item())
        spreads.append(spread)
        for name, values in terms.items():
            values.append(float(parts[name].detach()))
        if spread < least:
            least, shown = spread, latent.detach().clone()
        if step < settings.steps:
            optimizer.zero_grad()
            torch.autograd.backward(total)
            optimizer.step()
    kept = np.linspace(0, len(frames) - 1, SHOWN).round().astype(int)
    return Run(
        np.array(kappas),
        np.array(spreads),
        {name: np.array(values) for name, values in terms.items()},
        shown[0].numpy()[kept],
    )


def _listed(values: Sequence[float] | np.ndarray) -> str:
    return ", ".join(f"{value:.2g}" for value in values)


def _table(rows: Sequence[dataset.Row], runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    return {
        "title": "Recovery by arm",
        "columns": [
            *("arm", "true kappa", "kappa at the end", "|error|", "within 1 % after", "least latent spread"),
            *("SAFE loss", "reconstruction", "identity"),
        ],
        "rows": [
            [
                *(LABELS[name], row.kappa, float(run.kappa[-1]), float(abs(run.kappa[-1] - row.kappa))),
                *(_settled(run.kappa, row.kappa), float(run.spread.min())),
                *(float(run.terms[term][-1]) for term in ("safe", "reconstruction", "identity")),
            ]
            for name, arm in runs.items()
            for run, row in zip(arm, rows, strict=True)
        ],
        "note": (
            "Spread: standard deviation of the latent field over that of the video. Loss terms are over the "
            "persistence error and at the last step; a term without weight in its arm is shown all the same, except "
            "the reconstruction, whose decoder is not run there. Steps after which kappa stays within 1 % of the truth."
        ),
    }


def _settled(kappa: np.ndarray, truth: float) -> int | None:
    """First step from which kappa stays within 1 % of the truth; None if it does not."""
    away = np.flatnonzero(np.abs(kappa / truth - 1) > 0.01)
    first = int(away[-1]) + 1 if away.size else 0
    return first if first < len(kappa) else None


def _weights(settings: Degeneracy) -> dict[str, Any]:
    return {
        "title": "Arms",
        "columns": ["arm", "SAFE", "reconstruction", "identity", "share of steps with frozen encoder"],
        "rows": [
            [LABELS[name], arm.safe, arm.reconstruction, arm.identity, arm.phase_one]
            for name, arm in settings.arms.items()
        ],
        "note": "Weights of eq. 8; the bounds penalty is off, as no kappa comes near its bounds.",
    }


def _write_fields(
    path: Path,
    source: xr.Dataset,
    rows: Sequence[dataset.Row],
    runs: Mapping[str, Sequence[Run]],
    clock: Clock,
    job: DegeneracyJob,
) -> None:
    """The video and, of each arm, its latent video at the step of the least spread: first, middle and last frame."""
    kept = np.linspace(0, job.degeneracy.pairs, SHOWN).round().astype(int)
    coords = xr.Dataset(
        coords={
            "sim": xr.DataArray(np.arange(len(rows)), dims="sim", attrs={"units": "1", "long_name": "video"}),
            "arm": store.flags(list(runs), tuple(runs), "arm", "arm of the ablation"),
            "time": source.time[kept],
            "x": source.x,
            "y": source.y,
            "base": ("sim", np.array([row.base for row in rows]), {"units": "1", "long_name": "base simulation"}),
            "kappa": ("sim", np.array([row.kappa for row in rows]), {"units": "1", "long_name": "true kappa"}),
        }
    )
    variables = {
        "truth": store.Variable(("sim", "time", "x", "y"), "1", "observed field"),
        "latent": store.Variable(("sim", "arm", "time", "x", "y"), "1", "latent field where its spread is least"),
        "kappa_estimate": store.Variable(("sim", "arm"), "1", "kappa after the last step", "float64"),
    }
    with store.create(path, coords, variables, inherited(source, "Observed and latent fields")) as writer:
        for sim, row in enumerate(rows):
            writer.write(
                sim,
                truth=row.frames[kept],
                latent=np.stack([arm[sim].latent for arm in runs.values()]),
                kappa_estimate=[float(arm[sim].kappa[-1]) for arm in runs.values()],
            )
        writer.provenance = clock.record("fields", job.model_dump())
