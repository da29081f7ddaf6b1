"""What is said of the published method when its grain stands still, moves at half speed, is right or is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from phasemill.grains.config.gradnorm import ARMS
from phasemill.grains.evaluate.gradnorm_claims import answer, claims, headline
from phasemill.report.claims import judge, load

pytestmark = pytest.mark.physics

PREFIX = "grains.grains_gradnorm."
STILL = (0.0, 3e-4, 1.2e-3, 2.7e-3)
RADII = (0.40, 0.39, 0.38, 0.37)
RATE = 1.3e-3
"""Mean |dF/dt|."""
FROZEN, HALF, RIGHT, GONE = 0.0, 0.5, 0.98, -10.0
"""Speeds over the truth's; a field that is lost is as far off as one that goes back ten ways."""


def run(speed: float, gamma: float = 0.9) -> dict[str, Any]:
    """A training whose grain shrinks at `speed`: for a lag of the radius, the error grows with its square."""
    squares = [(1 - speed) ** 2 * value for value in STILL]
    return {
        "mse_by_frame": squares,
        "mse": sum(squares[1:]) / 3,
        "mse_last": squares[-1],
        "radius": [RADII[0] + speed * (radius - RADII[0]) for radius in RADII],
        "imbalance": {"mae": abs(speed - speed**2) * RATE, "coded": RATE},  # dF/dt is -speed, the dissipation speed^2
        "gamma": gamma,
        "recurrent_share": 1e-3,
        "weights": {"initial": 1.0, "motion": 1.0, "pde": 1.0},
        "largest": 1.0,
        "smallest": 1e-8,
        "smallest_term": "energy",
    }


def found(speeds: Mapping[str, float], *, rest: float = FROZEN, seeds: int = 3, gamma: float = 0.9) -> dict[str, Any]:
    """Measurements in which the arms have `speeds`, all others `rest`."""
    losses = dict.fromkeys(("residual, as published", "residual with the obstacle", "incremental energy"), 1.0)
    return {
        "scores": {
            name: [run(speeds.get(name, rest), gamma) for _ in range(seeds if arm.repeated else 1)]
            for name, arm in ARMS.items()
        },
        "reference": {
            "times": [0, 1, 2, 3], "still": list(STILL), "still_all": 0.175, "radius": list(RADII),
            "imbalance": {"mae": 1e-5, "coded": RATE, "rate": RATE},
        },
        "losses": {"all": losses, "exact": losses, "frozen": losses},
        "seconds": {"fixed": 1.0, "modified": 1.1, "gradnorm": 1.2, "gradnorm, second backward": 2.0},
        "bottleneck": {"covered": 0.3, "error": 0.1, "spread": 0.02},
        "attention": {"begun": 1.0, "trained": 1.3, "trained_without_map": 1.0},
        "spec": {"gamma": 0.9},
    }  # fmt: skip


def verdict(name: str, measured: dict[str, Any]) -> str:
    values, _ = claims(measured, ARMS)
    return judge(load().claim(PREFIX + name), values[PREFIX + name], "laptop")


@pytest.mark.parametrize(
    ("speed", "works", "energy_mae", "no_motion"),
    [
        (FROZEN, "not reproduced", "not testable at this scale", "reproduced"),
        (HALF, "not reproduced", "not testable at this scale", "not reproduced"),
        (RIGHT, "exceeded", "exceeded", "refuted"),
        (-1.0, "not reproduced", "not testable at this scale", "refuted"),
        (GONE, "not reproduced", "not reproduced", "refuted"),
    ],
)
def test_a_slow_grain_wins_nothing(speed: float, works: str, energy_mae: str, no_motion: str) -> None:
    measured = found({}, rest=speed)
    assert verdict("works", measured) == works
    assert verdict("energy_mae", measured) == energy_mae
    assert verdict("no_motion", measured) == no_motion


