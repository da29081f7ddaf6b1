"""Reading a user's field: every kind of file, orientation, cell size, and one sentence for each bad input; .vti files."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr

from phasemill.core.errors import InputError
from phasemill.core.fields import read_field
from phasemill.core.vti import read_vti, write_pvd, write_vti

FIELD = np.random.default_rng(0).random((6, 5, 4))
FLAT = FIELD[..., 0]

# written by VTK 9.7: (np.arange(80) / 79).round(2).reshape(4, 5, 4) as float32, cells of 0.5
WRITTEN_BY_VTK = (np.arange(4 * 5 * 4) / 79).astype(np.float32).round(2).reshape(4, 5, 4)
HEAD = """<VTKFile type="ImageData" version="1.0" byte_order="{order}Endian" header_type="UInt{bits}"{compressor}>
<ImageData WholeExtent="0 3 0 4 0 3" Origin="0 0 0" Spacing="0.5 0.5 0.5" Direction="1 0 0 0 1 0 0 0 1">
<Piece Extent="0 3 0 4 0 3"><PointData Scalars="phi">
<DataArray type="Float32" Name="phi" format="{form}" offset="0">{text}</DataArray>
</PointData><CellData></CellData></Piece></ImageData>{tail}</VTKFile>"""
ZLIB = ' compressor="vtkZLibDataCompressor"'
PLAIN = "AAABQAAAAAA+gAAAPwKPXD9Cj1w9TMzNPpmZmj8PXCk/T1wpPczMzT6zMzM/HCj2P1wo9j4ZmZo+0euFPyj1wz9o9cM+TMzNPuuFHz81wo8/dcKPPCPXCj6KPXE/BR64P0UeuD11wo8+o9cKPxHrhT9R64U94UeuPr1wpD8euFI/XrhSPiPXCj7XCj0/K4UfP2uFHz5hR64+8KPXPzhR7D94Uew89cKPPo9cKT8HrhQ/R64UPaPXCj6o9cM/FHrhP1cKPT4FHrg+wo9cPyFHrj9j1wo+OFHsPtwo9j8uFHs/cKPXPmuFHz71wo8/OuFIP31wpD0j1wo+lHrhPwo9cT9MzM09uFHsPq4Uez8XCj0/WZmaPg9cKT7HrhQ/JmZmP2ZmZj5Cj1w+4UeuPzMzMz9zMzM+dcKPPvrhSD9AAAA/gAAA"
APART = (base64.b64encode(base64.b64decode(PLAIN)[:4]) + base64.b64encode(base64.b64decode(PLAIN)[4:])).decode()
DEFLATED = "AQAAAAAAAAAAgAAAAAAAAEABAAAAAAAAJQEAAAAAAAA=eF4VUD1Iw0AUDkIRshQhIIKkiCAJgsshFOm9TwSJgyDpIsIhiBAElxQRpEVwyeKSxSVd06FTFpcsLsngUgenLC6Z08ElHZx8d9u79/0+w9DvhVS8BhWf4GtxLqdJQq7qwlUXPC+kEO+0craxchSmyRZFzTeVrYOyvdN46kUNxcUh4uIRZrU7GMlXyu0OcvtU/0mzSpmzgajxkXm1nIUfNMxtDPNrjScGsMY+etE972+oSn9p6fex9J+Y3w5cFZOVrcPKPMansmznVI8tSPOSPTqcvaDM2+HdLXP6nPWHJtYBqjTUmpytpbP6CLPwWfvJevxGI2nq7IzP5cTKOMMmd7vizl32+qQg2EMQBPomrF2TEAJCPOg+rPVHhnEMvhv+ATawf7o="
APPENDED = "QAEAAAAAAAAAAAAAAACAPlyPAj9cj0I/zcxMPZqZmT4pXA8/KVxPP83MzD0zM7M+9igcP/YoXD+amRk+hevRPsP1KD/D9Wg/zcxMPh+F6z6PwjU/j8J1PwrXIzxxPYo+uB4FP7geRT+PwnU9CtejPoXrET+F61E/rkfhPaRwvT5SuB4/UrhePwrXIz49Ctc+H4UrPx+Faz+uR2E+16PwPuxROD/sUXg/j8L1PClcjz4Urgc/FK5HPwrXoz3D9ag+4XoUPz0KVz+4HgU+XI/CPq5HIT8K12M/7FE4PvYo3D57FC4/16NwPx+Faz6PwvU+SOE6P6RwfT8K1yM94XqUPnE9Cj/NzEw/7FG4PXsUrj49Chc/mplZPylcDz4Ursc+ZmYmP2ZmZj9cj0I+rkfhPjMzMz8zM3M/j8J1Pkjh+j4AAEA/AACAPw=="


def saved(folder: Path, name: str, array: np.ndarray, **extra: Any) -> Path:
    np.save(folder / name, array)
    return folder / name


def test_numpy_files_are_taken_as_they_are(tmp_path: Path) -> None:
    field = read_field(saved(tmp_path, "a.npy", FIELD.astype(np.float32)))
    np.testing.assert_array_equal(field.values, FIELD.astype(np.float32))
    assert (field.values.dtype, field.dx, field.notes) == (np.float64, None, [])
    np.savez(tmp_path / "a.npz", other=FLAT, phi=FIELD)
    np.testing.assert_array_equal(read_field(tmp_path / "a.npz", variable="phi").values, FIELD)


@pytest.mark.parametrize(
    ("integers", "note"),
    [
        (np.arange(120, dtype=np.uint8).reshape(6, 5, 4) + 10, "the integers 10 ... 129"),
        ((FIELD > 0.5).astype(np.int32) * 255, "the integers 0 ... 255"),
        ((FIELD > 0.5).astype(np.uint8), ""),
        (FIELD > 0.5, ""),
    ],
)
def test_integers_are_stretched_with_a_message(tmp_path: Path, integers: np.ndarray, note: str) -> None:
    field = read_field(saved(tmp_path, "a.npy", integers))
    assert (field.values.min(), field.values.max()) == (0, 1)
    assert np.corrcoef(field.values.ravel(), integers.ravel())[0, 1] == pytest.approx(1)
    assert [text[: len(note)] for text in field.notes] == ([note] if note else [])


def test_zarr_chooses_simulation_frame_and_axes(tmp_path: Path) -> None:
    stored = np.stack([FIELD, 2 * FIELD, 3 * FIELD])
    dataset = xr.Dataset(
        {
            "phi": (("z", "time", "sim", "y", "x"), np.stack([stored, -stored]).transpose(4, 1, 0, 3, 2)),
            "other": ("x", range(6)),
        },
        coords={"time": [0.0, 0.5, 1.0], "x": 0.25 * np.arange(6)},
    )
    dataset.to_zarr(tmp_path / "a.zarr", consolidated=False)
    field = read_field(tmp_path / "a.zarr", sim=1, time=0.6)
    np.testing.assert_array_equal(field.values, -2 * FIELD)
    assert field.dx == 0.25
    assert field.notes == [f"the frame at t = 0.5 of {tmp_path / 'a.zarr'} is taken"]
    np.testing.assert_array_equal(read_field(tmp_path / "a.zarr", sim=0).values, 3 * FIELD)
    zarr.save(str(tmp_path / "b.zarr"), FIELD)
    np.testing.assert_array_equal(read_field(tmp_path / "b.zarr").values, FIELD)


def test_pictures_have_x_to_the_right_and_y_upwards(tmp_path: Path) -> None:
    grey = np.zeros((5, 7), np.uint8)
    grey[0, 6] = 200  # upper right
    tifffile.imwrite(tmp_path / "a.tif", grey)
    field = read_field(tmp_path / "a.tif")
    assert field.values.shape == (7, 5)
    assert np.argwhere(field.values == 1).tolist() == [[6, 4]]
    stack = np.zeros((4, 5, 7), np.uint8)
    stack[3, 0, 6] = 1  # third page
    tifffile.imwrite(tmp_path / "b.tif", stack, photometric="minisblack")
    assert np.argwhere(read_field(tmp_path / "b.tif").values == 1).tolist() == [[6, 4, 3]]
    tifffile.imwrite(tmp_path / "c.tif", np.repeat(grey[..., None], 3, axis=-1), photometric="rgb")
    np.testing.assert_array_equal(read_field(tmp_path / "c.tif").values, field.values)


@pytest.mark.parametrize(
    "head",
    [
        {"order": "Big", "bits": 32, "compressor": "", "form": "binary", "text": PLAIN, "tail": ""},
        {"order": "Big", "bits": 32, "compressor": "", "form": "binary", "text": APART, "tail": ""},
        {"order": "Little", "bits": 64, "compressor": ZLIB, "form": "binary", "text": f"\n  {DEFLATED}\n", "tail": ""},
        {
            "order": "Little", "bits": 64, "compressor": "", "form": "appended", "text": "",
            "tail": f'<AppendedData encoding="base64">\n _{APPENDED}\n</AppendedData>',
        },
        {"order": "Little", "bits": 32, "compressor": "", "form": "ascii", "text": " ".join(map(str, WRITTEN_BY_VTK.ravel(order="F"))), "tail": ""},
    ],
    ids=["base64", "length apart", "zlib", "appended base64", "ascii"],
)  # fmt: skip
def test_files_written_by_vtk(tmp_path: Path, head: dict[str, Any]) -> None:
    (tmp_path / "a.vti").write_text(HEAD.format(**head))
    field = read_field(tmp_path / "a.vti")
    np.testing.assert_array_equal(field.values, WRITTEN_BY_VTK)
    assert field.dx == 0.5


@pytest.mark.parametrize("compressor", ["", ZLIB])
def test_raw_bytes_appended_to_the_file(tmp_path: Path, compressor: str) -> None:
    data = WRITTEN_BY_VTK.tobytes(order="F")
    packed = zlib.compress(data)
    numbers = np.array([1, 1 << 15, len(data), len(packed)] if compressor else [len(data)], "<u4").tobytes()
    head = {"order": "Little", "bits": 32, "compressor": compressor, "form": "appended", "text": "", "tail": "SPLIT"}
    before, after = HEAD.format(**head).split("SPLIT")
    body = b'<AppendedData encoding="raw">\n _' + numbers + (packed if compressor else data) + b"\n</AppendedData>"
    (tmp_path / "a.vti").write_bytes(before.encode() + body + after.encode())
    np.testing.assert_array_equal(read_vti(tmp_path / "a.vti")[0]["phi"], WRITTEN_BY_VTK)


@pytest.mark.parametrize(
    ("field", "kind"),
    [(FIELD, "Float64"), (FLAT.astype(np.float32), "Float32"), (np.tile(FIELD, (20, 20, 8)), "Float64")],
)
def test_vti_that_is_written_can_be_read(tmp_path: Path, field: np.ndarray, kind: str) -> None:
    """The last has several compressed blocks."""
    write_vti(tmp_path / "a.vti", {"a <b>": field}, 0.25)
    found, spacing = read_vti(tmp_path / "a.vti")
    np.testing.assert_array_equal(found["a <b>"], field)
    assert spacing == (0.25,) * field.ndim
    array = ElementTree.parse(tmp_path / "a.vti").find("ImageData/Piece/PointData/DataArray")
    assert array is not None
    assert array.get("type") == kind


def test_series_for_paraview(tmp_path: Path) -> None:
    write_pvd(tmp_path / "a.pvd", [0.0, 0.5], [tmp_path / "a" / "0.vti", tmp_path / "a" / "1.vti"])
    rows = ElementTree.parse(tmp_path / "a.pvd").findall("Collection/DataSet")
    assert [row.attrib for row in rows] == [
        {"timestep": "0.0", "file": "a/0.vti"},
        {"timestep": "0.5", "file": "a/1.vti"},
    ]


def half_a_vti(path: Path) -> None:
    write_vti(path, {"phi": FIELD}, 1.0)
    path.write_text(re.sub(r"(?<=>)([A-Za-z0-9+/=]{200})[A-Za-z0-9+/=]+", r"\1", path.read_text()))


def unequal_cells(path: Path) -> None:
    write_vti(path, {"phi": FIELD}, 1.0)
    path.write_text(path.read_text().replace('Spacing="1.0 1.0 1.0"', 'Spacing="1 1 2"'))


def two_simulations(path: Path) -> None:
    xr.Dataset({"phi": (("sim", "x", "y"), np.stack([FLAT, FLAT]))}).to_zarr(path, consolidated=False)


@pytest.mark.parametrize(
    ("name", "make", "options", "sentence"),
    [
        ("a.npy", lambda path: None, {}, "does not exist: give the path of a field"),
        (
            "a.txt",
            lambda path: path.write_text("1"),
            {},
            "has the unknown ending '.txt': give one of .npy, .npz, .zarr",
        ),
        ("a.npy", lambda path: path.touch(), {}, "a.npy is empty: write it anew"),
        ("a.npy", lambda path: path.write_text("hello"), {}, "is not a plain NumPy file of numbers"),
        ("a.npy", lambda path: np.save(path, FIELD[0, 0]), {}, "has the shape 4: give one 2-D or 3-D field"),
        (
            "a.npy",
            lambda path: np.save(path, FIELD[None]),
            {},
            "has the shape 1 x 6 x 5 x 4: give one 2-D or 3-D field",
        ),
        ("a.npy", lambda path: np.save(path, FIELD[:3]), {}, "at least 4 cells per side"),
        (
            "a.npy",
            lambda path: np.save(path, np.where(FIELD > 0.99, np.nan, FIELD)),
            {},
            "not finite (NaN or infinite): repair them",
        ),
        ("a.npy", lambda path: np.save(path, FIELD + 1j), {}, "holds complex128 values: give real numbers"),
        ("a.npy", lambda path: np.save(path, np.full((4, 4), 0.5)), {}, "is 0.5 everywhere, so nothing would evolve"),
        ("a.npy", lambda path: np.save(path, FIELD), {"sim": 0}, "--sim is for .zarr, not for a.npy"),
        ("a.npy", lambda path: np.save(path, FIELD), {"time": 1.0}, "--time is for .zarr, not for a.npy"),
        (
            "a.npz",
            lambda path: np.savez(path, a=FIELD, b=FIELD),
            {},
            "has several arrays: choose one with --variable (a, b)",
        ),
        (
            "a.npz",
            lambda path: np.savez(path, phi=FIELD),
            {"variable": "psi"},
            "unknown variable 'psi'; did you mean 'phi'?",
        ),
        ("a.zarr", lambda path: path.mkdir(), {}, "cannot be read as zarr"),
        ("a.zarr", two_simulations, {}, "holds 2 simulations: choose one with --sim 0 ... 1"),
        ("a.zarr", two_simulations, {"sim": 2}, "--sim is 2, but"),
        ("a.zarr", two_simulations, {"sim": 0, "time": 1.0}, "has no axis time: leave --time out"),
        ("a.tif", lambda path: path.write_text("hello"), {}, "cannot be read as tif, it may be damaged"),
        ("a.vti", lambda path: path.write_text("hello"), {}, "is not a VTK XML file"),
        (
            "a.vti",
            lambda path: path.write_text('<VTKFile type="PolyData"><PolyData/></VTKFile>'),
            {},
            "holds PolyData, not ImageData: resample it",
        ),
        ("a.vti", half_a_vti, {}, "cannot be read, it is cut short or of another version"),
        ("a.vti", unequal_cells, {}, "has cells of 1 x 1 x 2: resample the field"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, name: str, make: Callable[[Path], object], options: dict[str, Any], sentence: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        read_field(tmp_path / name, **options)
    assert "\n" not in str(caught.value)
