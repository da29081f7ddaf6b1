"""What the race says: ratios at equal error, what was asked for and what came out, tables and claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from phasemill.spinodal.config.speed import SpeedJob
from phasemill.spinodal.evaluate.speed_pieces import OPERATIONS
from phasemill.spinodal.evaluate.speed_rows import STAGES, Row

PUBLISHED, FEATURES, STRIDE = "network, published", "network, features", "network, large stride"
GUESS = "wide interfaces, no network"
"""What the large stride corrects: a classical scheme."""


@dataclass(frozen=True)
class Gains:
    """Work of explicit Euler beside that of RKL2."""

    until: float
    late_until: float
    seconds: dict[str, float]
    """CPU seconds of `rkl2` and `rkl2_late`, and of `euler` and `euler_late`, extrapolated from timed steps."""

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


class Rival(NamedTuple):
    """What a network's cost is held against."""

    row: Row
    limited: bool = False
    """Even the loosest setting that was tried has no larger error: a looser one might be cheaper."""

    @property
    def remark(self) -> str:
        """A warning where the comparison favours the network."""
        return "; the loosest tried: this rival is limited by the settings tried" if self.limited else ""


def loosest(rows: Sequence[Row], family: str, like: Row, quantity: str, precision: str) -> Rival | None:
    """The setting of a family with the largest steps whose error is at most that of `like`."""
    limit = getattr(like, quantity)
    tried = [r for r in rows if (r.method.family, r.method.precision) == (family, precision)]
    tried.sort(key=lambda r: r.method.value or 0.0, reverse=True)
    for place, row in enumerate(tried):
        error = getattr(row, quantity)
        if limit is not None and error is not None and error <= limit:
            return Rival(row, limited=place == 0)
    return None


def over(one: Row | None, other: Row | None) -> float | None:
    """How many times more the one costs."""
    return one.seconds / other.seconds if one and other else None


def opponents(rows: Sequence[Row], network: Row) -> dict[str, tuple[str, Rival | None]]:
    """What a network's cost is compared with: label and row, by the name of the claim."""

    def same(family: str) -> Rival | None:
        row = find(rows, family, "float32")
        return Rival(row) if row else None

    return {
        "numpy_roll": ("explicit Euler in numpy, float32", same("numpy roll")),
        "explicit": ("explicit Euler compiled, float32", same("explicit Euler")),
        "spectral": ("SBDF2, no larger RMSE", loosest(rows, "spectral SBDF2", network, "rmse", "float64")),
        "rkl2": ("RKL2 in float32, no larger RMSE", loosest(rows, "RKL2", network, "rmse", "float32")),
    }


def ratios(costs: Costs) -> list[dict[str, Any]]:
    """Cost of the solvers over that of the published network."""
    network = find(costs.early, PUBLISHED)
    assert network
    return [
        {"solver": label, "setting": rival.row.method.setting, "seconds_per_tau": rival.row.seconds,
         "rmse": rival.row.rmse, "ratio": over(rival.row, network), "limited": rival.limited}
        for label, rival in opponents(costs.early, network).values()
        if rival
    ]  # fmt: skip


def stride_rivals(long: Sequence[Row]) -> list[Rival]:
    """RKL2 of no larger worst |dF|/F than the large stride: in its own precision first, in float64, on its own grid."""
    stride = find(long, STRIDE)
    families = (("RKL2", "float32"), ("RKL2", "float64"), ("RKL2, coarse grid", "float32"))
    found = [loosest(long, family, stride, "energy_error", kind) for family, kind in families] if stride else []
    return [rival for rival in found if rival]


