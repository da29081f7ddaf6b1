"""Model files: safetensors (data only, never code) with the parameters and provenance of the training inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from phasemill.core.errors import InputError
from phasemill.core.files import write_bytes


def save_model(path: Path | str, module: torch.nn.Module, card: dict[str, Any]) -> None:
    """Write the state of `module` with its `card` (parameters, data digest, provenance) atomically."""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    write_bytes(path, save(state, metadata={"card": json.dumps(card)}))


def read_card(path: Path | str) -> dict[str, Any]:
    """The card of a model file, without its weights.

    Raises InputError if the file is missing or no model file.
    """
    try:
        with safe_open(str(path), framework="np") as stream:
            return dict(json.loads((stream.metadata() or {})["card"]))
    except FileNotFoundError:
        raise _missing(path) from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise _foreign(path, error) from None


def load_model(path: Path | str, module: torch.nn.Module) -> dict[str, Any]:
    """Fill `module` from `path` and return the card.

    Raises
    ------
    InputError
        If the file is missing, no safetensors file, or of another architecture.
    """
    try:
        with safe_open(str(path), framework="pt") as stream:
            card = json.loads((stream.metadata() or {})["card"])
            module.load_state_dict({name: stream.get_tensor(name) for name in stream.keys()})  # noqa: SIM118  # no mapping
    except FileNotFoundError:
        raise _missing(path) from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise _foreign(path, error) from None
    except RuntimeError:
        kind = type(module).__name__
        raise InputError(f"{path} holds another architecture than {kind}; use its own settings or remake it") from None
    return dict(card)


def _missing(path: Path | str) -> InputError:
    return InputError(f"model {path} does not exist; make it with: snakemake -c all -- {path}")


def _foreign(path: Path | str, error: Exception) -> InputError:
    return InputError(f"{path} is not a model file of phasemill ({type(error).__name__}); remake it")
