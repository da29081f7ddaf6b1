"""What every long run shares, whichever optimiser drives it: checkpoints, stop signals, progress, history."""

from __future__ import annotations

import csv
import io
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from phasemill.core.errors import InputError
from phasemill.core.files import write_bytes, write_text

log = logging.getLogger("phasemill")

Row = dict[str, float]


class LoopError(InputError):
    """Something a user can put right: one sentence with what, where and the remedy."""


class Interrupted(SystemExit):
    """The run was asked to stop (SIGTERM or SIGUSR1) and its checkpoint is saved; exit code 143 = 128 + SIGTERM."""

    def __init__(self) -> None:
        super().__init__(143)


class Checkpoints:
    """The last two checkpoints of one key, `folder/key[:16]/step-00000123.pt`, each complete or absent.

    They are read with `weights_only=True`: a checkpoint is data and never runs code.
    """

    def __init__(self, folder: Path, key: str, *, seconds: float, every: int | None = None) -> None:
        self.folder = Path(folder) / key[:16]
        self.key = key
        self.seconds, self.every = seconds, every
        self.kept: list[Path] = []  # known to be whole, oldest first
        self._saved_at = (time.monotonic(), 0)

    @property
    def newest(self) -> Path | None:
        """The newest checkpoint known to be whole."""
        return self.kept[-1] if self.kept else None

    def due(self, step: int) -> bool:
        """Whether enough seconds or steps have passed since the last save."""
        moment, saved_step = self._saved_at
        by_step = self.every is not None and step % self.every == 0
        return step > saved_step and (by_step or time.monotonic() - moment >= self.seconds)

    def load(self) -> dict[str, Any] | None:
        """The newest checkpoint that can be read and has this key; the reason for each one passed over is logged."""
        for path in sorted(self.folder.glob("step-*.pt"), reverse=True):
            try:
                content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                if content["key"] != self.key:
                    raise LoopError("it belongs to another run")
            except Exception as error:  # a damaged file raises almost anything
                reason = error if isinstance(error, LoopError) else type(error).__name__
                log.warning("checkpoint %s is passed over: damaged or foreign (%s)", path, reason)
                continue
            self.kept = [path]
            self._saved_at = (time.monotonic(), content["step"])
            return content
        return None

    def save(self, step: int, content: Mapping[str, Any]) -> None:
        """Write a checkpoint atomically, then delete all but this one and the last whole one before it."""
        path = self.folder / f"step-{step:08d}.pt"
        buffer = io.BytesIO()
        torch.save({"key": self.key, "step": step, **content}, buffer)
        write_bytes(path, buffer.getvalue())
        self.kept = [*(old for old in self.kept if old != path), path][-2:]
        for old in {*self.folder.glob("step-*.pt"), *self.folder.glob(".step-*.partial")} - set(self.kept):
            old.unlink(missing_ok=True)
        self._saved_at = (time.monotonic(), step)


@contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Inside, SIGTERM and SIGUSR1 are only noted in the list that this yields; the old handlers return afterwards.

    A signal that nobody acted upon (the work had just ended) still ends the program, as its sender meant it.
    Outside the main thread Python allows no handlers, and the list stays empty.
    """
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    previous = {
        number: signal.signal(number, lambda arrived, _: received.append(signal.Signals(arrived)))
        for number in (signal.SIGTERM, signal.SIGUSR1)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if received:
        raise Interrupted


class Progress:
    """A bar with the remaining time on a terminal; elsewhere a plain log line every `seconds`."""

    def __init__(self, label: str, step: int, steps: int, seconds: float = 10.0) -> None:
        self.label, self.first, self.steps, self.seconds = label, step, steps, seconds
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Bar(*columns, console=Console(stderr=True), transient=True) if sys.stderr.isatty() else None
        if self.bar:
            self.task = self.bar.add_task(label, total=steps, completed=step)

    def __enter__(self) -> Progress:
        self.began = self.shown = time.monotonic()
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def show(self, step: int, metrics: Mapping[str, float]) -> None:
        """`step` steps are done; the first of `metrics` is shown beside."""
        text = next((f"{name} {value:.4g}" for name, value in metrics.items()), "")
        if self.bar:
            self.bar.update(self.task, completed=step, description=f"{self.label}: {text}")
            return
        now = time.monotonic()
        if now - self.shown < self.seconds and step < self.steps:
            return
        self.shown = now
        pace = (now - self.began) / max(step - self.first, 1)
        left = timedelta(seconds=round(pace * (self.steps - step)))
        log.info("%s: step %d/%d, %s, %.3g s/step, ETA %s", self.label, step, self.steps, text, pace, left)


def announce(label: str, step: int, steps: int, store: Checkpoints, *, finished: bool) -> None:
    """Say in the log where a run begins, which is not always where one thinks."""
    if finished:
        log.info("%s: already finished at step %d; delete %s to train again", label, step, store.folder)
    elif store.newest:
        log.info("%s: goes on at step %d of %d from %s", label, step, steps, store.newest)
    else:
        log.info("%s: starts at step 0 of %d; checkpoints go to %s", label, steps, store.folder)


def not_finite(label: str, step: int, what: str, store: Checkpoints, remedy: str) -> LoopError:
    """The error for a run that has diverged."""
    good = f"the last good checkpoint is {store.newest}" if store.newest else "no checkpoint was saved before"
    return LoopError(f"{label}: {what} is not finite at step {step}; {good}; {remedy}")


def make_row(label: str, *parts: Mapping[str, float]) -> Row:
    """One history row of several parts; a name that two of them use is an error, not a silent choice."""
    row = {name: value if name == "step" else float(value) for part in parts for name, value in part.items()}
    if len(row) < sum(map(len, parts)):
        names = ", ".join(name for part in parts for name in part)
        raise LoopError(f"{label}: two history columns have the same name ({names}); rename a metric")
    return row


def write_history(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write the rows as CSV, atomically; columns are all keys in order of appearance, a missing value is empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())
