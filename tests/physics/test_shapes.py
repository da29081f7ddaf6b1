"""Analytic shapes: exact distances, topology, volumes, and interfaces at rest."""

from __future__ import annotations

import numpy as np
import pytest

from phasemill.core.errors import InputError
from phasemill.spinodal import metrics, shapes
from phasemill.spinodal.physics import free_energy

pytestmark = pytest.mark.physics

SIZE, EPS = 64, 3.0
TOPOLOGY = {
    # name: (Euler characteristic, components, percolation); a knot is one handle, a gyroid has -4 per cell of 8
    "bunny": (1, 1, (False,) * 3),
    "knot": (0, 1, (False,) * 3),
    "gyroid": (-32, 1, (True,) * 3),
    "spheres": (10, 10, (False,) * 3),
}


def field(name: str, size: int = SIZE) -> np.ndarray:
    return shapes.initial_field(name, size, EPS, 1.0, np.random.default_rng(0))


@pytest.mark.parametrize("name", TOPOLOGY)
def test_topology(name: str) -> None:
    found = metrics.topology(field(name))
    assert (found["euler"], found["components"], found["percolation"]) == TOPOLOGY[name]


def grid(size: int) -> np.ndarray:
    centres = (np.arange(size) + 0.5) / size
    return np.stack(np.meshgrid(centres, centres, centres, indexing="ij"), axis=-1)


def test_one_ellipsoid_is_a_ball_when_its_axes_are_equal() -> None:
    """d = r - |x - c| exactly."""
    x = grid(20)
    found = shapes.ellipsoids(x, [((0.5, 0.4, 0.5), (0.2, 0.2, 0.2))])
    assert found == pytest.approx(0.2 - np.linalg.norm(x - [0.5, 0.4, 0.5], axis=-1), abs=1e-12)


@pytest.mark.parametrize(("name", "error"), [("knot", 1e-7), ("spheres", 1e-7), ("gyroid", 0.015), ("bunny", 0.015)])
def test_distances_have_unit_slope_at_the_surface(name: str, error: float) -> None:
    """|grad d| = 1 where d = 0, so that the interface has its width at rest; exact for knot and spheres.

    At 95 % of the points within a tenth of a cell: a few lie where two parts meet.
    """
    n, h, body = 48, 1e-5, shapes.BODIES[name]
    near = grid(n)[np.abs(body(grid(n))) < 0.1 / n]
    slope = np.sqrt(sum(((body(near + h * e) - body(near - h * e)) / (2 * h)) ** 2 for e in np.eye(3)))
    assert len(near) > 300
    assert np.percentile(np.abs(slope - 1), 95) < error


def test_volume_of_the_spheres() -> None:
    """The mean of phi is the share of the balls, and little more: sum 4 pi (r^3 / 3 + r w^2 pi^2 / 3), w = eps / 6."""
    w = EPS / 6 / SIZE
    expected = sum(4 * np.pi * (r**3 / 3 + np.pi**2 * r * w**2 / 3) for _, r in shapes.SPHERES)
    assert field("spheres").mean() == pytest.approx(expected, rel=0.01)


def test_volume_of_the_knot() -> None:
    """Length of the curve times the area of the tube, pi r^2 and that of its soft wall."""
    t = np.linspace(0, 2 * np.pi, 4001)
    curve = 0.115 * np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -1.6 * np.sin(3 * t)])
    length = np.sum(np.linalg.norm(np.diff(curve), axis=0))
    area = np.pi * (shapes.TUBE**2 + np.pi**2 / 3 * (EPS / 6 / SIZE) ** 2)
    assert field("knot").mean() == pytest.approx(length * area, rel=0.02)


@pytest.mark.parametrize("size", [48, 64])
def test_energy_of_the_spheres_is_their_area(size: int) -> None:
    """F = 4 pi sum r^2 in the continuum; the grid lowers it by 2 to 6 %, the curvature adds little."""
    area = 4 * np.pi * size**2 * sum(r**2 for _, r in shapes.SPHERES)
    assert 0.92 < free_energy(field("spheres", size), EPS, 1.0) / area < 1.02


def test_bodies_keep_their_form_in_boxes_of_any_size() -> None:
    """Half as many cells: the same share of the box, but for the width of the interface."""
    assert field("gyroid", 32).mean() == pytest.approx(field("gyroid", 64).mean(), abs=0.02)


@pytest.mark.parametrize("name", shapes.NAMES)
def test_initial_fields_are_concentrations(name: str) -> None:
    phi = field(name, 32)
    assert phi.shape == (32, 32, 32)
    assert phi.min() >= 0
    assert phi.max() <= 1


@pytest.mark.parametrize(
    ("name", "size", "message"), [("rabbit", 64, "unknown shape 'rabbit'"), ("knot", 16, "too small for shapes")]
)
def test_refusals(name: str, size: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        shapes.initial_field(name, size, EPS, 1.0, np.random.default_rng(0))
