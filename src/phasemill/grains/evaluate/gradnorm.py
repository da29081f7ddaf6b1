"""What each choice of the published method does, on the first intervals of a shrinking grain."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import loop, store
from phasemill.core.gradnorm import Weighting
from phasemill.core.metrics import frame_mse
from phasemill.core.model_files import load_model
from phasemill.core.provenance import Clock
from phasemill.grains import metrics
from phasemill.grains.config.gradnorm import ARMS, WEIGHTED, GradnormJob, runs
from phasemill.grains.datasets.cases import frame_times, load
from phasemill.grains.evaluate.gradnorm_claims import answer, claims, headline
from phasemill.grains.evaluate.gradnorm_facts import attention, imbalance, on_the_truth, spread
from phasemill.grains.evaluate.gradnorm_tables import tables
from phasemill.grains.physics import Medium
from phasemill.grains.published.course import COLUMNS, TERMS
from phasemill.grains.published.course import WEIGHTED as WEIGHTS
from phasemill.grains.published.losses import Problem
from phasemill.grains.published.train import Outcome, Starts, adam, outcomes_of, problem_of

Floats = NDArray[np.float64]


def gradnorm(job: GradnormJob, data: Path, output: Path, *, models: list[Path], threads: int = 1) -> dict[str, Any]:
    """Score every arm against the truth, beside no motion, and measure what the published losses say of the truth."""
    clock, settings, problem = Clock(), job.gradnorm, problem_of(job)
    source = store.open_dataset(data)
    whole = load(source)[0].astype(np.float64)
    truth, times = whole[: settings.intervals + 1], frame_times(job.shrink_64)[: settings.intervals + 1]
    outcomes = outcomes_of(settings, truth.shape[-1])
    card = load_model(models[0], outcomes)

    scores: dict[str, list[dict[str, Any]]] = {}
    for name, arm, number in runs(settings):
        outcome = outcomes[name]
        assert isinstance(outcome, Outcome)
        found_here = {"seed": number, **score(outcome, truth, problem)}
        if number or arm not in WEIGHTED:
            del found_here["log"]  # the figures show the first seed's
        scores.setdefault(arm, []).append(found_here)
    still = np.broadcast_to(truth[:1], truth.shape)
    reference = {
        "times": times.tolist(),
        "still": frame_mse(truth, still, 2).tolist(),
        "still_all": float(frame_mse(whole, np.broadcast_to(whole[:1], whole.shape), 2).mean()),
        **radii(truth, problem.medium),
        "imbalance": imbalance(truth, problem),
    }
    found = {
        "scores": scores,
        "reference": reference,
        "losses": on_the_truth(whole, problem),
        "seconds": timed(job, problem, torch.from_numpy(truth[0].astype(np.float32))),
        "bottleneck": spread(_outcome(outcomes, "vae_0"), truth),
        "attention": attention(_outcome(outcomes, "attention_0")),
        "threshold": settings.threshold,
        "spec": settings.model_dump(),
    }
    _write_fields(output / "fields.zarr", source, truth, outcomes, clock, job)
    values, notes = claims(found, ARMS)
    return {
        "title": "The published method, part by part",
        "question": (
            f"Which choices of the published hybrid decide whether it follows a shrinking grain? {len(ARMS)} kinds of "
            f"training over the first {settings.intervals} of {job.shrink_64.frames} intervals, {settings.epochs} "
            f"epochs each, from the same weights, which were fitted to the first frame."
        ),
        "answer": answer(found, ARMS),
        "headline": headline(found),
        "tables": tables(found, ARMS),
        "claims": values,
        "claim_notes": notes,
        "metrics": found,
        "provenance": [
            store.provenance(source),
            card["provenance"],
            clock.record("evaluate grains_gradnorm", job.model_dump(), threads=threads),
        ],
    }  # fmt: skip


def score(outcome: Outcome, truth: Floats, problem: Problem) -> dict[str, Any]:
    """Errors of the frames by interval, radii, and what the log of the training says."""
    frames, feed = outcome.frames.double().numpy(), outcome.feed.double().numpy()
    log = outcome.log.double().numpy()
    rows = log.reshape(-1, log.shape[-1])
    rows = rows[~np.isnan(rows).any(axis=1)]
    column = {name: rows[:, place] for place, name in enumerate(COLUMNS)}
    terms = {name: column[name][column[name] > 0] for name in TERMS if (column[name] > 0).any()}
    least = min(terms, key=lambda name: float(terms[name].min()))
    squares = frame_mse(truth, frames, 2)
    own = frames[-1] - (column["gamma"][-1] * feed[-1]).clip(0, 1)
    return {
        "mse_by_frame": squares.tolist(),
        "mse": float(squares[1:].mean()),
        "mse_last": float(squares[-1]),
        "feed_by_frame": frame_mse(truth, feed, 2).tolist(),
        **radii(frames, problem.medium),
        "recurrent_share": float(np.sqrt((own**2).mean())),
        "imbalance": imbalance(frames, problem),
        "epochs": [int((~np.isnan(interval[:, 0])).sum()) for interval in log],
        "seconds_per_epoch": float(outcome.seconds.sum()) / len(rows),
        "weights": {name: float(column[f"weight_{name}"][-1]) for name in WEIGHTS},
        "regularisation": float(column["regularisation"].max()),
        "gamma": float(column["gamma"][-1]),
        "log": {name: [float(f"{value:.5g}") for value in column[name]] for name in COLUMNS},
        "smallest": float(terms[least].min()),
        "smallest_term": least,
        "largest": max(float(values.max()) for values in terms.values()),
    }


def radii(frames: Floats, medium: Medium) -> dict[str, list[float]]:
    """R(0.05) and R_v of all frames."""
    return {
        "radius_visible": [metrics.threshold_radius(phi, metrics.VISIBLE, medium.dx) for phi in frames],
        "radius": [metrics.volume_radius(phi, medium.dx) for phi in frames],
    }


def timed(job: GradnormJob, problem: Problem, first: torch.Tensor) -> dict[str, float]:
    """CPU seconds of an epoch by the weighting, in turns; GradNorm also with a second backward pass."""
    settings = job.gradnorm.model_copy(update={"fit": 1})
    starts = Starts(settings, first, problem)
    courses = {name: starts.begin(ARMS[name], 0) for name in WEIGHTED}
    twice = starts.begin(ARMS["gradnorm"], 0)
    twice.weighting = Weighting(3, "gradnorm", alpha=settings.alpha, beta=settings.beta, second_backward=True)
    courses["gradnorm, second backward"] = twice
    optimizers = {name: adam(course) for name, course in courses.items()}
    seconds: dict[str, list[float]] = {name: [] for name in courses}
    for epoch in range(settings.timed + 1):
        for name, course in courses.items():
            begun = time.process_time()
            optimizers[name].zero_grad()
            course.epoch(0, loop.rng(0, epoch))
            optimizers[name].step()
            seconds[name].append(time.process_time() - begun)
    return {name: float(np.median(values[1:])) for name, values in seconds.items()}


def _outcome(outcomes: torch.nn.ModuleDict, name: str) -> Outcome:
    found = outcomes[name]
    assert isinstance(found, Outcome)
    return found


def _write_fields(
    path: Path, source: xr.Dataset, truth: Floats, outcomes: torch.nn.ModuleDict, clock: Clock, job: GradnormJob
) -> None:
    """Frames of the first seed of each arm, drawn roll-outs of the bottleneck, weights of the attention."""
    names, first = tuple(ARMS), [_outcome(outcomes, f"{name}_0") for name in ARMS]
    kept = source.isel(time=slice(0, len(truth)))
    coords = xr.Dataset(
        coords={
            **{name: kept[name] for name in ("time", "sim", "x", "y")},
            "arm": store.flags(names, names, "arm", "training"),
            "look": store.flags(LOOKS, LOOKS, "look", "attention's weights: when, and with the map of interfaces"),
            "row": np.arange(job.gradnorm.attention),
            "column": np.arange(job.gradnorm.attention),
        }
    )
    variables = {
        "truth": store.Variable(("sim", "time", "x", "y"), "1", "phase field"),
        "prediction": store.Variable(("sim", "arm", "time", "x", "y"), "1", "mixture of the networks"),
        "feed_forward": store.Variable(("sim", "arm", "time", "x", "y"), "1", "coordinates' network"),
        "drawn_mean": store.Variable(("sim", "time", "x", "y"), "1", "mean of drawn roll-outs"),
        "drawn_spread": store.Variable(("sim", "time", "x", "y"), "1", "standard deviation of drawn roll-outs"),
        "attention": store.Variable(("sim", "look", "row", "column"), "1", "softmax weights"),
    }
    attrs = {name: source.attrs[name] for name in ("equation", "eta", "mu", "sigma", "dg", "dx", "interval")}
    vae, looking = _outcome(outcomes, "vae_0"), _outcome(outcomes, "attention_0")
    with store.create(path, coords, variables, {"title": "Arms of the published method", **attrs}) as writer:
        writer.write(
            0, truth=truth, prediction=np.stack([one.frames.numpy() for one in first]),
            feed_forward=np.stack([one.feed.numpy() for one in first]), drawn_mean=vae.mean.numpy(),
            drawn_spread=vae.spread.numpy(), attention=looking.attention.numpy(),
        )  # fmt: skip
        writer.provenance = clock.record("fields", job.model_dump())


LOOKS = ("begun", "begun, no map", "trained", "trained, no map")
