"""Snakemake's messages as progress: what runs, how much is done, how long the rest takes (`--logger phasemill`).

On a terminal a bar below the messages, elsewhere a line now and then. Errors, failed logs and warnings are shown as
Snakemake writes them; everything else is in its own log, whose place it names at the end. A dry run looks as ever.
"""

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

if TYPE_CHECKING:
    from rich.console import RenderableType

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""

QUIET_EVENTS = {
    LogEvent.RUN_INFO,
    LogEvent.WORKFLOW_STARTED,
    LogEvent.JOB_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_FINISHED,
    LogEvent.GROUP_INFO,
    LogEvent.RESOURCES_INFO,
    LogEvent.PROGRESS,
    LogEvent.RULEGRAPH,
    LogEvent.SHELLCMD,
}
QUIET_MESSAGES = (
    "Select jobs",
    "Building DAG",
    "Assuming unrestricted",
    "Using shell",
    "Conda environments",
    "Elapsed time",
)


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Options of the command line: --logger-phasemill-commands."""

    commands: bool = field(
        default=False, metadata={"help": "Show the command line of each job, too.", "env_var": False, "required": False}
    )


class LogHandler(LogHandlerBase):
    """Progress in place of Snakemake's own messages."""

    def __post_init__(self) -> None:
        from rich.console import Console

        self.console = Console(
            stderr=not self.common_settings.stdout, no_color=self.common_settings.nocolor or None, highlight=False
        )
        self._counts: dict[str, int] = {}
        self._needs: dict[str, set[str]] = {}
        self._cores = 1
        self._progress: Any = None
        self._live: Any = None
        self._began = self._printed = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of what happens; show what people must read."""
        try:
            event = getattr(record, "event", None)
            if not self.common_settings.dryrun:
                self._follow(event, record)
            if self._is_shown(event, record) and (text := self.format(record)):
                error, warning = (record.levelno >= level for level in (logging.ERROR, logging.WARNING))
                self._print(text, "red" if error else "yellow" if warning else "")
        except Exception:  # a run must not fail for its display
            self.handleError(record)

    def _print(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self.console.print(Text(text, style=style), soft_wrap=True)

    def _is_shown(self, event: Any, record: logging.LogRecord) -> bool:
        if self.common_settings.dryrun:
            return event not in (LogEvent.RULEGRAPH, LogEvent.PROGRESS)
        if event == LogEvent.SHELLCMD:
            return bool(getattr(self.settings, "commands", False))
        noise = record.levelno <= logging.INFO and str(record.msg).startswith(QUIET_MESSAGES)
        return event not in QUIET_EVENTS and not noise

    def _follow(self, event: Any, record: Any) -> None:
        now = time.monotonic()
        if event == LogEvent.RULEGRAPH:
            for link in record.rulegraph["links"]:
                self._needs.setdefault(link["targetrule"], set()).add(link["sourcerule"])
        elif event == LogEvent.RESOURCES_INFO:
            self._cores = getattr(record, "cores", None) or self._cores
        elif event == LogEvent.RUN_INFO:
            self._counts = {rule: count for rule, count in record.stats.items() if rule != "total"}
        elif event == LogEvent.JOB_INFO and self._counts:
            if self._progress is None:
                self._begin(record)
            self._progress.start(record.jobid, record.rule_name, now, record.threads)
        elif event == LogEvent.JOB_ERROR and self._progress:
            self._progress.fail(record.jobid)
        elif event == LogEvent.JOB_FINISHED and self._progress:
            ended = self._progress.finish(record.job_id, now)
            if (
                ended
                and self._live is None
                and (now - self._printed > EVERY or self._progress.done == self._progress.total)
            ):
                self._printed = now
                self._print(f"{self._summary(now)}; {ended[0]} took {clock(ended[1])}")

    def _begin(self, record: Any) -> None:
        """The first job tells the scale, and so how long all of them take."""
        from phasemill.config import TARGETS
        from phasemill.core.run_times import Times

        from .progress import Progress

        times = Times(dict(record.wildcards or {}).get("scale", ""))
        names = {"all", "truth", "models", *TARGETS}
        self._progress = Progress(
            self._counts, self._needs, lambda rule: 0.0 if rule in names else times.of_rule(rule), self._cores
        )
        now = time.monotonic()
        self._print(f"{self._summary(now)} on {self._cores} cores")
        if self.console.is_terminal:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._renderable, console=self.console, refresh_per_second=1, transient=True
            )
            self._live.start()
            self.console.show_cursor(True)  # also after kill -9

    def _summary(self, now: float) -> str:
        """Where the run is, in a few words."""
        if self._progress.done == self._progress.total:
            return f"100 %, {self._progress.total} jobs in {clock(now - self._began)}"
        left = self._progress.left(now)
        share = "" if left.share is None else f"{min(99, int(100 * left.share)):3d} %, "
        words = f"{share}{self._progress.done} of {self._progress.total} jobs, {clock(now - self._began)} so far"
        if left.seconds is None:
            return f"{words}, rest unknown (not measured at this scale)"
        end = time.strftime("%H:%M", time.localtime(time.time() + left.seconds))
        return f"{words}, {'about' if left.complete else 'more than'} {clock(left.seconds)} left ({end})"

    def _renderable(self) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        left = self._progress.left(now)
        share = self._progress.done / self._progress.total if left.share is None else left.share
        running = ", ".join(f"{rule} {clock(age)}" for rule, age in self._progress.running(now))
        lines = Table.grid()
        lines.add_row(ProgressBar(1.0, share, width=min(self.console.width, 79), complete_style="green"))
        for line in (self._summary(now), f"now: {running}"):
            lines.add_row(Text(line, no_wrap=True, overflow="ellipsis"))
        return lines

    def close(self) -> None:
        """Take the bar away."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._print(self._summary(time.monotonic()))
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """In place of Snakemake's own messages."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """The log in .snakemake/log stays Snakemake's."""
        return False

    @property
    def has_filter(self) -> bool:
        """Snakemake's: --quiet works as ever."""
        return False

    @property
    def has_formatter(self) -> bool:
        """Snakemake's: errors and failed logs look as ever."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """What waits for what."""
        return True


def clock(seconds: float) -> str:
    """A time in whole seconds at least: 42 s, 13 min, 1.5 h."""
    from phasemill.core.durations import duration

    return duration(round(seconds), gap=" ")
