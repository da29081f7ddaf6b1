"""One arm on its way through the intervals: networks, weights of the losses, frames, and a log of every epoch.

Incremental training as published: in each epoch the recurrent network rolls from the first frame over all intervals so
far, the coordinates' network learns the last one; what the mixture makes of its end becomes the next frame. Left out:
the loss of the coordinates' network's whole sequence, which is taken on a detached copy and trains nothing.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn

from phasemill.core.gradnorm import Weighting
from phasemill.grains.config.gradnorm import Arm, Gradnorm
from phasemill.grains.network import SCALE
from phasemill.grains.published.losses import (
    Problem,
    coded_energy_imbalance,
    energies,
    energy_imbalance,
    frame_energy,
    frame_residual,
    latent_residual,
    regularisation,
    residual,
)
from phasemill.grains.published.network import DROPOUT, Coordinates, Recurrent
from phasemill.grains.variation import differences, project

TERMS = ("initial", "motion", "pde", "latent", "difference", "reconstruction", "energy", "regularisation", "data")
WEIGHTED = ("initial", "motion", "pde")
"""The losses that the published code weighs."""
COLUMNS = (*TERMS, "total", *(f"weight_{name}" for name in WEIGHTED), "gamma")
ENERGY_WEIGHT = 1.5


class Course(nn.Module):
    """The networks of an arm and what they have found.

    Arguments
    ---------
    first: the field (x, y) at which everything begins.
    shown: the truth at the ends of the first `arm.shown` intervals, (interval, x, y); none for an arm without data.
    """

    frames: Tensor
    feed: Tensor
    log: Tensor
    seconds: Tensor
    points: Tensor
    shown: Tensor

    def __init__(self, arm: Arm, settings: Gradnorm, problem: Problem, first: Tensor, shown: Tensor) -> None:
        super().__init__()
        self.arm, self.settings, self.problem = arm, settings, problem
        size = len(first)
        published = arm.mixing == "fields"
        self.recurrent = Recurrent(
            arm.cell, layers=settings.layers, size=size, variational=arm.variational,
            attention=settings.attention if arm.attention else 0, dropout=DROPOUT if published else 0.0,
            rectified=published,
        )  # fmt: skip
        self.coordinates = Coordinates(settings.width) if arm.feed_forward else None
        if self.coordinates is not None and arm.initial == "hard":
            nn.init.zeros_(self.coordinates.out.weight)
            nn.init.zeros_(self.coordinates.out.bias)
        self.gamma = nn.Parameter(torch.tensor(settings.gamma if arm.feed_forward else 0.0))
        self.gamma.requires_grad_(arm.feed_forward)
        self.weighting = Weighting(len(self.weighted), arm.weights, alpha=settings.alpha, beta=settings.beta)
        x = torch.arange(size) * problem.medium.dx
        self.register_buffer("points", torch.cartesian_prod(x, x), persistent=False)
        self.register_buffer("shown", shown, persistent=False)
        self.register_buffer("frames", first.repeat(settings.intervals + 1, 1, 1))
        self.register_buffer("feed", first.repeat(settings.intervals + 1, 1, 1))
        self.register_buffer("log", torch.full((settings.intervals, settings.epochs_of(arm), len(COLUMNS)), torch.nan))
        self.register_buffer("seconds", torch.zeros(settings.intervals, dtype=torch.float64))

    @property
    def weighted(self) -> tuple[str, ...]:
        """The losses that have weights."""
        if not self.arm.feed_forward:
            return WEIGHTED[2:]
        return WEIGHTED[1:] if self.arm.initial == "hard" else WEIGHTED

    def solve(self, number: int, optimizer: torch.optim.Optimizer, rng: np.random.Generator) -> dict[str, float]:
        """Train on the interval `number` and store the frames at its end; returns the last epoch's numbers."""
        begun = time.process_time()
        row: dict[str, float] = {}
        for epoch in range(len(self.log[number])):
            optimizer.zero_grad()
            row = self.epoch(number, rng)
            optimizer.step()
            self.log[number, epoch] = torch.tensor([row[name] for name in COLUMNS])
            if self.arm.threshold and epoch + 1 >= self.settings.least and row["total"] < self.settings.threshold:
                break
        self.seconds[number] = time.process_time() - begun
        with torch.no_grad():
            frames, feed, *_ = self.roll(number)
        self.frames[number + 1], self.feed[number + 1] = frames[-1], feed[-1]
        return {name: row[name] for name in ("total", "motion", "pde", "gamma")}

    def epoch(self, number: int, rng: np.random.Generator) -> dict[str, float]:
        """All losses of an epoch, their weights moved on, and the gradients of the total: ready for the optimiser."""
        terms = self.terms(number, rng)
        weighted = [terms[name] for name in self.weighted]
        if self.coordinates is not None:
            self.weighting.update(weighted, [self.coordinates.first])
        total = self.weighting.total(weighted)
        for name, value in terms.items():
            if name not in self.weighted:
                total = total + (ENERGY_WEIGHT if name == "energy" else 1.0) * value
        total.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        found = {name: float(terms[name].detach()) if name in terms else 0.0 for name in TERMS}
        weights = dict(zip(self.weighted, self.weighting.weights.tolist(), strict=True))
        found |= {f"weight_{name}": weights.get(name, 1.0) for name in WEIGHTED}
        return found | {"total": float(total.detach()), "gamma": float(self.gamma.detach())}

    def terms(self, number: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """The losses of the interval `number` and of all before it."""
        arm, problem = self.arm, self.problem
        frames, feed, outputs, divergence = self.roll(number)
        found = {}
        if self.coordinates is not None:
            where = self.points.device
            cells = torch.from_numpy(rng.choice(len(self.points), self.settings.points, replace=False)).to(where)
            share = torch.from_numpy(rng.random(len(cells)).astype(np.float32)).to(where)
            if arm.initial == "soft":
                start = self.field(number, cells, torch.zeros_like(share))
                found["initial"] = (start - self.frames[number].flatten()[cells]).square().mean()
            if arm.motion == "energy":
                pair = torch.stack([self.frames[number], feed[-1]])
                found["motion"] = frame_energy(pair, problem) / SCALE**2
            else:
                found["motion"] = self.motion(number, cells, share)
            found["difference"] = (frames[1:] - feed[1:].detach()).square().mean()
            found["reconstruction"] = (self.reconstructed(outputs) - outputs).square().mean() + divergence
            found["regularisation"] = regularisation(list(self.coordinates.parameters()))
            if number < arm.shown:
                found["data"] = (feed[-1] - self.shown[number]).square().mean()
            found["latent"] = latent_residual(self.recurrent.encoder(frames[:, None]), problem)
        elif arm.variational:
            found["reconstruction"] = divergence
        if arm.motion == "energy":
            found["pde"] = frame_energy(frames, problem) / SCALE**2
        else:
            unit = problem.dt if arm.units else 1.0
            found["pde"] = (unit * frame_residual(frames, problem, obstacle=arm.obstacle)).square().mean()
        if arm.energy == "real":
            power = energies(self.frames[:1], problem) / problem.until
            found["energy"] = (energy_imbalance(frames, problem) / power).square().mean()
        elif len(frames) > 2:
            found["energy"] = coded_energy_imbalance(frames, problem).square().mean()
        return found

    def roll(self, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """From the first frame to the end of the interval `number`.

        Returns mixed frames and the coordinates' network's (number + 2, x, y), the decoder's fields (number + 1, x, y),
        and the mean divergence of the bottleneck. The coordinates' network's earlier fields are as they were stored.
        """
        phi, states = self.frames[:1], self.recurrent.at_rest()
        frames, feed, outputs, divergences = [phi], [phi], [], []
        for interval in range(number + 1):
            output, states, divergence = self.recurrent(phi, states)
            seen = self.feed[interval + 1 : interval + 2]
            if self.coordinates is not None and interval == number:
                everywhere = torch.arange(len(self.points), device=self.points.device)
                end = torch.ones(len(self.points), device=self.points.device)
                seen = self.field(number, everywhere, end).reshape(phi.shape)
            phi = self.mixed(phi, seen, output, self.frames[interval : interval + 1])
            frames.append(phi)
            feed.append(seen)
            outputs.append(output)
            divergences.append(divergence)
        return torch.cat(frames), torch.cat(feed), torch.cat(outputs), torch.stack(divergences).mean()

    def mixed(self, phi: Tensor, seen: Tensor, output: Tensor, base: Tensor) -> Tensor:
        """phi' from the field before, the coordinates' network's own phi' and the decoder's field.

        Where increments are mixed, that network's one is from `base`, the frame at which its interval began.
        """
        if self.arm.mixing == "fields":
            return (self.gamma * seen + (1 - self.gamma) * self.problem.dt * output).clamp(0, 1)
        return project(phi + self.gamma * (seen - base) + (1 - self.gamma) * SCALE * output)

    def field(self, number: int, cells: Tensor, share: Tensor) -> Tensor:
        """phi of the coordinates' network in `cells`, at a `share` of the interval `number`."""
        assert self.coordinates is not None
        v = self.coordinates(torch.cat([self.points[cells], self._clock(number, share)], dim=1))
        if self.arm.initial == "soft":
            return (torch.tanh(v) + 1) / 2
        return project(self.frames[number].flatten()[cells] + SCALE * share * v)

    def motion(self, number: int, cells: Tensor, share: Tensor) -> Tensor:
        """Mean square of R by derivatives of the coordinates' network, one time per cell within the interval."""
        assert self.coordinates is not None
        inputs = torch.cat([self.points[cells], self._clock(number, share)], dim=1).requires_grad_(True)
        v, known = self.coordinates(inputs), self.frames[number]
        if self.arm.initial == "soft":
            moving = (torch.tanh(v) + 1) / 2
            phi, base = moving, torch.zeros(())
        else:
            elapsed = inputs[:, 2] * self.problem.until / self.problem.dt - number
            moving = SCALE * elapsed * v
            phi = project(known.flatten()[cells] + moving)
            base = (differences(known) / self.problem.medium.dx**2).flatten()[cells]
        slopes = torch.autograd.grad(moving.sum(), inputs, create_graph=True)[0]
        bends = [
            torch.autograd.grad(
                slopes[:, axis].sum(), inputs, retain_graph=True, create_graph=not self.arm.detached
            )[0][:, axis]
            for axis in (0, 1)
        ]  # fmt: skip
        rate = slopes[:, 2] / self.problem.until
        medium, laplacian = self.problem.medium, bends[0] + bends[1] + base
        return residual(phi, rate, laplacian, medium, obstacle=self.arm.obstacle).square().mean()

    def reconstructed(self, outputs: Tensor) -> Tensor:
        """Decoder of encoder of the decoder's own fields: what the published code reconstructs, in place of phi."""
        latent = self.recurrent.encoder(outputs[:, None])
        if self.recurrent.bottleneck is not None:
            latent, _ = self.recurrent.bottleneck(latent)
        found: Tensor = self.recurrent.decoder(latent)[:, 0]
        return found

    def _clock(self, number: int, share: Tensor) -> Tensor:
        return ((number + share) * self.problem.dt / self.problem.until)[:, None]
