"""A network that learnt to move grains without data, on polycrystals it has not seen; and what the solver costs."""

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
from phasemill.core.seeds import branch
from phasemill.grains.config.polycrystal import PolycrystalJob, Polycrystals
from phasemill.grains.datasets.polycrystal import frame_times, medium_of
from phasemill.grains.initial import one_hot, voronoi
from phasemill.grains.library import shipped
from phasemill.grains.network import Stepper
from phasemill.grains.physics import Medium
from phasemill.grains.polycrystal import Polycrystal
from phasemill.grains.simplex import Phases
from phasemill.grains.train.polycrystal import networks, rollout

Floats = NDArray[np.float64]

COUNTS = (10, 30, 100)
"""Grains in the box on which the solver is timed."""
TIMED = Medium(eta=5.0, mu=1.0)
SIDE = 128
"""Its cells per side."""


def polycrystal(
    job: PolycrystalJob, data: Path, output: Path, *, models: list[Path], threads: int = 1
) -> dict[str, Any]:
    """Roll the networks of all seeds out on every polycrystal and compare the areas of its grains."""
    clock, wanted = Clock(), job.polycrystal
    source, medium, times = store.open_dataset(data), medium_of(wanted), frame_times(wanted)
    phases, trained = Phases.of(medium, wanted.until / wanted.frames), networks(job)
    card = load_model(models[0], trained)
    splits = store.meanings(source["split"])
    truth = np.asarray(source["area"].values, np.float64)
    phi = source["phi"].values.astype(np.float32)

    scores: dict[str, list[dict[str, Any]]] = {"network": [], "no motion": [], "Crank-Nicolson, exact": []}
    shown, seconds = [], []
    for sim, split in enumerate(splits):
        still = np.broadcast_to(truth[sim, :1], truth[sim].shape)
        scores["no motion"].append({"sim": sim, "split": split, "seed": None, **score(truth[sim], still)})
        if split == "test":
            exact = areas(exactly(phi[sim, 0], wanted.frames, phases), medium)
            found = {"sim": sim, "split": split, "seed": None, **score(truth[sim], exact)}
            scores["Crank-Nicolson, exact"].append(found)
        for number, network in enumerate(trained.values()):
            assert isinstance(network, Stepper)
            begun = time.process_time()
            frames = predict(network.eval(), phi[sim, 0], wanted.frames, phases)
            seconds.append(time.process_time() - begun)
            area = areas(frames, medium)
            mse = float(((frames - phi[sim]) ** 2).sum(axis=1).mean())
            scores["network"].append(
                {"sim": sim, "split": split, "seed": number, "mse": mse, **score(truth[sim], area)}
            )
            if number == 0:
                shown.append((frames, area))
    _write_fields(output / "fields.zarr", source, phi, shown, clock, job)
    solver = solver_cost(wanted, medium, branch(job.seed, "grain_polycrystal_cost", 1)[0])
    test = {name: [one for one in found if one["split"] == "test"] for name, found in scores.items()}
    error = float(np.median([one["area_error"] for one in test["network"]]))
    gain = float(np.median([one["area_error"] for one in test["no motion"]])) / error
    costs = {
        "training": [run.get("cpu", run["seconds"]) for run in card["runs"].values()],
        "rollout": float(np.median(seconds)),
        **solver,
    }
    return {
        "title": "Polycrystal",
        "question": (
            f"Does a network that saw the equation and {wanted.train} first frames alone move {wanted.grains} grains "
            f"with triple junctions as the N-phase solver does, also in polycrystals that it has not seen?"
        ),
        "answer": (
            f"On {wanted.test} unseen polycrystals the areas of the grains are off by {100 * error:.2g} % of the mean "
            f"area (mean over grains and frames), {gain:.2g} times less than without motion."
        ),
        "headline": [
            {"label": "area error, unseen", "value": error, "note": "of the mean area; median", "claim": ""},
            {"label": "better than no motion", "value": gain, "note": "ratio of area errors", "claim": ""},
            {
                "label": "training, CPU minutes",
                "value": float(np.mean(costs["training"])) / 60,
                "note": "",
                "claim": "",
            },
        ],
        "tables": [_errors(scores), _cost(costs, wanted)],
        "claims": {},
        "metrics": {
            "scores": scores,
            "times": times.tolist(),
            "costs": costs,
            "curves": {name: run["curve"] for name, run in card["runs"].items()},
            "grains": source["grains"].values.tolist(),
        },
        "provenance": [
            store.provenance(source),
            card["provenance"],
            *shipped(card["runs"]),
            clock.record("evaluate grain_polycrystal", job.model_dump(), threads=threads),
        ],
    }


@torch.no_grad()
def predict(network: Stepper, phi: NDArray[Any], intervals: int, phases: Phases) -> NDArray[np.float32]:
    """The free roll-out from one frame: (time, grain, x, y)."""
    first = torch.from_numpy(phi)[None]
    frames = [first, *(field for field, _, _ in rollout(network, first, intervals, phases))]
    return torch.cat(frames).numpy()


def exactly(phi: NDArray[Any], intervals: int, phases: Phases) -> NDArray[np.float32]:
    """What the loss asks for: each interval at the minimum of J. (time, grain, x, y)"""
    frames = [torch.from_numpy(phi)[None]]
    for _ in range(intervals):
        frames.append(phases.minimum(frames[-1]))
    return torch.cat(frames).numpy()


def areas(frames: NDArray[Any], medium: Medium) -> Floats:
    """Of each grain: (time, grain)."""
    found: Floats = frames.sum(axis=(-2, -1), dtype=np.float64) * medium.dx**2
    return found


