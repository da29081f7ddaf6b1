"""GRU against LSTM at equal cost, on the first benchmark."""

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
from phasemill.grains.config.cells import CellsJob
from phasemill.grains.datasets.cases import load, medium_of
from phasemill.grains.evaluate.predictions import Prediction, score
from phasemill.grains.network import Stepper, advance
from phasemill.grains.train.cells import networks, plan
from phasemill.grains.train.march import interval_of
from phasemill.grains.train.stepper import scored_rollout

WORDS = {"gru": "GRU", "lstm": "LSTM"}
KEPT = ("mse", "mse_worst", "radius_error", "residual", "roughness")

Scores = dict[str, list[dict[str, Any]]]


def cells(job: CellsJob, data: Path, output: Path, *, models: list[Path], threads: int = 1) -> dict[str, Any]:
    """Roll all networks out and compare them at the CPU seconds that they were given."""
    torch.set_num_threads(threads)
    clock, case, settings = Clock(), job.shrink_64, job.cells
    source, trained = store.open_dataset(data), networks(job.cells)
    card, truth = load_model(models[0], trained), load(source)[0]
    scores: Scores = {}
    shown: dict[str, NDArray[Any]] = {}
    for name, arm, number in plan(settings):
        network = trained[name].eval()
        assert isinstance(network, Stepper)
        begun = time.process_time()
        with torch.no_grad():
            frames, _ = scored_rollout(network, torch.from_numpy(truth[0]), case.frames, interval_of(case))
        seconds = time.process_time() - begun
        found = score(truth, Prediction(arm.name, frames.numpy()), medium_of(case), interval_of(case))
        run = card["runs"][name]
        own = {key: found[key] for key in KEPT} | {key: run[key] for key in ("steps", "cpu", "curve")}
        reached = [row["cpu"] for row in run["curve"] if row["mse"] <= settings.reached]
        scores.setdefault(arm.name, []).append(own | {"rollout": seconds, "reached": min(reached, default=None)})
        if number == 0:
            shown[arm.name] = frames.numpy()
    costs = _costs(job, truth)
    spent = {arm.name: arm.steps * costs[arm.name] for arm in settings.arms}
    share = {name: value / float(np.mean(list(spent.values()))) for name, value in spent.items()}
    _write_fields(output / "fields.zarr", source, truth, shown, clock, job)
    best = {cell: _best(scores, cell) for cell in WORDS if any(name.startswith(cell) for name in scores)}
    return {
        "title": "Recurrent cells",
        "question": "Which recurrent cell follows the shrinking grain better when both are trained at equal cost?",
        "answer": _answer(scores, best, share),
        "headline": [
            {
                "label": f"MSE, {WORDS[cell]}", "value": _median(scores[name], "mse"), "claim": "",
                "note": f"{name.split('_')[1]} channels, median of {settings.seeds}",
            }
            for cell, name in best.items()
        ],
        "tables": [_table(scores, share, job)],
        "claims": {},
        "metrics": {"scores": scores, "costs": costs, "share": share, "reached": settings.reached},
        "provenance": [
            store.provenance(source),
            card["provenance"],
            clock.record("evaluate grains_cells", job.model_dump(), threads=threads),
        ],
    }  # fmt: skip


def _best(scores: Scores, cell: str) -> str:
    return min((name for name in scores if name.startswith(f"{cell}_")), key=lambda name: _median(scores[name], "mse"))


def _median(runs: list[dict[str, Any]], key: str) -> float:
    return float(np.median([run[key] for run in runs]))


