"""Docstrings here are plain text with lists (`Arguments`, `Raises`) and examples; this makes Markdown of both."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

LIST = re.compile(r"^(Arguments|Raises|Returns)(?:\n-{3,}|:)\n((?:.+\n?)+)", re.MULTILINE)
HEADING = re.compile(r"^([A-Z][a-z]+)\n-{3,}\n", re.MULTILINE)
SESSION = re.compile(r"^>>> (?:.+\n?)+", re.MULTILINE)
ITEM = re.compile(r"^(?=\S)", re.MULTILINE)


def _listed(match: re.Match[str]) -> str:
    """`name: text` lines, continued by indented ones, as a list; `Name` over an indented text likewise."""
    body = re.sub("^    ", "", match[2], flags=re.MULTILINE) if match[2].startswith("    ") else match[2]
    rows = [" ".join(item.split()) for item in ITEM.split(body) if item.strip()]
    rows = [re.sub(r"^([\w, .*]+?):? ", r"`\1`: ", row, count=1) for row in rows]
    return "\n".join([f"**{match[1]}**", "", *(f"- {row}" for row in rows), ""])


class Lists(Extension):
    """Rewrites each docstring when griffe has read it."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring:
            text = HEADING.sub(r"**\1**\n\n", LIST.sub(_listed, obj.docstring.value))
            obj.docstring.value = SESSION.sub(lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text)
