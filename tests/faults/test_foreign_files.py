"""Files that are cut short, foreign or malicious, handed to the commands that read them: one sentence, exit code 1."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from phasemill.core import store
from phasemill.core.errors import InputError
from phasemill.core.model_files import read_card
from tests.faults.conftest import DATA, GRAINS, spec


class Trap:
    """A pickle that makes a folder when it is read without care."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("trap",))


# ---- kinds of damage: of any file, and of each kind of files


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def noise(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def malicious(path: Path) -> None:
    path.write_bytes(pickle.dumps(Trap()))


def other_json(path: Path) -> None:
    path.write_text('{"format": "other", "digest": 1}')


def a_number(path: Path) -> None:
    path.write_text("7")


def other_model(path: Path) -> None:
    save_file({"weight": np.ones(3, np.float32)}, path, {"card": json.dumps({"kind": "other"})})


def no_card(path: Path) -> None:
    save_file(load_file(path), path)


def odd_card(path: Path) -> None:
    save_file(load_file(path), path, {"card": "[1, 2]"})


def fewer_tensors(path: Path) -> None:
    with safe_open(path, "np") as stream:
        card = stream.metadata()
    save_file(dict(list(load_file(path).items())[1:]), path, card)


def other_shapes(path: Path) -> None:
    with safe_open(path, "np") as stream:
        card = stream.metadata()
    save_file({name: np.ones(5, np.float32) for name in load_file(path)}, path, card)


def other_table(path: Path) -> None:
    path.write_text("a,b\n1,2\n")


ANY = [cut, empty, noise, folder, malicious]
JSON = [*ANY, other_json, a_number]
MODEL = [*ANY, other_model, no_card, odd_card]
COMMANDS: list[tuple[list[str], str, list[Callable[[Path], None]]]] = [
    (["gate", f"{GRAINS}/march.safetensors", "--output", "out.json"], f"{GRAINS}/march.safetensors", MODEL),
    (
        ["train", "grain_shrink_64_narrow_stepper", "--spec", spec("grain_shrink_64_narrow_stepper"), "--data", DATA,
         "--checkpoints", "checkpoints", "--history", "out.csv", "--output", "out.safetensors",
         "--start", f"{GRAINS}/march.safetensors"],
        f"{GRAINS}/march.safetensors", [*MODEL, fewer_tensors, other_shapes],
    ),
    (
        ["evaluate", "grain_shrink_64_narrow", "--spec", spec("grain_shrink_64_narrow"), "--data", DATA, "--output", "out",
         "--models", f"{GRAINS}/march.safetensors", "--models", f"{GRAINS}/stepper.safetensors", "--scale", "smoke"],
        f"{GRAINS}/stepper.safetensors", [*MODEL, fewer_tensors, other_shapes],
    ),
    (["draw", "grain_shrink_64_narrow", GRAINS, "--output", "out.json"], f"{GRAINS}/metrics.json", JSON),
    (["report", GRAINS], f"{GRAINS}/metrics.json", JSON),
    (["report", GRAINS], f"{GRAINS}/provenance.json", JSON),
    (["report", GRAINS], f"{GRAINS}/figures.json", JSON),
    (["report", GRAINS], f"{GRAINS}/claims.csv", [*ANY, other_table]),
    (["index", GRAINS, "--output", "out.html", "--scale", "smoke"], f"{GRAINS}/metrics.json", JSON),
    (["index", GRAINS, "--output", "out.html", "--scale", "smoke"], f"{GRAINS}/claims.csv", [*ANY, other_table]),
    (["record", GRAINS, "-o", "grain_shrink_64_narrow_1.json"], f"{GRAINS}/metrics.json", JSON),
    (["record", GRAINS, "-o", "grain_shrink_64_narrow_1.json"], f"{GRAINS}/provenance.json", JSON),
    (["statistics", "--data", DATA, "--output", "out.json"], DATA.replace(".zarr", ".json"), JSON),
    (["view", DATA, "-o", "out.html"], f"{DATA}/zarr.json", ANY),
    (["recover", DATA, "--output", "out"], f"{DATA}/zarr.json", ANY),
    (["evolve", DATA, "--until", "1", "-o", "out.zarr"], f"{DATA}/zarr.json", ANY),
]  # fmt: skip
CASES = [(words, path, damage) for words, path, kinds in COMMANDS for damage in kinds]


def one_sentence(code: int, said: str, *names: str) -> None:
    """A refusal that names a file, in one line that a person reads."""
    assert code == 1, said
    assert said.startswith("phasemill: ")
    assert any(name in said for name in names), said
    assert len(said.strip().splitlines()) == 1, said
    assert len(said) < 800
    assert not Path("trap").exists()


@pytest.mark.parametrize(
    ("words", "path", "damage"), CASES, ids=[f"{w[0]}-{Path(p).name}-{d.__name__}" for w, p, d in CASES]
)
def test_a_damaged_file_is_named_in_one_sentence(run, command, monkeypatch, words, path, damage):
    monkeypatch.chdir(run)
    damage(run / path)
    before = sorted(run.rglob("*"))
    code, said = command(*words)
    if damage is cut and code == 0:
        assert path.endswith("claims.csv"), "only a table can be cut short and stay a table"
        return
    one_sentence(code, said, path, Path(path).parent.name, GRAINS)
    made = {str(file.relative_to(run)) for file in sorted(run.rglob("*")) if file not in before}
    assert [name for name in made if not name.startswith(("checkpoints", "out.csv", "here"))] == []


# ---- videos and fields of one's own, whole stores, and checkpoints

FRAMES = np.random.default_rng(0).random((9, 20, 18)).astype(np.float32)


def npy_objects(path: Path) -> None:
    np.save(path, np.array([Trap()], dtype=object), allow_pickle=True)


def npz_objects(path: Path) -> None:
    np.savez(path, phi=np.array([Trap()], dtype=object))


def cut_npy(path: Path) -> None:
    np.save(path, FRAMES)
    cut(path)


def cut_npz(path: Path) -> None:
    np.savez(path, phi=FRAMES)
    cut(path)


def cut_inside_npz(path: Path) -> None:
    np.savez(path, phi=FRAMES)
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        new.writestr("phi.npy", old.read("phi.npy")[:-4000])
    path.write_bytes(buffer.getvalue())


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Trap()))


