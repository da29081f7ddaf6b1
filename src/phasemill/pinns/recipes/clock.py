"""CPU seconds of a run that may have been stopped and taken up again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from csv import DictReader
from pathlib import Path


class Clock:
    """CPU seconds over all restarts: those that the histories of the same `key` tell of go before.

    Arguments
    ---------
    stages: the folder of checkpoints and the history of each stage. A history of other settings, whose checkpoints have
        another key, does not count.
    """

    def __init__(self, key: str, *stages: tuple[Path, Path]) -> None:
        self.before = 0.0
        for folder, history in stages:
            if (folder / key[:16]).exists() and history.exists():
                with history.open(encoding="utf-8") as stream:
                    self.before = max([self.before, *(float(row["cpu"]) for row in DictReader(stream))])
        self.begun = time.process_time()

    def __call__(self) -> float:
        return self.before + time.process_time() - self.begun

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block in which the clock stands."""
        since = time.process_time()
        yield
        self.begun += time.process_time() - since
