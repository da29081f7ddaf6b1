"""The pages in a real browser: no console message, no outside request, no sideways scrolling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from phasemill.config import BENCHMARKS

WIDTHS = (1280, 390)
pytestmark = pytest.mark.browser

# An element of the page itself that reaches beyond the window, unless a box of its own scrolls it
STICKING_OUT = """
const inBox = e => e.closest('.box, svg') !== null;
return [...document.querySelectorAll('main *')]
  .filter(e => !inBox(e) && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(e => e.tagName + '.' + e.className);
"""


def check_page(driver: Chrome, path: Path, width: int, claims: bool = True) -> None:
    """Open the page `path` in a window of `width` CSS pixels and assert what every page promises.

    `claims`: whether the papers say anything that the page is about.
    """
    phone = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    for log in ("browser", "performance"):
        driver.get_log(log)  # forget earlier pages
    driver.get(path.resolve().as_uri())

    requests = _outside_requests(driver)
    assert not requests, f"requests outside: {requests}"
    console = [entry["message"] for entry in driver.get_log("browser")]
    assert not console, f"console: {console}"
    assert driver.execute_script("return window.innerWidth") == width
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    too_wide = driver.execute_script(STICKING_OUT)
    assert not too_wide, f"wider than the window: {too_wide}"
    assert driver.execute_script("return document.querySelector('h1').getBoundingClientRect().top") < 200

    drawn = driver.execute_script(
        "return [...document.querySelectorAll('svg')].map(e => e.getBoundingClientRect()).map(r => [r.width, r.height])"
    )
    assert drawn, "no figure on the page"
    assert all(across > 100 and high > 50 for across, high in drawn), f"figures without size: {drawn}"
    rows = driver.execute_script(
        "return [...document.querySelectorAll('.claims tbody tr')].map(e => [e.offsetHeight, e.innerText])"
    )
    assert bool(rows) == claims, "no claim on the page"
    assert all(height > 20 and text.strip() for height, text in rows)


def _outside_requests(driver: Chrome) -> list[str]:
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    requested = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert requested, "the browser did not log its requests"
    return [url for url in requested if not url.startswith(("file:", "data:", "about:"))]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", ["transport/zero_shot/report.html", "transport/hostile/report.html", "index.html"])
def test_sample_page(driver: Chrome, sample_results: Path, page: str, width: int) -> None:
    check_page(driver, sample_results / page, width)


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_of_a_real_run(driver: Chrome, smoke_run: Path, width: int) -> None:
    pages = sorted((smoke_run / "results").rglob("*.html"))
    assert len(pages) == 1 + len(BENCHMARKS)
    for path in pages:
        table = path.with_name("claims.csv")
        check_page(driver, path, width, claims=not table.exists() or len(table.read_text().splitlines()) > 1)


def test_hostile_text_stays_text(driver: Chrome, sample_results: Path) -> None:
    driver.get((sample_results / "transport/hostile/report.html").as_uri())
    assert driver.execute_script("return document.querySelector('h1').innerText").startswith("<script>alert(1)")
    scripts = driver.execute_script("return [...document.scripts].map(e => e.type)")
    assert scripts == ["application/json"]


@pytest.mark.parametrize(
    ("intact", "damaged", "failure"),
    [
        ("</main>", "<img src='https://example.org/x.png'></main>", r"requests outside: .*example\.org"),
        ("</main>", "<script>undefinedName()</script></main>", "console: .*Content Security Policy"),
        ("</main>", "<div style='width: 3000px'>wide</div></main>", "the page scrolls sideways"),
        ("</style>", "svg { display: none !important }</style>", "figures without size"),
        ('class="claims"', 'class="other"', "no claim on the page"),
    ],
)
def test_the_check_notices_a_damaged_page(
    driver: Chrome, sample_results: Path, tmp_path: Path, intact: str, damaged: str, failure: str
) -> None:
    html = (sample_results / "transport/zero_shot/report.html").read_text()
    (tmp_path / "damaged.html").write_text(html.replace(intact, damaged))
    with pytest.raises(AssertionError, match=failure):
        check_page(driver, tmp_path / "damaged.html", 1280)
