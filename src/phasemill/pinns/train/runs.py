"""The paper's protocol: Adam on points that are drawn once, with weights of the terms from their gradients.

Every tau epochs, before the step of that epoch and at the same theta, the weights follow the norms of the gradients of
the single terms; one gradient per term is there anyway, so that this costs next to nothing. Where the equation's points
come in batches (Allen-Cahn), the norms are those of all points.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from phasemill.core import loop
from phasemill.core.balancing import Balance
from phasemill.core.errors import InputError
from phasemill.core.provenance import config_hash
from phasemill.core.seeds import branch, children, number_of
from phasemill.core.session import Options, Session
from phasemill.pinns.config.runs import AllenCahnRunsJob, BurgersRunsJob, PoissonRunsJob, Row, problem_of
from phasemill.pinns.dataset import equation, open_truth
from phasemill.pinns.network import adam
from phasemill.pinns.protocol import Protocol
from phasemill.pinns.terms import Term

RunsJob = BurgersRunsJob | PoissonRunsJob | AllenCahnRunsJob


def train(job: RunsJob, data: Path, output: Path, *, part: int, **options: Unpack[Options]) -> None:
    """Train every row with the seeds part, part + parts, ...; the reference in `data` scores alone."""
    name, settings = problem_of(job)
    if part >= settings.parts:
        raise InputError(f"{name}_runs has {settings.parts} parts: give --part 0 to {settings.parts - 1}, not {part}")
    source, session = open_truth(data, name), Session(job, data, **options)
    problem = Protocol(equation(source, settings.bounds), settings)
    scored = problem.scored(source)
    trained = {}
    for label, row, number, seed in plan(job, part):
        run = Run(problem, row, seed, session.where)
        # Not the other rows, nor how the seeds are dealt: a row that is added later leaves the others' work alone.
        own = settings.model_dump(exclude={"rows", "seeds", "parts"}) | {"row": row.model_dump(), "seed": number}
        identity = {"run": label, "settings": own, "root": job.seed, "data": session.digest}
        result = fit(run, scored, identity, session.checkpoints / label)
        trained[f"{label}.theta"] = run.theta.detach().cpu()
        trained[f"{label}.history"] = torch.tensor([list(line.values()) for line in result.rows], dtype=torch.float64)
        session.add(label, {"row": row.name, "seed": number, "columns": list(result.rows[0])}, result.rows)
    session.save(output, f"{name}_runs", f"{name}_runs part {part}", trained, part=part)


def plan(job: RunsJob, part: int | None = None) -> Iterator[tuple[str, Row, int, np.random.SeedSequence]]:
    """(label, row, number of the seed, seed) of all trainings, or of one part's; a seed's points serve all rows."""
    name, settings = problem_of(job)
    for number, seed in enumerate(branch(job.seed, f"{name}_runs", settings.seeds)):
        if part is None or number % settings.parts == part:
            for row in settings.rows:
                yield f"{row.name}_{number}", row, number, seed


class Run(nn.Module):
    """One training: its parameters, their running mean, and the weights of the terms."""

    mean: Tensor

    def __init__(self, problem: Protocol, row: Row, seed: np.random.SeedSequence, where: torch.device) -> None:
        super().__init__()
        settings, (drawn, begun, shuffled) = problem.settings, children(seed, 3)
        self.problem, self.row, self.settings = problem, row, settings
        self.terms: dict[str, Term] = problem.terms(np.random.default_rng(drawn))
        start = problem.network.initial(np.random.default_rng(begun)).astype(np.float32)
        self.theta = nn.Parameter(torch.tensor(start, device=where))
        self.register_buffer("mean", torch.tensor(start, device=where))
        self.shuffle = number_of(shuffled)
        self.counted = torch.from_numpy(problem.counted).to(where)
        names = list(self.terms)
        fixed = () if row.everywhere else problem.unweighted
        self.balance = Balance(
            len(names),
            row.scheme,
            beta=row.beta,
            p=inf if row.p == "inf" else float(row.p),
            correct=row.correct,
            weighted=[j for j, name in enumerate(names) if j and name not in fixed],
        )
        self.optimizer = adam(self.theta, settings.learning_rate)

    def epoch(self, index: int) -> dict[str, float]:
        """Epoch `index` + 1 of the paper's count; with bias correction the weights are asked for at the start, too."""
        whole: list[tuple[float, Tensor]] = []
        if self.row.scheme != "fixed" and ((index + 1) % self.row.tau == 0 or (self.row.correct and index == 0)):
            whole = [term.value_and_gradient(self.theta) for term in self.terms.values()]
            self.balance.update([value for value, _ in whole], [gradient[self.counted] for _, gradient in whole])
        sums: dict[str, float] = dict.fromkeys(self.terms, 0.0)
        batches = list(self._batches(index))
        for batch in batches:
            reused = whole if batch is self.terms else []  # all points are one batch: no second pass for the update
            parts = reused or [term.value_and_gradient(self.theta) for term in batch.values()]
            weights = self.balance.weights.tolist()
            total = torch.zeros_like(self.theta)
            for weight, (_, gradient) in zip(weights, parts, strict=True):
                total.add_(gradient, alpha=weight)
            self.theta.grad = total
            self.optimizer.step()
            for name, (value, _) in zip(sums, parts, strict=True):
                sums[name] += value / len(batches)
            with torch.no_grad():
                self.mean.lerp_(self.theta, 1 - self.settings.ema)
        loss = sum(weight * value for weight, value in zip(self.balance.weights.tolist(), sums.values(), strict=True))
        named = {f"loss_{name}": value for name, value in sums.items()}
        return {"loss": loss, **named}

    def _batches(self, index: int) -> Iterator[dict[str, Term]]:
        """The terms of each step of an epoch: the equation's points in batches of a new order, all others whole."""
        size, (lead, *others) = self.settings.batch, self.terms
        if size is None or size >= len(self.terms[lead].points):
            yield self.terms
            return
        order = loop.rng(self.shuffle, index).permutation(len(self.terms[lead].points))
        for start in range(0, len(order), size):
            yield {
                lead: self.terms[lead].take(order[start : start + size]),
                **{name: self.terms[name] for name in others},
            }

    def look(self, scored: Any) -> dict[str, float]:
        """What a row of the history holds beside the mean losses: errors, losses, weights, norms and cosines."""
        found = {
            "error": scored(self.theta.detach().cpu().numpy()),
            "error_mean": scored(self.mean.cpu().numpy()),
            "now": 0.0,
        }
        lead: Tensor | None = None
        for weight, (name, term) in zip(self.balance.weights.tolist(), self.terms.items(), strict=True):
            value, gradient = term.value_and_gradient(self.theta)
            counted = gradient[self.counted].double()
            lead = counted if lead is None else lead
            found["now"] += weight * value
            found |= {
                f"now_{name}": value,
                f"weight_{name}": weight,
                f"norm_{name}": float(counted.norm()),
                f"std_{name}": float(counted.std()),
                f"cosine_{name}": float(torch.nn.functional.cosine_similarity(lead, counted, 0)),
            }
        return found


def fit(run: Run, scored: Any, identity: dict[str, Any], checkpoints: Path) -> loop.Result:
    """All epochs of a run, from its newest checkpoint on."""
    return loop.train(
        loop.Training({"run": run}, run.optimizer),
        run.epoch,
        steps=run.settings.epochs,
        every=run.settings.check,
        seed=0,
        checkpoints=checkpoints,
        key=config_hash(identity),
        history=checkpoints / "history.csv",
        validate=lambda: run.look(scored),
        label=identity["run"],
    )
