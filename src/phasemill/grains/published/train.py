"""Training of all arms, one after the other, each with its own checkpoints; the model file keeps what they found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from phasemill.core import loop, store
from phasemill.core.seeds import number_seeds
from phasemill.core.session import Options, Session
from phasemill.grains.config.gradnorm import ARMS, Arm, Gradnorm, GradnormJob, GradnormNetworksJob, runs
from phasemill.grains.datasets.cases import interval_length, load, medium_of
from phasemill.grains.published.course import COLUMNS, Course
from phasemill.grains.published.losses import Problem
from phasemill.grains.published.network import Coordinates

KEPT = ("frames", "feed", "log", "seconds")
"""What stays of every arm: its networks are of no further use."""


def train(job: GradnormNetworksJob, data: Path, output: Path, **options: Unpack[Options]) -> None:
    """Train every arm on the first intervals; one step of the loop is one interval."""
    session, settings = Session(job, data, **options), job.gradnorm
    truth = torch.from_numpy(load(store.open_dataset(data))[0])
    first = truth[0]
    outcomes, seeds = outcomes_of(settings, len(first)), number_seeds(job.seed, "grains_gradnorm", settings.seeds)
    starts = Starts(settings, first, problem_of(job))
    for name, arm, number in runs(settings):
        seed, place = seeds[number], session.place(name, arm=asdict(ARMS[arm]))
        course = starts.begin(ARMS[arm], seed, truth[1 : 1 + ARMS[arm].shown]).to(session.where)
        looks = attention_weights(course)
        optimizer = adam(course)

        def step(
            interval: int, course: Course = course, optimizer: torch.optim.Adam = optimizer, seed: int = seed
        ) -> dict[str, float]:
            return course.solve(interval, optimizer, loop.rng(seed, interval))

        result = loop.train(
            loop.Training({"course": course}, optimizer), step, steps=settings.intervals, every=1, seed=seed,
            history=place["checkpoints"] / "history.csv", label=name, **place,
        )  # fmt: skip
        kept = {part: getattr(course, part) for part in KEPT}
        if ARMS[arm].variational:
            kept |= dict(zip(("mean", "spread"), samples(course, settings, seed), strict=True))
        if ARMS[arm].attention:
            kept["attention"] = torch.stack([*looks, *attention_weights(course)])
        outcomes[name].load_state_dict(kept)
        facts = {"arm": arm, "seed": number, "seconds": round(result.seconds, 2)}
        session.add(name, facts, history_rows(course))
    session.save(output, "gradnorm", "grains_gradnorm_networks", outcomes.state_dict(), columns=list(COLUMNS))


def problem_of(job: GradnormNetworksJob | GradnormJob) -> Problem:
    """The equation and time axis of the benchmark."""
    case = job.shrink_64
    return Problem(medium_of(case), interval_length(case), case.until)


class Outcome(nn.Module):
    """What an arm found: frames of the mixture and of the coordinates' network (time, x, y), and the log of its epochs.

    An arm with a bottleneck has the mean and the deviation of drawn roll-outs, one with attention its weights (rows,
    columns): as begun with the map of interfaces and without, then the same as trained.
    """

    frames: Tensor
    feed: Tensor
    log: Tensor
    seconds: Tensor
    mean: Tensor
    spread: Tensor
    attention: Tensor

    def __init__(self, arm: Arm, settings: Gradnorm, cells: int) -> None:
        super().__init__()
        frames = (settings.intervals + 1, cells, cells)
        shapes = {"frames": frames, "feed": frames}
        shapes["log"] = (settings.intervals, settings.epochs_of(arm), len(COLUMNS))
        if arm.variational:
            shapes |= {"mean": frames, "spread": frames}
        if arm.attention:
            shapes["attention"] = (4, settings.attention, settings.attention)
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("seconds", torch.zeros(settings.intervals, dtype=torch.float64))


def outcomes_of(settings: Gradnorm, cells: int) -> nn.ModuleDict:
    """All outcomes, still empty."""
    return nn.ModuleDict({name: Outcome(ARMS[arm], settings, cells) for name, arm, _ in runs(settings)})


class Starts:
    """Where the arms begin: networks fitted to the first frame, the same for every arm of a seed that has them.

    The released log, too, begins with a trained checkpoint. With a hard initial condition the coordinates' network's
    last layer is zero instead, as it gives increments; a recurrent part that gives increments is not fitted.
    """

    def __init__(self, settings: Gradnorm, first: Tensor, problem: Problem) -> None:
        self.settings, self.first, self.problem = settings, first, problem
        self.fitted: dict[Any, dict[str, Tensor]] = {}

    def begin(self, arm: Arm, seed: int, shown: Tensor | None = None) -> Course:
        """An arm before its training, with the frames of the truth that it is shown."""
        torch.manual_seed(seed)
        course = Course(arm, self.settings, self.problem, self.first, self.first[None][:0] if shown is None else shown)
        if course.coordinates is not None:
            kept = self._fitted(seed, lambda: self.fit(seed))
            kept = {name: part for name, part in kept.items() if arm.initial == "soft" or not name.startswith("out.")}
            course.coordinates.load_state_dict(kept, strict=False)
        if arm.mixing == "fields":
            own = (seed, arm.cell, arm.variational, arm.attention)
            course.recurrent.load_state_dict(self._fitted(own, lambda: self.hold(course, seed)))
        return course

    def fit(self, seed: int) -> dict[str, Tensor]:
        """A coordinates' network that has learnt the first frame at t = 0."""
        torch.manual_seed(seed)
        network, first = Coordinates(self.settings.width), self.first.flatten()
        x = torch.arange(len(self.first)) * self.problem.medium.dx
        points = torch.cat([torch.cartesian_prod(x, x), torch.zeros(len(first), 1)], dim=1)

        def loss(number: int) -> Tensor:
            cells = torch.from_numpy(loop.rng(seed, number).choice(len(first), self.settings.points, replace=False))
            found = (torch.tanh(network(points[cells])) + 1) / 2
            return (found - first[cells]).square().mean()

        self._descend(loss, network)
        return network.state_dict()

    def hold(self, course: Course, seed: int) -> dict[str, Tensor]:
        """A recurrent part that leaves the first frame as it is, given a perfect coordinates' network.

        Without it the noise of the untrained decoder makes the residual so large that the coordinates' network escapes
        to a field of one value, where the clipping hides the noise. The decoder ends with a ReLU and dropout, and what
        it learns is often to be 0 for ever, as in the released log.
        """
        torch.manual_seed(seed)
        phi, states = course.frames[:1], course.recurrent.at_rest()

        def loss(_: int) -> Tensor:
            output, *_ = course.recurrent(phi, states)
            return (course.mixed(phi, phi, output, phi) - phi).square().mean()

        self._descend(loss, course.recurrent)
        return course.recurrent.state_dict()

    def _fitted(self, key: Any, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        if key not in self.fitted:
            self.fitted[key] = {name: part.clone() for name, part in make().items()}
        return self.fitted[key]

    def _descend(self, loss: Callable[[int], Tensor], network: nn.Module) -> None:
        """`fit` steps of Adam with a falling rate."""
        optimizer = torch.optim.Adam(network.parameters(), lr=self.settings.fit_rate)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, self.settings.fit)
        for number in range(self.settings.fit):
            optimizer.zero_grad()
            loss(number).backward()  # type: ignore[no-untyped-call]  # untyped in torch
            optimizer.step()
            schedule.step()


