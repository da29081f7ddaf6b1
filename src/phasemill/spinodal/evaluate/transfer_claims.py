"""Claims of the transfer; nothing is compared with a roll-out that has blown up or that loses to standing still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phasemill.spinodal.config.transfer import Transfer
from phasemill.spinodal.evaluate.ablation_claims import BOUNDED, ratios
from phasemill.spinodal.evaluate.numbers import geometric, listed


def claims_and_notes(
    settings: Transfer, errors: Mapping[str, Any], late: Mapping[str, Any]
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Values and notes of the claims on late coarsening, on a related law, and on the law that a training is bound to.

    Arguments
    ---------
    errors: over standing still, by stage and start.
    late: mean |dF|/F of the long roll-outs.
    """
    few, many = str(settings.sequences[0]), str(settings.sequences[-1])
    surface = errors["surface"]
    cured = ratios(late["transfer"]["errors"], least_other(late))
    begun = ratios(surface["scratch"][few], surface["transfer"][few])
    bound = ratios(surface["before"], surface["transfer"][many])
    reasons = {
        "late": "",
        "surface": failure(surface["transfer"][few]),
        "law_bound": failure(surface["transfer"][many]),
    }
    values = {"late": cured, "surface": begun, "law_bound": bound}
    details = {
        "late": f"{beside(late)} By seed: {listed(cured)}.",
        "surface": f"By seed: {listed(begun)}; each way at the learning rate that validation chose.",
        "law_bound": (
            f"By seed: {listed(bound)}. The shipped network, much longer trained under the constant mobility, has "
            f"{surface['shipped']:.2g} times the error of standing still here, and {errors['late']['shipped']:.2g} "
            "times on late windows of its own law."
        ),
    }
    claims = {f"spinodal.transfer.{name}": None if reasons[name] else geometric(values[name]) for name in values}
    return claims, {f"spinodal.transfer.{name}": reasons[name] + detail for name, detail in details.items()}


def failure(errors: list[float]) -> str:
    """Why transfer says nothing here, if a training with it does no better than standing still."""
    if all(error < 1 for error in errors):
        return ""
    return f"Not testable: with transfer the error is {listed(errors)} times that of standing still. "


def least_other(late: Mapping[str, Any]) -> list[float]:
    """By seed, the least late error of F without transfer: of the network before, from scratch, or standing still.

    A roll-out that has blown up is never the least, since standing still is below `BOUNDED` or counts as it.
    """
    still = min(late["still"]["energy_error"], BOUNDED)
    return [min(still, *others) for others in zip(late["before"]["errors"], late["scratch"]["errors"], strict=True)]


def beside(late: Mapping[str, Any]) -> str:
    """What transfer is compared with in the late roll-out."""
    words = ["late windows alone", "standing still"]
    count, blown = len(late["before"]["errors"]), late["before"]["blown"]
    if blown < count:
        words.append("the network before" + (" where it stays bounded" if blown else ""))
    lost = f"; the network before blows up in {blown} of {count} trainings" if blown else ""
    return f"Compared with the best of {', '.join(words[:-1])} and {words[-1]}{lost}."
