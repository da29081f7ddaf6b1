"""Networks on an ensemble: mean and spread of the free energy, exponents, and the scaling of the structure factor.

Truth and roll-outs are compared on the same members and on the network's grid. Since the members' compositions differ,
their spread is mostly given; the error member by member stands beside it, and so does the solver from the networks' own
start.
"""

from __future__ import annotations

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
from phasemill.spinodal.config.long import EnsembleJob
from phasemill.spinodal.datasets.mixtures import coarsen
from phasemill.spinodal.evaluate import ensemble_tables
from phasemill.spinodal.evaluate.contest import word
from phasemill.spinodal.evaluate.courses import load_network, reached, roll
from phasemill.spinodal.evaluate.long import fit_windows
from phasemill.spinodal.evaluate.long_references import DECIMATED, reference
from phasemill.spinodal.evaluate.numbers import finite
from phasemill.spinodal.library import Surrogate
from phasemill.spinodal.scaling import collapse

Floats = NDArray[np.float64]

BATCH = 8
"""Members that are rolled out side by side."""


def ensemble(job: EnsembleJob, data: Path, output: Path, *, threads: int = 1) -> dict[str, Any]:
    """Evaluate the networks on the first members of `spinodal_ensemble_truth`; see the module."""
    clock = Clock()
    source = store.open_dataset(data)
    models = [load_network(name, job.medium) for name in job.ensemble.models]
    source = source.isel(time=reached(source["time"].values, models))
    times, dx = source["time"].values, job.medium.dx * job.medium.factor
    members = min(job.ensemble.members, source.sizes["sim"])
    truth = np.stack([coarsen(source["phi"][sim].values, job.medium.factor) for sim in range(members)])
    fields = {"truth": truth, **{model.name: _roll_out(model, truth[:, 0], times) for model in models}}
    tolerance = float(source.attrs["tolerance"])
    fields[DECIMATED] = np.stack(
        [
            reference(DECIMATED, source["phi"][sim, 0].values, times, job.medium, tolerance, threads)
            for sim in range(members)
        ]
    )
    volume = (source.sizes["x"] * job.medium.dx) ** 3
    energy = {name: metrics.energies(frames, job.medium.eps, dx) / volume for name, frames in fields.items()}
    every = source["energy"].values / volume
    k, factors = _structure_factors(fields, dx)
    wavelength = {name: 2 * np.pi * s.sum(axis=-1) / (s * k).sum(axis=-1) for name, s in factors.items()}
    fits = []
    for name, series in {"truth, all members": every, **energy}.items():
        fits += fit_windows(times, series, job.scaling, job.seed, {"series": name, "quantity": "F"})
    for name, series in wavelength.items():
        fits += fit_windows(times, series, job.scaling, job.seed, {"series": name, "quantity": "wavelength"})
    scores = {name: compare(energy["truth"], series) for name, series in energy.items() if name != "truth"}
    start = job.scaling.windows[0].low
    spreads = {name: collapse(k, s[:, times >= start].mean(axis=0)) for name, s in factors.items()}
    _write_fields(job, source, fields, energy, (k, factors), output / "fields.zarr", clock)
    names = [model.name for model in models]
    return {
        **ensemble_tables.page(source, job, names, energy, every, scores, fits, wavelength, spreads),
        "metrics": {
            "spec": job.model_dump(mode="json"),
            "models": names,
            "members": members,
            "times": times.tolist(),
            "energy": {
                name: {
                    "mean": _list(series.mean(axis=0)),
                    "std": _list(series.std(axis=0, ddof=1)),
                    **dict(zip(("low", "high"), _band(series, job), strict=True)),
                }
                for name, series in energy.items()
            },
            "difference": {
                name: {key: _list(values) for key, values in its.items()} for name, its in scores.items()
            },
            "exponents": fits,
            "wavelength": {name: _list(series.mean(axis=0)) for name, series in wavelength.items()},
            "collapse": {"from": start, **{name: _list([value])[0] for name, value in spreads.items()}},
        },
        "provenance": [
            store.provenance(source),
            *(model.card["provenance"] for model in models),
            clock.record("evaluate spinodal_ensemble", job.model_dump(), threads=threads),
        ],
    }  # fmt: skip


