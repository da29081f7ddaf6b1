"""Many grains in time: `phases` behind an object that holds the lists, and its diagnostics.

An explicit step is stable while no checkerboard of phases grows. In a mixture of phases, changes v that keep the sum
obey v_t = -mu P sigma P (lap + (pi/eta)^2) v, P the projection on sum v = 0 and sigma the table with 0 on its diagonal,
and the Laplacian of a checkerboard is -4 d/dx^2 in d dimensions. Hence

    dt <= dx^2 / (2 d mu s),   s = the largest eigenvalue of -P sigma P,

which is sigma itself where all pairs have one, but may exceed every sigma_ab: phases 0 to 3 with sigma_01 = sigma_23 =
sigma_1 and sigma_2 > sigma_1 for the other pairs have s = 2 sigma_2 - sigma_1, since the pairs 0, 1 and 2, 3 change
against each other. With middle and half the mean and half the difference of the extreme sigma, -v.sigma v = middle -
half v.E v with |E_ab| <= 1, so that k phases have s <= middle + (k - 1) half; a cell holds at most SLOTS phases. The
smaller one of both is taken. mu is the largest of the table: the pairwise rates of N phases, mu_ab / N, have no
eigenvalue above it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasemill.core.errors import InputError
from phasemill.grains import phases
from phasemill.grains.kernels import neighbours
from phasemill.grains.physics import Medium, stable_dt
from phasemill.grains.solver import CFL, steps_of

Floats = NDArray[np.float64]


class Polycrystal:
    """The obstacle multi-phase field of a periodic box, advanced by projected explicit Euler steps.

    Arguments
    ---------
    phi: (phase, x, y[, z]), not negative, of sum 1 in each cell.
    medium: eta, dx, and mu and sigma of all pairs that `mu` and `sigma` do not give; its dg is not used.
    dt: length of a step, by default 80 % of the stability limit, dx^2 / (2 d mu s) of the module's text.
    sigma, mu: symmetric (phase, phase) tables of the energy and the mobility of each pair.
    g: bulk energy per volume of each phase; phase a grows into b under g_b - g_a.

    Examples
    --------
    >>> import numpy as np
    >>> from phasemill import Medium, Polycrystal
    >>> from phasemill.grains.initial import one_hot, voronoi
    >>> labels = voronoi(np.random.default_rng(0), (64, 64), 6)
    >>> crystal = Polycrystal(one_hot(labels, 6), Medium(eta=7.0, mu=1.0))
    >>> crystal.advance(50.0)
    >>> round(float(crystal.volumes.sum()), 6)  # the grains fill the box
    4096.0
    """

    def __init__(
        self, phi: NDArray[Any], medium: Medium, *, dt: float | None = None, sigma: NDArray[Any] | None = None,
        mu: NDArray[Any] | None = None, g: NDArray[Any] | None = None,
    ) -> None:  # fmt: skip
        self.medium, self.shape, self.number = medium, phi.shape[1:], len(phi)
        _check(phi)
        self.sigma = _pairs("sigma", sigma, self.number, medium.sigma)
        self.mu = _pairs("mu", mu, self.number, medium.mu)
        self.g = np.zeros(self.number) if g is None else np.asarray(g, np.float64)
        if self.g.shape != (self.number,) or not np.isfinite(self.g).all():
            raise InputError(f"g is {self.g}: give one finite energy for each of the {self.number} phases")
        fastest = Medium(medium.eta, float(_off_diagonal(self.mu).max()), strongest(self.sigma), medium.dx)
        limit = stable_dt(len(self.shape), fastest)
        self.dt = CFL * limit if dt is None else dt
        if not 0 < self.dt <= limit:
            raise InputError(f"dt is {dt:g}: explicit steps are stable for 0 < dt <= {limit:.3g} here; lower it")
        cells = int(np.prod(self.shape))
        self.neighbours = neighbours(self.shape)
        self.ids, self.values, self.count = compress(phi.reshape(self.number, cells))
        self.stamps, self.stamp = np.zeros(cells, np.int32), 0
        # room for new lists, kept: arrays of this size would be mapped anew in every step
        slots = (cells, phases.SLOTS)
        self.fresh = (np.empty(slots, np.int32), np.empty(slots), np.empty(cells, np.int8))
        self.rooms = np.empty((2, cells), np.int32)
        self.active = self._mark(np.arange(cells, dtype=np.int32))
        self.steps = 0

    def _mark(self, cells: NDArray[np.int32]) -> NDArray[np.int32]:
        self.stamp += 1
        found: NDArray[np.int32] = self.rooms[self.stamp % 2]
        n = phases.mark(self.ids, self.count, self.neighbours, cells, self.stamps, self.stamp, found)
        return found[:n]

    def advance(self, duration: float) -> None:
        """March on by `duration`, in equal steps of at most dt."""
        steps = steps_of(duration, self.dt)
        dt, medium = duration / steps, self.medium
        numbers = (1 / medium.dx**2, (np.pi / medium.eta) ** 2, np.pi / medium.eta, dt)
        for _ in range(steps):
            full, most = phases.advance(
                self.ids, self.values, self.count, self.neighbours, self.active, *self.fresh, self.sigma, self.mu,
                self.g, numbers,
            )  # fmt: skip
            if full >= 0:
                where = tuple(int(i) for i in np.unravel_index(full, self.shape))
                around = " and its neighbours" if most == phases.LOCAL else ""
                raise InputError(f"more than {most} grains meet in cell {where}{around}: refine the grid or lower eta")
            phases.commit(self.ids, self.values, self.count, self.active, *self.fresh)
            self.active = self._mark(self.active)
            self.steps += 1

    @property
    def phi(self) -> Floats:
        """All phases: (phase, x, y[, z])."""
        dense = np.zeros((self.number, len(self.count)))
        for slot in range(phases.SLOTS):
            held = np.flatnonzero(self.count > slot)
            dense[self.ids[held, slot], held] = self.values[held, slot]
        return dense.reshape(self.number, *self.shape)

    @property
    def labels(self) -> NDArray[np.int32]:
        """The phase with the most of each cell: (x, y[, z])."""
        held = np.arange(phases.SLOTS) < self.count[:, None]
        largest = np.argmax(np.where(held, self.values, -1), axis=1)
        return np.asarray(self.ids[np.arange(len(largest)), largest].reshape(self.shape))

    @property
    def volumes(self) -> Floats:
        """Area or volume of each phase."""
        found = np.zeros(self.number)
        phases.volumes(self.ids, self.values, self.count, found)
        return found * self.medium.dx ** len(self.shape)

    @property
    def energy(self) -> float:
        """F of the interfaces and of the bulk."""
        medium = self.medium
        numbers = (4 / medium.eta, (medium.eta / np.pi / medium.dx) ** 2)
        interfaces = phases.energy(
            self.ids, self.values, self.count, self.neighbours, self.active, self.sigma, numbers
        )  # fmt: skip
        return float(interfaces * medium.dx ** len(self.shape) + self.g @ self.volumes)


def compress(phi: NDArray[Any]) -> tuple[NDArray[np.int32], Floats, NDArray[np.int8]]:
    """Lists of (phase, cell) fields: phases and their values by slot, and how many there are."""
    count = np.count_nonzero(phi, axis=0)
    if count.max() > phases.SLOTS:
        raise InputError(f"{count.max()} grains meet in one cell; at most {phases.SLOTS} can")
    ids, values = np.zeros((phi.shape[1], phases.SLOTS), np.int32), np.zeros((phi.shape[1], phases.SLOTS))
    filled = np.zeros(phi.shape[1], np.int8)
    for phase, field in enumerate(phi):
        held = np.flatnonzero(field)
        ids[held, filled[held]], values[held, filled[held]] = phase, field[held]
        filled[held] += 1
    return ids, values, filled


def strongest(sigma: NDArray[Any]) -> float:
    """s of the stability limit: what sigma is there in a mixture of phases (see the module's text)."""
    number, off = len(sigma), _off_diagonal(sigma)
    middle, half = (off.max() + off.min()) / 2, (off.max() - off.min()) / 2
    if number < 3:
        return float(middle)
    mean_free = np.eye(number) - 1 / number
    exact = np.linalg.eigvalsh(-mean_free @ np.where(np.eye(number), 0, sigma) @ mean_free)[-1]
    return float(min(exact, middle + (min(number, phases.SLOTS) - 1) * half))


def _off_diagonal(table: NDArray[Any]) -> Floats:
    """The entries of all pairs, or the one value that stands for them."""
    return np.asarray(table[~np.eye(len(table), dtype=bool)] if len(table) > 1 else table.ravel())


def _check(phi: NDArray[Any]) -> None:
    if phi.ndim not in (3, 4) or min(phi.shape[1:]) < 4:
        raise InputError(f"phi has shape {phi.shape}: give (phase, x, y) or (phase, x, y, z), 4 cells a side or more")
    if not np.isfinite(phi).all():
        raise InputError(f"phi holds {np.count_nonzero(~np.isfinite(phi))} values that are not finite: repair them")
    worst = float(np.abs(phi.sum(axis=0) - 1).max())
    if phi.min() < 0 or worst > 1e-9:
        raise InputError(
            f"phi spans {phi.min():.3g} to {phi.max():.3g} and its sum departs from 1 by {worst:.1e}: phases must not "
            "be negative and must add up to 1; divide by their sum"
        )


def _pairs(name: str, table: NDArray[Any] | None, number: int, value: float) -> Floats:
    if table is None:
        return np.array([[value]])
    found = np.asarray(table, np.float64)
    if found.shape != (number, number) or not np.allclose(found, found.T):
        raise InputError(f"{name} must be a symmetric table of {number} by {number} phases; got {found.shape}")
    off = _off_diagonal(found)
    if not (np.isfinite(off).all() and (off > 0).all()):
        raise InputError(f"{name} must be finite and positive for every pair of phases")
    return found