def cut_tif(path: Path) -> None:
    tifffile.imwrite(path, (255 * FRAMES).astype(np.uint8))
    cut(path)


OWN = [
    ("a.npy", npy_objects), ("a.npy", pickled), ("a.npy", cut_npy),
    ("a.npz", npz_objects), ("a.npz", pickled), ("a.npz", cut_npz), ("a.npz", cut_inside_npz),
    ("a.tif", cut_tif), ("a.tif", pickled),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make"), OWN, ids=[f"{make.__name__}{Path(name).suffix}" for name, make in OWN])
@pytest.mark.parametrize(
    ("verb", "options"),
    [("recover", ["--dx", "1", "--dt", "1", "--output", "out"]), ("evolve", ["--until", "1", "-o", "out.zarr"])],
)
def test_a_broken_field_or_video_is_named_in_one_sentence(command, name, make, verb, options):
    make(Path(name))
    code, said = command(verb, name, *options)
    one_sentence(code, said, name)
    assert [path.name for path in Path().iterdir()] == [name]


def lose_a_chunk(path: Path) -> None:
    next(file for file in (path / "phi" / "c").rglob("*") if file.is_file()).unlink()


def cut_a_chunk(path: Path) -> None:
    cut(next(file for file in (path / "phi" / "c").rglob("*") if file.is_file()))


def lose_the_manifest(path: Path) -> None:
    store.manifest_path(path).unlink()


def another_digest(path: Path) -> None:
    manifest = json.loads(store.manifest_path(path).read_text())
    store.manifest_path(path).write_text(json.dumps(manifest | {"digest": "0" * 64}))


def foreign_group(path: Path) -> None:
    for part in path.iterdir():
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')


READERS = {
    "statistics": ["statistics", "--data", DATA, "--output", "out.json"],
    "train": ["train", "grain_shrink_64_narrow_march", "--spec", spec("grain_shrink_64_narrow_march"), "--data", DATA,
              "--checkpoints", "checkpoints", "--history", "out.csv", "--output", "out.safetensors"],
    "evaluate": ["evaluate", "grain_shrink_64_narrow", "--spec", spec("grain_shrink_64_narrow"), "--data", DATA, "--scale", "smoke",
                 "--output", "out", "--models", f"{GRAINS}/march.safetensors", "--models", f"{GRAINS}/stepper.safetensors"],
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("harm", [lose_a_chunk, cut_a_chunk, lose_the_manifest, another_digest, foreign_group])
def test_a_damaged_data_set_is_named_with_its_remedy(run, command, monkeypatch, reader, harm):
    monkeypatch.chdir(run)
    harm(run / DATA)
    code, said = command(*READERS[reader])
    one_sentence(code, said, DATA)
    assert f"remake it with: snakemake -c all --force -- {DATA}" in said
    assert not list(run.glob("out*"))


def test_a_flipped_bit_is_noticed(run, command, monkeypatch):
    monkeypatch.chdir(run)
    chunk = next(file for file in (run / DATA / "phi" / "c").rglob("*") if file.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 3] ^= 4
    chunk.write_bytes(content)
    code, said = command(*READERS["statistics"])
    one_sentence(code, said, DATA)
    assert "its checksum differs; make the data set anew" in said
    assert not list(run.glob("out*"))


@pytest.mark.parametrize(
    "card", ["[]", '[["kind", "march"]]', "7", "[" * 100000], ids=["list", "pairs", "number", "nest"]
)
def test_a_model_whose_card_is_no_mapping_is_refused(tmp_path, card):
    save_file({"weight": np.ones(3, np.float32)}, tmp_path / "m.safetensors", {"card": card})
    with pytest.raises(InputError, match=r"m\.safetensors is not a model file of phasemill \(\w+\); remake it"):
        read_card(tmp_path / "m.safetensors")


def trap_in_checkpoint(path: Path) -> None:
    torch.save({"key": "x", "step": 1, "modules": Trap()}, path)


def another_key(path: Path) -> None:
    torch.save({**torch.load(path, weights_only=True), "key": "another"}, path)


@pytest.mark.parametrize("harm", [cut, noise, pickled, trap_in_checkpoint, another_key])
def test_a_damaged_checkpoint_is_passed_over_and_does_nothing(run, command, monkeypatch, caplog, harm):
    monkeypatch.chdir(run)
    assert command(*READERS["train"])[0] == 0
    whole = load_file("out.safetensors")
    found = sorted(Path("checkpoints").rglob("step-*.pt"))
    assert found
    for path in found:
        harm(path)
    caplog.clear()
    code, said = command(*READERS["train"])
    assert code == 0, said
    assert "is passed over: damaged or foreign" in caplog.text
    assert not Path("trap").exists()
    again = load_file("out.safetensors")
    assert all((whole[name] == again[name]).all() for name in whole)
