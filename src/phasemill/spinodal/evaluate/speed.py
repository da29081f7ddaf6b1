"""Error against cost: solvers and networks through the same evolutions, on one core and in one run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.spinodal.config.speed import SpeedJob
from phasemill.spinodal.datasets.mixtures import describe, solver_medium, space
from phasemill.spinodal.evaluate import speed_pieces as pieces
from phasemill.spinodal.evaluate import speed_rows as rows
from phasemill.spinodal.evaluate.speed_rows import Course, Method, Row
from phasemill.spinodal.evaluate.speed_tables import (
    FEATURES,
    GUESS,
    PUBLISHED,
    STRIDE,
    Costs,
    Gains,
    answer,
    bars,
    claims,
    headline,
    ratios,
    tables,
)
from phasemill.spinodal.library import Surrogate, load_model
from phasemill.spinodal.solver import DT

log = logging.getLogger("phasemill")

TRAINED = {
    "recurrent": "network, trained here", "fno": "FNO", "unet": "U-Net", "stride": "network, large stride, trained here"
}  # fmt: skip
"""Families of the models of trainings, by their kind."""
HORIZONS = ("early", "long")
BRIDGE = 0.1
"""Tolerance of the RKL2 that takes a network of large strides to the time from which it can go on."""


def speed(
    job: SpeedJob, data: Path, output: Path, *, models: list[Path] | None = None, threads: int = 1, device: str = "auto"
) -> dict[str, Any]:
    """Race all methods from held-out boxes over two horizons and score them against RKL2 with a small tolerance."""
    torch.set_num_threads(1)
    pieces.keep_pages()
    clock, settings, medium = Clock(), job.speed, solver_medium(job.medium)
    source = store.open_dataset(data)
    chosen = np.argsort(source["start"].values, kind="stable")[: settings.boxes]
    starts = [source["phi"][sim, 0].values.astype(np.float64) for sim in chosen]
    now = [float(source["start"][sim]) for sim in chosen]

    early, long, repeats = settings.early, settings.long, settings.timing.repeats
    tail = (medium, job.medium.factor, job.medium.interval, threads)
    first = Course.of(starts, now, early.marks, early.truth, *tail)
    second = Course.of(
        list(first.truth[:, early.marks.index(long.start)]), [time + long.start for time in now],
        [mark - long.start for mark in long.marks], long.truth, *tail,
    )  # fmt: skip
    log.info("speed: truth of %d boxes until t = %g", len(starts), long.marks[-1])

    classical = rows.solvers(early, medium, job.medium.factor)
    bridge = rows.rkl2("RKL2", BRIDGE, medium, "float32")
    contestants = _networks(job, models or [], bridge)
    strides = load_model(settings.networks.stride)
    contestants.append(rows.guess(GUESS, strides, begin=long.start, solver=bridge))
    early_rows = rows.race([*classical, *contestants], first, repeats, threads)
    log.info("speed: early horizon done")
    runners = [method for method in contestants if method.family in (STRIDE, TRAINED["stride"], GUESS)]
    if long.small_strides:  # a thousand steps of tau a box
        runners += [replace(method, everywhere=False) for method in contestants if method.family == FEATURES]
    rivals = rows.solvers(long, medium, job.medium.factor)
    long_rows = rows.race([*rivals, *runners], second, repeats, threads)
    log.info("speed: long horizon done")
    kernel = pieces.explicit_steps(starts[0], medium, settings.timing)
    early_rows += _rolled(early_rows, kernel, starts[0].size, job.medium.interval)
    gains = _gains(job, starts[0], now[0], 1e-9 * kernel["float64"]["compiled"] * starts[0].size)
    log.info("speed: gain of RKL2 done")
    training = pieces.training_steps(first.decimated[0], settings.timing)
    gpu: list[Row] = []
    if device != "cpu" and torch.cuda.is_available():
        gpu = rows.race([*rows.on_gpu(early, medium), *_networks(job, [], bridge, device="cuda")], first, repeats)
    costs = Costs(early_rows, long_rows, gpu, kernel, gains, training)
    truths = np.stack([course.decimated[:, -1] for course in (first, second)], axis=1)
    _write_fields(output / "fields.zarr", job, chosen, truths, {"early": early_rows, "long": long_rows}, clock)
    found, notes = claims(costs)
    used = [load_model(name).card for name in (*settings.networks.model_dump().values(), *(models or []))]
    return {
        "title": "Error against cost",
        "question": (
            f"What does an evolution cost on one core, and how wrong is it? From {len(starts)} held-out "
            f"{'box' if len(starts) == 1 else 'boxes'} of {starts[0].shape[0]}^3 cells, solvers and networks run to "
            f"t = {early.marks[-1]:g}, and from t = {long.start:g} to {long.marks[-1]:g}. One box is timed; errors are "
            f"taken on all, on the networks' grid, against RKL2 at tolerance {early.truth:g} and {long.truth:g}; "
            f"tau is {job.medium.interval:g}."
        ),
        "answer": answer(costs),
        "headline": headline(costs, settings.energy_error),
        "tables": tables(costs, job),
        "claims": found,
        "claim_notes": notes,
        "metrics": {
            "tau": job.medium.interval,
            "early": [_entry(row) for row in early_rows],
            "long": [_entry(row) for row in long_rows],
            "gpu": [_entry(row) for row in gpu],
            "span": {"early": [0.0, early.marks[-1]], "long": [long.start, long.marks[-1]]},
            "explicit_step": kernel,
            "gains": {"rkl2": gains.early, "rkl2_late": gains.late, "seconds": gains.seconds},
            "training_step": {str(batch): seconds for batch, seconds in training.items()},
            "ratios": ratios(costs),
            "bars": [{**bar._asdict(), "met": bar.met} for bar in bars(costs, settings.energy_error)],
        },
        "provenance": [
            store.provenance(source),
            *(card["provenance"] for card in used),
            clock.record("evaluate spinodal_speed", job.model_dump(), threads=threads, device="cuda" if gpu else "cpu"),
        ],
    }  # fmt: skip


def _networks(job: SpeedJob, models: Sequence[Path], bridge: Method, device: str = "cpu") -> list[Method]:
    """The shipped networks, and those of trainings; only networks of a fixed stride run on a GPU."""
    shipped = job.speed.networks
    loaded: list[tuple[str, Surrogate]] = [
        (family, load_model(name))
        for family, name in ((PUBLISHED, shipped.published), (FEATURES, shipped.features), (STRIDE, shipped.stride))
    ]
    for path in models:
        model = load_model(path)
        loaded.append((TRAINED.get(model.card["kind"], model.card["kind"]), model))
    begin = job.speed.long.start
    return [
        rows.network(family, model, begin=begin, solver=bridge, device=device)
        for family, model in loaded
        if device == "cpu" or model.card["kind"] != "stride"
    ]


def _rolled(first: Sequence[Row], kernel: dict[str, dict[str, float]], cells: int, interval: float) -> list[Row]:
    """Numpy's rolls, timed on some steps: their result is that of the compiled kernel at the same dt."""
    found = []
    for row in first:
        if row.method.family == "explicit Euler" and row.method.value == DT:
            seconds = 1e-9 * kernel[row.method.precision]["numpy"] * cells * interval / DT
            found.append(replace(row, method=replace(row.method, family="numpy roll"), seconds=seconds))
    return found