def stride_gain(long: Sequence[Row]) -> tuple[float | None, str]:
    """How many times cheaper the large stride is than the loosest RKL2 in float32 of no larger |dF|/F; and in words."""
    stride = find(long, STRIDE)
    rival = loosest(long, "RKL2", stride, "energy_error", "float32") if stride else None
    if not stride or not rival:
        return None, "no RKL2 row has as small an error, or the network failed"
    row = rival.row
    words = (
        f"{ms(stride)} a tau and |dF|/F up to {number(stride.energy_error)}, against {ms(row)} and "
        f"{number(row.energy_error)} of RKL2 ({row.method.setting}, {row.method.precision}){rival.remark}"
    )
    return over(row, stride), words


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
            f"{spent['rkl2']:.3g} s against {spent['euler']:.3g} s, extrapolated from timed steps",
        ),
        Bar(
            f"RKL2 against Euler to t = {gains.late_until:g}", 20, gains.late,
            f"{spent['rkl2_late']:.3g} s against {spent['euler_late']:.4g} s, extrapolated as well",
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
    for name, (label, rival) in opponents(costs.early, network).items():
        found[f"spinodal.speed.{name}"] = over(rival.row, network) if rival else None
        if rival:
            row = rival.row
            notes[f"spinodal.speed.{name}"] = (
                f"{label}: {row.method.setting}, {ms(row)} per tau, RMSE {number(row.rmse)}; network {ms(network)}, "
                f"RMSE {number(network.rmse)}{rival.remark}."
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
    if rival := opponents(costs.early, network)["rkl2"][1]:
        text += f"; {ms(rival.row)} by RKL2 at {rival.row.method.setting}, with a smaller error"
    stride = find(costs.long, STRIDE)
    if stride and (rival := loosest(costs.long, "RKL2", stride, "energy_error", "float32")):
        late = rival.row
        text += (
            f"; later large strides take {ms(stride)} at |dF|/F up to {number(stride.energy_error)}, and RKL2 at "
            f"{late.method.setting} {ms(late)} at {number(late.energy_error)}"
        )
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
        rival = opponents(costs.early, network)[name][1]
        found.append({**entry(label, over(rival and rival.row, network)), "claim": f"spinodal.speed.{name}"})
    return found + [entry(bar.what, bar.found, f"wanted: {bar.wanted:g}") for bar in bars(costs, energy_error)]


def entry(label: str, value: float | None, note: str = "", unit: str = "") -> dict[str, Any]:
    """A line of the headline."""
    return {"label": label, "value": value, "unit": unit, "note": note}


def tables(costs: Costs, job: SpeedJob) -> list[dict[str, Any]]:
    """All tables."""
    early, long, gain = job.speed.early, job.speed.long, job.speed.gain
    found = [
        _race(f"From the first frame to t = {early.marks[-1]:g}", costs.early, "ms per tau", _about(early.marks)),
        _race(f"From t = {long.start:g} to {long.marks[-1]:g}", costs.long, "ms per tau", _about(long.marks)),
        _table(
            "Asked for, and found",
            ["what", "at least", "found", "met", "from"],
            [[b.what, b.wanted, b.found, b.met, b.note] for b in bars(costs, job.speed.energy_error)],
            f"Times less CPU time. RKL2 and Euler in float64; RKL2 at tolerance {gain.tolerance:g} to t = "
            f"{gain.until:g}, at {gain.late_tolerance:g} to t = {gain.late_until:g}.",
        ),
        _strides(costs.long),
        _table(
            "Cost of the solvers over that of the published network",
            ["solver", "setting", "ms per tau", "RMSE", "over the network", "loosest tried"],
            [
                [r["solver"], r["setting"], 1e3 * r["seconds_per_tau"], r["rmse"], r["ratio"], r["limited"]]
                for r in ratios(costs)
            ],
            "Below 1 the solver is cheaper. Explicit Euler is far more accurate than the network; so is a rival whose "
            "loosest setting still is: it is limited by the settings tried.",
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
            f"Nanoseconds per cell and step. Limits, at measured rates: {OPERATIONS} operations, fused where they can "
            "be, and one read and one write of phi.",
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
    columns = ["method", "setting", cost, *ERRORS, "boxes"]
    values = [[*_named(r), 1e3 * r.seconds, *_errors(r), len(r.frames)] for r in rows]
    return _table(title, columns, values, note)


def _strides(long: Sequence[Row]) -> dict[str, Any]:
    """The large stride beside each rival."""
    stride, rivals = find(long, STRIDE), stride_rivals(long)
    rows = [[*_named(stride), 1e3 * stride.seconds, *_errors(stride), stride.drift, None, None]] if stride else []
    rows += [[*_named(r), 1e3 * r.seconds, *_errors(r), r.drift, over(r, stride), limited] for r, limited in rivals]
    return _table(
        "The large stride beside RKL2 of no larger worst |dF|/F",
        ["method", "setting", "ms per tau", *ERRORS, "drift", "over the stride", "loosest tried"],
        rows,
        "drift: largest change of the mean of phi. Each rival at the loosest tolerance whose worst |dF|/F is no "
        "larger; float32 is what the network carries, and counts. Where even the loosest tried is more accurate, the "
        "rival is limited by the settings tried, and the stride looks better than it is.",
    )


ERRORS = ("RMSE", "worst", "|dF|/F", "worst", "coarse")


def _named(row: Row) -> list[Any]:
    return [row.method.family, f"{row.method.setting}, {row.method.precision}"]


def _errors(row: Row) -> list[Any]:
    return [row.rmse, row.rmse_worst, row.energy_error_mean, row.energy_error, row.coarse_energy_error]


def _about(marks: Sequence[float]) -> str:
    times = ", ".join(f"{mark:g}" for mark in marks)
    return (
        f"Costs are those of the first box. Errors are taken on the networks' grid at t = {times}; an empty one is not "
        "finite. RMSE: over all boxes, and of the worst. |dF|/F: the largest over these times, mean over the boxes and "
        "of the worst, of fields that are Fourier up-sampled; coarse: the worst as summed on the networks' grid, where "
        f"F depends on where interfaces lie. RKL2 takes up to {STAGES} stages a step, and "
        "shortens steps to end on these times."
    )


def ms(row: Row) -> str:
    """Milliseconds per tau."""
    return f"{1e3 * row.seconds:.3g} ms"


def number(value: float | None) -> str:
    """Three digits."""
    return "not finite" if value is None else f"{value:.3g}"
