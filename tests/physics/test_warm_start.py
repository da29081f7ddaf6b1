"""First weights from a network with another input or divergence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phasemill.core.errors import InputError
from phasemill.spinodal.network import ConvGRU
from phasemill.spinodal.train.warm_start import warm_start

pytestmark = pytest.mark.physics


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Smooth random boxes."""
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 4, 8, 8, 8)))
    for axis in (2, 3, 4):
        noise = noise + 0.5 * (noise.roll(1, axis) + noise.roll(-1, axis))
    return (0.5 + 0.1 * noise).float().numpy()


def teacher(**changes: object) -> ConvGRU:
    torch.manual_seed(1)
    return ConvGRU(**{"inputs": "features", "output": "central", "channels": 4} | changes)  # type: ignore[arg-type]


def student(**changes: object) -> ConvGRU:
    torch.manual_seed(2)
    return ConvGRU(**{"inputs": "features", "output": "central", "channels": 4} | changes)  # type: ignore[arg-type]


def step_error(student: ConvGRU, teacher: ConvGRU, frames: np.ndarray) -> float:
    """Mean squared difference of the two changes, over the teacher's own."""
    phi = torch.from_numpy(frames[:, 0])
    with torch.no_grad():
        wanted, found = teacher(phi)[0] - phi, student(phi)[0] - phi
    return float(((found - wanted) ** 2).mean() / (wanted**2).mean())


def test_equal_networks_are_copied(frames: np.ndarray) -> None:
    network = student()
    warm_start(network, teacher(), frames, seed=0)
    assert step_error(network, teacher(), frames) == 0


@pytest.mark.parametrize("changes", [{"inputs": "centred"}, {"output": "staggered"}])
def test_another_network_makes_nearly_the_same_step(frames: np.ndarray, changes: dict[str, str]) -> None:
    network = student(**changes)
    before = step_error(network, teacher(), frames)
    warm_start(network, teacher(), frames, seed=0)
    assert before > 0.5
    assert step_error(network, teacher(), frames) < 0.1


def test_terms_linear_in_the_neighbours_are_found_exactly(frames: np.ndarray) -> None:
    known = teacher()
    first = known.first.from_input[0]
    with torch.no_grad():
        curvature = first.weight[:, 1, 1, 1, 1].clone()
        first.weight[:, 1:] = 0
        first.weight[:, 1, 1, 1, 1] = curvature
    network = student(inputs="centred")
    warm_start(network, known, frames, seed=0)
    assert step_error(network, known, frames) < 1e-8


def test_fluxes_that_depend_on_one_cell_move_to_faces_exactly(frames: np.ndarray) -> None:
    known = teacher()
    last = known.to_flux[-1]
    with torch.no_grad():
        centre = last.weight[:, :, 1, 1, 1].clone()
        last.weight.zero_()
        last.weight[:, :, 1, 1, 1] = centre
    network = student(output="staggered")
    warm_start(network, known, frames, seed=0)
    assert step_error(network, known, frames) < 1e-8


@pytest.mark.parametrize(
    ("new", "old"),
    [({"channels": 6}, {}), ({}, {"inputs": "centred"}), ({}, {"output": "staggered"}),
     ({"output": "potential"}, {}), ({"inputs": "centred", "output": "staggered"}, {})],
)  # fmt: skip
def test_other_differences_are_named(frames: np.ndarray, new: dict[str, object], old: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"training\.start .* which is no start for"):
        warm_start(student(**new), teacher(**old), frames, seed=0)
