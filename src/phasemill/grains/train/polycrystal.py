"""Training of a recurrent network on polycrystals: the equation and the first frames are all that it sees.

Every grain goes through the same network with its own phase field and force, so that the grains may be numbered in any
way and there may be any number of them; the projection on the simplex makes them one microstructure. Windows begin at
frames of the network's own roll-outs, which get longer as the training goes on and begin with the training
polycrystals as turned and mirrored at random: the square's symmetries cost nothing and are eight times as many.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from phasemill.core import loop, store
from phasemill.core.seeds import number_seeds
from phasemill.core.session import Options, Place, Session
from phasemill.grains.config.learned import Recurrent
from phasemill.grains.config.polycrystal import Crystals, PolycrystalStepperJob
from phasemill.grains.datasets.polycrystal import medium_of
from phasemill.grains.library import fill
from phasemill.grains.march import cosine
from phasemill.grains.network import SCALE, State, Stepper
from phasemill.grains.simplex import Phases, project
from phasemill.grains.train.march import cpu_seconds
from phasemill.grains.train.settle import Begin, settle


def step(network: Stepper, phi: Tensor, force: Tensor, state: State) -> tuple[Tensor, State]:
    """The fields (batch, phase, x, y) after an interval; each phase has a state of its own."""
    g, state = network(phi.flatten(0, 1), force.flatten(0, 1), state)
    return project(phi + SCALE * g.view_as(phi)), state


def rollout(network: Stepper, phi: Tensor, intervals: int, phases: Phases) -> Iterator[tuple[Tensor, State, float]]:
    """Each following field with its state and mean square residual."""
    state = network.at_rest(phi.flatten(0, 1))
    for _ in range(intervals):
        force = phases.pinned_force(phi)
        found, state = step(network, phi, force, state)
        residual = phases.residual(found, phi + force / 2)
        phi = found
        yield phi, state, float(residual.detach().square().mean())


def turned(phi: Tensor, symmetry: int) -> Tensor:
    """The fields (..., x, y) under one of the eight symmetries of the square."""
    found = torch.rot90(phi, symmetry % 4, (-2, -1))
    return found.transpose(-2, -1).contiguous() if symmetry >= 4 else found


def one_of(starts: Tensor, seed: int) -> Begin:
    """One polycrystal after the other (1, phase, x, y), turned and mirrored at random."""

    def begin(number: int) -> Tensor:
        chosen = number % len(starts)
        return turned(starts[chosen : chosen + 1], int(loop.rng(seed, number).integers(8)))

    return begin


class Places(nn.Module):
    """Where windows begin: frames of a roll-out with the weights of some steps ago, which alone go into checkpoints."""

    number: Tensor
    reach: Tensor

    def __init__(self, network: Stepper, begin: Begin, phases: Phases) -> None:
        super().__init__()
        self.behind = copy.deepcopy(network).requires_grad_(False)
        self.begin, self.phases = begin, phases
        self.register_buffer("number", torch.zeros((), dtype=torch.int64))
        self.register_buffer("reach", torch.zeros((), dtype=torch.int64))
        self.frames: list[tuple[Tensor, State]] = []

    def refresh(self, network: Stepper, number: int, reach: int) -> None:
        """Roll out again, `reach` intervals, with the present weights and from the start of that number."""
        self.behind.load_state_dict(network.state_dict())
        self.number.fill_(number)
        self.reach.fill_(reach)
        self.frames = []

    @torch.no_grad()
    def draw(self, rng: np.random.Generator) -> tuple[Tensor, State]:
        """The polycrystal at one interval of its roll-out."""
        if not self.frames:
            phi = self.begin(int(self.number))
            found = rollout(self.behind, phi, int(self.reach), self.phases)
            self.frames = [
                (phi, self.behind.at_rest(phi.flatten(0, 1))),
                *((field, state) for field, state, _ in found),
            ]
        return self.frames[int(rng.integers(len(self.frames)))]


def train(job: PolycrystalStepperJob, data: Path, output: Path, **options: Unpack[Options]) -> None:
    """Train the networks of all seeds; 0 steps take the shipped ones."""
    session, dataset = Session(job, data, **options), store.open_dataset(data)
    chosen = [sim for sim, split in enumerate(store.meanings(dataset["split"])) if split == "train"]
    first = np.stack([dataset["phi"][sim, 0].values for sim in chosen]).astype(np.float32)
    starts, wanted = torch.from_numpy(first).to(session.where), job.polycrystal
    phases = Phases.of(medium_of(wanted), wanted.until / wanted.frames)
    trained = networks(job)
    if not job.crystals.steps:
        session.runs = fill(job.benchmark, session.spec, trained, Stepper)
    seeds = number_seeds(job.seed, "grain_polycrystal", len(trained))
    for (name, network), seed in zip(trained.items(), seeds, strict=True) if job.crystals.steps else ():
        assert isinstance(network, Stepper)
        torch.manual_seed(seed)
        fresh, label = Stepper(job.recurrent.cell, job.recurrent.channels).to(session.where), f"polycrystal {name}"
        place = session.place(name)
        result = fit(fresh, starts, phases, job.recurrent, job.crystals, seed, label, place)
        settled = settle(
            fresh, one_of(starts, seed), job.crystals.length, phases, step, steps=job.crystals.settling,
            learning_rate=job.recurrent.settling_rate, seed=seed, label=label, **place,
        )  # fmt: skip
        network.load_state_dict(fresh.state_dict())
        facts = {
            "seconds": round(result.seconds + settled.seconds, 2),
            "cpu": round(cpu_seconds(result) + cpu_seconds(settled), 2),
            "steps": result.step,
            "residual": settled.rows[-1]["residual"],
            "curve": [{key: row[key] for key in ("step", "loss", "residual", "seconds")} for row in result.rows],
        }
        session.add(name, facts, result.rows)
    session.save(output, "polycrystal", "grain_polycrystal_stepper", trained.state_dict())


def networks(job: Any) -> nn.ModuleDict:
    """The untrained networks of all seeds."""
    settings = job.recurrent
    return nn.ModuleDict(
        {f"seed_{number}": Stepper(settings.cell, settings.channels) for number in range(job.crystals.seeds)}
    )


def fit(
    network: Stepper, starts: Tensor, phases: Phases, settings: Recurrent, crystals: Crystals, seed: int, label: str,
    place: Place,
) -> loop.Result:  # fmt: skip
    """Train one network; the rate falls to nothing, the last weights are kept."""
    places = Places(network, one_of(starts, seed), phases)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda index: cosine(index, crystals.steps))

    def one(index: int) -> dict[str, float]:
        begun = time.process_time()
        if index % settings.refresh == 0:
            grown = crystals.length * 2 * index // crystals.steps
            places.refresh(network, index // settings.refresh, min(crystals.length, grown))
        phi, state = places.draw(loop.rng(seed, index))
        optimizer.zero_grad()
        total = torch.zeros(())
        for _ in range(settings.window):
            force = phases.pinned_force(phi)
            found, state = step(network, phi, force, state)
            total = total + phases.energy(found, phi + force / 2).mean()
            phi = found.detach()
        loss = total / settings.window / SCALE**2
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return {"loss": float(loss.detach()), "cpu": time.process_time() - begun}

    def validate() -> dict[str, float]:
        with torch.no_grad():
            squares = [square for *_, square in rollout(network, starts, crystals.length, phases)]
        return {"residual": float(np.sqrt(np.mean(squares)))}

    return loop.train(
        loop.Training({"network": network, "places": places}, optimizer, schedule), one, steps=crystals.steps,
        every=max(1, crystals.steps // 10), seed=seed, history=place["checkpoints"] / "history.csv", validate=validate,
        label=label, **place,
    )  # fmt: skip
