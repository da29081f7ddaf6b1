"""Scores of estimates of kappa, their tables, and the predicted fields as a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import xarray as xr

from phasemill.core import metrics, store
from phasemill.core.provenance import Clock
from phasemill.core.spectral import laplacian_eigenvalues
from phasemill.transport.datasets.videos import Row, scheme
from phasemill.transport.modes import Modes, decay
from phasemill.transport.physics import dirichlet_energy
from phasemill.transport.spectra import StabilityRow, stability_table

REGIMES = {"all": (1, -1), "diffusion": (1,), "mobility": (-1,)}
SUBSTEPS = (1, 2, 5, 10, 25, 50)  # the K of the paper's Table 3

Scores = dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Estimates:
    """kappa of all rows by one method."""

    label: str
    kappa: Sequence[float]
    seconds: Sequence[float] = ()
    """From the frames in memory to the answer, for each row."""
    role: str = "network"
    """In the summary (`report.summary_fields.ROLES`): "solver" of a method without any network."""

    @property
    def median_seconds(self) -> float:
        """Median over the rows."""
        return float(np.median(self.seconds))


def constant(source: xr.Dataset, rows: Sequence[Row]) -> Estimates:
    """The trivial estimator: the mean kappa of the training simulations, whatever the video shows."""
    train = np.array(store.meanings(source.split)) == "train"
    return Estimates("constant kappa", [float(source.kappa.values[train].mean())] * len(rows), role="trivial")


def score(rows: Sequence[Row], kappa: Sequence[float]) -> Scores:
    """Mean and largest |kappa_hat - kappa|, R2 of kappa, and the paper's R2 of the signed coefficient, per regime."""
    truth, estimate = np.array([row.kappa for row in rows]), np.array(kappa)
    direction = np.array([row.direction for row in rows])
    scores: Scores = {}
    for regime, directions in REGIMES.items():
        chosen = np.isin(direction, directions)
        error = np.abs(estimate - truth)[chosen]
        sign = direction[chosen]
        scores[regime] = {
            "mae": float(error.mean()),
            "max_error": float(error.max()),
            "r2": _finite(metrics.r2(truth[chosen], estimate[chosen])),
            "signed_r2": _finite(metrics.r2(sign * truth[chosen], sign * estimate[chosen])),
            "videos": int(chosen.sum()),
        }
    return scores


def at_bound(kappa: float, bounds: tuple[float, float]) -> bool:
    """Whether a search has ended at one of its bounds: its answer is then that bound and not an estimate."""
    return bool(np.isclose(kappa, bounds, rtol=1e-6, atol=0).any())


def mae(scores: Scores, regime: str = "all") -> float:
    """Mean |kappa_hat - kappa| of one regime, which is always known."""
    value = scores[regime]["mae"]
    assert value is not None
    return value


def difference(one: float | None, other: float | None) -> float | None:
    """one - other where both are known."""
    return None if one is None or other is None else one - other


def headline(label: str, value: float | None, note: str = "", unit: str = "", claim: str = "") -> dict[str, Any]:
    """One number of the first screen of a report; the page adds the paper's value of `claim`."""
    return {"label": label, "value": value, "unit": unit, "note": note, "claim": claim}


def recovery_table(methods: Sequence[Estimates], scores: Mapping[str, Scores]) -> dict[str, Any]:
    """Errors of all methods, per regime."""
    rows = [
        [method.label, regime, line["mae"], line["max_error"], line["r2"], line["signed_r2"]]
        for method in methods
        for regime, line in scores[method.label].items()
    ]
    return {
        "title": "Recovery of kappa on held-out videos",
        "columns": ["method", "regime", "mean |error|", "largest |error|", "R2 of kappa", "R2 of signed coefficient"],
        "rows": rows,
        "note": (
            "The signed R2 is the paper's measure; because the sign is given, even a constant kappa scores high on it. "
            "R2 of kappa per regime is the honest one. A mobility video is its diffusion twin reversed in time, and in "
            "the stable direction the two pose the same problem: 2 n videos hold n independent simulations."
        ),
    }


def stability(source: xr.Dataset) -> list[StabilityRow]:
    """The paper's Table 3 from the configuration of the data: interval, dx and the largest kappa drawn."""
    attrs = source.attrs
    interval = float(attrs["dt"]) * int(attrs["save_every"])
    return stability_table(SUBSTEPS, interval=interval, dx=float(attrs["dx"]), kappa_max=float(attrs["kappa_high"]))


def stability_rows(source: xr.Dataset) -> dict[str, Any]:
    """Table 3 for the report."""
    return {
        "title": "Stability of K sub-steps per frame interval",
        "columns": ["K", "sub-step", "stability number at the largest kappa", "largest stable kappa", "stable"],
        "rows": [
            [row.substeps, row.tau, row.stability_number, row.stable_kappa, "yes" if row.stable else "no"]
            for row in stability(source)
        ],
        "note": "Explicit Euler is stable while kappa tau lambda_max <= 2 (SAFE-PIT-CM, eqs. 4 and 7).",
    }


def training_table(card: Mapping[str, Any]) -> dict[str, Any]:
    """What the training cost, and how much its selected model gains on the best constant kappa."""
    provenance = card["provenance"]
    return {
        "title": "Training",
        "columns": [
            *(
                "parameters",
                "steps",
                "of them phase one",
                "best step",
                "validation SAFE loss",
                "same, best constant kappa",
            ),
            *("seconds", "threads", "device"),
        ],
        "rows": [
            [
                *(card[key] for key in ("parameters", "steps", "phase_one_steps", "best_step")),
                *(card[key] for key in ("validation_safe", "validation_safe_constant")),
                *(provenance[key] for key in ("training_seconds", "threads", "device")),
            ]
        ],
        "note": "Model selection in phase two, by the label-free SAFE loss of the validation videos.",
    }


