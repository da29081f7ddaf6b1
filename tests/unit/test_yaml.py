"""Our YAML is plain data, and nothing in it is silently overridden."""

from __future__ import annotations

import pytest
import yaml

from phasemill import config
from phasemill.core.errors import InputError
from phasemill.core.files import parse_yaml
from tests.conftest import ROOT, snakemake


def test_plain_data_are_read():
    assert parse_yaml("a: 1\nb: [x, 2.5]\nc: {a: true}\n") == {"a": 1, "b": ["x", 2.5], "c": {"a": True}}
    assert parse_yaml("1: a\n'1': b\n") == {1: "a", "1": "b"}
    assert parse_yaml("a: &x {k: 1}\nb: {<<: *x, m: 2}") == {"a": {"k": 1}, "b": {"k": 1, "m": 2}}


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "x: {k: 1, k: 2}\n", "a: 1\n'a': 2\n"])
def test_a_key_that_is_given_twice_is_refused(text: str, tmp_path):
    with pytest.raises(yaml.YAMLError, match="given twice"):
        parse_yaml(text)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=r"mine\.yaml is not valid YAML: .*given twice") as error:
        config.read_keys(tmp_path / "mine.yaml")
    assert "\n" not in str(error.value)


def test_no_objects_are_made():
    with pytest.raises(yaml.YAMLError):
        parse_yaml("!!python/object/apply:os.getcwd []")


def test_the_workflow_refuses_it_too(tmp_path):
    (tmp_path / "mine.yaml").write_text("seed: 1\nseed: 2\n")
    done = snakemake(ROOT, "-n", "-c1", "truth", "--configfile", str(tmp_path / "mine.yaml"), check=False)
    assert done.returncode != 0
    assert "'seed' is given twice" in done.stdout
