"""From a video to coefficients with error bars, and to a verdict on whether the physics fits at all."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, Literal, get_args

import numpy as np

from phasemill.core.errors import InputError, unknown
from phasemill.core.video import LARGEST, SMALLEST, Video
from phasemill.transport.recover.trajectory import TrajectoryFit, recover_trajectory
from phasemill.transport.video.bumps import Floats, Lattice
from phasemill.transport.video.diagnosis import (
    MissingTerm,
    judge,
    missing_terms,
    systematic,
    unexplained,
    whiteness,
)
from phasemill.transport.video.equations import AFFINE, EQUATIONS, MISSING, Equation, Physics, about_range
from phasemill.transport.video.forecast import Forecast, forecast
from phasemill.transport.video.noise import pixel_noise
from phasemill.transport.video.weak import Pixels, WeakFit, fit_weak

Direction = Literal["auto", "smoothing", "sharpening"]
Boundary = Literal["crop", "periodic", "neumann"]
Intensity = Literal["identity", "affine", "gamma"]
Numbers = tuple[float, ...]

BLOCK, BLOCKS = 96, 9
"""Largest side of a block in cells, most blocks that are used."""
CORRELATED = 0.1
"""Correlation of the trajectory's residual between frames from which its noise is not white in time."""
DARK, MOST_DARK = 4.0, 0.005
"""For an unknown gamma: pixels below this many sigma of the noise are dark, and most that may be so."""
REACH = 7.0
"""Cells over which the operator between two frames of the heat equation is followed, in sqrt(kappa interval) / dx."""


@dataclass(frozen=True)
class Coefficient:
    """One coefficient with its standard deviation."""

    name: str
    value: float
    sigma: float
    truth: float | None = None


@dataclass(frozen=True)
class Estimate:
    """The same coefficients by another method or with other bumps."""

    method: str
    values: Numbers
    sigmas: Numbers


