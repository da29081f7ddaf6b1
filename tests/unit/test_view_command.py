"""`phasemill view`: pages, pictures, films and files for ParaView; one sentence where nothing can be drawn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np
import pytest
import xarray as xr

from phasemill.core.errors import InputError
from phasemill.core.isosurface import BODY, SURFACE, march, render, view_axes
from phasemill.core.vti import read_vti
from phasemill.report import view as viewer
from phasemill.spinodal.command import evolve_file
from phasemill.spinodal.initial import perlin_mixture
from tests.unit.test_page import Elements

TIMES = "\N{MULTIPLICATION SIGN}"
MIXTURE = perlin_mixture(np.random.default_rng(0), (16, 16, 16))
FLAT = perlin_mixture(np.random.default_rng(1), (24, 16))


@pytest.fixture(scope="module")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the command has written."""
    folder = tmp_path_factory.mktemp("evolve")
    np.save(folder / "a.npy", MIXTURE)
    evolve_file(folder / "a.npy", folder / "out.zarr", until=1.0, every=0.25)
    return folder / "out.zarr"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of few pixels."""
    for sizes in (viewer.PNG, viewer.GIF, viewer.HTML):
        monkeypatch.setitem(sizes, "pixels", 48)


@pytest.mark.usefixtures("small")
def test_the_page_is_self_contained(evolved: Path, tmp_path: Path) -> None:
    page = viewer.view(viewer.open_source(evolved), tmp_path / "out.html")
    elements = Elements(page.read_text()).found
    loaded = [a[name] or "" for _, a in elements for name in ("src", "href", "srcset", "xlink:href") if name in a]
    assert all(value.startswith(("data:", "#")) for value in loaded)
    assert any(value.startswith("data:image/webp;base64,") for value in loaded)
    assert not [tag for tag, _ in elements if tag == "script"]
    assert [tag for tag, _ in elements].count("svg") == 2
    assert "16 x 16 x 16 cells, 5 frames from t = 0 to 1" in page.read_text().replace(TIMES, "x")


@pytest.mark.usefixtures("small")
def test_pictures_and_films(evolved: Path, tmp_path: Path) -> None:
    source = viewer.open_source(evolved)
    still = imageio.v3.imread(viewer.view(source, tmp_path / "out.png", time=0.5))
    assert still.ndim == 3
    film = imageio.v3.imread(viewer.view(source, tmp_path / "out.gif"), plugin="pillow")
    assert len(film) == 5
    assert (film[0] != film[-1]).any()


def test_files_for_paraview(evolved: Path, tmp_path: Path) -> None:
    source = viewer.open_source(evolved)
    stored = xr.open_zarr(evolved, chunks=None).phi[0].values
    np.testing.assert_array_equal(read_vti(viewer.export(source, tmp_path / "one.vti", time=0.3))[0]["phi"], stored[1])
    viewer.export(source, tmp_path / "all.pvd")
    assert [path.name for path in sorted((tmp_path / "all").iterdir())] == [f"all-0000{n}.vti" for n in range(5)]
    np.testing.assert_array_equal(read_vti(tmp_path / "all" / "all-00004.vti")[0]["phi"], stored[4])


@pytest.mark.usefixtures("small")
def test_any_store_with_a_field_can_be_seen(tmp_path: Path) -> None:
    """2-D, another name, axes in another order, no time, no attributes; a page has a map then."""
    dataset = xr.Dataset({"u": (("sim", "y", "x"), np.stack([FLAT.T, 3 * FLAT.T])), "n": ("sim", [1, 2])})
    dataset.to_zarr(tmp_path / "a.zarr", consolidated=False)
    source = viewer.open_source(tmp_path / "a.zarr", sim=1)
    np.testing.assert_array_equal(source.frame(0), 3 * FLAT)
    assert "24 x 16 cells." in viewer.view(source, tmp_path / "a.html").read_text().replace(TIMES, "x")
    assert viewer.view(source, tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("choices", "output", "time", "sentence"),
    [
        ({}, "out.pdf", None, "has the unknown ending '.pdf': give one of .html, .png, .gif"),
        ({}, "out.gif", 0.5, "--time is for .png and .vti, a .gif shows all times"),
        ({}, "out.png", 9.0, "spans t = 0 to 1"),
        ({"variable": "psi"}, "out.png", None, "unknown variable 'psi'"),
        ({"sim": 1}, "out.png", None, "--sim is 1, but"),
    ],
)
def test_what_cannot_be_drawn(
    evolved: Path, tmp_path: Path, choices: dict[str, Any], output: str, time: float | None, sentence: str
) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        viewer.view(viewer.open_source(evolved, **choices), tmp_path / output, time)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "sentence"), [("no.zarr", "does not exist"), (".", "is no Zarr store")])
def test_what_is_no_store(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        viewer.open_source(tmp_path / name)


def test_the_body_is_drawn_where_it_is() -> None:
    """A ball covers the area of its disc, in the colour of the surface; half a box shows its cut face; nothing, nothing."""
    grid = np.indices((40, 40, 40)) - 19.5
    radius = np.sqrt((grid**2).sum(axis=0))
    ball = render(12 - radius, 0.0, pixels=200, azimuth=20, elevation=10)
    blue = (ball[..., 2].astype(int) > ball[..., 0] + 25) & (ball[..., 3] > 128)
    side = 1.02 * np.sqrt(3) * 40 / 200
    assert blue.sum() * side**2 == pytest.approx(np.pi * 12**2, rel=0.02)
    rows, columns = np.nonzero(blue)
    assert abs(rows.mean() - 99.5) < 1
    assert abs(columns.mean() - 99.5) < 1
    assert SURFACE[2] > SURFACE[0]
    half = render(-grid[2], 0.0, pixels=200, azimuth=0, elevation=0)  # seen along -x: the lower half of a square
    rows, _ = np.nonzero((half[..., 3] > 128) & (half[..., 0] > half[..., 2]))
    assert rows.min() == pytest.approx(100, abs=2)
    assert rows.max() == pytest.approx(100 + 19.5 / side, abs=2)
    empty = render(-radius, 1.0, pixels=100)
    assert (empty[..., 3] > 0).mean() < 0.1  # the edges of the box alone


def test_rays_end_on_the_surface_itself() -> None:
    """In a field that is linear in space the crossing is exact, not one of the steps along the ray."""
    x, y, z = np.indices((12, 12, 12)).astype(np.float32)
    axes = view_axes(25, 20)
    across = np.linspace(-3, 3, 7)
    origin = np.full(3, 5.5) + 20 * axes[2]
    kind, depth = march(6 - x + 0.3 * y - 0.2 * z, 0.5, axes, origin, across, 40.0)
    assert (kind == BODY).all()
    points = origin + across[None, :, None] * axes[0] - across[:, None, None] * axes[1] - depth[..., None] * axes[2]
    np.testing.assert_allclose(6 - points @ [1, -0.3, 0.2], 0.5, atol=1e-5)
