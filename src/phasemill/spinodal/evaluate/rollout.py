"""Free roll-outs on held-out boxes: one frame is given, the networks make the rest.

Every error stands beside those of standing still and of finite differences on the networks' own coarse grid, and
beside the floors that the coarse grid itself sets.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.spinodal import metrics, physics
from phasemill.spinodal.config.data import Medium
from phasemill.spinodal.config.rollout import RolloutJob
from phasemill.spinodal.datasets import mixtures as dataset
from phasemill.spinodal.evaluate import floors, rollout_tables, solver_checks
from phasemill.spinodal.evaluate.contest import (
    SEEN,
    STILL,
    Entry,
    Run,
    from_what_is_seen,
    gather,
    named,
    roll,
)
from phasemill.spinodal.evaluate.numbers import headline, known
from phasemill.spinodal.evaluate.rollout_fields import fields_at, scores_at_all, write_fields
from phasemill.spinodal.network import ConvGRU
from phasemill.spinodal.rollout import exchange_averaged
from phasemill.spinodal.solver import integrate

Floats = NDArray[np.float64]
DIFFERENCES = "coarse finite differences"

log = logging.getLogger("phasemill")


def rollout(
    job: RolloutJob, data: Path, output: Path, *, models: list[Path] | None = None, threads: int = 1
) -> dict[str, Any]:
    """Roll all networks out on the held-out boxes and score them, the truth and the solver."""
    clock, medium, settings = Clock(), job.medium, job.rollout
    solver_seed, resampling = branch(job.seed, "spinodal_rollout", 2)
    source = store.open_dataset(data)
    entries = gather(settings.models, models or [], medium)
    runs = roll_out(entries, source, medium)
    spacing = medium.dx * medium.factor
    scores = [metrics.frame_scores(run.truth[:, 1:], run.prediction[:, 1:], medium.eps, spacing) for run in runs]
    rng = np.random.default_rng(resampling)
    methods = {
        run.label: known(summary(run, score, rng, settings.resamples, source["start"].values))
        for run, score in zip(runs, scores, strict=True)
    }
    first, best = runs[0], methods[runs[0].label]
    judged = named(entries, settings.judged)
    paper = methods[judged.label]
    frames = sorted(settings.frames)
    shown = [0, *frames]
    shared = [frame for frame in frames if frame in first.marks]
    floor = floors.grid_floors(source, shown, medium)
    parities = {run.label: floors.parity(run) for run in runs[: len(entries)]}
    conventions = floors.energy_conventions(source, first, shared, medium)
    solver = solver_checks.check(medium, solver_seed)
    starts = {
        "mean": source["mean_drawn"].values.tolist(),
        "start": source["start"].values.tolist(),
        "wavelength": [metrics.mean_wavelength(box[0], spacing) for box in first.truth],
    }
    fine = floors.fine_over_coarse(source, runs[entries.index(judged)], shared, medium)
    area = floors.energy_over_area(source, medium)
    write_fields(
        output / "fields.zarr", source, runs, fields_at(source, runs, shown, medium),
        scores_at_all(runs, scores, source.sizes["time"]), clock, job.model_dump(), medium,
        title="Truth and free roll-outs on held-out boxes", frames=shown,
    )  # fmt: skip
    still = methods[STILL]["mse"]
    worst = best["energy_max"]
    nearest = floor["nearest"]["rmse"]
    card = judged.model.card["training"]
    drawn = entries[-1].model.card.get("data", {})
    last = frames[-1]
    return {
        "title": "Free roll-out on held-out boxes",
        "question": (
            "How far can a network carry a mixture on by itself? It is given the first frame of each of "
            f"{len(first.truth)} boxes of {source.sizes['x']}³ cells, which no training saw, on every second cell, and "
            f"makes the following {source.sizes['time'] - 1} frames from its own output. F is compared like for like, "
            "on the networks' grid."
        ),
        "answer": (
            f"The network ({entries[0].label}) has a mean square error of {best['mse']:.2g}; standing still has "
            f"{still:.2g}, the solver itself from the same coarse cells {methods[SEEN]['mse']:.2g}. Its free energy is "
            f"wrong by at most {100 * worst:.2g} %, and it conserves mass to {best['drift']:.0e}."
        ),
        "headline": [
            headline("mean square error", best["mse"], f"standing still {still:.2g}", ""),
            headline("largest relative error of F", worst, "all frames and boxes", ""),
            headline("median delta-bar", best["displacement"], "a length; dx = 1", ""),
            headline("same phase as the truth", best["agreement"], f"share of cells, frame {last}", ""),
            headline("drift of the mean", best["drift"], "all frames and boxes", ""),
            headline(
                "published network", paper["mse"] / still, "MSE over standing still's", "spinodal.rollout.converges"
            ),
        ],
        "tables": [
            rollout_tables.errors(methods, frames),
            rollout_tables.physics(methods),
            rollout_tables.pattern(methods, last),
            rollout_tables.floors(floor, methods, runs[0].label, shown),
            rollout_tables.conventions(conventions, shared, entries[0].label),
            rollout_tables.parity(parities),
            rollout_tables.boxes(starts, methods, [entry.label for entry in entries]),
            solver["table"],
            rollout_tables.networks(entries),
        ],
        "claims": {
            **solver["claims"],
            "spinodal.data.frames": float(source.sizes["time"]),
            "spinodal.data.sequences": drawn.get("simulations"),
            "spinodal.data.mean": drawn.get("mean"),
            "spinodal.data.mean_deviation": drawn.get("deviation"),
            "spinodal.rollout.parameters": float(sum(value.numel() for value in ConvGRU().parameters())),
            "spinodal.rollout.energy_over_area": area["largest_gap"],
            "spinodal.rollout.conservation": paper["drift"],
            "spinodal.rollout.bounded": max(paper["high"] - paper["high_truth"], paper["low_truth"] - paper["low"]),
            "spinodal.rollout.converges": paper["mse"] / still,
            "spinodal.rollout.overfitting": paper["mse"] / float(card["validation_mse"]),
            "spinodal.rollout.correlation": paper["correlation"],
            "spinodal.rollout.sign_agreement": paper["agreement"],
            "spinodal.rollout.rmse_floor": nearest[0],
            "spinodal.rollout.rmse_floor_later": nearest[-1] / nearest[0],
            "spinodal.rollout.downscaling": nearest[-1] / paper["rmse_by_frame"][-1],
            "spinodal.rollout.coarse_rmse": fine[0] / fine[-1],
        },
        "claim_notes": {
            **solver["claim_notes"],
            **_notes(paper, methods, floor, fine, card, entries, shown),
            "spinodal.rollout.energy_over_area": area["note"],
        },
        "metrics": {
            "methods": methods,
            "networks": [entry.label for entry in entries],
            "judged": judged.label,
            "shown": runs[0].label,
            "fine_over_coarse": fine,
            "energy_over_area": area,
            "time": source["time"].values.tolist(),
            "frames": frames,
            "floors": floor,
            "parity": parities,
            "energy_conventions": conventions,
            "boxes": starts,
            "solver": solver["metrics"],
        },
        "provenance": [
            store.provenance(source),
            *(entry.model.card["provenance"] for entry in entries),
            clock.record("evaluate spinodal_rollout", job.model_dump(), threads=threads),
        ],
    }


def roll_out(entries: Sequence[Entry], source: xr.Dataset, medium: Medium) -> list[Run]:
    """The networks' roll-outs, the first also averaged over the exchange of phases, and the two baselines."""
    truths = {
        downscale: dataset.load(source, "test", medium.factor, downscale)
        for downscale in dict.fromkeys(entry.model.card["downscale"] for entry in entries)
    }
    runs = []
    for entry in entries:
        runs.append(roll(entry.label, entry.model.step, truths[entry.model.card["downscale"]], entry.stride))
        log.info("rolled out %s: mse %.3g", entry.label, metrics.mse(runs[-1].truth, runs[-1].prediction)[:, 1:].mean())
    truth, first = runs[0].truth, entries[0]
    label = f"{first.model.name}, averaged with phases exchanged"
    runs.append(roll(label, exchange_averaged(first.model.step), truths[first.model.card["downscale"]], first.stride))
    runs.append(Run(STILL, truth, np.repeat(truth[:, :1], truth.shape[1], axis=1), first.stride, "trivial"))
    runs.append(Run(DIFFERENCES, truth, coarse_differences(truth, medium, first.stride), first.stride, "solver"))
    times = medium.interval * first.stride * np.arange(truth.shape[1])
    runs.append(Run(SEEN, truth, from_what_is_seen(truth, medium, times), first.stride, "solver"))
    return runs


