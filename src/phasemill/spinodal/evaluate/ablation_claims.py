"""Claims of the ablation; arms are compared only where they have learned, so that none wins against a failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phasemill.spinodal.config.variants import ARMS
from phasemill.spinodal.evaluate.numbers import geometric, listed, percent

BOUNDED = 1.0
"""A roll-out whose free energy is off by more, as a share of the truth's and in the mean, has blown up."""


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Training by training."""
    return [a / b for a, b in zip(above, below, strict=True)]


def failures(errors: Mapping[str, Sequence[float]], still: float) -> str:
    """The arms with a training that does no better than standing still, in words; empty if there are none."""
    found = [
        f"{ARMS[arm].label} has {listed([value / still for value in values])} times the error of standing still"
        for arm, values in errors.items()
        if not all(value < still for value in values)
    ]
    return f"Not testable: {'; '.join(found)} by seed. " if found else ""


def claims_and_notes(
    arms: Mapping[str, Any], long: Mapping[str, Any], floors: Mapping[str, float], still: Mapping[str, float],
    runs: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, float | None], dict[str, str]]:  # fmt: skip
    """Values and notes of the claims on conservation, down-scaling, curriculum and over-fitting.

    Arguments
    ---------
    still: error of standing still on the network's (`coarse`) and the solver's grid (`fine`).
    runs: what the card says about the trainings of the reference.
    """
    reference = arms["reference"]
    downscaled = ratios(reference["fine"], arms["none"]["fine"])
    taught = ratios(arms["at_once"]["errors"], arms["given"]["errors"])
    fit = [run["validation_mse"] / run["train_mse"] for run in runs]
    learned = [run["validation_mse"] / run["validation_persistence"] for run in runs]
    blown = [error for error in long["reference"]["errors"] if not error < BOUNDED]
    reasons = {
        "divergence": f"Not testable: the reference blows up too, in {len(blown)} of {len(runs)}. " if blown else "",
        "downscale": failures({arm: arms[arm]["fine"] for arm in ("reference", "none")}, still["fine"]),
        "curriculum": failures({arm: arms[arm]["errors"] for arm in ("given", "at_once")}, still["coarse"]),
        "overfitting": (
            "Not testable: nothing has been seen often enough to be learnt by heart. " if runs[0]["passes"] < 1 else ""
        ),
    }
    values = {
        "divergence": long["plain"]["ratio"],
        "downscale": geometric(downscaled),
        "curriculum": geometric(taught),
        "overfitting": geometric(fit),
    }
    details = {
        "divergence": f"By seed: {listed(long['plain']['ratios'])}.",
        "downscale": (
            f"Ratio by seed: {listed(downscaled)}, after {reference['steps']} and {arms['none']['steps']} steps. "
            f"The decimation's own error is {percent(floors['nearest'] / geometric(reference['fine']))} of the "
            "reference's."
        ),
        "curriculum": f"By seed: {listed(taught)}, after {arms['given']['steps']} steps.",
        "overfitting": f"{seen(runs[0])} By seed: {listed(fit)}; error over that of standing still: {listed(learned)}.",
    }
    claims = {f"spinodal.ablation.{name}": None if reasons[name] else value for name, value in values.items()}
    return claims, {f"spinodal.ablation.{name}": reasons[name] + detail for name, detail in details.items()}


def seen(run: Mapping[str, Any]) -> str:
    """How much of its data a training has seen."""
    windows = run["steps"] * run["batch"] / run["sequences"]
    return (
        f"Covers {run['steps']} steps of {run['batch']} windows: {windows:.2g} windows of each of {run['sequences']} "
        f"sequences, {run['passes']:.2g} passes over their frames."
    )
