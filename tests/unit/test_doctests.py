"""Every public name has examples, and what they print is what they say."""

from __future__ import annotations

import doctest
import inspect

import pytest

import phasemill
from phasemill.accessor import Accessor

SHOWN = {name: getattr(phasemill, name) for name in phasemill.__all__ if callable(getattr(phasemill, name))}
SHOWN["accessor"] = Accessor
del SHOWN["InputError"]  # an exception needs none


@pytest.mark.parametrize("name", SHOWN)
def test_the_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "\nExamples\n--------\n" in (inspect.getdoc(SHOWN[name]) or "")
    (examples,) = doctest.DocTestFinder(recurse=False).find(SHOWN[name], name, globs={})
    found: list[str] = []
    outcome = doctest.DocTestRunner().run(examples, out=found.append)
    assert outcome.attempted > 1
    assert not outcome.failed, "".join(found)
