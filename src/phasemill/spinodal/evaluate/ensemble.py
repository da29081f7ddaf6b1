"""A network on an ensemble: mean and spread of the free energy, exponents, and the scaling of the structure factor.

Truth and network are compared on the same members and on the network's grid. Since the members' compositions differ,
their spread is mostly given; the error member by member stands beside it.
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
from phasemill.spinodal.dataset import coarsen
from phasemill.spinodal.evaluate.courses import load_network, roll
from phasemill.spinodal.evaluate.long import fit_windows
from phasemill.spinodal.evaluate.long_tables import exponent_table, line
from phasemill.spinodal.library import Surrogate
from phasemill.spinodal.scaling import collapse

Floats = NDArray[np.float64]

BATCH = 8
"""Members that are rolled out side by side."""


def ensemble(job: EnsembleJob, data: Path, output: Path, *, threads: int = 1) -> dict[str, Any]:
    """Evaluate the network on the first members of `spinodal_ensemble_truth`; see the module."""
    clock = Clock()
    source = store.open_dataset(data)
    model = load_network(job.ensemble.model, job.medium)
    steps = source["time"].values / model.interval
    source = source.isel(time=np.isclose(steps, np.rint(steps)))
    times = source["time"].values
    members = min(job.ensemble.members, source.sizes["sim"])
    dx = model.dx * model.factor
    truth = np.stack(
        [coarsen(source["phi"][sim].values, model.factor, model.card["downscale"]) for sim in range(members)]
    )
    prediction = np.concatenate(
        [
            roll(model, truth[first : first + BATCH, 0], np.rint(times / model.interval).astype(int))
            for first in range(0, members, BATCH)
        ]
    )
    volume = (source.sizes["x"] * model.dx) ** 3
    energy = {
        "truth, all members": source["energy"].values / volume,
        "truth": metrics.energies(truth, model.eps, dx) / volume,
        "network": metrics.energies(prediction, model.eps, dx) / volume,
    }
    k, factors = _structure_factors({"truth": truth, "network": prediction}, dx)
    wavelength = {name: 2 * np.pi * s.sum(axis=-1) / (s * k).sum(axis=-1) for name, s in factors.items()}
    fits = []
    for name, series in energy.items():
        fits += fit_windows(times, series, job.scaling, job.seed, {"series": name, "quantity": "F"})
    for name, series in wavelength.items():
        fits += fit_windows(times, series, job.scaling, job.seed, {"series": name, "quantity": "wavelength"})
    scores = compare(energy["truth"], energy["network"])
    scaling_from = job.scaling.windows[0].low
    spreads = {name: collapse(k, s[:, times >= scaling_from].mean(axis=0)) for name, s in factors.items()}
    bands = {name: [_band(values, job) for values in series.T] for name, series in energy.items()}
    _write_fields(job, source, truth, prediction, energy, (k, factors), model, output / "fields.zarr", clock)
    gap = _gap(fits)
    worst = {key: int(np.argmax(np.abs(scores[key]))) for key in ("mean", "std", "member")}
    return {
        "title": f"Ensembles, {source.sizes['x']}^3",
        "question": (
            f"Does {model.name} have the right statistics? {members} boxes of random mixtures, drawn as those of the "
            f"training, evolve over {times[-1] / job.medium.interval:g} tau (t = {times[-1]:g}) by the solver and by "
            "the network."
        ),
        "answer": (
            f"The mean free energy of {members} members differs from the truth by {_percent(scores['mean'])} % at most "
            f"(t = {times[worst['mean']]:g}), its standard deviation by {_percent(scores['std'])} %, "
            f"single members by {_percent(scores['member'])} %; the exponent of the mean by {_shown(gap)} at most."
        ),
        "headline": [
            line("largest difference of the mean of F", _largest(scores["mean"]),
                 note=f"relative, at t = {times[worst['mean']]:g}"),
            line("largest difference of its standard deviation", _largest(scores["std"]),
                 note=f"relative, at t = {times[worst['std']]:g}"),
            line("largest difference of a member", _largest(scores["member"]),
                 note=f"relative, at t = {times[worst['member']]:g}"),
            line("largest difference of exponents of F", gap, note="network less truth"),
            line("scatter of scaled structure factors", spreads["network"], note=f"truth {spreads['truth']:.3g}"),
        ],
        "tables": [
            _time_table(times, energy, scores),
            exponent_table(fits),
            _scaling_table(times, wavelength, spreads, scaling_from),
        ],
        "claims": {
            "spinodal.ensemble.mean": _largest(scores["mean"]),
            "spinodal.ensemble.std": _largest(scores["std"]),
            "spinodal.ensemble.exponent_gap": gap,
        },
        "metrics": {
            "spec": job.model_dump(mode="json"),
            "model": model.name,
            "members": members,
            "times": times.tolist(),
            "energy": {
                name: {
                    "mean": _list(series.mean(axis=0)),
                    "std": _list(series.std(axis=0, ddof=1)),
                    "low": _list([low for low, _ in bands[name]]),
                    "high": _list([high for _, high in bands[name]]),
                }
                for name, series in energy.items()
            },
            "difference": {name: _list(values) for name, values in scores.items()},
            "exponents": fits,
            "wavelength": {name: _list(series.mean(axis=0)) for name, series in wavelength.items()},
            "collapse": {"from": scaling_from, **spreads},
        },
        "provenance": [
            store.provenance(source),
            model.card["provenance"],
            clock.record("evaluate spinodal_ensemble", job.model_dump(), threads=threads),
        ],
    }  # fmt: skip


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


def _band(values: Floats, job: EnsembleJob) -> tuple[float, float]:
    """95 % interval of the mean over the members."""
    rng = np.random.default_rng(branch(job.seed, "spinodal_ensemble", 1)[0])
    return metrics.confidence(values, rng, job.scaling.resamples)


def _gap(fits: Sequence[Mapping[str, Any]]) -> float | None:
    """Largest |exponent of the network - exponent of the truth| of F over the windows."""
    its = {(fit["series"], *fit["window"]): fit["exponent"] for fit in fits if fit["quantity"] == "F"}
    gaps = [abs(value - its["truth", *key[1:]]) for key, value in its.items() if key[0] == "network"]
    return max(gaps, default=None)


def _time_table(times: Floats, energy: Mapping[str, Floats], scores: Mapping[str, Floats]) -> dict[str, Any]:
    mean = {name: series.mean(axis=0) for name, series in energy.items()}
    std = {name: series.std(axis=0, ddof=1) for name, series in energy.items()}
    return {
        "title": "Free energy per volume",
        "columns": ["t", "mean, truth, all, solver's grid", "mean, truth", "mean, network", "difference, %",
                    "std, truth", "std, network", "difference, %", "median member, %", "worst member, %"],
        "rows": [
            [t, mean["truth, all members"][i], mean["truth"][i], mean["network"][i], 100 * scores["mean"][i],
             std["truth"][i], std["network"][i], 100 * scores["std"][i], 100 * scores["member_median"][i],
             100 * scores["member"][i]]
            for i, t in enumerate(times)
        ],
        "note": "On the network's grid but for the first mean. Members differ in composition and correlation length.",
    }  # fmt: skip


def _scaling_table(
    times: Floats, wavelength: Mapping[str, Floats], spreads: Mapping[str, float], start: float
) -> dict[str, Any]:  # fmt: skip
    mean = {name: series.mean(axis=0) for name, series in wavelength.items()}
    return {
        "title": "Mean wavelength of the structure factor",
        "columns": ["t", "truth", "network", "difference, %"],
        "rows": [[t, a, b, 100 * (b / a - 1)] for t, a, b in zip(times, mean["truth"], mean["network"], strict=True)],
        "note": (
            f"Scaled as S(k) q^3 over k / q, q the mean wavenumber, the curves from t = {start:g} on scatter by "
            f"{100 * spreads['truth']:.3g} % in truth and {100 * spreads['network']:.3g} % by the network "
            "(root mean square over 0.5 < k / q < 2); 0 is perfect dynamic scaling."
        ),
    }


def _write_fields(
    job: EnsembleJob, source: xr.Dataset, truth: NDArray[Any], prediction: NDArray[Any],
    energy: Mapping[str, Floats], spectra: tuple[Floats, Mapping[str, Floats]], model: Surrogate, path: Path,
    clock: Clock,
) -> None:  # fmt: skip
    """Truth and roll-out of each member on the network's grid, their energies and structure factors."""
    k, factors = spectra
    kept = source.isel({axis: slice(None, None, model.factor) for axis in "xyz"} | {"sim": slice(len(truth))})
    coords = kept.coords.to_dataset().assign_coords(
        k=xr.DataArray(k, dims=("k",), attrs={"units": "1", "long_name": "wavenumber"})
    )
    cube, spectrum = ("sim", "time", "x", "y", "z"), ("sim", "time", "k")
    variables = {
        "truth": store.Variable(cube, "1", "truth"),
        "prediction": store.Variable(cube, "1", "roll-out"),
        "energy_truth": store.Variable(("sim", "time"), "1", "free energy per volume, truth", "float64"),
        "energy": store.Variable(("sim", "time"), "1", "free energy per volume, roll-out", "float64"),
        "structure_factor_truth": store.Variable(spectrum, "1", "structure factor, truth", "float64"),
        "structure_factor": store.Variable(spectrum, "1", "structure factor, roll-out", "float64"),
    }
    attrs = {"title": "Ensemble on the network's grid", "eps": model.eps, "dx": model.dx * model.factor}
    with store.create(path, coords, variables, attrs) as writer:
        for sim in range(len(truth)):
            writer.write(
                sim, truth=truth[sim], prediction=prediction[sim], energy_truth=energy["truth"][sim],
                energy=energy["network"][sim], structure_factor_truth=factors["truth"][sim],
                structure_factor=factors["network"][sim],
            )  # fmt: skip
        writer.provenance = clock.record("fields", job.model_dump())


def _largest(values: Floats) -> float | None:
    worst = float(np.abs(values).max())
    return worst if np.isfinite(worst) else None


def _percent(values: Floats) -> str:
    return f"{100 * float(np.abs(values).max()):.2g}"


def _shown(value: float | None) -> str:
    return "an amount that is not known" if value is None else f"{value:.2g}"


def _list(values: Sequence[float] | Floats) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
