"""The paper's comparison: one problem, trained with every weighting and every seed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.metrics import relative_l2
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch, children
from phasemill.pinns import dataset
from phasemill.pinns.config.compared import AllenCahnJob, BurgersJob, PoissonJob
from phasemill.pinns.config.runs import Row, problem_of
from phasemill.pinns.evaluate import rest, tables
from phasemill.pinns.evaluate.claims import claims
from phasemill.pinns.evaluate.recipes import classical, recipes, table
from phasemill.pinns.evaluate.selection import RULES, Trained, check_origin, read
from phasemill.pinns.protocol import Protocol
from phasemill.pinns.reference import Reference
from phasemill.pinns.terms import Term
from phasemill.pinns.train.runs import Run

RunsJob = BurgersJob | PoissonJob | AllenCahnJob
Rows = dict[str, list[Trained]]

REGIONS: dict[str, tuple[str, Callable[[NDArray[Any]], NDArray[np.bool_]]]] = {
    "burgers": ("t <= 0.4", lambda at: at[:, 0] <= 0.4),
    "poisson": ("within 0.1 of an edge", lambda at: np.minimum(at, 1 - at).min(axis=1) <= 0.1),
    "allen_cahn": ("t >= 0.5", lambda at: at[:, 0] >= 0.5),
}
"""Of which the paper speaks: weighting helps Burgers early and Poisson near edges; Allen-Cahn stays hard late."""


def evaluate(
    job: RunsJob, data: Path, output: Path, *, models: list[Path], model: Path | None = None, threads: int = 1
) -> dict[str, Any]:
    """Errors by four rules of selection, losses, weights, balance of the gradients, cost; and recipes (`model`)."""
    torch.set_num_threads(threads)
    clock, (name, settings), compared = Clock(), problem_of(job), job.compared
    source = dataset.open_truth(data, name)
    problem = Protocol(dataset.equation(source, settings.bounds), settings)
    rows, cards = read(models, f"{name}_runs")
    for path, its in zip(models, cards, strict=True):
        check_origin(path, its, name, settings, data)
    reference = dataset.load(source, problem.equation)
    terms = ["pde", *(["ic"] if settings.initial else []), "bc"]
    scores = {row: _scores(trainings, terms, compared.reached) for row, trainings in rows.items()}
    regions = {row: _regions(trainings, problem, reference) for row, trainings in rows.items()}
    costs = _costs(problem, [row for row in settings.rows if row.name in rows], compared.timed)
    shown = [row for row in compared.shown if row in rows]
    drawn = {row: _drawn(rows[row][0], problem, job.seed) for row in shown}
    histograms = {row: _histograms(rows[row][0], problem, drawn[row], compared.bins) for row in shown}
    resting = {row: rest.rests(rows[row][0], problem, drawn[row]) for row in shown}
    fields = {row: _field(rows[row][0], problem, reference) for row in shown}
    _write_fields(output / "fields.zarr", source, reference, problem, fields, clock, job)
    followed, others = recipes(model, name, job.recipes, data) if model else ({}, [])
    solvers = classical(problem.equation, reference, job.recipes.allen_cahn if name == "allen_cahn" else ())
    wanted = [one.name for one in getattr(job.recipes, name) if one.judged]
    lowest = [float(np.median(followed[recipe]["error"])) for recipe in wanted if recipe in followed]
    found = claims(name, rows, costs, compared) | {f"pinns.{name}.recipe": min(lowest, default=None)}
    return {
        "title": f"{problem.equation.title}: weights of the loss terms",
        "question": "Which error does each weighting leave, and what does it do to the terms of the loss?",
        "answer": tables.answer(name, rows, costs),
        "headline": tables.headline(name, rows, found),
        "tables": [
            tables.errors(name, scores, settings),
            *([table(followed, solvers, wanted)] if model else []),
            tables.terms(scores, settings),
            rest.table(resting),
            tables.regions(regions, REGIONS[name][0]),
            tables.epochs(scores, settings, compared.reached),
            tables.overhead(costs, settings),
        ],
        "claims": found,
        "metrics": {
            "spec": job.model_dump(),
            "scores": scores,
            "regions": regions,
            "costs": costs,
            "curves": {row: [_curve(one) for one in trainings] for row, trainings in rows.items()},
            "histograms": histograms,
            "resting": resting,
            "region": REGIONS[name][0],
            "recipes": followed,
            "classical": solvers,
        },
        "provenance": [
            store.provenance(source),
            *(its["provenance"] for its in [*cards, *others]),
            clock.record(f"evaluate {name}", job.model_dump(), threads=threads),
        ],
    }


def _scores(trainings: list[Trained], terms: list[str], reached: float) -> dict[str, Any]:
    """What the tables and figures need of a row; lists are over the seeds."""
    found: dict[str, Any] = {
        "seeds": [one.seed for one in trainings],
        "error": {rule: [one.error(rule) for one in trainings] for rule in RULES},
        "reached": [one.first_below(reached) for one in trainings],
        "seconds": [one.last("seconds") for one in trainings],
    }
    for term in terms:
        found[term] = {
            "loss": [one.settled(f"now_{term}") for one in trainings],
            "weight": [one.last(f"weight_{term}") for one in trainings],
            "balance": [one.balance(term) for one in trainings],
            "std_ratio": [
                one.last(f"weight_{term}") * one.last(f"std_{term}") / one.last("weight_pde") / one.last("std_pde")
                for one in trainings
            ],
            "cosine": [one.last(f"cosine_{term}") for one in trainings],
        }
    return found


def _regions(trainings: list[Trained], problem: Protocol, reference: Reference) -> dict[str, list[float]]:
    """Relative L2 error inside and outside of the region, for each seed's last parameters."""
    inside = REGIONS[problem.name][1](reference.points)
    truth = reference.u.ravel()
    found: dict[str, list[float]] = {"inside": [], "outside": []}
    for one in trainings:
        field = problem.values(reference.points).field(one.theta, 1)[0]
        for where, mask in (("inside", inside), ("outside", ~inside)):
            found[where].append(relative_l2(truth[mask], field[mask]))
    return found


