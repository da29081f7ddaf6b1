"""What the race says: ratios at equal error, what was asked for and what came out, tables and claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from phasemill.spinodal.config.speed import SpeedJob
from phasemill.spinodal.evaluate.speed_pieces import OPERATIONS
from phasemill.spinodal.evaluate.speed_rows import Row

PUBLISHED, FEATURES, STRIDE = "network, published", "network, features", "network, large stride"
GUESS = "wide interfaces, no network"
"""What the large stride corrects: a classical scheme."""


@dataclass(frozen=True)
class Gains:
    """Work of explicit Euler beside that of RKL2."""

    until: float
    late_until: float
    seconds: dict[str, float]
    """CPU seconds of `euler`, `rkl2`, `rkl2_late`, and of `euler_late`, which is extrapolated."""

    @property
    def early(self) -> float:
        """How many times more Euler needs to t = `until`."""
        return self.seconds["euler"] / self.seconds["rkl2"]

    @property
    def late(self) -> float:
        """The same to t = `late_until`."""
        return self.seconds["euler_late"] / self.seconds["rkl2_late"]


@dataclass(frozen=True)
class Costs:
    """Everything that was measured."""

    early: list[Row]
    long: list[Row]
    gpu: list[Row]
    kernel: dict[str, dict[str, float]]
    """`speed_pieces.explicit_steps`"""
    gains: Gains
    training: dict[int, dict[str, float]]
    """`speed_pieces.training_steps`"""


class Bar(NamedTuple):
    """Something that was asked for."""

    what: str
    wanted: float
    found: float | None
    """How many times less CPU time; None where it could not be measured."""
    note: str
    allowed: bool = True
    """Whether the result is good enough for its cost to count."""

    @property
    def met(self) -> bool:
        """Whether enough was found."""
        return self.allowed and self.found is not None and self.found >= self.wanted


def find(rows: Sequence[Row], family: str, precision: str | None = None) -> Row | None:
    """The first row of a family."""
    return next((r for r in rows if r.method.family == family and precision in (None, r.method.precision)), None)


def cheapest(rows: Sequence[Row], family: str, like: Row, quantity: str) -> Row | None:
    """The cheapest setting of a family whose error is at most that of `like`."""
    limit = getattr(like, quantity)
    if limit is None:
        return None
    good = [r for r in rows if r.method.family == family and (e := getattr(r, quantity)) is not None and e <= limit]
    return min(good, key=lambda r: r.seconds, default=None)


def over(one: Row | None, other: Row | None) -> float | None:
    """How many times more the one costs."""
    return one.seconds / other.seconds if one and other else None


def opponents(rows: Sequence[Row], network: Row) -> dict[str, tuple[str, Row | None]]:
    """What a network's cost is compared with: label and row, by the name of the claim."""
    return {
        "numpy_roll": ("explicit Euler in numpy, float32", find(rows, "numpy roll", "float32")),
        "explicit": ("explicit Euler compiled, float32", find(rows, "explicit Euler", "float32")),
        "spectral": ("SBDF2, no larger RMSE", cheapest(rows, "spectral SBDF2", network, "rmse")),
        "rkl2": ("RKL2, no larger RMSE", cheapest(rows, "RKL2", network, "rmse")),
    }


def ratios(costs: Costs) -> list[dict[str, Any]]:
    """Cost of the solvers over that of the published network."""
    network = find(costs.early, PUBLISHED)
    assert network
    return [
        {"solver": label, "setting": row.method.setting, "seconds_per_tau": row.seconds, "rmse": row.rmse,
         "ratio": over(row, network)}
        for label, row in opponents(costs.early, network).values()
        if row
    ]  # fmt: skip


def stride_gain(long: Sequence[Row]) -> tuple[float | None, str]:
    """How many times cheaper the large stride is than the cheapest RKL2 with no larger error of F; and in words."""
    stride = find(long, STRIDE)
    rival = cheapest(long, "RKL2", stride, "energy_error") if stride else None
    if not stride or not rival:
        return None, "no RKL2 row has as small an error, or the network failed"
    words = (
        f"{ms(stride)} a tau and |dF|/F up to {number(stride.energy_error)}, against {ms(rival)} and "
        f"{number(rival.energy_error)} of RKL2 ({rival.method.setting}, {rival.method.precision})"
    )
    return over(rival, stride), words


