"""The pages: what they show, what they escape, what they say when an input is missing; and the house style."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phasemill.core import figures
from phasemill.core.errors import InputError
from phasemill.core.files import read_json, write_json, write_text
from phasemill.report import claims, index, page, svg
from phasemill.report.summary import summarise
from tests.unit.predictions import coordinates, variables, write_store

HOSTILE = "<script>alert('x')</script>"
DRAWING = (
    '<?xml version="1.0"?><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg" '
    'xmlns:xlink="http://www.w3.org/1999/xlink" width="10pt" height="5pt" viewBox="0 0 10 5">'
    '<style>*{color:red}</style><script>alert(1)</script><defs><clipPath id="c"/><path id="g"/></defs>'
    '<use xlink:href="#g" clip-path="url(#c)" style="fill: url( \'#g\' )" onclick="alert(1)"/>'
    '<image href="https://example.org/x.png"/><image href="data:image/png;base64,AAAA"/></svg>'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Inputs of one benchmark, with hostile text wherever text is free."""
    folder = tmp_path / "results" / "laptop" / "transport" / "zero_shot"
    write_text(folder / "figures" / "a.svg", DRAWING)
    entry = {"title": HOSTILE, "caption": "first"}
    write_json(folder / "figures.json", [{"file": "a.svg", **entry}, {"file": "a.svg", **entry}])
    values = {"transport.zero_shot.mae": 2.1e-7, "transport.zero_shot.stable_direction": 1.0}
    claims.write(folder / "claims.csv", values, "laptop", HOSTILE)
    metrics = {
        "wing": "transport",
        "benchmark": "zero_shot",
        "scale": "laptop",
        "title": HOSTILE,
        "question": HOSTILE,
        "answer": HOSTILE,
        "headline": [{"label": HOSTILE, "value": 0.99998, "unit": "1", "note": ""}],
        "tables": [{"title": "T", "columns": ["a", "b"], "rows": [[HOSTILE, 1234567], ["x", None]]}],
        "claims": values,
        "metrics": {"free": {"text": "</script>" + HOSTILE}},
    }
    write_json(folder / "metrics.json", metrics)
    stage = {"stage": "train", "command": HOSTILE, "seconds": 1.5, "git_commit": "ab" * 20, "git_dirty": True}
    versions = {"versions": {"numpy": "2.4.1"}, "tasks": [1, 2]}
    write_json(folder / "provenance.json", [{**stage, **versions}, {"stage": "report"}])
    held = {name: variables()[name] for name in ("energy", "energy_truth", "kappa_estimate")}
    write_store(folder / "fields.zarr", held, coordinates())
    return folder


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def pages(folder: Path) -> dict[str, Path]:
    target = folder.parents[1] / "index.html"
    summarise([folder], target.with_name("summary.json"), "laptop")
    return {"report": page.write_benchmark_page(folder), "index": index.write_index([folder, folder], target, "laptop")}


@pytest.mark.parametrize("which", ["report", "index"])
def test_pages_are_self_contained_and_escaped(folder: Path, which: str) -> None:
    html = pages(folder)[which].read_text()
    elements = Elements(html).found
    assert [attributes.get("type") for tag, attributes in elements if tag == "script"] == (
        ["application/json"] if which == "report" else [None]
    )
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert scripts == ([] if which == "report" else [index.FILTER.read_text()])
    allowed = re.findall(r"script-src ([^;\"]+)", html)
    assert allowed == [f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts]
    loaded = [a[name] or "" for tag, a in elements if tag != "a" for name in ("src", "href", "xlink:href") if name in a]
    assert loaded
    assert all(value.startswith(("data:", "#")) for value in loaded)
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)


@pytest.mark.parametrize("which", ["report", "index"])
def test_ids_are_unique_and_references_resolve(folder: Path, which: str) -> None:
    html = pages(folder)[which].read_text()
    drawn = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawn) == 2
    ids = re.findall(r'\bid="([^"]+)"', "".join(drawn))
    assert len(ids) == len(set(ids)) >= 4
    for one in drawn:
        own = set(re.findall(r'\bid="([^"]+)"', one))
        used = re.findall(r'href="#([^"]+)"', one) + re.findall(r"url\(#([^)]+)\)", one)
        assert len(used) >= 3
        assert set(used) <= own


