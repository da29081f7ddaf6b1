"""The first benchmark's recurrent network on grains that it has never seen: no training, successes and failures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.model_files import load_model
from phasemill.core.provenance import Clock
from phasemill.grains.config.data import Case, Hole
from phasemill.grains.config.unseen import UnseenJob
from phasemill.grains.datasets.cases import interval_length, medium_of
from phasemill.grains.datasets.unseen import coords, largest, load, padded
from phasemill.grains.evaluate.predictions import Prediction, score
from phasemill.grains.network import Stepper
from phasemill.grains.train.march import interval_of
from phasemill.grains.train.stepper import Hybrid, hybrids, scored_rollout

FOLLOWED = 10.0
"""Times that the mean square error must be below that of no motion."""
KEPT = ("mse", "mse_worst", "mse_by_frame", "radius", "radius_error", "radius_error_worst", "grains", "residual")

Scores = dict[str, dict[str, Any]]


def unseen(job: UnseenJob, data: Path, output: Path, *, models: list[Path], threads: int = 1) -> dict[str, Any]:
    """Roll the networks of all seeds out from every start and score them; the first one is shown."""
    torch.set_num_threads(threads)
    clock, wanted, source = Clock(), job.unseen, store.open_dataset(data)
    trained = hybrids(job.shrink_64, job.shrink_64_learn, job.recurrent)
    card = load_model(models[0], trained)
    scores: Scores = {}
    shown: list[NDArray[Any]] = []
    for sim, (start, case) in enumerate(wanted.starts.items()):
        truth = load(source, sim)
        runs = [_roll(network, truth[0], case) for network in trained.values()]
        shown.append(runs[0].frames)
        scores[start] = _scored(start, case, truth, runs)
    _write_fields(output / "fields.zarr", source, shown, clock, job)
    failed = [start for start, one in scores.items() if not one["followed"]]
    return {
        "title": "Unseen grains",
        "question": (
            f"Does the recurrent network of the first benchmark, trained on one shrinking disc, move other grains as "
            f"the solver does, over {wanted.frames} intervals and without further training?"
        ),
        "answer": _answer(scores, failed),
        "headline": [
            {
                "label": "followed", "value": len(scores) - len(failed), "claim": "",
                "note": f"of {len(scores)}; error {FOLLOWED:g} times below that of no motion",
            },
            {
                "label": "MSE, median", "claim": "", "note": "of all starts, over all frames",
                "value": _median([one["mse"] for one in scores.values()]),
            },
            {
                "label": "MSE, largest", "value": max(one["mse"] for one in scores.values()), "claim": "",
                "note": max(scores, key=lambda start: float(scores[start]["mse"])).replace("_", " "),
            },
        ],
        "tables": [_errors(scores, wanted.expected_to_fail), _setups(wanted.starts)],
        "claims": {},
        "metrics": {"scores": scores, "failed": failed, "expected_to_fail": wanted.expected_to_fail},
        "provenance": [
            store.provenance(source),
            card["provenance"],
            clock.record("evaluate grains_unseen", job.model_dump(), threads=threads),
        ],
    }  # fmt: skip


def _roll(network: Any, phi: NDArray[Any], case: Case) -> Prediction:
    assert isinstance(network, Hybrid)
    stepper: Stepper = network.stepper.eval()
    begun = time.process_time()
    with torch.no_grad():
        frames, _ = scored_rollout(stepper, torch.from_numpy(phi), case.frames, interval_of(case))
    return Prediction("recurrent", frames.numpy(), time.process_time() - begun)


def _scored(start: str, case: Case, truth: NDArray[Any], runs: list[Prediction]) -> dict[str, Any]:
    """Medians over the seeds; the series of the first one. The radius of a hole is that of its phi = 0."""
    medium, interval = medium_of(case), interval_of(case)

    def against(found: Prediction) -> dict[str, Any]:
        if isinstance(case.starts[start], Hole):
            return score(1 - truth, Prediction(found.method, 1 - found.frames), medium, interval)
        return score(truth, found, medium, interval)

    found = [against(run) for run in runs]
    still = against(Prediction("no motion", np.broadcast_to(truth[:1], truth.shape)))
    exact = against(Prediction("truth", truth))
    merged = {
        key: _median([one[key] for one in found]) if np.isscalar(found[0][key]) else found[0][key] for key in KEPT
    }
    gain = still["mse"] / merged["mse"] if merged["mse"] else None
    return {
        **merged,
        "mse_seeds": [one["mse"] for one in found],
        "still": still["mse"],
        "still_by_frame": still["mse_by_frame"],
        "gain": gain,  # none where the roll-out is exact
        "followed": gain is None or bool(gain >= FOLLOWED),
        "truth_radius": exact["radius"],
        "truth_grains": exact["grains"],
        "seconds": _median([run.seconds for run in runs]),
    }


def _median(values: list[Any]) -> float:
    return float(np.median(values))


def _answer(scores: Scores, failed: list[str]) -> str:
    good = [one for start, one in scores.items() if start not in failed]
    if not good:
        return (
            f"It follows none of {len(scores)} starts: its error is nowhere {FOLLOWED:g} times below that of no motion."
        )
    errors, gains = [one["mse"] for one in good], [one["gain"] for one in good if one["gain"] is not None]
    below = f", {min(gains):.0f} to {max(gains):.0f} times below those of no motion" if gains else ""
    sentence = (
        f"It follows {len(good)} of {len(scores)} starts, with mean square errors of {min(errors):.2g} to "
        f"{max(errors):.2g}{below}."
    )
    if failed:
        words = ", ".join(f"{start.replace('_', ' ')} ({scores[start]['mse']:.2g})" for start in failed)
        sentence += f" It fails on: {words}."
    return sentence


def _errors(scores: Scores, expected: list[str]) -> dict[str, Any]:
    return {
        "title": "Errors",
        "columns": [
            "start", "MSE", "worst frame", "no motion", "gain", "error of R_v", "worst", "residual", "expected",
            "found",
        ],
        "rows": [
            [
                start.replace("_", " "), one["mse"], one["mse_worst"], one["still"], one["gain"], one["radius_error"],
                one["radius_error_worst"], one["residual"], "fails" if start in expected else "follows",
                "follows" if one["followed"] else "fails",
            ]
            for start, one in scores.items()
        ],
        "note": (
            f"Medians over {len(next(iter(scores.values()))['mse_seeds'])} trainings. Gain: error of no motion over "
            f"the network's; it follows from {FOLLOWED:g} on. R_v: radius of the volume, relative, while it is longer "
            "than a cell (of a hole, that of phi = 0). Residual: rms, of the roll-out's own intervals."
        ),
    }  # fmt: skip


def _setups(starts: dict[str, Case]) -> dict[str, Any]:
    rows = []
    for start, case in starts.items():
        interval = interval_of(case)
        rows.append(
            [start.replace("_", " "), case.cells, case.eta, case.mu, interval_length(case), interval.c, interval.r]
        )
    return {
        "title": "Setups",
        "columns": ["start", "cells per side", "eta/dx", "mu", "interval", "c", "r"],
        "rows": rows,
        "note": (
            "c = mu sigma dt/dx^2 and r = pi^2 mu sigma dt/(2 eta^2) are all that the equation of an interval depends "
            "on; J has one minimum for r < 1. The network sees them in its input, the force, alone."
        ),
    }


def _write_fields(path: Path, source: xr.Dataset, shown: list[NDArray[Any]], clock: Clock, job: UnseenJob) -> None:
    """Truth and prediction of the first network, each on its own grid, nan beyond."""
    text = {"truth": "phase field", "prediction": "phase field of the recurrent network, first seed"}
    variables = {name: store.Variable(("sim", "time", "x", "y"), "1", words) for name, words in text.items()}
    attrs = {
        "title": "Unseen grains: predictions", "equation": source.attrs["equation"], "model": "recurrent network",
    }  # fmt: skip
    side = largest(job.unseen)
    with store.create(path, coords(job.unseen), variables, attrs) as writer:
        for sim, frames in enumerate(shown):
            writer.write(sim, truth=padded(load(source, sim), side), prediction=padded(frames, side))
        writer.provenance = clock.record("fields", job.model_dump())