def test_the_error_is_in_the_papers_unit() -> None:
    """At no motion's share, so that few intervals are no easier than all."""
    values, _ = claims(found({"modified": HALF}), ARMS)
    assert values[PREFIX + "works"] == pytest.approx(0.25 * 0.175)
    values, _ = claims(found({"modified": GONE}), ARMS)
    assert values[PREFIX + "works"] == pytest.approx(0.175)  # 0.17 by itself


@pytest.mark.parametrize(
    ("fixed", "modified", "expected"),
    [
        (FROZEN, RIGHT, "reproduced"),
        (GONE, RIGHT, "reproduced"),
        (HALF, RIGHT, "reproduced"),
        (FROZEN, HALF, "not reproduced"),  # with it, it does not work
        (GONE, HALF, "not reproduced"),
        (0.9, RIGHT, "not reproduced"),  # without it, it works too
        (RIGHT, RIGHT, "not reproduced"),
        (RIGHT, HALF, "refuted"),
        (FROZEN, FROZEN, "refuted"),
        (GONE, FROZEN, "refuted"),  # neither works
        (2 * GONE, GONE, "refuted"),
        (HALF, GONE, "refuted"),
    ],
)
def test_a_weighting_is_needed_if_it_alone_works(fixed: float, modified: float, expected: str) -> None:
    measured = found({"fixed": fixed, "modified": modified})
    assert verdict("needed", measured) == expected
    _, notes = claims(measured, ARMS)
    assert ("neither works" in notes[PREFIX + "needed"]) == (max(fixed, modified) <= FROZEN)


@pytest.mark.parametrize(
    ("without", "with_it", "expected"),
    [
        (FROZEN, RIGHT, "reproduced"),
        (FROZEN, HALF, "reproduced"),
        (HALF, HALF, "not reproduced"),
        (RIGHT, HALF, "refuted"),
        (FROZEN, FROZEN, "not reproduced"),
        (GONE, FROZEN, "not reproduced"),
        (FROZEN, GONE, "not reproduced"),  # neither works
        (2 * GONE, GONE, "not reproduced"),
    ],
)
def test_an_energy_loss_helps_only_what_moves(without: float, with_it: float, expected: str) -> None:
    measured = found({"modified": without, "energy": with_it})
    assert verdict("energy_helps", measured) == expected
    _, notes = claims(measured, ARMS)
    assert ("neither works" in notes[PREFIX + "energy_helps"]) == (max(without, with_it) <= FROZEN)


def test_one_seed_ranks_nothing() -> None:
    measured = found({"modified": RIGHT, "energy": RIGHT}, seeds=1)
    assert verdict("needed", measured) == verdict("energy_helps", measured) == "not testable at this scale"
    assert verdict("works", measured) == "exceeded"


@pytest.mark.parametrize(
    ("gamma", "expected"), [(0.947, "reproduced"), (0.9, "not reproduced"), (0.85, "refuted"), (1.2, "not reproduced")]
)
def test_gamma_is_that_of_the_published_arm(gamma: float, expected: str) -> None:
    measured = found({})
    for one in measured["scores"]["modified"]:
        one["gamma"] = gamma
    assert verdict("gamma", measured) == expected


def test_data_are_no_fix() -> None:
    """The arm that is shown the truth is not among the changes that the answer ranks."""
    measured = found({"data": RIGHT, "hard": HALF})
    assert "the best, hard initial condition" in answer(measured, ARMS)
    assert "0.0004 of no motion's error, without it 1" in claims(measured, ARMS)[1][PREFIX + "works"]


def test_what_stands_still_decides_nothing() -> None:
    lost = dict.fromkeys(("fixed", "modified", "gradnorm"), GONE)
    sentence = "what is minimised matters far more"
    assert sentence in answer(found({**lost, "all": RIGHT, "all_fixed": RIGHT}), ARMS)
    assert sentence not in answer(found({**lost, "all": FROZEN, "all_fixed": FROZEN}), ARMS)


def test_every_claim_has_its_row() -> None:
    values, notes = claims(found({}), ARMS)
    listed = {name for name in load().claims if name.startswith(PREFIX)}
    assert set(values) == listed
    assert set(notes) <= listed
    assert {one["claim"] for one in headline(found({}))} - {""} <= listed
