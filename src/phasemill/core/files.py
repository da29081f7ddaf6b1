"""Atomic small files: write beside the target, flush to disk, rename; a reader never meets half a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from phasemill.core.errors import InputError


def write_bytes(path: Path | str, content: bytes) -> Path:
    """Write `content` so that `path` holds either its old or its new content, whatever happens meanwhile."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:  # a full disk says how, but not where
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        partial.unlink(missing_ok=True)
    return path


def write_text(path: Path | str, text: str) -> Path:
    """As `write_bytes`, for UTF-8 text."""
    return write_bytes(path, text.encode())


def write_json(path: Path | str, content: Any) -> Path:
    """Write strict JSON (no NaN), keys in the order given, readable by people."""
    return write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file; a missing or broken one is reported with its path.

    Raises
    ------
    InputError
        One sentence with the path.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); remake it") from None


class _StrictLoader(yaml.SafeLoader):
    """Plain data alone, and a key that is given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' is given twice", key.start_mark)
            seen.add((key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key))  # 1 and '1' are two
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def parse_yaml(text: str) -> Any:
    """The content of a YAML text: plain data alone, never objects.

    Raises yaml.YAMLError, RecursionError for one that is nested too deep.
    """
    return yaml.load(text, _StrictLoader)


def canonical_json(content: Any) -> str:
    """The one spelling of `content` that is hashed and compared: sorted keys, no spaces."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
