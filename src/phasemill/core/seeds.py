"""The seed tree: one root seed, a branch per name, a leaf per simulation."""

from __future__ import annotations

from zlib import crc32

import numpy as np


def branch(root: int, name: str, count: int) -> list[np.random.SeedSequence]:
    """`count` independent seeds of the branch `name`; the i-th does not depend on `count` or on other branches."""
    return np.random.SeedSequence([root, crc32(name.encode())]).spawn(count)


def number_seeds(root: int, name: str, count: int) -> list[int]:
    """The seeds of a branch as whole numbers, for torch's generators and others that want one."""
    return [number_of(seed) for seed in branch(root, name, count)]


def number_of(seed: np.random.SeedSequence) -> int:
    """A seed as a whole number below 2^32."""
    return int(seed.generate_state(1)[0])


def children(seed: np.random.SeedSequence, count: int) -> list[np.random.SeedSequence]:
    """The first `count` children of a seed, the same at each call, where `seed.spawn` goes on to new ones."""
    return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key).spawn(count)