def roll_out(row: Row, kappa: float, source: xr.Dataset, frames: np.ndarray) -> np.ndarray:
    """The video that `kappa` predicts from the sharpest frame alone: u_n = G^n u_0, G = 1 - kappa dt lambda.

    Arguments
    ---------
    frames: indices of the frames wanted, in the row's own order of time.

    Returns (len(frames), x, y); a sharpening video is predicted from its last frame.
    """
    operator = scheme(source, row)
    elapsed = frames if row.direction > 0 else len(row.frames) - 1 - frames
    sharpest = row.frames[0 if row.direction > 0 else -1].astype(np.float64)
    eigenvalues = laplacian_eigenvalues(sharpest.shape, operator.dx)
    factor = (1 - kappa * operator.tau * eigenvalues) ** operator.substeps
    spectrum = scipy.fft.rfft2(sharpest)
    return np.stack([scipy.fft.irfft2(spectrum * factor**count, s=sharpest.shape) for count in elapsed])


def converged(row: Row, source: xr.Dataset) -> Row:
    """The video of the same first frame and kappa without any error in time: u_t = exp(-kappa lambda t) u_0."""
    sharpest = row.frames[:: row.direction][:1].astype(np.float64)
    modes = Modes(sharpest.shape[1:], float(source.attrs["dx"]))
    factor, _, _ = decay(row.kappa, modes.eigenvalues, scheme(source, row).interval, None)
    frames = modes.join(modes.split(sharpest) * factor ** np.arange(len(row.frames))[:, None])
    return replace(row, frames=frames.astype(row.frames.dtype)[:: row.direction])


def word(label: str) -> str:
    """A label as one of the words that a store can hold."""
    return label.replace(",", "").replace(" ", "_")


def inherited(source: xr.Dataset, title: str, **own: str) -> dict[str, Any]:
    """Attributes of fields made from `source`: what they share with it, its digest, and their own."""
    shared = ("equation", "scheme", "stencil", "dx", "dt", "save_every", "units", "references")
    attrs = {key: source.attrs[key] for key in shared if key in source.attrs}
    return {**attrs, "source_digest": source.attrs["digest"], "title": title, **own}


def write_fields(
    path: Path,
    source: xr.Dataset,
    rows: Sequence[Row],
    methods: Sequence[Estimates],
    frames: int,
    clock: Clock,
    spec: Mapping[str, Any],
) -> None:
    """Truth and roll-out of every row by every method with energies, RMSE and interface displacement per frame."""
    kept = np.linspace(0, source.sizes["time"] - 1, frames).round().astype(int)
    labels = [word(method.label) for method in methods]
    coords = xr.Dataset(
        coords={
            "sim": xr.DataArray(np.arange(len(rows)), dims="sim", attrs={"units": "1", "long_name": "video"}),
            "model": store.flags(
                labels, tuple(labels), "model", "method that estimated kappa", [m.role for m in methods]
            ),
            "time": source.time[kept],
            "x": source.x,
            "y": source.y,
            "base": ("sim", np.array([row.base for row in rows]), {"units": "1", "long_name": "base simulation"}),
            "kappa": ("sim", np.array([row.kappa for row in rows]), {"units": "1", "long_name": "true kappa"}),
            "direction": (
                "sim",
                np.array([row.direction for row in rows], np.int8),
                {"long_name": "direction", "flag_values": [1, -1], "flag_meanings": "smoothing sharpening"},
            ),
        }
    )
    field, frame = ("sim", "time", "x", "y"), ("sim", "model", "time")
    variables = {
        "truth": store.Variable(field, "1", "observed field"),
        "prediction": store.Variable(("sim", "model", "time", "x", "y"), "1", "roll-out from the sharpest frame"),
        "kappa_estimate": store.Variable(("sim", "model"), "1", "estimated kappa", "float64"),
        "energy": store.Variable(("sim", "time"), "1", "Dirichlet energy of the truth", "float64"),
        "energy_prediction": store.Variable(frame, "1", "Dirichlet energy of the prediction", "float64"),
        "rmse": store.Variable(frame, "1", "root mean square error of the prediction", "float64"),
        "interface_displacement": store.Variable(frame, "1", "rms distance of interfaces, a length", "float64"),
    }
    attrs = inherited(source, "Observed and predicted fields", equation="d phi/dt = direction kappa lap phi")
    dx = float(source.attrs["dx"])
    with store.create(path, coords, variables, attrs) as writer:
        for sim, row in enumerate(rows):
            truth = row.frames[kept]
            predicted = [roll_out(row, method.kappa[sim], source, kept) for method in methods]
            pairs = [list(zip(truth, prediction, strict=True)) for prediction in predicted]
            writer.write(
                sim,
                truth=truth,
                prediction=np.stack(predicted),
                kappa_estimate=[method.kappa[sim] for method in methods],
                energy=[dirichlet_energy(frame, dx) for frame in truth.astype(np.float64)],
                energy_prediction=[[dirichlet_energy(frame, dx) for frame in video] for video in predicted],
                rmse=[[metrics.rmse(a, b) for a, b in video] for video in pairs],
                interface_displacement=[
                    [metrics.interface_displacement(a, b, dx) for a, b in video] for video in pairs
                ],
            )
        writer.provenance = clock.record("fields", spec)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
