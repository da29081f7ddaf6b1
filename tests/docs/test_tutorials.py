"""Every page of the manual with code runs from top to bottom, and prints what it says it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.pages import agree, blocks, figures

DOCS = ROOT / "docs"
pytestmark = pytest.mark.workflow  # real runs: two minutes in all, too long for `make test-fast`
PAGES = sorted(path.relative_to(DOCS) for path in DOCS.rglob("*.md") if blocks(path.read_text()))


@pytest.mark.parametrize("name", PAGES, ids=str)
def test_the_page_runs_and_prints_what_it_shows(checkout: Path, name: Path) -> None:
    page = DOCS / name
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-W", "error", "-m", "tests.docs.pages", str(page)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert [figure for figure in figures(page) if not (checkout / figure).is_file()] == []


def test_every_wing_has_a_tutorial_that_runs() -> None:
    assert {f"tutorials/{wing}.md" for wing in ("spinodal", "grains", "pinns", "transport")} <= {
        path.as_posix() for path in PAGES
    }


def test_figures_of_tutorials_are_small() -> None:
    images = list((DOCS / "tutorials" / "images").iterdir())
    assert {name for page in PAGES for name in figures(DOCS / page)} == {image.name for image in images}
    assert [image.name for image in images if image.stat().st_size > 80_000] == []


@pytest.mark.parametrize(
    ("wanted", "printed", "same"),
    [
        ("kappa = 0.4 +- 0.1", "kappa  = 0.401\n+- 0.1", True),
        ("kappa = 0.4", "kappa = 0.41", False),
        ("kappa = 0.4", "sigma = 0.4", False),
        ("kappa = 0.4", "kappa = 0.4 0.5", False),
        ("a ... 2 b", "a 1 and 7 and 2 b", True),
        ("a ... 2 b", "a 1 and 7 and 3 b", False),
        ("[1. 2e-3]", "[1. 0.002]", True),
    ],
)
def test_outputs_agree_word_by_word_and_numbers_nearly(wanted: str, printed: str, same: bool) -> None:
    assert agree(wanted, printed) is same


def test_blocks_are_found_with_their_outputs_and_marks() -> None:
    page = """
```python
a = 1
```

<!-- within 20 % -->
```text
2
```

<!-- not run: needs a cluster -->
```sh
sbatch
```

<!-- fails -->
```sh
false
```
"""
    first, second = blocks(page)
    assert (first.language, first.code, first.output, first.percent, first.line) == ("python", "a = 1\n", "2\n", 20, 2)
    assert (second.code, second.output, second.fails) == ("false\n", None, True)