def test_ids_of_the_page_are_unique(folder: Path) -> None:
    pages(folder)
    html = index.write_index([folder], folder.parents[1] / "index.html", "laptop").read_text()
    ids = [attributes["id"] for _, attributes in Elements(html).found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_embedded_data_is_what_the_files_hold(folder: Path) -> None:
    html = pages(folder)["report"].read_text()
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert block is not None
    data = json.loads(block[1])
    assert data["metrics"]["metrics"] == {"free": {"text": "</script>" + HOSTILE}}
    assert [row["verdict"] for row in data["claims"]] == ["exceeded", "refuted"]
    assert data["provenance"] == read_json(folder / "provenance.json")


@pytest.mark.parametrize("which", ["report", "index"])
def test_pages_show_numbers_verdicts_sources_and_provenance(folder: Path, which: str) -> None:
    text = re.sub(r"<[^>]*>", " ", pages(folder)[which].read_text())
    for shown in ("0.99998", "exceeded", "refuted", "0.0117", "Table 4", "doi:10.48550", "numpy", "2.4.1", "[1, 2]"):
        assert shown in text
    assert "abababababab + uncommitted changes" in text


def test_a_headline_shows_the_papers_value_of_its_claim(folder: Path) -> None:
    metrics = read_json(folder / "metrics.json")
    metrics["headline"][0] |= {"claim": "transport.zero_shot.mae", "note": "same videos"}
    write_json(folder / "metrics.json", metrics)
    assert "paper: 0.0117; same videos" in pages(folder)["report"].read_text()


def test_a_table_shows_the_papers_values_of_its_rows(folder: Path) -> None:
    metrics = read_json(folder / "metrics.json")
    metrics["tables"][0]["claims"] = ["none.such", "transport.zero_shot.mae"]
    write_json(folder / "metrics.json", metrics)
    table = pages(folder)["report"].read_text().split("<h3>T</h3>")[-1].split("</table>")[0]
    text = re.sub(r"<[^>]*>|\s", " ", table)
    assert re.search(r"a +b +paper ", text)
    assert re.search(r"x +\S+ +0\.0117", text)
    metrics["tables"][0]["claims"] = ["none.such"]
    write_json(folder / "metrics.json", metrics)
    with pytest.raises(InputError, match="1 claims for 2 rows"):
        pages(folder)


def test_index_links_to_the_pages_and_lists_a_shared_stage_once(folder: Path) -> None:
    target = pages(folder)["index"]
    links = {
        a["href"] or ""
        for tag, a in Elements(target.read_text()).found
        if tag == "a" and "doi.org" not in str(a["href"])
    }
    inside = {link for link in links if link.startswith("#")}
    assert links - inside == {"transport/zero_shot/report.html"}
    assert inside
    assert all(f'id="{link[1:]}"' in target.read_text() for link in inside)
    assert (target.parent / (links - inside).pop()).is_file()
    assert target.read_text().count('<td class="stage">') == 2


@pytest.mark.parametrize("name", ["metrics.json", "claims.csv", "provenance.json", "figures.json", "figures/a.svg"])
def test_a_missing_input_is_named_with_its_remedy(folder: Path, name: str) -> None:
    (folder / name).unlink()
    remedy = r"transport/zero_shot makes it: snakemake -c all \S+/report\.html --config scale=laptop$"
    expected = rf"{re.escape(str(folder / name))} is missing; .*{remedy}"
    writers = [page.write_benchmark_page, lambda f: index.write_index([f], f / "index.html", "laptop")]
    for write in writers[:1] if name.startswith("figures/") else writers:  # the summary has figures of its own
        with pytest.raises(InputError, match=expected):
            write(folder)
    assert not (folder / "report.html").exists()


def drop_title(content: dict[str, Any]) -> None:
    del content["title"]


def misspell(content: dict[str, Any]) -> None:
    content["headline"][0]["valeu"] = 1


def tear(content: dict[str, Any]) -> None:
    content["tables"][0]["rows"][1].append(1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_title, "title: Field required"),
        (misspell, r"headline\.0\.valeu: Extra inputs"),
        (tear, "table 'T' has a row that does not match its 2 columns"),
    ],
)
def test_a_malformed_input_is_named(folder: Path, damage: Callable[[dict[str, Any]], None], message: str) -> None:
    content = read_json(folder / "metrics.json")
    damage(content)
    write_json(folder / "metrics.json", content)
    with pytest.raises(ValueError, match=rf"metrics\.json cannot be shown \(.*{message}.*snakemake"):
        page.write_benchmark_page(folder)


