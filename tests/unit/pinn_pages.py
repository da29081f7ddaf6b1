"""What the tests of the pinns wing's figures share."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasemill import config
from phasemill.core import figures
from tests.conftest import ROOT

SMOKE = config.read_yaml(ROOT / "config" / "config.yaml") | {"scale": "smoke"}


def keeping(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """From now on figures are not saved; they come here, by name."""
    found: dict[str, Figure] = {}

    def keep(folder: Path, name: str, figure: Figure, title: str, caption: str) -> figures.Entry:
        found[name] = figure
        return {"file": f"{name}.svg", "title": title, "caption": caption}

    monkeypatch.setattr(figures, "entry", keep)
    return found


def xy(ax: Axes) -> list[tuple[list[float], list[float]]]:
    return [(np.asarray(one.get_xdata()).tolist(), np.asarray(one.get_ydata()).tolist()) for one in ax.lines]


def check_files(entries: list[figures.Entry], folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(entry["file"] for entry in entries)
    for entry in entries:
        content = (folder / entry["file"]).read_bytes()
        assert content.startswith(b"<?xml")
        assert entry["digest"] == hashlib.sha256(content).hexdigest()
        assert entry["title"]
        assert entry["caption"].endswith(".")


def smoke_job(name: str) -> Any:
    return config.JOBS[name].model_validate_json(config.load(SMOKE).spec(name, "smoke"))
