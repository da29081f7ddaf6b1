"""A benchmark's networks, which saw its equation and first frame alone, against its truth."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.metrics import frame_mse, interface_displacement
from phasemill.core.model_files import load_model
from phasemill.core.provenance import Clock
from phasemill.grains.config.learned import UnsupervisedJob
from phasemill.grains.datasets.cases import frame_times, load, medium_of
from phasemill.grains.evaluate.laws import laws
from phasemill.grains.evaluate.predictions import Prediction, networks, references, score
from phasemill.grains.evaluate.unsupervised_tables import answer, claims, headline, tables
from phasemill.grains.library import shipped
from phasemill.grains.march import March
from phasemill.grains.physics import Medium, stable_dt
from phasemill.grains.solver import integrate
from phasemill.grains.train.march import interval_of, marches, runs
from phasemill.grains.train.stepper import Hybrid, hybrids

COMPARED = ("radius", "radius_visible", "energy", "grains", "grain_radius")
"""What the figures show beside the networks'."""
DIAGNOSTICS = {"energy": ("energy", "free energy"), "mean_radius": ("grain_radius", "mean radius of the grains")}
"""In the stored fields, where the summary looks for them: name -> name among the scores, meaning."""


def unsupervised(
    job: UnsupervisedJob, data: Path, output: Path, *, models: list[Path], threads: int = 1
) -> dict[str, Any]:
    """Roll the networks of all seeds out from the first frame of each microstructure and score them."""
    clock, case = Clock(), job.case
    source = store.open_dataset(data)
    frames, medium, interval, times = (
        load(source).astype(np.float64),
        medium_of(case),
        interval_of(case),
        frame_times(case),
    )
    marched, mixed = marches(case, job.learn, job.marching), hybrids(job.case, job.learn, job.recurrent)
    cards = {"march": load_model(models[0], marched), "stepper": load_model(models[1], mixed)}
    starts = list(case.starts)

    scores: dict[str, dict[str, list[dict[str, Any]]]] = {}
    shown: list[list[Prediction]] = []
    for sim, start in enumerate(starts):
        found = list(references(frames[sim], times, medium))
        for name, own, _ in runs(case, job.learn, job.seed):
            if own == sim:
                march, hybrid = marched[name], mixed[name]
                assert isinstance(march, March)
                assert isinstance(hybrid, Hybrid)
                found += networks(march, hybrid.eval(), frames[sim, 0], interval)
        scores[start] = {}
        for one in found:
            scores[start].setdefault(one.method, []).append(score(frames[sim], one, medium, interval))
        shown.append(list({one.method: one for one in reversed(found)}.values())[::-1])
    _write_fields(output / "fields.zarr", source, frames, shown, scores, clock, job)

    largest = stable_dt(2, medium)
    costs = {
        "solver": min(_seconds(lambda: _march(frames[0], times, medium, largest)) for _ in range(3)),
        "solver_mse": float(frame_mse(frames[0], _march(frames[0], times, medium, largest), 2).mean()),
        "march": [run["cpu"] for run in cards["march"]["runs"].values()],
        "stepper": [run["cpu"] for run in cards["stepper"]["runs"].values()],
        "rollout": [score["seconds"] for score in scores[starts[0]]["recurrent"]],
    }
    obeyed = laws(frames[0, 0].clip(0, 1), case.until, medium) if job.benchmark == "grain_shrink_64" else {}
    found_claims, notes = claims(job.benchmark, scores[starts[0]], costs, obeyed)
    seeds = job.learn.seeds
    return {
        "title": job.title,
        "question": (
            f"Can networks follow {'these grains' if len(starts) > 1 else 'this grain'} over {case.frames} intervals "
            f"from the equation and the first frame alone{_shown(job)}? "
            f"{seeds} training{'s' if seeds > 1 else ''} each, {case.cells}² cells, interfaces {case.eta:g} cells wide."
        ),
        "answer": answer(scores),
        "headline": headline(job.benchmark, scores[starts[0]], costs),
        "tables": tables(scores, costs, case, cards),
        "claims": found_claims,
        "claim_notes": notes,
        "metrics": {
            "starts": starts,
            "times": times.tolist(),
            "scores": scores,
            "truth": {
                start: {name: source[name][sim].values.tolist() for name in COMPARED}
                for sim, start in enumerate(starts)
            },
            "costs": costs,
            "laws": obeyed,
            "march": _parts(cards["march"], "residual", "iterations", "loss"),
            "stepper": _parts(cards["stepper"], "curve", "gamma"),
        },
        "provenance": [
            store.provenance(source),
            *(card["provenance"] for card in cards.values()),
            *shipped(cards["stepper"]["runs"]),
            clock.record(f"evaluate {job.benchmark}", job.model_dump(), threads=threads),
        ],
    }  # fmt: skip


def _march(truth: NDArray[Any], times: NDArray[Any], medium: Medium, dt: float) -> NDArray[Any]:
    """The explicit solver's frames."""
    return integrate(truth[0].clip(0, 1), times, medium, dt=dt).frames


def _seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _parts(card: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {name: {key: run[key] for key in keys} for name, run in card["runs"].items()}


def _shown(job: UnsupervisedJob) -> str:
    share = job.learn.supervised
    return f", with the first {share:.0%} of the frames shown" if share else ""


def _write_fields(
    path: Path, source: xr.Dataset, truth: NDArray[Any], shown: list[list[Prediction]],
    scores: dict[str, dict[str, list[dict[str, Any]]]], clock: Clock, job: UnsupervisedJob,
) -> None:  # fmt: skip
    """The truth and one prediction of each method, of the first seed, with their diagnostics."""
    methods = tuple(one.method for one in shown[0])
    coords = xr.Dataset(
        coords={
            **{name: source[name] for name in ("time", "sim", "x", "y", "start")},
            "method": store.flags(methods, methods, "method", "method", [one.role for one in shown[0]]),
        }
    )
    variables = {
        "truth": store.Variable(("sim", "time", "x", "y"), "1", "phase field"),
        "prediction": store.Variable(("sim", "method", "time", "x", "y"), "1", "phase field by method, first seed"),
        "mse": store.Variable(("sim", "method", "time"), "1", "mean square error", dtype="float64"),
        "interface_displacement": store.Variable(
            ("sim", "method", "time"), "1", "rms distance of interfaces", "float64"
        ),
    }
    for name, (_, words) in DIAGNOSTICS.items():
        variables[name] = store.Variable(("sim", "method", "time"), "1", words, "float64")
        variables[f"{name}_truth"] = store.Variable(("sim", "time"), "1", f"{words} of the truth", "float64")
    attrs = {name: source.attrs[name] for name in ("equation", "eta", "mu", "sigma", "dg", "dx", "interval")}
    with store.create(path, coords, variables, {"title": f"{job.title}: predictions", **attrs}) as writer:
        for sim, (found, scored) in enumerate(zip(shown, scores.values(), strict=True)):
            frames = np.stack([one.frames for one in found])
            curves = {}
            for name, (key, _) in DIAGNOSTICS.items():
                curves[name] = np.array([scored[method][0][key] for method in methods], np.float64)
                curves[f"{name}_truth"] = source[key][sim].values
            apart = [
                [interface_displacement(*pair, source.attrs["dx"]) for pair in zip(truth[sim], one, strict=True)]
                for one in frames
            ]
            writer.write(
                sim, truth=truth[sim], prediction=frames, mse=((frames - truth[sim]) ** 2).mean(axis=(-2, -1)),
                interface_displacement=apart, **curves,
            )  # fmt: skip
        writer.provenance = clock.record("fields", job.model_dump())
