"""Ablations of the SAFE operator by direct minimisation: sub-steps per frame interval, and frames left out.

Both recover kappa in the two modes for sharpening videos: "reverse" (the stable direction) and "forward_euler" (the
unstable one, which the paper's numbers imply). Nothing is learned, so every simulation of the data set may serve; the
values are those of the held-out videos. The bands say what other held-out sets of the same size would have given: they
come from re-draws out of a population of new simulations, drawn as the data set is. The unit of a re-draw is the base
simulation, because its two directions share kappa.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.transport.config.single import StrideJob, SubstepsJob
from phasemill.transport.datasets import videos as dataset
from phasemill.transport.evaluate.scoring import Estimates, Scores, headline, mae, score, write_fields
from phasemill.transport.recover.direct import recover_direct
from phasemill.transport.spectra import FrameSpectra, MobilityMode

MODES: tuple[MobilityMode, ...] = ("forward_euler", "reverse")
Rows = Sequence[dataset.Row]


def substeps(job: SubstepsJob, data: Path, output: Path, *, threads: int = 1) -> dict[str, Any]:
    """Error of kappa against the number K of sub-steps per frame interval (SAFE-PIT-CM, Table 3 and Fig. 7)."""
    clock, counts = Clock(), job.substeps.counts
    source = store.open_dataset(data)
    held_out = list(dataset.rows(source, "test"))
    found = {mode: np.array([_by_count(source, row, mode, job) for row in held_out]) for mode in MODES}
    scores = {mode: {k: score(held_out, found[mode][:, i].tolist()) for i, k in enumerate(counts)} for mode in MODES}
    expected, bands = _population(source, len(held_out) // 2, job)
    forward, finest = scores["forward_euler"], max(counts)
    slope = np.log(mae(forward[min(counts)]) / mae(forward[finest])) / np.log(finest / min(counts))
    collapse, collapse_note = _collapse(held_out, found["forward_euler"][:, counts.index(1)])
    best = Estimates(f"direct, K = {finest}", found["reverse"][:, counts.index(finest)].tolist(), role="solver")
    write_fields(output / "fields.zarr", source, held_out, [best], job.search.field_frames, clock, job.model_dump())
    claims: dict[str, float | None] = {f"transport.substeps.mae_k{k}": mae(forward[k]) for k in counts}
    return {
        "title": "Sub-steps per frame interval",
        "question": (
            "How many sub-steps must the frozen operator take from one frame to the next? kappa is recovered from each "
            f"of {len(held_out)} held-out videos by direct minimisation with K sub-steps, sharpening videos forward in "
            "the unstable direction (forward Euler) and back in the stable one (reverse)."
        ),
        "answer": (
            f"Forward, the mean error falls from {mae(forward[min(counts)]):.2g} at K = {min(counts)} to "
            f"{mae(forward[finest]):.2g} at K = {finest}; in the stable direction it ends at "
            f"{mae(scores['reverse'][finest]):.1g}, because the operator is then the solver's own."
        ),
        "headline": [
            headline(
                f"mean |error| at K = {finest}, forward", mae(forward[finest]), claim="transport.substeps.mae_k50"
            ),
            headline(f"mean |error| at K = {finest}, reverse", mae(scores["reverse"][finest]), "stable direction"),
            headline("slope of the error against K", -slope, "log-log, forward; -1 is an error of first order in 1/K"),
        ],
        "tables": [_table("K", scores, expected, bands)],
        "claims": {
            **claims,
            "transport.substeps.slope": float(slope),
            "transport.substeps.collapse_below": collapse,
            "transport.substeps.diffusion_unaffected": forward[1]["diffusion"]["r2"],
            "transport.substeps.mobility_r2_k1": forward[1]["mobility"]["r2"],
            "transport.substeps.mobility_r2_k2": forward[2]["mobility"]["r2"],
            "transport.substeps.mobility_fails_first": min(
                mae(forward[k], "mobility") / mae(forward[k], "diffusion") for k in counts
            ),
            "transport.substeps.diffusion_r2_k50": forward[50]["diffusion"]["r2"],
            "transport.substeps.mobility_r2_k50": forward[50]["mobility"]["r2"],
        },
        "claim_notes": {
            "transport.substeps.collapse_below": collapse_note,
            "transport.substeps.diffusion_unaffected": collapse_note,
            **{
                f"transport.substeps.mobility_r2_k{k}": _collapse(held_out, found["forward_euler"][:, counts.index(k)])[
                    1
                ]
                for k in (1, 2)
            },
        },
        "claim_bands": {f"transport.substeps.mae_k{k}": band for k, band in bands.items()},
        "metrics": {
            "scores": _by_text(scores),
            "truth": [row.kappa for row in held_out],
            "direction": [row.direction for row in held_out],
            "kappa": {
                mode: {str(k): values[:, i].tolist() for i, k in enumerate(counts)} for mode, values in found.items()
            },
            "expected": {str(k): value for k, value in expected.items()},
            "bands": {str(k): band for k, band in bands.items()},
        },
        "provenance": [
            store.provenance(source),
            clock.record("evaluate transport_substeps", job.model_dump(), threads=threads),
        ],
    }


def stride(job: StrideJob, data: Path, output: Path, *, threads: int = 1) -> dict[str, Any]:
    """Error of kappa when only every s-th frame is used, with the sub-steps per pair fixed (SAFE-PIT-CM, Fig. 8)."""
    clock = Clock()
    source = store.open_dataset(data)
    held_out = list(dataset.rows(source, "test"))
    strides = [s for s in job.stride.strides if s < source.sizes["time"]]
    found: dict[MobilityMode, dict[int, list[float]]] = {mode: {s: [] for s in strides} for mode in MODES}
    exact = []
    for row in held_out:
        fixed = dataset.scheme(source, row).substeps
        for s in strides:
            for mode in MODES:
                scheme = replace(dataset.scheme(source, row, s, mode), substeps=fixed)
                spectra = FrameSpectra.from_frames(_thin(row, s), scheme)
                found[mode][s].append(recover_direct(spectra, job.search.bounds).kappa)
        spectra = FrameSpectra.from_frames(_thin(row, strides[-1]), dataset.scheme(source, row, strides[-1]))
        exact.append(recover_direct(spectra, job.search.bounds).kappa)
    scores = {mode: {s: score(held_out, found[mode][s]) for s in strides} for mode in MODES}
    matched = score(held_out, exact)
    shown = [Estimates(f"every {strides[-1]}th frame, matched", exact, role="solver")]
    write_fields(output / "fields.zarr", source, held_out, shown, job.search.field_frames, clock, job.model_dump())
    return {
        "title": "Frames left out",
        "question": (
            "How many frames can be missed? Only every s-th frame is used; the operator keeps its number of sub-steps "
            "per pair of frames, so that each becomes longer. With as many more sub-steps as frames are missed "
            "(matched) the operator stays exact."
        ),
        "answer": (
            f"With every {strides[-1]}th frame the mean error is {mae(scores['reverse'][strides[-1]]):.2g} in the "
            f"stable direction and {mae(scores['forward_euler'][strides[-1]]):.2g} forward if the sub-steps "
            f"stay as they are, and {matched['all']['mae']:.1g} if they grow with the interval."
        ),
        "headline": [
            headline(f"mean |error|, every {strides[-1]}th frame, matched", matched["all"]["mae"], "stable direction"),
            headline(
                f"mean |error|, every {strides[-1]}th frame", mae(scores["reverse"][strides[-1]]), "sub-steps fixed"
            ),
        ],
        "tables": [_table("every s-th frame", scores)],
        "claims": _stride_claims(scores["forward_euler"]),
        "claim_notes": _stride_notes(scores["forward_euler"]),
        "metrics": {"scores": _by_text(scores), "matched": matched},
        "provenance": [
            store.provenance(source),
            clock.record("evaluate transport_stride", job.model_dump(), threads=threads),
        ],
    }


def _collapse(rows: Rows, kappa: np.ndarray) -> tuple[float, str]:
    """Median of estimate / truth over the videos, and in words in each direction of time."""
    ratio = kappa / [row.kappa for row in rows]
    direction = np.array([row.direction for row in rows])
    words = [
        f"{np.median(ratio[direction == sign]):.2g} ({ratio[direction == sign].min():.2g} to "
        f"{ratio[direction == sign].max():.2g}) of the truth for {regime}"
        for sign, regime in ((1, "diffusion"), (-1, "mobility"))
    ]
    return float(np.median(ratio)), f"Estimate, median and range: {', '.join(words)}."


def _stride_claims(forward: dict[int, Scores]) -> dict[str, float | None]:
    """Ratios of errors around every tenth frame, the range of the paper's Fig. 8; empty without that stride."""
    if not {1, 10} < forward.keys():
        return {}
    all_frames, tenth, coarsest = forward[1], forward[10], forward[max(forward)]
    return {
        "transport.stride.diffusion_robust": mae(tenth, "diffusion"),
        "transport.stride.mobility_degrades": mae(tenth, "mobility") / mae(all_frames, "mobility"),
        "transport.stride.both_degrade": min(
            mae(coarsest, regime) / mae(tenth, regime) for regime in ("diffusion", "mobility")
        ),
        "transport.stride.mobility_degrades_first": mae(tenth, "mobility") / mae(tenth, "diffusion"),
    }