def adam(course: Course) -> torch.optim.Adam:
    """Adam on everything, as published; one step per epoch (released: two, the recurrent part three)."""
    parts = [part for part in course.parameters() if part.requires_grad]
    return torch.optim.Adam(parts, lr=course.settings.rate_of(course.arm))


@torch.no_grad()
def samples(course: Course, settings: Gradnorm, seed: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of drawn roll-outs over all intervals, (time, x, y) each."""
    torch.manual_seed(seed)
    drawn = torch.stack([course.roll(settings.intervals - 1)[0] for _ in range(settings.samples)])
    return drawn.mean(dim=0), drawn.std(dim=0, correction=0)


@torch.no_grad()
def attention_weights(course: Course) -> tuple[Tensor, Tensor] | tuple[()]:
    """The attention's weights on the last frame there is, with the map of interfaces and without."""
    attention = course.recurrent.attention
    if attention is None:
        return ()
    picture = attention.picture(course.frames[-1:, None])
    return attention.weights(picture), attention.weights(picture, masked=False)


def history_rows(course: Course) -> list[dict[str, Any]]:
    """One row per epoch that was run."""
    return [
        {"interval": number + 1, "epoch": epoch + 1, **dict(zip(COLUMNS, values.tolist(), strict=True))}
        for number, epochs in enumerate(course.log)
        for epoch, values in enumerate(epochs)
        if not values.isnan().all()
    ]
