"""Numbers, tables and claims of the transfer stages, from the curves that their trainings have left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from phasemill.grains.config.transfer import ROUTES, Origin, Stage, StageName, Transfer
from phasemill.grains.train.transfer import CARRIED, plan

WORDS: dict[Origin, str] = {
    "scratch": "none",
    "whole": "both networks",
    "feed_forward": "feed-forward",
    "recurrent": "recurrent",
}
"""What is transferred."""

Card = Mapping[str, Any]
Groups = dict[tuple[Origin, float], dict[str, list[float]]]
"""(origin, share of the frames that is shown) -> numbers of that kind of training, by seed."""
Stages = Mapping[StageName, Stage]
Found = Mapping[StageName, Groups]


def groups(settings: Stage, card: Card, transfer: Transfer) -> Groups:
    """What is to be said of each kind of training; steps are infinite where they lead nowhere."""
    found: Groups = {}
    hidden = beyond(settings, card)
    for arm in plan(settings):
        run, march = card["runs"][arm.name], card["marches"][arm.march]
        reached = first(run["curve"], "mse", transfer.reached)
        solved = first(run["curve"], "residual", transfer.solved * card["still"]["residual"])
        row = {
            "steps": reached["step"] if reached else math.inf,
            "cpu": reached["cpu"] if reached else math.inf,
            "begun": run["curve"][0]["mse"],
            "mse": run["mse"],
            "hidden": float(np.mean(run["mse_by_frame"][hidden:])),
            "residual": run["residual"],
            "stop": solved["step"] if solved else math.inf,
            "stop_mse": solved["mse"] if solved else math.inf,
            "iterations": sum(march["iterations"]),
            "first_iterations": march["iterations"][0],
            "first_residual": march["residual"][0],
            "solved": sum(march["solved"]) / len(march["solved"]),
            "march_mse": march["mse"],
            "march_cpu": march["cpu"],
        }
        group = found.setdefault((arm.origin, arm.supervised), {name: [] for name in row})
        for name, value in row.items():
            group[name].append(float(value))
    return found


def beyond(settings: Stage, card: Card) -> int:
    """The first frame that no training of a stage is shown."""
    return 1 + round(max(settings.supervised) * (len(card["still"]["mse_by_frame"]) - 1))


def first(curve: Sequence[Mapping[str, float]], name: str, limit: float) -> Mapping[str, float] | None:
    """The first row of a curve at which a quantity is no more than `limit`."""
    return next((row for row in curve if row[name] <= limit), None)


def middle(values: Sequence[float]) -> float:
    """The median of the seeds; infinite where half of them never got there."""
    return float(np.median(values))


def speedup(found: Groups, settings: Stage, origin: Origin, supervised: float) -> float | None:
    """Steps from scratch over steps with transfer, medians; infinite where only transfer gets there.

    One look's worth of steps is counted at least. None where there are not both, or transfer gets nowhere.
    """
    if ("scratch", supervised) not in found or (origin, supervised) not in found:
        return None
    alone, moved = (max(middle(found[kind, supervised]["steps"]), settings.every) for kind in ("scratch", origin))
    return None if math.isinf(moved) else alone / moved


def tables(stages: Stages, found: Found, transfer: Transfer) -> list[dict[str, Any]]:
    """Recurrent networks, feed-forward networks and early stops, by stage."""
    return [_recurrent(stages, found, transfer), _marches(stages, found), _early(stages, found, transfer)]


def _rows(stages: Stages, found: Found) -> Iterator[tuple[StageName, Stage, Origin, float, dict[str, list[float]]]]:
    for stage, settings in stages.items():
        for (origin, supervised), group in found[stage].items():
            yield stage, settings, origin, supervised, group


def _stage(stage: StageName, supervised: float) -> str:
    return ROUTES[stage].words + (f", {100 * supervised:g} % shown" if supervised else "")


def _shown(value: float, steps: int | None = None) -> float | str | None:
    """A number for a table; `steps` says how long was tried in vain."""
    if math.isfinite(value):
        return value
    return f"not in {steps}" if steps else None


def _gain(found: Groups, settings: Stage, origin: Origin, supervised: float) -> float | str | None:
    if origin == "scratch":
        return None
    value = speedup(found, settings, origin, supervised)
    return "scratch never" if value is not None and math.isinf(value) else value


def _recurrent(stages: Stages, found: Found, transfer: Transfer) -> dict[str, Any]:
    looks = " or ".join(map(str, sorted({settings.every for settings in stages.values()})))
    return {
        "title": f"Recurrent network: steps to a mean square error of {transfer.reached:g}",
        "columns": [
            "stage", "transferred", "steps", "scratch / transfer", "seeds there", "CPU s",
            "MSE before", "MSE at the end", "of frames never shown",
        ],
        "rows": [
            [
                _stage(stage, supervised), WORDS[origin], _shown(middle(group["steps"]), settings.steps),
                _gain(found[stage], settings, origin, supervised),
                f"{sum(map(math.isfinite, group['steps']))} of {settings.seeds}", _shown(middle(group["cpu"])),
                *(middle(group[name]) for name in ("begun", "mse", "hidden")),
            ]
            for stage, settings, origin, supervised, group in _rows(stages, found)
        ],
        "note": (
            "Medians over the seeds; equal steps and learning rates. The roll-out from the first frame is compared "
            f"with the truth every {looks} steps, which neither trains nor selects anything. Steps: to the first look "
            "at which the error is no more than that, 0 where the parent's network was there at once; ratios count one "
            "look's worth at least. CPU seconds of these steps, without the march. Nothing is "
            "selected: at the end stand the last weights."
        ),
    }  # fmt: skip


def _marches(stages: Stages, found: Found) -> dict[str, Any]:
    names = ("iterations", "first_iterations", "first_residual", "solved", "march_mse", "march_cpu")
    rows = {
        (stage, supervised, CARRIED[origin][0]): [
            _stage(stage, supervised), "the parent's" if CARRIED[origin][0] else "none",
            *(middle(group[name]) for name in names),
        ]
        for stage, _, origin, supervised, group in _rows(stages, found)
    }  # fmt: skip
    shares = sorted({settings.tolerance for settings in stages.values()})
    return {
        "title": "Feed-forward network: iterations of the march",
        "columns": [
            "stage", "weights before", "iterations", "in the first interval", "residual there",
            "share of intervals solved", "MSE", "CPU s",
        ],
        "rows": list(rows.values()),
        "note": (
            "Summed over the intervals, medians over the seeds. An interval stops early, once its residual is "
            f"{' or '.join(f'{share:g}' for share in shares)} times that of no motion. Only the first interval begins "
            "with the parent's weights (of its own first one), all others with those of the one before."
        ),
    }  # fmt: skip


def _early(stages: Stages, found: Found, transfer: Transfer) -> dict[str, Any]:
    return {
        "title": f"Recurrent network: early stop at {transfer.solved:g} times the residual of no motion",
        "columns": [
            "stage", "transferred", "steps", "MSE there", "residual at the end", "MSE at the end",
        ],
        "rows": [
            [
                _stage(stage, supervised), WORDS[origin], _shown(middle(group["stop"]), settings.steps),
                _shown(middle(group["stop_mse"])), middle(group["residual"]), middle(group["mse"]),
            ]
            for stage, settings, origin, supervised, group in _rows(stages, found)
        ],
        "note": (
            "Where a training would stop that knows no truth: at the first look at which the rms residual of its own "
            "roll-out is no more than that; medians over the seeds."
        ),
    }  # fmt: skip


def claims(
    stages: Stages, found: Found, cards: Mapping[StageName, Card]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Values of the claims on the narrower interface and on 10 % of the frames, and what is to be said beside them."""
    values: dict[str, float | None] = {}
    notes: dict[str, str] = {}
    for name, (value, note) in {"narrow": _narrow(stages, found), "rest": _rest(stages, found, cards)}.items():
        values[f"grains.grains_transfer.{name}"] = value
        notes[f"grains.grains_transfer.{name}"] = note
    return values, notes


