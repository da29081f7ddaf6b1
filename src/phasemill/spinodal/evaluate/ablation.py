"""What each part of the recurrent network is worth: arms that differ from a reference in one thing, at equal cost.

All arms of one seed begin with the same random numbers and see the same batches, so that they are compared seed by
seed. Errors are those of free roll-outs on held-out boxes from their first frame; each arm is scored on its own grid
and, Fourier-interpolated, on the solver's. A long roll-out in small boxes shows what the way of making the change of
phi does to the mean and to the free energy. An arm with a training that does no better than standing still has failed:
the claim that would compare with it has no value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from phasemill.core import store
from phasemill.core.model_files import load_model
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.spinodal.config.variants import ARMS, OUTPUTS, AblationJob
from phasemill.spinodal.datasets.mixtures import coarsen, draw, solver_medium
from phasemill.spinodal.evaluate.ablation_claims import claims_and_notes, ratios, seen
from phasemill.spinodal.evaluate.ablation_tables import down_scaling, errors, long_run
from phasemill.spinodal.evaluate.numbers import geometric, percent
from phasemill.spinodal.fused import Fused
from phasemill.spinodal.metrics import energies, energy_error, mass_drift, mse
from phasemill.spinodal.network import ConvGRU, Step
from phasemill.spinodal.rollout import refine, rollout
from phasemill.spinodal.solver import integrate
from phasemill.spinodal.train.variants import names, networks

Floats = NDArray[np.float64]

BLOWN = 1e3
"""What an error counts as at most, also one that is not finite any more."""


def ablation(job: AblationJob, data: Path, output: Path, *, models: list[Path], threads: int = 1) -> dict[str, Any]:
    """Errors of all arms with all seeds, and the claims on conservation, down-scaling, curriculum and over-fitting."""
    clock, settings = Clock(), job.ablation
    trained = networks(job.variants.seeds, job.network).eval().requires_grad_(False)
    card = load_model(models[0], trained)
    source = store.open_dataset(data)
    fine = np.stack([source["phi"][sim].values for sim in range(settings.simulations)])
    scores: dict[str, dict[str, Any]] = {}
    slices = {}
    for run, arm, seed in names(job.variants.seeds):
        truth = coarsen(fine, job.medium.factor, ARMS[arm].downscale)
        dx = job.medium.dx * fine.shape[-1] / truth.shape[-1]
        predicted = roll(stepper(trained, run), truth[:, 0], truth.shape[1] - 1)
        scores[run] = score(truth, predicted, job.medium.eps, dx)
        scores[run]["fine_mse"] = _on_fine_grid(fine, predicted, settings.frames)
        if seed == 0:
            slices[arm] = _slice(predicted, settings.frames, ARMS[arm].downscale, job.medium.factor)
    long = _long(job, trained)
    floors = {
        downscale: float(_on_fine_grid(fine, coarsen(fine, job.medium.factor, downscale), settings.frames).mean())
        for downscale in ("nearest", "average", "none")
    }
    truth = coarsen(fine, job.medium.factor)
    still = mse(truth, np.broadcast_to(truth[:, :1], truth.shape))
    still_fine = float(_on_fine_grid(fine, np.broadcast_to(fine[:, :1], fine.shape), settings.frames).mean())
    _write_fields(output / "fields.zarr", source, job, truth, slices, scores, clock)
    arms = {arm: summary(arm, job.variants.seeds, scores, card["runs"]) for arm in ARMS}
    taught = [card["runs"][f"reference_{seed}"] for seed in range(job.variants.seeds)]
    claims, notes = claims_and_notes(arms, long, floors, {"coarse": float(still.mean()), "fine": still_fine}, taught)
    reference, plain = arms["reference"], long["plain"]
    best = min(arms, key=lambda arm: float(arms[arm]["mse"]))
    return {
        "title": "What each part is worth",
        "question": (
            f"What does each part of the recurrent network and of its training contribute? {len(ARMS)} arms, each one "
            f"change away from a reference, are trained {job.variants.seeds} times, briefly and at equal cost, and "
            f"rolled out freely over {truth.shape[1] - 1} frames on {settings.simulations} held-out "
            f"box{'es' if settings.simulations > 1 else ''}."
        ),
        "answer": (
            f"After {reference['steps']} steps with phi alone as input the mean squared error is "
            f"{arms['raw']['ratio']:.2g} times that of the reference "
            f"({reference['mse']:.2g}), centred {arms['centred']['ratio']:.2g} times. Without any conservation the "
            f"free energy is off by {percent(plain['energy_error'])} in the second half of {settings.steps} tau, with "
            f"the reference by {percent(long['reference']['energy_error'])}. The least error has: {ARMS[best].label}."
        ),
        "headline": [
            {"label": "input phi against features", "value": arms["raw"]["ratio"], "note": "ratio of the errors"},
            {"label": "long free energy, no divergence", "value": claims["spinodal.ablation.divergence"],
             "note": "error over that of the reference", "claim": "spinodal.ablation.divergence"},
            {"label": "down-scaled against not", "value": claims["spinodal.ablation.downscale"],
             "note": "ratio of the errors on the fine grid", "claim": "spinodal.ablation.downscale"},
        ],
        "tables": [
            errors(arms, float(still.mean()), seen(taught[0])),
            long_run(long),
            down_scaling(arms, floors, still_fine),
        ],
        "claims": claims,
        "claim_notes": notes,
        "metrics": {
            "arms": arms,
            "long": long,
            "floors": floors,
            "persistence": still.mean(axis=0).tolist(),
            "persistence_fine": still_fine,
            "reference_trainings": [{key: value for key, value in run.items() if key != "curve"} for run in taught],
            "curves": {run: content["curve"] for run, content in card["runs"].items()},
            "frames": settings.frames,
            "every": settings.every,
        },
        "provenance": [
            store.provenance(source),
            card["provenance"],
            clock.record("evaluate spinodal_ablation", job.model_dump(), threads=threads),
        ],
    }  # fmt: skip


def stepper(trained: nn.ModuleDict, run: str) -> Step:
    """The step of one of the trained networks."""
    network = trained[run]
    assert isinstance(network, ConvGRU)
    return Fused(network)


def roll(step: Step, phi: NDArray[Any], steps: int, every: int = 1) -> NDArray[np.float32]:
    """The first frame and every `every`-th of a free roll-out: (batch, frames, x, y, z)."""
    frames = [np.asarray(phi, np.float32)]
    frames += [field for count, field in enumerate(rollout(step, phi, steps), start=1) if count % every == 0]
    return np.stack(frames, axis=1)


def score(truth: NDArray[Any], predicted: NDArray[Any], eps: float, dx: float) -> dict[str, Any]:
    """MSE and relative energy error by frame (sim, time), never above BLOWN, and the largest change of a mean."""
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            "mse": capped(mse(truth, predicted)),
            "energy": capped(energy_error(truth, predicted, eps, dx)),
            "drift": float(capped(mass_drift(predicted))),
        }


def capped(values: Any) -> Floats:
    """Errors of a roll-out that may have blown up."""
    return np.minimum(np.nan_to_num(np.asarray(values, np.float64), nan=BLOWN, posinf=BLOWN), BLOWN)


def summary(arm: str, seeds: int, scores: Mapping[str, Mapping[str, Any]], runs: Mapping[str, Any]) -> dict[str, Any]:
    """An arm over its seeds: errors, the ratio to the reference seed by seed, and what the trainings cost."""
    mine = [scores[f"{arm}_{seed}"] for seed in range(seeds)]
    facts = [runs[f"{arm}_{seed}"] for seed in range(seeds)]
    found = [float(one["mse"].mean()) for one in mine]
    over = ratios(found, [float(scores[f"reference_{seed}"]["mse"].mean()) for seed in range(seeds)])
    return {
        "label": ARMS[arm].label,
        "errors": found,
        "mse": geometric(found),
        "ratios": over,
        "ratio": geometric(over),
        "fine": [float(one["fine_mse"].mean()) for one in mine],
        "energies": [float(one["energy"].mean()) for one in mine],
        "energy": geometric([float(one["energy"].mean()) for one in mine]),
        "drift": max(one["drift"] for one in mine),
        "by_frame": np.mean([one["mse"].mean(axis=0) for one in mine], axis=0).tolist(),
        "energy_by_frame": np.mean([one["energy"].mean(axis=0) for one in mine], axis=0).tolist(),
        "seconds": float(np.mean([one["seconds"] for one in facts])),
        "steps": facts[0]["steps"],
    }


def _long(job: AblationJob, trained: nn.ModuleDict) -> dict[str, dict[str, Any]]:
    """Mean and free energy over a long roll-out in small boxes, for the ways of making the change of phi."""
    settings, medium = job.ablation, job.medium
    sequences = job.held_out.model_copy(update={"size": settings.size, "late": 0.0})
    boxes = [
        draw(job.mixtures, sequences, medium, seed)["phi"]
        for seed in branch(job.seed, "spinodal_ablation long", settings.boxes)
    ]
    times = medium.interval * settings.every * np.arange(settings.steps // settings.every + 1)
    exact = np.stack(
        [
            coarsen(
                integrate(box, times, medium=solver_medium(medium), tolerance=sequences.tolerance).frames, medium.factor
            )
            for box in boxes
        ]
    )
    dx = medium.dx * medium.factor
    energy = energies(exact, medium.eps, dx)
    second_half = slice(len(times) // 2, None)
    found: dict[str, dict[str, Any]] = {}
    for arm in OUTPUTS:
        curves, drifts, misses = [], [], []
        for seed in range(job.variants.seeds):
            predicted = roll(stepper(trained, f"{arm}_{seed}"), exact[:, 0], settings.steps, settings.every)
            scored = score(exact, predicted, medium.eps, dx)
            with np.errstate(over="ignore", invalid="ignore"):
                curves.append(capped(energies(predicted, medium.eps, dx) / energy).mean(axis=0).tolist())
            drifts.append(scored["drift"])
            misses.append(float(scored["energy"][:, second_half].mean()))
        over = ratios(misses, found["reference"]["errors"] if found else misses)
        found[arm] = {
            "label": ARMS[arm].label,
            "errors": misses,
            "energy_error": geometric(misses),
            "ratios": over,
            "ratio": geometric(over),
            "drift": max(drifts),
            "energy": curves,
        }
    return found


def _on_fine_grid(fine: NDArray[Any], predicted: NDArray[Any], frames: Sequence[int]) -> Floats:
    """MSE on the solver's grid at some frames, the prediction Fourier-interpolated: (sim, frame)."""
    factor = fine.shape[-1] // predicted.shape[-1]
    rows = []
    for truth, one in zip(fine, predicted, strict=True):
        usable = [np.nan_to_num(one[frame], nan=BLOWN, posinf=BLOWN, neginf=-BLOWN) for frame in frames]
        rows.append(
            [
                mse(truth[f], refine(field, factor) if factor > 1 else field)
                for f, field in zip(frames, usable, strict=True)
            ]
        )
    return capped(rows)