@pytest.mark.parametrize("content", ["{", "not a drawing"])
@pytest.mark.parametrize("name", ["metrics.json", "figures/a.svg"])
def test_a_broken_file_is_named(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name} cannot be shown \("):
        page.write_benchmark_page(folder)


def test_inline_svg_keeps_the_drawing_and_drops_the_rest() -> None:
    drawing = svg.inline(DRAWING, "p-", 'a "label"')
    for gone in ("<?xml", "DOCTYPE", "script", "<style", "onclick", "example.org", 'width="10pt"'):
        assert gone not in drawing.markup
    for kept in ('id="p-g"', 'href="#p-g"', "url(#p-c)", "fill: url(#p-g)", "data:image/png", "a &quot;label&quot;"):
        assert kept in drawing.markup
    assert (drawing.width, drawing.height) == pytest.approx((40 / 3, 20 / 3))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        ("words", "words"),
        (True, "yes"),
        (0, "0"),
        (0.0, "0"),
        (20, "20"),
        (5000, "5000"),
        (78019, "78\u202f019"),
        (17430.4, "17\u202f430"),
        (0.0117, "0.0117"),
        (12.5, "12.5"),
        (2.1e-7, "2.1\u00a0\u00d7\u00a010⁻⁷"),
        (-3.0e12, "\u22123\u00a0\u00d7\u00a010¹²"),
        (-0.25, "\u22120.25"),
        (1.0, "1"),
        (0.9982, "0.9982"),
        (0.99998, "0.99998"),
        (0.999999, "0.999999"),
        (0.9999999, "1\u00a0\u2212\u00a01\u00a0\u00d7\u00a010⁻⁷"),
        (1.00002, "1.00002"),
        (float("nan"), "not finite"),
    ],
)
def test_number(value: page.Cell, text: str) -> None:
    assert page.number(value) == text


def waves() -> dict[str, np.ndarray]:
    cells = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    truth = np.stack([np.sin(cells)[:, None] * np.cos(cells) * decay for decay in (1.0, 0.5, 0.2)])
    return {"truth": truth, "prediction": 1.01 * truth}


def test_figures_are_equal_byte_for_byte_and_small(tmp_path: Path) -> None:
    first, second = (figures.save_svg(figures.strip(waves(), [0, 1, 2]), tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) < 150_000
    assert b"<dc:date>" not in first.read_bytes()


def test_field_strip_shares_one_scale_and_ends_with_the_difference() -> None:
    rows = waves()
    fig = figures.strip(rows, [0, 1, 2])
    images = [ax.images[0] for ax in fig.axes if ax.images]
    assert len(images) == 9
    assert {image.get_clim() for image in images[:6]} == {(rows["prediction"].min(), rows["prediction"].max())}
    difference = rows["prediction"] - rows["truth"]
    assert {image.get_clim() for image in images[6:]} == {(-abs(difference).max(), abs(difference).max())}
    np.testing.assert_allclose(images[3].get_array(), rows["prediction"][0].T)  # x runs to the right


@pytest.mark.parametrize("times", [[0, 1], [0, 1, 2, 3]])
def test_field_strip_refuses_frames_without_times(times: list[float]) -> None:
    with pytest.raises(ValueError, match="field strip needs rows of one shape"):
        figures.strip(waves(), times)


def test_titles_stay_inside_the_figure(tmp_path: Path) -> None:
    """The layout of square panels needs two passes; after one, the titles are cut off."""
    with figures.style():
        fig, axes = figures.figure(1, 2, height=3.7, sharex=True, sharey=True)
        for ax in axes[0]:
            figures.parity(ax, [0.1, 0.7], [0.1, 0.7])
            ax.set(title="title", xlabel=r"true $\kappa$")
        axes[0, 1].set_ylabel("")
    figures.save_svg(fig, tmp_path / "a.svg")
    assert all(ax.get_tightbbox().y1 <= fig.bbox.y1 for ax in axes[0])


def test_parity_draws_one_diagonal_for_all_groups() -> None:
    _, axes = figures.figure()
    ax = axes[0, 0]
    figures.parity(ax, [0.1, 0.2], [0.1, 0.3], "a")
    figures.parity(ax, [0.5, 0.7], [0.4, 0.9], "b")
    assert len(ax.lines) == 1
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlim()[0] < 0.1
    assert ax.get_xlim()[1] > 0.9
    assert ax.get_legend_handles_labels()[1] == ["a", "b"]
