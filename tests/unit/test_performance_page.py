"""The page of the speeds says what the file says, and refuses a file that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phasemill.core.errors import InputError
from phasemill.core.files import read_json
from phasemill.report.performance import comparisons, write_performance_page
from tests.conftest import ROOT


def content() -> dict[str, Any]:
    times = {"ours_ms_min": 2.5, "ours_ms_median": 2.75, "peer_ms_min": 35.625, "peer_ms_median": 40.0, "rounds": 7}
    return {
        "machine": {
            "processor": "Some <processor>", "cores": 2, "measured": "2026-11-22T10:00:00+00:00", "git_commit": "a" * 40,
            "git_dirty": True, "versions": {"numpy": "2.0"}, "bytes_per_second": {"24 kB": 3.21e11},
            "multiply_adds_per_second": {"float64": 4.56e10},
        },
        "comparisons": {"spinodal Euler against <numpy>": {"ratio": 14.25, **times}},
        "limits": {"grains Euler": {"fraction": 0.625, "limit": "memory", "ours_ns": 0.16, "arithmetic_ns": 0.05, "memory_ns": 0.1}},
        "others": {"grains, many phases": {"10 grains": [85.5, 796]}},
    }  # fmt: skip


def test_the_page_shows_what_was_measured(tmp_path):
    path = tmp_path / "performance.json"
    path.write_text(json.dumps(content()))
    page = write_performance_page(path, tmp_path / "performance.html").read_text()
    for text in (
        "14.25",
        "0.625",
        "85.5, 796",
        "321",
        "45.6",
        "Some &lt;processor&gt;",
        "uncommitted",
        "&lt;numpy&gt;",
    ):
        assert text in page
    assert "<numpy>" not in page.partition('type="application/json"')[0]


def test_the_speeds_that_are_kept_are_of_a_clean_commit_and_of_every_peer():
    path = ROOT / "results" / "recorded" / "performance.json"
    peers = " ".join(key.partition(" against ")[2] for key in comparisons(path))
    assert [name for name in ("numpy", "torch", "py-pde", "exponax", "DeepXDE") if name not in peers] == []
    assert read_json(path)["machine"]["git_dirty"] is False


@pytest.mark.parametrize("broken", ["{", "[]", '{"machine": {}}', "no comparison"])
def test_another_file_is_refused_in_one_sentence(tmp_path: Path, broken: str):
    path = tmp_path / "performance.json"
    text = json.dumps({**content(), "comparisons": {"a": {}}}) if broken == "no comparison" else broken
    path.write_text(text)
    with pytest.raises(InputError, match="make bench") as error:
        write_performance_page(path, tmp_path / "performance.html")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "performance.html").exists()


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(InputError, match="make bench"):
        write_performance_page(tmp_path / "no.json", tmp_path / "performance.html")
