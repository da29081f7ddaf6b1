"""Training of the feed-forward networks: the first frame and the equation are all that they see."""

from __future__ import annotations

import time
from itertools import accumulate
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from phasemill.core import loop, store
from phasemill.core.seeds import number_seeds
from phasemill.core.session import Options, Session
from phasemill.grains.config.data import Case
from phasemill.grains.config.learned import Learn, Marching, MarchJob
from phasemill.grains.datasets.cases import interval_length, load, medium_of
from phasemill.grains.march import March
from phasemill.grains.network import Coordinates
from phasemill.grains.variation import Interval

FIRST = 3
"""Times the iterations that the first interval gets, which begins with a network that knows nothing."""


def train(job: MarchJob, data: Path, output: Path, **options: Unpack[Options]) -> None:
    """March through every microstructure with every seed; one step of the loop is one interval."""
    session, case = Session(job, data, **options), job.case
    frames, interval = load(store.open_dataset(data)), interval_of(case)
    shown = round(job.learn.supervised * case.frames)
    trained = marches(case, job.learn, job.marching)
    for name, sim, seed in runs(case, job.learn, job.seed):
        torch.manual_seed(seed)
        march = March(coordinates(case, job.learn, job.marching), case.frames).to(session.where)
        march.begin(frames[sim, 0])
        truth = torch.from_numpy(frames[sim]).to(session.where)
        facts = solve_all(
            march, truth, interval, job.marching, iterations=job.learn.iterations, shown=shown, seed=seed, label=name,
            **session.place(name),
        )  # fmt: skip
        trained[name].load_state_dict(march.state_dict())
        columns = zip(facts["loss"], facts["residual"], facts["iterations"], strict=True)
        session.add(
            name, facts,
            (
                {"interval": number, "loss": loss, "residual": residual, "iterations": iterations}
                for number, (loss, residual, iterations) in enumerate(columns, start=1)
            ),
        )  # fmt: skip
    session.save(output, "march", f"{job.benchmark}_march", trained.state_dict())


def solve_all(
    march: March, truth: Tensor, interval: Interval, settings: Marching, *, iterations: int, shown: int, seed: int,
    label: str, checkpoints: Path, key: str,
) -> dict[str, Any]:  # fmt: skip
    """Take a march that has begun through all its intervals; the facts of this training.

    Arguments
    ---------
    truth: (time, x, y), of which the first `shown` frames after the start are shown.
    iterations: per interval, at most; the first one has `FIRST` times as many.
    """
    optimizer = torch.optim.Adam(march.network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))

    def step(number: int) -> dict[str, float]:
        begun = time.process_time()
        found = march.solve(
            number, interval, optimizer, most=iterations * (FIRST if number == 0 else 1),
            learning_rate=settings.learning_rate, tolerance=settings.tolerance,
            target=truth[number + 1 : number + 2] if number < shown else None,
        )  # fmt: skip
        return {**found, "cpu": time.process_time() - begun}

    result = loop.train(
        loop.Training({"march": march}, optimizer), step, steps=len(truth) - 1, every=1, seed=seed,
        checkpoints=checkpoints, key=key, history=checkpoints / "history.csv", label=label,
    )  # fmt: skip
    return {
        "seconds": round(result.seconds, 2),
        "cpu": cpu_seconds(result),
        "residual": [row["residual"] for row in result.rows],
        "still": [row["still"] for row in result.rows],
        "loss": [row["loss"] for row in result.rows],
        "iterations": [int(row["iterations"]) for row in result.rows],
        "solved": [bool(row["solved"]) for row in result.rows],
    }


def cpu_by_row(result: loop.Result) -> list[float]:
    """CPU seconds of all steps up to each row of a history, which has their means since the row before."""
    steps = [0, *(row["step"] for row in result.rows)]
    return list(accumulate(row["cpu"] * (row["step"] - last) for row, last in zip(result.rows, steps, strict=False)))


def cpu_seconds(result: loop.Result) -> float:
    """CPU seconds of all steps."""
    return round(cpu_by_row(result)[-1], 2)


def interval_of(case: Case) -> Interval:
    """The numbers of one interval between two frames of a benchmark."""
    return Interval.of(medium_of(case), interval_length(case))


def runs(case: Case, learn: Learn, root: int) -> list[tuple[str, int, int]]:
    """(name, simulation, seed of the first weights) of all trainings of a benchmark."""
    seeds = number_seeds(root, "grains", learn.seeds)
    return [
        (f"{start}_{number}", sim, seed) for sim, start in enumerate(case.starts) for number, seed in enumerate(seeds)
    ]


def coordinates(case: Case, learn: Learn, settings: Marching) -> Coordinates:
    """An untrained network of a benchmark."""
    return Coordinates((case.cells, case.cells), learn.waves, settings.width, settings.depth)


def marches(case: Case, learn: Learn, settings: Marching) -> nn.ModuleDict:
    """All marches of a benchmark, untrained."""
    names = [name for name, _, _ in runs(case, learn, 0)]
    return nn.ModuleDict({name: March(coordinates(case, learn, settings), case.frames) for name in names})


def frames_of(march: nn.Module) -> np.ndarray:
    """(time, x, y) of a finished march."""
    assert isinstance(march, March)
    return march.frames.numpy()
