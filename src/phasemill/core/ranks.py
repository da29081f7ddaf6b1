"""Several processes that train one model together, as `torchrun` starts them; one process alone needs nothing.

Each process (rank) takes its share of every batch, and gradients are averaged before each step, so that all ranks
hold the same weights. Rank 0 alone writes files.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def joined(where: torch.device) -> Iterator[torch.device]:
    """Connects the ranks inside the block, and gives each its own GPU if `where` is one; nothing without torchrun."""
    if "WORLD_SIZE" not in os.environ:
        yield where
        return
    if where.type == "cuda":
        where = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(where)
    dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
    if rank():
        logging.getLogger("phasemill").setLevel(logging.WARNING)  # one voice is enough
    try:
        yield where
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, 0 where it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over the ranks, in one message."""
    if count() == 1:
        return
    parts = list(tensors)
    flat = torch.cat([part.flatten() for part in parts])
    dist.all_reduce(flat)
    flat /= count()
    for part, mean in zip(parts, torch.split(flat, [part.numel() for part in parts]), strict=True):
        part.copy_(mean.view_as(part))