def _stride_notes(forward: dict[int, Scores]) -> dict[str, str]:
    """The two regimes behind the smaller one of `both_degrade`; empty without every tenth frame."""
    if not {1, 10} < forward.keys():
        return {}
    last = max(forward)
    words = [
        f"{regime} {mae(forward[last], regime) / mae(forward[10], regime):.2g}" for regime in ("diffusion", "mobility")
    ]
    return {"transport.stride.both_degrade": f"Every {last}th over every 10th frame: {', '.join(words)}."}


def _thin(row: dataset.Row, s: int) -> np.ndarray:
    """Every s-th frame, counted from the sharpest one, so that both directions keep the same frames."""
    return row.frames[::s] if row.direction > 0 else row.frames[::-1][::s][::-1]


def _by_count(source: xr.Dataset, row: dataset.Row, mode: MobilityMode, job: SubstepsJob) -> list[float]:
    """kappa of one video for each number of sub-steps; the spectra of its frames do not depend on it."""
    scheme = dataset.scheme(source, row, mode=mode)
    spectra = FrameSpectra.from_frames(row.frames, scheme)
    coarse = [replace(spectra, scheme=replace(scheme, substeps=count)) for count in job.substeps.counts]
    return [recover_direct(each, job.search.bounds).kappa for each in coarse]