def _costs(job: CellsJob, truth: NDArray[Any]) -> dict[str, float]:
    """CPU seconds of a loss and its gradient over a window, medians; the arms take turns."""
    settings, interval = job.recurrent, interval_of(job.shrink_64)
    networks = {arm.name: Stepper(arm.cell, arm.channels) for arm in job.cells.arms}
    taken: dict[str, list[float]] = {name: [] for name in networks}
    start = torch.from_numpy(truth[: settings.batch])
    for _ in range(job.cells.repeats):
        for name, network in networks.items():
            begun, phi, state, loss = time.process_time(), start, network.at_rest(start), torch.zeros(())
            for _ in range(settings.window):
                force = interval.pinned_force(phi)
                g, state = network(phi, force, state)
                found = advance(phi, g)
                loss = loss + interval.energy(found, phi + force / 2).mean()
                phi = found.detach()
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            taken[name].append(time.process_time() - begun)
    return {name: float(np.median(column)) for name, column in taken.items()}


def _words(name: str) -> str:
    cell, channels = name.split("_")
    return f"{WORDS[cell]}, {channels} channels"


def _answer(scores: Scores, best: dict[str, str], share: dict[str, float]) -> str:
    """Which is ahead, and whether the seeds leave any doubt."""
    first, *others = sorted(best.values(), key=lambda name: _median(scores[name], "mse"))
    sentence = f"{_words(first)}: mean square error {_median(scores[first], 'mse'):.2g}"
    for other in others:
        sentence += (
            f"; {_words(other)}: {_median(scores[other], 'mse'):.2g} for {share[other] / share[first]:.2f} times the "
            "cost"
        )
        spans = [[run["mse"] for run in scores[name]] for name in (first, other)]
        if len(spans[0]) > 1:
            apart = max(spans[0]) < min(spans[1])
            sentence += ", and no seed of either is among those of the other" if apart else ", but their seeds overlap"
        else:
            sentence += ", one training each"
    return f"{sentence}."


def _table(scores: Scores, share: dict[str, float], job: CellsJob) -> dict[str, Any]:
    rows = []
    for arm in job.cells.arms:
        runs = scores[arm.name]
        reached = [run["reached"] for run in runs if run["reached"] is not None]
        rows.append(
            [
                WORDS[arm.cell], arm.channels, sum(p.numel() for p in Stepper(arm.cell, arm.channels).parameters()),
                arm.steps, share[arm.name], _median(runs, "cpu"), _median(runs, "mse"), max(run["mse"] for run in runs),
                _median(runs, "radius_error"), float(np.median(reached)) if len(reached) == len(runs) else None,
            ]
        )  # fmt: skip
    return {
        "title": "Cells",
        "columns": [
            "cell", "channels", "parameters", "steps", "cost", "CPU seconds", "MSE", "worst seed", "error of R_v",
            f"seconds to {job.cells.reached:g}",
        ],
        "rows": rows,
        "note": (
            "Cost: CPU time of a loss and its gradient, measured for all cells in turn, times the steps, over the mean "
            "of all; the steps are chosen for it to be near 1. CPU seconds: of the trainings as they were, beside "
            "whatever else ran. Last column: until a roll-out on the way first had that mean square error, where all "
            "trainings did. Medians of the seeds. The truth selects nothing."
        ),
    }  # fmt: skip


def _write_fields(
    path: Path, source: xr.Dataset, truth: NDArray[Any], shown: dict[str, NDArray[Any]], clock: Clock, job: CellsJob
) -> None:
    """The truth and the roll-out of each arm, first seed."""
    arms = tuple(shown)
    coords = xr.Dataset(
        coords={
            **{name: source[name] for name in ("time", "x", "y")},
            "sim": source["sim"][:1],
            "arm": store.flags(arms, arms, "arm", "cell and channels"),
        }
    )
    variables = {
        "truth": store.Variable(("sim", "time", "x", "y"), "1", "phase field"),
        "prediction": store.Variable(("sim", "arm", "time", "x", "y"), "1", "phase field, first seed"),
    }
    attrs = {name: source.attrs[name] for name in ("equation", "eta", "mu", "sigma", "dg", "dx", "interval")}
    with store.create(path, coords, variables, {"title": "Recurrent cells: predictions", **attrs}) as writer:
        writer.write(0, truth=truth, prediction=np.stack(list(shown.values())))
        writer.provenance = clock.record("fields", job.model_dump())
