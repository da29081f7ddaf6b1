"""Networks that come with phasemill: a file for each benchmark, as its training writes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from phasemill.core.errors import InputError
from phasemill.core.model_files import load_model, read_card

WEIGHTS = Path(__file__).parent / "weights"


def fill(
    benchmark: str, spec: dict[str, Any], wanted: nn.ModuleDict, build: Callable[[Any, int], nn.Module]
) -> dict[str, dict[str, Any]]:
    """Fill networks with the shipped ones of their names; returns the facts of their trainings.

    Arguments
    ---------
    spec: of the job that wants them.
    build: an untrained network of a cell and a number of channels.

    Raises InputError where there is no such file or run, or where it is for another equation or has other sizes.
    """
    path, remedy = WEIGHTS / f"{benchmark}.safetensors", "train it yourself: set its steps above 0 in the configuration"
    if not path.is_file():
        raise InputError(f"no networks of {benchmark} come with phasemill; {remedy}")
    card = read_card(path)
    ours, theirs = _interval(spec), _interval(card["spec"])
    if differ := [name for name, value in ours.items() if theirs[name] != value]:
        values = ", ".join(f"{name} {theirs[name]:g}, not {ours[name]:g}" for name in differ)
        raise InputError(f"the networks of {path.name} are for {values}; {remedy}")
    if missing := [name for name in wanted if name not in card["runs"]]:
        raise InputError(
            f"{path.name} has the runs {', '.join(card['runs'])}, not {missing[0]}; lower seeds or {remedy}"
        )
    cell, channels = (card["spec"]["recurrent"][name] for name in ("cell", "channels"))
    found = nn.ModuleDict({name: build(cell, channels) for name in card["runs"]})
    load_model(path, found)
    for name, network in wanted.items():
        try:
            network.load_state_dict(found[name].state_dict())
        except RuntimeError:
            sizes = f"{channels} channels and the cell {cell}"
            raise InputError(f"the networks of {path.name} have {sizes}; set recurrent so or {remedy}") from None
    return {name: {**card["runs"][name], "shipped": card["provenance"]} for name in wanted}


def shipped(runs: dict[str, Any]) -> list[dict[str, Any]]:
    """How those networks of a model file were trained that come with phasemill, each file once."""
    return list({run["shipped"]["started"]: run["shipped"] for run in runs.values() if "shipped" in run}.values())


def _interval(spec: dict[str, Any]) -> dict[str, float]:
    """The numbers of the equation over one interval, which a network knows by heart."""
    (block,) = (one for one in spec.values() if isinstance(one, dict) and "eta" in one)
    constants = {name: block[name] for name in ("cells", "eta", "mu", "sigma", "dg") if name in block}
    return {**constants, "interval": block["until"] / block["frames"]}
