"""Training of the recurrent networks on windows, then on whole roll-outs, and of the mixture.

The loss is J of each interval of a window, no data. A window begins at a frame of the march or of the network's own
roll-out, with the hidden state that the network has there; frames are fixed at the start of each interval, as in a
minimising movement, and the gradient reaches back through the hidden state alone.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from phasemill.core import loop, store
from phasemill.core.model_files import load_model
from phasemill.core.provenance import config_hash
from phasemill.core.session import Options, Place, Session
from phasemill.grains.config.data import Case
from phasemill.grains.config.learned import Learn, Recurrent, StepperJob
from phasemill.grains.datasets.cases import load
from phasemill.grains.library import fill
from phasemill.grains.march import March, cosine
from phasemill.grains.network import SCALE, State, Stepper, advance
from phasemill.grains.train.march import cpu_seconds, interval_of, marches, runs
from phasemill.grains.train.settle import settle
from phasemill.grains.variation import Interval

GAMMA = 0.9
"""First value of gamma, the paper's."""


class Pool(nn.Module):
    """Where windows begin: frames of the march and of the own roll-out, with hidden states of some steps ago.

    Only the weights of that time are kept in checkpoints; frames and states follow from them.
    """

    def __init__(self, network: Stepper, march: Tensor, interval: Interval) -> None:
        super().__init__()
        self.behind = copy.deepcopy(network).requires_grad_(False)
        self.march, self.interval = march, interval
        self.places: list[list[tuple[Tensor, State]]] = []

    def refresh(self, network: Stepper) -> None:
        """Roll out again, with the present weights."""
        self.behind.load_state_dict(network.state_dict())
        self.places = []

    @torch.no_grad()
    def draw(self, rng: np.random.Generator, batch: int, window: int) -> tuple[Tensor, State, Tensor]:
        """Fields (batch, x, y), states, frame numbers: the even ones from the march, the others its own roll-out."""
        if not self.places:
            self.places = [list(follow(self.behind, self.march, self.interval)), list(self._own())]
        sources = [self.places[sample % 2] for sample in range(batch)]
        numbers = [int(rng.integers(0, len(source) - window, endpoint=True)) for source in sources]
        places = [source[number] for source, number in zip(sources, numbers, strict=True)]
        states = zip(*(state for _, state in places), strict=True)
        fields = torch.cat([phi for phi, _ in places])
        return fields, tuple(torch.cat(parts) for parts in states), torch.tensor(numbers, device=fields.device)

    def _own(self) -> Iterator[tuple[Tensor, State]]:
        phi = self.march[:1]
        state = self.behind.at_rest(phi)
        for _ in range(len(self.march) - 1):
            yield phi, state
            g, state = self.behind(phi, self.interval.pinned_force(phi), state)
            phi = advance(phi, g)


def follow(network: Stepper, frames: Tensor, interval: Interval) -> Iterator[tuple[Tensor, State]]:
    """Each frame but the last with the state that the network has when it was shown the ones before."""
    state = network.at_rest(frames[:1])
    for number in range(len(frames) - 1):
        phi = frames[number : number + 1]
        yield phi, state
        _, state = network(phi, interval.pinned_force(phi), state)


