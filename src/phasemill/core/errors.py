"""The one exception for what a user can mend, and the sentence about an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: the message is one sentence that names what, where and the remedy; shown without a traceback."""


def unknown(name: object, known: Iterable[str], kind: str = "key") -> str:
    """One sentence about an unknown name, with the nearest known one."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known))}"
    return f"unknown {kind} '{name}'; {hint}"
