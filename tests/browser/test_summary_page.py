"""The summary page in a real browser: its filter, by mouse and by keyboard, with scripts and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.browser.test_report_page import WIDTHS, check_page

pytestmark = pytest.mark.browser


@pytest.fixture
def page(driver: Chrome, sample_results: Path) -> Iterator[Chrome]:
    """The summary page of the sample, freshly opened."""
    size = {"width": 1280, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get_log("browser")
    driver.get((sample_results / "index.html").as_uri())
    yield driver
    console = [entry["message"] for entry in driver.get_log("browser")]
    assert not console, f"console: {console}"


def verdicts(driver: Chrome) -> list[str]:
    """Of the rows that can be seen."""
    rows = driver.find_elements(By.CSS_SELECTOR, "#claims tbody tr")
    return [row.get_attribute("data-verdict") or "" for row in rows if row.is_displayed()]


def chip(driver: Chrome, verdict: str) -> WebElement:
    return driver.find_element(By.CSS_SELECTOR, f'#filter button[data-verdict="{verdict}"]')


def said(driver: Chrome) -> str:
    """What the filter says it shows."""
    return driver.find_element(By.ID, "shown").text


def test_verdicts_choose_rows_and_add_up(page: Chrome) -> None:
    everything = verdicts(page)
    assert said(page) == f"all {len(everything)} claims"
    for verdict in dict.fromkeys(everything):
        count = everything.count(verdict)
        assert chip(page, verdict).text.split()[-1] == str(count)
        chip(page, verdict).click()
        assert verdicts(page) == [verdict] * count
        assert said(page) == f"{count} of {len(everything)} claims"
        chip(page, verdict).click()
    chip(page, "exceeded").click()
    chip(page, "refuted").click()
    assert set(verdicts(page)) == {"exceeded", "refuted"}
    page.find_element(By.NAME, "clear").click()
    assert verdicts(page) == everything
    assert chip(page, "exceeded").get_attribute("aria-pressed") == "false"


def test_paper_and_words_narrow_the_choice_further(page: Chrome) -> None:
    rows = page.find_elements(By.CSS_SELECTOR, "#claims tbody tr")
    papers = [row.get_attribute("data-paper") for row in rows]
    options = page.find_elements(By.CSS_SELECTOR, "#filter option")[1:]
    assert [option.get_attribute("value") for option in options] == list(dict.fromkeys(papers))
    options[1].click()
    assert len(verdicts(page)) == papers.count(options[1].get_attribute("value"))
    page.find_element(By.NAME, "clear").click()
    words = page.find_element(By.NAME, "words")
    words.send_keys("ENERGY evolution")
    shown = [row.text.lower() for row in rows if row.is_displayed()]
    assert 0 < len(shown) < len(rows)
    assert all("energy" in text and "evolution" in text for text in shown)
    words.send_keys(" zzz")
    assert verdicts(page) == []
    assert said(page) == f"0 of {len(rows)} claims"


def test_the_filter_works_by_keyboard_alone(page: Chrome) -> None:
    chosen = chip(page, "refuted")
    page.execute_script("arguments[0].focus()", chip(page, "exceeded"))
    while page.switch_to.active_element != chosen:
        page.switch_to.active_element.send_keys(Keys.TAB)
        assert page.switch_to.active_element.find_elements(By.XPATH, "ancestor::form[@id='filter']"), "left the filter"
    chosen.send_keys(Keys.SPACE)
    assert set(verdicts(page)) == {"refuted"}
    outline = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "the focus cannot be seen"


def test_without_scripts_everything_is_shown_and_no_control(driver: Chrome, sample_results: Path) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get((sample_results / "index.html").as_uri())
        rows = driver.find_elements(By.CSS_SELECTOR, "#claims tbody tr")
        assert len(rows) > 100
        assert all(row.size["height"] > 20 for row in rows)
        assert not driver.find_element(By.ID, "filter").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("width", WIDTHS)
def test_a_filtered_page_fits_its_window(driver: Chrome, sample_results: Path, width: int) -> None:
    check_page(driver, sample_results / "index.html", width)
    chip(driver, "exceeded").click()
    assert set(verdicts(driver)) == {"exceeded"}
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    for name in ("clear", "words", "paper"):
        assert driver.find_element(By.NAME, name).rect["width"] > 30


def test_figures_and_pictures_have_names_and_lead_to_their_benchmarks(page: Chrome, sample_results: Path) -> None:
    drawings = page.find_elements(By.CSS_SELECTOR, "main svg")
    assert drawings
    assert all(drawing.get_attribute("aria-label") for drawing in drawings)
    images = page.find_elements(By.CSS_SELECTOR, ".pair img")
    assert len(images) == 2
    assert all(image.get_attribute("alt") for image in images)
    assert all(page.execute_script("return arguments[0].naturalWidth", image) > 100 for image in images)
    links = {a.get_attribute("href") for a in page.find_elements(By.CSS_SELECTOR, ".panel a, .pair, .errors a")}
    folders = sample_results / "transport"
    assert links == {(folders / name / "report.html").as_uri() for name in ("zero_shot", "hostile")}


def test_dark_and_print_keep_the_text_readable(page: Chrome) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    ink = "return getComputedStyle(document.querySelector('.panel p')).color"
    seen = {}
    for scheme in ("light", "dark"):
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        seen[scheme] = [sum(map(int, page.execute_script(query)[4:-1].split(","))) for query in (ground, ink)]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    clipped = page.execute_script(
        "return [...document.querySelectorAll('.box')].filter(e => e.scrollHeight > e.clientHeight + 1).length"
    )
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert seen["light"][0] > seen["light"][1] + 250
    assert seen["dark"][1] > seen["dark"][0] + 250
    assert clipped == 0, "a table is cut off on paper"
