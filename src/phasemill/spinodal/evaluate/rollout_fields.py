"""The fields and scores by frame of the roll-out benchmark, as a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.spinodal import dataset
from phasemill.spinodal.config.rollout import RolloutJob
from phasemill.spinodal.evaluate.contest import Run, at_frames, word
from phasemill.spinodal.metrics import Floats


def write_fields(
    path: Path,
    source: xr.Dataset,
    runs: Sequence[Run],
    scores: Sequence[dict[str, Floats]],
    frames: Sequence[int],
    clock: Clock,
    job: RolloutJob,
) -> None:
    """Truth and predictions at some frames on the networks' grid, and the scores at all of them."""
    medium, labels = job.medium, [word(run.label) for run in runs]
    coords = xr.Dataset(
        coords={
            "sim": source["sim"],
            "model": store.flags(labels, tuple(labels), "model", "way of predicting"),
            "time": source["time"][list(frames)],
            "frame": ("frame", source["time"].values, {"units": "1", "long_name": "time of all frames"}),
            **dataset.space(runs[0].truth.shape[-1], medium.dx * medium.factor),
            "mean_drawn": source["mean_drawn"],
            "start": source["start"],
        }
    )
    field, scored = ("sim", "model", "time", "x", "y", "z"), ("sim", "model", "frame")
    names = {
        "mse": "mean square error of the prediction",
        "energy": "free energy of the prediction on the networks' grid",
        "energy_truth": "free energy of the truth on the networks' grid",
        "displacement": "delta-bar, rms distance of interfaces, a length",
        "low": "least phi of the prediction",
        "high": "largest phi of the prediction",
    }
    variables = {
        "truth": store.Variable(("sim", "time", "x", "y", "z"), "1", "truth on the networks' grid"),
        "prediction": store.Variable(field, "1", "free roll-out from the first frame"),
        **{name: store.Variable(scored, "1", text, "float64") for name, text in names.items()},
    }
    title = "Truth and free roll-outs on held-out boxes"
    attrs = {
        **dataset.describe(medium, title=title, tolerance=job.held_out.tolerance),
        "source_digest": source.attrs["digest"],
    }
    total = source.sizes["time"]
    with store.create(path, coords, variables, attrs) as writer:
        spread = {
            name: np.stack(
                [at_frames(score[name], run, total) for run, score in zip(runs, scores, strict=True)], axis=1
            )
            for name in names
        }
        for sim in range(source.sizes["sim"]):
            writer.write(
                sim,
                truth=dataset.coarsen(source["phi"][sim].values[list(frames)], medium.factor),
                prediction=np.stack([_at(run, sim, frames) for run in runs]),
                **{name: values[sim] for name, values in spread.items()},
            )
        writer.provenance = clock.record("fields", job.model_dump())


def _at(run: Run, sim: int, frames: Sequence[int]) -> NDArray[np.float32]:
    """The frames of a roll-out; nan where it makes none."""
    empty = np.full(run.prediction.shape[2:], np.nan, np.float32)
    made = {int(mark): index for index, mark in enumerate([0, *run.marks])}
    return np.stack([run.prediction[sim, made[frame]] if frame in made else empty for frame in frames])
