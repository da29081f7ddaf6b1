"""The gate before the recurrent training, on hand-written cards of marches."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from phasemill.core.errors import InputError
from phasemill.core.model_files import save_model
from phasemill.grains.gate import gate, share

pytestmark = pytest.mark.physics

GOOD = {"residual": [0.01, 0.02, 0.02], "still": [0.1, 0.2, 0.2], "solved": [True, False, True]}
"""A tenth of the residual of no motion."""
UNEVEN = {"residual": [1e-3, 0.2, 1e-2], "still": [0.5, 0.5, 0.5], "solved": [True, False, True]}
"""One interval is off by 0.4, all together by hypot(0.001, 0.2, 0.01)/hypot(0.5, 0.5, 0.5) = 0.2312."""


def model(folder: Path, runs: dict[str, Any], limit: float, **card: Any) -> Path:
    """A march's file as far as the gate reads it."""
    path = folder / "march.safetensors"
    spec = {"toy": {"cells": 8}, "toy_learn": {"gate": limit}, "marching": {"tolerance": 0.1}}
    save_model(path, torch.nn.Linear(1, 1), {"kind": "march", "runs": runs, "spec": spec} | card)
    return path


@pytest.mark.parametrize(
    ("residual", "still", "expected"),
    [
        ([0.3], [0.6], 0.5),
        ([3.0, 4.0], [6.0, 8.0], 0.5),
        # many intervals weigh as their squares do: neither the mean of the shares nor the worst
        ([1.0, 0.0], [1.0, math.sqrt(3)], 0.5),
        ([1e-3, 0.2, 1e-2], [0.5, 0.5, 0.5], 0.23124),
        ([0.0, 0.0], [1.0, 1.0], 0.0),
    ],
)
def test_the_share_of_no_motion(residual: list[float], still: list[float], expected: float) -> None:
    assert share({"residual": residual, "still": still}) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("limit", "passes"), [(0.11, True), (0.09, False)])
def test_the_limit_is_a_limit(tmp_path: Path, limit: float, passes: bool) -> None:
    path, output = model(tmp_path, {"a_0": GOOD}, limit), tmp_path / "gate.json"
    if passes:
        gate(path, output)
        found = json.loads(output.read_text())
        assert found["limit"] == limit
        assert found["runs"]["a_0"] == {"share": pytest.approx(0.1), "solved": 2, "intervals": 3}
    else:
        with pytest.raises(
            InputError, match=r"march a_0 has 0\.1 times the residual of no motion, above the gate 0.09"
        ):
            gate(path, output)
        assert not output.exists()


@pytest.mark.parametrize(("limit", "passes"), [(0.24, True), (0.22, False)])
def test_every_march_has_to_pass(tmp_path: Path, limit: float, passes: bool) -> None:
    """The second one is refused by name; its intervals are judged together."""
    path, output = model(tmp_path, {"a_0": GOOD, "b_0": UNEVEN}, limit), tmp_path / "gate.json"
    if passes:
        gate(path, output)
        assert set(json.loads(output.read_text())["runs"]) == {"a_0", "b_0"}
    else:
        with pytest.raises(InputError, match=r"march b_0 has 0\.23 times"):
            gate(path, output)
        assert not output.exists()


def test_a_march_that_broke_down_does_not_pass(tmp_path: Path) -> None:
    broken = {**GOOD, "residual": [0.01, math.nan, 0.02]}
    with pytest.raises(InputError, match="above the gate"):
        gate(model(tmp_path, {"a_0": broken}, 1e9), tmp_path / "gate.json")


@pytest.mark.parametrize("kind", ["stepper", "polycrystal", None])
def test_only_a_march_is_judged(tmp_path: Path, kind: str | None) -> None:
    with pytest.raises(InputError, match="is not a march of the grains wing"):
        gate(model(tmp_path, {"a_0": GOOD}, 1.0, kind=kind), tmp_path / "gate.json")
    assert not (tmp_path / "gate.json").exists()
