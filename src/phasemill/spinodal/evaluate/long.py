"""Networks over whole long evolutions: from the noise to the lamella that is left, thousands of steps.

Truth and roll-out are compared at every stored time on the network's grid, like for like; on the solver's grid errors
stand beside their floors, those of the decimated truth itself. Solvers from the network's own start and at a tighter
tolerance are judged in its place (`long_references`). The truth of all boxes tells where evolutions end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.spinodal import metrics
from phasemill.spinodal.config.long import LongJob, Scaling
from phasemill.spinodal.datasets.mixtures import coarsen, solver_medium
from phasemill.spinodal.evaluate import long_tables
from phasemill.spinodal.evaluate.coarse_energy import interface_energies, lamella_energy, refined_energies
from phasemill.spinodal.evaluate.contest import word
from phasemill.spinodal.evaluate.courses import Course, follow, load_network, networks, reached
from phasemill.spinodal.evaluate.long_claims import ALL, BESIDE
from phasemill.spinodal.evaluate.long_numbers import run_numbers, slice_numbers
from phasemill.spinodal.evaluate.long_references import DECIMATED, TIGHTER, references
from phasemill.spinodal.evaluate.long_slices import SURROUNDINGS, slices
from phasemill.spinodal.evaluate.numbers import finite
from phasemill.spinodal.physics import lattice_interface_energy
from phasemill.spinodal.scaling import Exponent, exponent
from phasemill.spinodal.solver import Rkl2

Floats = NDArray[np.float64]

EXCESS = 0.2
"""Least excess over the lamella, in parts of it, of which an exponent is fitted."""


def long(job: LongJob, data: Path, output: Path, *, threads: int = 1) -> dict[str, Any]:
    """Evaluate the networks on the first boxes of `spinodal_coarsening`, and the truth of all of them."""
    clock = Clock()
    source = store.open_dataset(data)
    models = [load_network(name, job.medium) for name in job.long.models]
    boxes = range(min(job.long.rollouts, source.sizes["sim"]))
    courses: list[Course] = []
    sliced: dict[str, list[Course]] = {around: [] for around in SURROUNDINGS}
    if models:
        stored = source.isel(time=reached(source["time"].values, models))
        courses = [course for model in models for course in follow(model, stored, boxes, job.medium)]
        courses += references(stored, boxes, job.medium, threads)
        sliced = slices(job, models, source, threads)
    medium, factor = solver_medium(job.medium), job.medium.factor
    lamella = lamella_energy(source.sizes["x"], medium, factor)
    interface = interface_energies(medium, factor)
    ends = [end_state(source, sim) for sim in range(source.sizes["sim"])]
    fits = exponents(job, source, courses, lamella)
    _write_fields(job, source, courses, sliced, output / "fields.zarr", clock)
    pace = seconds_per_evaluation(source, job)
    runs = [run_numbers(course, lamella) for course in courses]
    from_slices = [slice_numbers(course, around) for around, beside in sliced.items() for course in beside]
    names = [model.name for model in models]
    return {
        **long_tables.page(source, names, runs, from_slices, ends, fits, interface, pace),
        "metrics": {
            "spec": {"evaluate": job.model_dump(mode="json"), "simulate": json.loads(source.attrs["spec"])},
            "size": source.sizes["x"],
            "volume": (source.sizes["x"] * job.medium.dx) ** 3,
            "models": names,
            "lamella_energy": lamella,
            "seconds_per_evaluation": pace,
            "ends": ends,
            "exponents": fits,
            "energy": [
                [float(refined_energies(coarsen(frame.values, factor), medium, factor)) for frame in source["phi"][sim]]
                for sim in range(source.sizes["sim"])
            ],
            "interface_energies": interface,
            "times": source["time"].values.tolist(),
            "runs": runs,
            "slice": from_slices,
        },
        "provenance": [
            store.provenance(source),
            *(model.card["provenance"] for model in models),
            clock.record("evaluate spinodal_long", job.model_dump(), threads=threads),
        ],
    }


def end_state(source: xr.Dataset, sim: int) -> dict[str, Any]:
    """Where the truth of one box stands at the last stored time, from the diagnostics of its float64 field."""
    box = source.isel(sim=sim)
    side = source.sizes["x"] * float(source.attrs["dx"])
    flat = 2 * lattice_interface_energy(source.attrs["eps"], source.attrs["dx"]) * side**2
    energy, times = box["energy"].values, box["time"].values
    lamellar = box["lamella"].values >= 0
    arrived = times[np.flatnonzero(~lamellar)[-1] + 1] if lamellar[-1] and not lamellar.all() else None
    near = np.flatnonzero(np.abs(energy / flat - 1) < 1e-5)
    return {
        "sim": sim,
        "time": float(times[-1]),
        "energy_over_lamella": float(energy[-1] / flat),
        "two_interfaces_from": None if arrived is None else float(arrived),
        "lamella_energy_from": float(times[near[0]]) if len(near) else None,
        "change_in_last_fifth": float(energy[-1] / np.interp(0.8 * times[-1], times, energy) - 1),
        "euler": int(box["euler"][-1]),
        "components": int(box["components"][-1]),
        "percolation": int(box["percolation"][-1].sum()),
        "roughness": finite(metrics.roughness(box["phi"][-1].values, source.attrs["dx"])),
        "drift": float(np.abs(box["mean"].values - box["mean"].values[0]).max()),
        "evaluations": int(box["evaluations"][-1]),
    }


def exponents(job: LongJob, source: xr.Dataset, courses: Sequence[Course], lamella: float) -> list[dict[str, Any]]:
    """Exponents of F and of its excess over the lamella: of the truth, of each network, and of the truth beside it."""
    side = source.sizes["x"] * float(source.attrs["dx"])
    flat = 2 * lattice_interface_energy(source.attrs["eps"], source.attrs["dx"]) * side**2
    series = {ALL: (source["time"].values, source["energy"].values, flat)}
    for name in networks(courses):
        its = [course for course in courses if course.model == name]
        for label, key in ((BESIDE, "energy_fourier_truth"), (name, "energy_fourier")):
            series[label] = its[0].times, np.array([course.curves[key] for course in its]), lamella
    fits = []
    for name, (times, energy, rest) in series.items():
        found = fit_windows(times, energy, job.scaling, job.seed, {"series": name, "quantity": "F"})
        mean = energy.mean(axis=0)
        fits += [{**fit, "over_lamella": float(np.interp(fit["window"][1], times, mean) / rest)} for fit in found]
        # once the lamella is near, its excess is a small difference whose slope means nothing
        near = np.flatnonzero(mean < (1 + EXCESS) * rest)
        until = near[0] if len(near) else len(times)
        labels = {"series": name, "quantity": "F - lamella"}
        fits += fit_windows(times[:until], energy[:, :until] - rest, job.scaling, job.seed, labels)
    return fits


def fit_windows(
    times: Floats, values: Floats, scaling: Scaling, seed: int, labels: dict[str, Any]
) -> list[dict[str, Any]]:  # fmt: skip
    """The exponent in each window that the data cover."""
    fits = []
    for window in scaling.windows:
        # equal draws for all series: their exponents differ by what they are, not by the resampling
        rng = np.random.default_rng(branch(seed, "spinodal_exponents", 1)[0])
        found: Exponent | None = exponent(times, values, (window.low, window.high), rng, scaling.resamples)
        if found:
            fits.append(
                {
                    **labels,
                    "window": [window.low, window.high],
                    "exponent": found.value,
                    "low": found.low,
                    "high": found.high,
                }
            )
    return fits


def seconds_per_evaluation(source: xr.Dataset, job: LongJob) -> float:
    """CPU seconds of one right-hand side on this box, here and now."""
    tolerance = float(source.attrs["tolerance"])
    stepper = Rkl2(source["phi"][0, -1].values, solver_medium(job.medium), tolerance=tolerance)
    stepper.advance(job.medium.interval)
    done, start = stepper.evaluations, time.process_time()
    stepper.advance(10 * job.medium.interval)
    return (time.process_time() - start) / (stepper.evaluations - done)


def _write_fields(
    job: LongJob, source: xr.Dataset, courses: Sequence[Course], sliced: Mapping[str, Sequence[Course]], path: Path,
    clock: Clock,
) -> None:  # fmt: skip
    """Truth and roll-outs on the network's grid, all curves, and sections of the slices; or the truth alone."""
    factor = job.medium.factor
    space = {axis: source[axis].values[::factor] for axis in "xyz"}
    attrs = {**source.attrs, "title": "Long evolutions and roll-outs on the network's grid", "factor": factor}
    attrs = {key: value for key, value in attrs.items() if not str(key).startswith(("provenance_", "digest", "format"))}
    cube = ("sim", "time", "x", "y", "z")
    if not courses:
        coords = xr.Dataset(coords={"sim": source["sim"], "time": source["time"], **space})
        with store.create(path, coords, {"truth": store.Variable(cube, "1", "truth")}, attrs) as writer:
            for sim in range(source.sizes["sim"]):
                writer.write(sim, truth=coarsen(source["phi"][sim].values, factor))
        return
    names = networks(courses)
    first = next(iter(sliced.values()))[0]
    words = tuple(map(word, names))
    coords = xr.Dataset(
        coords={
            "sim": np.arange(len(courses)),
            "time": courses[0].times,
            "slice_time": first.times,
            **space,
            "box": ("sim", [course.sim for course in courses]),
            "model": store.flags(
                [words[names.index(course.model)] for course in courses],
                words,
                "sim",
                "roll-out of",
                ["solver" if name in (DECIMATED, TIGHTER) else "network" for name in names],
            ),
            "around": store.flags(tuple(sliced), tuple(sliced), "around", "surroundings of the slice"),
        }
    )
    section = ("sim", "around", "slice_time", "x", "y")
    variables = {
        "truth": store.Variable(cube, "1", "truth"),
        "prediction": store.Variable(cube, "1", "roll-out"),
        "slice_truth": store.Variable(section, "1", "truth from noise in a slice, middle section"),
        "slice_prediction": store.Variable(section, "1", "roll-out from noise in a slice, middle section"),
        **{name: store.Variable(("sim", "time"), "1", name.replace("_", " "), "float64") for name in courses[0].curves},
    }
    middle = source.sizes["z"] // factor // 2
    with store.create(path, coords, variables, attrs) as writer:
        for number, course in enumerate(courses):
            beside = [its[names.index(course.model)] for its in sliced.values()]
            writer.write(
                number, truth=course.truth, prediction=course.prediction,
                slice_truth=np.stack([its.truth[..., middle] for its in beside]),
                slice_prediction=np.stack([its.prediction[..., middle] for its in beside]), **course.curves,
            )  # fmt: skip
        writer.provenance = clock.record("fields", job.model_dump())
