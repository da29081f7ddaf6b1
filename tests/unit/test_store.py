"""The data contract: what a store looks like, and that nothing half-written or foreign is ever read."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr

from phasemill.core import files, store

SIMS, FRAMES, SIZE = 3, 11, 8


def coords() -> xr.Dataset:
    time = xr.DataArray(np.arange(FRAMES) * 0.5, dims="time", attrs={"units": "1", "long_name": "time"})
    x = xr.DataArray(np.arange(SIZE) * 1.0, dims="x", attrs={"units": "1", "long_name": "x"})
    data = xr.Dataset(coords={"sim": np.arange(SIMS), "time": time, "x": x, "y": x.rename(x="y")})
    return data.assign_coords(split=store.flags(["train", "test", "test"], ("train", "test"), "sim", "split"))


VARIABLES = {
    "phi": store.Variable(("sim", "time", "x", "y"), "1", "field"),
    "energy": store.Variable(("sim", "time"), "1", "energy", dtype="float64"),
}


def make(path, seed=0, attrs=None, sims=range(SIMS)):
    rng = np.random.default_rng(seed)
    with store.create(path, coords(), VARIABLES, {"title": "sample", **(attrs or {})}) as writer:
        for sim in sims:
            writer.write(sim, phi=rng.random((FRAMES, SIZE, SIZE)), energy=rng.random(FRAMES))
    return path


def test_round_trip(tmp_path):
    opened = store.open_dataset(make(tmp_path / "a.zarr"))
    phi = np.random.default_rng(0).random((FRAMES, SIZE, SIZE)).astype(np.float32)
    np.testing.assert_array_equal(opened.phi.isel(sim=0), phi)
    assert opened.phi.dims == ("sim", "time", "x", "y")
    assert (opened.phi.dtype, opened.energy.dtype) == (np.float32, np.float64)
    assert opened.phi.attrs["units"] == "1"
    assert store.meanings(opened.split) == ["train", "test", "test"]
    assert opened.attrs["title"] == "sample"
    assert store.provenance(opened)["versions"]["numpy"] == np.__version__


def test_opens_without_a_warning(tmp_path):
    path = make(tmp_path / "a.zarr")
    (path / ".snakemake_timestamp").touch()  # Snakemake leaves this in every directory output
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import xarray as xr; print(xr.open_zarr({str(path)!r}))"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_one_shard_per_simulation(tmp_path):
    path = make(tmp_path / "a.zarr")
    files = [file for file in (path / "phi" / "c").rglob("*") if file.is_file()]
    assert len(files) == SIMS
    array = json.loads((path / "phi" / "zarr.json").read_text())
    assert array["chunk_grid"]["configuration"]["chunk_shape"] == [1, 16, SIZE, SIZE]  # 11 frames in chunks of 8


def test_dask_gives_one_task_per_simulation(tmp_path):
    path = make(tmp_path / "a.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lazy = store.open_dataset(path, chunks=store.DASK_CHUNKS)
    assert lazy.phi.data.numblocks == (SIMS, 1, 1, 1)


def test_same_data_same_manifest_and_other_data_another(tmp_path):
    first, again, other = (make(tmp_path / name, seed) for name, seed in [("a.zarr", 0), ("b.zarr", 0), ("c.zarr", 1)])
    assert store.manifest_path(first).read_bytes() == store.manifest_path(again).read_bytes()
    assert store.digest(first) != store.digest(other)
    assert store.digest(make(tmp_path / "d.zarr", 0, {"dx": 2.0})) != store.digest(first)


def test_a_failed_writer_leaves_the_target_unmade_and_a_rerun_completes(tmp_path):
    path = tmp_path / "a.zarr"
    with pytest.raises(ValueError, match="has shape"), store.create(path, coords(), VARIABLES, {}) as writer:
        writer.write(0, phi=np.zeros((FRAMES, SIZE, SIZE + 1)), energy=np.zeros(FRAMES))
    assert not path.exists()
    assert not store.manifest_path(path).exists()
    store.open_dataset(make(path))
    assert not list(tmp_path.glob(".*.partial"))


def test_a_simulation_left_out_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"phi was not written for simulations \[2\]"):
        make(tmp_path / "a.zarr", sims=range(2))


def damage_manifest(path):
    store.manifest_path(path).unlink()


def damage_json(path):
    store.manifest_path(path).write_text("{")


def foreign_manifest(path):
    shutil.copy(store.manifest_path(make(path.with_name("other.zarr"), seed=9)), store.manifest_path(path))


def lose_a_chunk(path):
    next(file for file in (path / "phi" / "c").rglob("*") if file.is_file()).unlink()


def cut_a_chunk(path):
    file = next(file for file in (path / "phi" / "c").rglob("*") if file.is_file())
    file.write_bytes(file.read_bytes()[:-9])


def damage_group(path):
    (path / "zarr.json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damage_manifest, "has no manifest a.json, so it may be half-written"),
        (damage_json, "is not a manifest of phasemill-dataset"),
        (foreign_manifest, "do not belong together"),
        (damage_group, "cannot be opened as Zarr"),
        (lose_a_chunk, "is damaged: chunks are missing or cut short"),
        (cut_a_chunk, "is damaged: chunks are missing or cut short"),
        (shutil.rmtree, "does not exist; make it with: snakemake"),
    ],
)
def test_refuses_what_is_not_whole(tmp_path, harm, message):
    path = make(tmp_path / "a.zarr")
    harm(path)
    with pytest.raises(store.StoreError, match=message) as caught:
        store.open_dataset(path)
    assert "\n" not in str(caught.value).split("(")[0]


@pytest.mark.parametrize("name", ["thesis", "thesis.zarr", "thesis.json"])
def test_only_a_data_set_is_ever_replaced(tmp_path, name):
    path = tmp_path / name
    path.mkdir()
    (path / "chapter.txt").write_text("years of work")
    with pytest.raises(store.StoreError, match=r"ends in \.zarr|exists and is not a Zarr data set"):
        make(path)
    assert (path / "chapter.txt").exists()


def test_a_data_set_is_replaced_as_a_whole(tmp_path):
    path = make(make(tmp_path / "a.zarr", seed=1), seed=2)
    assert store.digest(path) == store.digest(make(tmp_path / "b.zarr", seed=2))


def test_chunks_of_zeros_are_files_too(tmp_path):
    with store.create(tmp_path / "a.zarr", coords(), VARIABLES, {}) as writer:
        for sim in range(SIMS):
            writer.write(sim, phi=np.zeros((FRAMES, SIZE, SIZE)), energy=np.zeros(FRAMES))
    assert store.read_json(tmp_path / "a.json")["chunk_files"] >= SIMS + 1
    assert float(store.open_dataset(tmp_path / "a.zarr").phi.max()) == 0.0


def test_a_store_without_time_takes_the_documented_chunks(tmp_path):
    space = {"u": store.Variable(("sim", "x", "y"), "1", "solution")}
    with store.create(tmp_path / "a.zarr", coords().drop_dims("time"), space, {}) as writer:
        for sim in range(SIMS):
            writer.write(sim, u=np.ones((SIZE, SIZE)))
    assert store.open_dataset(tmp_path / "a.zarr", chunks=store.DASK_CHUNKS).u.data.numblocks == (SIMS, 1, 1)


def test_provenance_survives_the_attributes(tmp_path):
    facts = {"git_commit": "ab12", "git_dirty": False, "slurm_job": None, "seconds": 1.5, "versions": {"numpy": "2"}}
    with store.create(tmp_path / "a.zarr", coords(), VARIABLES, {}) as writer:
        for sim in range(SIMS):
            writer.write(sim, phi=np.ones((FRAMES, SIZE, SIZE)), energy=np.zeros(FRAMES))
        writer.provenance = facts
    read = store.provenance(store.open_dataset(tmp_path / "a.zarr"))
    assert read == {key: value for key, value in facts.items() if value is not None}


@pytest.mark.parametrize("target", ["a.zarr", "a.json"])
def test_a_rename_that_fails_leaves_the_old_store_and_its_manifest(tmp_path, monkeypatch, target):
    path, real, failed = make(tmp_path / "a.zarr", seed=1), os.replace, []
    before = store.digest(path)

    def replace(source, to):
        if to == tmp_path / target and not failed:
            failed.append(True)
            raise OSError(errno.EIO, "Input/output error")
        real(source, to)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="Input/output error"):
        make(path, seed=2)
    assert failed
    assert store.open_dataset(path).attrs["digest"] == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.json", "a.zarr"]


def test_partial_stores_of_other_nodes_and_of_living_writers_stay(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    own = socket.gethostname().replace(".", "-")
    names = [f".a.zarr.other-node-{ended.pid}.partial", f".a.zarr.{own}-{os.getppid()}.partial"]
    for name in [*names, f".a.zarr.{own}-{ended.pid}.partial", f".a.zarr.old.{own}-{ended.pid}.partial"]:
        (tmp_path / name).mkdir()
    make(tmp_path / "a.zarr")
    assert sorted(file.name for file in tmp_path.glob(".*")) == sorted(names)


def test_a_writer_leaves_the_settings_of_its_process_alone(tmp_path):
    with zarr.config.set({"array.write_empty_chunks": False}):
        with store.create(tmp_path / "a.zarr", coords().isel(sim=[0]), VARIABLES, {}) as writer:
            assert not zarr.config.get("array.write_empty_chunks")
            writer.write(0, phi=np.zeros((FRAMES, SIZE, SIZE)), energy=np.zeros(FRAMES))
        assert not zarr.config.get("array.write_empty_chunks")
    for name in ("phi", "sim"):  # of zeros alone
        assert len([file for file in (tmp_path / "a.zarr" / name / "c").rglob("*") if file.is_file()]) == 1


def test_an_error_without_a_number_keeps_its_words(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("the tape is torn")

    with (
        pytest.raises(OSError, match=r"^the tape is torn$"),
        store.create(tmp_path / "a.zarr", coords(), VARIABLES, {}),
    ):
        fail()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"^the tape is torn$"):
        files.write_text(tmp_path / "a.txt", "words")
    assert list(tmp_path.iterdir()) == []