@dataclass(frozen=True)
class Recovery:
    """All that is reported about one video."""

    video: str
    frames: int
    cells: tuple[int, int]
    bits: int | None
    dx: float
    interval: float
    physics: Physics
    equation: str
    boundary: Boundary
    intensity: Intensity
    method: str
    direction: Literal["smoothing", "sharpening"]
    coefficients: tuple[Coefficient, ...]
    noise: float
    """Standard deviation of the noise on a pixel, in units of the field."""
    chi2: float
    """Reduced chi^2 of the residual for that noise, by the method of the coefficients."""
    sigma_scale: float
    """Sigma of the first coefficient over what white noise of that size would make it."""
    whiteness: dict[str, float]
    """Autocorrelation of the whitened residual at lag 1 along t, x, y, and p of the Ljung-Box test."""
    unexplained: float
    """Residual beyond the noise as a share of the observed rate of change."""
    used: float
    """Share of the pixels that was used."""
    fits: bool
    verdict: str
    notes: tuple[str, ...]
    missing: tuple[MissingTerm, ...]
    estimates: tuple[Estimate, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers."""
        return asdict(self)


@dataclass(frozen=True)
class Evidence:
    """What the figures show beside the numbers."""

    forecast: Forecast
    residual_time: Floats
    """Rms of the whitened residual for each row of bumps in time."""
    residual_map: Floats
    """The same for each place, of the first block."""


def recover_video(
    video: Video, *, dx: float, interval: float, physics: Physics = "heat", direction: Direction = "auto",
    boundary: Boundary = "crop", intensity: Intensity = "identity",
) -> tuple[Recovery, Evidence]:  # fmt: skip
    """The coefficients of `physics` in a video, their standard deviations, and whether the physics fits.

    Arguments:
        video: frames (time, x, y) in units of the field.
        dx: size of a pixel; interval: time between two frames.
        physics: the equation, see `equations`.
        direction: "sharpening" for a video in which time runs backwards; "auto" finds out.
        boundary: "crop" uses nothing about the border; "periodic" and "neumann" add, for heat, the more precise fit
            of the whole trajectory.
        intensity: how pixels follow the field: equal; by an unknown gain and offset; by an unknown power.

    Raises InputError for values that cannot be used.
    """
    _check(video, dx, interval, physics, direction, boundary, intensity)
    frames = video.frames
    equation = (AFFINE if intensity == "affine" else EQUATIONS)[physics]
    blocks, used = _blocks(frames)
    noise = float(np.sqrt(np.mean([pixel_noise(block, video.quantum) ** 2 for block in blocks])))
    _check_darkness(video, blocks, noise, intensity)
    gamma = 1.0 if intensity == "gamma" else None
    fits = _fits(blocks, equation, dx, interval, noise, gamma)
    if not fits:
        raise InputError(
            f"{video.name}: no bumps show {equation.formula}: use more frames, a larger window, or another physics"
        )
    best = min(fits, key=_relative_sigma)
    missing = missing_terms(best, equation)

    sharpening = equation.smoothing(best.theta) < 0
    sign = -1.0 if sharpening else 1.0
    estimates = tuple(Estimate(_bumps(fit.lattice), *_named(fit, equation, sign)) for fit in fits)
    values, sigmas = _named(best, equation, sign)
    sigmas = _widened(video, best, estimates, values, sigmas)
    sigmas = tuple(np.hypot(sigmas, systematic(video, best, missing, len(equation.terms)) * np.abs(values)))
    names = equation.names if gamma is None else (*equation.names, "gamma")
    method = f"weak form, {_bumps(best.lattice)}"
    notes: list[str] = []
    chi2, scale = best.chi2, best.scale
    if boundary != "crop":
        trajectory = recover_trajectory(
            frames[::-1] if sharpening else frames,
            dx=dx,
            interval=interval,
            substeps=video.substeps,
            boundary=boundary,
            bounds=(abs(values[0]) / 4, abs(values[0]) * 4),
            noise=noise,
        )
        whole = Estimate(f"whole trajectory, {boundary} border", (trajectory.kappa,), (trajectory.scatter,))
        estimates = (whole, *estimates)
        if doubt := _doubt(trajectory, values[0], sigmas[0], boundary):
            notes.append(doubt)
        else:
            method, values, sigmas = whole.method, whole.values, whole.sigmas
            chi2, scale = trajectory.chi2, trajectory.scatter / trajectory.sigma
    coefficients = tuple(
        Coefficient(name, float(value), float(sigma), video.truth.get(name.replace("^", "")))
        for name, value, sigma in zip(names, values, sigmas, strict=True)
    )

    verdict = judge(video, equation, fits, best, missing, direction, sharpening, (values[0], sigmas[0]), chi2, scale)
    notes += verdict.notes
    notes += about_range(frames, physics, intensity)
    if intensity == "affine" and physics == "heat":
        notes.append("The heat equation is the same for gain u + offset, so intensity affine changes nothing.")
    if video.longer:
        notes.append(f"The frames after the {len(frames)}th are not used.")
    if used < 1:
        notes.append(f"To bound time and memory, {100 * used:.0f} % of the pixels were used, in blocks spread evenly.")
    field = Pixels(frames, noise**2, best.gamma).u
    predicted = forecast(
        field[::-1] if sharpening else field, equation.terms, sign * best.theta, dx=dx, interval=interval
    )
    result = Recovery(
        video=video.name,
        frames=len(frames),
        cells=(frames.shape[1], frames.shape[2]),
        bits=video.bits,
        dx=dx,
        interval=interval,
        physics=physics,
        equation=equation.formula,
        boundary=boundary,
        intensity=intensity,
        method=method,
        direction="sharpening" if sharpening else "smoothing",
        coefficients=coefficients,
        noise=noise,
        chi2=chi2,
        sigma_scale=scale,
        whiteness=whiteness(best.residuals),
        unexplained=unexplained(best, len(equation.terms)),
        used=used,
        fits=verdict.fits,
        verdict=verdict.sentence,
        notes=tuple(notes),
        missing=missing,
        estimates=estimates,
    )
    rms_time = np.sqrt(np.mean([np.mean(z**2, axis=(1, 2)) for z in best.residuals], axis=0))
    return result, Evidence(predicted, rms_time, np.sqrt(np.mean(best.residuals[0] ** 2, axis=0)))


def _fits(
    blocks: list[Floats], equation: Equation, dx: float, interval: float, noise: float, gamma: float | None
) -> list[WeakFit]:
    """The fits with narrow and with wide bumps, as far as these say anything; each begins where the last one ended."""
    candidates = [MISSING[name] for name in equation.missing]
    fits: list[WeakFit] = []

    def fit(lattice: Lattice) -> None:
        start = fits[-1].theta if fits else np.zeros(len(equation.terms))
        with suppress(np.linalg.LinAlgError):  # no positive covariance: these bumps say nothing
            fits.append(
                fit_weak(blocks, lattice, equation.terms, noise=noise, start=start, gamma=gamma, candidates=candidates)
            )

    narrow, wide = _lattices(blocks[0].shape, equation, dx, interval)
    fit(narrow)
    if fits and narrow.kappa is not None:  # frames far apart: the operator between them reaches farther than assumed
        scout = fits[0]
        seen = abs(scout.theta[0]) > 3 * scout.sigmas[0]
        narrow, wide = _lattices(blocks[0].shape, equation, dx, interval, seen * abs(float(scout.theta[0])))
        if narrow.reach > scout.lattice.reach:
            fit(narrow)
            fits.remove(scout)
    fit(wide)
    return fits


def _widened(video: Video, best: WeakFit, estimates: tuple[Estimate, ...], values: Numbers, sigmas: Numbers) -> Numbers:
    """The sigmas with what a codec and the choice of the bumps add to them."""
    if video.lossy:  # the errors of a codec follow the picture, so groups of bumps share them
        sigmas = tuple(np.multiply(sigmas, max(1.0, best.chi2**0.5 / best.scale)))
    for other in estimates:  # what two sets of bumps disagree beyond chance is an error of the method
        apart = np.square(np.subtract(other.values, values)) - 4 * (np.square(sigmas) + np.square(other.sigmas))
        sigmas = tuple(np.sqrt(np.square(sigmas) + np.maximum(apart, 0)))
    return sigmas


def _doubt(trajectory: TrajectoryFit, kappa: float, sigma: float, boundary: Boundary) -> str:
    """Why the fit of the whole trajectory does not count beside kappa and sigma of the bumps; empty if it does."""
    if abs(trajectory.kappa - kappa) > 4 * np.hypot(trajectory.scatter, sigma) + 1e-3 * abs(kappa):
        return (
            f"The whole trajectory with a {boundary} border gives {trajectory.kappa:.4g}, the bumps inside give "
            f"{kappa:.4g}: the border is probably not {boundary}, so the bumps' answer is given."
        )
    if trajectory.correlation > CORRELATED:
        return (
            "The noise is correlated in time, which biases the fit of the whole trajectory: the bumps' answer is given."
        )
    return ""


def _check(
    video: Video, dx: float, interval: float, physics: Physics, direction: Direction, boundary: Boundary,
    intensity: Intensity,
) -> None:  # fmt: skip
    choices = {
        "physics": (physics, Physics), "direction": (direction, Direction), "boundary": (boundary, Boundary),
        "intensity": (intensity, Intensity),
    }  # fmt: skip
    for name, (choice, known) in choices.items():
        if choice not in get_args(known):
            raise InputError(unknown(choice, get_args(known), name))
    for name, value in (("dx", dx), ("dt", interval)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value:g}: give a positive number")
        if not SMALLEST < value < LARGEST:
            raise InputError(f"{name} is {value:g}: use units in which it is between {SMALLEST:g} and {LARGEST:g}")
    if boundary != "crop" and physics != "heat":
        raise InputError(f"boundary {boundary} is for physics heat: leave it at crop for {physics}")
    if boundary != "crop" and intensity == "gamma":
        raise InputError(f"boundary {boundary} needs pixels that follow the field linearly: use crop with gamma")
    if intensity == "gamma" and physics != "heat":
        raise InputError(f"intensity gamma is for physics heat: use identity or affine for {physics}")
    if intensity == "gamma" and video.frames.min() < 0:
        raise InputError(f"intensity gamma needs values that are not negative, but {video.name} has some")


def _check_darkness(video: Video, blocks: list[Floats], noise: float, intensity: Intensity) -> None:
    dark = float(np.mean([np.mean(block < DARK * noise) for block in blocks]))
    if intensity == "gamma" and dark > MOST_DARK:
        raise InputError(
            f"intensity gamma: {100 * dark:.1f} % of the pixels of {video.name} are within {DARK:g} sigma of black, "
            "where a power of them is noise: cut out a brighter part, or map the pixels to the field yourself"
        )


def _blocks(frames: Floats) -> tuple[list[Floats], float]:
    """Disjoint blocks of one shape, evenly spread if there are too many, and the share of the pixels in them."""
    pieces = [ceil(n / BLOCK) for n in frames.shape[1:]]
    sides = [n // p for n, p in zip(frames.shape[1:], pieces, strict=True)]
    corners = [(x * sides[0], y * sides[1]) for x in range(pieces[0]) for y in range(pieces[1])]
    if len(corners) > BLOCKS:
        corners = [corners[i] for i in np.linspace(0, len(corners) - 1, BLOCKS).round().astype(int)]
    blocks = [frames[:, x : x + sides[0], y : y + sides[1]] for x, y in corners]
    return blocks, sum(block.size for block in blocks) / frames.size


def _lattices(
    shape: tuple[int, ...], equation: Equation, dx: float, interval: float, kappa: float = 0.0
) -> tuple[Lattice, Lattice]:
    """Two sets of bumps that fit the block, for heat exact in time.

    `kappa` is a first guess: the operator that joins two frames of the heat equation has a tail that is longer than a
    cell by sqrt(kappa interval) / dx.
    """
    block, time, side = (shape[0], shape[1], shape[2]), shape[0], min(shape[1:])
    if equation is EQUATIONS["heat"]:
        step, tail = ceil(time / 30), ceil(REACH * min(np.sqrt(kappa * interval) / dx, 100))
        sizes = ((4, 8, 4), (6, 12, 5)) if side >= 40 else ((2, 3, 3), (2, 4, 3))
        lattices = []
        for s, half, reach in sizes:
            longer = min(max(reach, tail), (side - 2 * s) // 2 - half)
            s = s * (half + longer) // (half + reach)  # windows that grow need not overlap more
            lattices.append(Lattice(block, (step, s), (1, half), dx, interval, 0.0, longer))
        return lattices[0], lattices[1]
    longest = max(3, min(time // 4, 4 * ceil(time / 32)))
    cells = 9 if side >= 32 else max(3, side // 3 - equation.reach - 1)
    wide, narrow = (
        Lattice(block, (max(1, half // 2), max(2, 2 * cells // 3)), (half, cells), dx, interval, None, equation.reach)
        for half in (longest, max(3, longest * 2 // 3))
    )
    return narrow, wide


def _bumps(lattice: Lattice) -> str:
    time = f"{lattice.half_width[0]} frames" if lattice.kappa is None else "exact in time"
    return f"bumps of {lattice.half_width[1]} cells, {time}"


def _named(fit: WeakFit, equation: Equation, sign: float) -> tuple[Numbers, Numbers]:
    """The coefficients that have names, and their standard deviations to first order."""
    theta, count = sign * fit.theta, len(equation.terms)
    values = equation.coefficients(theta)
    jacobian = np.zeros((len(values), count))
    spread = fit.sigmas
    for j in range(count):
        move = np.zeros(count)
        move[j] = 1e-3 * spread[j]
        jacobian[:, j] = (equation.coefficients(theta + move) - equation.coefficients(theta - move)) / (2 * move[j])
    covariance = jacobian @ fit.covariance[:count, :count] @ jacobian.T
    sigmas = np.sqrt(np.diag(covariance))
    if len(fit.covariance) > count:
        values, sigmas = np.append(values, fit.gamma), np.append(sigmas, fit.covariance[-1, -1] ** 0.5)
    return tuple(map(float, values)), tuple(map(float, sigmas))


def _relative_sigma(fit: WeakFit) -> float:
    return float(np.max(fit.sigmas / np.maximum(np.abs(fit.theta), 1e-300)))
