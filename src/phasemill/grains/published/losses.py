"""The published losses, as they were coded, each beside the form that does what it is said to do.

    R = phi_t - mu sigma [lap phi + pi^2/(2 eta^2) (2 phi - 1)]     without the obstacle (PINN-Phase eq. 4 and 7)

In the bulk, where phi is 0 or 1 and stays so, R is +- mu sigma pi^2/(2 eta^2) for the exact solution too: the mean
square of R is a constant to which motion adds almost nothing. With the obstacle R counts only where it is not
admissible: it may be positive where phi = 0 and negative where phi = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phasemill.grains.physics import Medium
from phasemill.grains.variation import Interval, differences

NEAR = 0.01
"""A network's output that is this close to 0 or 1 counts as touching: a tanh never arrives."""


@dataclass(frozen=True)
class Problem:
    """The equation and its time axis."""

    medium: Medium
    dt: float
    """Between two frames."""
    until: float
    """The last frame's time, by which the network's t is scaled."""

    @property
    def interval(self) -> Interval:
        """The numbers of an interval."""
        return Interval.of(self.medium, self.dt)


def residual(phi: Tensor, rate: Tensor, laplacian: Tensor, medium: Medium, *, obstacle: bool) -> Tensor:
    """R at points, from phi, phi_t and lap phi there; with the obstacle what it holds is 0."""
    found = rate - medium.mu * medium.sigma * laplacian - medium.reaction * (2 * phi - 1)
    if not obstacle:
        return found
    held = ((phi <= NEAR) & (found > 0)) | ((phi >= 1 - NEAR) & (found < 0))
    return found.masked_fill(held, 0.0)


def frame_residual(frames: Tensor, problem: Problem, *, obstacle: bool) -> Tensor:
    """R of each pair of frames (time, x, y), an explicit step of dt: (time - 1, x, y).

    With the obstacle, (phi' - clip(phi + dt rate, 0, 1)) / dt. As c = mu sigma dt/dx^2 is 6, far above 1/4, frames
    without residual are an unstable scheme's.
    """
    ahead = frames[:-1] + problem.interval.force(frames[:-1])
    if obstacle:
        ahead = ahead.clamp(0, 1)
    return (frames[1:] - ahead) / problem.dt


def frame_energy(frames: Tensor, problem: Problem) -> Tensor:
    """J of `variation` of each pair of frames, the first of each fixed, in the mean."""
    interval = problem.interval
    return interval.energy(frames[1:], interval.source(frames[:-1].detach())).mean()


def latent_residual(latents: Tensor, problem: Problem) -> Tensor:
    """Mean square of R on latent channels (time, channel, x, y), cells 9 dx wide; only the first one has a gradient.

    Behind ReLU and dropout these channels follow no such equation; kept as published (eq. 8).
    """
    latents = torch.cat([latents[:1], latents[1:].detach()])
    medium = problem.medium
    ratio = medium.mu * medium.sigma / (9 * medium.dx) ** 2
    rates = ratio * differences(latents[:-1]) + medium.reaction * (2 * latents[:-1] - 1)
    return ((latents[1:] - latents[:-1]) / problem.dt - rates).square().mean()


def energies(frames: Tensor, problem: Problem) -> Tensor:
    """F of frames (time, x, y), as `physics.free_energy`."""
    medium = problem.medium
    slopes = (torch.roll(frames, -1, -1) - frames) ** 2 + (torch.roll(frames, -1, -2) - frames) ** 2
    density = frames * (1 - frames) + (medium.eta / torch.pi) ** 2 * slopes / medium.dx**2
    return 4 * medium.sigma / medium.eta * density.sum(dim=(-2, -1)) * medium.dx**2


def energy_imbalance(frames: Tensor, problem: Problem) -> Tensor:
    """dF/dt + (1/L) int phi_t^2 of each interval: 0 for a gradient flow, with the obstacle too (eq. 5)."""
    energy = energies(frames, problem)
    return (energy[1:] - energy[:-1]) / problem.dt + dissipation(frames, problem)


def dissipation(frames: Tensor, problem: Problem) -> Tensor:
    """(1/L) int phi_t^2 of each interval."""
    rates = (frames[1:] - frames[:-1]) / problem.dt
    return rates.square().sum(dim=(-2, -1)) * problem.medium.dx**2 / problem.medium.kinetic


def coded_energy_imbalance(frames: Tensor, problem: Problem) -> Tensor:
    """The same as released: the rate of F is taken for F and differenced again, its gradient term is lost, no gradient.

    d/dt int (4 sigma/eta) (1 - 2 phi) phi_t + (1/L) int phi_t^2, from the second interval on. The slopes are taken
    along axes of size 1, where they vanish, and the fields are detached: whatever its weight, it trains nothing.
    """
    frames, medium = frames.detach(), problem.medium
    rates = (frames[1:] - frames[:-1]) / problem.dt
    power = 4 * medium.sigma / medium.eta * ((1 - 2 * frames[1:]) * rates).sum(dim=(-2, -1)) * medium.dx**2
    return (power[1:] - power[:-1]) / problem.dt + dissipation(frames, problem)[1:]


def regularisation(parameters: list[Tensor]) -> Tensor:
    """1e-6 (sum |w| + sum w^2) of the coordinates' network; at its start above the paper's threshold of 0.017."""
    return 1e-6 * torch.stack([part.abs().sum() + part.square().sum() for part in parameters]).sum()
