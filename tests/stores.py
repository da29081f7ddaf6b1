"""One small store of every kind, made by the wings' own writers from the shipped configuration."""

from __future__ import annotations

import importlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from phasemill import config
from tests.conftest import ROOT

SMALLER: dict[str, dict[str, Any]] = {
    "cahn_hilliard": {"data": {"size": 12, "simulations": 3, "frames": 5, "validation": 1}},
    "cahn_hilliard_strides": {"strides": {"size": 16, "simulations": 2, "validation": 1, "last": 5.0}},
    "grain_growth_driven_truth": {"growth_driven": {"cells": 32, "until": 60.0, "frames": 4}},
    "grain_polycrystal_truth": {
        "polycrystal": {"cells": 32, "grains": 5, "until": 90.0, "frames": 3, "train": 2, "test": 1}
    },
    "grains_unseen_truth": {},
    "voronoi_heat": {"data": {"size": 16, "steps": 450, "simulations": 4, "validation": 1, "test": 1}},
    "varying_heat": {"varying": {"steps": 200}},
    "other_physics": {"physics_data": {"size": 16, "frames": 4}},
    "allen_cahn_truth": {"allen_cahn_data": {"points": 32, "fine": 64, "frames": 4, "steps": 4}},
    "burgers_truth": {"burgers_data": {"points": 16, "frames": 4}},
    "poisson_truth": {"poisson_data": {"points": 17}},
}
"""Data set -> what is less than at scale smoke."""


@cache
def make(folder: Path) -> dict[str, Path]:
    """Name -> store; once per session for each folder, by name `evolved` a field of one's own, too."""
    shipped = config.load(config.read_yaml(ROOT / "config" / "config.yaml"))
    made = {}
    for name, smaller in SMALLER.items():
        job = config.JOBS[name]
        spec = json.loads(shipped.spec(name, "smoke"))
        for block, values in smaller.items():
            spec[block] |= values
        if name == "grains_unseen_truth":
            _shorten(spec["unseen"])
        module, function = job.function.split(":")
        made[name] = folder / f"{name}.zarr"
        getattr(importlib.import_module(module), function)(job.model_validate(spec), made[name])
    return made | {"evolved": _evolved(folder)}


def _shorten(unseen: dict[str, Any]) -> None:
    """Two grids, two starts each, three intervals."""
    for setup in unseen["setups"].values():
        setup["until"] *= 3 / setup["frames"]
        setup["frames"] = 3


def _evolved(folder: Path) -> Path:
    from phasemill.spinodal.command import evolve_file

    phi = np.random.default_rng(0).uniform(0.3, 0.7, (16, 20))
    np.save(folder / "start.npy", phi)
    evolve_file(
        folder / "start.npy", folder / "evolved.zarr", eps=2.0, mobility=0.5, dx=0.5, boundary="noflux", solver="rkl2",
        until=2.0, every=1.0,
    )  # fmt: skip
    return folder / "evolved.zarr"
