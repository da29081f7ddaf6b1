"""All recipes of a problem, with all seeds: parameters and curves of error against CPU seconds in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import torch

from phasemill.core import store
from phasemill.core.seeds import number_seeds
from phasemill.core.session import Options, Session
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


def train(job: RecipesJob, data: Path, output: Path, **options: Unpack[Options]) -> None:
    """Follow each recipe with each seed; the compiled kernel works on the CPU, whatever the device."""
    options["device"] = "cpu"
    session, source = Session(job, data, **options), store.open_dataset(data)
    equation = dataset.equation(source)
    reference, name = dataset.load(source, equation), f"{job.benchmark}_recipes"
    tensors: dict[str, torch.Tensor] = {}
    for recipe in getattr(job.recipes, job.benchmark):
        for number, seed in enumerate(number_seeds(job.seed, name, job.recipes.seeds)):
            label = f"{recipe.name}_{number}"
            place = session.checkpoints / label
            if isinstance(recipe, Marched):
                assert isinstance(equation, AllenCahn)
                curve, found = _march(recipe, seed, equation, reference, job.recipes.every, place)
            else:
                curve, found = _settle(recipe, seed, equation, reference, job.recipes.every, place)
            tensors |= {f"{label}.{name}": value for name, value in found.items()}
            session.add(label, {"recipe": recipe.name, "seed": number, "curve": curve}, curve)
    session.save(output, name, name, tensors)


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
