"""How the numbers of an evaluation are put together and into words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def headline(label: str, value: Any, note: str = "", claim: str = "", unit: str = "") -> dict[str, Any]:
    """One number of the first screen of a report; the page adds the paper's value of `claim`."""
    return {"label": label, "value": value, "unit": unit, "note": note, "claim": claim}


def finite(value: Any) -> float | None:
    """A finite value as a Python number; any other, unknown or beyond all bounds, as None."""
    return float(value) if np.isfinite(value) else None


def known(content: Any) -> Any:
    """Nested lists and dicts with None for every number that is not finite."""
    if isinstance(content, dict):
        return {key: known(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [known(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content


def geometric(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The geometric mean, since errors differ by factors."""
    return float(np.exp(np.mean(np.log(np.maximum(values, 1e-300)))))


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The 95 % interval of the geometric mean, by Student's t of the logarithms; unknown for a single training."""
    if len(values) < 2:
        return None, None
    logs = np.log(np.maximum(values, 1e-300))
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    return float(np.exp(logs.mean() - half)), float(np.exp(logs.mean() + half))


def listed(values: Sequence[float]) -> str:
    """The numbers of all trainings."""
    return ", ".join(f"{value:.2g}" for value in values)


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.3g} %"
