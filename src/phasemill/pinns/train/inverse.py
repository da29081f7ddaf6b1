"""Coefficients from sparse noisy data: all seeds of both equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from phasemill.core.provenance import config_hash
from phasemill.core.seeds import branch, children
from phasemill.core.session import Options, Session
from phasemill.pinns import dataset, reference
from phasemill.pinns.config.inverse import Inverse, InverseNetworksJob, Unknown
from phasemill.pinns.inverse import Unknowns, find, sample, uncertainty
from phasemill.pinns.physics import AllenCahn, Burgers, Equation

Floats = NDArray[np.float64]
Job = Any

POINTS, FRAMES, STEPS = 512, 200, 5
"""Grid of the Allen-Cahn solution from which scattered values are taken."""


def train(job: InverseNetworksJob, data: Path, output: Path, **options: Unpack[Options]) -> None:
    """Find the coefficients for every seed; the compiled kernel works on the CPU, whatever the device."""
    dataset.open_truth(data, "burgers")
    options["device"] = "cpu"
    session, settings = Session(job, data, **options), job.inverse
    tensors: dict[str, torch.Tensor] = {}
    for name, equation in equations(job).items():
        wanted: Unknown = getattr(settings, name)
        for number, seed in enumerate(branch(job.seed, f"inverse_{name}", settings.seeds)):
            label = f"{name}_{number}"
            unknowns = prepare(equation, wanted, settings, seed)
            # Not the other equation, nor how many seeds: what is added later leaves the others' work alone.
            own = settings.model_dump(exclude={"seeds", "burgers", "allen_cahn"}) | {"unknown": wanted.model_dump()}
            identity = config_hash({"run": label, "settings": own, "equation": asdict(equation), "root": job.seed})
            x, found = find(unknowns, settings, session.checkpoints / label, identity, label)
            weight = float(unknowns.balance.weights[1])
            tensors[f"{label}.x"] = torch.from_numpy(x)
            facts = {
                "equation": name,
                "seed": number,
                "found": unknowns.coefficients(x),
                "spread": uncertainty(unknowns, x, weight).tolist(),
                "noise": unknowns.noise,
                "weight": weight,
                "misfit": float(np.sqrt(unknowns.data.loss_and_gradient(unknowns.split(x)[0])[0])),
                "seconds": found[-1]["seconds"],
                "curve": found,
            }
            session.add(label, facts, ({key: row[key] for key in ("step", "seconds", "loss")} for row in found))
    session.save(output, "inverse", "pinn_inverse_networks", tensors)


def equations(job: Job) -> dict[str, Equation]:
    """The two equations with their true coefficients."""
    ac = job.allen_cahn_data
    return {
        "burgers": Burgers(viscosity=job.burgers_data.viscosity),
        "allen_cahn": AllenCahn(diffusion=ac.diffusion, reaction=ac.reaction),
    }


def prepare(equation: Equation, wanted: Unknown, settings: Inverse, seed: np.random.SeedSequence) -> Unknowns:
    """The noisy data and the untrained network of a seed."""
    drawn, begun = children(seed, 2)
    values = solution(equation.name, coefficients(equation, wanted))
    samples = sample(equation, values, wanted.samples, settings.noise, np.random.default_rng(drawn))
    return Unknowns(equation, samples, wanted, begun)


def coefficients(equation: Equation, wanted: Unknown) -> dict[str, float]:
    """The true values of what is asked for."""
    return {name: float(getattr(equation, name)) for name in wanted.guess}


def solution(name: str, values: Mapping[str, float]) -> Callable[[Floats], Floats]:
    """The solution with these coefficients at points (n, 2); Allen-Cahn's by splines in time."""
    if name == "burgers":
        return lambda points: reference.burgers(points[:, 0], points[:, 1], values["viscosity"])
    u = reference.allen_cahn(values["diffusion"], values["reaction"], points=POINTS, frames=FRAMES, steps=STEPS)
    # Exact in x: the Fourier series at each place; cubic splines of its coefficients in t.
    series = CubicSpline(np.linspace(0, 1, FRAMES + 1), scipy.fft.rfft(u, norm="forward"))
    k = np.pi * np.arange(POINTS // 2 + 1)
    twice = np.where((k > 0) & (k < k[-1]), 2, 1)

    def at(points: Floats) -> Floats:
        waves = np.exp(1j * np.outer(points[:, 1] + 1, k))
        return np.asarray(((series(points[:, 0]) * waves).real * twice).sum(axis=1))

    return at
