"""Roll-outs beyond the training, scored against the error on the held-out boxes: what larger boxes and shapes share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phasemill.core.errors import InputError
from phasemill.core.files import read_json
from phasemill.core.provenance import Clock
from phasemill.spinodal import metrics
from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.datasets import mixtures as dataset
from phasemill.spinodal.evaluate import rollout_fields
from phasemill.spinodal.evaluate.contest import SEEN, STILL, Entry, Run, from_what_is_seen
from phasemill.spinodal.evaluate.numbers import known
from phasemill.spinodal.metrics import Floats
from phasemill.spinodal.rollout import predict_at

Scores = Mapping[str, Mapping[str, Floats]]
"""label -> score -> (sim, stored frame without the first)."""
STORED = ("mse", "energy", "energy_truth", "displacement")
"""Of the scores, in the data set."""

log = logging.getLogger("phasemill")


def held_out(compare: Path, key: str = "mse_by_frame") -> dict[str, dict[str, list[float]]]:
    """MSE by frame on the held-out boxes, from the metrics of `spinodal_rollout`: label -> frames and errors.

    key: `mse_by_frame`, the mean over all boxes, or `mse_by_frame_from_noise`, over those that start from noise.
    """
    other = read_json(compare)
    if other.get("benchmark") != "spinodal_rollout":
        raise InputError(f"{compare} is not the metrics.json of spinodal_rollout; give that of this scale")
    return {
        label: {"frames": found["marks"], "mse": found[key]} for label, found in other["metrics"]["methods"].items()
    }


def score_all(
    entries: Sequence[Entry], source: xr.Dataset, medium: Medium, *, seen: bool = False
) -> tuple[list[Run], dict[str, dict[str, Floats]]]:
    """Roll-outs at the stored frames, with standing still at the end, and their scores after the first frame.

    seen: also run the solver from what the networks see of the first frame.
    """
    frames = np.round(source["time"].values / medium.interval).astype(int)
    runs = []
    for entry in entries:
        if (frames % entry.stride).any():
            raise InputError(f"{entry.label} steps {entry.stride} tau at a time; the stored frames need finer steps")
        truth = coarse(source, medium, entry.model.card["downscale"])
        marks = [int(frame) // entry.stride for frame in frames]
        # a large box fills the cache by itself
        batch = 8 if truth[0, 0].size <= 32**3 else 1
        runs.append(Run(entry.label, truth, predict_at(entry.model.step, truth[:, 0], marks, batch), entry.stride))
        log.info("rolled out %s", entry.label)
    truth = runs[0].truth
    runs.append(Run(STILL, truth, np.repeat(truth[:, :1], truth.shape[1], axis=1), role="trivial"))
    if seen:
        runs.append(Run(SEEN, truth, from_what_is_seen(truth, medium, source["time"].values), role="solver"))
    spacing = medium.dx * medium.factor
    return runs, {
        run.label: metrics.frame_scores(run.truth[:, 1:], run.prediction[:, 1:], medium.eps, spacing) for run in runs
    }


def coarse(source: xr.Dataset, medium: Medium, downscale: dataset.Downscale) -> Any:
    """All stored frames on the networks' grid, (sim, time, x, y, z)."""
    boxes = range(source.sizes["sim"])
    return np.stack([dataset.coarsen(source["phi"][sim].values, medium.factor, downscale) for sim in boxes])


def against_held_out(mse: Floats, frames: Sequence[int], own: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """A mean square error beside the same network's on the held-out boxes.

    Arguments
    ---------
    mse: of one or more boxes, (sim, frame) or (frame,), at the numbers `frames`.
    own: `frames` and `mse` on the held-out boxes.

    Returns `mse`, `held_out` and their `ratio`, each over all its own frames, and `mse_shared` and `held_out_shared`
    over the frames that both have (nan without any).
    """
    by_frame = mse.reshape(-1, len(frames)).mean(axis=0)
    errors = dict(zip(own["frames"], own["mse"], strict=True))
    shared = [index for index, frame in enumerate(frames) if frame in errors]
    reference = float(np.mean(own["mse"]))
    return {
        "mse": float(by_frame.mean()),
        "held_out": reference,
        "ratio": float(by_frame.mean()) / reference,
        "mse_shared": float(by_frame[shared].mean()) if shared else float("nan"),
        "held_out_shared": float(np.mean([errors[frames[index]] for index in shared])) if shared else float("nan"),
    }


def as_lists(scores: Scores) -> dict[str, dict[str, Any]]:
    """The scores as metrics.json holds them."""
    return {label: {key: known(values.tolist()) for key, values in score.items()} for label, score in scores.items()}


def stored_frames(source: xr.Dataset, medium: Medium) -> list[int]:
    """The numbers of the stored frames in tau, without the first."""
    return [round(float(time) / medium.interval) for time in source["time"].values[1:]]


def scores_table(
    scores: Scores, names: Sequence[str], frames: Sequence[int], other: Mapping[str, Mapping[str, list[float]]]
) -> dict[str, Any]:
    """One row per method and box: MSE by frame and against the held-out boxes, F, interfaces, bounds."""
    shown = [0, len(frames) // 4, len(frames) // 2, len(frames) - 1]
    rows = [
        [
            *(label, name, float(score["mse"][sim].mean())),
            against_held_out(score["mse"][sim], frames, other[label])["ratio"],
            *(float(score["mse"][sim, index]) for index in shown),
            *(float(score["energy_error"][sim].max()), float(np.median(score["displacement"][sim]))),
            *(float(score["low"][sim].min()), float(score["high"][sim].max())),
        ]
        for label, score in scores.items()
        for sim, name in enumerate(names)
    ]
    return {
        "title": "Errors of free roll-outs",
        "columns": [
            *("method", "box", "MSE", "over that on held-out boxes"),
            *(f"MSE, frame {frames[index]}" for index in shown),
            *("largest |dF|/F", "median delta-bar", "least phi", "largest phi"),
        ],
        "rows": rows,
        "note": (
            f"MSE over the {len(frames)} stored frames after the first, one frame is tau; the held-out boxes' over the "
            "training's length. F like for like, on the networks' grid. delta-bar in cells of the solver."
        ),
    }


def write_fields(
    path: Path,
    source: xr.Dataset,
    runs: Sequence[Run],
    scores: Scores,
    clock: Clock,
    spec: Mapping[str, Any],
    medium: Medium,
    title: str,
) -> None:
    """Truth and roll-outs at all stored frames on the networks' grid, and their scores."""
    boxes = range(source.sizes["sim"])
    fields = ((runs[0].truth[sim], np.stack([run.prediction[sim] for run in runs])) for sim in boxes)
    stored = {name: np.stack([scores[run.label][name] for run in runs], axis=1) for name in STORED}
    # the start is given: it has no score
    stored = {name: np.pad(values, ((0, 0), (0, 0), (1, 0)), constant_values=np.nan) for name, values in stored.items()}
    title = f"Truth and free roll-outs, {title}"
    rollout_fields.write_fields(path, source, runs, fields, stored, clock, spec, medium, title=title)
