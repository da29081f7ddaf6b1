"""How real videos differ from simulated ones, and the fit that matches each difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.transport.config.robustness import Robustness
from phasemill.transport.datasets.videos import Row
from phasemill.transport.modes import Boundary, Modes, decay
from phasemill.transport.recover.crop import recover_cropped
from phasemill.transport.recover.direct import Estimate
from phasemill.transport.recover.intensity import linearise, recover_stretched
from phasemill.transport.recover.trajectory import TrajectoryFit, recover_trajectory
from phasemill.transport.spectra import SafeScheme

Floats = NDArray[np.float64]
Apply = Callable[[Row, SafeScheme, np.random.Generator], Floats]
Recover = Callable[..., Estimate | TrajectoryFit]

GAIN, OFFSET = 0.6, 0.2  # of the affine map


@dataclass(frozen=True)
class Corruption:
    """What is done to the frames (time, x, y) of a smoothing video, and the fit that matches it."""

    label: str
    apply: Apply
    fit: str
    """The matching fit, in words."""
    recover: Recover
    """(frames, dx, interval, substeps, bounds) -> the fit."""
    noise: float | None = None
    """Share of the field's range; None where nothing is drawn at random."""
    boundary: Boundary = "periodic"


def corruptions(settings: Robustness) -> list[Corruption]:
    """All of the benchmark, in the order of its tables."""
    whole = "whole trajectory"
    return [
        Corruption("8 bit", eight_bit, whole, recover_trajectory),
        *(
            Corruption(f"noise {100 * level:g} %", partial(noisy, level=level), whole, recover_trajectory, noise=level)
            for level in settings.noise
        ),
        Corruption(f"{GAIN:g} u + {OFFSET:g}", affine, whole, recover_trajectory),
        Corruption("stretched frames", stretched, "scale-free pairs", recover_stretched),
        *(
            Corruption(
                f"gamma {gamma:g}", partial(gamma_mapped, gamma=gamma), "exponent, then whole trajectory", _linearised
            )
            for gamma in settings.gammas
        ),
        Corruption(
            *("walls", walled, "whole trajectory, mirrored walls"),
            partial(recover_trajectory, boundary="neumann"),
            boundary="neumann",
        ),
        *(
            Corruption(
                *(f"crop, margin {margin}", partial(cropped, share=settings.window)),
                f"mirrored walls, {margin} cells along the sides not compared",
                partial(recover_cropped, margin=margin),
            )
            for margin in settings.margins
        ),
    ]


def eight_bit(row: Row, scheme: SafeScheme, rng: np.random.Generator) -> Floats:
    """v = round(255 u) / 255 for a field in [0, 1]."""
    return np.asarray(np.round(255 * _frames(row)) / 255)


def noisy(row: Row, scheme: SafeScheme, rng: np.random.Generator, *, level: float) -> Floats:
    """v = u + level (max u - min u) n with white n of unit variance."""
    frames = _frames(row)
    return np.asarray(frames + level * np.ptp(frames) * rng.standard_normal(frames.shape))


def affine(row: Row, scheme: SafeScheme, rng: np.random.Generator) -> Floats:
    """v = 0.6 u + 0.2."""
    return GAIN * _frames(row) + OFFSET


def stretched(row: Row, scheme: SafeScheme, rng: np.random.Generator) -> Floats:
    """v_t = (u_t - min u_t) / (max u_t - min u_t): each frame at full contrast, as many viewers show it."""
    frames = _frames(row)
    low, high = frames.min(axis=(1, 2), keepdims=True), frames.max(axis=(1, 2), keepdims=True)
    return np.asarray((frames - low) / (high - low))


def gamma_mapped(row: Row, scheme: SafeScheme, rng: np.random.Generator, *, gamma: float) -> Floats:
    """v = u^gamma."""
    return np.asarray(_frames(row) ** gamma)


def walled(row: Row, scheme: SafeScheme, rng: np.random.Generator) -> Floats:
    """The first frame between walls without flux, u_t = G^t u_0 in the modes of the DCT, rounded as stored frames."""
    first = _frames(row)[:1]
    modes = Modes(first.shape[1:], scheme.dx, "neumann")
    exact = evolve(modes, modes.split(first)[0], row.kappa, scheme, np.arange(len(row.frames)))
    return exact.astype(row.frames.dtype).astype(np.float64)


def cropped(row: Row, scheme: SafeScheme, rng: np.random.Generator, *, share: float) -> Floats:
    """The middle window with that share of the sides."""
    size = row.frames.shape[1]
    start, cells = window(size, share)
    return _frames(row)[:, start : start + cells, start : start + cells]


def window(size: int, share: float) -> tuple[int, int]:
    """First cell and cells per side of the middle window."""
    cells = round(share * size)
    return (size - cells) // 2, cells


def evolve(modes: Modes, amplitudes: Floats, kappa: float, scheme: SafeScheme, frames: NDArray[np.intp]) -> Floats:
    """u_t = G^t a for the frames t, with the Euler steps of `scheme`: (len(frames), x, y)."""
    factor, _, _ = decay(kappa, modes.eigenvalues, scheme.interval, scheme.substeps)
    return modes.join(amplitudes * factor ** frames[:, None])


def _linearised(frames: Floats, **options: Any) -> TrajectoryFit:
    return recover_trajectory(linearise(frames)[0], **options)


def _frames(row: Row) -> Floats:
    """In the order of smoothing; rounding to float32 may have left a value just outside [0, 1]."""
    return np.clip(row.frames[:: row.direction].astype(np.float64), 0, 1)
