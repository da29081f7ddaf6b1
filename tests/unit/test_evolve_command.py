"""`phasemill evolve`: what it writes and says, going on after a kill, one sentence per bad input."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import xarray as xr

from phasemill import spinodal
from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.core.files import write_bytes
from phasemill.core.model_files import save_model
from phasemill.spinodal import resume
from phasemill.spinodal.command import evolve_file
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.network import ConvGRU
from phasemill.spinodal.solver import Scheme
from tests.conftest import ROOT

MIXTURE = perlin_mixture(np.random.default_rng(0), (16, 16, 16))
FLAT = perlin_mixture(np.random.default_rng(1), (24, 16))


def made(folder: Path, name: str = "a.npy", array: np.ndarray = MIXTURE) -> Path:
    np.save(folder / name, array)
    return folder / name


@pytest.fixture(scope="module")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the command has written."""
    folder = tmp_path_factory.mktemp("evolve")
    evolve_file(made(folder), folder / "out.zarr", until=1.0, every=0.25)
    return folder / "out.zarr"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network, untrained."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    switches = {"inputs": "features", "output": "staggered", "channels": 4}
    medium = {"eps": 3.0, "dx": 1.0, "mobility": 1.0, "factor": 2}
    facts = {"kind": "recurrent", "network": switches, "medium": medium, "interval": 0.5, "downscale": "nearest"}
    save_model(path, ConvGRU(**switches), {**facts, "mean_range": [0.3, 0.7], "box": 16})
    return path


def test_the_command_writes_a_store_of_the_data_contract(tmp_path: Path) -> None:
    made(tmp_path)
    words = ["evolve", "a.npy", "--system", "spinodal", "--until", "0.5", "--every", "0.25", "-o", "out.zarr"]
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin", "COLUMNS": "100"}
    run = subprocess.run(
        [sys.executable, "-m", "phasemill", *words], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[0] == "out.zarr: 3 frames of 16 x 16 x 16 cells to t = 0.5"
    assert run.stdout.splitlines()[-1].strip() == "look at it: phasemill view out.zarr"
    assert "Traceback" not in run.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "out.json", "out.zarr"]
    dataset = store.open_dataset(tmp_path / "out.zarr")
    assert dataset.phi.dims == ("sim", "time", "x", "y", "z")
    assert {str(name): str(array.dtype) for name, array in dataset.data_vars.items()} == {
        "phi": "float32", "energy": "float64", "mean": "float64", "interface_area": "float64",
    }  # fmt: skip
    assert all({"units", "long_name"} <= set(array.attrs) for array in dataset.variables.values())
    wanted = (
        "title",
        "equation",
        "scheme",
        "stencil",
        "eps_over_dx",
        "save_interval",
        "seed_rule",
        "dtype",
        "references",
    )
    assert set(wanted) <= set(dataset.attrs)
    assert dataset.attrs["warnings"] == "none"
    assert store.provenance(dataset)["stage"] == "evolve a.npy"


def test_python_and_the_command_agree(evolved: Path) -> None:
    stored = xr.open_zarr(evolved, chunks=None).isel(sim=0, drop=True)
    inside = spinodal.evolve(MIXTURE, until=1.0, every=0.25)
    assert inside.phi.dims == ("time", "x", "y", "z")
    xr.testing.assert_equal(inside, stored)
    assert set(inside.attrs) <= set(stored.attrs)