def _gains(job: SpeedJob, start: NDArray[Any], now: float, euler_step: float) -> Gains:
    """RKL2 from the first frame of one box beside explicit Euler at the paper's dt, whose steps all cost the same.

    Both in float64; euler_step: its CPU seconds.
    """
    wanted, medium = job.speed.gain, solver_medium(job.medium)
    seconds = {"euler": euler_step * wanted.until / DT, "euler_late": euler_step * wanted.late_until / DT}
    for name, tolerance, until in (
        ("rkl2", wanted.tolerance, wanted.until),
        ("rkl2_late", wanted.late_tolerance, wanted.late_until),
    ):
        seconds[name] = rows.march(rows.rkl2("", tolerance, medium), start, now, [until])[1]
    return Gains(wanted.until, wanted.late_until, seconds)


def _entry(row: Row) -> dict[str, Any]:
    """A row of metrics.json."""
    method = row.method
    return {
        "family": method.family,
        "setting": method.setting,
        "precision": method.precision,
        "seconds_per_tau": row.seconds,
        "boxes": len(row.frames),
        "rmse": row.rmse,
        "rmse_worst": row.rmse_worst,
        "energy_error": row.energy_error,
        "energy_error_mean": row.energy_error_mean,
        "coarse_energy_error": row.coarse_energy_error,
    }


def _write_fields(
    path: Path, job: SpeedJob, chosen: NDArray[Any], truths: NDArray[Any], runs: dict[str, list[Row]], clock: Clock
) -> None:
    """The last field of every run beside the truth, on the networks' grid, with its cost and errors."""
    medium, entries = job.medium, [(horizon, row) for horizon, found in runs.items() for row in found]
    families = tuple(dict.fromkeys(_slug(row) for _, row in entries))

    def along(values: Any, dim: str, long_name: str) -> xr.DataArray:
        return xr.DataArray(np.array(values, float), dims=(dim,), attrs={"units": "1", "long_name": long_name})

    coords = xr.Dataset(
        coords={
            "sim": along(chosen, "sim", "simulation of the held-out data set"),
            "span": store.flags(HORIZONS, HORIZONS, "span", "horizon"),
            "run": along(range(len(entries)), "run", "number of the run"),
            "horizon": store.flags([horizon for horizon, _ in entries], HORIZONS, "run", "horizon of the run"),
            "method": store.flags([_slug(row) for _, row in entries], families, "run", "method"),
            "seconds": along([row.seconds for _, row in entries], "run", "CPU seconds per tau"),
            "rmse": along([row.rmse for _, row in entries], "run", "root mean square error over all marks"),
            "energy_error": along(
                [row.energy_error for _, row in entries], "run", "largest relative error of F, of up-sampled fields"
            ),
            **space(truths.shape[-1], medium.dx * medium.factor),
        }
    )
    variables = {
        "truth": store.Variable(("sim", "span", "x", "y", "z"), "1", "concentration at the end, every n-th cell"),
        "prediction": store.Variable(("sim", "run", "x", "y", "z"), "1", "concentration at the end; nan where not run"),
    }
    attrs = describe(medium, title="Last fields of solvers and networks", tolerance=job.speed.early.truth)
    with store.create(path, coords, variables, attrs) as writer:
        for sim, truth in enumerate(truths):
            ends = [
                row.frames[sim, -1] if sim < len(row.frames) else np.full_like(truth[0], np.nan) for _, row in entries
            ]
            writer.write(sim, truth=truth, prediction=np.stack(ends))
        writer.provenance = clock.record("fields", job.model_dump())


def _slug(row: Row) -> str:
    """A word for a flag: family, setting and precision."""
    parts = (row.method.family, row.method.setting, row.method.precision)
    return "_".join(" ".join(parts).replace(",", "").split())
