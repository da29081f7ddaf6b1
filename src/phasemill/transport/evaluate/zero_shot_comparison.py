"""One scalar, several ways: what each costs and how far off it is, on the same videos."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from phasemill.core.seeds import branch
from phasemill.transport import dataset
from phasemill.transport.config.single import ZeroShotJob
from phasemill.transport.dataset import Row
from phasemill.transport.recover.baselines import Found, differential_evolution, grid_search, inverse_pinn
from phasemill.transport.recover.next_frame import NextFrame, next_frame_network

log = logging.getLogger("phasemill")

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

    def error(self, label: str) -> float:
        """Mean |error| of one way over the few videos."""
        return float(np.mean(_errors(self.rows, self.few[label])))

    def seconds(self, label: str) -> float:
        """Median seconds of one way over the few videos."""
        return float(np.median([found.seconds for found in self.few[label]]))

    def evaluations(self, label: str) -> float:
        """Median evaluations of one way over the few videos."""
        return float(np.median([found.evaluations for found in self.few[label]]))

    @property
    def prediction_gain(self) -> float:
        """RMSE of the next-frame network over that of the operator, median over the few videos."""
        return float(np.median([found.rmse / max(found.rmse_operator, 1e-12) for found in self.next_frames]))

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

    def prediction_table(self) -> dict[str, Any]:
        """The next-frame network against persistence and the operator, on pairs that none of them has seen."""
        return {
            "title": "Prediction of the next frame, RMSE",
            "columns": ["base simulation", "regime", "network", "nothing changes", "SAFE operator"],
            "rows": [
                [row.base, row.regime, found.rmse, found.rmse_persistence, found.rmse_operator]
                for row, found in zip(self.rows, self.next_frames, strict=True)
            ],
            "note": "Pairs left out of the fits of network and kappa. Sharpening videos are predicted backwards.",
        }

    def metrics(self) -> dict[str, Any]:
        """Numbers behind the figure."""
        return {
            label: {
                "error": _errors(self.rows, found).tolist(),
                "evaluations": [each.evaluations for each in found],
                "seconds": [each.seconds for each in found],
            }
            for label, found in self.few.items()
        }


def compare(job: ZeroShotJob, source: xr.Dataset, rows: Sequence[Row], known: Mapping[str, list[Found]]) -> Comparison:
    """Run the baselines; `known` are the ways that the benchmark has run on all `rows` before."""
    settings, bounds = job.baselines, job.search.bounds
    schemes = [dataset.scheme(source, row) for row in rows]
    seeds = [int(seed.generate_state(1)[0]) for seed in branch(job.seed, "baselines", len(rows))]
    cheap: Ways = {**known, "grid search": [], "differential evolution": []}
    for row, scheme, seed in zip(rows, schemes, seeds, strict=True):
        cheap["grid search"].append(grid_search(row.frames, scheme, points=settings.grid, bounds=bounds))
        cheap["differential evolution"].append(differential_evolution(row.frames, scheme, bounds=bounds, seed=seed))
    chosen = different_simulations(rows, settings.compared)
    pinn: list[Found] = []
    next_frames: list[NextFrame] = []
    for index in chosen:
        row, scheme, seed = rows[index], schemes[index], seeds[index]
        adam, lbfgs, steps = settings.pinn_adam, settings.pinn_lbfgs, settings.next_frame_steps
        pinn.append(inverse_pinn(row.frames, scheme, adam=adam, lbfgs=lbfgs, seed=seed))
        next_frames.append(next_frame_network(row.frames, scheme, steps=steps, bounds=bounds, seed=seed))
        log.info(
            "baselines: base %d (%s), kappa %.4f: PINN %.4f in %.1f s, next-frame network %.4f in %.1f s",
            *(row.base, row.regime, row.kappa, pinn[-1].kappa, pinn[-1].seconds),
            *(next_frames[-1].kappa, next_frames[-1].seconds),
        )
    few: Ways = {label: [found[index] for index in chosen] for label, found in cheap.items()}
    few |= {"inverse PINN": pinn, "next-frame network": [*next_frames]}
    return Comparison([rows[index] for index in chosen], few, rows, cheap, next_frames)


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
