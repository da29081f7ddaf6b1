"""The fields and scores by frame of roll-outs, as a data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.datasets import mixtures as dataset
from phasemill.spinodal.evaluate.contest import Run, at_frames, word
from phasemill.spinodal.metrics import Floats

Fields = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Of one box: the truth (time, x, y, z) and the predictions (model, time, x, y, z)."""
Scores = Mapping[str, Floats]
"""score -> (sim, model, frame)."""

MEANINGS = {
    "mse": "mean square error of the prediction",
    "energy": "free energy of the prediction on the networks' grid",
    "energy_truth": "free energy of the truth on the networks' grid",
    "displacement": "delta-bar, rms distance of interfaces, a length",
    "low": "least phi of the prediction",
    "high": "largest phi of the prediction",
}
ABOUT = ("shape", "mean_drawn", "start")
"""What the truth may say about its boxes."""


def write_fields(
    path: Path,
    source: xr.Dataset,
    runs: Sequence[Run],
    fields: Iterable[Fields],
    scores: Scores,
    clock: Clock,
    spec: Mapping[str, Any],
    medium: Medium,
    *,
    title: str,
    frames: Sequence[int] | None = None,
) -> None:
    """Truth and predictions of each box on the networks' grid, and the scores at all frames of `source`.

    Arguments
    ---------
    fields: of each box in turn, so that not all need to be in memory.
    scores: those of `MEANINGS` that are to be stored.
    frames: the numbers of the frames in `fields`, where they are not all.
    """
    labels, time = [word(run.label) for run in runs], source["time"]
    every = {"frame": ("frame", time.values, {"units": "1", "long_name": "time of all frames"})}
    coords = xr.Dataset(
        coords={
            "sim": source["sim"],
            "model": store.flags(labels, tuple(labels), "model", "way of predicting", [run.role for run in runs]),
            "time": time if frames is None else time[list(frames)],
            **({} if frames is None else every),
            **dataset.space(runs[0].truth.shape[-1], medium.dx * medium.factor),
            **{name: source[name] for name in ABOUT if name in source.coords},
        }
    )
    scored = ("sim", "model", "time" if frames is None else "frame")
    variables = {
        "truth": store.Variable(("sim", "time", "x", "y", "z"), "1", "truth on the networks' grid"),
        "prediction": store.Variable(
            ("sim", "model", "time", "x", "y", "z"), "1", "free roll-out from the first frame"
        ),
        **{name: store.Variable(scored, "1", MEANINGS[name], "float64") for name in scores},
    }
    attrs = dataset.describe(medium, title=title, tolerance=source.attrs["tolerance"])
    with store.create(path, coords, variables, {**attrs, "source_digest": source.attrs["digest"]}) as writer:
        for sim, (truth, prediction) in enumerate(fields):
            writer.write(
                sim, truth=truth, prediction=prediction, **{name: values[sim] for name, values in scores.items()}
            )
        writer.provenance = clock.record("fields", dict(spec))


def fields_at(source: xr.Dataset, runs: Sequence[Run], frames: Sequence[int], medium: Medium) -> Iterator[Fields]:
    """The fields of each box at some frames of the data; nan where a network makes none."""
    for sim in range(source.sizes["sim"]):
        truth = dataset.coarsen(source["phi"][sim].values[list(frames)], medium.factor)
        yield truth, np.stack([_at(run, sim, frames) for run in runs])


def scores_at_all(runs: Sequence[Run], scores: Sequence[Mapping[str, Floats]], frames: int) -> Scores:
    """The scores of runs that make some frames of the data, at all of them; nan where a run makes none."""
    pairs = list(zip(runs, scores, strict=True))
    return {name: np.stack([at_frames(score[name], run, frames) for run, score in pairs], axis=1) for name in MEANINGS}


def _at(run: Run, sim: int, frames: Sequence[int]) -> NDArray[np.float32]:
    """The frames of a roll-out; nan where it makes none."""
    empty = np.full(run.prediction.shape[2:], np.nan, np.float32)
    made = {int(mark): index for index, mark in enumerate([0, *run.marks])}
    return np.stack([run.prediction[sim, made[frame]] if frame in made else empty for frame in frames])
