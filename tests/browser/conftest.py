"""A results tree with made-up numbers but real figures, and a headless Chromium to look at its pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from phasemill.core import figures
from phasemill.core.files import write_json
from phasemill.report import claims, page
from phasemill.report.index import write_index
from phasemill.report.summary import summarise
from tests.unit.predictions import coordinates, variables, write_store

BROWSERS = ("chromium", "google-chrome", "chromium-browser")


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Headless Chromium that keeps its console and its network requests."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    service = shutil.which("chromedriver")
    if browser is None or service is None:
        pytest.skip(f"needs chromedriver and one of {', '.join(BROWSERS)}: not installed here")
    options = ChromeOptions()
    options.binary_location = browser
    for flag in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options, Service(service))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="session")
def sample_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`results/laptop` with two benchmarks, their pages and the index; the text is hostile where it can be."""
    scale = tmp_path_factory.mktemp("sample") / "results" / "laptop"
    folders = [scale / "transport" / "zero_shot", scale / "transport" / "hostile"]
    _write_inputs(folders[0], "Recover a transport coefficient from one video", np.random.default_rng(1))
    _write_inputs(folders[1], "<script>alert(1)</script> & " + "unbreakable" * 30, np.random.default_rng(2))
    for folder in folders:
        page.write_benchmark_page(folder)
    summarise(folders, scale / "summary.json", "laptop")
    write_index(folders, scale / "index.html", "laptop")
    return scale


@figures.style()
def _write_inputs(folder: Path, title: str, random: np.random.Generator) -> None:
    times = np.array([0.0, 1.0, 2.5, 5.0, 12.5, 25.0])
    cells = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    waves = random.integers(1, 7, (60, 2))
    phases, weights = random.uniform(0, 2 * np.pi, 60), random.normal(0, 0.4, 60)
    argument = waves[:, 0, None, None] * cells[:, None] + waves[:, 1, None, None] * cells + phases[:, None, None]
    decay = np.exp(-0.006 * (waves**2).sum(1) * times[:, None])
    truth = np.einsum("tm,mxy->txy", decay * weights, np.cos(argument))
    prediction = truth + 1e-4 * truth * times[:, None, None]
    kappa = random.uniform(0.1, 0.7, 10)
    forward = kappa + 0.06 * kappa**2 + random.normal(0, 0.004, 10)

    recovery, axes = figures.figure(1, 2, height=3.7, sharex=True, sharey=True)
    for ax, name, mobility in zip(
        axes[0], ("operator in the stable direction", "forward Euler"), (kappa, forward), strict=True
    ):
        figures.parity(ax, kappa[::-1], kappa[::-1], "diffusion")
        figures.parity(ax, kappa, mobility, "mobility")
        ax.set(title=name, xlabel=r"true $\kappa$")
    axes[0, 0].set_ylabel(r"recovered $\kappa$")
    axes[0, 1].set_ylabel("")
    axes[0, 0].legend()
    steps, history = figures.figure(1, 1, height=3.4, width=4.6)
    for k in kappa[:5]:
        history[0, 0].plot(np.abs(0.5 - k) * np.exp(-np.arange(200) / 9) + 1e-7)
    history[0, 0].set(yscale="log", xlabel="optimiser step", ylabel=r"$|\hat\kappa-\kappa|$")
    drawn = {
        "recovery": (
            recovery,
            "Recovered against true coefficient",
            "Twenty held-out simulations, ten of each regime.",
        ),
        "fields": (
            figures.strip({"truth": truth, "prediction": prediction}, times),
            "One video",
            "Frames of the simulation and of the operator at the recovered coefficient.",
        ),
        "steps": (steps, "Convergence", "Error of the 200-step network, five simulations."),
        "steps2": (steps, "Convergence again", "The same glyphs, twice on one page."),
    }
    for name, (figure, _, _) in drawn.items():
        figures.save_svg(figure, folder / "figures" / f"{name}.svg")
    listed = [{"file": f"{name}.svg", "title": t, "caption": c} for name, (_, t, c) in drawn.items()]
    write_json(folder / "figures.json", listed)

    write_store(folder / "fields.zarr", variables(), coordinates())
    values = dict.fromkeys(claims.load().claims)
    values |= {
        "transport.zero_shot.mae": 2.1e-7,
        "transport.zero_shot.r2": 0.9999999,
        "transport.zero_shot.diffusion_r2": 0.9999999,
        "transport.zero_shot.mobility_r2": 0.9999998,
        "transport.zero_shot.mobility_r2_forward_euler": 0.9713,
        "transport.zero_shot.stable_direction": 0.9999998,
        "transport.stability.number_k1": 5.6,
        "transport.trained.mae": 0.112,
    }
    command = "snakemake -c all transport_zero_shot --config scale=laptop"
    claims.write(folder / "claims.csv", values, "laptop", command, {"transport.trained.mae": "Short training."})
    write_json(
        folder / "metrics.json",
        {
            "wing": "transport",
            "benchmark": folder.name,
            "scale": "laptop",
            "title": title,
            "question": "How well can the coefficient of the heat equation be read off a single video, forward or "
            "reversed in time, without any training data? Asked of 20 held-out simulations.",
            "headline": [
                {"label": "Mean absolute error of \u03ba", "value": 2.1e-7, "unit": "1", "note": "paper 0.0117"},
                {"label": "R\u00b2 diffusion", "value": 0.9999999, "unit": "1", "note": ""},
                {"label": "R\u00b2 mobility", "value": 0.9999998, "unit": "1", "note": "paper 0.9674"},
                {"label": "Constant \u03ba", "value": 0.148, "unit": "1", "note": "the trivial predictor"},
                {"label": "Time per video", "value": 9.31, "unit": "ms", "note": "frames to answer, one core"},
            ],
            "tables": [
                {
                    "title": "Error by method",
                    "columns": [
                        "method",
                        "regime",
                        "simulations",
                        "MAE",
                        "max error",
                        "R\u00b2 of |\u03ba|",
                        "ms per video",
                    ],
                    "rows": [
                        ["direct minimisation", "diffusion", 10, 1.9e-7, 5.1e-7, 0.9999999, 9.3],
                        ["direct minimisation", "mobility", 10, 2.3e-7, 6.0e-7, 0.9999998, 9.4],
                        ["200-step network", "diffusion", 10, 3.1e-5, 8.9e-5, 0.99998, 17430.0],
                        ["constant", "both", 20, 0.148, 0.31, 0.0, None],
                    ],
                    "note": "R\u00b2 of |\u03ba| per regime; the constant is the mean of the training rows.",
                }
            ],
            "claims": values,
            "metrics": {"nested": {"note": "</script><b>"}},
        },
    )
    stage = {
        "command": 'phasemill evaluate transport zero-shot --spec \'{"sub_steps":50,"mobility_mode":"reverse"}\'',
        "started": "2026-03-30T10:20:30Z",
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "git_dirty": True,
        "package_version": "0.1.0",
        "versions": {"python": "3.11.2", "numpy": "2.4.1", "torch": "2.13.0", "zarr": "3.1.5"},
        "config_hash": "sha256:" + "ab" * 32,
        "data_digest": "sha256:" + "cd" * 32,
        "threads": 2,
        "device": "cpu",
        "host_os": "Linux 6.1",
    }
    stages = [
        {"stage": name, "seconds": s, **stage} for name, s in (("simulate", 1.02), ("train", 312.4), ("evaluate", 48.1))
    ]
    write_json(folder / "provenance.json", stages)
