"""Transfer: late stages and another law of mobility, learned from scratch and from a network of early stages.

Both ways have the same steps, batches, sequences and learning rates to choose from, and of each the training with the
least validation error is scored. Errors are those of free roll-outs on test sequences that no earlier design has met. A
long roll-out from late boxes shows whether late windows cure a wrong speed of coarsening, which the paper proposes. A
shipped network, not trained further, and standing still are scored beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.core.model_files import load_model
from phasemill.core.provenance import Clock
from phasemill.spinodal.config.transfer import STAGES, TARGETS, TransferJob
from phasemill.spinodal.datasets.mixtures import coarsen
from phasemill.spinodal.datasets.stages import evolve, late_box, load_stage
from phasemill.spinodal.evaluate.ablation import capped, roll, score, stepper
from phasemill.spinodal.evaluate.ablation_claims import BOUNDED, ratios
from phasemill.spinodal.evaluate.numbers import geometric, percent
from phasemill.spinodal.evaluate.transfer_claims import claims_and_notes
from phasemill.spinodal.evaluate.transfer_tables import (
    error_table,
    forgetting_table,
    late_table,
    listed_rates,
    rate_table,
)
from phasemill.spinodal.library import Surrogate
from phasemill.spinodal.library import load_model as load_surrogate
from phasemill.spinodal.metrics import energies, mse
from phasemill.spinodal.network import Step
from phasemill.spinodal.train.transfer import Run, first_run, networks, plan

ORIGINS = ("scratch", "transfer")
SHIPPED = "shipped"
"""Name of the scores of the network that is not trained further."""


def transfer(job: TransferJob, data: Path, output: Path, *, models: list[Path], threads: int = 1) -> dict[str, Any]:
    """Errors of all ways, the learning rates that were chosen, what is forgotten, and the late roll-out."""
    clock, shipped = Clock(), load_shipped(job)
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
    scores: dict[str, dict[str, Any]] = {SHIPPED: {}}
    slices: dict[str, dict[str, NDArray[Any]]] = {stage: {} for stage in STAGES}
    for stage, truth in truths.items():
        predicted = roll(shipped.step, truth[:, 0], truth.shape[1] - 1)
        scores[SHIPPED][stage] = score(truth, predicted, job.medium.eps, dx)
        slices[stage][SHIPPED] = predicted[:, :, :, :, 0]
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
            "shipped": relative(scores, SHIPPED, stage, still),
            "before": [relative(scores, first_run(seed).name, stage, still) for seed in range(job.transfer.seeds)],
            **{
                origin: {str(n): _errors(job, scores, stage, origin, n, still) for n in job.transfer.sequences}
                for origin in ORIGINS
            },
        }
        for stage in TARGETS
    }
    forgetting = {
        "before": [relative(scores, first_run(seed).name, "early", still) for seed in range(job.transfer.seeds)],
        **{stage: _errors(job, scores, stage, "transfer", largest, still, on="early") for stage in TARGETS},
    }
    late = _late(job, trained, shipped.step)
    rates = _rates(job, card["runs"])
    claims, notes = claims_and_notes(job.transfer, errors, late)
    _write_fields(output / "fields.zarr", source, job, truths, slices, clock)
    few = str(job.transfer.sequences[0])
    gains = {stage: ratios(errors[stage]["scratch"][few], errors[stage]["transfer"][few]) for stage in TARGETS}
    return {
        "title": "Transfer to late stages and to another mobility",
        "question": (
            "Is a network of early demixing a good start for what it has not seen: late coarsening, and the "
            "degenerate mobility 16 phi^2 (1 - phi)^2, which tends to surface diffusion? It is trained further on "
            f"{' or '.join(map(str, job.transfer.sequences))} sequences, beside networks from scratch with the same "
            f"steps; each way is tried at the learning rates {listed_rates(job.transfer)}, and validation chooses."
        ),
        "answer": (
            f"With {few} sequences training from scratch has {geometric(gains['late']):.2g} times the error of "
            f"transfer for late windows and {geometric(gains['surface']):.2g} times for the degenerate mobility. The "
            f"free energy over {job.transfer.steps} late tau: after transfer to late windows {_off(late, 'transfer')}, "
            f"after late windows alone {_off(late, 'scratch')}, of the network before {_off(late, 'before')}, standing "
            f"still {_off(late, 'still')}. The shipped network, as it is, "
            f"has {errors['late']['shipped']:.2g} times the error of standing still on late windows and "
            f"{errors['surface']['shipped']:.2g} times under the degenerate mobility."
        ),
        "headline": [
            {"label": "degenerate mobility, few sequences", "value": claims["spinodal.transfer.surface"],
             "note": "error from scratch over that with transfer", "claim": "spinodal.transfer.surface"},
            {"label": "late windows", "value": claims["spinodal.transfer.late"],
             "note": "late error of F over the best without transfer", "claim": "spinodal.transfer.late"},
            {"label": "forgetting", "value": _factor(forgetting, "surface"),
             "note": "early error after the degenerate mobility over before"},
        ],
        "tables": [
            error_table(job.transfer, errors, rates),
            rate_table(job.transfer, rates),
            late_table(late),
            forgetting_table(forgetting),
        ],
        "claims": claims,
        "claim_notes": notes,
        "metrics": {
            "errors": errors,
            "rates": rates,
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


def load_shipped(job: TransferJob) -> Surrogate:
    """The network that is scored without training.

    Raises InputError if it steps otherwise or sees another grid than the configuration's.
    """
    model, medium = load_surrogate(job.transfer.shipped), job.medium
    own = (model.eps, model.mobility, model.dx, model.factor, model.interval)
    if own != (medium.eps, medium.mobility, medium.dx, medium.factor, medium.interval):
        raise InputError(
            f"transfer.shipped {job.transfer.shipped} was trained with (eps, mobility, dx, factor, interval) {own}, "
            "unlike medium: give a network of this medium"
        )
    return model


def relative(scores: Mapping[str, Any], name: str, stage: str, still: Mapping[str, float]) -> float:
    """Mean squared error over that of standing still."""
    return float(scores[name][stage]["mse"].mean()) / still[stage]


def _errors(
    job: TransferJob, scores: Mapping[str, Any], stage: str, origin: Any, sequences: int, still: Mapping[str, float],
    on: str = "",
) -> list[float]:  # fmt: skip
    """Of all seeds, on their own stage or on another one."""
    return [relative(scores, run.name, on or stage, still) for run in _runs(job, stage, origin, sequences)]


def _runs(job: TransferJob, stage: str, origin: Any, sequences: int) -> list[Run]:
    """Of all seeds."""
    return [Run(stage, origin, sequences, seed) for seed in range(job.transfer.seeds)]


def _by_frame(job: TransferJob, scores: Mapping[str, Any]) -> dict[str, dict[str, list[float]]]:
    """MSE by frame with all sequences, mean over seeds and boxes."""
    found: dict[str, dict[str, list[float]]] = {}
    for stage in TARGETS:
        most = job.transfer.sequences[-1]
        kinds = {
            SHIPPED: [SHIPPED],
            "before": [first_run(seed).name for seed in range(job.transfer.seeds)],
            **{origin: [run.name for run in _runs(job, stage, origin, most)] for origin in ORIGINS},
        }
        found[stage] = {
            kind: np.mean([scores[name][stage]["mse"].mean(axis=0) for name in names], axis=0).tolist()
            for kind, names in kinds.items()
        }
    return found


def _rates(job: TransferJob, runs: Mapping[str, Any]) -> dict[str, Any]:
    """Learning rates that validation chose, and the validation errors at all of them, by seed."""
    found: dict[str, Any] = {stage: {origin: {} for origin in ORIGINS} for stage in TARGETS}
    for stage, origin, n in product(TARGETS, ORIGINS, job.transfer.sequences):
        mine = [runs[run.name] for run in _runs(job, stage, origin, n)]
        found[stage][origin][str(n)] = {
            "chosen": [one["learning_rate"] for one in mine],
            "validation": [one["validation_by_rate"] for one in mine],
        }
    return found


def _late(job: TransferJob, trained: nn.ModuleDict, shipped: Step) -> dict[str, Any]:
    """Free energy over a long roll-out from late boxes that no stage holds, beside the truth and standing still."""
    settings, medium = job.transfer, job.medium
    times = medium.interval * settings.every * np.arange(settings.steps // settings.every + 1)
    boxes = [late_box(job.mixtures, job.stages, medium, job.seed, number) for number in range(settings.boxes)]
    truth = np.stack([coarsen(evolve(box, times, "late", job.stages, medium).frames, medium.factor) for box in boxes])
    dx = medium.dx * medium.factor
    energy = energies(truth, medium.eps, dx)
    seeds, largest = range(settings.seeds), settings.sequences[-1]
    steppers = {
        SHIPPED: [shipped],
        "before": [stepper(trained, first_run(seed).name) for seed in seeds],
        **{origin: [stepper(trained, run.name) for run in _runs(job, "late", origin, largest)] for origin in ORIGINS},
    }
    rolled = {
        "still": [np.broadcast_to(truth[:, :1], truth.shape)],
        **{
            kind: [roll(step, truth[:, 0], settings.steps, settings.every) for step in steps]
            for kind, steps in steppers.items()
        },
    }
    found: dict[str, Any] = {"times": (boxes[0]["start"] + times).tolist()}
    for kind, predictions in rolled.items():
        errors = [float(score(truth, one, medium.eps, dx)["energy"].mean()) for one in predictions]
        with np.errstate(over="ignore", invalid="ignore"):
            curves = [capped(energies(one, medium.eps, dx) / energy).mean(axis=0).tolist() for one in predictions]
        found[kind] = {
            "energy": curves,
            "errors": errors,
            "energy_error": geometric(errors),
            "blown": sum(not error < BOUNDED for error in errors),
        }
    return found


def _off(late: Mapping[str, Any], kind: str) -> str:
    """How the late roll-outs of a kind end."""
    found = late[kind]
    if found["blown"]:
        return f"blown up in {found['blown']} of {len(found['errors'])} trainings"
    return f"off by {percent(found['energy_error'])}"


def _factor(forgetting: Mapping[str, list[float]], stage: str) -> float:
    return geometric(ratios(forgetting[stage], forgetting["before"]))


def _write_fields(
    path: Path, source: xr.Dataset, job: TransferJob, truths: Mapping[str, NDArray[Any]],
    slices: Mapping[str, Mapping[str, NDArray[Any]]], clock: Clock,
) -> None:  # fmt: skip
    """Slices of the test sequences of both further stages, and their roll-outs by the first seed."""
    rows = [(stage, number) for stage in TARGETS for number in range(len(truths[stage]))]
    kinds = (SHIPPED, "before", *ORIGINS)
    roles = ["check" if kind == SHIPPED else "network" for kind in kinds]  # it is no training that is compared here
    step = job.medium.factor
    coords = xr.Dataset(
        coords={
            "sim": ("sim", np.arange(len(rows)), {"units": "1", "long_name": "test sequence"}),
            "stage": store.flags([stage for stage, _ in rows], STAGES, "sim", "stage"),
            "kind": store.flags(kinds, kinds, "kind", "training", roles),
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