def _population(source: xr.Dataset, size: int, job: SubstepsJob) -> tuple[dict[int, float], dict[int, list[float]]]:
    """Per K, forward: mean |error| of new simulations, and its 5 % and 95 % quantile over sets of `size` of them."""
    errors = []
    for number, seed in enumerate(branch(job.seed, "substeps_population", job.substeps.population)):
        run, kappa = dataset.draw_simulation(job.data, seed), dataset.draw_kappa(job.data, seed)
        frames = run.frames.astype(np.float32)
        twins = [dataset.Row(number, sign, kappa, frames[::sign], run.subdivisions) for sign in dataset.DIRECTIONS]
        found = [_by_count(source, row, "forward_euler", job) for row in twins]
        errors.append(np.abs(np.array(found) - kappa).mean(0))
    each = np.array(errors)
    rng = np.random.default_rng(branch(job.seed, "substeps", 1)[0])
    sets = each[rng.integers(len(each), size=(job.substeps.resamples, size))].mean(1)
    bands = np.quantile(sets, [0.05, 0.95], axis=0).T
    counts = job.substeps.counts
    return dict(zip(counts, each.mean(0).tolist(), strict=True)), dict(zip(counts, bands.tolist(), strict=True))


def _by_text(scores: dict[MobilityMode, dict[int, Scores]]) -> dict[str, dict[str, Scores]]:
    """The same with text keys, as JSON has them."""
    return {mode: {str(key): value for key, value in by.items()} for mode, by in scores.items()}


def _table(
    name: str,
    scores: dict[MobilityMode, dict[int, Scores]],
    expected: dict[int, float] | None = None,
    bands: dict[int, list[float]] | None = None,
) -> dict[str, Any]:
    columns = ["sharpening videos", name, "mean |error|", "diffusion", "mobility", "R2 diffusion", "R2 mobility"]
    columns += ["expected", "5 %", "95 %"] if bands else []
    rows = []
    for mode, by in scores.items():
        for key, by_regime in by.items():
            band = [expected[key], *bands[key]] if expected and bands else []
            rows.append(
                [
                    mode.replace("_", " "),
                    key,
                    *_line(by_regime),
                    *(band if mode == "forward_euler" else [None] * len(band)),
                ]
            )
    note = (
        "Expected: mean |error| over a population of new simulations, drawn as the data set is; quantiles over sets of "
        "as many of them as are held out, both directions of each together."
    )
    return {"title": "Recovery of kappa", "columns": columns, "rows": rows, "note": note if bands else ""}


def _line(scores: Scores) -> Iterator[float | None]:
    yield from (scores[regime]["mae"] for regime in ("all", "diffusion", "mobility"))
    yield from (scores[regime]["r2"] for regime in ("diffusion", "mobility"))
