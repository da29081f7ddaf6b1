"""The manual builds without a warning, needs nothing from other hosts, and says what the code says."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from phasemill import config
from phasemill.cli.options import app
from phasemill.report import claims
from tests.conftest import ROOT

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
LOOSE = ("canonical", "prev", "next", "alternate")
"""Links of a page's head that no browser fetches."""
PROSE = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "data" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Parts(HTMLParser):
    """What a page fetches, where it leads, and what it says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in LOADED and found.get("rel") not in LOOSE and (place := found.get(LOADED[tag])):
            self.fetched.append(place)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built manual; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return folder


def text(site: Path, page: str) -> str:
    return " ".join(Parts((site / page).read_text()).words)


def navigation(entries: object) -> Iterator[str]:
    if isinstance(entries, str):
        yield entries
    elif isinstance(entries, list | dict):
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield from navigation(entry)


def test_every_page_of_the_navigation_is_built(site: Path) -> None:
    lines = (ROOT / "mkdocs.yml").read_text()
    pages = list(navigation(yaml.safe_load(lines)["nav"]))
    assert len(pages) > 25
    assert [page for page in pages if not (site / page).with_suffix(".html").is_file()] == []


def test_nothing_is_fetched_from_other_hosts(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    fetched = [(page.name, place) for page in pages for place in Parts(page.read_text()).fetched]
    assert len(fetched) > 5 * len(pages)
    assert [found for found in fetched if re.match(r"(https?:)?//", found[1])] == []
    styles = " ".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", styles) == []


def test_the_command_line_is_all_there(site: Path) -> None:
    page = text(site, "reference/cli.html")
    commands = [command for command in app.registered_commands if command.callback is not None]
    names = {command.name or command.callback.__name__.replace("_", "-") for command in commands if command.callback}
    assert len(names) > 10
    assert [name for name in names if f"phasemill {name} " not in page] == []


def test_every_key_of_the_configuration_is_explained(site: Path) -> None:
    page = text(site, "reference/configuration.html")
    shipped = config.read_yaml(ROOT / "config" / "config.yaml")
    blocks = {
        f"{wing}.{name}" for wing in config.WINGS for name, value in shipped[wing].items() if isinstance(value, dict)
    }
    assert len(blocks) > 40
    assert [name for name in blocks if name not in page] == []
    assert re.search(r"eps\s+number > 0\s+3\s+interface width", page)
    assert re.search(r"simulations\s+whole number ≥ 1\s+6 / 216 / 1850", page)


def test_every_claim_is_listed_with_its_value(site: Path) -> None:
    page = text(site, "reference/claims.html")
    book = claims.load()
    assert f"{len(book.claims)} claims of 4 papers" in page
    shown = " ".join(page.split())
    assert [name for name, claim in book.claims.items() if " ".join(claim.statement.split()) not in shown] == []


def test_the_python_reference_shows_every_curated_name(site: Path) -> None:
    import phasemill

    page = (site / "reference" / "python.html").read_text()
    missing = [name for name, place in phasemill._PLACES.items() if f'id="phasemill.{place}.{name}"' not in page]
    assert phasemill._PLACES
    assert missing == []
    assert not re.search(r"<h\d[^>]*>\s*Arguments", page)


def test_links_of_the_readme_into_the_manual_lead_somewhere() -> None:
    """Also the headings that they name."""
    for path, heading in re.findall(r"\]\((docs/[^)#]+\.md)(?:#([\w-]+))?\)", (ROOT / "README.md").read_text()):
        lines = (ROOT / path).read_text().splitlines()
        slugs = {re.sub(r"[^\w]+", "-", line.lstrip("# ").lower()).strip("-") for line in lines if line.startswith("#")}
        assert not heading or heading in slugs, (path, heading)


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_names_and_benchmarks_that_a_page_mentions_exist(page: Path) -> None:
    """Names are `phasemill.a.b` in backticks; benchmarks follow the word."""
    lines = page.read_text()
    for name in re.findall(r"`[^`\n]*?(?<![\w./-])(phasemill(?:\.[A-Za-z_]\w*)+)", lines):
        pkgutil.resolve_name(name)  # raises AttributeError or ImportError
    assert set(re.findall(r"\bbenchmark\s+`(\w+)`", lines)) <= set(config.BENCHMARKS)
