"""The sentence, the large numbers and the claims of the page on the published method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phasemill.grains.config.gradnorm import FIXES, WEIGHTED, Arm

RANKED = 3
"""Seeds that a ranking of weightings takes at least: with the published losses one may collapse, the next not."""
MOVES, FOLLOWS = 0.9, 0.1
"""Error over that of no motion, at most: an arm that moves at all the right way, and one that follows the grain."""
LOST = 20
"""Imbalance over the truth's |dF/dt| that no slow grain has."""
Found = Mapping[str, Any]
"""What the evaluation measured; see `gradnorm`."""


def middle(found: Found, arm: str, name: str) -> float:
    """The median over an arm's seeds."""
    return float(np.median([one[name] for one in found["scores"][arm]]))


def moved(found: Found, arm: str, radius: str = "radius") -> float:
    """How far the radius has gone over all intervals, in units of the truth's way; median over the seeds."""
    truth = found["reference"][radius]
    runs = [one[radius] for one in found["scores"][arm]]
    return float(np.median([(run[-1] - run[0]) / (truth[-1] - truth[0]) for run in runs]))


def last_still(found: Found) -> float:
    """The error of no motion in the last frame."""
    return float(found["reference"]["still"][-1])


def mean_still(found: Found) -> float:
    """The same, mean over the frames after the first."""
    return float(np.mean(found["reference"]["still"][1:]))


def share(found: Found, arm: str) -> float:
    """An arm's error over that of no motion, both mean over the frames after the first: a frozen grain has 1."""
    return middle(found, arm, "mse") / mean_still(found)


def scaled(found: Found, arm: str) -> float:
    """An arm's error as it would be over all frames, if its share of no motion's error stays what it is.

    Over few intervals the grain hardly moves, and any slow field has a small error; over all frames this is the error.
    An arm that is worse than no motion has its own error, or no motion's over all frames if that is more.
    """
    whole = min(share(found, arm), 1.0) * float(found["reference"]["still_all"])
    return max(whole, middle(found, arm, "mse"))


def needed(found: Found) -> float | None:
    """Error with fixed weights over that with Algorithm 2, if the one fails and the other works.

    0 where neither moves; at most 1 where Algorithm 2 does not follow the grain, or fixed weights do so too.
    """
    if len(found["scores"]["modified"]) < RANKED:
        return None
    fixed, modified = share(found, "fixed"), share(found, "modified")
    if min(fixed, modified) > MOVES:
        return 0.0
    return fixed / modified if modified <= FOLLOWS < fixed else min(fixed / modified, 1.0)


def energy_mae(found: Found) -> float | None:
    """Imbalance of the energy of the published arm; None where it is small as that arm does not follow the grain."""
    mae = _median_mae(found)
    lost = mae > LOST * found["reference"]["imbalance"]["rate"]
    return mae if lost or share(found, "modified") <= FOLLOWS else None


def energy_helps(found: Found) -> float | None:
    """Error without an energy loss over that with one; 1 where neither moves."""
    if len(found["scores"]["modified"]) < RANKED:
        return None
    without, with_it = share(found, "modified"), share(found, "energy")
    return 1.0 if min(without, with_it) > MOVES else without / with_it


def answer(found: Found, arms: Mapping[str, Arm]) -> str:
    """The numbers, and what they say of the paper's own explanation, the weighting."""
    weighted = {arm: middle(found, arm, "mse_last") for arm in WEIGHTED}
    single = {arm: middle(found, arm, "mse_last") for arm in FIXES if not (arm.startswith("all") or arms[arm].shown)}
    together, alike = (middle(found, arm, "mse_last") for arm in ("all", "all_fixed"))
    still, best = last_still(found), min(single, key=single.__getitem__)
    count = len(found["scores"]["modified"])
    seeds = "one seed" if count == 1 else f"{count} seeds"
    follows = min(weighted.values()) < still
    decides = max(together, alike) < min(MOVES * still, min(weighted.values()) / 2)
    return (
        f"After {len(found['reference']['times']) - 1} intervals the mean square error is, with {seeds} of each "
        f"weighting, {weighted['fixed']:.2g} with fixed weights, "
        f"{weighted['modified']:.2g} with Algorithm 2, {weighted['gradnorm']:.2g} with true GradNorm; "
        f"no motion has {still:.2g}{'' if follows else ', so that no weighting saves the published losses'}. "
        f"Of single changes beside Algorithm 2 the best, {arms[best].label}, has {single[best]:.2g}. A hard initial "
        f"condition, the incremental energy, which knows the obstacle, and mixed increments together have "
        f"{together:.2g}, with fixed weights {alike:.2g}"
        f"{': what is minimised matters far more than how it is weighted' if decides else ''}. The "
        f"recurrent network alone goes {100 * moved(found, 'recurrent'):.0f} % of the way with the published residual, "
        f"{100 * moved(found, 'recurrent_energy'):.0f} % with the energy."
    )


def headline(found: Found) -> list[dict[str, Any]]:
    """The large numbers."""
    losses = found["losses"]
    change = losses["frozen"]["residual, as published"] / losses["exact"]["residual, as published"] - 1
    return [
        {
            "label": "MSE, published", "value": scaled(found, "modified"),
            "note": f"Algorithm 2, scaled to all frames; no motion: {found['reference']['still_all']:.2g}",
            "claim": "grains.grains_gradnorm.works",
        },
        {
            "label": "MSE, all changes", "value": scaled(found, "all"), "note": "the same, same epochs", "claim": "",
        },
        {
            "label": "published residual of a frozen grain", "value": change,
            "note": "above that of the exact evolution, relative", "claim": "",
        },
        {
            "label": "motion of the recurrent network alone", "value": moved(found, "recurrent"),
            "note": "published residual; the truth is 1", "claim": "grains.grains_gradnorm.no_motion",
        },
    ]  # fmt: skip


