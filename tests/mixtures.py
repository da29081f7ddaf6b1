"""Mixtures, media and small networks that several tests of the spinodal wing begin with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.network import ConvGRU, Output
from phasemill.spinodal.physics import Medium

MEDIUM = {"eps": 3.0, "mobility": 1.0, "dx": 1.0, "interval": 0.5, "factor": 2}
"""The paper's, as jobs and cards state it."""
MEDIA = [Medium(boundary=b, law=law) for b in ("periodic", "noflux") for law in ("constant", "degenerate")]


MIXTURES = {
    "mean": 0.5, "mean_deviation": 0.1, "mean_range": {"low": 0.2, "high": 0.8}, "deviation": {"low": 0.1, "high": 0.2},
    "lattice": [16], "octaves": 1,
}  # fmt: skip
"""How the data of small trainings are drawn."""


def named(medium: Medium) -> str:
    """The medium in the name of a test."""
    return f"{medium.boundary}-{medium.law}"


def noise(*shape: int, seed: int = 0, deviation: float = 0.15) -> np.ndarray:
    """A rough mixture."""
    return perlin_mixture(np.random.default_rng(seed), shape, lattice=16, deviation=deviation)


def small_network(output: Output = "central", seed: int = 0) -> ConvGRU:
    """An untrained recurrent network with four channels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = ConvGRU("features", output, 4)
    return made.requires_grad_(False).eval()


def card(output: Output = "central", **changes: Any) -> dict[str, Any]:
    """What is stored with a trained `small_network`."""
    return {
        "kind": "recurrent",
        "interval": 0.5,
        "network": {"inputs": "features", "output": output, "channels": 4},
        "medium": MEDIUM,
        "downscale": "nearest",
        "training": {"steps": 1, "seconds": 0.0, "validation_mse": 0.01},
        "box": 16,
        "mean_range": [0.2, 0.8],
        "provenance": {"stage": "test", "seconds": 0.0},
    } | changes
