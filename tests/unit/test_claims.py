"""Verdicts, the catalogue of claims and the tidy table."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from phasemill.core.errors import InputError
from phasemill.report import claims

BOUNDS = {"kind": "interval", "low": 0.93, "high": 0.99, "refuted_above": 0.999}


def claim(check: dict[str, object], paper_value: float | None = 0.9, **changes: object) -> claims.Claim:
    fields = {"paper": "p", "where": "Table 1", "statement": "s", "scales": ["laptop"], **changes}
    return claims.Claim.model_validate({**fields, "check": check, "paper_value": paper_value})


@pytest.mark.parametrize(
    ("check", "value", "verdict"),
    [
        ({"kind": "lower_is_better", "tolerance": 0.1}, 0.75, "exceeded"),
        ({"kind": "lower_is_better", "tolerance": 0.1}, 0.85, "reproduced"),
        ({"kind": "lower_is_better", "tolerance": 0.1}, 0.95, "reproduced"),
        ({"kind": "lower_is_better", "tolerance": 0.1}, 1.05, "not reproduced"),
        ({"kind": "higher_is_better", "tolerance": 0.1}, 1.05, "exceeded"),
        ({"kind": "higher_is_better", "tolerance": 0.1}, 0.85, "reproduced"),
        ({"kind": "higher_is_better", "tolerance": 0.1}, 0.75, "not reproduced"),
        ({"kind": "higher_is_better", "tolerance": 0.0}, 0.9, "reproduced"),
        ({"kind": "equal", "rel": 0.1}, 0.98, "reproduced"),
        ({"kind": "equal", "rel": 0.1}, 1.0, "not reproduced"),
        ({"kind": "equal", "rel": 0.1}, -0.9, "not reproduced"),
        (BOUNDS, 0.93, "reproduced"),
        (BOUNDS, 0.99, "reproduced"),
        (BOUNDS, 0.92, "not reproduced"),
        (BOUNDS, 0.995, "not reproduced"),
        (BOUNDS, 0.9999, "refuted"),
        ({"kind": "interval", "low": 1, "high": 2, "refuted_below": 0}, -1.0, "refuted"),
        (BOUNDS, math.nan, "not reproduced"),
        (BOUNDS, math.inf, "not reproduced"),
        ({"kind": "lower_is_better", "tolerance": 0.1}, -math.inf, "not reproduced"),
        (BOUNDS, None, "not testable at this scale"),
    ],
)
def test_verdict(check: dict[str, object], value: float | None, verdict: str) -> None:
    assert claims.judge(claim(check), value, "laptop") == verdict


def test_a_scale_too_small_is_no_verdict() -> None:
    assert claims.judge(claim(BOUNDS), 0.95, "smoke") == "not testable at this scale"


@pytest.mark.parametrize(
    ("check", "changes", "message"),
    [
        ({"kind": "about"}, {}, "expected tags"),
        ({"kind": "equal", "rel": -0.1}, {}, "greater than or equal to 0"),
        ({"kind": "equal", "rel": 0.1, "abs": 1}, {}, "Extra inputs"),
        ({"kind": "equal", "rel": 0.1}, {"paper_value": None}, "compares with paper_value"),
        ({"kind": "interval", "low": 2, "high": 1}, {}, "low <= high"),
        ({"kind": "interval", "low": 0, "high": 1, "refuted_above": 0.5}, {}, "low <= high"),
        (BOUNDS, {"where": ""}, "at least 1 character"),
        (BOUNDS, {"scales": ["desktop"]}, "'smoke', 'laptop' or 'paper'"),
        (BOUNDS, {"scales": []}, "at least 1 item"),
    ],
)
def test_a_malformed_claim_is_refused(check: dict[str, object], changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        claim(check, **{"paper_value": 0.9, **changes})  # type: ignore[arg-type]  # cases of mixed types


def test_the_catalogue_is_valid_and_every_claim_has_its_source() -> None:
    catalogue = claims.load()
    texts = {path.parent.name: path.read_text() for path in claims.SOURCES}
    written = [
        (wing, name) for wing in texts for name in re.findall(r"^  (\w+(?:\.\w+)+):$", texts[wing], re.MULTILINE)
    ]
    assert [name for _, name in written] == list(catalogue.claims)  # YAML keeps the last of two equal keys silently
    assert all(name.startswith(f"{wing}.") for wing, name in written)
    papers = [name for text in texts.values() for name in re.findall(r"^  (\w+):", text, re.MULTILINE)]
    assert papers == list(catalogue.papers)
    for name, entry in catalogue.claims.items():
        assert entry.paper in catalogue.papers, name
        assert re.search(r"Table|Section|Fig|Eq|Abstract", entry.where), name


@pytest.mark.parametrize("name", claims.load().claims)
def test_the_paper_passes_its_own_check(name: str) -> None:
    entry = claims.load().claims[name]
    if entry.paper_value is not None:
        around = (0.9 * entry.paper_value, 1.1 * entry.paper_value)  # of a claim that is judged by a measured band
        expected = "consistent" if entry.by_construction else "reproduced"
        assert claims.judge(entry, entry.paper_value, entry.scales[0], around) == expected


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "{paper: p, where: Table 1, statement: s, paper_value: 1}",
            r"claims\.a\.b\.check: Field required\nclaims\.a\.b\.scales",
        ),
        (
            "{paper: p, where: Table 1, statement: s, paper_value: 1, scales: [smoke], check: {kind: equal, rel: 0}}",
            r"claim 'a\.b' names paper 'p', which is not under papers",
        ),
    ],
)
def test_a_broken_catalogue_names_the_place(tmp_path: Path, entry: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(f"papers: {{}}\nclaims:\n  a.b: {entry}\n")
    with pytest.raises(ValueError, match=rf"broken\.yaml is not valid:\n.*{message}"):
        claims.read_catalogue(path)


@pytest.mark.parametrize(("band", "verdict"), [((0.8, 1.0), "reproduced"), ((0.91, 1.0), "not reproduced")])
def test_a_band_is_measured_and_holds_the_papers_value_or_not(
    tmp_path: Path, band: tuple[float, float], verdict: str
) -> None:
    name = "transport.substeps.mae_k50"
    paper = claims.load().claim(name).paper_value
    assert paper is not None
    bands = {name: [edge * paper / 0.9 for edge in band]}
    (row,) = claims.read(claims.write(tmp_path / "c.csv", {name: 0.5}, "laptop", "make", bands=bands))
    assert (row.verdict, row.value) == (verdict, 0.5)
    assert row.accepted == f"the paper's value in {bands[name][0]:.4g} to {bands[name][1]:.4g}"
    with pytest.raises(ValueError, match="needs its measured band"):
        claims.write(tmp_path / "c.csv", {name: 0.5}, "laptop", "make")


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"kind": "lower_is_better", "tolerance": 0.5}, "at most 2.5"),
        ({"kind": "higher_is_better", "tolerance": 0.5}, "at least 1.5"),
        ({"kind": "equal", "rel": 0.01}, "2 within 1 %"),
        ({"kind": "interval", "low": 3, "high": 1e6}, "at least 3"),
        ({"kind": "interval", "low": -1e9, "high": 0}, "at most 0"),
        ({"kind": "interval", "low": 0.25, "high": 1}, "0.25 to 1"),
    ],
)
def test_what_is_accepted_in_words(check: dict[str, Any], words: str) -> None:
    claim = claims.Claim(paper="p", where="w", statement="s", paper_value=2, check=check, scales=("laptop",))  # type: ignore[arg-type]
    assert claims.accepted(claim) == words


def test_what_was_put_in_is_no_evidence() -> None:
    claim = claims.load().claim("transport.stability.number_k1")
    assert claim.by_construction
    assert [claims.judge(claim, value, "laptop") for value in (5.6, 7.0)] == ["consistent", "not reproduced"]


def test_table_round_trip(tmp_path: Path) -> None:
    values = {"transport.zero_shot.mae": 2.1e-07, "transport.trained.mae": None, "transport.stability.number_k1": 5.6}
    path = claims.write(tmp_path / "claims.csv", values, "laptop", 'make, "it"', {"transport.trained.mae": "Not run."})
    assert path.read_text().splitlines()[0] == (
        "claim,paper,doi,where,statement,paper_value,value,unit,accepted,verdict,scale,command,note"
    )
    first, second, third = claims.read(path)
    assert (first.claim, first.value, first.paper_value, first.verdict) == (
        "transport.zero_shot.mae",
        2.1e-07,
        0.0117,
        "exceeded",
    )
    assert (second.value, second.verdict) == (None, "not testable at this scale")
    assert second.note.startswith("Not run. ")
    assert (third.verdict, third.doi, third.command) == ("consistent", "10.48550/arXiv.2603.13280", 'make, "it"')


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("transport.zero_shot.mea", "unknown claim 'transport.zero_shot.mea'; did you mean 'transport.zero_shot.mae'"),
        ("ocean", r"unknown claim 'ocean'; add it to the claims\.yaml of its wing"),
    ],
)
@pytest.mark.parametrize("where", ["values", "notes"])
def test_an_unknown_claim_is_refused(tmp_path: Path, name: str, message: str, where: str) -> None:
    values, notes = ({name: 1.0}, {}) if where == "values" else ({}, {name: "x"})
    with pytest.raises(ValueError, match=message):
        claims.write(tmp_path / "claims.csv", values, "laptop", "run", notes)
    assert not (tmp_path / "claims.csv").exists()


def test_a_foreign_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "claims.csv").write_text("claim,value\na,1\n")
    with pytest.raises(ValueError, match=r"claims\.csv does not have the columns claim, paper"):
        claims.read(tmp_path / "claims.csv")
    with pytest.raises(InputError, match=r"other\.csv does not exist"):
        claims.read(tmp_path / "other.csv")