def bars(costs: Costs, energy_error: float) -> list[Bar]:
    """The project's own bars for speed; `energy_error` is the largest |dF|/F with which a large stride counts."""
    single, gains, spent = costs.kernel["float32"], costs.gains, costs.gains.seconds
    gain, words = stride_gain(costs.long)
    stride = find(costs.long, STRIDE)
    right = stride is not None and stride.energy_error is not None and stride.energy_error <= energy_error
    if not right:
        words += f"; it counts only with |dF|/F up to {energy_error:g}"
    found = [
        Bar("explicit step against numpy rolls, float32", 8, single["numpy"] / single["compiled"], "same run"),
        Bar(
            f"RKL2 against Euler to t = {gains.until:g}", 5, gains.early,
            f"{spent['rkl2']:.3g} s against {spent['euler']:.3g} s",
        ),
        Bar(
            f"RKL2 against Euler to t = {gains.late_until:g}", 20, gains.late,
            f"{spent['rkl2_late']:.3g} s against {spent['euler_late']:.4g} s, extrapolated from t = {gains.until:g}",
        ),
        Bar("large stride against RKL2 of no larger |dF|/F", 5, gain, words, right),
    ]  # fmt: skip
    for batch, wanted in ((1, 4), (2, 2)):
        if seconds := costs.training.get(batch):
            ratio = seconds["modules"] / seconds["fused"]
            note = f"{1e3 * seconds['fused']:.4g} ms against {1e3 * seconds['modules']:.4g} ms"
            found.append(Bar(f"training step, batch {batch}, against module by module", wanted, ratio, note))
    return found


def claims(costs: Costs) -> tuple[dict[str, float | None], dict[str, str]]:
    """Cost of the solvers over that of the published network, and what was compared."""
    network, found, notes = find(costs.early, PUBLISHED), {}, {}
    assert network
    for name, (label, row) in opponents(costs.early, network).items():
        found[f"spinodal.speed.{name}"] = over(row, network)
        if row:
            notes[f"spinodal.speed.{name}"] = (
                f"{label}: {row.method.setting}, {ms(row)} per tau, RMSE {number(row.rmse)}; network {ms(network)}, "
                f"RMSE {number(network.rmse)}."
            )
    on_gpu = find(costs.gpu, PUBLISHED)
    found["spinodal.speed.gpu"] = over(find(costs.gpu, "explicit Euler", "float32"), on_gpu) if on_gpu else None
    return found, notes


def answer(costs: Costs) -> str:
    """One sentence with the numbers."""
    network = find(costs.early, PUBLISHED)
    assert network
    rolled, compiled = find(costs.early, "numpy roll", "float32"), find(costs.early, "explicit Euler", "float32")
    assert rolled
    assert compiled
    text = (
        f"One tau costs {ms(network)} by the published network, {ms(rolled)} by explicit Euler in numpy and "
        f"{ms(compiled)} compiled"
    )
    if rival := cheapest(costs.early, "RKL2", network, "rmse"):
        text += f"; {ms(rival)} by RKL2 at {rival.method.setting}, with a smaller error"
    stride = find(costs.long, STRIDE)
    if stride and (rival := cheapest(costs.long, "RKL2", stride, "energy_error")):
        text += f"; later large strides take {ms(stride)} and RKL2, with no larger error of F, {ms(rival)}"
    return text + "."


