"""Every data set and every shipped model has a card, and every source an entry, and nothing else has one."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from phasemill import config
from phasemill.report import claims
from tests.conftest import ROOT

DOCS = ROOT / "docs"
BIB = (DOCS / "papers.bib").read_text()


def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cards_hook", DOCS / "cards_hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CARDS = hook()


def page(name: str) -> str:
    """A page of the manual as mkdocs gets it."""
    text: str = CARDS.on_page_markdown((DOCS / name).read_text())
    return text


def parts(text: str) -> dict[str, str]:
    """Heading of the second level -> what stands below it."""
    _, *found = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(found[::2], found[1::2], strict=True))


def rows(part: str) -> dict[str, str]:
    """First cell -> second cell of the tables of two columns."""
    return dict(re.findall(r"^\| ([^|]+?) \| (.+) \|$", part, re.MULTILINE))


def test_every_data_set_has_a_card_and_every_card_a_data_set() -> None:
    named = [name for heading in parts(page("cards/data.md")) for name in re.split(r", | and ", heading)]
    assert sorted(named) == sorted(config.DATASETS)


def test_cards_of_data_sets_say_the_same_things() -> None:
    fixed = ["Equation", "Initial state", "Boundary conditions", "Parameters", "Discretisation", "Size", "Splits"]
    for heading, part in parts(page("cards/data.md")).items():
        card = rows(part)
        assert [*fixed, "Variables", "Cost", "Source", "Open"] == [key for key in card if key != "Both directions"]
        assert all(card.values())
        (opened,) = re.findall(r"data/laptop/(\w+)/(\w+)\.zarr", card["Open"])
        assert opened[1] in heading
        assert config.DATASETS[opened[1]] == opened[0]


def test_every_shipped_model_has_a_card_and_every_card_a_model() -> None:
    files = sorted((ROOT / "src" / "phasemill").glob("*/weights/*"))
    cards = parts(page("cards/models.md"))
    assert list(cards) == [path.stem for path in files]
    assert len(files) >= 7
    for path in files:
        card = rows(cards[path.stem])
        assert list(card) == list(CARDS.ROWS)
        assert str(path.relative_to(ROOT)) in card["Size"]
        assert not [
            cell for cell in card.values() if not cell or re.search(r"[{}]|None|\bnan\b", cell.split("with {")[0])
        ]


@pytest.mark.parametrize(
    ("model", "row", "words"),
    [
        ("features", "Scores", "mean square error 0.0019 (standing still 0.077), free energy off by at most 1.9 %"),
        ("features", "Limits", "eps / dx = 3, mean phi 0.25 to 0.79"),
        ("raw", "Size", "29,183 numbers"),
        ("raw", "Load", "`load_model(\"published\")`: the same with {'memory': 0}"),
        ("stride", "Limits", "times 2.5 to 611.5"),
        ("stride", "Scores", "at t = 541 0.078 (standing still 0.3), free energy off by at most 9.9 %"),
        ("grain_growth_35", "Training", "`growing_0`: 4000 steps, 12 CPU min, gamma = 0.15"),
        ("grain_shrink_128", "Output", "a time of 100 later"),
        ("grain_polycrystal", "Scores", "off by 0.8 % of the mean area"),
    ],
)
def test_cards_say_what_the_files_say(model: str, row: str, words: str) -> None:
    assert words in rows(parts(page("cards/models.md"))[model])[row]


def test_recorded_claims_are_those_of_the_records_with_their_verdicts() -> None:
    shown = [line.split(" | ") for line in CARDS.recorded("grains").splitlines()[2:]]
    verdicts = {cells[0].strip("| `"): (cells[2], cells[3]) for cells in shown}
    assert verdicts[".grains_gradnorm.needed"] == ("0", "refuted")
    assert verdicts[".grain_shrink_64.mse"] == ("3.2e-06", "exceeded")
    assert {f"grains{name}" for name in verdicts} <= set(claims.load().claims)
    assert ".allen_cahn.fixed" not in CARDS.recorded("pinns")  # only runs of the paper's size could test it


def test_pages_with_marks_are_filled() -> None:
    marked = [
        path for path in DOCS.rglob("*.md") if re.search(r"<!-- (include|models|recorded|speeds)", path.read_text())
    ]
    assert {path.name for path in marked} == {"data.md", "models.md", "papers.md", "references.md", "speed.md"}
    for path in marked:
        assert not re.search(r"<!-- (include|models|recorded|speeds)", page(str(path.relative_to(DOCS))))
    assert "cff-version" in page("references.md")


def test_keys_of_the_bibliography_are_unique_and_on_the_page() -> None:
    keys = re.findall(r"^@\w+\{(\w+),$", BIB, re.MULTILINE)
    assert len(keys) == len(set(keys)) == BIB.count("@") > 10
    assert sorted(re.findall(r"`([a-z]+\d{4})`", page("references.md"))) == sorted(keys)


def test_sources_of_claims_are_in_the_bibliography() -> None:
    papers = claims.load().papers.values()
    entries = [entry for entry in BIB.split("\n@") if "title" in entry]
    for paper in papers:
        (entry,) = (one for one in entries if _title(one) == _words(paper.title))
        assert f"{{{paper.year}}}" in entry
        assert not paper.doi or f"{{{paper.doi}}}" in entry
        assert all(_words(name) in _words(entry) for name in paper.authors.split(", "))
        if number := re.search(r"arXiv\.(\d{4}\.\d{5})", paper.doi or ""):
            assert f"eprint        = {{{number[1]}" in entry


def test_links_of_the_references_are_the_identifiers_of_the_bibliography() -> None:
    known = set(re.findall(r"doi\s+= \{(.+)\}", BIB)) | set(re.findall(r"eprint\s+= \{(.+)\}", BIB))
    linked = set(re.findall(r"\(https://(?:doi\.org|arxiv\.org/abs)/(\S+?)\)(?=[, )|]|$)", page("references.md")))
    assert linked <= known
    assert known - linked == {"10.48550/arXiv.2603.13280"}  # linked as its eprint


def _title(entry: str) -> str:
    (found,) = re.findall(r"^\s+title\s+= \{(.+)\},$", entry, re.MULTILINE)
    return _words(found)


def _words(text: str) -> str:
    """Letters and digits alone."""
    return re.sub(r"[^a-z0-9]+", "", text.lower())
