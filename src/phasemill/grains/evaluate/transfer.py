"""Transfer stages: networks from scratch beside those that begin with a parent's weights.

All scores stand in the stages' model files: their trainings have compared roll-outs with the truth now and then, each
on its own data set. The first stage's networks are rolled out again here, for the fields.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.core.model_files import load_model
from phasemill.core.provenance import Clock
from phasemill.grains.config.transfer import ROUTES, StageName, TransferJob
from phasemill.grains.datasets.cases import load
from phasemill.grains.evaluate.transfer_tables import (
    Card,
    Found,
    beyond,
    claims,
    groups,
    middle,
    speedup,
    tables,
)
from phasemill.grains.network import Stepper
from phasemill.grains.train.march import frames_of, interval_of
from phasemill.grains.train.stepper import scored_rollout
from phasemill.grains.train.transfer import networks, plan


def transfer(job: TransferJob, data: Path, output: Path, *, models: list[Path], threads: int = 1) -> dict[str, Any]:
    """Steps to a given error by stage and start, and fields of the first stage.

    Arguments
    ---------
    data: of the first stage's benchmark.
    models: files of the stages, in the order of `transfer.stages`.
    """
    clock, names = Clock(), job.transfer.stages
    if len(models) != len(names):
        raise InputError(f"grains_transfer has the stages {', '.join(names)}: give as many --models, in this order")
    stages = {name: job.of(name).settings for name in names}
    trained = {name: networks(job.of(name)).eval() for name in names}
    cards: dict[StageName, Card] = {
        name: load_model(path, trained[name]) for name, path in zip(names, models, strict=True)
    }
    found = {name: groups(stages[name], cards[name], job.transfer) for name in names}
    source = store.open_dataset(data)
    _write_fields(output / "fields.zarr", source, job, trained[names[0]], clock)
    values, notes = claims(stages, found, cards)
    return {
        "title": "Transfer between benchmarks",
        "question": (
            f"Do networks that have learned one benchmark learn the next one faster? {_listed(job)} Both ways have "
            "equal steps and learning rates; the truth scores the roll-outs only, but for the arms to which the first "
            "frames are shown."
        ),
        "answer": _answer(job, found),
        "headline": _headline(job, found),
        "tables": tables(stages, found, job.transfer),
        "claims": values,
        "claim_notes": notes,
        "metrics": {
            "reached": job.transfer.reached,
            "stages": {name: _metrics(job, name, cards[name]) for name in names},
            "medians": {
                name: {
                    f"{origin} {supervised:g}": {key: _finite(middle(one)) for key, one in group.items()}
                    for (origin, supervised), group in found[name].items()
                }
                for name in names
            },
        },
        "provenance": [
            store.provenance(source),
            *(card["provenance"] for card in cards.values()),
            clock.record("evaluate grains_transfer", job.model_dump(), threads=threads),
        ],
    }


def _listed(job: TransferJob) -> str:
    told = []
    for name in job.transfer.stages:
        seeds = job.of(name).settings.seeds
        told.append(f"{ROUTES[name].words} ({seeds} seed{'s' if seeds > 1 else ''})")
    return f"Stages: {'; '.join(told)}."


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _answer(job: TransferJob, found: Found) -> str:
    """The stage by stage comparison without data, in one sentence."""
    parts = []
    for name in job.transfer.stages:
        settings = job.of(name).settings
        shown = min(settings.supervised)
        told = []
        for origin in ("scratch", "whole"):
            if (origin, shown) in found[name]:
                steps = middle(found[name][origin, shown]["steps"])
                did = f"{steps:g} steps" if math.isfinite(steps) else f"more than {settings.steps} steps"
                told.append(f"{did} {'from scratch' if origin == 'scratch' else 'with both networks transferred'}")
        parts.append(f"{ROUTES[name].words}, {' and '.join(told)}")
    return f"To a mean square error of {job.transfer.reached:g} the recurrent network takes: {'; '.join(parts)}."


def _headline(job: TransferJob, found: Found) -> list[dict[str, Any]]:
    """The gain in steps of each stage."""
    lines = []
    for name in job.transfer.stages:
        settings = job.of(name).settings
        shown = min(settings.supervised)
        value = speedup(found[name], settings, "whole", shown)
        note, claim = "steps from scratch over steps with transfer", ""
        if value is not None and name == "narrow":
            claim = "grains.grains_transfer.narrow"
        if value is not None and math.isinf(value):
            moved = max(middle(found[name]["whole", shown]["steps"]), settings.every)
            value, note, claim = settings.steps / moved, "at least: from scratch never reached", ""
        lines.append({"label": ROUTES[name].words, "value": value, "note": note, "claim": claim})
    return lines


def _metrics(job: TransferJob, name: StageName, card: Card) -> dict[str, Any]:
    settings = job.of(name).settings
    return {
        "words": ROUTES[name].words,
        "hidden_from": beyond(settings, card),
        "still": card["still"]["mse_by_frame"],
        "runs": [
            {
                "origin": arm.origin,
                "supervised": arm.supervised,
                "seed": arm.seed,
                "march": arm.march,
                **{key: card["runs"][arm.name][key] for key in ("curve", "mse", "mse_by_frame", "residual")},
            }
            for arm in plan(settings)
        ],
        "marches": {
            march: {key: run[key] for key in ("iterations", "residual", "cpu", "mse", "mse_by_frame")}
            for march, run in card["marches"].items()
        },
    }


def _write_fields(path: Path, source: xr.Dataset, job: TransferJob, trained: torch.nn.ModuleDict, clock: Clock) -> None:
    """Truth, march and roll-outs of each kind, first seed and least share shown, of the first stage."""
    stage = job.of(job.transfer.stages[0])
    truth = load(source)[0]
    predicted: dict[str, NDArray[Any]] = {}
    for arm in plan(stage.settings):
        if arm.seed == 0 and arm.supervised == min(stage.settings.supervised):
            network = trained[arm.name]
            assert isinstance(network, Stepper)
            frames, _ = scored_rollout(network, torch.from_numpy(truth[0]), stage.case.frames, interval_of(stage.case))
            predicted[arm.origin] = frames.numpy()
            predicted.setdefault("march", frames_of(trained[arm.march]))
    kinds = tuple(predicted)
    fields = np.stack(list(predicted.values()))
    coords = xr.Dataset(
        coords={
            **{name: source[name] for name in ("time", "x", "y")},
            "sim": source["sim"][:1],
            "kind": store.flags(kinds, kinds, "kind", "what was transferred"),
        }
    )
    variables = {
        "truth": store.Variable(("sim", "time", "x", "y"), "1", "phase field"),
        "prediction": store.Variable(("sim", "kind", "time", "x", "y"), "1", "phase field after training"),
    }
    attrs = {name: source.attrs[name] for name in ("equation", "eta", "mu", "sigma", "dg", "dx", "interval")}
    title = f"Transfer, {stage.route.words}: the truth, the first march, roll-outs by what was transferred"
    with store.create(path, coords, variables, {"title": title, **attrs}) as writer:
        writer.write(0, truth=truth, prediction=fields)
        writer.provenance = clock.record("fields", job.model_dump())
