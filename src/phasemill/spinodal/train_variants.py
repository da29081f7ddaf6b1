"""Training of the arms of the ablation: many short runs with the same batches, each with its own checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from phasemill.core import loop, store
from phasemill.core.files import write_text
from phasemill.core.provenance import Clock, config_hash
from phasemill.core.seeds import branch
from phasemill.core.weights import save_model
from phasemill.spinodal.config.variants import ARMS, VariantsJob
from phasemill.spinodal.dataset import coarsen, load
from phasemill.spinodal.fused import Fused
from phasemill.spinodal.network import ConvGRU
from phasemill.spinodal.train import FRAMES, fit, initialise, rollout_errors


def names(seeds: int) -> list[tuple[str, str, int]]:
    """(run, arm, number of the seed) of all trainings; the seed is the same for all arms."""
    return [(f"{arm}_{seed}", arm, seed) for arm in ARMS for seed in range(seeds)]


def networks(seeds: int, channels: int) -> nn.ModuleDict:
    """The untrained networks of all runs."""
    return nn.ModuleDict({run: ConvGRU(ARMS[arm].inputs, ARMS[arm].output, channels) for run, arm, _ in names(seeds)})


def train(
    job: VariantsJob, data: Path, output: Path, *, checkpoints: Path, history: Path, threads: int, device: str
) -> None:
    """Train all arms with all seeds and store the networks in one file, with their curves in its card."""
    torch.set_num_threads(threads)
    clock, where = Clock(), loop.pick_device(device)
    dataset, digest = store.open_dataset(data), store.digest(data)
    fine = {split: load(dataset, split, 1) for split in ("train", "validation")}
    fine["validation"] = fine["validation"][: job.variants.validation]
    seeds = number_seeds(job.seed, "spinodal_variants", job.variants.seeds)
    trained, runs = networks(job.variants.seeds, job.network.channels), {}
    grids = {arm.downscale: coarse(fine, job.medium.factor, arm.downscale) for arm in ARMS.values()}
    for run, arm, number in names(job.variants.seeds):
        settings = job.settings(ARMS[arm], job.medium.factor)
        frames = grids[settings.downscale]
        network = start(ARMS[arm].inputs, ARMS[arm].output, job.network.channels, seeds[number]).to(where)
        key = config_hash({"run": run, "job": job.model_dump(), "data": digest})
        result, averaged = fit(
            network, Fused, frames, settings, seeds[number], checkpoints=checkpoints / run, key=key,
            history=checkpoints / run / "history.csv", label=run,
        )  # fmt: skip
        trained[run].load_state_dict(averaged.state_dict())
        runs[run] = {"arm": arm, "seed": number, **facts(result), **fitted(averaged, frames)}
    write_curves(history, {run: content["curve"] for run, content in runs.items()})
    spec = job.model_dump()
    card = {
        "kind": "variants",
        "runs": runs,
        "spec": spec,
        "data_digest": digest,
        "provenance": clock.record("train spinodal_variants", spec, threads=threads, device=str(where)),
    }
    save_model(output, trained, card)


def number_seeds(root: int, name: str, count: int) -> list[int]:
    """Whole numbers of a branch of the seed tree."""
    return [int(seed.generate_state(1)[0]) for seed in branch(root, name, count)]


def coarse(fine: Mapping[str, np.ndarray], factor: int, downscale: Any) -> dict[str, np.ndarray]:
    """All splits on the networks' grid."""
    return {split: coarsen(frames, factor, downscale) for split, frames in fine.items()}


def start(inputs: Any, output: Any, channels: int, seed: int) -> ConvGRU:
    """A network before its training, the same for the same seed."""
    torch.manual_seed(seed)
    network = ConvGRU(inputs, output, channels)
    initialise(network)
    return network


def facts(result: loop.Result) -> dict[str, Any]:
    """Cost and curve of a training."""
    curve = [{name: row[name] for name in ("step", "loss", "validation_mse")} for row in result.rows]
    return {"steps": result.step, "best_step": result.best_step, "seconds": round(result.seconds, 1), "curve": curve}


def fitted(network: ConvGRU, frames: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Error of the free roll-out on as many training sequences as there are for validation, and on those."""
    found: dict[str, float] = {}
    where = next(network.parameters()).device
    for split in ("train", "validation"):
        some = torch.from_numpy(frames[split][: len(frames["validation"]), : FRAMES + 1]).to(where)
        with torch.no_grad():
            errors, still = rollout_errors(Fused(network), some)
        found |= {f"{split}_mse": float(errors.mean()), f"{split}_persistence": float(still.mean())}
    return found


def write_curves(path: Path, curves: Mapping[str, Iterable[Mapping[str, float]]]) -> None:
    """The curves of all runs as one CSV: run, step, loss, validation_mse."""
    lines = ["run,step,loss,validation_mse"]
    for run, rows in curves.items():
        lines += [f"{run},{row['step']},{row['loss']!r},{row['validation_mse']!r}" for row in rows]
    write_text(path, "\n".join(lines) + "\n")
