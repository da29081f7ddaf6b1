"""Configurations changed by chance: each is valid as a whole, or refused in clear lines that name the places."""

from __future__ import annotations

import copy
import datetime
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from phasemill import config
from phasemill.core.errors import InputError
from tests.conftest import ROOT

Place = tuple[str | int, ...]
Change = tuple[Place, str, Any]
"""Where, what kind of change, and with which value, factor or ending."""

SHIPPED = config.read_yaml(ROOT / "config" / "config.yaml")
VALIDATOR = jsonschema.Draft202012Validator(config.schema())

STRANGE = [
    None, "", "words", "12", "1e3", "-1", "\x00", "ä" * 300, True, False, 0, -1, 1, 2, 3.5, -0.0, 1e-300, 1e300, 10**30,
    10**400, float("nan"), float("inf"), -float("inf"), [], [None], [[]], [-1], [0], ["words"], {}, {"words": 1}, {1: 2},
    {None: None}, datetime.date(2026, 1, 1), b"bytes", {"a", "b"}, (1, 2),
]  # fmt: skip
FACTORS = [-1, 0, 0.5, 1.5, 7, 1e9]


def places(tree: Any, above: Place = ()) -> Iterator[Place]:
    """All places of a tree at which a value stands."""
    if above:
        yield above
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from places(value, (*above, key))