def _narrow(stages: Stages, found: Found) -> tuple[float | None, str]:
    settings = stages.get("narrow")
    if settings is None:
        return None, "The stage is not trained at this scale."
    shown = min(settings.supervised)
    alone, moved = (found["narrow"].get((origin, shown)) for origin in ("scratch", "whole"))
    if not alone or not moved:
        return None, "Scratch and transfer are not both trained at this scale."
    spent = "; ".join(f"{middle(one['march_cpu']):.3g} + {_told(middle(one['cpu']))}" for one in (alone, moved))
    note = (
        f"Steps by seed, scratch: {', '.join(map(_told, alone['steps']))}; transfer: "
        f"{', '.join(map(_told, moved['steps']))}. CPU seconds, march + recurrent network: {spent}."
    )
    value = speedup(found["narrow"], settings, "whole", shown)
    if value is None:
        gained = 0.0 if math.isfinite(middle(alone["steps"])) else None
        return gained, f"Transfer does not get there in {settings.steps} steps. {note}"
    if math.isinf(value):
        least = settings.steps / max(middle(moved["steps"]), settings.every)
        return None, f"Scratch does not get there in {settings.steps} steps: more than {least:.3g}. {note}"
    return value, note


def _told(number: float) -> str:
    return f"{number:.4g}" if math.isfinite(number) else "never"


def _rest(stages: Stages, found: Found, cards: Mapping[StageName, Card]) -> tuple[float | None, str]:
    told: tuple[StageName, ...] = ("pair", "many")
    stage = next((name for name in told if name in stages and max(stages[name].supervised) > 0), None)
    if stage is None:
        return None, "No stage to several grains with frames shown is trained at this scale."
    settings, card = stages[stage], cards[stage]
    origin = "whole" if "whole" in settings.origins else settings.origins[-1]
    still = float(np.mean(card["still"]["mse_by_frame"][beyond(settings, card) :]))
    errors = {share: middle(found[stage][origin, share]["hidden"]) / still for share in settings.supervised}
    share = max(errors)
    others = "; ".join(f"{error:.2g} with {100 * one:g} %" for one, error in errors.items() if one != share)
    note = f"Stage {ROUTES[stage].words}, {WORDS[origin]} transferred, {100 * share:g} % shown. The same: {others}."
    return errors[share], note