def score(truth: Floats, area: Floats) -> dict[str, Any]:
    """Errors of the areas (time, grain): over the grains alive in the truth, relative to their mean area."""
    alive = truth > 0
    mean = truth.sum(axis=1) / alive.sum(axis=1)
    errors = (np.abs(area - truth) * alive).sum(axis=1) / alive.sum(axis=1) / mean
    return {
        "area_error": float(errors[1:].mean()),
        "area_error_last": float(errors[-1]),
        "area_error_by_frame": errors.tolist(),
        "grains_off": int(np.abs((area > 0).sum(axis=1) - alive.sum(axis=1)).max()),
    }


def solver_cost(wanted: Polycrystals, medium: Medium, seed: np.random.SeedSequence) -> dict[str, Any]:
    """Seconds of the truth of one polycrystal, and of a step by the number of grains in a box of one size.

    The boxes take turns. The length of the interfaces is F/sigma.
    """
    rng, shape = np.random.default_rng(seed), (wanted.cells, wanted.cells)
    crystal = Polycrystal(one_hot(voronoi(rng, shape, wanted.grains), wanted.grains), medium)
    crystal.advance(wanted.relax)
    begun = time.process_time()
    crystal.advance(wanted.until)
    truth = time.process_time() - begun
    boxes = {str(n): Polycrystal(one_hot(voronoi(rng, (SIDE, SIDE), n), n), TIMED) for n in COUNTS}
    for box in boxes.values():
        box.advance(20 * box.dt)
    taken: dict[str, list[float]] = {name: [] for name in boxes}
    for _ in range(10):
        for name, box in boxes.items():
            begun = time.process_time()
            box.advance(5 * box.dt)
            taken[name].append((time.process_time() - begun) / 5)
    return {
        "truth": truth,
        "step": {name: float(np.median(column)) for name, column in taken.items()},
        "active": {name: len(box.active) for name, box in boxes.items()},
        "length": {name: box.energy / TIMED.sigma for name, box in boxes.items()},
    }


def _errors(scores: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "title": "Areas of the grains",
        "columns": ["method", "polycrystal", "split", "seed", "area error", "last frame", "grains too many or few"],
        "rows": [
            [name, one["sim"], one["split"], one["seed"], one["area_error"], one["area_error_last"], one["grains_off"]]
            for name, found in scores.items()
            for one in found
        ],
        "note": "Mean over the live grains of |A - A*|, over their mean area; averaged over the frames.",
    }


def _cost(costs: dict[str, Any], wanted: Polycrystals) -> dict[str, Any]:
    rows = [
        [
            f"solver, {count} grains, {SIDE}² cells: a step",
            costs["step"][str(count)],
            costs["active"][str(count)],
            round(costs["length"][str(count)]),
        ]
        for count in COUNTS
    ]
    return {
        "title": "Cost on one core",
        "columns": ["what", "seconds", "cells visited", "length of interfaces, dx"],
        "rows": [
            [f"solver, {wanted.frames} intervals", costs["truth"], None, None],
            [f"network, {wanted.frames} intervals", costs["rollout"], None, None],
            ["network, training", float(np.mean(costs["training"])), None, None],
            *rows,
        ],
        "note": "The solver visits the cells at interfaces alone: its cost grows with their length.",
    }


def _write_fields(
    path: Path, source: xr.Dataset, phi: NDArray[Any], shown: list[Any], clock: Clock, job: PolycrystalJob
) -> None:
    """Labels and areas of truth and network, first seed."""
    coords = xr.Dataset(coords={name: source[name] for name in ("time", "sim", "grain", "x", "y", "split")})
    variables = {
        "truth": store.Variable(("sim", "time", "x", "y"), "1", "sum of phi^2, below 1 at interfaces"),
        "prediction": store.Variable(("sim", "time", "x", "y"), "1", "sum of phi^2 of the network"),
        "truth_grain": store.Variable(("sim", "time", "x", "y"), "1", "number of the grain with the largest phi"),
        "grain_number": store.Variable(("sim", "time", "x", "y"), "1", "the same of the network"),
        "area_truth": store.Variable(("sim", "time", "grain"), "1", "area", dtype="float64"),
        "area": store.Variable(("sim", "time", "grain"), "1", "area, network", dtype="float64"),
        "mean_radius_truth": store.Variable(("sim", "time"), "1", "mean radius of the living grains", "float64"),
        "mean_radius": store.Variable(("sim", "time"), "1", "mean radius of the living grains, network", "float64"),
    }
    attrs = {"title": "Polycrystals: predictions", "model": "recurrent network", "cover": 0}
    attrs |= {n: source.attrs[n] for n in ("equation", "eta", "mu", "dx")}
    with store.create(path, coords, variables, attrs) as writer:
        for sim, (frames, area) in enumerate(shown):
            truth, cell = source["area"][sim].values, float(source.attrs["dx"]) ** 2
            writer.write(
                sim, truth=(phi[sim] ** 2).sum(axis=1), prediction=(frames**2).sum(axis=1),
                truth_grain=phi[sim].argmax(axis=1), grain_number=frames.argmax(axis=1),
                area_truth=truth, area=area,
                mean_radius_truth=_mean_radius(truth, cell), mean_radius=_mean_radius(area, cell),
            )  # fmt: skip
        writer.provenance = clock.record("fields", job.model_dump())


def _mean_radius(areas: NDArray[Any], cell: float) -> Floats:
    """By time, the mean of sqrt(area / pi) over the grains of at least a cell, not dust; areas (time, grain)."""
    living = areas >= cell
    return np.asarray(np.sqrt(areas / np.pi).sum(axis=1, where=living) / np.maximum(living.sum(axis=1), 1))