def changes(tree: Any) -> st.SearchStrategy[list[Change]]:
    """One or two changes of a tree."""
    kinds = {
        "set": st.sampled_from(STRANGE),
        "scaled": st.sampled_from(FACTORS),
        "deleted": st.none(),
        "renamed": st.sampled_from(["s", "_", " "]),
        "doubled": st.sampled_from(["s", "_", " "]),
        "moved": st.sampled_from(config.SCALES),
    }
    everywhere = list(places(tree))
    numbers = [place for place in everywhere if is_number(functools.reduce(lambda node, key: node[key], place, tree))]
    where = dict.fromkeys(kinds, everywhere) | {"scaled": numbers}
    each = st.sampled_from([*kinds, "scaled", "scaled"]).flatmap(
        lambda kind: st.tuples(st.sampled_from(where[kind]), st.just(kind), kinds[kind])
    )
    return st.lists(each, min_size=1, max_size=2)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def changed(tree: Any, wanted: list[Change]) -> tuple[Any, list[Change]]:
    """The tree with the changes that are possible, and these."""
    tree, done = copy.deepcopy(tree), []
    for place, kind, how in wanted:
        *above, last = place
        block = tree
        try:
            for key in above:
                block = block[key]
            old = block[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change has taken it away
        if kind == "set":
            block[last] = how
        elif kind == "scaled" and is_number(old):
            block[last] = type(old)(old * how) if old == old and abs(old) < 1e300 else how
        elif kind == "deleted":
            del block[last]
        elif kind in ("renamed", "doubled") and isinstance(block, dict):
            block[f"{last}{how}"] = block.pop(last) if kind == "renamed" else copy.deepcopy(old)
        elif kind == "moved" and place[0] in config.WINGS and not isinstance(old, dict):
            inside = tree.get("scales", {})  # a value of all scales stands once more in one of them
            for key in (how, *above):
                inside = inside.setdefault(key, {}) if isinstance(inside, dict) else None
            if not isinstance(inside, dict):
                continue
            inside[last] = old
        else:
            continue
        done.append((place, kind, how))
    return tree, done


def refusal(use: Callable[[], object]) -> list[str] | None:
    """The lines of a refusal, or None; any other error than InputError fails the test."""
    try:
        use()
    except InputError as error:
        return str(error).splitlines()
    return None


def use(tree: dict[str, Any]) -> None:
    """What a run does with a configuration: load it, and hand the jobs their parts, which they check once more."""
    loaded = config.load(tree)
    for scale in config.SCALES:
        for name, job in config.JOBS.items():
            job.model_validate_json(loaded.spec(name, scale))
        assert loaded.models(scale)
        assert loaded.minutes("poisson", scale, 2) > 0


def belongs(place: str, done: list[Change]) -> bool:
    """Whether a problem's place is in the top block, or the wing, of one of the changes."""
    parts = place.split(".")
    tops = {str(where[2 if where[0] == "scales" and len(where) > 2 else 0]) for where, _, _ in done}
    mine = {parts[0], parts[2] if parts[0] == "scales" and len(parts) > 2 else parts[0]}
    return any(part.startswith(top) for part in mine for top in tops)


met: Counter[str] = Counter()
swift = settings(
    max_examples=300, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@swift
@given(changes(SHIPPED))
def test_a_changed_configuration_is_valid_or_refused_in_clear_lines(wanted):
    tree, done = changed(SHIPPED, wanted)
    lines = refusal(lambda: use(tree))
    met["refused" if lines else "valid"] += 1
    if lines is None:
        # numbers may be given as text, as on the command line; the schema, which is for editors, is stricter there
        if not any(kind == "set" and isinstance(how, str | bool | tuple) for _, kind, how in done):
            assert [error.message for error in VALIDATOR.iter_errors(tree)] == []
        return
    head, *problems = lines
    plural = "s" * (len(problems) > 1)
    assert head.startswith(f"{len(problems)} problem{plural} in the configuration (config/config.yaml with")
    for problem in problems:
        place, _, text = problem.removeprefix("  ").partition(": ")
        assert text
        assert len(problem) < 1000, "no line is longer than a person reads"
        assert belongs(place, done) or place in ("scales", "scales.smoke", "scales.laptop", "scales.paper")


@settings(swift, max_examples=60)
@given(wanted=changes({"slurm": {"account": "mine", "partition": "a", "max_minutes": 60}}))
def test_changed_settings_of_a_site_are_valid_or_refused_in_clear_lines(wanted, tmp_path_factory):
    site, _ = changed({"slurm": {"account": "mine", "max_minutes": 60}}, wanted)
    path = tmp_path_factory.mktemp("site") / "site.yaml"
    path.write_text(yaml.dump(site))
    lines = refusal(lambda: use({**config.read_site(path), **SHIPPED}))
    met["refused site" if lines else "valid site"] += 1
    if lines is not None:
        assert str(path) in lines[0] or all(line.startswith("  slurm") for line in lines[1:])


def test_changes_of_all_kinds_were_met():
    """A test of the two above: neither nearly all nor nearly none of the configurations are valid."""
    assert met["valid"] + met["refused"] >= 200
    assert min(met["valid"], met["refused"]) > 40
    assert min(met["valid site"], met["refused site"]) > 5


LINES = [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)]
BOMB = "\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *LINES, ""])  # 9^12 words


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ((ROOT / "config/transport.yaml").read_text()[:1000] + "\n  x: {", "is not valid YAML: while parsing"),
        (bytes(range(256)), "is not valid YAML"),
        ("seed: 1\n\tlast: 1\n", "is not valid YAML: while scanning"),
        ("seed: !!python/object/apply:os.mkdir [trap]\n", "is not valid YAML: could not determine a constructor"),
        ("[1, 2]", "holds no keys"),
        ("seed: &a [*a]\n", "seed: Input should be a valid integer"),
        (BOMB, "a: unknown key 'a'"),
        (BOMB.replace("l: &l", "seed: &l"), "seed: Input should be a valid integer"),
        ("last: " + "[" * 20000, "is not valid YAML: maximum recursion depth exceeded"),
    ],
    ids=["cut", "binary", "tabs", "code", "a list", "a ring", "a bomb", "a bomb as a number", "a deep nest"],
)  # fmt: skip
def test_a_file_that_is_no_configuration_is_refused_in_a_few_words(tmp_path, command, content, sentence):
    Path("config").symlink_to(ROOT / "config")
    path = tmp_path / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, said = command("spec", "voronoi_heat", "--configfile", path)
    assert code == 1
    assert sentence in said
    assert len(said) < 5000
    assert not Path("trap").exists()
