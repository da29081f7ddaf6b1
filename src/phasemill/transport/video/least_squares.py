"""Generalised least squares on the bumps of a lattice: the covariance as a banded factor, and normal equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky_banded, lapack

from phasemill.transport.video.bumps import Floats, Lattice


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
    """Normal equations of all columns, the fitted ones first; those of independent blocks add up."""

    information: Floats
    """G^T C^-1 G."""
    noise: Floats
    """The part of it that is made by noise in the columns."""
    score: Floats
    """G^T C^-1 r."""
    q: float
    """r^T C^-1 r."""
    tests: int
    """Number of bumps."""

    def __add__(self, other: Normal) -> Normal:
        return Normal(
            self.information + other.information,
            self.noise + other.noise,
            self.score + other.score,
            self.q + other.q,
            self.tests + other.tests,
        )

    @property
    def signal(self) -> Floats:
        """The information without the part that noise makes."""
        return self.information - self.noise

    def step(self, columns: Sequence[int]) -> tuple[Floats, Floats]:
        """Newton step of these columns and its covariance, I^-1 G^T C^-1 G I^-1 with I = `signal`.

        Given the residual, the columns carry independent noise: it widens the scatter of the score but not its slope.
        """
        pick = np.ix_(columns, columns)
        inverse = np.linalg.pinv(self.signal[pick], hermitian=True)
        return inverse @ self.score[list(columns)], inverse @ self.information[pick] @ inverse


def _part(rows: Floats, place: tuple[slice, ...]) -> Floats:
    return rows[(slice(None), slice(None), slice(None), *place[3:])] if rows.shape[:3] == (1, 1, 1) else rows[place]
