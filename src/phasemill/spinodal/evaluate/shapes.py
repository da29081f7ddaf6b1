"""Shapes and noise that no training draws: whether the networks have learnt the equation or the mixtures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.spinodal import metrics
from phasemill.spinodal.config.rollout import ShapesJob
from phasemill.spinodal.evaluate.beyond import (
    against_held_out,
    as_lists,
    held_out,
    score_all,
    scores_table,
    stored_frames,
    write_fields,
)
from phasemill.spinodal.evaluate.contest import SEEN, STILL, Run, gather, named
from phasemill.spinodal.evaluate.numbers import headline, known
from phasemill.spinodal.shapes import BODIES, LABELS


def shapes(
    job: ShapesJob, data: Path, output: Path, *, compare: Path, models: list[Path] | None = None, threads: int = 1
) -> dict[str, Any]:
    """Roll the networks out from every shape."""
    clock, medium = Clock(), job.medium
    source = store.open_dataset(data)
    entries = gather(job.rollout.models, models or [], medium)
    other, frames = held_out(compare), stored_frames(source, medium)
    names = store.meanings(source["shape"])
    runs, scores = score_all(entries, source, medium, seen=True)
    write_fields(output / "fields.zarr", source, runs, scores, clock, job.model_dump(), medium, "shapes")
    ratios = {
        label: {name: against_held_out(score["mse"][sim], frames, other[label]) for sim, name in enumerate(names)}
        for label, score in scores.items()
    }
    first, judged = entries[0].label, named(entries, job.rollout.judged).label
    mine = {name: row["ratio"] for name, row in ratios[judged].items()}
    worst = max(BODIES, key=lambda name: mine[name])
    listed = ", ".join(f"{LABELS[name]} {mine[name]:.2g}" for name in BODIES)
    stayed = {
        label: {name: ratios[label][name]["mse"] / ratios[STILL][name]["mse"] for name in BODIES}
        for label in (first, judged)
    }
    moved = "; ".join(
        f"{label}: " + ", ".join(f"{LABELS[name]} {share:.2g}" for name, share in shares.items())
        for label, shares in stayed.items()
    )
    lost = {name: row["mse"] / ratios[SEEN][name]["mse"] for name, row in ratios[first].items()}
    farthest = max(BODIES, key=lambda name: stayed[first][name])
    still = {name: row["mse"] / ratios[judged][name]["held_out"] for name, row in ratios[STILL].items()}
    side, until = source.sizes["x"], frames[-1]
    return {
        "title": "Shapes unlike any mixture",
        "question": (
            "Has the network learnt the equation, or the mixtures of its training? It starts from a bunny of "
            "ellipsoids (a substitute shape for the paper's), a knot, a gyroid and spheres, from noise in a slice "
            f"alone and from white noise, in boxes of {side}³ cells, and runs by itself for {until} tau."
        ),
        "answer": (
            f"For the bodies the mean square error of {first} is at most {stayed[first][farthest]:.2g} times that of "
            f"standing still ({LABELS[farthest]}), which is small, as they hardly move. From white noise it is "
            f"{ratios[first]['white']['mse']:.2g}, and the solver from the same coarse cells has "
            f"{ratios[SEEN]['white']['mse']:.2g}: every second cell of white noise tells nothing of the rest. One tau "
            f"later the network has {lost['white_after']:.2g} times the error of the solver from the same cells."
        ),
        "headline": [
            headline("largest MSE of a body over held-out", mine[worst], LABELS[worst], "spinodal.shapes.mse_ratio"),
            headline("largest MSE of a body over standing still", stayed[first][farthest], LABELS[farthest], ""),
            headline("noise in a slice", mine["slice"], "MSE over held-out", "spinodal.shapes.slice"),
            headline("white noise", mine["white"], "MSE over held-out", "spinodal.shapes.white_noise"),
            headline(
                "white noise, one tau later", lost["white_after"], "MSE over the solver's from the same cells", ""
            ),
        ],
        "tables": [
            scores_table(scores, [LABELS[name] for name in names], frames, other),
            _topology(runs[0], names, frames),
        ],
        "claims": {
            "spinodal.shapes.mse_ratio": mine[worst],
            "spinodal.shapes.learnt": max(stayed[judged].values()),
            "spinodal.shapes.slice": mine["slice"],
            "spinodal.shapes.white_noise": mine["white"],
        },
        "claim_notes": {
            "spinodal.shapes.mse_ratio": (
                f"{listed}. Standing still has {max(still[name] for name in BODIES):.2g} at most, by the same "
                "measure: where that is within the bound, the verdict says nothing of the network. The bodies fill "
                "little of the box or hardly move."
            ),
            "spinodal.shapes.learnt": f"{moved}.",
            "spinodal.shapes.slice": (
                f"Mean square error {ratios[judged]['slice']['mse']:.2g}; standing still "
                f"{ratios[STILL]['slice']['mse']:.2g}; the solver from the same coarse cells "
                f"{ratios[SEEN]['slice']['mse']:.2g}. Outside the slice the mixture is uniform and unstable here: the "
                "least error decides what grows there. The paper does not say what lies there."
            ),
            "spinodal.shapes.white_noise": (
                f"Mean square error {ratios[judged]['white']['mse']:.2g}; standing still "
                f"{ratios[STILL]['white']['mse']:.2g}; from the same noise one tau later, by the solver, "
                f"{ratios[judged]['white_after']['mse']:.2g}. The solver from the same coarse cells: "
                f"{ratios[SEEN]['white']['mse']:.2g} and {ratios[SEEN]['white_after']['mse']:.2g}."
            ),
        },
        "metrics": {
            "judged": judged,
            "shown": first,
            "over_still": stayed,
            "over_seen": lost,
            "names": names,
            "labels": LABELS,
            "frames": frames,
            "methods": as_lists(scores),
            "held_out": other,
            "ratios": known(ratios),
        },
        "provenance": [
            store.provenance(source),
            *(entry.model.card["provenance"] for entry in entries),
            clock.record("evaluate spinodal_shapes", job.model_dump(), threads=threads),
        ],
    }


def _topology(run: Run, names: list[str], frames: list[int]) -> dict[str, Any]:
    """Euler characteristic and number of domains by frame, truth beside prediction."""
    shown = [0, 1, len(frames) // 2, len(frames)]
    rows = []
    for sim, name in enumerate(names):
        for label, fields in (("truth", run.truth[sim]), (run.label, run.prediction[sim])):
            found = [metrics.topology(fields[index]) for index in shown]
            rows.append([LABELS[name], label, *(value for row in found for value in (row["euler"], row["components"]))])
    every = [0, *frames]
    return {
        "title": "Topology",
        "columns": [
            *("start", "method"),
            *(f"{word}, frame {every[index]}" for index in shown for word in ("Euler", "domains")),
        ],
        "rows": rows,
        "note": (
            "Of phi > 1/2 on the networks' grid: Euler characteristic (domains less handles plus cavities), and number "
            "of domains."
        ),
    }