def claims(found: Found, arms: Mapping[str, Arm]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Values by claim, and the notes beside them."""
    published, seconds, drawn = found["scores"]["modified"], found["seconds"], found["bottleneck"]
    fixed, modified, true = (middle(found, arm, "mse") for arm in ("fixed", "modified", "gradnorm"))
    weights = "; ".join(
        f"{arms[arm].label}: {', '.join(f'{name} {value:.2g}' for name, value in runs[0]['weights'].items())}"
        for arm, runs in found["scores"].items()
        if arm in ("modified", "gradnorm")
    )
    focus, truth = found["attention"], found["reference"]["imbalance"]
    first, gammas = found["spec"]["gamma"], [one["gamma"] for one in published]
    values: dict[str, float | None] = {
        "needed": needed(found),
        "works": scaled(found, "modified"),
        "cheaper": seconds["gradnorm, second backward"] / seconds["modified"],
        "energy_mae": energy_mae(found),
        "energy_helps": energy_helps(found),
        "gamma": float(np.median(gammas)) - first,
        "range": float(np.log10(max(one["largest"] for one in published) / min(one["smallest"] for one in published))),
        "no_motion": moved(found, "recurrent"),
        "attention": focus["trained"],
        "bottleneck": drawn["covered"],
    }
    notes = {
        "needed": (
            f"Error with fixed weights over that with Algorithm 2, mean of the frames after the first: {fixed:.2g} and "
            f"{modified:.2g}; true GradNorm {true:.2g}, no motion {mean_still(found):.2g}"
            f"{_neither(found, 'fixed', 'modified')}; all changes {_all(found)}. "
            f"Last weights: {weights}. {len(published)} seed(s), {RANKED} or more for a verdict: they differ much."
        ),
        "works": (
            f"Mean of the {len(found['reference']['times']) - 1} frames after the first, by seed: {_list(published)}; "
            f"no motion has {mean_still(found):.2g} there and {found['reference']['still_all']:.2g} over all frames, "
            "by which an error below no motion's is scaled. With the data loss that the released code adds "
            f"in the first interval: {share(found, 'data'):.3g} of no motion's error, without it "
            f"{share(found, 'modified'):.3g}."
        ),
        "cheaper": (
            "CPU time of an epoch, GradNorm with a second backward pass over Algorithm 2. Without that pass, which its "
            f"gradient does not need, GradNorm takes {seconds['gradnorm'] / seconds['modified']:.2f} of Algorithm 2; "
            f"fixed weights {seconds['fixed'] / seconds['modified']:.2f}."
        ),
        "energy_mae": (
            f"|dF/dt + (1/L) int phi_t^2|, published arm: {_median_mae(found):.2g}; truth: {truth['mae']:.2g}, where "
            f"|dF/dt| is {truth['rate']:.2g} in the mean and what the released code has for the sum "
            f"{truth['coded']:.2g}. A frozen grain has 0{_unjudged(found)}."
        ),
        "energy_helps": (
            "Error without an energy loss over error with one that has a gradient. The published one has none: with "
            "it and without it trainings are equal to the last bit. Errors over that of no motion: "
            f"{share(found, 'modified'):.2g} without and {share(found, 'energy'):.2g} with one"
            f"{_neither(found, 'modified', 'energy')} ({len(published)} seed(s), {RANKED} or more for a verdict)."
        ),
        "gamma": (
            f"From {first:g} to {', '.join(format(gamma, '.3f') for gamma in gammas)}. The recurrent part is "
            f"{middle(found, 'modified', 'recurrent_share'):.2g} rms of the last frame. With increments mixed: "
            f"{middle(found, 'increments', 'gamma'):.3f}, with all changes {middle(found, 'all', 'gamma'):.3f}."
        ),
        "range": (
            f"Decades between the largest and the smallest loss of all epochs: "
            f"{max(one['largest'] for one in published):.1e} to {min(one['smallest'] for one in published):.1e}, "
            f"the smallest of the {published[0]['smallest_term']}."
        ),
        "no_motion": (
            "Way of the radius over the truth's. The same with the residual times dt^2: "
            f"{moved(found, 'recurrent_units'):.2f}; with the obstacle too: {moved(found, 'recurrent_clipped'):.2f}; "
            f"with the incremental energy: {moved(found, 'recurrent_energy'):.2f}."
        ),
        "attention": (
            f"Mean weight on the map of interfaces over the mean weight; at the beginning {focus['begun']:.3f}, "
            f"without the map in the formula {focus['trained_without_map']:.3f}."
        ),
        "bottleneck": f"Root mean square error {drawn['error']:.2g}, spread {drawn['spread']:.2g}, at the interface.",
    }
    prefix = "grains.grains_gradnorm."
    return {prefix + name: value for name, value in values.items()}, {prefix + name: n for name, n in notes.items()}


def _all(found: Found) -> str:
    return f"{middle(found, 'all', 'mse'):.2g} (Algorithm 2), {middle(found, 'all_fixed', 'mse'):.2g} (fixed)"


def _neither(found: Found, *arms: str) -> str:
    """What a ratio of errors does not say."""
    return ": neither works" if min(share(found, arm) for arm in arms) > MOVES else ""


def _unjudged(found: Found) -> str:
    return "" if energy_mae(found) is not None else "; this arm does not follow the grain, so that it is not judged"


def _median_mae(found: Found) -> float:
    return float(np.median([one["imbalance"]["mae"] for one in found["scores"]["modified"]]))


def _list(runs: list[Mapping[str, Any]]) -> str:
    return ", ".join(format(one["mse"], ".2g") for one in runs)
