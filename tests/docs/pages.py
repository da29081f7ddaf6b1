"""Runs a page of the manual: its `python` blocks in one namespace, its `sh` blocks in bash, in their order.

A `text` block right after one of them is what it must print: word by word, numbers within 2 % (or what the comment
`<!-- within 20 % -->` before it says), `...` for anything. A block after `<!-- not run: REASON -->` is not run, one after
`<!-- fails -->` must fail.

    python -m tests.docs.pages docs/tutorials/*.md               # where you are: files and figures land there
    python -m tests.docs.pages --figures docs/tutorials/*.md     # and the figures go into the images beside the pages
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>not run: .+?|fails) -->\n+)?```(?P<language>python|sh)\n(?P<code>.*?)^```\n"
    r"(?:\n*(?:<!-- within (?P<percent>\d+) % -->\n)?```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
PERCENT = 2
"""Numbers may differ by this: other processors round otherwise."""


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    output: str | None
    percent: int
    fails: bool
    line: int


def blocks(text: str) -> list[Block]:
    """What is run of a page."""
    found = [match for match in BLOCK.finditer(text) if match["mark"] in (None, "fails")]
    return [
        Block(
            m["language"], m["code"], m["output"], int(m["percent"] or PERCENT), m["mark"] == "fails",
            text.count("\n", 0, m.start()) + 1,
        )
        for m in found
    ]  # fmt: skip


def agree(wanted: str, printed: str, percent: int = PERCENT) -> bool:
    """Whether the words are the same, and the numbers nearly."""
    words = " ".join(wanted.split())
    parts = [NUMBER.sub("(NUMBER)", part) for part in words.split("...")]
    pattern = ".*".join(re.escape(part) for part in parts).replace(re.escape("(NUMBER)"), f"({NUMBER.pattern})")
    match = re.fullmatch(pattern, " ".join(printed.split()))
    pairs = zip(NUMBER.findall(words), match.groups(), strict=True) if match else ()
    return bool(match) and all(math.isclose(float(a), float(b), rel_tol=percent / 100, abs_tol=1e-12) for a, b in pairs)


def run(page: Path) -> None:
    """Run a page in the working directory; raises AssertionError with page and line."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page.read_text()):
        place = f"{page}:{block.line}"
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(compile(block.code, place, "exec"), namespace)
            printed = stream.getvalue()
        else:
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", block.code], capture_output=True, text=True)
            printed = done.stdout
            if bool(done.returncode) != block.fails:
                raise AssertionError(f"{place}: exit code {done.returncode}\n{printed}{done.stderr}")
        sys.stdout.write(printed)
        if block.output is not None and not agree(block.output, printed, block.percent):
            raise AssertionError(f"{place}: printed\n{printed}\ninstead of\n{block.output}")


def figures(page: Path) -> list[str]:
    """Names of the figures that a page shows from its own images."""
    return re.findall(r"\]\(images/([\w.-]+)\)", page.read_text())


def keep(page: Path) -> None:
    """Put the figures that a run of the page has made beside it, small: at most 900 pixels wide, in 64 colours."""
    from PIL import Image

    for name in figures(page):
        picture = Image.open(name).convert("RGB")
        picture.thumbnail((900, 900))
        picture.quantize(64).save(page.parent / "images" / name, optimize=True)


if __name__ == "__main__":
    for path in map(Path, [word for word in sys.argv[1:] if word != "--figures"]):
        run(path)
        if "--figures" in sys.argv:
            keep(path)
