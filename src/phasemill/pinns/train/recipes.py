"""All recipes of a problem, with all seeds: parameters and curves of error against CPU seconds in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from phasemill.core import store
from phasemill.core.model_files import save_tensors
from phasemill.core.provenance import Clock
from phasemill.core.run import write_history
from phasemill.core.seeds import branch
from phasemill.pinns import dataset
from phasemill.pinns.config.recipes import (
    AllenCahnRecipesJob,
    BurgersRecipesJob,
    Marched,
    PoissonRecipesJob,
    Settled,
)
from phasemill.pinns.physics import AllenCahn, Equation
from phasemill.pinns.recipes import fit, marching
from phasemill.pinns.reference import Reference

RecipesJob = BurgersRecipesJob | PoissonRecipesJob | AllenCahnRecipesJob
KEPT = ("step", "cpu", "error")


def train(
    job: RecipesJob, data: Path, output: Path, *, checkpoints: Path, history: Path, threads: int, device: str
) -> None:
    """Follow each recipe with each seed; the compiled kernel works on the CPU, whatever the device."""
    torch.set_num_threads(threads)
    clock, spec = Clock(), job.model_dump()
    source = store.open_dataset(data)
    equation = dataset.equation(source)
    reference = dataset.load(source, equation)
    tensors: dict[str, torch.Tensor] = {}
    facts: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for recipe in getattr(job.recipes, job.benchmark):
        for number, drawn in enumerate(branch(job.seed, f"{job.benchmark}_recipes", job.recipes.seeds)):
            label, seed = f"{recipe.name}_{number}", int(drawn.generate_state(1)[0])
            place = checkpoints / label
            if isinstance(recipe, Marched):
                assert isinstance(equation, AllenCahn)
                curve, found = _march(recipe, seed, equation, reference, job.recipes.every, place)
            else:
                curve, found = _settle(recipe, seed, equation, reference, job.recipes.every, place)
            tensors |= {f"{label}.{name}": value for name, value in found.items()}
            facts[label] = {"recipe": recipe.name, "seed": number, "curve": curve}
            rows += [{"run": label, **row} for row in curve]
    write_history(history, rows)
    card = {
        "kind": f"{job.benchmark}_recipes",
        "runs": facts,
        "spec": spec,
        "data_digest": store.digest(data),
        "provenance": clock.record(f"train {job.benchmark}_recipes", spec, threads=threads, device="cpu"),
    }
    save_tensors(output, tensors, card)


def _settle(
    wanted: Settled, seed: int, equation: Equation, reference: Reference, every: int, place: Path
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    recipe = fit.Recipe(seed=seed, **wanted.model_dump(exclude={"name"}))
    theta, rows = fit.train(
        recipe,
        equation,
        reference.points,
        reference.u.ravel(),
        every=every,
        checkpoints=place,
        history=place / "history.csv",
    )
    return [{key: float(row[key]) for key in KEPT} for row in rows], {"theta": torch.from_numpy(theta)}


def _march(
    wanted: Marched, seed: int, equation: AllenCahn, reference: Reference, every: int, place: Path
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Each window's errors on the way are its own; the last one, of window -1, is that of all together."""
    settings = marching.Marching(
        seed=seed, diffusion=equation.diffusion, reaction=equation.reaction, hidden=tuple(wanted.hidden),
        **wanted.model_dump(exclude={"name", "hidden"}),
    )  # fmt: skip
    march, rows = marching.train(
        settings, reference=reference, every=every, checkpoints=place, history=place / "history.csv"
    )
    thetas = {name: value.detach().cpu() for name, value in march.state_dict().items()}
    windows = [{"window": float(row["window"]), **{key: float(row[key]) for key in KEPT}} for row in rows]
    return [*windows, windows[-1] | {"window": -1.0, "error": marching.error(march, reference)}], thetas
