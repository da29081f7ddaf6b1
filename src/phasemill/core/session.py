"""What the training jobs of all wings share around their networks: device, keys of checkpoints, history, model file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import torch

from phasemill.core import loop, store
from phasemill.core.blocks import Job
from phasemill.core.model_files import save_tensors
from phasemill.core.provenance import Clock, config_hash
from phasemill.core.run import write_history


class Options(TypedDict):
    """What every training job is told beside its parameters and data."""

    checkpoints: Path
    """The folder in which each training has one of its own."""
    history: Path
    """A CSV of all trainings."""
    threads: int
    device: str


class Place(TypedDict):
    """Where the checkpoints of one training lie, and the digest of all that they depend on: options of `loop.train`."""

    checkpoints: Path
    key: str


class Session:
    """A training job at work, whether it trains one network or many.

    Arguments
    ---------
    job: its parameters; they and the digest of `data` are what its networks depend on.
    """

    def __init__(self, job: Job, data: Path, *, checkpoints: Path, history: Path, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self.threads = threads
        self.clock, self.where = Clock(), loop.pick_device(device)
        self.spec, self.digest = job.model_dump(), store.digest(data)
        self.checkpoints, self.history = checkpoints, history
        self.runs: dict[str, dict[str, Any]] = {}
        """What the card says of each training."""
        self.rows: list[dict[str, Any]] = []
        """Of the history."""

    def place(self, run: str, **depends: Any) -> Place:
        """The place of one of many trainings; `depends`: what its result depends on beside job and data."""
        return {
            "checkpoints": self.checkpoints / run,
            "key": config_hash({"run": run, "job": self.spec, "data": self.digest, **depends}),
        }

    def add(self, run: str, facts: dict[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep what the card says of a training, and its rows for the history."""
        self.runs[run] = facts
        self.rows += [{"run": run, **row} for row in rows]

    def card(self, name: str, **facts: Any) -> dict[str, Any]:
        """The end of every card: what its networks depend on, and the provenance of the job `name`, with `facts`."""
        known = {"threads": self.threads, "device": str(self.where), **facts}
        return {
            "spec": self.spec,
            "data_digest": self.digest,
            "provenance": self.clock.record(f"train {name}", self.spec, **known),
        }

    def save(self, output: Path, kind: str, name: str, tensors: Mapping[str, torch.Tensor], **facts: Any) -> None:
        """Write the history of all trainings of the job `name`, and the file of their networks, `facts` on its card."""
        write_history(self.history, self.rows)
        save_tensors(output, tensors, {"kind": kind, "runs": self.runs, **facts, **self.card(name)})
