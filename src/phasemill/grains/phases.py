"""Many grains on one grid: the obstacle multi-phase field with lists of the phases that are present in each cell.

    F = sum over a < b of int 4 sigma_ab/eta [phi_a phi_b - (eta/pi)^2 grad phi_a . grad phi_b] + sum over a of g_a V_a
    phi_a,t = sum over b of mu_ab / N [pi^2/(4 eta) (dF/dphi_b - dF/dphi_a)],   sum over a of phi_a = 1,  phi_a >= 0

(PINN-Phase, eq. 2 and 3, after Steinbach.) N counts the phases of the cell and those that enter it: a phase of the
neighbours does so where those of the cell drive it in, sum over b of mu_ab (dF/dphi_b - dF/dphi_a) > 0. The obstacle
and the sum are kept by the Euclidean projection of each cell on the simplex, which is the explicit step of that
variational inequality. With one mobility the projection absorbs the mean over the phases, and N drops out:

    phi <- P(phi - dt mu sum over b != a of sigma_ab I_b),   I_b = lap phi_b + (pi/eta)^2 phi_b

so that an interface between two grains moves exactly as in the two-phase model, whatever else is in the store. Only
cells at interfaces are visited; the cost of a step grows with their length, not with the number of grains.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from phasemill.core.kernels import kernel

SLOTS = 8
"""Phases that a cell can hold."""
LOCAL = 24
"""Phases that a cell and its neighbours can hold between them."""


@kernel
def value_of(ids: Any, values: Any, count: Any, cell: Any, phase: Any) -> float:
    """phi of a phase in a cell, 0 where it is not on the list."""
    for slot in range(count[cell]):
        if ids[cell, slot] == phase:
            return float(values[cell, slot])
    return 0.0


@kernel
def gather(
    ids: Any, values: Any, count: Any, neighbours: Any, cell: Any, local: Any, own: Any, around: Any
) -> int:  # fmt: skip
    """Phases of a cell and its neighbours, phi of each in the cell and its sum over the neighbours.

    Returns the number of phases, or -1 where they are too many.
    """
    n = count[cell]
    for slot in range(n):
        local[slot], own[slot], around[slot] = ids[cell, slot], values[cell, slot], 0.0
    for side in range(neighbours.shape[1]):
        other = neighbours[cell, side]
        for slot in range(count[other]):
            phase, k = ids[other, slot], 0
            while k < n and local[k] != phase:
                k += 1
            if k == n:
                if n == LOCAL:
                    return -1
                local[n], own[n], around[n] = phase, 0.0, 0.0
                n += 1
            around[k] += values[other, slot]
    return int(n)


@kernel
def project(x: Any, order: Any, n: int) -> None:
    """x[:n] <- the nearest point with x >= 0 and sum x = 1; `order` is room to sort."""
    for i in range(n):
        value, j = x[i], i
        while j > 0 and order[j - 1] < value:
            order[j] = order[j - 1]
            j -= 1
        order[j] = value
    total, shift = 0.0, 0.0
    for i in range(n):
        total += order[i]
        candidate = (total - 1.0) / (i + 1)
        if order[i] > candidate:
            shift = candidate
    for i in range(n):
        x[i] = max(x[i] - shift, 0.0)


@kernel
def admit(local: Any, own: Any, potential: Any, present: int, n: int, mu: Any) -> int:
    """Moves the phases that enter the cell to the place after its own; how many there are then, the N of eq. 2."""
    kept = present
    for k in range(present, n):
        push = 0.0
        for m in range(present):
            push += mu[local[k], local[m]] * (potential[k] - potential[m])
        if push > 0.0:
            local[kept], own[kept], potential[kept] = local[k], own[k], potential[k]
            kept += 1
    return kept


@kernel
def advance(
    ids: Any, values: Any, count: Any, neighbours: Any, active: Any, fresh_ids: Any, fresh_values: Any,
    fresh_count: Any, sigma: Any, mu: Any, g: Any, numbers: Any,
) -> tuple[int, int]:  # fmt: skip
    """New lists of the active cells; the cell whose phases are too many and how many it may have, or -1 and 0.

    numbers: 1/dx^2, (pi/eta)^2, pi/eta, dt. sigma and mu: (1, 1), one value for all pairs, or (phases, phases).
    """
    per_area, obstacle, force, dt = numbers
    sides = neighbours.shape[1]
    local = np.empty(LOCAL, ids.dtype)
    own, around, potential = np.empty(LOCAL), np.empty(LOCAL), np.empty(LOCAL)
    x, order = np.empty(LOCAL), np.empty(LOCAL)
    same_sigma, same_mu = sigma.shape[0] == 1, mu.shape[0] == 1
    for number in range(len(active)):
        cell = active[number]
        n = gather(ids, values, count, neighbours, cell, local, own, around)
        if n < 0:
            return int(cell), LOCAL
        present = count[cell]  # the first ones of `local`
        for k in range(n):
            potential[k] = per_area * (around[k] - sides * own[k]) + obstacle * own[k]
        if not same_sigma:  # x serves as room for I
            for k in range(n):
                x[k] = potential[k]
            for k in range(n):
                total = 0.0
                for m in range(n):
                    if m != k:
                        total -= sigma[local[k], local[m]] * x[m]
                potential[k] = total
        else:
            for k in range(n):
                potential[k] *= sigma[0, 0]
        if not same_mu:
            n = admit(local, own, potential, present, n, mu)
        for k in range(n):
            if same_mu:
                rate = mu[0, 0] * potential[k]
            else:
                rate = 0.0
                for m in range(n):
                    if m != k:
                        rate += mu[local[k], local[m]] / n * (potential[k] - potential[m])
            for m in range(present if k < present else 0):
                gain = g[local[m]] - g[local[k]]
                if gain != 0.0:
                    pair = mu[0, 0] if same_mu else mu[local[k], local[m]]
                    rate += 2.0 / present * pair * force * np.sqrt(own[k] * own[m]) * gain
            x[k] = own[k] + dt * rate
        project(x, order, n)
        kept = 0
        for k in range(n):
            if x[k] > 0:
                if kept == SLOTS:
                    return int(cell), SLOTS
                fresh_ids[number, kept], fresh_values[number, kept] = local[k], x[k]
                kept += 1
        fresh_count[number] = kept
    return -1, 0


@kernel
def commit(ids: Any, values: Any, count: Any, active: Any, fresh_ids: Any, fresh_values: Any, fresh_count: Any) -> None:
    """The new lists take the place of the old ones."""
    for number in range(len(active)):
        cell = active[number]
        count[cell] = fresh_count[number]
        for slot in range(fresh_count[number]):
            ids[cell, slot], values[cell, slot] = fresh_ids[number, slot], fresh_values[number, slot]


@kernel
def crowded(ids: Any, count: Any, neighbours: Any, cell: Any) -> bool:
    """Whether a cell and its neighbours hold more than one phase between them."""
    if count[cell] > 1:
        return True
    for side in range(neighbours.shape[1]):
        other = neighbours[cell, side]
        if count[other] > 1 or ids[other, 0] != ids[cell, 0]:
            return True
    return False


@kernel
def mark(ids: Any, count: Any, neighbours: Any, cells: Any, stamps: Any, stamp: int, found: Any) -> int:
    """The crowded ones among `cells` and their neighbours into `found`; their number."""
    n = 0
    for number in range(len(cells)):
        for side in range(-1, neighbours.shape[1]):
            candidate = cells[number] if side < 0 else neighbours[cells[number], side]
            if stamps[candidate] != stamp:
                stamps[candidate] = stamp
                if crowded(ids, count, neighbours, candidate):
                    found[n] = candidate
                    n += 1
    return n


@kernel
def energy(ids: Any, values: Any, count: Any, neighbours: Any, active: Any, sigma: Any, numbers: Any) -> float:
    """sum over the active cells and pairs of 4 sigma_ab/eta [phi_a phi_b - (eta/pi)^2 grad phi_a . grad phi_b].

    Gradients are forward differences along each axis. numbers: 4/eta, (eta/pi)^2 / dx^2.
    """
    scale, gradient = numbers
    local, own, around = np.empty(LOCAL, ids.dtype), np.empty(LOCAL), np.empty(LOCAL)
    total = 0.0
    for number in range(len(active)):
        cell = active[number]
        n = gather(ids, values, count, neighbours, cell, local, own, around)
        for k in range(n):
            here = own[k]
            for m in range(k):
                there = own[m]
                density = here * there
                for side in range(1, neighbours.shape[1], 2):
                    ahead = neighbours[cell, side]
                    jump = value_of(ids, values, count, ahead, local[k]) - here
                    density -= gradient * jump * (value_of(ids, values, count, ahead, local[m]) - there)
                total += scale * (sigma[0, 0] if sigma.shape[0] == 1 else sigma[local[k], local[m]]) * density
    return total


@kernel
def volumes(ids: Any, values: Any, count: Any, found: Any) -> None:
    """The sum of phi of each phase over all cells, into `found`."""
    found[:] = 0
    for cell in range(len(count)):
        for slot in range(count[cell]):
            found[ids[cell, slot]] += values[cell, slot]
