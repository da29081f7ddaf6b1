"""The networks that an evaluation compares, and the frames and scores of their free roll-outs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.datasets import mixtures as dataset
from phasemill.spinodal.library import Surrogate, load_model
from phasemill.spinodal.metrics import Floats, mass_drift
from phasemill.spinodal.network import Step
from phasemill.spinodal.rollout import predict_at, refine
from phasemill.spinodal.solver import integrate

KINDS = {"fno": "FNO", "unet": "U-Net", "stride": "large stride"}


STILL, SEEN = "standing still", "solver, from what networks see"
SEEN_TOLERANCE = 1e-3
"""Its error is far below what the coarse grid loses."""


@dataclass(frozen=True)
class Entry:
    """A network in the comparison."""

    label: str
    model: Surrogate
    stride: int
    """Frames of the data that one step advances."""


@dataclass(frozen=True)
class Run:
    """The frames that one way of predicting gives, beside the truth on the same grid."""

    label: str
    truth: NDArray[np.float32]
    """(sim, frame, x, y, z), the initial frame first."""
    prediction: NDArray[np.float32]
    stride: int = 1
    """Frames of the data between two of these."""
    role: str = "network"
    """One of those of `store.flags`."""

    @property
    def marks(self) -> NDArray[np.int64]:
        """The numbers of the frames among those of the data, without the first."""
        return self.stride * np.arange(1, self.prediction.shape[1])

    @property
    def drift(self) -> float:
        """max |mean(phi_t) - mean(phi_0)| over all frames and boxes."""
        return mass_drift(self.prediction)


def gather(names: Sequence[str], files: Sequence[Path], medium: Medium) -> list[Entry]:
    """The shipped models of these names and those in the files, in this order.

    Raises InputError for a network that was trained for another medium, or whose step is no multiple of tau.
    """
    entries: list[Entry] = []
    sources: list[str | Path] = [*names, *files]
    for source in sources:
        model = load_model(source)
        # eps / dx and the clock are what a network knows of its medium
        same = (model.eps, model.dx, model.mobility, model.factor) == (
            *(medium.eps, medium.dx, medium.mobility),
            medium.factor,
        )
        stride = round(model.interval / medium.interval)
        if not same or stride < 1 or not np.isclose(stride * medium.interval, model.interval):
            raise InputError(
                f"{source} was trained for another medium (eps {model.eps:g}, dx {model.dx:g}, mobility "
                f"{model.mobility:g}, coarsening {model.factor}, step {model.interval:g}); train one for this data"
            )
        label = describe(model, shipped=not isinstance(source, Path))
        taken = [entry.label for entry in entries]
        entries.append(Entry(f"{label} ({model.name})" if label in taken else label, model, stride))
    return entries


def named(entries: Sequence[Entry], name: str) -> Entry:
    """The shipped model of this name."""
    return next(entry for entry in entries if entry.model.name == name)


def describe(model: Surrogate, *, shipped: bool) -> str:
    """A network in a few words: its name if it is shipped, else its kind; recurrent ones go by their input."""
    if shipped:
        return f"{model.name}, shipped"
    kind = str(model.card["kind"])
    name = str(model.card["network"]["inputs"]) if kind == "recurrent" else KINDS.get(kind, kind.replace("_", " "))
    return f"{name}, trained here"


def word(label: str) -> str:
    """A label as one of the words that a store can hold."""
    return label.replace(",", "").replace(" ", "_")


def roll(label: str, step: Step, truth: NDArray[np.float32], stride: int = 1, batch: int = 8) -> Run:
    """The free roll-out of a network from the first frames of `truth`, over all frames, `batch` boxes at a time."""
    steps = (truth.shape[1] - 1) // stride
    frames = predict_at(step, truth[:, 0], range(steps + 1), batch)
    return Run(label, truth[:, : steps * stride + 1 : stride], frames, stride)


def from_what_is_seen(truth: NDArray[np.float32], medium: Medium, times: NDArray[Any]) -> NDArray[np.float32]:
    """The solver on its own grid, from the first coarse frames interpolated: what no network can do much better.

    Every second cell does not tell all of a fine pattern, and what is lost grows. Fourier interpolation is a good
    guess at it, not the best possible one.
    """
    made = []
    for box in truth:
        start = np.clip(refine(box[0], medium.factor), -0.2, 1.2)  # ripples beside sharp edges
        run = integrate(start, times, medium=dataset.solver_medium(medium), tolerance=SEEN_TOLERANCE)
        made.append(dataset.coarsen(run.frames, medium.factor).astype(np.float32))
    return np.stack(made)


def at_frames(values: Floats, run: Run, frames: int) -> Floats:
    """Scores (sim, frame without the first) on the grid of the data's frames; nan where the network makes none."""
    full = np.full((len(values), frames), np.nan)
    full[:, run.marks] = values
    return full