def coarse_differences(truth: NDArray[np.float32], medium: Medium, stride: int = 1) -> NDArray[np.float32]:
    """Explicit Euler on the networks' own grid, from the first frames: what the solver makes of as few cells."""
    coarse = physics.Medium(eps=medium.eps, mobility=medium.mobility, dx=medium.dx * medium.factor)
    times = medium.interval * stride * np.arange(truth.shape[1])
    return np.stack(
        [integrate(box[0].astype(np.float64), times, medium=coarse, scheme="euler").frames for box in truth]
    ).astype(np.float32)


def summary(
    run: Run, score: dict[str, Floats], rng: np.random.Generator, resamples: int, start: Floats
) -> dict[str, Any]:
    """The numbers of one method: means over the boxes, by frame, and extremes; start: times of the first frames."""
    by_box = score["mse"].mean(axis=1)
    by_frame = score["mse"].mean(axis=0)
    truth, prediction = run.truth[:, -1], run.prediction[:, -1]
    found = [metrics.topology(phi) for phi in prediction]
    wanted = [metrics.topology(phi) for phi in truth]
    return {
        "marks": run.marks.tolist(),
        "mse": float(by_box.mean()),
        "mse_interval": metrics.confidence(by_box, rng, resamples),
        "mse_by_box": by_box.tolist(),
        "mse_by_frame": by_frame.tolist(),
        "mse_by_frame_from_noise": score["mse"][start == start.min()].mean(axis=0).tolist(),  # the earliest
        "rmse_by_frame": np.sqrt(score["mse"]).mean(axis=0).tolist(),
        "worst_frame": int(run.marks[np.argmax(by_frame)]),
        "energy_mean": float(score["energy_error"].mean()),
        "energy_max": float(score["energy_error"].max()),
        "energy_max_interval": metrics.confidence(score["energy_error"].max(axis=1), rng, resamples),
        "energy_max_by_box": score["energy_error"].max(axis=1).tolist(),
        "energy_error_by_frame": score["energy_error"].mean(axis=0).tolist(),
        "energy_error_max_by_frame": score["energy_error"].max(axis=0).tolist(),
        "displacement": float(np.median(score["displacement"])),
        "displacement_max": float(score["displacement"].max()),
        "displacement_by_frame": np.median(score["displacement"], axis=0).tolist(),
        "drift": run.drift,
        "low": float(score["low"].min()),
        "high": float(score["high"].max()),
        "low_truth": float(score["low_truth"].min()),
        "high_truth": float(score["high_truth"].max()),
        "correlation": metrics.correlation(truth, prediction),
        "agreement": metrics.sign_agreement(truth, prediction),
        "euler": [row["euler"] for row in found],
        "euler_truth": [row["euler"] for row in wanted],
        "components": [row["components"] for row in found],
        "components_truth": [row["components"] for row in wanted],
        "percolation": float(
            np.mean([a["percolation"] == b["percolation"] for a, b in zip(found, wanted, strict=True)])
        ),
        "wavelength": [metrics.mean_wavelength(phi, 1.0) for phi in prediction],
        "wavelength_truth": [metrics.mean_wavelength(phi, 1.0) for phi in truth],
    }