def _slice(predicted: NDArray[Any], frames: Sequence[int], downscale: str, factor: int) -> NDArray[Any]:
    """The first plane of some frames on the coarse grid: (sim, frame, x, y)."""
    chosen = predicted[..., 0][:, [0, *frames]]
    return chosen[..., ::factor, ::factor] if downscale == "none" else chosen


def _write_fields(
    path: Path, source: xr.Dataset, job: AblationJob, truth: NDArray[Any], slices: Mapping[str, NDArray[Any]],
    scores: Mapping[str, Mapping[str, Any]], clock: Clock,
) -> None:  # fmt: skip
    """Slices of the roll-outs of the first seed, and the errors of all."""
    settings, seeds = job.ablation, job.variants.seeds
    kept = [0, *settings.frames]
    labels = tuple(ARMS)
    step = job.medium.factor
    coords = xr.Dataset(
        coords={
            "sim": ("sim", np.arange(len(truth)), {"units": "1", "long_name": "held-out simulation"}),
            "arm": store.flags(labels, labels, "arm", "arm of the ablation"),
            "seed": ("seed", np.arange(seeds), {"units": "1", "long_name": "number of the training"}),
            "frame": ("frame", np.arange(truth.shape[1]), {"units": "1", "long_name": "frame"}),
            "time": source.time[kept],
            "x": source.x[::step],
            "y": source.y[::step],
        }
    )
    error = ("sim", "arm", "seed", "frame")
    variables = {
        "truth": store.Variable(("sim", "time", "x", "y"), "1", "concentration in the plane z = 0"),
        "prediction": store.Variable(("sim", "arm", "time", "x", "y"), "1", "free roll-out, first seed"),
        "mse": store.Variable(error, "1", "mean squared error", "float64"),
        "energy_error": store.Variable(error, "1", "relative error of the free energy", "float64"),
    }
    attrs = {key: source.attrs[key] for key in ("equation", "scheme", "stencil", "eps", "dx", "interval", "references")}
    attrs |= {"title": "Roll-outs of the arms of the ablation", "source_digest": source.attrs["digest"]}
    with store.create(path, coords, variables, attrs) as writer:
        for sim in range(len(truth)):
            by_arm = [[scores[f"{arm}_{seed}"] for seed in range(seeds)] for arm in ARMS]
            writer.write(
                sim,
                truth=truth[sim][kept][..., 0],
                prediction=np.stack([slices[arm][sim] for arm in ARMS]),
                mse=[[one["mse"][sim] for one in runs] for runs in by_arm],
                energy_error=[[one["energy"][sim] for one in runs] for runs in by_arm],
            )
        writer.provenance = clock.record("fields", job.model_dump())
