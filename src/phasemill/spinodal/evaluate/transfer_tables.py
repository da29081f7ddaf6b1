"""Tables of the transfer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasemill.spinodal.config.transfer import TARGETS, Transfer
from phasemill.spinodal.evaluate.numbers import geometric, interval

WORDS = {"early": "from noise", "late": "late windows", "surface": "degenerate mobility"}
KINDS = {
    "still": "standing still",
    "shipped": "shipped network, no further training",
    "before": "early stages alone",
    "scratch": "late windows alone",
    "transfer": "early stages, then late windows",
}


def error_table(settings: Transfer, errors: Mapping[str, Any], rates: Mapping[str, Any]) -> dict[str, Any]:
    """Errors on the test sequences, with the learning rates that validation chose."""
    rows: list[list[Any]] = []
    for stage in TARGETS:
        shipped, before = errors[stage]["shipped"], errors[stage]["before"]
        rows.append([WORDS[stage], KINDS["shipped"], 0, shipped, None, None, "none"])
        rows.append([WORDS[stage], KINDS["before"], 0, geometric(before), *interval(before), "none"])
        for n in map(str, settings.sequences):
            for origin in ("scratch", "transfer"):
                values, chosen = errors[stage][origin][n], rates[stage][origin][n]["chosen"]
                rows.append(
                    [
                        *(WORDS[stage], origin, int(n), geometric(values), *interval(values)),
                        ", ".join(f"{rate:g}" for rate in chosen),
                    ]
                )
    return {
        "title": "Error on test sequences",
        "columns": [
            *("stage", "start", "sequences", "error over standing still", "95 % from", "to", "learning rate by seed")
        ],
        "rows": rows,
        "note": (
            "Mean squared error of free roll-outs over that of standing still, geometric means over the trainings with "
            "their intervals by Student's t. "
            f"From scratch and by transfer alike: {settings.further.steps} steps with the same batches, at each of the "
            f"learning rates {listed_rates(settings)}; the training with the lower validation error is scored here, "
            "the others never meet a test box. The steps on early stages "
            f"({settings.first.steps}) come on top for transfer. Early stages alone: the network that transfer begins "
            "with. The shipped network has been trained longer, under the constant mobility, on the boxes of "
            "`cahn_hilliard`, of which some start late. Settings were changed once after scores on other test boxes; "
            "no box of that time is used here, neither for testing nor for validation."
        ),
    }


def listed_rates(settings: Transfer) -> str:
    """The learning rates that are tried."""
    return " and ".join(f"{candidate.learning_rate:g}" for candidate in settings.candidates)


def rate_table(settings: Transfer, rates: Mapping[str, Any]) -> dict[str, Any]:
    """Validation errors at all learning rates, by which one is chosen."""
    names = [f"{candidate.learning_rate:g}" for candidate in settings.candidates]
    rows = []
    for stage in TARGETS:
        for n in map(str, settings.sequences):
            for origin in ("scratch", "transfer"):
                found = rates[stage][origin][n]
                errors = [geometric([seed[name] for seed in found["validation"]]) for name in names]
                times = [sum(f"{rate:g}" == name for rate in found["chosen"]) for name in names]
                rows.append([WORDS[stage], origin, int(n), *errors, ", ".join(map(str, times))])
    return {
        "title": "Choice of the learning rate",
        "columns": ["stage", "start", "sequences", *(f"validation error at {name}" for name in names), "times chosen"],
        "rows": rows,
        "note": "Mean squared error of free roll-outs on the validation sequences, geometric means over the trainings.",
    }


def late_table(late: Mapping[str, Any]) -> dict[str, Any]:
    """How well the free energy is kept in the long roll-out."""
    return {
        "title": "Free energy in the late roll-out",
        "columns": ["trained on", "mean |dF|/F", "least", "largest", "trainings blown up"],
        "rows": [
            [
                words,
                late[kind]["energy_error"],
                *(pick(late[kind]["errors"]) for pick in (min, max)),
                late[kind]["blown"],
            ]
            for kind, words in KINDS.items()
        ],
        "note": (
            f"From t = {late['times'][0]:g} to {late['times'][-1]:g} on boxes that no stage holds. A mean error above "
            "1 is that of a roll-out that has blown up: nothing is compared with it."
        ),
    }


def forgetting_table(forgetting: Mapping[str, list[float]]) -> dict[str, Any]:
    """Errors on early stages before and after further training."""
    return {
        "title": "Forgetting: error on early stages",
        "columns": ["after", "error over standing still", "least", "largest"],
        "rows": [
            ["early stages" if kind == "before" else WORDS[kind], geometric(values), min(values), max(values)]
            for kind, values in forgetting.items()
        ],
        "note": "The same networks before and after their further training, all sequences.",
    }