def _roll_out(model: Surrogate, starts: NDArray[Any], times: Floats) -> NDArray[np.float32]:
    """The network from all starts, some at a time: (member, time, x, y, z)."""
    marks = np.rint(times / model.interval).astype(int)
    return np.concatenate([roll(model, starts[i : i + BATCH], marks) for i in range(0, len(starts), BATCH)])


def compare(truth: Floats, prediction: Floats) -> dict[str, Floats]:
    """Relative differences by time of (member, time): of the mean, of the standard deviation, and member by member."""
    return {
        "mean": prediction.mean(axis=0) / truth.mean(axis=0) - 1,
        "std": prediction.std(axis=0, ddof=1) / truth.std(axis=0, ddof=1) - 1,
        "member": np.abs(prediction / truth - 1).max(axis=0),
        "member_median": np.median(np.abs(prediction / truth - 1), axis=0),
    }


def _structure_factors(fields: Mapping[str, NDArray[Any]], dx: float) -> tuple[Floats, dict[str, Floats]]:
    """k, and S (member, time, k) of each series."""
    found: dict[str, Floats] = {}
    for name, frames in fields.items():
        flat = frames.reshape(-1, *frames.shape[-3:])
        pairs = [metrics.structure_factor(phi, dx) for phi in flat]
        k = pairs[0][0]
        found[name] = np.array([s for _, s in pairs]).reshape(*frames.shape[:2], -1)
    return k, found


def _band(series: Floats, job: EnsembleJob) -> tuple[list[float | None], list[float | None]]:
    """95 % intervals of the mean over the members, (member, time): least and largest by time."""
    edges = []
    for values in series.T:
        rng = np.random.default_rng(branch(job.seed, "spinodal_ensemble", 1)[0])
        edges.append(metrics.confidence(values, rng, job.scaling.resamples))
    return _list([low for low, _ in edges]), _list([high for _, high in edges])


def _write_fields(
    job: EnsembleJob, source: xr.Dataset, fields: Mapping[str, NDArray[Any]], energy: Mapping[str, Floats],
    spectra: tuple[Floats, Mapping[str, Floats]], path: Path, clock: Clock,
) -> None:  # fmt: skip
    """Truth and roll-outs of each member on the network's grid, their energies and structure factors."""
    k, factors = spectra
    dx = job.medium.dx * job.medium.factor
    kept = source.isel({axis: slice(None, None, job.medium.factor) for axis in "xyz"})
    words, roles = tuple(map(word, fields)), {"truth": "check", DECIMATED: "solver"}
    coords = (
        kept.isel(sim=slice(len(fields["truth"])))
        .coords.to_dataset()
        .assign_coords(
            k=xr.DataArray(k, dims=("k",), attrs={"units": "1", "long_name": "wavenumber"}),
            series=store.flags(
                words, words, "series", "truth or roll-out of", [roles.get(name, "network") for name in fields]
            ),
        )
    )
    dims = ("sim", "series", "time")
    variables = {
        "phi": store.Variable((*dims, "x", "y", "z"), "1", "concentration"),
        "energy_density": store.Variable(dims, "1", "free energy per volume", "float64"),
        "structure_factor": store.Variable((*dims, "k"), "1", "structure factor", "float64"),
    }
    attrs = {"title": "Ensemble on the network's grid", "eps": job.medium.eps, "dx": dx}
    with store.create(path, coords, variables, attrs) as writer:
        for sim in range(len(fields["truth"])):
            writer.write(
                sim,
                phi=np.stack([its[sim] for its in fields.values()]),
                energy_density=np.stack([energy[name][sim] for name in fields]),
                structure_factor=np.stack([factors[name][sim] for name in fields]),
            )
        writer.provenance = clock.record("fields", job.model_dump())


def _list(values: Sequence[float] | Floats) -> list[float | None]:
    return [finite(value) for value in values]
