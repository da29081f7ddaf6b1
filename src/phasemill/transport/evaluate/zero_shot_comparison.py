"""One scalar, several ways: what each costs and how far off it is, on the same videos."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from phasemill.core.seeds import number_seeds
from phasemill.transport.config.single import ZeroShotJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.datasets.videos import Row
from phasemill.transport.evaluate.scoring import converged
from phasemill.transport.recover.baselines import Found, differential_evolution, grid_search, inverse_pinn
from phasemill.transport.recover.direct import recover_direct
from phasemill.transport.recover.network import ZeroShot, zero_shot_network
from phasemill.transport.recover.next_frame import NextFrame, next_frame_network
from phasemill.transport.spectra import FrameSpectra, SafeScheme

log = logging.getLogger("phasemill")

GRADIENT = 3
"""Evaluations of the loss for which one with its gradient is counted."""
Ways = dict[str, list[Found]]
"""By label: one answer per video."""


@dataclass(frozen=True)
class Comparison:
    """Every way on a few videos, the cheap ones on all."""

    rows: list[Row]
    """The few: of different base simulations, in turns in each direction of time."""
    few: Ways
    all_rows: Sequence[Row]
    cheap: Ways
    next_frames: list[NextFrame]
    converged: Ways
    """The slow ways and direct minimisation on the few, made again without any error in time."""
    next_frames_converged: list[NextFrame]

    def gain(self, one: str, other: str, ways: Ways) -> np.ndarray:
        """|error| of one way over that of another, for each of the few videos."""
        return np.asarray(_errors(self.rows, ways[one]) / _errors(self.rows, ways[other]))

    def costs(self) -> str:
        """Evaluations and seconds of the ways that minimise the same loss, in words."""
        return (
            "Evaluations and seconds of a video: "
            + ", ".join(
                f"{label} {self.evaluations(label):.0f} in {self.seconds(label):.2g} s"
                for label in self.few
                if label in self.cheap
            )
            + "."
        )

    def seconds(self, label: str) -> float:
        """Median seconds of one way over the few videos."""
        return float(np.median([found.seconds for found in self.few[label]]))

    def evaluations(self, label: str) -> float:
        """Median evaluations of one way over the few videos."""
        return float(np.median([found.evaluations for found in self.few[label]]))

    def table(self, job: ZeroShotJob) -> dict[str, Any]:
        """Error, evaluations and seconds of each way."""
        bounds = job.search.bounds
        resolution = (bounds[1] - bounds[0]) / (job.baselines.grid - 1) / 2
        lines = [_line(self.rows, label, found) for label, found in self.few.items()]
        lines += [_line(self.all_rows, label, found) for label, found in self.cheap.items()]
        return {
            "title": "Ways to find one scalar",
            "columns": ["way", "videos", "mean |error|", "largest |error|", "evaluations", "seconds"],
            "rows": lines,
            "note": (
                f"Medians of evaluations and seconds. The grid of {job.baselines.grid} points can miss by "
                f"{resolution:.2g}, half its spacing. Evaluations of direct minimisation, grid and differential "
                "evolution are of the SAFE loss from spectra; those of the networks are steps with gradient. The PINN "
                "sees the continuous equation and not the stencil; the next-frame network sees no equation, and its "
                "kappa is that of the SAFE operator nearest to its predictions. Seconds on one thread, from the "
                "frames in memory to the answer."
            ),
        }

    def converged_table(self) -> dict[str, Any]:
        """Errors on data that no way has made itself."""
        return {
            "title": "Ways to find one scalar, data converged in time",
            "columns": ["way", "videos", "mean |error|", "largest |error|", "evaluations", "seconds"],
            "rows": [_line(self.rows, label, found) for label, found in self.converged.items()],
            "note": (
                "The operator has made the data of the benchmark: that it is exact on them says nothing about the "
                "others. Here the videos of the same first frames and kappa are without any error in time, "
                "exp(-kappa lambda t) for each mode; the error of the operator in time is left to it."
            ),
        }

    def prediction_table(self) -> dict[str, Any]:
        """The next-frame network against persistence and the operator, on pairs that none of them has seen."""
        return {
            "title": "Prediction of the next frame, RMSE",
            "columns": ["data", "base simulation", "regime", "network", "nothing changes", "SAFE operator"],
            "rows": [
                [data, row.base, row.regime, found.rmse, found.rmse_persistence, found.rmse_operator]
                for data, frames in (("as made", self.next_frames), ("converged", self.next_frames_converged))
                for row, found in zip(self.rows, frames, strict=True)
            ],
            "note": (
                "Pairs left out of the fits of network and kappa. Sharpening videos are predicted backwards. The data "
                "as made come from the operator itself, the converged ones from the equation on the same grid. The "
                "paper says that it surpasses black-box segmentation of videos, which is not what is compared here."
            ),
        }

    def metrics(self) -> dict[str, Any]:
        """Numbers behind the figure, and those of the converged data."""

        def numbers(ways: Ways) -> dict[str, Any]:
            return {
                label: {
                    "error": _errors(self.rows, found).tolist(),
                    "evaluations": [each.evaluations for each in found],
                    "seconds": [each.seconds for each in found],
                }
                for label, found in ways.items()
            }

        return {"few": numbers(self.few), "converged": numbers(self.converged)}


def compare(job: ZeroShotJob, source: xr.Dataset, rows: Sequence[Row], known: Mapping[str, list[Found]]) -> Comparison:
    """Run the baselines; `known`: direct minimisation and network, run on all `rows` before."""
    settings, bounds = job.baselines, job.search.bounds
    schemes = [dataset.scheme(source, row) for row in rows]
    seeds = number_seeds(job.seed, "baselines", len(rows))
    cheap: Ways = {**known, "grid search": [], "differential evolution": []}
    for row, scheme, seed in zip(rows, schemes, seeds, strict=True):
        cheap["grid search"].append(grid_search(row.frames, scheme, points=settings.grid, bounds=bounds))
        cheap["differential evolution"].append(differential_evolution(row.frames, scheme, bounds=bounds, seed=seed))
    chosen = different_simulations(rows, settings.compared)
    pinns: list[tuple[Found, Found]] = []
    next_frames: list[tuple[NextFrame, NextFrame]] = []
    direct: list[Found] = []
    network: list[Found] = []
    for index in chosen:
        row, scheme, seed = rows[index], schemes[index], seeds[index]
        adam, lbfgs, steps = settings.pinn_adam, settings.pinn_lbfgs, settings.next_frame_steps
        twin = converged(row, source)
        pinn, pinn_twin = (inverse_pinn(each.frames, scheme, adam=adam, lbfgs=lbfgs, seed=seed) for each in (row, twin))
        black, black_twin = (
            next_frame_network(each.frames, scheme, steps=steps, bounds=bounds, seed=seed) for each in (row, twin)
        )
        pinns.append((pinn, pinn_twin))
        next_frames.append((black, black_twin))
        begun = time.perf_counter()
        best = recover_direct(FrameSpectra.from_frames(twin.frames, scheme), bounds)
        direct.append(Found(best.kappa, best.evaluations, time.perf_counter() - begun))
        fitted = fit_network(job, twin, scheme, seed)
        network.append(Found(fitted.kappa, job.zero_shot.steps, fitted.seconds))
        log.info(
            "baselines: base %d (%s), kappa %.4f: PINN %.4f in %.1f s, next-frame network %.4f in %.1f s",
            *(row.base, row.regime, row.kappa, pinn.kappa, pinn.seconds, black.kappa, black.seconds),
        )
    few: Ways = {label: [found[index] for index in chosen] for label, found in cheap.items()}
    few |= {"inverse PINN": [one for one, _ in pinns], "next-frame network": [one for one, _ in next_frames]}
    again: Ways = {
        **dict(zip(known, (direct, network), strict=True)),
        "inverse PINN": [other for _, other in pinns],
        "next-frame network": [other for _, other in next_frames],
    }
    plain, twins = ([pair[place] for pair in next_frames] for place in (0, 1))
    return Comparison([rows[index] for index in chosen], few, rows, cheap, plain, again, twins)


def fit_network(job: ZeroShotJob, row: Row, scheme: SafeScheme, seed: int) -> ZeroShot:
    """The paper's network on one video, with the settings of the job."""
    return zero_shot_network(
        row.frames,
        scheme,
        steps=job.zero_shot.steps,
        stride=(len(row.frames) - 1) // (job.zero_shot.frames - 1),
        learning_rate=job.zero_shot.learning_rate,
        features=job.estimator.features,
        seed=seed,
    )


def different_simulations(rows: Sequence[Row], count: int) -> list[int]:
    """Indices of `count` rows, each of another base simulation, in turns in each direction of time.

    A video and its reversed twin are one problem in the stable direction: comparing on both would count it twice.
    """
    bases = list(dict.fromkeys(row.base for row in rows))[:count]
    wanted = [(base, dataset.DIRECTIONS[number % 2]) for number, base in enumerate(bases)]
    return [index for index, row in enumerate(rows) if (row.base, row.direction) in wanted]


def _errors(rows: Sequence[Row], found: Sequence[Found]) -> np.ndarray:
    return np.abs([each.kappa - row.kappa for each, row in zip(found, rows, strict=True)])


def _line(rows: Sequence[Row], label: str, found: Sequence[Found]) -> list[Any]:
    error = _errors(rows, found)
    evaluations = float(np.median([each.evaluations for each in found]))
    seconds = float(np.median([each.seconds for each in found]))
    return [label, len(rows), float(error.mean()), float(error.max()), evaluations, seconds]