def train(job: StepperJob, data: Path, output: Path, *, start: Path, **options: Unpack[Options]) -> None:
    """Train a recurrent network and a gamma for each march in the file `start`; 0 steps take the shipped ones."""
    session, case = Session(job, data, **options), job.case
    where, taught = session.where, marches(case, job.learn, job.marching)
    parent = load_model(start, taught)
    interval, trained = interval_of(case), hybrids(case, job.learn, job.recurrent)
    frames, shown = torch.from_numpy(load(store.open_dataset(data))), round(job.learn.supervised * case.frames)
    if not job.learn.steps:
        session.runs = fill(job.benchmark, session.spec, trained, lambda *sizes: Hybrid(Stepper(*sizes)))
    for name, sim, seed in runs(case, job.learn, job.seed) if job.learn.steps else ():
        teacher = taught[name].to(where)
        assert isinstance(teacher, March)
        torch.manual_seed(seed)
        hybrid = Hybrid(Stepper(job.recurrent.cell, job.recurrent.channels)).to(where)
        place = taught_place(session, name, seed, parent)
        first = fit(
            hybrid.stepper, teacher.frames, interval, job.recurrent, job.learn.steps, seed, name, place,
            truth=frames[sim].to(where) if shown else None, shown=shown,
        )  # fmt: skip
        settled = settle(
            hybrid.stepper, partial(_first, teacher), case.frames, interval, carry, steps=job.learn.settling,
            learning_rate=job.recurrent.settling_rate, seed=seed, label=name, **place,
        )  # fmt: skip
        second = mix(hybrid, teacher, interval, job.learn.mixing, seed, name, place)
        trained[name].load_state_dict(hybrid.state_dict())
        facts = {
            "seconds": round(first.seconds + settled.seconds + second.seconds, 2),
            "cpu": round(sum(map(cpu_seconds, (first, settled, second))), 2),
            "seconds_mixing": round(second.seconds, 2),
            "steps": first.step,
            "settling": [{key: row[key] for key in ("step", "loss", "seconds")} for row in settled.rows],
            "residual": settled.rows[-1]["residual"],
            "curve": [{key: row[key] for key in ("step", "loss", "residual", "seconds")} for row in first.rows],
            "gamma": [row["gamma"] for row in second.rows],
        }
        session.add(name, facts, first.rows)
    session.save(output, "stepper", f"{job.benchmark}_stepper", trained.state_dict())


def taught_place(session: Session, run: str, seed: int, parent: dict[str, Any]) -> Place:
    """The place of a training that is taught by a march of the model file whose card is `parent`."""
    depends = {"seed": seed, "digest": session.digest, "march": parent["provenance"], "job": session.spec, "run": run}
    return {"checkpoints": session.checkpoints / run, "key": config_hash(depends)}


def _first(march: March, _: int) -> Tensor:
    return march.frames[:1]


class Hybrid(nn.Module):
    """g = gamma g_march + (1 - gamma) g_recurrent, gamma = 1/(1 + exp(-logit)) (PINN-Phase eq. 1, on increments)."""

    def __init__(self, stepper: Stepper) -> None:
        super().__init__()
        self.stepper = stepper
        self.logit = nn.Parameter(torch.tensor(GAMMA).logit())

    @property
    def gamma(self) -> Tensor:
        """The weight of the march."""
        return torch.sigmoid(self.logit)

    def forward(self, phi: Tensor, force: Tensor, march: Tensor, state: State) -> tuple[Tensor, State]:
        """The increment, given the march's own."""
        g, state = self.stepper(phi, force, state)
        return self.gamma * march + (1 - self.gamma) * g, state


def hybrids(case: Case, learn: Learn, settings: Recurrent) -> nn.ModuleDict:
    """All networks of a benchmark, untrained."""
    names = [name for name, _, _ in runs(case, learn, 0)]
    return nn.ModuleDict({name: Hybrid(Stepper(settings.cell, settings.channels)) for name in names})


