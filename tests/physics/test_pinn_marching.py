"""Allen-Cahn by marching: what is built into each window, continuity, accuracy and restarts."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasemill.core.errors import InputError
from phasemill.core.run import Interrupted
from phasemill.pinns.physics import AllenCahn
from phasemill.pinns.recipes.marching import March, Marching, Window, cosines, error, prepare, train
from phasemill.pinns.reference import Reference, allen_cahn, grid
from phasemill.pinns.terms import Term

pytestmark = pytest.mark.physics

SMALL = Marching(windows=2, modes=4, hidden=(12, 12), points=512, iterations=100, grid=1024)
SMOOTH = np.array([0.1, 0.6, -0.3, 0.2])
"""Modes of a smooth field"""


def bump(x: Any) -> Any:
    """Another even field, of period 2 with all derivatives."""
    return 0.8 * np.cos(np.pi * x) + 0.3 * np.cos(2 * np.pi * np.asarray(x))


def pairs(settings: Marching, count: int = 40) -> tuple[Any, Any]:
    rng = np.random.default_rng(5)
    return rng.uniform(0.1, 0.9, count) * settings.length, rng.uniform(-0.95, 0.95, count)


def reference(points: int = 512, *, frames: int = 20, **settings: Any) -> Reference:
    return Reference(
        np.linspace(0, 1, frames + 1), grid(points), allen_cahn(points=points, frames=frames, steps=50, **settings)
    )


@pytest.fixture(scope="module")
def truth() -> Reference:
    full = reference(2048)
    return Reference(full.first, full.second[::4], full.u[:, ::4])


@pytest.fixture(scope="module")
def small(truth: Reference, tmp_path_factory: pytest.TempPathFactory) -> tuple[March, list[dict[str, float]]]:
    folder = tmp_path_factory.mktemp("small")
    return train(SMALL, checkpoints=folder, history=folder / "h.csv", reference=truth)


def test_cosines_are_those_of_the_initial_field() -> None:
    n = 1 << 15
    c = cosines(AllenCahn.initial(np.arange(n + 1) / n))[:200]
    k = np.arange(2, 200)
    exact = 2 * (-1.0) ** (k + 1) * (1 / (k + 1) ** 2 + 1 / (k - 1) ** 2) / np.pi**2
    np.testing.assert_allclose(c, [-2 / np.pi**2, 1 / 3 + 1 / (2 * np.pi**2), *exact], atol=1e-9)


@pytest.mark.parametrize("start", [SMOOTH, 1 / np.arange(1, 301)], ids=["smooth", "kink"])
def test_heat_base_solves_the_heat_equation(start: Any) -> None:
    settings = replace(SMALL, diffusion=0.03, base="heat")
    tau, x = pairs(settings, 600)
    tau[:300] *= 1e-3  # where many modes are alive
    h, ht, hx, hxx = Window(settings, start).build(tau, x)[0]
    k = np.pi * np.arange(len(start))[:, None]
    decayed = start[:, None] * np.exp(-0.03 * k**2 * tau)
    np.testing.assert_allclose(h, (decayed * np.cos(k * x)).sum(0), atol=1e-13)
    np.testing.assert_allclose(hx, -(decayed * k * np.sin(k * x)).sum(0), atol=1e-11)
    np.testing.assert_allclose(hxx, -(decayed * k**2 * np.cos(k * x)).sum(0), atol=1e-8)
    np.testing.assert_array_equal(ht, 0.03 * hxx)


def test_split_base_solves_the_equation_without_diffusion() -> None:
    settings = replace(SMALL, diffusion=0.0)
    b, bt, _, _ = Window(settings, SMOOTH).build(*pairs(settings))[0]
    assert np.abs(bt).max() > 1
    np.testing.assert_allclose(bt, 5 * (b - b**3), atol=1e-13)


@pytest.mark.parametrize("rate", [1e-3, 1e-4])
def test_split_base_leaves_a_residual_of_first_order(rate: float) -> None:
    """r = -d F_hh h_x^2, F_hh = -6 r tau h + ...: it vanishes with tau and with the diffusion."""
    settings = replace(SMALL, diffusion=rate, windows=1000)
    tau, x = pairs(settings)
    window = Window(settings, SMOOTH)
    h, _, hx, _ = window.heat(tau, x)
    b, bt, _, bxx = window.build(tau, x)[0]
    np.testing.assert_allclose(bt - rate * bxx - 5 * (b - b**3), 30 * rate * tau * h * hx**2, rtol=0.03)


@pytest.mark.parametrize("base", ["heat", "split"])
def test_streams_are_derivatives(base: Any) -> None:
    settings = replace(SMALL, base=base, diffusion=0.01, modes=3)
    window, step = Window(settings, SMOOTH, 2.0), 1e-4
    theta = settings.network.initial(np.random.default_rng(1))
    tau, x = pairs(settings)

    def all_streams(tau: Any, x: Any) -> list[Any]:
        return [window.features(tau, x), *window.build(tau, x), window.term(tau, x).field(theta)]

    at = all_streams(tau, x)
    later, earlier = all_streams(tau + step, x), all_streams(tau - step, x)
    right, left = all_streams(tau, x + step), all_streams(tau, x - step)
    for here, a, b, c, d in zip(at, later, earlier, right, left, strict=True):
        scale = [1e-5 * (1 + np.abs(stream).max()) for stream in here]
        np.testing.assert_allclose((a[0] - b[0]) / (2 * step), here[1], atol=scale[1])
        np.testing.assert_allclose((c[0] - d[0]) / (2 * step), here[2], atol=scale[2])
        np.testing.assert_allclose((c[2] - d[2]) / (2 * step), here[3], atol=scale[3])


def test_fields_are_periodic_and_even() -> None:
    theta = SMALL.network.initial(np.random.default_rng(1))
    tau, x = np.full(9, 0.2), np.linspace(-0.9, 0.9, 9)
    u = Window(SMALL, SMOOTH).term(tau, x).field(theta)
    np.testing.assert_allclose(Window(SMALL, SMOOTH).term(tau, x + 2).field(theta), u, atol=1e-8)
    assert np.abs(u[0] - u[0, ::-1]).max() < 1e-14


def test_points_fill_the_window_and_gather_at_the_front() -> None:
    front = cosines(np.tanh(20 * (0.5 - np.arange(513) / 512)))
    tau, x = Window(replace(SMALL, points=4000), front).draw(np.random.default_rng(2))
    assert 0 <= tau.min() < 0.001
    assert 0.499 < tau.max() <= 0.5
    assert 0 <= x.min() < 0.01
    assert 0.99 < x.max() <= 1
    assert float(np.mean(np.abs(x - 0.5) < 0.05)) > 0.4
    assert [float(np.mean(x < 0.25)), float(np.mean(x > 0.75))] == pytest.approx([0.125, 0.125], abs=0.005)


def test_the_base_alone_has_loss_one() -> None:
    window, weight, points = prepare(SMALL, SMOOTH, np.random.default_rng(0))
    nothing = np.zeros(SMALL.network.count)
    assert window.term(*points, weight).loss_and_gradient(nothing)[0] == pytest.approx(1)


def test_initial_field_is_held_exactly(small: tuple[March, Any]) -> None:
    x = np.linspace(-1, 1, 33)
    np.testing.assert_array_equal(small[0].u(0.0, x)[0], AllenCahn.initial(x))
    np.testing.assert_allclose(small[0].u(1e-9, x)[0], AllenCahn.initial(x), atol=1e-3)  # the kink needs all modes


def test_windows_meet(small: tuple[March, Any]) -> None:
    march, x = small[0], np.linspace(-1, 1, 101)
    before, after = march.window(0), march.window(1)
    end, theta = np.full(101, 0.5), march.theta.numpy()
    last = before.term(end, x).field(theta[0])
    first = after.term(0 * end, x).field(theta[1])
    np.testing.assert_allclose(first[0], last[0], atol=1e-12)
    np.testing.assert_allclose(first[2], last[2], atol=1e-10 * np.abs(last[2]).max())
    np.testing.assert_allclose(first[3], last[3], atol=1e-8 * np.abs(last[3]).max())
    np.testing.assert_array_equal(march.u(0.5, x)[0], last[0])
    np.testing.assert_allclose(march.u(0.5 + 1e-6, x)[0], last[0], atol=1e-4)


def test_training_meets_the_classical_solution(small: tuple[March, Any], truth: Reference) -> None:
    march, rows = small
    assert error(march, truth) < 1e-3
    assert [row["window"] for row in rows] == [0, 1]
    for row in rows:
        assert row["error"] < 0.2 * row["base"]
        assert row["projection"] < 1e-10
        assert row["loss"] < 0.01
    together = np.sqrt(sum((row["error"] * norm) ** 2 for row, norm in zip(rows, norms(truth), strict=True)))
    assert together == pytest.approx(error(march, truth), rel=1e-3)


def norms(truth: Reference) -> list[float]:
    """Of each window, relative to the whole."""
    half = len(truth.first) // 2
    whole = np.linalg.norm(truth.u)
    return [float(np.linalg.norm(part) / whole) for part in (truth.u[1 : half + 1], truth.u[half + 1 :])]


def test_other_rates_and_fields(tmp_path: Path) -> None:
    settings = replace(SMALL, windows=2, diffusion=2e-3, reaction=2.0, modes=3)
    known = reference(256, diffusion=2e-3, reaction=2.0, initial=bump)
    march, rows = train(settings, checkpoints=tmp_path, history=tmp_path / "h.csv", initial=bump, reference=known)
    assert min(row["base"] for row in rows) > 5e-3
    assert error(march, known) < 2e-4


@pytest.mark.parametrize("optimiser", ["ss_broyden", "l_bfgs"])
def test_resume_is_bit_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: Any) -> None:
    """Stopped in the second window, whose start is the first one's end."""
    settings = replace(SMALL, points=64, iterations=20, hidden=(8,), optimiser=optimiser)
    calls, stop, loss = 0, 10**9, Term.loss_and_gradient

    def counted(self: Term, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(self, *given)

    def outcome(folder: Path) -> tuple[Any, ...]:
        march, rows = train(settings, checkpoints=folder, history=folder / "h.csv", every=5)
        assert np.diff([row["cpu"] for row in rows]).min() >= 0
        kept = [{name: value for name, value in row.items() if name not in ("seconds", "cpu")} for row in rows]
        return [part.numpy().tobytes() for part in march.buffers()], kept

    monkeypatch.setattr(Term, "loss_and_gradient", counted)
    whole = outcome(tmp_path / "whole")
    calls, stop = 0, calls - 5
    with pytest.raises(Interrupted):
        outcome(tmp_path / "stopped")
    assert list((tmp_path / "stopped" / "window_1").rglob("*.pt"))
    calls = -(10**9)
    assert outcome(tmp_path / "stopped") == whole


def test_settings_and_tensors_are_the_whole_solution(small: tuple[March, Any]) -> None:
    again = March(SMALL)
    again.load_state_dict(small[0].state_dict())
    t, x = np.array([0.9, 0.0, 0.3]), np.linspace(-1, 1, 7)
    np.testing.assert_array_equal(again.u(t, x), small[0].u(t, x))


def test_what_is_out_of_range_is_refused(small: tuple[March, Any]) -> None:
    with pytest.raises(InputError, match="outside"):
        small[0].u(1.1, 0.0)
    with pytest.raises(InputError, match="at least 1"):
        March(replace(SMALL, windows=0))
