"""Evaluation of the recovery of kappa from noisy, rounded, remapped, walled and cropped videos.

Each corruption meets the plain SAFE loss as for clean videos (naive), and the fit that matches it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import metrics, store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.transport.config.robustness import RobustnessJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.datasets.videos import Row
from phasemill.transport.evaluate.corruptions import Corruption, corruptions, evolve, window
from phasemill.transport.evaluate.robustness_tables import calibration, calibration_table, error_table, r2_table
from phasemill.transport.evaluate.scoring import at_bound, constant, headline, inherited, mae, score, word
from phasemill.transport.modes import Modes
from phasemill.transport.recover.direct import recover_direct
from phasemill.transport.recover.trajectory import TrajectoryFit
from phasemill.transport.spectra import FrameSpectra, SafeScheme

log = logging.getLogger("phasemill")

Floats = NDArray[np.float64]


@dataclass
class Outcome:
    """What came out for one corruption: an entry of each list per video and draw."""

    rows: list[Row] = field(default_factory=list)
    naive: list[float] = field(default_factory=list)
    forward: list[float] = field(default_factory=list)
    """Naive, but sharpening videos forward in the unstable direction."""
    matched: list[float] = field(default_factory=list)
    fits: list[dict[str, float]] = field(default_factory=list)
    """sigma, z, chi2, noise and error of the first frame of each fit of a whole trajectory."""
    shown: dict[int, tuple[Floats, Floats, float]] = field(default_factory=dict)
    """Base simulation -> kept frames as observed and as fitted, and kappa, of its first draw."""


def robustness(job: RobustnessJob, data: Path, output: Path, *, threads: int = 1) -> dict[str, Any]:
    """Recover kappa of the held-out videos after each corruption, naively and with the matching fit."""
    clock = Clock()
    source = store.open_dataset(data)
    rows = list(dataset.rows(source, "test"))
    kept = np.linspace(0, source.sizes["time"] - 1, job.robustness.field_frames).round().astype(int)
    cases = corruptions(job.robustness)
    outcomes = {case.label: _meet(case, source, rows, kept, job) for case in cases}
    naive = {label: score(outcome.rows, outcome.naive) for label, outcome in outcomes.items()}
    forward = {label: score(outcome.rows, outcome.forward) for label, outcome in outcomes.items()}
    matched = {label: score(outcome.rows, outcome.matched) for label, outcome in outcomes.items()}
    stopped = {label: _at_bound(outcome, job.search.bounds) for label, outcome in outcomes.items()}
    baseline = score(rows, constant(source, rows).kappa)
    noisy = {case.label: case.noise for case in cases if case.noise is not None}
    spread = {
        label: calibration(*zip(*((fit["z"], fit["sigma"]) for fit in outcomes[label].fits), strict=True))
        for label in noisy
    }
    fits = {case.label: case.fit for case in cases}
    _write_fields(output / "fields.zarr", source, rows, kept, cases, outcomes, clock, job)
    five = next((label for label, level in noisy.items() if level == 0.05), None)
    others = [label for label in matched if label not in noisy and not label.startswith("crop")]
    return {
        "title": "Noise, intensity maps, walls and crops",
        "question": (
            f"Does kappa survive what real videos bring along? Each of {len(rows)} held-out videos is corrupted and "
            "kappa recovered twice: with the SAFE loss as it stands (naive), and with a fit that matches the "
            "corruption; under noise this is the maximum-likelihood fit of the whole trajectory, which also gives a "
            "standard deviation."
        ),
        "answer": (
            "With the matching fit the mean error is "
            + ", ".join(f"{mae(matched[label]):.2g} at {label} (naive {mae(naive[label]):.2g})" for label in noisy)
            + "."
        ),
        "headline": [
            *(
                headline(f"mean |error|, {label}", mae(matched[label]), f"naive {mae(naive[label]):.2g}")
                for label in noisy
            ),
            headline(
                "spread of error / sigma",
                max((by["std"] for by in spread.values()), key=_from_one),
                "worst noise level; 1 is calibrated",
            ),
            headline(
                "largest mean |error|, other corruptions",
                max(mae(matched[label]) for label in others),
                f"matching fits; naive up to {max(mae(naive[label]) for label in others):.2g}",
            ),
        ],
        "tables": [
            error_table(fits, naive, forward, matched, baseline, stopped),
            r2_table(naive, forward, matched, baseline),
            calibration_table(noisy, {label: outcomes[label].fits for label in noisy}, spread),
        ],
        "claims": {
            "transport.robustness.noise": mae(naive[five]) if five else None,
            "transport.robustness.walls": mae(naive["walls"]),
        },
        "claim_notes": {
            f"transport.robustness.{name}": (
                f"{stopped[label]['naive']:.0%} of the answers are a bound of the search, whose width then sets the "
                "error."
            )
            for name, label in (("noise", five), ("walls", "walls"))
            if label and stopped[label]["naive"]
        },
        "metrics": {
            "naive": naive,
            "forward": forward,
            "matched": matched,
            "at_bound": stopped,
            "fit": fits,
            "constant": baseline,
            "calibration": spread,
            "noisy": {
                label: {
                    "truth": [row.kappa for row in outcomes[label].rows],
                    "direction": [row.direction for row in outcomes[label].rows],
                    "naive": outcomes[label].naive,
                    "kappa": outcomes[label].matched,
                    **{key: [fit[key] for fit in outcomes[label].fits] for key in outcomes[label].fits[0]},
                }
                for label in noisy
            },
        },
        "provenance": [
            store.provenance(source),
            clock.record("evaluate transport_robustness", job.model_dump(), threads=threads),
        ],
    }


def _meet(case: Corruption, source: xr.Dataset, rows: Sequence[Row], kept: NDArray[Any], job: RobustnessJob) -> Outcome:
    """Corrupt the videos and recover kappa from each, naively and with the matching fit."""
    outcome = Outcome()
    bounds = job.search.bounds
    trials = list(_trials(case, rows, job.robustness.draws))
    for (row, directions), seed in zip(trials, branch(job.seed, f"robustness {case.label}", len(trials)), strict=True):
        scheme = replace(dataset.scheme(source, row), direction=1)
        frames = case.apply(row, scheme, np.random.default_rng(seed))
        fit = case.recover(frames, dx=scheme.dx, interval=scheme.interval, substeps=scheme.substeps, bounds=bounds)
        naive = recover_direct(FrameSpectra.from_frames(frames, scheme), bounds)
        for direction in directions:
            outcome.rows.append(replace(row, direction=direction, frames=row.frames[:: direction * row.direction]))
            outcome.naive.append(naive.kappa)
            outcome.forward.append(naive.kappa if direction > 0 else _unstable(frames, scheme, bounds))
            outcome.matched.append(fit.kappa)
        observed = _on_canvas(frames[kept], source.sizes["x"])
        fitted = np.full_like(observed, np.nan)
        if isinstance(fit, TrajectoryFit):
            modes = Modes(fit.initial.shape, scheme.dx, case.boundary)
            fitted = evolve(modes, modes.split(fit.initial[None])[0], fit.kappa, scheme, kept)
            outcome.fits.append(_facts(row, fit, case))
        outcome.shown.setdefault(row.base, (observed, fitted, fit.kappa))
    mean = np.mean([abs(kappa - row.kappa) for kappa, row in zip(outcome.matched, outcome.rows, strict=True)])
    log.info("robustness: %s, mean |error| %.2g with the matching fit", case.label, mean)
    return outcome


def _trials(case: Corruption, rows: Sequence[Row], draws: int) -> Iterator[tuple[Row, tuple[int, ...]]]:
    """A video, and the directions of time for which its estimate stands.

    In the stable direction a video and its reverse pose the same problem: unless noise is drawn for each, one
    estimate serves both.
    """
    for row in rows:
        if case.noise is not None:
            yield from [(row, (row.direction,))] * draws
        elif row.direction > 0:
            yield row, dataset.DIRECTIONS


def _facts(row: Row, fit: TrajectoryFit, case: Corruption) -> dict[str, float]:
    sharpest = row.frames[:: row.direction][0].astype(np.float64)
    return {
        "sigma": fit.sigma,
        "z": (fit.kappa - row.kappa) / fit.sigma,
        "chi2": fit.chi2,
        "noise": fit.noise,
        "initial_rmse": metrics.rmse(sharpest, fit.initial),
    }


def _write_fields(
    path: Path,
    source: xr.Dataset,
    rows: Sequence[Row],
    kept: NDArray[Any],
    cases: Sequence[Corruption],
    outcomes: dict[str, Outcome],
    clock: Clock,
    job: RobustnessJob,
) -> None:
    """Of each held-out base simulation: the true frames, those observed, and the noise-free ones that were fitted."""
    bases = [row for row in rows if row.direction > 0]
    labels = [word(case.label) for case in cases]
    coords = xr.Dataset(
        coords={
            "sim": xr.DataArray(
                [row.base for row in bases], dims="sim", attrs={"units": "1", "long_name": "base simulation"}
            ),
            "corruption": store.flags(labels, tuple(labels), "corruption", "what was done to the frames"),
            "time": source.time[kept],
            "x": source.x,
            "y": source.y,
            "kappa": ("sim", [row.kappa for row in bases], {"units": "1", "long_name": "true kappa"}),
        }
    )
    dims = ("sim", "corruption", "time", "x", "y")
    variables = {
        "truth": store.Variable(("sim", "time", "x", "y"), "1", "field of the data set"),
        "observed": store.Variable(dims, "1", "corrupted frames, first draw; missing outside a crop"),
        "fitted": store.Variable(dims, "1", "noise-free frames of a whole-trajectory fit; missing for other fits"),
        "kappa_estimate": store.Variable(
            ("sim", "corruption"), "1", "kappa by the matching fit, first draw", "float64"
        ),
    }
    stencil = "5-point Laplacian, periodic or, for walls, mirrored"
    attrs = inherited(source, "Corrupted videos and what was fitted", stencil=stencil)
    with store.create(path, coords, variables, attrs) as writer:
        for sim, row in enumerate(bases):
            shown = [outcomes[case.label].shown[row.base] for case in cases]
            observed, fitted, kappa = zip(*shown, strict=True)
            writer.write(
                sim, truth=row.frames[kept], observed=np.stack(observed), fitted=np.stack(fitted), kappa_estimate=kappa
            )
        writer.provenance = clock.record("fields", job.model_dump())


def _at_bound(outcome: Outcome, bounds: tuple[float, float]) -> dict[str, float]:
    """Shares of the naive answers that are a bound of the search, and of the sharpening videos predicted forward."""
    forward = [k for k, row in zip(outcome.forward, outcome.rows, strict=True) if row.direction < 0]
    return {
        name: float(np.mean([at_bound(kappa, bounds) for kappa in found]))
        for name, found in (("naive", outcome.naive), ("forward", forward))
    }


def _on_canvas(frames: Floats, size: int) -> Floats:
    """Frames (time, x, y) in the middle of the whole field, missing elsewhere."""
    canvas = np.full((len(frames), size, size), np.nan)
    start, cells = window(size, frames.shape[1] / size)
    canvas[:, start : start + cells, start : start + cells] = frames
    return canvas


def _unstable(frames: Floats, scheme: SafeScheme, bounds: tuple[float, float]) -> float:
    """kappa of a sharpening video by forward Euler; the frames are in the order of smoothing."""
    forward = replace(scheme, direction=-1, mode="forward_euler")
    return recover_direct(FrameSpectra.from_frames(frames[::-1], forward), bounds).kappa


def _from_one(spread: float) -> float:
    return abs(float(np.log(spread)))
