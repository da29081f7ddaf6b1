"""Dynamic scaling: exponents with their intervals, and the collapse of structure factors of one shape."""

import numpy as np
import pytest

from phasemill.spinodal.scaling import collapse, exponent, scaled

pytestmark = pytest.mark.physics


@pytest.mark.parametrize("members", [1, 8])
@pytest.mark.parametrize("slope", [-1 / 3, -0.44])
def test_exponent_of_a_noisy_power_law_lies_in_its_interval(members, slope):
    rng = np.random.default_rng(1)
    times = np.geomspace(1, 1000, 40)
    values = times**slope * np.exp(0.02 * rng.standard_normal((members, 40)))
    found = exponent(times, values, (5, 500), rng, 1000)
    assert found.low < slope < found.high
    assert abs(found.value - slope) < 0.01
    assert found.high - found.low < 0.03


def test_exponent_of_an_exact_power_law_has_no_width():
    times = np.geomspace(1, 1000, 40)
    found = exponent(times, times[None] ** -0.25, (5, 500), np.random.default_rng(0), 100)
    assert found.value == pytest.approx(-0.25, abs=1e-12)
    assert found.high - found.low < 1e-12


@pytest.mark.parametrize(
    ("window", "values"),
    [
        ((5, 5000), 1.0),  # not covered
        ((0.1, 500), 1.0),
        ((500, 600), 1.0),  # too few times
        ((5, 500), np.nan),  # blown up
        ((5, 500), -1.0),  # no logarithm
    ],
)
def test_exponent_is_none_where_it_cannot_be_fitted(window, values):
    times = np.geomspace(1, 1000, 40)
    assert exponent(times, np.full((3, 40), values), window, np.random.default_rng(0), 100) is None


def self_similar(k, length, bent=0.0):
    """L^3 s(k L) with s(x) = x^2 exp(-x^2 / 2), bent by a term that does not scale."""
    x = k * length
    return length**3 * x**2 * np.exp(-(x**2) / 2) * (1 + bent * length * np.exp(-(x**2)))


def test_structure_factors_of_one_shape_collapse_and_others_do_not():
    k = 2 * np.pi / 512 * np.arange(1, 257)
    lengths = np.array([8.0, 11.0, 16.0])
    assert collapse(k, np.array([self_similar(k, length) for length in lengths])) < 5e-3
    assert collapse(k, np.array([self_similar(k, length, 0.05) for length in lengths])) > 0.015


def test_scaled_structure_factor_is_normalised():
    k = 2 * np.pi / 64 * np.arange(1, 33)
    x, s = scaled(k, self_similar(k, 10.0))
    assert np.sum(x**2 * s) * (x[1] - x[0]) == pytest.approx(1, rel=1e-12)
    assert np.sum(x * s) == pytest.approx(np.sum(s), rel=1e-12)
