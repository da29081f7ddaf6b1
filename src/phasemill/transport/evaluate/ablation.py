"""Ablations of the SAFE operator by direct minimisation: sub-steps per frame interval, and frames left out.

Both recover kappa in the two modes for sharpening videos: "reverse" (the stable direction) and "forward_euler" (the
unstable one, which the paper's numbers imply). Nothing is learned, so every simulation of the data set may serve; the
values are those of the held-out videos, the bands come from re-draws of as many videos out of all.
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
from phasemill.transport import dataset
from phasemill.transport.config import StrideJob, SubstepsJob
from phasemill.transport.evaluate.scoring import Estimates, Scores, headline, score, write_fields
from phasemill.transport.recover.direct import recover_direct
from phasemill.transport.spectra import FrameSpectra, MobilityMode

MODES: tuple[MobilityMode, ...] = ("forward_euler", "reverse")
Rows = Sequence[dataset.Row]


def substeps(job: SubstepsJob, data: Path, output: Path, *, threads: int = 1) -> dict[str, Any]:
    """Error of kappa against the number K of sub-steps per frame interval (SAFE-PIT-CM, Table 3 and Fig. 7)."""
    clock, counts = Clock(), job.ablation.substeps
    source = store.open_dataset(data)
    held_out, everything = _videos(source)
    found: dict[MobilityMode, dict[int, list[float]]] = {mode: {count: [] for count in counts} for mode in MODES}
    for row in everything:
        for mode in MODES:
            scheme = dataset.scheme(source, row, mode=mode)
            spectra = FrameSpectra.from_frames(row.frames, scheme)
            for count in counts:  # the spectra of the frames do not depend on K
                coarse = replace(spectra, scheme=replace(scheme, substeps=count))
                found[mode][count].append(recover_direct(coarse, job.zero_shot.bounds).kappa)
    scores = {mode: {k: _held_out(held_out, everything, found[mode][k]) for k in counts} for mode in MODES}
    bands = {k: _band(everything, found["forward_euler"][k], len(held_out), job) for k in counts}
    forward, finest = scores["forward_euler"], max(counts)
    slope = np.log(_mae(forward[min(counts)]) / _mae(forward[finest])) / np.log(finest / min(counts))
    best = Estimates(f"direct, K = {finest}", _select(held_out, everything, found["reverse"][finest]))
    write_fields(output / "fields.zarr", source, held_out, [best], job.zero_shot.field_frames, clock, job.model_dump())
    claims: dict[str, float | None] = {f"transport.substeps.mae_k{k}": _mae(forward[k]) for k in counts}
    return {
        "title": "Sub-steps per frame interval",
        "question": (
            "How many sub-steps must the frozen operator take from one frame to the next? kappa is recovered from each "
            f"of {len(held_out)} held-out videos by direct minimisation with K sub-steps, sharpening videos forward in "
            "the unstable direction (forward Euler) and back in the stable one (reverse)."
        ),
        "headline": [
            headline(
                f"mean |error| at K = {finest}, forward", _mae(forward[finest]), claim="transport.substeps.mae_k50"
            ),
            headline(f"mean |error| at K = {finest}, reverse", _mae(scores["reverse"][finest]), "stable direction"),
            headline("slope of the error against K", -slope, "log-log, forward; -1 is an error of first order in 1/K"),
        ],
        "tables": [_table("K", scores, bands)],
        "claims": {
            **claims,
            "transport.substeps.slope": float(slope),
            "transport.substeps.mobility_r2_k2": forward[2]["mobility"]["r2"],
            "transport.substeps.diffusion_r2_k50": forward[50]["diffusion"]["r2"],
            "transport.substeps.mobility_r2_k50": forward[50]["mobility"]["r2"],
        },
        "claim_bands": {f"transport.substeps.mae_k{k}": band for k, band in bands.items()},
        "metrics": {"scores": _by_text(scores), "bands": {str(k): band for k, band in bands.items()}},
        "provenance": [
            store.provenance(source),
            clock.record("evaluate transport_substeps", job.model_dump(), threads=threads),
        ],
    }


def stride(job: StrideJob, data: Path, output: Path, *, threads: int = 1) -> dict[str, Any]:
    """Error of kappa when only every s-th frame is used, with the sub-steps per pair fixed (SAFE-PIT-CM, Fig. 8)."""
    clock = Clock()
    source = store.open_dataset(data)
    held_out, _ = _videos(source)
    strides = [s for s in job.ablation.strides if s < source.sizes["time"]]
    found: dict[MobilityMode, dict[int, list[float]]] = {mode: {s: [] for s in strides} for mode in MODES}
    exact = []
    for row in held_out:
        fixed = dataset.scheme(source, row).substeps
        for s in strides:
            for mode in MODES:
                scheme = replace(dataset.scheme(source, row, s, mode), substeps=fixed)
                spectra = FrameSpectra.from_frames(_thin(row, s), scheme)
                found[mode][s].append(recover_direct(spectra, job.zero_shot.bounds).kappa)
        spectra = FrameSpectra.from_frames(_thin(row, strides[-1]), dataset.scheme(source, row, strides[-1]))
        exact.append(recover_direct(spectra, job.zero_shot.bounds).kappa)
    scores = {mode: {s: score(held_out, found[mode][s]) for s in strides} for mode in MODES}
    matched = score(held_out, exact)
    write_fields(
        *(output / "fields.zarr", source, held_out, [Estimates(f"every {strides[-1]}th frame, matched", exact)]),
        *(job.zero_shot.field_frames, clock, job.model_dump()),
    )
    tenth = scores["forward_euler"].get(10)
    ratio = None if tenth is None else _mae(tenth, "mobility") / _mae(tenth, "diffusion")
    return {
        "title": "Frames left out",
        "question": (
            "How many frames can be missed? Only every s-th frame is used; the operator keeps its number of sub-steps "
            "per pair of frames, so that each becomes longer. With as many more sub-steps as frames are missed "
            "(matched) the operator stays exact."
        ),
        "headline": [
            headline(f"mean |error|, every {strides[-1]}th frame, matched", matched["all"]["mae"], "stable direction"),
            headline(
                f"mean |error|, every {strides[-1]}th frame", _mae(scores["reverse"][strides[-1]]), "sub-steps fixed"
            ),
        ],
        "tables": [_table("every s-th frame", scores)],
        "claims": {"transport.stride.mobility_degrades_first": ratio},
        "metrics": {"scores": _by_text(scores), "matched": matched},
        "provenance": [
            store.provenance(source),
            clock.record("evaluate transport_stride", job.model_dump(), threads=threads),
        ],
    }


def _videos(source: xr.Dataset) -> tuple[Rows, Rows]:
    """The held-out videos and all videos."""
    everything = [row for split in dataset.SPLITS for row in dataset.rows(source, split)]
    return list(dataset.rows(source, "test")), everything


def _thin(row: dataset.Row, s: int) -> np.ndarray:
    """Every s-th frame, counted from the sharpest one, so that both directions keep the same frames."""
    return row.frames[::s] if row.direction > 0 else row.frames[::-1][::s][::-1]


def _select(chosen: Rows, everything: Rows, values: Sequence[float]) -> list[float]:
    place = {(row.base, row.direction): value for row, value in zip(everything, values, strict=True)}
    return [place[row.base, row.direction] for row in chosen]


def _held_out(held_out: Rows, everything: Rows, kappa: Sequence[float]) -> Scores:
    return score(held_out, _select(held_out, everything, kappa))


def _mae(scores: Scores, regime: str = "all") -> float:
    value = scores[regime]["mae"]
    assert value is not None
    return value


def _band(everything: Rows, kappa: Sequence[float], size: int, job: SubstepsJob) -> list[float]:
    """5 % and 95 % quantile of the mean |error| over re-draws of `size` videos, half of them of each direction."""
    rng = np.random.default_rng(branch(job.seed, "substeps", 1)[0])
    error = np.abs(np.array(kappa) - [row.kappa for row in everything])
    direction = np.array([row.direction for row in everything])
    draws = [
        rng.choice(error[direction == sign], (job.ablation.resamples, size // 2)).mean(1) for sign in dataset.DIRECTIONS
    ]
    return [float(q) for q in np.quantile(np.mean(draws, axis=0), [0.05, 0.95])]


def _by_text(scores: dict[MobilityMode, dict[int, Scores]]) -> dict[str, dict[str, Scores]]:
    """The same with text keys, as JSON has them."""
    return {mode: {str(key): value for key, value in by.items()} for mode, by in scores.items()}


def _table(
    name: str, scores: dict[MobilityMode, dict[int, Scores]], bands: dict[int, list[float]] | None = None
) -> dict[str, Any]:
    columns = ["sharpening videos", name, "mean |error|", "diffusion", "mobility", "R2 diffusion", "R2 mobility"]
    rows = [
        [mode.replace("_", " "), key, *_line(by_regime), *((bands[key] if forward else [None, None]) if bands else [])]
        for mode, by_key in scores.items()
        for forward in [mode == "forward_euler"]
        for key, by_regime in by_key.items()
    ]
    return {
        "title": "Recovery of kappa",
        "columns": columns + (["5 %", "95 %"] if bands else []),
        "rows": rows,
        "note": "Quantiles of the mean |error| over re-draws of as many videos from all of the data set."
        if bands
        else "",
    }


def _line(scores: Scores) -> Iterator[float | None]:
    yield from (scores[regime]["mae"] for regime in ("all", "diffusion", "mobility"))
    yield from (scores[regime]["r2"] for regime in ("diffusion", "mobility"))
