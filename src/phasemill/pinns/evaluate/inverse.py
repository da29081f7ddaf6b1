"""Coefficients found from sparse noisy data, beside the best that any estimator could do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import norm

from phasemill.core import store
from phasemill.core.model_files import load_tensors
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.pinns.config.inverse import InverseJob, Unknown
from phasemill.pinns.dataset import load, open_truth
from phasemill.pinns.evaluate.selection import check_kind, check_origin
from phasemill.pinns.inverse import Unknowns
from phasemill.pinns.kernels import VALUE
from phasemill.pinns.physics import EQUATIONS, Equation
from phasemill.pinns.terms import Term, plain
from phasemill.pinns.train.inverse import coefficients, equations, prepare, solution

Floats = NDArray[np.float64]

SURE = float(norm.ppf(0.975))
"""Standard deviations to either side of an interval of 95 %."""
FITS = 1.5
"""Misfit over noise above which a network has not found the data's minimum, and its interval says nothing."""
SLOPE = 1e-3
"""Relative change of a coefficient for the slope of the solution."""


def inverse(job: InverseJob, data: Path, output: Path, *, models: list[Path], threads: int = 1) -> dict[str, Any]:
    """Errors and intervals of each seed; least squares with the exact solver on the same data; Cramer-Rao's bound."""
    clock = Clock()
    source = open_truth(data, "burgers")
    tensors, card = load_tensors(models[0])
    check_kind(models[0], card, "inverse")
    check_origin(models[0], card, "inverse", job.inverse, data)
    scores = []
    for name, equation in equations(job).items():
        wanted: Unknown = getattr(job.inverse, name)
        for number, seed in enumerate(branch(job.seed, f"inverse_{name}", job.inverse.seeds)):
            unknowns = prepare(equation, wanted, job.inverse, seed)
            scores.append(_score(card["runs"][f"{name}_{number}"], equation, wanted, unknowns))
    first = equations(job)["burgers"]
    unknowns = prepare(first, job.inverse.burgers, job.inverse, branch(job.seed, "inverse_burgers", 1)[0])
    _write_fields(output / "fields.zarr", source, first, unknowns, tensors["burgers_0.x"].numpy(), clock, job)
    lines = [line for score in scores for line in score["lines"]]
    return {
        "title": "Coefficients from sparse noisy data",
        "question": "How well, and how surely, are an equation's coefficients found with balanced losses?",
        "answer": _answer(lines, job),
        "headline": [
            {
                "label": f"error of the {name}, %",
                "value": 100 * float(np.median(errors)),
                "claim": "",
                "note": f"median of {job.inverse.seeds}, the worst {100 * max(errors):.2g}",
            }
            for name, errors in _errors(lines).items()
        ],
        "tables": [_table(lines), _costs(scores)],
        "claims": {},
        "metrics": {"spec": job.model_dump(), "scores": scores},
        "provenance": [
            store.provenance(source), card["provenance"],
            clock.record("evaluate pinn_inverse", job.model_dump(), threads=threads),
        ],
    }  # fmt: skip


def _score(run: dict[str, Any], equation: Equation, wanted: Unknown, unknowns: Unknowns) -> dict[str, Any]:
    true = coefficients(equation, wanted)
    begun = time.process_time()
    best, bound = _least_squares(equation.name, true, wanted, unknowns)
    seconds = time.process_time() - begun
    lines = []
    for place, (name, value) in enumerate(true.items()):
        spread = float(run["spread"][place])
        error = run["found"][name] / value - 1
        lines.append(
            {
                "equation": equation.name, "seed": run["seed"], "name": name, "true": value,
                "found": run["found"][name], "error": error, "spread": spread,
                "fits": run["misfit"] < FITS * run["noise"], "inside": bool(abs(np.log1p(error)) <= SURE * spread),
                "least_squares": best[name] / value - 1, "bound": float(bound[place]),
            }
        )  # fmt: skip
    kept = ("noise", "misfit", "weight", "seconds", "curve")
    return {"lines": lines, "classical": seconds, **{key: run[key] for key in kept}}


def _least_squares(
    name: str, true: dict[str, float], wanted: Unknown, unknowns: Unknowns
) -> tuple[dict[str, float], Floats]:
    """Coefficients that fit the data best under the exact solver, and the least relative deviation of any estimator."""
    points, values = unknowns.at, unknowns.data.target

    def wrong(logs: Floats) -> Floats:
        apart: Floats = (solution(name, dict(zip(true, np.exp(logs), strict=True)))(points) - values) / unknowns.noise
        return apart

    found = least_squares(wrong, np.log(list(wanted.guess.values())), diff_step=[SLOPE] * len(true), x_scale="jac")
    at = np.log(list(true.values()))
    steps = SLOPE * np.eye(len(at))
    slopes = np.stack([(wrong(at + step) - wrong(at - step)) / (2 * SLOPE) for step in steps], axis=1)
    bound = np.sqrt(np.diag(np.linalg.inv(slopes.T @ slopes)))
    return dict(zip(true, np.exp(found.x).tolist(), strict=True)), bound


