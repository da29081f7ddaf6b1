"""What the evaluation of an ensemble says: its tables, claims, headline and sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.spinodal.config.long import EnsembleJob
from phasemill.spinodal.evaluate.long_claims import BLOWN, Claims, notes_beside
from phasemill.spinodal.evaluate.long_numbers import Numbers
from phasemill.spinodal.evaluate.long_references import DECIMATED
from phasemill.spinodal.evaluate.long_tables import exponent_table
from phasemill.spinodal.evaluate.numbers import finite, headline

Floats = NDArray[np.float64]
Series = Mapping[str, Floats]


def page(
    source: xr.Dataset,
    job: EnsembleJob,
    names: Sequence[str],
    energy: Series,
    every: Floats,
    scores: Mapping[str, Series],
    fits: Sequence[Numbers],
    wavelength: Series,
    spreads: Mapping[str, float],
) -> dict[str, Any]:
    """Title, question, answer, headline, tables and claims; the first of the networks `names` is judged."""
    times, members = source["time"].values, len(energy["truth"])
    tau, size = job.medium.interval, source.sizes["x"]
    shown = [*names, DECIMATED]
    values = {name: _values(name, times / tau, scores[name], fits) for name in shown}
    first = values.pop(names[0])
    return {
        "title": f"Ensembles, {size}^3",
        "question": (
            f"Do the networks have the right statistics? {members} boxes of random mixtures, drawn as those of the "
            f"training, evolve over {times[-1] / tau:g} tau (t = {times[-1]:g}) by the solver and by "
            f"{', '.join(names)}."
        ),
        "answer": (
            f"Over {members} members mean, standard deviation and single members of the free energy differ from the "
            f"truth by at most {'; '.join(f'{name} {_percent(scores[name])}' for name in shown)}."
        ),
        "headline": [
            *(_line("mean", name, scores[name], times) for name in shown),
            *(_line(key, name, scores[name], times) for key in ("std", "member") for name in names),
            headline("scatter of scaled structure factors", finite(spreads[names[0]]),
                 note=f"{names[0]}; truth {spreads['truth']:.3g}"),
        ],
        "tables": [
            *(_time_table(name, times, energy, every, scores[name]) for name in shown),
            exponent_table(fits),
            _scaling_table(times, wavelength, spreads, job.scaling.windows[0].low),
        ],
        "claims": first,
        "claim_notes": notes_beside(names[0], first, values),
    }  # fmt: skip


def _values(name: str, taus: Floats, scores: Series, fits: Sequence[Numbers]) -> Claims:
    """The claims' values with one roll-out in the place of the network."""
    its, true = (
        {tuple(fit["window"]): fit["exponent"] for fit in fits if (fit["series"], fit["quantity"]) == (series, "F")}
        for series in (name, "truth")
    )
    gaps = [abs(its[window] - true[window]) if window in its else BLOWN for window in true]
    off = np.abs(scores["mean"])
    bounded = bool(np.isfinite(off).all())
    return {
        "spinodal.ensemble.mean": finite(off.max()) or BLOWN,
        "spinodal.ensemble.std": finite(np.abs(scores["std"]).max()) or BLOWN,
        "spinodal.ensemble.worst_early": float(taus[np.argmax(off)]) if bounded else float(taus[-1]),
        "spinodal.ensemble.exponent_gap": max(gaps, default=None),
    }


LABELS = {
    "mean": "largest difference of the mean of F",
    "std": "largest difference of its standard deviation",
    "member": "largest difference of a member",
}


def _line(key: str, name: str, scores: Series, times: Floats) -> dict[str, Any]:
    worst = np.abs(scores[key])
    when = f"relative, at t = {times[int(np.argmax(worst))]:g}"
    return headline(f"{LABELS[key]}, {name}", finite(worst.max()), note=when)


def _percent(scores: Series) -> str:
    shares = [100 * float(np.abs(scores[key]).max()) for key in LABELS]
    return ", ".join(f"{share:.3g} %" if np.isfinite(share) else "any amount" for share in shares)


def _time_table(name: str, times: Floats, energy: Series, every: Floats, scores: Series) -> dict[str, Any]:
    mean = {key: series.mean(axis=0) for key, series in energy.items()}
    std = {key: series.std(axis=0, ddof=1) for key, series in energy.items()}
    return {
        "title": f"Free energy per volume, {name}",
        "columns": ["t", "mean, truth, all, solver's grid", "mean, truth", f"mean, {name}", "difference, %",
                    "std, truth", f"std, {name}", "difference, %", "median member, %", "worst member, %"],
        "rows": [
            [t, *map(finite, (every.mean(axis=0)[i], mean["truth"][i], mean[name][i], 100 * scores["mean"][i],
             std["truth"][i], std[name][i], 100 * scores["std"][i], 100 * scores["member_median"][i],
             100 * scores["member"][i]))]
            for i, t in enumerate(times)
        ],
        "note": "On the network's grid but for the first mean. Members differ in composition and correlation length.",
    }  # fmt: skip


def _scaling_table(times: Floats, wavelength: Series, spreads: Mapping[str, float], start: float) -> dict[str, Any]:
    mean = {name: series.mean(axis=0) for name, series in wavelength.items()}
    scatter = ", ".join(f"{name} {100 * spread:.3g} %" for name, spread in spreads.items())
    return {
        "title": "Mean wavelength of the structure factor",
        "columns": ["t", *mean],
        "rows": [[t, *(finite(series[i]) for series in mean.values())] for i, t in enumerate(times)],
        "note": (
            f"Scaled as S(k) q^3 over k / q, q the mean wavenumber, the curves from t = {start:g} on scatter (root "
            f"mean square over 0.5 < k / q < 2): {scatter}; 0 is perfect dynamic scaling."
        ),
    }
