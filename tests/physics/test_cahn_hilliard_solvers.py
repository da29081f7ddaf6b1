"""The Cahn-Hilliard solvers against the readable formula and one another: kernels, orders, resumed runs, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from phasemill.core.errors import InputError
from phasemill.spinodal import kernels, physics, solver
from phasemill.spinodal.physics import Medium, free_energy
from phasemill.spinodal.resume import resumable
from phasemill.spinodal.solver import Padded, Rkl2, geometric_times, integrate, make_stepper
from phasemill.spinodal.spectral import SemiImplicit
from tests.mixtures import MEDIA, named, noise

pytestmark = pytest.mark.physics

PAPER = Medium()
DT = 1.25e-3


# the compiled kernels are the readable formulas


def random_box(shape: tuple[int, ...], medium: Medium, dtype: Any, threads: int) -> tuple[Padded, list[np.ndarray]]:
    """Four fields of random cells and right ghosts, and their cells."""
    box = Padded(np.zeros(shape), medium, dtype, threads, 4)
    rng = np.random.default_rng(7)
    inner = []
    for field in box.fields:
        kernels.cells(field, shape)[...] = rng.uniform(-0.05, 1.05, shape)
        kernels.fill(field, box.box)
        inner.append(kernels.cells(field, shape).astype(np.float64))
    return box, inner


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("medium", MEDIA, ids=named)
@pytest.mark.parametrize("shape", [(8, 8, 8), (6, 9, 12), (7, 5, 18), (4, 4, 4), (12, 15), (5, 16)], ids=str)
def test_kernel_is_the_readable_formula(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], medium: Medium, dtype: Any, threads: int
) -> None:
    monkeypatch.setattr(solver, "MANY_CELLS", 0)
    medium = Medium(eps=2.7, mobility=1.3, dx=0.9, boundary=medium.boundary, law=medium.law)
    box, (y, z, y0, f0) = random_box(shape, medium, dtype, threads)
    assert len(box.rings) == threads
    rate = physics.rate(y, medium)
    close = {"rtol": 0, "atol": 30 * np.finfo(dtype).eps * np.abs(rate).max()}
    fields = box.fields

    box.stage(fields[1], fields[0], fields[2], fields[3], (0.3, -0.7, 0.2, 0.05, 0.4))
    assert_allclose(kernels.cells(fields[1], shape), 0.3 * y - 0.7 * z + 0.2 * y0 + 0.05 * f0 + 0.4 * rate, **close)
    box.combine(fields[1], fields[0], 0.0, 1.0)
    assert_allclose(kernels.cells(fields[1], shape), rate, **close)
    box.combine(fields[1], fields[0], 1.0, 1e-3)
    assert_allclose(kernels.cells(fields[1], shape), physics.euler_step(y, 1e-3, medium), **close)
    # and the ghosts are right: a second step agrees as well
    box.combine(fields[0], fields[1], 1.0, 1e-3)
    twice = physics.euler_step(physics.euler_step(y, 1e-3, medium), 1e-3, medium)
    assert_allclose(kernels.cells(fields[0], shape), twice, **close)


def test_two_dimensions_are_three_without_change_along_one() -> None:
    flat = noise(12, 16)
    deep = np.repeat(flat[:, None], 5, axis=1)
    for medium in MEDIA:
        run, thick = (
            integrate(phi, np.array([0.0, 0.5]), medium=medium, scheme="euler", dt=DT) for phi in (flat, deep)
        )
        assert_allclose(thick.frames[-1], np.repeat(run.frames[-1][:, None], 5, axis=1), rtol=0, atol=1e-13)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "MANY_CELLS", 0)
    for scheme in ("euler", "rkl2"):
        one, two = (
            integrate(noise(9, 10, 11), np.array([0.0, 0.1]), scheme=scheme, threads=threads).frames
            for threads in (1, 2)
        )  # type: ignore[arg-type]
        assert_array_equal(one, two)


# orders of accuracy


def order(steps: list[float], errors: list[float]) -> float:
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


@pytest.fixture(scope="module")
def start() -> np.ndarray:
    return noise(12, 12, 12)


@pytest.fixture(scope="module")
def exact(start: np.ndarray) -> np.ndarray:
    """At t = 1, by RKL2 of a tolerance far below the errors that are measured."""
    return integrate(start, np.array([0.0, 1.0]), tolerance=1e-10).frames[-1]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


def test_euler_is_of_first_order(start: np.ndarray, exact: np.ndarray) -> None:
    steps = [DT / 2**n for n in range(4)]
    errors = [distance(integrate(start, np.array([0.0, 1.0]), scheme="euler", dt=dt).frames[-1], exact) for dt in steps]
    assert abs(order(steps, errors) - 1) < 0.1


def test_rkl2_is_of_second_order(start: np.ndarray, exact: np.ndarray) -> None:
    """At fixed steps of 9 stages each."""
    steps, errors = [1 / n for n in (20, 40, 80, 160)], []
    for dt in steps:
        box = Rkl2(start, PAPER, tolerance=1.0)
        box.limit = dt / 20
        for _ in range(round(1 / dt)):
            _, box.fields = box.step(dt)
        errors.append(distance(box.phi, exact))
    assert abs(order(steps, errors) - 2) < 0.1


def test_spectral_is_of_second_order(start: np.ndarray, exact: np.ndarray) -> None:
    steps = [0.005 / 2**n for n in range(4)]
    errors = [
        distance(integrate(start, np.array([0.0, 1.0]), scheme="spectral", dt=dt).frames[-1], exact) for dt in steps
    ]
    assert abs(order(steps, errors) - 2) < 0.1


@pytest.mark.parametrize("law", ["constant", "degenerate"])
def test_stencil_is_of_second_order(law: Any) -> None:
    """Against derivatives by Fourier series, on a smooth field."""

    def error(n: int) -> float:
        x = 2 * np.pi * np.arange(n) / n
        phi = 0.5 + 0.2 * np.add.outer(np.sin(x), np.cos(2 * x))
        wave = np.fft.fftfreq(n, 1 / n)
        k = np.meshgrid(wave, wave, indexing="ij")

        def slope(f: np.ndarray, axis: int) -> np.ndarray:
            return np.fft.ifft2(1j * k[axis] * np.fft.fft2(f)).real

        mu = physics.double_well_slope(phi, 3.0) - 3 * sum(slope(slope(phi, a), a) for a in (0, 1))
        mobility = physics.relative_mobility(phi) if law == "degenerate" else 1.0
        smooth = sum(slope(mobility * slope(mu, a), a) for a in (0, 1))
        return float(np.abs(physics.rate(phi, Medium(dx=2 * np.pi / n, law=law)) - smooth).max())

    sizes = [64, 128, 256, 512]
    assert abs(order([1 / n for n in sizes], [error(n) for n in sizes]) - 2) < 0.1


def test_stages_and_stability_of_rkl2() -> None:
    """s is odd and the least that is stable: |R(z)| <= 1 up to z = -(s^2 + s - 2) / 2."""
    for ratio, stages in [(0.1, 3), (2.5, 3), (2.51, 5), (7, 5), (7.1, 7), (1660, 81)]:
        assert solver.stages_for(ratio) == stages
    for s in (3, 5, 21, 81):
        first, *rest = solver.rkl2_coefficients(s)
        z = -np.linspace(0, (s**2 + s - 2) / 2, 2001)
        older, newer = np.ones_like(z), 1 + first * z
        for mu, nu, own, fresh, initial in rest:
            older, newer = newer, mu * newer + nu * older + own + initial * z + fresh * z * newer
        assert np.abs(newer).max() <= 1 + 1e-9
        assert_allclose(newer[1], 1 + z[1] + z[1] ** 2 / 2, rtol=abs(z[1]) ** 3)


# the schemes agree


@pytest.mark.parametrize("shape", [(16, 12, 20), (24, 18)], ids=str)
@pytest.mark.parametrize("medium", [*MEDIA, Medium(eps=4.0, mobility=0.5, dx=1.3)], ids=named)
def test_schemes_agree(shape: tuple[int, ...], medium: Medium) -> None:
    phi, times = noise(*shape), np.array([0.0, 0.5, 2.0])
    euler = integrate(phi, times, medium=medium, scheme="euler").frames
    assert distance(euler[-1], phi) > 0.02
    rkl2 = integrate(phi, times, medium=medium, scheme="rkl2").frames
    assert distance(euler, rkl2) < 3e-4
    if medium.law == "constant":
        assert distance(euler, integrate(phi, times, medium=medium, scheme="spectral", dt=0.002).frames) < 3e-4


def test_tolerance_bounds_the_error(start: np.ndarray, exact: np.ndarray) -> None:
    errors = [
        distance(integrate(start, np.array([0.0, 1.0]), tolerance=t).frames[-1], exact) for t in (1e-3, 1e-4, 1e-5)
    ]
    assert errors[0] < 1e-3
    assert errors[1] < 1.5e-4
    assert errors[2] < 3e-5


def test_single_precision_is_close(start: np.ndarray) -> None:
    times = np.array([0.0, 5.0])
    for scheme in ("euler", "rkl2"):
        double, single = (integrate(start, times, scheme=scheme, dtype=t).frames[-1] for t in (np.float64, np.float32))  # type: ignore[arg-type]
        assert single.dtype == np.float32
        assert 1e-8 < distance(double, single) < 2e-4


# runs that are interrupted


def long_run(folder: Path, start: np.ndarray) -> Any:
    return resumable(start, geometric_times(20, 6, 0.5), folder, medium=PAPER, tolerance=1e-3)


def test_resumed_run_is_bit_equal(tmp_path: Path, start: np.ndarray) -> None:
    whole = list(long_run(tmp_path / "whole", start))
    stopped = long_run(tmp_path / "stopped", start)
    for _ in range(3):
        next(stopped)
    stopped.close()
    for again in (list(long_run(tmp_path / folder, start)) for folder in ("stopped", "whole")):
        assert [evaluations for _, evaluations in again] == [evaluations for _, evaluations in whole]
        assert_array_equal([phi for phi, _ in again], [phi for phi, _ in whole])


def test_damaged_frame_is_computed_again(tmp_path: Path, start: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    whole = list(long_run(tmp_path, start))
    frames = sorted(tmp_path.rglob("frame-*.npz"))
    frames[2].write_bytes(frames[2].read_bytes()[:1000])
    again = list(long_run(tmp_path, start))
    assert "damaged" in caplog.text
    assert_array_equal([phi for phi, _ in again], [phi for phi, _ in whole])


def test_runs_of_other_settings_are_kept_apart(tmp_path: Path, start: np.ndarray) -> None:
    next(long_run(tmp_path, start))
    other = list(resumable(start, np.array([0.0, 1.0]), tmp_path, medium=Medium(eps=4.0), tolerance=1e-3))
    assert_array_equal(
        other[-1][0], integrate(start, np.array([0.0, 1.0]), medium=Medium(eps=4.0), tolerance=1e-3).frames[-1]
    )
    assert len(list(tmp_path.iterdir())) == 2


# what integrate returns and refuses


@pytest.mark.parametrize("scheme", ["euler", "rkl2", "spectral"])
def test_trajectory(start: np.ndarray, scheme: Any) -> None:
    seen: list[float] = []
    times = np.array([0.0, 0.5, 1.2])
    copy = start.copy()
    run = integrate(start, times, scheme=scheme, show=seen.append)
    assert_array_equal(start, copy)
    assert_array_equal(run.frames[0], start)
    assert seen == run.time.tolist() == times.tolist()
    assert_allclose(run.energy, [free_energy(frame, 3.0, 1.0) for frame in run.frames], rtol=1e-14)
    assert_allclose(run.mean, run.frames.mean(axis=(1, 2, 3)), rtol=1e-14)
    assert (np.diff(run.evaluations) > 0).all()
    stepper = make_stepper(start, PAPER, scheme)
    stepper.advance(0.5)
    assert_array_equal(stepper.phi, run.frames[1])
    fortran = integrate(np.asfortranarray(start), times, scheme=scheme)
    assert_array_equal(fortran.frames, run.frames)


def test_geometric_times() -> None:
    times = geometric_times(500.0, 20, 0.5)
    assert times[0] == 0
    assert times[-1] == 500
    assert_allclose(times / 0.5, np.round(times / 0.5))
    assert (np.diff(times) > 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phi": np.full((8, 8, 8), np.nan)}, "512 values that are not finite"),
        ({"phi": np.full(16, 0.5)}, r"shape \(16,\)"),
        ({"phi": np.full((8, 3, 8), 0.5)}, "at least 4 cells"),
        ({"phi": np.full((8, 8, 8), 100.0)}, "spans 100 to 100"),
        ({"phi": np.full((8, 8), -0.6)}, "between 0 and 1"),
        ({"scheme": "euler", "dt": 3.45e-3}, r"dt is 0.00345: explicit Euler is stable for 0 < dt <= 0.00322"),
        ({"scheme": "euler", "dt": 0.0}, "dt is 0"),
        ({"scheme": "euler", "dt": np.nan}, "dt is nan"),
        ({"scheme": "spectral", "dt": -1.0}, "dt is -1"),
        ({"scheme": "spectral", "dt": np.inf}, "dt is inf"),
        ({"scheme": "spectral", "medium": Medium(law="degenerate")}, "constant mobility"),
        ({"scheme": "magic"}, "'magic' is unknown"),
        ({"tolerance": -1e-4}, "tolerance is -0.0001"),
        ({"tolerance": np.nan}, "tolerance is nan"),
        ({"times": np.array([0.0, 1.0, 0.5])}, "ascending"),
        ({"times": np.array([0.0, 0.0])}, "ascending"),
        ({"times": np.array([0.0, np.inf])}, "finite"),
        ({"times": np.array([])}, "times"),
    ],
)
def test_refusals(change: dict[str, Any], message: str) -> None:
    arguments = {"phi": np.full((8, 8, 8), 0.5), "times": np.array([0.0, 0.5]), **change}
    with pytest.raises(InputError, match=message) as error:
        integrate(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change", [{"eps": 0.0}, {"dx": -1.0}, {"mobility": np.nan}, {"boundary": "open"}, {"law": "x"}]
)
def test_media_that_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        Medium(**change)


def test_resumable_refuses_before_it_writes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not finite"):
        next(resumable(np.full((8, 8, 8), np.nan), np.array([0.0, 1.0]), tmp_path, medium=PAPER, tolerance=1e-3))
    assert not list(tmp_path.iterdir())


def test_spectral_is_no_slave_of_the_other_schemes(start: np.ndarray) -> None:
    """Its eigenvalues are those of the stencil, found without it."""
    box = SemiImplicit(start, PAPER, dt=0.01)
    spectrum = np.fft.rfftn(physics.laplacian(start, 1.0))
    assert_allclose(spectrum, -box.kappa * np.fft.rfftn(start), rtol=0, atol=1e-11)