@pytest.mark.parametrize("solver", get_args(Scheme))
def test_a_run_that_was_stopped_goes_on_bit_equal(
    tmp_path: Path, solver: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = made(tmp_path, array=FLAT)
    choices: dict[str, Any] = {"solver": solver, "until": 1.0, "every": 0.25}
    evolve_file(source, tmp_path / "whole.zarr", **choices)
    written: list[Path] = []

    def writing(path: Path, content: bytes) -> Path:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        return write_bytes(path, content)

    monkeypatch.setattr(resume, "write_bytes", writing)
    with pytest.raises(KeyboardInterrupt):
        evolve_file(source, tmp_path / "out.zarr", **choices)
    assert {path.name for path in tmp_path.iterdir()} == {".out.resume", "a.npy", "whole.json", "whole.zarr"}
    assert sorted(path.name for path in tmp_path.glob(".out.resume/*/*")) == [f"frame-0000{n}.npz" for n in range(3)]
    written.clear()
    caplog.set_level("INFO")
    evolve_file(source, tmp_path / "out.zarr", **choices)
    assert [path.name for path in written] == ["frame-00003.npz", "frame-00004.npz"]
    assert re.search(r"goes on from .*, t = 0\.5", caplog.text)
    assert not (tmp_path / ".out.resume").exists()
    assert store.digest(tmp_path / "out.zarr") == store.digest(tmp_path / "whole.zarr")


@pytest.mark.parametrize("solver", ["euler", "spectral"])
@pytest.mark.parametrize("boundary", ["periodic", "noflux"])
def test_every_solver_and_boundary_agree(solver: Any, boundary: Any) -> None:
    one = spinodal.evolve(FLAT, until=2.0, every=1.0, solver=solver, boundary=boundary)
    two = spinodal.evolve(FLAT, until=2.0, every=1.0, boundary=boundary)
    assert float(np.sqrt(((one.phi - two.phi) ** 2).mean())) < 1e-3
    assert float(np.sqrt(((two.phi[-1] - two.phi[0]) ** 2).mean())) > 0.1
    assert one.attrs["boundary"] == boundary


@pytest.mark.parametrize(
    ("until", "every", "times"),
    [
        (1.0, 0.25, [0, 0.25, 0.5, 0.75, 1.0]),
        (1.0, 0.4, [0, 0.4, 0.8, 1.0]),
        (0.3, 0.1, [0, 0.1, 0.2, 0.3]),
        (0.1, None, np.linspace(0, 0.1, 51)),
    ],
)
def test_frames_lie_at_multiples_of_every_and_at_the_end(until: float, every: float | None, times: Any) -> None:
    np.testing.assert_allclose(spinodal.evolve(FLAT, until=until, every=every).time, times)


def test_the_size_of_a_cell_and_eps_follow_the_file(tmp_path: Path) -> None:
    evolve_file(made(tmp_path, array=FLAT), tmp_path / "one.zarr", until=0.2, every=0.1, dx=0.5)
    first = xr.open_zarr(tmp_path / "one.zarr", chunks=None)
    assert (first.attrs["dx"], first.attrs["eps"], float(first.x[1] - first.x[0])) == (0.5, 1.5, 0.5)
    evolve_file(tmp_path / "one.zarr", tmp_path / "two.zarr", until=0.2, every=0.1)
    second = xr.open_zarr(tmp_path / "two.zarr", chunks=None)
    assert second.attrs["dx"] == 0.5
    np.testing.assert_array_equal(second.phi[0, 0], first.phi[0, -1])
    assert "the frame at t = 0.2 of" in second.attrs["warnings"]


@pytest.mark.parametrize(
    ("field", "options", "sentence"),
    [
        (np.interp(FLAT, (FLAT.min(), FLAT.max()), (-0.1, 1.1)), {}, "beyond the phases 0 and 1"),
        (FLAT, {"eps": 1.5}, "interfaces so thin are pinned by the grid"),
        (FLAT, {"eps": 8.0}, "interfaces hardly fit"),
        (0.9 + 0.01 * FLAT, {}, "it will level out, not demix"),
        (np.round(9 * FLAT).astype(int), {}, "are stretched to 0 ... 1"),
    ],
)
def test_doubtful_input_is_evolved_with_a_warning(
    field: np.ndarray, options: dict[str, Any], sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = spinodal.evolve(field, until=0.1, every=0.1, **options)
    assert sentence in result.attrs["warnings"]
    assert sentence in caplog.text


BAD: list[tuple[np.ndarray, dict[str, Any], str]] = [
    (np.where(FLAT.mean() < FLAT, np.nan, FLAT), {}, "not finite"),
    (FLAT[0], {}, "give one 2-D or 3-D field"),
    (2 * FLAT - 1, {}, "it is a concentration with the phases 0 and 1: use (1 + phi) / 2"),
    (100 * FLAT, {}, "it is a concentration with the phases 0 and 1: rescale it"),
    (FLAT, {"until": 0.0}, "until is 0: give the time to reach"),
    (FLAT, {"until": float("nan")}, "until is nan: give the time to reach"),
    (FLAT, {"every": 2.0}, "every is 2: give a time between frames above 0 and at most until, 1"),
    (FLAT, {"every": -1.0}, "every is -1"),
    (FLAT, {"every": 1e-9}, "frames, above 100000"),
    *(
        (FLAT, {"tolerance": tolerance}, "give 1e-12 to 0.1, or leave it out for 0.0001")
        for tolerance in (0.0, float("nan"), 1e-30, 1.0)
    ),
    (FLAT, {"dt": 0.1}, "dt is for the solver euler or spectral, not for rkl2"),
    (FLAT, {"solver": "euler", "dt": 0.1}, "explicit Euler is stable for 0 < dt <="),
    (FLAT, {"solver": "spectral", "dt": 5.0}, "dt is 5: the spectral scheme is too inaccurate above 0.39 here"),
    (FLAT, {"solver": "spectral", "dt": -1.0}, "dt is -1: it must be positive"),
    (FLAT, {"solver": "rk4"}, "unknown solver 'rk4'"),
    (FLAT, {"boundary": "open"}, "boundary 'open' is unknown"),
    (FLAT, {"dx": 0.0}, "dx is 0.0: it must be finite and positive"),
    (FLAT, {"eps": -1.0}, "eps is -1.0: it must be finite and positive"),
    (FLAT, {"mobility": 0.0}, "mobility is 0.0: it must be finite and positive"),
    (FLAT, {"model": "raw"}, "model is for the solver network, not for rkl2"),
    (MIXTURE, {"solver": "network", "model": "none"}, "unknown model 'none'"),
    (MIXTURE, {"solver": "network", "model": "none.safetensors"}, "none.safetensors does not exist"),
    (
        MIXTURE,
        {"solver": "network", "model": "WEIGHTS", "boundary": "noflux"},
        "the network knows periodic boxes alone",
    ),
    (FLAT, {"solver": "network", "model": "WEIGHTS"}, "trained on 3-D boxes, and this field is 2-D"),
    (MIXTURE, {"solver": "network", "model": "WEIGHTS", "until": 0.2}, "one step of the network is 0.5"),
    (MIXTURE, {"solver": "network", "model": "WEIGHTS", "eps": 4.3}, "cannot be resampled to the network's cells"),
]


@pytest.mark.parametrize(("field", "options", "sentence"), BAD)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    tmp_path: Path, weights: Path, field: np.ndarray, options: dict[str, Any], sentence: str
) -> None:
    source = made(tmp_path, array=field)
    options = {"until": 1.0, **options}
    options |= {"model": str(weights)} if options.get("model") == "WEIGHTS" else {}
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        evolve_file(source, tmp_path / "out.zarr", **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "foreign.safetensors", torch.nn.Linear(2, 2), {"kind": "other"})
    with pytest.raises(InputError, match="holds no network of the spinodal wing"):
        spinodal.evolve(MIXTURE, until=1.0, solver="network", model=tmp_path / "foreign.safetensors")


@pytest.mark.parametrize(
    ("output", "before", "sentence"),
    [
        ("out.npy", lambda folder: None, "must end in .zarr"),
        ("a.zarr", lambda folder: None, "a.zarr is the input: give another name"),
        ("out.zarr", lambda folder: (folder / "out.zarr").touch(), "out.zarr exists and is no result of evolve"),
        (
            "b.zarr",
            lambda folder: shutil.copytree(folder / "a.zarr", folder / "b.zarr"),
            "b.zarr exists and is no result of evolve: move it away",
        ),
        ("a/out.zarr", lambda folder: (folder / "a").touch(), "a is no folder that you can write to"),
        ("out.zarr", lambda folder: (folder / "out.json").write_text("{}"), "the manifest of out.zarr goes there"),
    ],
)
def test_the_output_never_replaces_anything_else(
    tmp_path: Path, output: str, before: Callable[[Path], object], sentence: str
) -> None:
    xr.Dataset({"phi": (("x", "y"), FLAT)}).to_zarr(tmp_path / "a.zarr", consolidated=False)
    before(tmp_path)
    found = set(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=re.escape(sentence)):
        evolve_file(tmp_path / "a.zarr", tmp_path / output, until=1.0)
    assert set(tmp_path.rglob("*")) == found


def test_an_older_result_is_replaced_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    source, output = made(tmp_path, array=FLAT), tmp_path / "out.zarr"
    evolve_file(source, output, until=0.1, every=0.1)
    assert "replaced" not in caplog.text
    store.manifest_path(output).unlink()  # as a kill between the two may leave it
    evolve_file(source, output, until=0.2, every=0.1)
    assert "out.zarr is replaced once the new result is complete" in caplog.text
    assert store.open_dataset(output).sizes["time"] == 3


def test_a_field_that_grows_without_bound_leaves_no_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phasemill.spinodal.solver.kernels.error_norm", lambda *words: np.inf)
    with pytest.raises(InputError, match="the field grew without bound"):
        evolve_file(made(tmp_path), tmp_path / "out.zarr", until=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_more_frames_than_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000})())
    with pytest.raises(InputError, match="51 frames of 24 x 16 cells need"):
        spinodal.evolve(FLAT, until=1.0)


def test_importing_the_wing_is_light() -> None:
    program = "import sys; from phasemill import spinodal; print({'numba', 'torch', 'xarray'} & set(sys.modules), dir(spinodal))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert run.stdout.startswith("set()")
    assert "['evolve', 'load_model']" in run.stdout