def _notes(
    paper: dict[str, Any],
    methods: dict[str, dict[str, Any]],
    floor: dict[str, dict[str, list[float]]],
    fine: Sequence[float],
    card: dict[str, Any],
    entries: Sequence[Entry],
    frames: Sequence[int],
) -> dict[str, str]:
    """What stands beside each verdict."""
    nearest = floor["nearest"]
    others = "; ".join(
        f"{entry.label} {_shown(methods[entry.label]['mse'])}, F {_shown(methods[entry.label]['energy_max'], 100)} %"
        for entry in entries
    )
    growth = ", ".join(f"{value:.2g}" for value in nearest["rmse"])
    return {
        "spinodal.rollout.converges": (
            f"The solver from the same coarse cells has {methods[SEEN]['mse']:.2g}. By network, MSE and largest error "
            f"of F: {others}."
        ),
        "spinodal.rollout.overfitting": (
            f"MSE {paper['mse']:.2g} on held-out boxes, {card['validation_mse']:.2g} on the validation boxes of its "
            "training, which chose its weights."
        ),
        "spinodal.rollout.bounded": "; ".join(
            f"{entry.label}: {methods[entry.label]['low']:.3g} to {methods[entry.label]['high']:.3g}"
            for entry in entries
        )
        + f"; truth {paper['low_truth']:.3g} to {paper['high_truth']:.3g}.",
        "spinodal.rollout.rmse_floor_later": f"By frame {', '.join(map(str, frames))}: {growth}.",
        "spinodal.rollout.coarse_rmse": (
            "RMSE on the fine grid, nearest cells, over that on the coarse grid, by frame: "
            f"{', '.join(f'{value:.2g}' for value in fine)}."
        ),
        "spinodal.rollout.downscaling": (
            f"Last frame: RMSE {paper['rmse_by_frame'][-1]:.2g} by the network; floors: Fourier "
            f"{floor['fourier']['rmse'][-1]:.2g}, block means {floor['average']['rmse'][-1]:.2g}, nearest cells "
            f"{nearest['rmse'][-1]:.2g}."
        ),
    }


def _shown(value: float | None, factor: float = 1) -> str:
    return "beyond bounds" if value is None else f"{factor * value:.2g}"
