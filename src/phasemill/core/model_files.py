"""Model files: safetensors (data only, never code) with the parameters and provenance of the training inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from phasemill.core.errors import InputError
from phasemill.core.files import write_bytes


def save_model(path: Path | str, module: torch.nn.Module, card: dict[str, Any]) -> None:
    """Write the state of `module` with its `card` (parameters, data digest, provenance) atomically."""
    save_tensors(path, module.state_dict(), card)


def save_tensors(path: Path | str, tensors: Mapping[str, torch.Tensor], card: dict[str, Any]) -> None:
    """The same for any tensors by name.

    Raises InputError if `path` is a folder.
    """
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder; give the path of a file, such as {Path(path) / 'model.safetensors'}")
    state = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(state, metadata={"card": json.dumps(card)}))


def read_card(path: Path | str) -> dict[str, Any]:
    """The card of a model file, without its weights.

    Raises InputError if the file is missing or no model file.
    """
    return _read(path, "np", tensors=False)[0]


def load_tensors(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """All tensors of a model file by name, and its card; for files that hold whatever their card lists.

    Raises InputError if the file is missing or no model file.
    """
    card, tensors = _read(path, "pt", tensors=True)
    return tensors, card


def load_model(path: Path | str, module: torch.nn.Module) -> dict[str, Any]:
    """Fill `module` from `path` and return the card.

    Raises
    ------
    InputError
        If the file is missing, no safetensors file, or of another architecture.
    """
    tensors, card = load_tensors(path)
    try:
        module.load_state_dict(tensors)
    except RuntimeError:
        kind = type(module).__name__
        raise InputError(f"{path} holds another architecture than {kind}; use its own settings or remake it") from None
    return card


def _read(path: Path | str, framework: str, *, tensors: bool) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(str(path), framework=framework) as stream:
            card = json.loads((stream.metadata() or {})["card"])
            if not isinstance(card, dict):
                raise TypeError("a card is a mapping")
            return card, {name: stream.get_tensor(name) for name in stream.keys()} if tensors else {}  # noqa: SIM118  # no mapping
    except FileNotFoundError:
        raise InputError(f"model {path} does not exist; make it with: snakemake -c all -- {path}") from None
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path} is not a model file of phasemill ({type(error).__name__}); remake it") from None
