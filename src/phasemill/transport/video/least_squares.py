"""Generalised least squares on the bumps of a lattice: the covariance as a banded factor, and normal equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky_banded, lapack

from phasemill.transport.video.bumps import Floats, Lattice

GROUP = (8, 2)
"""Frames, and bumps along x and along y, of a group: more than the noise may be correlated over."""
LEAST_GROUPS = 8
WHITE = 1.2
"""Reduced chi^2 up to which the noise counts as white: the scatter of few groups is a worse measure than the model."""


class Factor:
    """C = sigma^2 W W^T = L L^T, banded, with the axis that has most bumps running slowest.

    Arguments:
        rows: W, one window per bump (bumps t, x, y, samples t, x, y), or (1, 1, 1, ...) if all windows are equal.
        variance: sigma^2 of the pixel noise.
    """

    def __init__(self, lattice: Lattice, rows: Floats, variance: float) -> None:
        self._order = np.argsort(lattice.counts)[::-1]
        self._counts = lattice.counts
        rank = self._in_place(np.arange(lattice.size))
        entries = []
        for here, there in lattice.overlaps():
            one, other = (_part(rows, place) for place in (here, there))
            first, second = rank[here[:3]], rank[there[:3]]
            value = np.broadcast_to(np.einsum("abcijk,abcijk->abc", one, other), first.shape)
            entries.append((np.abs(first - second).ravel(), np.minimum(first, second).ravel(), value.ravel()))
        bands = np.zeros((1 + max(int(distance.max()) for distance, _, _ in entries), lattice.size))
        for distance, column, value in entries:
            bands[distance, column] = variance * value
        self._lower = cholesky_banded(bands, lower=True, check_finite=False)

    def whiten(self, measured: Floats) -> Floats:
        """L^-1 r: independent numbers of variance 1, (bumps t, x, y)."""
        flat = measured.transpose(self._order).reshape(-1, 1)
        return self._in_place(lapack.dtbtrs(self._lower, flat, uplo="L")[0][:, 0])

    def weigh(self, whitened: Floats) -> Floats:
        """L^-T z, so that `weigh(whiten(r))` is C^-1 r, (bumps t, x, y)."""
        flat = whitened.transpose(self._order).reshape(-1, 1)
        return self._in_place(lapack.dtbtrs(self._lower, flat, uplo="L", trans="T")[0][:, 0])

    def _in_place(self, flat: NDArray[np.generic]) -> Floats:
        shape = [self._counts[axis] for axis in self._order]
        return np.asarray(flat).reshape(shape).transpose(np.argsort(self._order))


@dataclass(frozen=True)
class Normal:
    """Normal equations of all columns, the fitted ones first; those of independent blocks add up.

    They are kept for each group of neighbouring bumps, because how the groups differ shows the true scatter.
    """

    informations: Floats
    """G^T C^-1 G of each group, (groups, columns, columns)."""
    scores: Floats
    """G^T C^-1 r of each group, (groups, columns)."""
    noise: Floats
    """The part of the information that is made by noise in the columns."""
    q: float
    """r^T C^-1 r."""
    tests: int
    """Number of bumps."""

    def __add__(self, other: Normal) -> Normal:
        return Normal(
            np.concatenate([self.informations, other.informations]),
            np.concatenate([self.scores, other.scores]),
            self.noise + other.noise,
            self.q + other.q,
            self.tests + other.tests,
        )

    @cached_property
    def information(self) -> Floats:
        """G^T C^-1 G."""
        return np.asarray(self.informations.sum(axis=0))

    @property
    def signal(self) -> Floats:
        """The information without the part that noise makes."""
        return self.information - self.noise

    def step(self, columns: Sequence[int]) -> tuple[Floats, Floats]:
        """Newton step of these columns and its covariance for white noise, I^-1 G^T C^-1 G I^-1 with I = `signal`.

        Given the residual, the columns carry independent noise: it widens the scatter of the score but not its slope.
        """
        pick = np.ix_(columns, columns)
        inverse = np.linalg.pinv(self.signal[pick], hermitian=True)
        return inverse @ self.scores[:, columns].sum(axis=0), inverse @ self.information[pick] @ inverse

    def covariance(self, columns: Sequence[int]) -> Floats:
        """The covariance of `step`, with variances not below those of the sandwich I^-1 (sum_g s_g s_g^T) I^-1.

        s_g is the score of group g after the step. That holds for noise of any colour that is short against a group.
        With fewer than `LEAST_GROUPS` groups, or a reduced q below `WHITE`, the variances are multiplied by the
        reduced q instead. Source: White, Econometrica 48 (1980) 817.
        """
        step, formal = self.step(columns)
        if (groups := len(self.scores)) < LEAST_GROUPS or self.q < WHITE * self.tests:
            return formal * max(1.0, self.q / self.tests)
        pick = np.ix_(columns, columns)
        parts = self.informations[:, pick[0], pick[1]] - self.noise[pick] / groups
        left = (self.scores[:, columns] - parts @ step) @ np.linalg.pinv(self.signal[pick], hermitian=True)
        ratio = np.sum(left**2, axis=0) * groups / (groups - 1) / np.maximum(np.diag(formal), 1e-300)
        widen = np.sqrt(np.maximum(1.0, ratio))
        return np.asarray(widen[:, None] * formal * widen)


def grouped(columns: Floats, residual: Floats, every: int) -> tuple[Floats, Floats]:
    """Informations and scores of each group.

    Arguments:
        columns, residual: whitened, (columns, bumps t, x, y) and (bumps t, x, y).
        every: frames between neighbouring bumps.
    """
    informations, scores = [], []
    sizes = (-(-GROUP[0] // every), GROUP[1], GROUP[1])
    spans = [_spans(count, size) for count, size in zip(residual.shape, sizes, strict=True)]
    for place in product(*spans):
        part = columns[(slice(None), *place)].reshape(len(columns), -1)
        informations.append(part @ part.T)
        scores.append(part @ residual[place].ravel())
    return np.array(informations), np.array(scores)


def _spans(count: int, size: int) -> list[slice]:
    """A row of `count`, cut into pieces of at least `size`, as equal as possible."""
    pieces = max(1, count // size)
    return [slice(n * count // pieces, (n + 1) * count // pieces) for n in range(pieces)]


def _part(rows: Floats, place: tuple[slice, ...]) -> Floats:
    return rows[(slice(None), slice(None), slice(None), *place[3:])] if rows.shape[:3] == (1, 1, 1) else rows[place]
