"""Trained networks by name or file: `load_model("features")`.

A model file is safetensors with its card inside: the kind of network and its switches, the medium it was trained on,
the data, cost and scores. Every kind of network is one line in `BUILDERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from phasemill.core.errors import InputError, unknown
from phasemill.core.model_files import load_model as fill
from phasemill.core.model_files import read_card
from phasemill.spinodal import fno, stride_network, unet
from phasemill.spinodal.fused import Fused
from phasemill.spinodal.network import ConvGRU, Step

WEIGHTS = Path(__file__).parent / "weights"
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {"published": ("raw", {"memory": 0})}
"""Other names -> the shipped weights and what is set differently: `published` carries its hidden state on for ever."""


@dataclass(frozen=True)
class Surrogate:
    """A trained network with what it was trained for."""

    name: str
    card: dict[str, Any]
    network: nn.Module
    step: Step
    """One step of `interval`."""

    @property
    def interval(self) -> float:
        """Time that one step advances."""
        return float(self.card["interval"])

    @property
    def eps(self) -> float:
        """Interface width of the training data."""
        return float(self.card["medium"]["eps"])

    @property
    def dx(self) -> float:
        """Grid spacing of the solver that made them; the network's own is `factor` times as large."""
        return float(self.card["medium"]["dx"])

    @property
    def mobility(self) -> float:
        """Mobility of the training data."""
        return float(self.card["medium"]["mobility"])

    @property
    def factor(self) -> int:
        """Cells of the solver per cell of the network, along each side."""
        return 1 if self.card["downscale"] == "none" else int(self.card["medium"]["factor"])

    @property
    def mean_range(self) -> tuple[float, float]:
        """Mean concentrations of the training data."""
        low, high = self.card["mean_range"]
        return float(low), float(high)

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(value.numel() for value in self.network.parameters())


BUILDERS: dict[str, tuple[Callable[[dict[str, Any]], nn.Module], Callable[[Any, torch.dtype], Step]]] = {
    "recurrent": (lambda card: ConvGRU(**card["network"]), Fused),
    "fno": (lambda card: fno.Fno(**card["network"]), fno.stepper),
    "unet": (lambda card: unet.Unet(**card["network"]), unet.stepper),
    "stride": (stride_network.build, stride_network.stepper),
}
"""kind -> (the untrained module of a card, the step of a module)."""


def shipped() -> list[str]:
    """Names of the models inside the package."""
    return sorted([path.stem for path in WEIGHTS.glob("*.safetensors")] + list(VARIANTS))


def load_model(name: str | Path, dtype: torch.dtype = torch.bfloat16) -> Surrogate:
    """A shipped model by its name, or the model in a file.

    Arguments
    ---------
    name: one of `shipped()`, or a path ending in `.safetensors`.
    dtype: precision inside the network; phi itself stays in float32.

    Raises InputError for an unknown name, a missing file, or one that holds no network of this wing.

    Examples
    --------
    >>> import phasemill
    >>> network = phasemill.load_model("features")
    >>> network.eps, network.interval, network.factor  # of its training; a cell is `factor` cells of the solver
    (3.0, 0.5, 2)
    """
    stem, changes = VARIANTS.get(str(name), (name, {}))
    path = Path(name) if str(name).endswith(".safetensors") else WEIGHTS / f"{stem}.safetensors"
    if not path.exists():
        if path.parent == WEIGHTS:
            raise InputError(f"{unknown(str(name), shipped(), 'model')} (or give a file ending in .safetensors)")
        raise InputError(f"model {path} does not exist; give one of {', '.join(shipped())} or a file")
    card = read_card(path)
    if changes:
        card["network"] |= changes
    if card.get("kind") not in BUILDERS:
        raise InputError(f"{path} holds no network of the spinodal wing; use one of {', '.join(shipped())}")
    build, step = BUILDERS[card["kind"]]
    network = build(card)
    fill(path, network)
    network.requires_grad_(False).eval()
    return Surrogate(str(name) if changes else path.stem, card, network, step(network, dtype))
