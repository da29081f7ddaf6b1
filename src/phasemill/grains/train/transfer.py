"""Training of one transfer stage: from scratch, and from the weights of the parent's networks, all else the same.

A stage trains both networks of its benchmark. The recurrent one sees no position and no time, so that its weights mean
the same elsewhere; the force in its input is that of the new benchmark. The feed-forward one is a function of the
position: its weights of the parent's first interval begin the first interval here, as all further intervals begin with
those of the one before anyway. Harmonics that the parent had not begin at zero.

The truth is shown where `supervised` says so; otherwise it scores the roll-outs and selects nothing. Kept are the last
weights: where the energy of an interval is not convex, as at the narrower interface, the least residual of a roll-out
does not mark the least error.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import torch
from torch import Tensor, nn

from phasemill.core import loop, store
from phasemill.core.errors import InputError
from phasemill.core.model_files import load_tensors, read_card
from phasemill.core.seeds import number_seeds
from phasemill.core.session import Options, Session
from phasemill.grains.config.data import Case
from phasemill.grains.config.learned import Marching
from phasemill.grains.config.transfer import Origin, Stage, StageJob
from phasemill.grains.datasets.cases import load
from phasemill.grains.march import March, rms
from phasemill.grains.network import Coordinates, Stepper
from phasemill.grains.train.march import cpu_by_row, interval_of, solve_all
from phasemill.grains.train.stepper import fit, scored_rollout

CARRIED: dict[Origin, tuple[bool, bool]] = {
    "scratch": (False, False),
    "whole": (True, True),
    "feed_forward": (True, False),
    "recurrent": (False, True),
}
"""Whether the feed-forward and the recurrent network begin with the parent's weights."""


class Arm(NamedTuple):
    """One training of the recurrent network."""

    origin: Origin
    supervised: float
    seed: int

    @property
    def name(self) -> str:
        """As its module is called."""
        return f"stepper_{self.origin}_{_share(self.supervised)}_{self.seed}"

    @property
    def march(self) -> str:
        """The march that it is trained on; arms that differ in the recurrent network alone have it in common."""
        begun = "transfer" if CARRIED[self.origin][0] else "scratch"
        return f"march_{begun}_{_share(self.supervised)}_{self.seed}"


def _share(supervised: float) -> str:
    return f"{100 * supervised:g}".replace(".", "_")


def plan(settings: Stage) -> Iterator[Arm]:
    """All trainings of a stage."""
    for seed, supervised, origin in product(range(settings.seeds), settings.supervised, settings.origins):
        yield Arm(origin, supervised, seed)


def networks(job: StageJob) -> nn.ModuleDict:
    """All networks of a stage, untrained."""
    arms = list(plan(job.settings))
    marches = {arm.march: _march(job.case, job.settings, job.marching) for arm in arms}
    return nn.ModuleDict({**marches, **{arm.name: Stepper(job.recurrent.cell, job.recurrent.channels) for arm in arms}})


def _march(case: Case, settings: Stage, marching: Marching) -> March:
    return March(Coordinates((case.cells, case.cells), settings.waves, marching.width, marching.depth), case.frames)


def train(job: StageJob, data: Path, output: Path, *, parents: list[Path], **options: Unpack[Options]) -> None:
    """Train all arms of a stage on the first microstructure of its benchmark, one after another."""
    session, case, settings = Session(job, data, **options), job.case, job.settings
    where, ancestry = session.where, [read_card(path)["provenance"] for path in parents]
    truth = torch.from_numpy(load(store.open_dataset(data))[0]).to(where)
    interval, trained = interval_of(case), networks(job)
    still = rms(interval.residual(truth[:1], interval.source(truth[:1])))
    marching = job.marching.model_copy(update={"tolerance": settings.tolerance})
    seeds = number_seeds(job.seed, "grains_transfer", settings.seeds)
    marched: dict[str, dict[str, Any]] = {}
    for arm in plan(settings):
        seed, shown = seeds[arm.seed], round(arm.supervised * case.frames)
        common: dict[str, Any] = {"stage": job.stage, "parents": ancestry, "seed": seed}
        if arm.march not in marched:
            torch.manual_seed(seed)
            march = _march(case, settings, job.marching).to(where)
            march.begin(truth[0].cpu().numpy())
            if CARRIED[arm.origin][0]:
                carry(march.network, parent_march(parents, job, arm))
            marched[arm.march] = solve_all(
                march, truth, interval, marching, iterations=settings.iterations, shown=shown, seed=seed,
                label=f"{job.stage} {arm.march}", **session.place(arm.march, **common),
            )  # fmt: skip
            marched[arm.march] |= scores(march.frames, truth)
            trained[arm.march].load_state_dict(march.state_dict())
        torch.manual_seed(seed)
        network = Stepper(job.recurrent.cell, job.recurrent.channels).to(where)
        if CARRIED[arm.origin][1]:
            network.load_state_dict(parent_stepper(parents, job, arm))
        teacher = trained[arm.march]
        assert isinstance(teacher, March)
        begun, residual = scored_rollout(network, truth[0], case.frames, interval)
        result = fit(
            network, teacher.frames.to(where), interval, job.recurrent, settings.steps, seed,
            f"{job.stage} {arm.name}", session.place(arm.name, **common), truth=truth, shown=shown,
            every=settings.every,
        )  # fmt: skip
        trained[arm.name].load_state_dict(network.state_dict())
        found, final = scored_rollout(network, truth[0], case.frames, interval)
        rows = curve(result, residual, float((begun - truth).square().mean()))
        session.add(arm.name, {"curve": rows, "steps": result.step, "residual": final, **scores(found, truth)}, rows)
    nothing = {"residual": still, **scores(truth[:1].expand_as(truth), truth)}
    name = f"grains_transfer_{job.stage}"
    session.save(output, name, name, trained.state_dict(), marches=marched, still=nothing, parents=ancestry)


