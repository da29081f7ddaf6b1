"""A training whose result depends on all that a checkpoint holds; also a program that tests kill."""

from __future__ import annotations

import csv
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from phasemill.core import loop

STEPS = 60
KEY = "0123456789abcdef-and-more"


class Crash(Exception):
    """Stands for anything that ends a process between two checkpoints."""


class Toy:
    """A regression whose result depends on all that a checkpoint holds: dropout, Adam, a schedule, step batches."""

    def __init__(self, schedule: str = "cosine") -> None:
        torch.set_num_threads(1)
        torch.manual_seed(7)
        self.net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1))
        self.scale = torch.nn.Linear(1, 1)
        groups: list[dict[str, Any]] = [
            {"params": self.net.parameters()},
            {"params": self.scale.parameters(), "lr": 1e-3},
        ]
        self.optimizer = torch.optim.Adam(groups, lr=0.05)
        self.scheduler: Any = {
            "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, STEPS),
            "plateau": lambda: torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=0, factor=0.7),
            "none": lambda: None,
        }[schedule]()
        self.steps_done: list[int] = []
        self.validations = 0

    @property
    def modules(self) -> dict[str, torch.nn.Module]:
        return {"net": self.net, "scale": self.scale}

    def loss(self, i: int) -> torch.Tensor:
        x = torch.tensor(loop.rng(3, i).normal(size=(16, 3)), dtype=torch.float32)
        return (self.scale(self.net(x)) - x.prod(1, keepdim=True)).square().mean()

    def step(self, i: int) -> dict[str, float]:
        self.steps_done.append(i)
        self.scale.requires_grad_(i >= 25)  # two phases
        self.optimizer.zero_grad()
        loss = self.loss(i)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        return {"loss": loss.item(), **({"second": 2 * loss.item()} if i >= 25 else {})}

    def validate(self) -> dict[str, float]:
        assert not self.net.training
        self.validations += 1
        with torch.no_grad():
            return {"validation_loss": self.loss(10**6).item()}

    def train(self, folder: Path, **changes: Any) -> loop.Result:
        options: dict[str, Any] = {
            "steps": STEPS,
            "every": 10,
            "seed": 5,
            "checkpoints": folder / "checkpoints",
            "key": KEY,
            "history": folder / "history.csv",
            "validate": self.validate,
            "monitor": "validation_loss",
            "checkpoint_every": 7,
        }
        options |= changes
        step = options.pop("step", self.step)
        return loop.train(loop.Training(self.modules, self.optimizer, self.scheduler), step, **options)

    def outcome(self, folder: Path) -> dict[str, Any]:
        """All that two equal runs have in common, exactly."""
        return {
            "weights": {n: {k: v.tolist() for k, v in m.state_dict().items()} for n, m in self.modules.items()},
            "optimizer": {
                k: {n: v.tolist() for n, v in s.items()} for k, s in self.optimizer.state_dict()["state"].items()
            },
            "history": read_history(folder / "history.csv"),
        }


def read_history(path: Path) -> list[dict[str, str]]:
    with open(path) as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("*/step-*.pt"))


def crash_at(step: Callable[[int], dict[str, float]], when: int) -> Callable[[int], dict[str, float]]:
    def crashing(i: int) -> dict[str, float]:
        if i == when:
            raise Crash
        return step(i)

    return crashing


if __name__ == "__main__":
    logging.basicConfig()
    slow = Toy()

    def slow_step(i: int) -> dict[str, float]:
        time.sleep(0.02)
        return slow.step(i)

    slow.train(Path(sys.argv[1]), step=slow_step)
