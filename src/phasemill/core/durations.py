"""Times as people say them, in one way everywhere. Pure Python: progress lines and checks of a machine import it."""

from __future__ import annotations

STEPS = ((90.0, 1.0, "s"), (5400.0, 60.0, "min"), (48 * 3600.0, 3600.0, "h"), (float("inf"), 86400.0, "d"))
"""Below this many seconds, count in units of so many seconds, of this name."""


def duration(seconds: float, gap: str = "\N{NO-BREAK SPACE}") -> str:
    """Seconds in two or three digits: 0.42 s, 48 s, 13 min, 3.5 h, 5 d. Of a time below zero the sign is kept.

    gap: between number and unit; empty where columns are narrow.
    """
    length, unit = next((length, unit) for most, length, unit in STEPS if abs(seconds) < most)
    digits = {"s": ".2g", "min": ".0f"}.get(unit, ".3g")
    return f"{seconds / length:{digits}}{gap}{unit}"
