"""How far a run is: what is done, what runs, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import RLock

from phasemill.core.run_times import Task, makespan

PRIOR = 60.0
"""Seconds of finished jobs after which this run's pace counts as much as the estimates do."""


@dataclass(frozen=True)
class Left:
    """Seconds that remain and the share of the work that is done; None where nothing is known of any job."""

    seconds: float | None
    share: float | None
    complete: bool  # False: some jobs have no estimate, so it takes longer


class Progress:
    """A run of `counts` jobs of each rule; `needs`: rule -> rules that come before it; times in seconds.

    One thread may tell what happens while another one asks.
    """

    def __init__(
        self,
        counts: Mapping[str, int],
        needs: Mapping[str, Iterable[str]],
        seconds: Callable[[str], float | None],
        cores: int,
    ) -> None:
        self.total, self.cores = sum(counts.values()), cores
        self._waiting = dict(counts)
        self._needs = {rule: set(needs.get(rule, ())) for rule in counts}
        self._seconds = {rule: seconds(rule) for rule in counts}
        self._running: dict[int, tuple[str, float]] = {}
        self.threads: dict[str, int] = {}  # of the rules of which a job has started
        self._spent = self._planned = 0.0  # of the finished jobs
        self.done = 0
        self._lock = RLock()

    def start(self, job: int, rule: str, now: float, threads: int = 1) -> None:
        """A job starts (again, after a failure)."""
        with self._lock:
            self.threads[rule] = threads
            if job not in self._running and self._waiting.get(rule):
                self._waiting[rule] -= 1
            self._running[job] = (rule, now)

    def fail(self, job: int) -> None:
        """A job has failed: it waits again, for a retry or for the next run."""
        with self._lock:
            rule, _ = self._running.pop(job, ("", 0.0))
            if rule in self._waiting:
                self._waiting[rule] += 1

    def finish(self, job: int, now: float) -> tuple[str, float] | None:
        """A job is done; its rule and how long it took, or None where it was not known to run."""
        with self._lock:
            if job not in self._running:
                return None
            rule, began = self._running.pop(job)
            self.done += 1
            planned = self._seconds.get(rule) or 0.0
            if planned:
                self._spent += now - began
                self._planned += planned
        return rule, now - began

    def running(self, now: float) -> list[tuple[str, float]]:
        """The rules that run, and for how long, the oldest first."""
        with self._lock:
            return [(rule, now - began) for rule, began in sorted(self._running.values(), key=lambda job: job[1])]

    def pace(self, now: float) -> float:
        """How much longer jobs take than estimated, in this run."""
        late = [(age, self._seconds.get(rule) or 0.0) for rule, age in self.running(now)]
        late = [(age, planned) for age, planned in late if planned and age > planned]
        spent = self._spent + sum(age for age, _ in late)
        planned = self._planned + sum(planned for _, planned in late)
        return (spent + PRIOR) / (planned + PRIOR)

    def left(self, now: float) -> Left:
        """What remains, by the schedule of the remaining jobs at the pace of this run."""
        if not any(self._seconds.values()):
            return Left(None, None, False)
        with self._lock:
            pace, running, waiting = self.pace(now), self.running(now), dict(self._waiting)
            threads = dict.fromkeys(waiting, 1) | self.threads
        names = {rule: [(rule, number) for number in range(count)] for rule, count in waiting.items()}
        tasks, elapsed = {}, 0.0
        for number, (rule, age) in enumerate(running, start=1):
            planned = self._seconds.get(rule) or 0.0
            elapsed += min(age / pace, planned)
            tasks[rule, -number] = Task(max(0.0, pace * planned - age), threads[rule], priority=1)
            names.setdefault(rule, []).append((rule, -number))
        for rule, count in waiting.items():
            needs = [name for before in self._needs.get(rule, ()) for name in names.get(before, ())]
            for number in range(count):
                tasks[rule, number] = Task(pace * (self._seconds[rule] or 0.0), threads[rule], needs)
        rest = sum(task.seconds for task in tasks.values()) / pace
        done = self._planned + elapsed
        known = all(self._seconds.get(rule) is not None for rule, _ in tasks)
        return Left(makespan(tasks, self.cores), done / (done + rest) if done + rest else 1.0, known)
