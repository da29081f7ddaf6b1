"""Bumps on a lattice in space-time: what turns a field equation into numbers without boundary data.

A bump is Theta(t) psi(x) psi(y) with psi(s) = (1 - s^2)^p inside |s| < 1 and 0 outside. An operator on the field is
moved onto the bump by summation by parts, so no noisy frame is ever differentiated. In space this is exact for the
5-point Laplacian. In time there are two ways:

* smooth bumps, Theta = (1 - s^2)^p: <b, u_t> = -sum Theta' u, to the high accuracy of the trapezoidal rule for what
  vanishes smoothly at its ends; for any equation, if the frames resolve the changes in time;
* boxes, for the heat equation alone: two frames of u_t = kappa lap u, however far apart, obey exactly
  (u_1 - u_0) / tau = (2 / tau) tanh(kappa tau lap / 2) (u_0 + u_1) / 2, and the operator acts on psi. Its tail falls
  as exp(-1.25 s / sqrt(kappa tau)) with the distance s and is cut at the window; "tail" measures what that may take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import ceil
from typing import Literal

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Slices = tuple[slice, ...]
Kind = Literal["rate", "value", "d/dx", "d/dy", "lap", "xx-yy", "lap2", "tail"]
"""What a bump measures: u_t, u, u_x, u_y, lap u, u_xx - u_yy, lap lap u, and what the outer cells add to lap u."""

POWER_TIME, POWER_SPACE = 5, 4


@dataclass(frozen=True)
class Lattice:
    """Bumps that cover one block of a video.

    Arguments:
        shape: (time, x, y) of the block.
        step: distance between neighbours, (frames, cells).
        half_width: of Theta and psi, (frames, cells); that of Theta is for smooth bumps.
        dx, interval: grid spacing and time between frames.
        kappa: if given, Theta is a box and "lap" is that of the heat equation with this kappa of any sign.
        reach: how many cells the operators go beyond psi: one per Laplacian, more for the tail of tanh.
    """

    shape: tuple[int, int, int]
    step: tuple[int, int]
    half_width: tuple[int, int]
    dx: float
    interval: float
    kappa: float | None = None
    reach: int = 1

    def with_kappa(self, kappa: float) -> Lattice:
        """The same bumps for another kappa of the heat equation."""
        return replace(self, kappa=kappa)

    @property
    def steps(self) -> tuple[int, int, int]:
        """Distance between neighbours along (time, x, y)."""
        return self.step[0], self.step[1], self.step[1]

    @property
    def lengths(self) -> tuple[int, int, int]:
        """Samples of one window along (time, x, y)."""
        time = 2 * self.half_width[0] - 1 if self.kappa is None else self.step[0] + 1
        cells = 2 * (self.half_width[1] + self.reach) - 1
        return time, cells, cells

    @property
    def counts(self) -> tuple[int, int, int]:
        """Bumps along (time, x, y)."""
        room = (size - length for size, length in zip(self.shape, self.lengths, strict=True))
        t, x, y = (space // step + 1 if space >= 0 else 0 for space, step in zip(room, self.steps, strict=True))
        return t, x, y

    @property
    def size(self) -> int:
        """Number of bumps."""
        return int(np.prod(self.counts))

    def windows(self, field: Floats) -> Floats:
        """A view (bumps t, x, y, samples t, x, y) of `field`, writable if it is."""
        view = sliding_window_view(field, self.lengths, writeable=field.flags.writeable)
        picks = []
        for size, count, step, length in zip(self.shape, self.counts, self.steps, self.lengths, strict=True):
            span = (count - 1) * step
            start = (size - length - span) // 2
            picks.append(slice(start, start + span + 1, step))
        return np.asarray(view[tuple(picks)])

    def measure(self, field: Floats, kind: Kind, *, tangent: bool = False) -> Floats:
        """<bump, operator field> for each bump, (bumps t, x, y); `tangent`: the derivative by kappa of kappa "lap"."""
        weights = (self._tangent if tangent else self.weights)[kind]
        windows = self.windows(field)  # one row of bumps at a time: copies of all windows would not fit large videos
        return np.stack([np.einsum("xytij,tij->xy", row, weights, optimize=True) for row in windows])

    def scatter(self, rows: Floats, factors: Floats) -> Floats:
        """The adjoint of `windows`: the sum of the windows `rows`, each times its factor and in its place."""
        field = np.zeros(self.shape)
        view = self.windows(field)
        apart = [-(-length // step) for length, step in zip(self.lengths, self.steps, strict=True)]
        for first in product(*map(range, apart)):  # the windows of each of these sets are disjoint
            picks = tuple(slice(a, None, n) for a, n in zip(first, apart, strict=True))
            part = rows if rows.shape[:3] == (1, 1, 1) else rows[picks]
            view[picks] += part * factors[picks][..., None, None, None]
        return field

    def overlaps(self) -> Iterator[tuple[Slices, Slices]]:
        """For each offset to a later neighbour, itself included: (bumps, samples) of the one and of the other."""
        farthest = [(length - 1) // step for length, step in zip(self.lengths, self.steps, strict=True)]
        for offset in product(*(range(-far, far + 1) for far in farthest)):
            if offset < (0, 0, 0) or any(abs(shift) >= count for shift, count in zip(offset, self.counts, strict=True)):
                continue
            moves = [shift * step for shift, step in zip(offset, self.steps, strict=True)]
            bumps = [_shifted(shift, count) for shift, count in zip(offset, self.counts, strict=True)]
            samples = [_shifted(-move, length) for move, length in zip(moves, self.lengths, strict=True)]
            here, there = zip(*bumps, *samples, strict=True)
            yield here, there

    @cached_property
    def weights(self) -> dict[Kind, Floats]:
        """The samples of one bump, (samples t, x, y); those of "value" add up to 1, the others bring their units."""
        if self.kappa is None:
            s = np.arange(1 - self.half_width[0], self.half_width[0]) / self.half_width[0]
            time, rate = _bump(s, POWER_TIME), s * _bump(s, POWER_TIME - 1)
        else:
            box = np.ones(self.step[0])
            time, rate = np.convolve(box, [0.5, 0.5]), np.convolve(box, [-1.0, 1.0])
        time = time / time.sum()
        rate = rate / (self.interval * np.dot(rate, np.arange(len(rate))))  # exact for what grows linearly in time
        psi, second = self._psi, np.convolve(self._psi, [1, -2, 1], "same") / self.dx**2
        first = np.convolve(psi, [-1, 0, 1], "same") / (2 * self.dx)
        fourth = np.convolve(second, [1, -2, 1], "same") / self.dx**2
        plane: dict[Kind, Floats] = {
            "rate": np.outer(psi, psi),
            "value": np.outer(psi, psi),
            "d/dx": np.outer(first, psi),
            "d/dy": np.outer(psi, first),
            "lap": np.outer(second, psi) + np.outer(psi, second) if self.kappa is None else self._chord(_tanhc),
            "xx-yy": np.outer(second, psi) - np.outer(psi, second),
            "lap2": np.outer(fourth, psi) + 2 * np.outer(second, second) + np.outer(psi, fourth),
        }
        if self.kappa is not None:
            last = max(1, ceil(0.55 * np.sqrt(abs(self.kappa) * self.interval) / self.dx))  # the tail halves over them
            plane["tail"] = plane["lap"] - self._chord(_tanhc, min(last, self.reach - 1))
        return {k: np.multiply.outer(rate if k == "rate" else time, cells) for k, cells in plane.items()}

    @cached_property
    def _tangent(self) -> dict[Kind, Floats]:
        if self.kappa is None:
            return self.weights
        time = self.weights["value"].sum((1, 2))
        return {**self.weights, "lap": np.multiply.outer(time, self._chord(lambda z: np.cosh(z) ** -2))}

    @cached_property
    def _psi(self) -> Floats:
        half = self.half_width[1] + self.reach - 1
        psi = _bump(np.arange(-half, half + 1) / self.half_width[1], POWER_SPACE)
        return np.asarray(psi / psi.sum())

    def _chord(self, filtered: Callable[[Floats], Floats], outer: int = 0) -> Floats:
        """lap times a function of kappa interval lap / 2, applied to psi psi, cut to the window less `outer` cells.

        What the cut takes from the sum and the second moment is put back, so that fields that are constant or
        quadratic in space, the large and smooth part of any field, are still treated exactly.
        """
        psi, count = np.outer(self._psi, self._psi), len(self._psi)
        size = scipy.fft.next_fast_len(4 * count)
        one = -4 / self.dx**2 * np.sin(np.pi * np.fft.fftfreq(size)) ** 2
        lap = one[:, None] + one
        z = np.clip(0.5 * (self.kappa or 0.0) * self.interval * lap, -300, 300)
        spectrum = scipy.fft.fft2(psi, (size, size)) * lap
        plain, cut = (scipy.fft.ifft2(spectrum * f).real[:count, :count] for f in (1.0, filtered(z)))
        if outer:
            cut = np.pad(cut[outer:-outer, outer:-outer], outer)
        x = self.dx * (np.arange(count) - count // 2)
        squared = x[:, None] ** 2 + x**2
        cut = cut - cut.sum() * psi
        return np.asarray(cut + (1 - np.sum(squared * cut) / np.sum(squared * plain)) * plain)


def _bump(s: Floats, power: int) -> Floats:
    return np.asarray(np.clip(1 - s**2, 0, None) ** power)


def _tanhc(z: Floats) -> Floats:
    """tanh(z) / z."""
    small = np.abs(z) < 1e-4
    return np.where(small, 1 - z**2 / 3, np.tanh(z) / np.where(small, 1, z))


def _shifted(shift: int, size: int) -> tuple[slice, slice]:
    """Where a row and itself moved by `shift` overlap: in the one, in the other."""
    here, there = slice(max(-shift, 0), size - max(shift, 0)), slice(max(shift, 0), size - max(-shift, 0))
    return here, there
