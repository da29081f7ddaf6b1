"""Tables of the page on the published method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phasemill.grains.config.gradnorm import Arm
from phasemill.grains.evaluate.gradnorm_claims import Found, last_still, middle, moved


def tables(found: Found, arms: Mapping[str, Arm]) -> list[dict[str, Any]]:
    """Errors of all arms, what the losses say of the truth, cost of the weightings, bottleneck and attention."""
    return [_arms(found, arms), _weights(found, arms), _losses(found), _cost(found), _parts(found)]


def _arms(found: Found, arms: Mapping[str, Arm]) -> dict[str, Any]:
    rows: list[list[Any]] = [
        [
            arm.label, len(found["scores"][name]), middle(found, name, "mse_last"),
            middle(found, name, "mse_last") / last_still(found),
            float(np.median([one["feed_by_frame"][-1] for one in found["scores"][name]])) if arm.feed_forward else None,
            moved(found, name, "radius_visible"), moved(found, name),
            float(np.median([one["imbalance"]["mae"] for one in found["scores"][name]])),
            sum(found["scores"][name][0]["epochs"]),
        ]
        for name, arm in arms.items()
    ]  # fmt: skip
    rows.append(["no motion", None, last_still(found), 1.0, None, 0.0, 0.0, 0.0, None])
    truth = found["reference"]
    rows.append(["truth", None, 0.0, 0.0, None, 1.0, 1.0, truth["imbalance"]["mae"], None])
    return {
        "title": "Trainings",
        "columns": [
            "what is changed", "seeds", "MSE", "over no motion", "MSE, coordinates' network", "way of R(0.05)",
            "way of R_v", "|dF/dt + ...|", "epochs",
        ],
        "rows": rows,
        "note": (
            f"Last of {len(truth['times']) - 1} intervals, medians over the seeds. Below the third row each arm is the "
            "second, Algorithm 2, but for what it says; only the one with a data loss is shown the truth. Way: of the "
            "radius, in units of the truth's; |dF/dt + (1/L) int phi_t^2|: mean over the intervals."
        ),
    }  # fmt: skip


def _weights(found: Found, arms: Mapping[str, Arm]) -> dict[str, Any]:
    rows = [
        [
            arms[name].label, one["seed"], one["mse"], one["mse_last"], *one["weights"].values(), one["gamma"],
            one["recurrent_share"] if arms[name].mixing == "fields" else None, one["regularisation"],
            one["seconds_per_epoch"],
        ]
        for name in arms
        if arms[name].repeated
        for one in found["scores"][name]
    ]  # fmt: skip
    return {
        "title": "Weights of the losses at the end",
        "columns": [
            "weights", "seed", "MSE, all frames", "MSE, last", "initial", "motion", "frames", "gamma",
            "recurrent part", "L1 and L2", "s/epoch",
        ],
        "rows": rows,
        "note": (
            "Initial and motion: losses of the coordinates' network; frames: residual between the mixture's frames. A "
            "hard initial condition has no loss, its weight stays 1. Recurrent part: rms of the last frame less gamma "
            "times the coordinates' network's, 0 for a dead one. L1 and L2: the largest value of these terms; the "
            f"threshold of the total loss is {found['threshold']:g}. Seconds as spent, one arm after another."
        ),
    }  # fmt: skip


def _losses(found: Found) -> dict[str, Any]:
    losses = found["losses"]
    return {
        "title": "What the losses say of the exact evolution",
        "columns": ["loss", "truth, all intervals", "truth, one interval", "frozen grain", "change"],
        "rows": [
            [
                name, losses["all"][name], losses["exact"][name], losses["frozen"][name],
                losses["frozen"][name] / losses["exact"][name] - 1,
            ]
            for name in losses["all"]
        ],
        "note": (
            f"Mean squares of residuals in 1/time^2; the energy in units of s^2. The interval begins with frame "
            f"{losses['frame']}; frozen: nothing moves in it. A field of 1/2 everywhere has a published residual of "
            f"{losses['half']:.1g}. The energy's own least value is not 0; what counts is the difference."
        ),
    }  # fmt: skip


def _cost(found: Found) -> dict[str, Any]:
    seconds = found["seconds"]
    return {
        "title": "Cost of an epoch",
        "columns": ["weights", "CPU seconds", "over fixed"],
        "rows": [[name, value, value / seconds["fixed"]] for name, value in seconds.items()],
        "note": "First interval, taken in turns, medians; one core.",
    }


def _parts(found: Found) -> dict[str, Any]:
    drawn, focus = found["bottleneck"], found["attention"]
    return {
        "title": "Bottleneck and attention",
        "columns": ["what", "value"],
        "rows": [
            ["MSE, recurrent network alone, incremental energy", middle(found, "recurrent_energy", "mse_last")],
            ["the same with ConvLSTM cells", middle(found, "lstm", "mse_last")],
            ["the same with the variational bottleneck", middle(found, "vae", "mse_last")],
            ["the same with attention", middle(found, "attention", "mse_last")],
            ["interface cells within two deviations of the drawn roll-outs", drawn["covered"]],
            ["rms error of their mean, interface", drawn["error"]],
            ["their rms deviation, interface", drawn["spread"]],
            ["attention on interfaces over its mean, trained", focus["trained"]],
            ["the same before training", focus["begun"]],
            ["the same without the map in the formula, trained", focus["trained_without_map"]],
            ["share of the picture on that map", focus["share"]],
        ],
        "note": "Last frame, first seed. A spread that is the error's covers 95 %.",
    }