def fit(
    network: Stepper, march: Tensor, interval: Interval, settings: Recurrent, steps: int, seed: int, label: str,
    place: Place, *, truth: Tensor | None = None, shown: int = 0, every: int | None = None,
) -> loop.Result:  # fmt: skip
    """Train a recurrent network on one march; the rate falls to nothing and the last weights are kept.

    The residual of the roll-out is looked at and selects nothing: where J is not convex it can be small far off.

    Arguments
    ---------
    truth: (time, x, y); scores the roll-outs, and its first `shown` frames after the start are shown: their square
        error is added to J, as in the march.
    every: steps between two roll-outs that are looked at; a twentieth of all by default.
    """
    pool = Pool(network, march, interval)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine(step, steps))

    def step(index: int) -> dict[str, float]:
        begun = time.process_time()
        if index % settings.refresh == 0:
            pool.refresh(network)
        phi, state, numbers = pool.draw(loop.rng(seed, index), settings.batch, settings.window)
        optimizer.zero_grad()
        total = torch.zeros(())
        for _ in range(settings.window):
            force = interval.pinned_force(phi)
            g, state = network(phi, force, state)
            found = advance(phi, g)
            total = total + interval.energy(found, phi + force / 2).mean()
            numbers = numbers + 1
            if truth is not None and (known := numbers <= shown).any():
                total = total + (found[known] - truth[numbers[known]]).square().mean(dim=(-2, -1)).sum() / len(found)
            phi = found.detach()
        loss = total / settings.window / SCALE**2
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return {"loss": float(loss.detach()), "cpu": time.process_time() - begun}

    def validate() -> dict[str, float]:
        frames, residual = scored_rollout(network, march[0], len(march) - 1, interval)
        return {"residual": residual} | ({} if truth is None else {"mse": float((frames - truth).square().mean())})

    return loop.train(
        loop.Training({"network": network, "pool": pool}, optimizer, schedule), step, steps=steps,
        every=every or max(1, steps // 20), seed=seed, history=place["checkpoints"] / "history.csv", validate=validate,
        label=label, **place,
    )  # fmt: skip


def mix(
    hybrid: Hybrid, march: March, interval: Interval, rollouts: int, seed: int, label: str, place: Place
) -> loop.Result:  # fmt: skip
    """Train gamma alone, on J along the mixture's own roll-outs."""
    hybrid.stepper.requires_grad_(False)
    increments = [march.increment(number) for number in range(len(march.weights))]
    optimizer = torch.optim.Adam([hybrid.logit], lr=0.05)

    def step(_: int) -> dict[str, float]:
        begun = time.process_time()
        phi, state, losses = march.frames[:1], hybrid.stepper.at_rest(march.frames[:1]), []
        for increment in increments:
            optimizer.zero_grad()
            force = interval.pinned_force(phi)
            g, state = hybrid(phi, force, increment, state)
            found = advance(phi, g)
            loss = interval.energy(found, phi + force / 2).mean() / SCALE**2
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            optimizer.step()
            phi = found.detach()
            losses.append(float(loss.detach()))
        return {
            "loss": float(np.mean(losses)),
            "gamma": float(hybrid.gamma.detach()),
            "cpu": time.process_time() - begun,
        }

    return loop.train(
        loop.Training({"hybrid": hybrid}, optimizer), step, steps=rollouts, every=1, seed=seed,
        checkpoints=place["checkpoints"] / "mixing", key=place["key"],
        history=place["checkpoints"] / "mixing.csv", label=f"{label}, gamma",
    )  # fmt: skip


def carry(network: Stepper, phi: Tensor, force: Tensor, state: State) -> tuple[Tensor, State]:
    """The fields after an interval, and the next state."""
    g, state = network(phi, force, state)
    return advance(phi, g), state


def own_rollout(
    network: Stepper, phi: Tensor, intervals: int, interval: Interval
) -> Iterator[tuple[Tensor, float]]:  # fmt: skip
    """Each following field with its mean square residual."""
    state = network.at_rest(phi)
    for _ in range(intervals):
        force = interval.pinned_force(phi)
        source = phi + force / 2
        g, state = network(phi, force, state)
        phi = advance(phi, g)
        yield phi, float(interval.residual(phi, source).square().mean())


@torch.no_grad()
def scored_rollout(network: Stepper, phi: Tensor, intervals: int, interval: Interval) -> tuple[Tensor, float]:
    """The frames (time, x, y) from the field (x, y) on, and their rms residual."""
    found = list(own_rollout(network, phi[None], intervals, interval))
    return torch.cat([phi[None], *(one for one, _ in found)]), float(np.sqrt(np.mean([square for _, square in found])))