def headline(costs: Costs, energy_error: float) -> list[dict[str, Any]]:
    """Numbers of the first screen."""
    network = find(costs.early, PUBLISHED)
    assert network
    found = [entry("published network, per tau", 1e3 * network.seconds, "ms of one core", "ms")]
    rivals = {
        "numpy_roll": "explicit in numpy, over the network",
        "explicit": "explicit compiled, over the network",
        "rkl2": "RKL2 of no larger error, over the network",
    }
    for name, label in rivals.items():
        row = opponents(costs.early, network)[name][1]
        found.append({**entry(label, over(row, network)), "claim": f"spinodal.speed.{name}"})
    return found + [entry(bar.what, bar.found, f"wanted: {bar.wanted:g}") for bar in bars(costs, energy_error)]


def entry(label: str, value: float | None, note: str = "", unit: str = "") -> dict[str, Any]:
    """A line of the headline."""
    return {"label": label, "value": value, "unit": unit, "note": note}


def tables(costs: Costs, job: SpeedJob) -> list[dict[str, Any]]:
    """All tables."""
    early, long, gain = job.speed.early, job.speed.long, job.speed.gain
    found = [
        _race(f"From the first frame to t = {early.marks[-1]:g}", costs.early, "CPU ms per tau", _about(early.marks)),
        _race(f"From t = {long.start:g} to {long.marks[-1]:g}", costs.long, "CPU ms per tau", _about(long.marks)),
        _table(
            "Asked for, and found",
            ["what", "at least", "found", "met", "from"],
            [[b.what, b.wanted, b.found, b.met, b.note] for b in bars(costs, job.speed.energy_error)],
            f"Times less CPU time. RKL2 and Euler in float64; RKL2 at tolerance {gain.tolerance:g} to t = "
            f"{gain.until:g}, at {gain.late_tolerance:g} to t = {gain.late_until:g}.",
        ),
        _table(
            "Cost of the solvers over that of the published network",
            ["solver", "setting", "ms per tau", "RMSE", "over the network"],
            [[r["solver"], r["setting"], 1e3 * r["seconds_per_tau"], r["rmse"], r["ratio"]] for r in ratios(costs)],
            "Below 1 the solver is cheaper. Explicit Euler is far more accurate than the network.",
        ),
        _table(
            "One explicit step beside what the core can do",
            ["precision", "compiled", "numpy", "numpy / compiled", "arithmetic", "memory", "share of the limit"],
            [
                [
                    *(name, k["compiled"], k["numpy"], k["numpy"] / k["compiled"], k["arithmetic"], k["memory"]),
                    max(k["arithmetic"], k["memory"]) / k["compiled"],
                ]
                for name, k in costs.kernel.items()
            ],
            f"Nanoseconds per cell and step. Limits, at measured rates: {OPERATIONS} operations, and one read and one "
            "write of phi.",
        ),
        _table(
            "One training step of the published network",
            ["batch", "module by module, float32 (ms)", "fused, bfloat16 (ms)", "ratio"],
            [[n, 1e3 * t["modules"], 1e3 * t["fused"], t["modules"] / t["fused"]] for n, t in costs.training.items()],
            f"Roll-out of {job.speed.timing.rollout} frames, gradient and update.",
        ),
    ]
    if costs.gpu:
        found.append(_race("The same on one GPU, early", costs.gpu, "ms per tau", "Solvers in torch."))
    return found


def _table(title: str, columns: list[str], rows: list[list[Any]], note: str) -> dict[str, Any]:
    return {"title": title, "columns": columns, "rows": rows, "note": note}


def _race(title: str, rows: Sequence[Row], cost: str, note: str) -> dict[str, Any]:
    columns = ["method", "setting", "precision", cost, "RMSE", "largest |dF|/F"]
    values = [
        [*(r.method.family, r.method.setting, r.method.precision), 1e3 * r.seconds, r.rmse, r.energy_error]
        for r in rows
    ]
    return _table(title, columns, values, note)


def _about(marks: Sequence[float]) -> str:
    times = ", ".join(f"{mark:g}" for mark in marks)
    return f"Errors at t = {times}, on the networks' grid; an empty one is not finite."


def ms(row: Row) -> str:
    """Milliseconds per tau."""
    return f"{1e3 * row.seconds:.3g} ms"


def number(value: float | None) -> str:
    """Three digits."""
    return "not finite" if value is None else f"{value:.3g}"
