"""Evaluated benchmarks in small, with numbers that one can check in the head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phasemill.core import store
from phasemill.core.files import write_json
from phasemill.report import claims

MODELS = {"no motion": "trivial", "fine solver": "solver", "small net": "network", "large net": "network"}
RMSE = {"no motion": 0.4, "fine solver": 0.01, "small net": 0.2, "large net": 0.1}
ENERGY = np.array([[1.0, 0.8, 0.6, 0.5, 0.4], [2.0, 1.6, 1.2, 1.0, 0.8]])
"""Of the truth, (sim, time)."""
GAIN = {"no motion": 2.5, "fine solver": 1.0, "small net": 1.5, "large net": 1.2}
"""Last value of each model's energy over the truth's; the others agree, so that the large net falls by 0.02 of E0."""
TIMES, CELLS = np.array([0.0, 1.0, 2.0, 3.0, 4.0]), 12


def truth() -> np.ndarray:
    """(sim, time, x, y)"""
    wave = np.cos(2 * np.pi * np.arange(CELLS) / CELLS)
    return np.multiply.outer(ENERGY, np.add.outer(wave, wave))


def variables() -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Everything that a section of the summary can take up, as (dims, values)."""
    fields, shape = truth(), (2, len(MODELS), len(TIMES))
    energy = np.repeat(ENERGY[:, None], len(MODELS), axis=1)
    energy[..., -1] *= list(GAIN.values())
    rmse = np.broadcast_to(np.array(list(RMSE.values()))[:, None], shape).copy()
    return {
        "truth": (("sim", "time", "x", "y"), fields),
        "prediction": (("sim", "model", "time", "x", "y"), np.repeat(fields[:, None], len(MODELS), axis=1) + 0.1),
        "rmse": (("sim", "model", "time"), rmse),
        "interface_displacement": (("sim", "model", "time"), 3 * rmse),
        "energy": (("sim", "model", "time"), energy),
        "energy_truth": (("sim", "time"), ENERGY.copy()),
        "mean_radius": (("sim", "model", "time"), 2 * energy),
        "mean_radius_truth": (("sim", "time"), 2 * ENERGY),
        "kappa_estimate": (("sim", "model"), np.array([[1.0, 2.2, 1.9, 2.0], [1.0, 4.4, 4.4, 4.04]])),
    }


def coordinates(roles: str = " ".join(MODELS.values())) -> xr.Dataset:
    """Of `variables`."""
    models = store.flags(list(MODELS), tuple(MODELS), "model", "model")
    models.attrs |= {"flag_roles": roles} if roles else {}
    numbers = np.arange(CELLS, dtype=float)
    plain = {"sim": np.arange(2), "time": TIMES, "x": numbers, "y": numbers, "kappa": ("sim", np.array([2.0, 4.0]))}
    return xr.Dataset(coords={**plain, "model": models})


def write_store(path: Path, held: dict[str, tuple[tuple[str, ...], Any]], coords: xr.Dataset, **attrs: Any) -> Path:
    """A store with these variables; dimensions that none of them has are left out."""
    dims = {dim for names, _ in held.values() for dim in names}
    coords = coords.drop_dims([dim for dim in coords.dims if dim not in dims])
    with store.create(
        path, coords, {n: store.Variable(d, "1", n, "float64") for n, (d, _) in held.items()}, attrs
    ) as w:
        for sim in range(coords.sizes["sim"]):
            w.write(sim, **{name: np.asarray(values)[sim] for name, (_, values) in held.items()})
    return path


def write_benchmark(
    folder: Path, without: tuple[str, ...] = (), coords: xr.Dataset | None = None, **attrs: Any
) -> Path:
    """`results/SCALE/WING/BENCHMARK` as an evaluation leaves it."""
    held = {name: entry for name, entry in variables().items() if name not in without}
    write_store(folder / "fields.zarr", held, coordinates() if coords is None else coords, **attrs)
    _, scale, wing, name = folder.parts[-4:]
    values = {
        "transport.zero_shot.mae": 2.1e-7,
        "transport.zero_shot.stable_direction": 1.0,
        "transport.trained.mae": 1,
    }
    claims.write(folder / "claims.csv", values, scale, f"snakemake -c all {name}")
    write_json(folder / "figures.json", [])
    stage = {"stage": f"evaluate {name}", "seconds": 30.0, "cpu_seconds": 20.0, "started": "2026-01-02T03:04:00+00:00"}
    command = f"phasemill evaluate {name} --output results/{scale}/{wing}/{name}"
    data = {"stage": "simulate it", "seconds": 5.0, "command": f"phasemill simulate it --output data/{scale}/it.zarr"}
    shipped = {
        "stage": "train net",
        "seconds": 9e5,
        "command": "phasemill train net --output elsewhere/net.safetensors",
    }
    write_json(folder / "provenance.json", [data, shipped, stage | {"command": command, "git_commit": "ab" * 20}])
    write_json(
        folder / "metrics.json",
        {
            "wing": wing, "benchmark": name, "scale": scale, "title": f"Benchmark {name}", "question": "What?",
            "headline": [], "tables": [], "claims": values, "metrics": {},
        },
    )  # fmt: skip
    return folder