def _costs(problem: Protocol, rows: list[Row], turns: int) -> dict[str, dict[str, float]]:
    """CPU seconds of an epoch for each row, and over the unweighted one's; the rows take turns.

    Medians over the turns of tau epochs each, since the weights move in one of them.
    """
    seed = branch(0, "cost", 1)[0]
    runs = {row.name: Run(problem, row, seed, torch.device("cpu")) for row in rows}
    lengths = {row.name: row.tau if row.scheme != "fixed" else 10 for row in rows}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(1 + turns):
        for name, run in runs.items():
            begun = time.process_time()
            for index in range(lengths[name]):
                run.epoch(turn * lengths[name] + index)
            if turn:  # the first one warms up
                taken[name].append((time.process_time() - begun) / lengths[name])
    plain = np.array(taken["fixed"]) if "fixed" in taken else None
    return {
        name: {
            "seconds": float(np.median(column)),
            "ratio": float(np.median(np.array(column) / plain)) if plain is not None else float("nan"),
        }
        for name, column in taken.items()
    }


def _drawn(one: Trained, problem: Protocol, root: int) -> dict[str, Term]:
    """The terms of a training at its own points."""
    seed = branch(root, f"{problem.name}_runs", problem.settings.seeds)[one.seed]
    return problem.terms(np.random.default_rng(children(seed, 3)[0]))


def _histograms(one: Trained, problem: Protocol, terms: dict[str, Term], bins: int) -> dict[str, Any]:
    """Counts of the entries of each weighted gradient at the end, over equal bins of a common symmetric range."""
    gradients = {}
    for name, term in terms.items():
        _, gradient, _ = term.loss_and_gradient(one.theta)
        gradients[name] = gradient[problem.counted] * one.last(f"weight_{name}")
    widest = 3 * max(float(gradient.std()) for gradient in gradients.values())
    edges = np.linspace(-widest, widest, bins + 1)
    counts = {name: np.histogram(gradient, edges)[0].tolist() for name, gradient in gradients.items()}
    return {"edges": edges.tolist(), "counts": counts}


def _field(one: Trained, problem: Protocol, reference: Reference) -> NDArray[Any]:
    found: NDArray[Any] = problem.values(reference.points).field(one.theta, 1)[0].reshape(reference.u.shape)
    return found


def _curve(one: Trained) -> dict[str, list[float]]:
    """The history of a training for figures."""
    kept = [name for name in one.history if name not in ("lr", "seconds", "cpu", "loss")]
    return {name: one.history[name].tolist() for name in kept}


def _write_fields(
    path: Path, source: Any, reference: Reference, problem: Protocol, fields: dict[str, NDArray[Any]],
    clock: Clock, job: RunsJob,
) -> None:  # fmt: skip
    """The reference and the field of each shown row, first seed, last parameters."""
    dims = tuple(dim for dim in source["u"].dims if dim != "sim")
    axes = dict(zip(dims, (reference.first, reference.second), strict=True))
    labels, picked = tuple(fields), source.sel(axes, method="nearest")
    coords = xr.Dataset(
        coords={
            **{dim: picked[dim] for dim in dims},
            "sim": source["sim"][-1:],
            "row": store.flags(labels, labels, "row", "weighting"),
        }
    )
    variables = {
        "truth": store.Variable(("sim", *dims), "1", "reference solution"),
        "prediction": store.Variable(("sim", "row", *dims), "1", "network, first seed, last parameters"),
    }
    attrs = {"title": f"{problem.equation.title}: networks", "equation": problem.equation.formula}
    with store.create(path, coords, variables, attrs) as writer:
        writer.write(0, truth=reference.u, prediction=np.stack(list(fields.values())))
        writer.provenance = clock.record("fields", job.model_dump())