def _errors(lines: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Relative errors of each coefficient, without their signs."""
    found: dict[str, list[float]] = {}
    for line in lines:
        found.setdefault(line["name"], []).append(abs(line["error"]))
    return found


def _answer(lines: list[dict[str, Any]], job: InverseJob) -> str:
    errors = _errors(lines)["viscosity"]
    found = (
        f"Burgers' viscosity is found to {100 * float(np.median(errors)):.2g} % (median of {len(errors)}, the worst "
    )
    found += (
        f"{100 * max(errors):.2g} %) from {job.inverse.burgers.samples} values with {100 * job.inverse.noise:g} % noise"
    )
    fitting = [line for line in lines if line["fits"]]
    inside = sum(line["inside"] for line in fitting)
    return f"{found}; {inside} of {len(fitting)} intervals of 95 % hold the truth."


def _table(lines: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [
        [
            EQUATIONS[line["equation"]].title, line["name"], line["seed"], line["true"], line["found"],
            100 * line["error"], 100 * SURE * line["spread"] if line["fits"] else "no fit",
            "" if not line["fits"] else "yes" if line["inside"] else "no",
            100 * line["least_squares"], 100 * SURE * line["bound"],
        ]
        for line in lines
    ]  # fmt: skip
    return {
        "title": "Coefficients",
        "columns": [
            "equation", "coefficient", "seed", "true", "found", "error, %", "interval, +- %", "holds the truth",
            "least squares, %", "bound, +- %",
        ],
        "rows": rows,
        "note": (
            "Interval of 95 %: how far noise of the known level moves the minimum, by Gauss-Newton; none where the "
            f"misfit is above {FITS:g} times the noise. Least squares: error of the exact solver's fit to the same "
            "data, which knows the initial and boundary values, too. Bound: half width of the narrowest interval of "
            "95 % of any unbiased estimator (Cramer-Rao) that knows as much as least squares."
        ),
    }  # fmt: skip


def _costs(scores: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [
        [
            EQUATIONS[score["lines"][0]["equation"]].title, score["lines"][0]["seed"], score["seconds"],
            score["classical"], score["weight"], score["misfit"] / score["noise"],
        ]
        for score in scores
    ]  # fmt: skip
    return {
        "title": "Cost and fit",
        "columns": [
            "equation", "seed", "seconds, network", "seconds, least squares", "weight of the data", "misfit / noise",
        ],
        "rows": rows,
        "note": (
            "The network needs no solver of the equation, which is its point; where there is one, least squares are "
            "faster and as good as can be. Misfit: root mean square of u - data; somewhat below the noise where many "
            "parameters are fitted."
        ),
    }  # fmt: skip


def _write_fields(
    path: Path, source: xr.Dataset, equation: Equation, unknowns: Unknowns, x: Floats, clock: Clock, job: InverseJob
) -> None:
    """Reference and network of Burgers' equation, first seed, and where its data lie."""
    found, theta = load(source, equation), unknowns.split(x)[0]
    term = Term(unknowns.network, VALUE, plain(found.points, equation.low, equation.high), dtype=np.float64)
    field = term.field(theta, 1)[0].reshape(found.u.shape)
    count = len(unknowns.at)
    coords = xr.Dataset(
        coords={
            **{name: source[name] for name in ("time", "x")},
            "sim": source["sim"][-1:],
            "sample": xr.DataArray(np.arange(count), dims=("sample",), attrs={"units": "1", "long_name": "sample"}),
        }
    )
    variables = {
        "truth": store.Variable(("sim", "time", "x"), "1", "reference solution"),
        "prediction": store.Variable(("sim", "time", "x"), "1", "network, first seed"),
        **{
            f"sample_{name}": store.Variable(("sim", "sample"), "1", f"{words} of the data", "float64")
            for name, words in (("t", "times"), ("x", "places"), ("u", "values"))
        },
    }
    attrs = {"title": "Burgers' equation from sparse noisy data", "equation": equation.formula, "model": "network"}
    with store.create(path, coords, variables, attrs) as writer:
        writer.write(
            0, truth=found.u, prediction=field, sample_t=unknowns.at[:, 0], sample_x=unknowns.at[:, 1],
            sample_u=unknowns.data.target,
        )  # fmt: skip
        writer.provenance = clock.record("fields", job.model_dump())
