"""Larger boxes than the networks were trained in, for longer; and what a step costs in boxes of all sizes."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.spinodal.config.rollout import SizeJob
from phasemill.spinodal.evaluate.beyond import (
    against_held_out,
    as_lists,
    held_out,
    score_all,
    scores_table,
    stored_frames,
    write_fields,
)
from phasemill.spinodal.evaluate.contest import Entry, gather, named
from phasemill.spinodal.evaluate.numbers import headline
from phasemill.spinodal.network import Step

log = logging.getLogger("phasemill")


def size(
    job: SizeJob, data: Path, output: Path, *, compare: Path, models: list[Path] | None = None, threads: int = 1
) -> dict[str, Any]:
    """Roll the first and the judged network, and those in files, out in the larger boxes and time their steps."""
    clock, medium = Clock(), job.medium
    source = store.open_dataset(data)
    chosen = dict.fromkeys([job.rollout.models[0], job.rollout.judged])  # the others would cost as much again
    entries = gather(list(chosen), models or [], medium)
    other = held_out(compare, "mse_by_frame_from_noise")  # these boxes start from noise as well
    runs, scores = score_all(entries, source, medium)
    first, judged = entries[0].label, named(entries, job.rollout.judged).label
    frames = stored_frames(source, medium)
    ratios = {label: against_held_out(score["mse"], frames, other[label]) for label, score in scores.items()}
    seconds = {
        entry.label: [seconds_per_step(entry, side, job.size.repeats) for side in job.size.grids] for entry in entries
    }
    slopes = {label: cost_slope(job.size.grids, values) for label, values in seconds.items()}
    names = [f"box {number + 1}" for number in range(source.sizes["sim"])]
    write_fields(output / "fields.zarr", source, runs, scores, clock, job.model_dump(), medium, "larger boxes")
    side, until = source.sizes["x"], float(source["time"][-1] / medium.interval)
    known, worst = ratios[first], float(scores[first]["energy_error"].max())
    return {
        "title": "Larger boxes",
        "question": (
            f"A network of convolutions fits a box of any size. Is it as good in one of {side}³ cells, over {until:g} "
            "tau, as on the held-out boxes over the training's length, and does its cost grow with the cells?"
        ),
        "answer": (
            f"The mean square error ({first}) is {known['mse']:.2g}, {known['ratio']:.2g} times that on the held-out "
            f"boxes that start from noise, as these do; with the published network {ratios[judged]['ratio']:.2g} "
            f"times. The cost of a step grows as the number of cells to the power {slopes[first]:.2f}."
        ),
        "headline": [
            headline("MSE over that of held-out boxes", known["ratio"], f"{side}³ cells, {until:g} tau", ""),
            headline("the same, published network", ratios[judged]["ratio"], "", "spinodal.size.mse_ratio"),
            headline("largest relative error of F", worst, "all frames", ""),
            headline(
                "exponent of the cost", slopes[judged], "seconds per step against cells", "spinodal.size.linear_cost"
            ),
        ],
        "tables": [
            scores_table(scores, names, frames, other),
            {
                "title": "Cost of a step",
                "columns": ["network", *(f"{side}³ cells" for side in job.size.grids), "exponent"],
                "rows": [[label, *values, slopes[label]] for label, values in seconds.items()],
                "note": (
                    f"Core-seconds, cells of the network's grid, batch 1, fastest of {job.size.repeats} steps. "
                    "Exponent: slope of log seconds against log cells."
                ),
            },
        ],
        "claims": {"spinodal.size.mse_ratio": ratios[judged]["ratio"], "spinodal.size.linear_cost": slopes[judged]},
        "claim_notes": {
            "spinodal.size.mse_ratio": "; ".join(
                f"{label}: {row['mse']:.2g} against {row['held_out']:.2g}, and over the same frames "
                f"{row['mse_shared']:.2g} against {row['held_out_shared']:.2g}"
                for label, row in ratios.items()
            )
            + ".",
        },
        "metrics": {
            "judged": judged,
            "shown": first,
            "names": names,
            "frames": frames,
            "methods": as_lists(scores),
            "held_out": other,
            "ratios": ratios,
            "grids": job.size.grids,
            "seconds": seconds,
            "slopes": slopes,
        },
        "provenance": [
            store.provenance(source),
            *(entry.model.card["provenance"] for entry in entries),
            clock.record("evaluate spinodal_size", job.model_dump(), threads=threads),
        ],
    }


def seconds_per_step(entry: Entry, side: int, repeats: int) -> float:
    """Core-seconds of one step on a grid of side³ cells, the fastest of `repeats` after a first one from no state."""
    step: Step = entry.model.step
    with torch.no_grad():
        phi, state = step(torch.full((1, side, side, side), 0.5), None)
        best = float("inf")
        for _ in range(repeats):
            begun = time.process_time()
            phi, state = step(phi, state)
            best = min(best, time.process_time() - begun)
    return best


def cost_slope(grids: list[int], seconds: list[float]) -> float:
    """p of seconds ~ cells^p, by least squares in the logarithms."""
    return float(np.polyfit(3 * np.log(grids), np.log(seconds), 1)[0])
