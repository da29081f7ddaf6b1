"""Zarr data sets: one writer and one reader for every simulated, predicted or evolved field.

Layout: a Zarr v3 group, dims `(sim[, time], x[, y[, z]])`, consolidated metadata, one shard per simulation, and a
small deterministic manifest `NAME.json` beside `NAME.zarr`. The writer builds `.NAME.zarr.HOST-PID.partial` and
renames it; an older store stays until then, and the manifest comes last, so a store whose manifest holds its digest
is whole. Pipeline code
reads with `open_dataset`, which refuses a store without its manifest; tools for a user's own fields read with
`xarray.open_zarr`.

Open a store with dask as `open_dataset(path, chunks=DASK_CHUNKS)`: one task per simulation.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from phasemill.core.errors import InputError
from phasemill.core.fields import open_group
from phasemill.core.files import canonical_json, read_json, write_json
from phasemill.core.provenance import Clock

FORMAT = "phasemill-dataset"
FORMAT_VERSION = 1
DASK_CHUNKS = {"sim": 1, "time": -1}
FRAMES_PER_CHUNK = 8  # of a two-dimensional field; a three-dimensional frame is a chunk of its own
SPACE = ("x", "y", "z")


class StoreError(InputError):
    """A data set that is missing, incomplete or foreign; the message says how to remake it."""


@dataclass(frozen=True)
class Variable:
    """A variable to be filled simulation by simulation: its dims (the first is `sim`), type and attributes."""

    dims: tuple[str, ...]
    units: str
    long_name: str
    dtype: str = "float32"
    attrs: Mapping[str, Any] = field(default_factory=dict)


def flags(values: Any, meanings: tuple[str, ...], dim: str, long_name: str, roles: Sequence[str] = ()) -> xr.DataArray:
    """A categorical coordinate as int8 with CF flag attributes (text coordinates warn in Zarr v3).

    Words are written with underscores: CF separates meanings by blanks.
    roles: what each of the meanings is to a reader of the summary: network, solver, trivial or check.
    """
    codes = np.array([meanings.index(value) for value in values], np.int8)
    attrs = {
        "long_name": long_name,
        "flag_values": list(range(len(meanings))),
        "flag_meanings": " ".join("_".join(words.split()) for words in meanings),
        **({"flag_roles": " ".join(roles)} if roles else {}),
    }
    return xr.DataArray(codes, dims=(dim,), attrs=attrs)


def meanings(coordinate: xr.DataArray) -> list[str]:
    """The words behind a coordinate made by `flags`."""
    words = coordinate.attrs["flag_meanings"].split()
    return [words[int(code)] for code in np.atleast_1d(coordinate.values)]


class Writer:
    """Fills the variables of a store under construction, one simulation at a time."""

    def __init__(self, group: zarr.Group, variables: Mapping[str, Variable]) -> None:
        self._group = group
        self._variables = variables
        self.digests: dict[str, dict[int, str]] = {name: {} for name in variables}
        self.provenance: dict[str, Any] = {}
        """Set by the job: commit, versions, times; stored in the group's attributes but not part of the digest."""

    def write(self, sim: int, **arrays: Any) -> None:
        """Store the whole of simulation `sim`: one array per variable, without the `sim` axis."""
        for name, values in arrays.items():
            with _all_chunks():
                target = self._group[name]
            assert isinstance(target, zarr.Array)
            block = np.asarray(values, dtype=self._variables[name].dtype, order="C")
            if block.shape != target.shape[1:]:
                raise ValueError(f"{name}: simulation {sim} has shape {block.shape}, expected {target.shape[1:]}")
            target[sim] = block
            self.digests[name][sim] = hashlib.sha256(block.tobytes()).hexdigest()


