"""Transfer: late stages and another law of mobility, learned from scratch and from a network of early stages.

Both ways have the same steps, batches and sequences, but not the same learning rate (`transfer.warm` from a warm
start). These settings were chosen after a first design had been scored on the same test boxes. Errors are
those of free roll-outs on test sequences. A long roll-out from late boxes shows whether late windows
cure a wrong speed of coarsening, which the paper proposes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.weights import load_model
from phasemill.spinodal.config.transfer import STAGES, TARGETS, TransferJob
from phasemill.spinodal.dataset import coarsen
from phasemill.spinodal.evaluate.ablation import capped, roll, score, stepper
from phasemill.spinodal.evaluate.ablation_tables import geometric, listed, percent
from phasemill.spinodal.metrics import energies, mse
from phasemill.spinodal.stages_dataset import evolve, late_box, load_stage
from phasemill.spinodal.train_transfer import Run, first_run, networks, plan

WORDS = {"early": "from noise", "late": "late windows", "surface": "degenerate mobility"}


def transfer(job: TransferJob, data: Path, output: Path, *, models: list[Path], threads: int = 1) -> dict[str, Any]:
    """Errors against the number of sequences and steps, what is forgotten, and the late roll-out."""
    clock = Clock()
    trained = networks(job).eval().requires_grad_(False)
    card = load_model(models[0], trained)
    source = store.open_dataset(data)
    dx = job.medium.dx * job.medium.factor
    truths = {stage: load_stage(source, stage, "test", job.medium.factor) for stage in STAGES}
    # boxes that have become uniform do not move at all: no error is counted as less than the solver's own
    still = {
        stage: max(float(mse(truth, np.broadcast_to(truth[:, :1], truth.shape)).mean()), job.stages.tolerance**2)
        for stage, truth in truths.items()
    }
    scores: dict[str, dict[str, Any]] = {}
    slices: dict[str, dict[str, NDArray[Any]]] = {stage: {} for stage in STAGES}
    largest = job.transfer.sequences[-1]
    for run in plan(job.transfer):
        scores[run.name] = {}
        for stage in STAGES if run.stage == "early" else (run.stage, "early"):
            truth = truths[stage]
            predicted = roll(stepper(trained, run.name), truth[:, 0], truth.shape[1] - 1)
            scores[run.name][stage] = score(truth, predicted, job.medium.eps, dx)
            if run.seed == 0 and stage != "early" and run.sequences in (0, largest):
                slices[stage]["before" if run.stage == "early" else run.origin] = predicted[:, :, :, :, 0]
    errors: dict[str, dict[str, Any]] = {
        stage: {
            "before": [relative(scores, first_run(seed), stage, still) for seed in range(job.transfer.seeds)],
            **{
                origin: {str(n): _errors(job, scores, stage, origin, n, still) for n in job.transfer.sequences}
                for origin in ("scratch", "transfer")
            },
        }
        for stage in TARGETS
    }
    forgetting = {
        "before": [relative(scores, first_run(seed), "early", still) for seed in range(job.transfer.seeds)],
        **{stage: _errors(job, scores, stage, "transfer", largest, still, on="early") for stage in TARGETS},
    }
    late = _late(job, trained)
    claims, notes = _claims(job, errors, late)
    _write_fields(output / "fields.zarr", source, job, truths, slices, clock)
    few = str(job.transfer.sequences[0])
    gains = {stage: _ratio(errors[stage]["scratch"][few], errors[stage]["transfer"][few]) for stage in TARGETS}
    return {
        "title": "Transfer to late stages and to another mobility",
        "question": (
            "Is a network of early demixing a good start for what it has not seen: late coarsening, and the "
            "degenerate mobility 16 phi^2 (1 - phi)^2, which tends to surface diffusion? It is trained further, beside "
            f"networks from scratch with the same steps, on {', '.join(map(str, job.transfer.sequences))} sequences."
        ),
        "answer": (
            f"With {few} sequences training from scratch has {geometric(gains['late']):.2g} times the error of "
            f"transfer for late windows and {geometric(gains['surface']):.2g} times for the degenerate mobility. Late "
            f"windows change the error of the free energy over {job.transfer.steps} late tau from "
            f"{percent(late['before']['energy_error'])} to {percent(late['transfer']['energy_error'])}; the error on "
            f"early stages becomes {_factor(forgetting, 'late'):.2g} and {_factor(forgetting, 'surface'):.2g} times "
            "as large."
        ),
        "headline": [
            {"label": "degenerate mobility, few sequences", "value": claims["spinodal.transfer.surface"],
             "note": "error from scratch over that with transfer", "claim": "spinodal.transfer.surface"},
            {"label": "late windows", "value": claims["spinodal.transfer.late"],
             "note": "late error of F after over before", "claim": "spinodal.transfer.late"},
            {"label": "forgetting", "value": _factor(forgetting, "surface"),
             "note": "early error after the degenerate mobility over before"},
        ],
        "tables": [_table(job, errors), _late_table(late), _forgetting_table(forgetting)],
        "claims": claims,
        "claim_notes": notes,
        "metrics": {
            "errors": errors,
            "persistence": still,
            "forgetting": forgetting,
            "late": late,
            "by_frame": _by_frame(job, scores),
            "curves": {name: content["curve"] for name, content in card["runs"].items()},
            "sequences": job.transfer.sequences,
        },
        "provenance": [
            store.provenance(source),
            card["provenance"],
            clock.record("evaluate spinodal_transfer", job.model_dump(), threads=threads),
        ],
    }  # fmt: skip


def relative(scores: Mapping[str, Any], run: Run, stage: str, still: Mapping[str, float]) -> float:
    """Mean squared error over that of standing still."""
    return float(scores[run.name][stage]["mse"].mean()) / still[stage]


def _errors(
    job: TransferJob, scores: Mapping[str, Any], stage: str, origin: Any, sequences: int, still: Mapping[str, float],
    on: str = "",
) -> list[float]:  # fmt: skip
    """Of all seeds, on their own stage or on another one."""
    return [relative(scores, run, on or stage, still) for run in _runs(job, stage, origin, sequences)]


def _runs(job: TransferJob, stage: str, origin: Any, sequences: int) -> list[Run]:
    """Of all seeds."""
    return [Run(stage, origin, sequences, seed) for seed in range(job.transfer.seeds)]


def _by_frame(job: TransferJob, scores: Mapping[str, Any]) -> dict[str, dict[str, list[float]]]:
    """MSE by frame with all sequences, mean over seeds and boxes."""
    found: dict[str, dict[str, list[float]]] = {}
    for stage in TARGETS:
        kinds = {
            "before": [first_run(seed) for seed in range(job.transfer.seeds)],
            "scratch": _runs(job, stage, "scratch", job.transfer.sequences[-1]),
            "transfer": _runs(job, stage, "transfer", job.transfer.sequences[-1]),
        }
        found[stage] = {
            kind: np.mean([scores[run.name][stage]["mse"].mean(axis=0) for run in runs], axis=0).tolist()
            for kind, runs in kinds.items()
        }
    return found


def _late(job: TransferJob, trained: nn.ModuleDict) -> dict[str, Any]:
    """Free energy over a long roll-out from late boxes that no stage holds, beside the truth."""
    settings, medium = job.transfer, job.medium
    times = medium.interval * settings.every * np.arange(settings.steps // settings.every + 1)
    boxes = [late_box(job.mixtures, job.stages, medium, job.seed, number) for number in range(settings.boxes)]
    truth = np.stack([coarsen(evolve(box, times, "late", job.stages, medium).frames, medium.factor) for box in boxes])
    dx = medium.dx * medium.factor
    energy = energies(truth, medium.eps, dx)
    found: dict[str, Any] = {"times": (boxes[0]["start"] + times).tolist()}
    largest = settings.sequences[-1]
    for kind in ("before", "scratch", "transfer"):
        curves, errors = [], []
        for seed in range(settings.seeds):
            run = first_run(seed) if kind == "before" else Run("late", kind, largest, seed)  # type: ignore[arg-type]  # one of the two
            predicted = roll(stepper(trained, run.name), truth[:, 0], settings.steps, settings.every)
            with np.errstate(over="ignore", invalid="ignore"):
                curves.append(capped(energies(predicted, medium.eps, dx) / energy).mean(axis=0).tolist())
            errors.append(float(score(truth, predicted, medium.eps, dx)["energy"].mean()))
        found[kind] = {"energy": curves, "errors": errors, "energy_error": geometric(errors)}
    return found


def _ratio(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def _factor(forgetting: Mapping[str, list[float]], stage: str) -> float:
    return geometric(_ratio(forgetting[stage], forgetting["before"]))


def _claims(
    job: TransferJob, errors: Mapping[str, Any], late: Mapping[str, Any]
) -> tuple[dict[str, float | None], dict[str, str]]:
    few, many = str(job.transfer.sequences[0]), str(job.transfer.sequences[-1])
    cured = _ratio(late["transfer"]["errors"], late["before"]["errors"])
    start = _ratio(errors["surface"]["scratch"][few], errors["surface"]["transfer"][few])
    bound = _ratio(errors["surface"]["before"], errors["surface"]["transfer"][many])
    found = {"late": cured, "surface": start, "law_bound": bound}
    claims: dict[str, float | None] = {f"spinodal.transfer.{name}": geometric(ratios) for name, ratios in found.items()}
    return claims, {f"spinodal.transfer.{name}": f"By seed: {listed(ratios)}." for name, ratios in found.items()}


def _table(job: TransferJob, errors: Mapping[str, Any]) -> dict[str, Any]:
    rows: list[list[Any]] = []
    for stage in TARGETS:
        before = errors[stage]["before"]
        rows.append([WORDS[stage], "before any", 0, geometric(before), min(before), max(before)])
        for n in map(str, job.transfer.sequences):
            for origin in ("scratch", "transfer"):
                values = errors[stage][origin][n]
                rows.append([WORDS[stage], origin, int(n), geometric(values), min(values), max(values)])
    return {
        "title": "Error on test sequences",
        "columns": ["stage", "start", "sequences", "error over standing still", "least", "largest"],
        "rows": rows,
        "note": (
            "Mean squared error of free roll-outs over that of standing still, geometric means over the trainings. "
            "Before any: the network of early stages as it is. All others have the same number of steps; the learning "
            f"rate is {job.transfer.further.learning_rate:g} from scratch and {job.transfer.warm:g} from the warm "
            "start. The settings were changed once, after a first design had been scored on these test boxes: in that "
            "one late windows gained nothing from transfer."
        ),
    }


def _late_table(late: Mapping[str, Any]) -> dict[str, Any]:
    words = {
        "before": "early stages alone",
        "scratch": "late windows alone",
        "transfer": "early stages, then late windows",
    }
    return {
        "title": "Free energy in the late roll-out",
        "columns": ["trained on", "mean |dF|/F", "least", "largest"],
        "rows": [
            [words[kind], late[kind]["energy_error"], min(late[kind]["errors"]), max(late[kind]["errors"])]
            for kind in words
        ],
        "note": f"From t = {late['times'][0]:g} to {late['times'][-1]:g} on boxes that no stage holds.",
    }


def _forgetting_table(forgetting: Mapping[str, list[float]]) -> dict[str, Any]:
    return {
        "title": "Forgetting: error on early stages",
        "columns": ["after", "error over standing still", "least", "largest"],
        "rows": [
            ["early stages" if kind == "before" else WORDS[kind], geometric(values), min(values), max(values)]
            for kind, values in forgetting.items()
        ],
        "note": "The same networks before and after their further training, all sequences.",
    }


def _write_fields(
    path: Path, source: xr.Dataset, job: TransferJob, truths: Mapping[str, NDArray[Any]],
    slices: Mapping[str, Mapping[str, NDArray[Any]]], clock: Clock,
) -> None:  # fmt: skip
    """Slices of the test sequences of both further stages, and their roll-outs by the first seed."""
    rows = [(stage, number) for stage in TARGETS for number in range(len(truths[stage]))]
    kinds = ("before", "scratch", "transfer")
    step = job.medium.factor
    coords = xr.Dataset(
        coords={
            "sim": ("sim", np.arange(len(rows)), {"units": "1", "long_name": "test sequence"}),
            "stage": store.flags([stage for stage, _ in rows], STAGES, "sim", "stage"),
            "kind": store.flags(kinds, kinds, "kind", "training"),
            "time": source.time,
            "x": source.x[::step],
            "y": source.y[::step],
        }
    )
    variables = {
        "truth": store.Variable(("sim", "time", "x", "y"), "1", "concentration in the plane z = 0"),
        "prediction": store.Variable(("sim", "kind", "time", "x", "y"), "1", "free roll-out, first seed"),
    }
    attrs = {key: source.attrs[key] for key in ("equation", "scheme", "stencil", "eps", "dx", "interval", "references")}
    attrs |= {"title": "Roll-outs of the transfer stages", "source_digest": source.attrs["digest"]}
    with store.create(path, coords, variables, attrs) as writer:
        for sim, (stage, number) in enumerate(rows):
            predicted = np.stack([slices[stage][kind][number] for kind in kinds])
            writer.write(sim, truth=truths[stage][number, :, :, :, 0], prediction=predicted)
        writer.provenance = clock.record("fields", job.model_dump())
