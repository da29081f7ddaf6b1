"""Fields that are advanced by one method each: numpy rolls, networks of fixed and of growing strides, also on a GPU."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from phasemill.spinodal.datasets.mixtures import coarsen
from phasemill.spinodal.library import BUILDERS, Surrogate
from phasemill.spinodal.network import Step
from phasemill.spinodal.physics import Medium
from phasemill.spinodal.rollout import rollout
from phasemill.spinodal.stride_network import prepared, schedule, strided


class Marching(Protocol):
    """A field that is being advanced."""

    @property
    def phi(self) -> NDArray[Any]:
        """The field at the time reached, on the solver's or on the networks' grid."""

    def advance(self, duration: float) -> None:
        """March on by `duration`."""


class Roll:
    """Explicit Euler as one would write it in numpy."""

    def __init__(self, phi: NDArray[Any], medium: Medium, dt: float, precision: str) -> None:
        self.phi, self.medium, self.dt = phi.astype(precision), medium, dt

    def advance(self, duration: float) -> None:
        """March on by `duration`, a multiple of dt."""
        eps, area = self.medium.eps, self.medium.dx**2
        for _ in range(round(duration / self.dt)):
            phi = self.phi
            mu = 36 / eps * phi * (1 - phi) * (1 - 2 * phi) - eps / area * self._differences(phi)
            self.phi = phi + self.dt * self.medium.mobility / area * self._differences(mu)

    def _differences(self, a: NDArray[Any]) -> NDArray[Any]:
        """The Laplacian times dx^2."""
        total = -2 * a.ndim * a
        for axis in range(a.ndim):
            total += np.roll(a, 1, axis)
            total += np.roll(a, -1, axis)
        return np.asarray(total)


class Still:
    """The initial field, whatever the time."""

    def __init__(self, phi: NDArray[Any]) -> None:
        self.phi = phi

    def advance(self, duration: float) -> None:
        """Nothing moves."""


class NetworkMarch:
    """The free roll-out of a network that advances a fixed interval."""

    def __init__(self, phi: NDArray[Any], model: Surrogate) -> None:
        self.phi: NDArray[Any] = _on_grid(phi, model)
        self.interval = model.interval
        self.frames = rollout(model.step, self.phi[None], sys.maxsize)

    def advance(self, duration: float) -> None:
        """March on by `duration`, a multiple of the interval."""
        for _ in range(round(duration / self.interval)):
            self.phi = next(self.frames)[0]


class StrideMarch:
    """RKL2 up to the time from which a network takes large strides, then the network, or its classical guess alone."""

    def __init__(
        self, phi: NDArray[Any], now: float, model: Surrogate, solver: Marching, begin: float, corrected: bool = True
    ) -> None:
        self.now, self.model, self.solver, self.begin, self.corrected = now, model, solver, begin, corrected
        self.phi: NDArray[Any] = _on_grid(phi, model)
        self.network = prepared(model.network)

    def advance(self, duration: float) -> None:
        """March on by `duration`, as a whole by the solver where it starts before `begin`."""
        end = self.now + duration
        if self.now < self.begin:
            self.solver.advance(duration)
            self.phi = _on_grid(self.solver.phi, self.model)
        else:
            for dt in schedule(self.now, end, interval=self.model.card["medium"]["interval"]):
                self.phi = next(rollout(self._step(dt), self.phi[None], 1))[0]
        self.now = end

    def _step(self, dt: float) -> Step:
        if self.corrected:
            return strided(self.network, dt)
        return lambda phi, state: (self.network.guess(phi, phi.new_full((len(phi),), dt)), state)


class DeviceMarch:
    """The roll-out of a network on a GPU; phi is carried in float64 there."""

    def __init__(self, phi: NDArray[Any], model: Surrogate, device: str) -> None:
        self.step = BUILDERS[model.card["kind"]][1](model.network.to(device), torch.bfloat16)
        self.interval, self.state = model.interval, None
        self.field = torch.from_numpy(_on_grid(phi, model)[None]).to(device, torch.float64)

    @property
    def phi(self) -> NDArray[Any]:
        """The field at the time reached."""
        return self.field[0].cpu().numpy()

    def advance(self, duration: float) -> None:
        """March on by `duration`, a multiple of the interval."""
        with torch.no_grad():
            for _ in range(round(duration / self.interval)):
                rounded = self.field.float()
                following, self.state = self.step(rounded, self.state)
                self.field += (following - rounded).double()


def _on_grid(phi: NDArray[Any], model: Surrogate) -> NDArray[np.float32]:
    return coarsen(phi, model.factor, model.card["downscale"]).astype(np.float32)