@contextmanager
def create(
    path: Path | str, coords: xr.Dataset, variables: Mapping[str, Variable], attrs: Mapping[str, Any]
) -> Iterator[Writer]:
    """Build a data set beside `path` and rename it, with its manifest, when the block ends without an error.

    Arguments
    ---------
    path: target ending in `.zarr`; the manifest is the same name ending in `.json`.
    coords: every dimension and coordinate, small and in memory.
    variables: what `Writer.write` will fill; each must be filled for every `sim`.
    attrs: deterministic group attributes (title, equation, scheme, stencil, ...); software versions are added.
    """
    path = Path(path)
    _refuse_other_content(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    host = socket.gethostname().replace(".", "-")  # writers on other nodes of a shared file system may be alive
    for stale in path.parent.glob(f".{path.name}.*.partial"):
        owner, _, process = stale.name.split(".")[-2].rpartition("-")
        if owner == host and process.isdecimal() and not psutil.pid_exists(int(process)):
            _remove(stale)
    partial, old, ready = (
        path.with_name(f".{path.name}.{word}{host}-{os.getpid()}.partial") for word in ("", "old.", "json.")
    )
    try:
        template = coords.assign(
            {
                name: xr.DataArray(
                    _blank([coords.sizes[dim] for dim in spec.dims], spec.dtype),
                    dims=spec.dims,
                    attrs={"units": spec.units, "long_name": spec.long_name, **spec.attrs},
                )
                for name, spec in variables.items()
            }
        )
        encoding = {name: _encoding(template[name]) for name in variables}
        with _all_chunks():
            template.drop_attrs(deep=False).to_zarr(
                partial, compute=False, encoding=encoding, zarr_format=3, consolidated=False
            )
        group = zarr.open_group(partial, mode="r+")
        writer = Writer(group, variables)
        yield writer
        for name, written in writer.digests.items():
            if missing := [sim for sim in range(coords.sizes["sim"]) if sim not in written]:
                raise ValueError(f"{path}: {name} was not written for simulations {missing}")
        manifest = _manifest(template, attrs, writer.digests) | _chunks(partial)
        head = {
            "Conventions": "CF-1.11",
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "digest": manifest["digest"],
        }
        group.attrs.update({**attrs, **head, **_flat(writer.provenance or Clock().record("write", {}))})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
            zarr.consolidate_metadata(partial)
        _flush(partial)
        write_json(ready, manifest)  # now, since renaming takes no space on a disk that is nearly full
        with _alone(path.parent):
            _publish(partial, path, old, ready)
    except OSError as error:  # a full disk says how, but not where
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, error.filename or str(path)) from error
    finally:  # also of a failure: what is there stays as it was, and a full disk gets its space back
        for left in (partial, ready, *([old] if path.exists() else [])):
            _remove(left)


def _all_chunks() -> AbstractContextManager[Any]:
    """Every chunk becomes a file, also one of zeros alone, so that a lost file can be told from an empty chunk."""
    setting: AbstractContextManager[Any] = zarr.config.set({"array.write_empty_chunks": True})
    return setting


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One writer at a time, so that a store and its manifest are of the same one; the lock ends with its process."""
    held = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _publish(partial: Path, path: Path, old: Path, ready: Path) -> None:
    """Put a new store and its manifest in the place of the old ones, which stay if that fails."""
    while True:
        with suppress(FileNotFoundError):
            os.replace(path, old)
        try:
            os.replace(partial, path)
            os.replace(ready, manifest_path(path))
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                with suppress(OSError):
                    os.replace(path, partial)  # where the manifest alone has failed
                with suppress(OSError):
                    os.replace(old, path)  # its manifest is still there
                raise
        _remove(old)  # another writer, on a file system without locks, has put its store there meanwhile


def _remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def open_dataset(path: Path | str, *, chunks: Mapping[str, int] | None = None) -> xr.Dataset:
    """Open a data set of the pipeline, lazily; with `chunks=DASK_CHUNKS` as dask arrays.

    Raises
    ------
    StoreError
        If the store is missing, has no manifest, or the two do not belong together.
    """
    path, manifest = Path(path), _manifest_of(Path(path))
    remedy = _remedy(path)
    try:
        dataset: xr.Dataset = xr.open_zarr(path, chunks=None)
    except Exception as error:  # whatever a broken store raises, the reader's user needs one sentence
        raise StoreError(f"{path} cannot be opened as Zarr ({type(error).__name__}: {error}); {remedy}") from error
    if dataset.attrs.get("digest") != manifest["digest"]:
        raise StoreError(f"{path} and {manifest_path(path).name} do not belong together; {remedy}")
    if {key: manifest.get(key) for key in ("chunk_files", "chunk_bytes")} != _chunks(path):
        raise StoreError(f"{path} is damaged: chunks are missing or cut short; {remedy}")
    return _chunked(dataset, chunks)


def open_any(path: Path | str, chunks: Mapping[str, int] | None = None) -> xr.Dataset:
    """Open any Zarr store, lazily; only a manifest that lies beside it is checked.

    Raises InputError, one sentence, for what is missing, damaged or no such store.
    """
    path = Path(path)
    if manifest_path(path).is_file():
        return open_dataset(path, chunks=chunks)
    if not path.exists():
        raise InputError(f"{path} does not exist: give the .zarr that phasemill evolve or simulate wrote")
    try:
        dataset: xr.Dataset = open_group(path)
    except Exception as error:  # whatever zarr and xarray raise about a foreign or broken folder
        raise InputError(f"{path} is no Zarr store: give the .zarr that phasemill evolve or simulate wrote") from error
    if not dataset.data_vars:
        raise InputError(f"{path} holds no arrays: its writer did not finish, or it is no data set; make it anew")
    return _chunked(dataset, chunks)


def _chunked(dataset: xr.Dataset, chunks: Mapping[str, int] | None) -> xr.Dataset:
    return dataset if chunks is None else dataset.chunk({d: n for d, n in chunks.items() if d in dataset.dims})


def manifest_path(path: Path | str) -> Path:
    """`NAME.json` beside `NAME.zarr`."""
    return Path(path).with_suffix(".json")


def digest(path: Path | str) -> str:
    """Content digest of a data set, from its manifest; raises StoreError where there is none."""
    return str(_manifest_of(Path(path))["digest"])


def _manifest_of(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise StoreError(f"{path} does not exist; make it with: snakemake -c all -- {path}")
    if not manifest_path(path).is_file():
        raise StoreError(
            f"{path} has no manifest {manifest_path(path).name}, so it may be half-written; {_remedy(path)}"
        )
    try:
        manifest = read_json(manifest_path(path))
        if manifest["format"] == FORMAT and isinstance(manifest["digest"], str):
            return dict(manifest)
    except (ValueError, KeyError, TypeError):
        pass
    raise StoreError(f"{manifest_path(path)} is not a manifest of {FORMAT}; {_remedy(path)}")


def _remedy(path: Path) -> str:
    return f"remake it with: snakemake -c all --force -- {path}"


def _refuse_other_content(path: Path) -> None:
    """A mistyped target must not cost anybody's files: only a data set is ever replaced."""
    if path.suffix != ".zarr":
        raise StoreError(f"a data set's name ends in .zarr, unlike {path}")
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() and not (path / "zarr.json").is_file():
        raise StoreError(f"{path} exists and is not a Zarr data set; move it away or choose another name")