def curve(result: loop.Result, residual: float, mse: float) -> list[dict[str, float]]:
    """Step, loss, residual and mean square error of the roll-out, CPU seconds of training; from before the first step.

    Looks at the roll-out cost nothing here: they are no part of the training.
    """
    return [
        {"step": 0, "residual": residual, "mse": mse, "cpu": 0.0},
        *(
            {**{name: row[name] for name in ("step", "loss", "residual", "mse")}, "cpu": cpu}
            for row, cpu in zip(result.rows, cpu_by_row(result), strict=True)
        ),
    ]


def scores(frames: Tensor, truth: Tensor) -> dict[str, Any]:
    """Mean square error over all frames, and by frame."""
    squares = (frames - truth).square().mean(dim=(-2, -1))
    return {"mse": float(squares.mean()), "mse_by_frame": squares.tolist()}


def carry(network: Coordinates, weights: Tensor) -> None:
    """Give a network the weights of another, which may see fewer harmonics or more; those that it had not begin at 0.

    Raises InputError if width or depth differ.
    """
    first, *others = network.parameters()
    width, inputs = first.shape
    rest = sum(parameter.numel() for parameter in others)
    harmonics, odd = divmod(len(weights) - rest, 4 * width)
    if odd or harmonics < 1:
        raise InputError(
            f"the parent's feed-forward network has {len(weights)} weights, which fits no number of harmonics at "
            f"marching.width {width}: train it with the same width and depth"
        )
    # inputs: for each axis the sines, then the cosines, by harmonic
    old, kept = weights[: len(weights) - rest].view(width, 4, harmonics), min(harmonics, inputs // 4)
    wider = torch.zeros(width, 4, inputs // 4)
    wider[:, :, :kept] = old[:, :, :kept]
    joined = torch.cat([wider.flatten(), weights[len(weights) - rest :]])
    nn.utils.vector_to_parameters(joined.to(first.device), network.parameters())


def parent_march(parents: list[Path], job: StageJob, arm: Arm) -> Tensor:
    """The weights of the parent's first interval."""
    return read(parents, f"{_parent_arm(arm).march if job.route.parent == 'pair' else job.ancestor}.")["weights"][0]


def parent_stepper(parents: list[Path], job: StageJob, arm: Arm) -> dict[str, Tensor]:
    """The weights of the parent's recurrent network."""
    return read(parents, f"{_parent_arm(arm).name if job.route.parent == 'pair' else f'{job.ancestor}.stepper'}.")


def _parent_arm(arm: Arm) -> Arm:
    """What the stage `pair` has made by transfer, from the same share and seed."""
    return arm._replace(origin="whole")


def read(paths: list[Path], prefix: str) -> dict[str, Tensor]:
    """The tensors of model files whose names begin with `prefix`, by the rest of their names.

    Raises InputError if there are none.
    """
    found: dict[str, Tensor] = {}
    for path in paths:
        tensors, _ = load_tensors(path)
        found |= {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if not found:
        raise InputError(
            f"--parents {' '.join(map(str, paths))}: no network {prefix[:-1]}; give the files of the parent benchmark"
        )
    return found