def _chunks(path: Path) -> dict[str, int]:
    """Number and size of the files that hold the arrays; the size is deterministic, as the codec is."""
    sizes = [file.stat().st_size for file in path.rglob("c/**/*") if file.is_file()]
    sizes += [file.stat().st_size for file in path.glob("*/c") if file.is_file()]  # of a scalar
    return {"chunk_files": len(sizes), "chunk_bytes": sum(sizes)}


def _flush(path: Path) -> None:
    """Bring all files to disk, so that after a power cut no manifest vouches for lost chunks."""
    for file in path.rglob("*"):
        if file.is_file():
            with open(file, "rb") as stream:
                os.fsync(stream.fileno())


def _flat(facts: Mapping[str, Any]) -> dict[str, str | float | int]:
    """Attributes that NetCDF can hold as well: numbers and text."""

    def plain(value: Any) -> str | float | int:
        if isinstance(value, Mapping):
            return "; ".join(f"{key} {item}" for key, item in value.items())
        return int(value) if isinstance(value, bool) else value if isinstance(value, str | float | int) else str(value)

    return {f"provenance_{key}": plain(value) for key, value in facts.items() if value is not None}


def provenance(dataset: xr.Dataset) -> dict[str, Any]:
    """The provenance entry that the writer left in the attributes."""
    prefix = "provenance_"
    found = {
        str(key).removeprefix(prefix): value for key, value in dataset.attrs.items() if str(key).startswith(prefix)
    }
    if "versions" in found:
        found["versions"] = dict(item.split(" ", 1) for item in found["versions"].split("; "))
    if "git_dirty" in found:
        found["git_dirty"] = bool(found["git_dirty"])
    return found


def _blank(shape: list[int], dtype: str) -> Any:
    """A lazy array that takes no memory: only its shape and type reach the store."""
    import dask.array  # half a second, which jobs that only read need not wait for

    return dask.array.zeros(shape, dtype=dtype, chunks=-1)


def _encoding(array: xr.DataArray) -> dict[str, Any]:
    """Chunks of one 3-D frame, a few 2-D ones or all 1-D ones; a simulation is one shard, written in one go."""
    checksum = Crc32cCodec()  # a bit that flips on disk must not become another number
    if not set(array.dims) & set(SPACE):
        return {"chunks": array.shape, "compressors": (ZstdCodec(), checksum)}  # diagnostics: small, one file
    spatial = sum(dim in SPACE for dim in array.dims)
    chunks, shards = [], []
    for dim, length in zip(array.dims, array.shape, strict=True):
        frames = min(length, {1: length, 2: FRAMES_PER_CHUNK}.get(spatial, 1))
        chunk = length if dim in SPACE else frames if dim == "time" else 1
        chunks.append(chunk)
        shards.append(1 if dim == "sim" else -(-length // chunk) * chunk)
    compressor = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
    return {"chunks": tuple(chunks), "shards": tuple(shards), "compressors": (compressor, checksum)}


def _manifest(
    template: xr.Dataset, attrs: Mapping[str, Any], digests: Mapping[str, Mapping[int, str]]
) -> dict[str, Any]:
    """What the data are, without times and hosts: identical data give an identical manifest."""
    coords = {
        str(name): hashlib.sha256(np.ascontiguousarray(coordinate.values).tobytes()).hexdigest()
        for name, coordinate in template.coords.items()
    }
    variables = {
        name: {
            "dims": list(template[name].dims),
            "shape": list(template[name].shape),
            "dtype": str(template[name].dtype),
            "digest": hashlib.sha256("".join(written[sim] for sim in sorted(written)).encode()).hexdigest(),
        }
        for name, written in digests.items()
    }
    content = {"variables": variables, "coords": coords, "attrs": dict(attrs)}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "digest": hashlib.sha256(canonical_json(content).encode()).hexdigest(),
        **content,
    }
