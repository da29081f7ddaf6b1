"""Writes the reference pages that must not drift, from the code and its data, whenever the manual is built."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import phasemill
from phasemill import config
from phasemill.cli import pipeline, tools
from phasemill.cli.options import app
from phasemill.core.blocks import Range
from phasemill.report import claims

ROOT = Path(__file__).parents[1]
PLACES: dict[str, str] = phasemill._PLACES
"""Where each curated name is defined."""
FURTHER = {
    "The accessor": ["accessor.Accessor"],
    "phasemill.spinodal": ["spinodal.initial.perlin_mixture", "spinodal.metrics.mean_wavelength"],
    "phasemill.grains": [
        "grains.initial.disc",
        "grains.initial.voronoi",
        "grains.initial.one_hot",
        "grains.solver.integrate",
    ],
    "phasemill.pinns": ["pinns.solution.Solution"],
    "phasemill.transport": [
        "transport.solver.integrate",
        "transport.recover.direct.recover_direct",
        "transport.recover.trajectory.recover_trajectory",
        "transport.recover.mapping.recover_map",
        "transport.recover.gauss_newton.gauss_newton",
        "transport.spectra.SafeScheme",
    ],
}
SHIPPED = config.read_yaml(ROOT / "config" / "config.yaml")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by mkdocs before it reads the pages."""
    writers = {"cli": command_line, "configuration": configuration, "python": python_names, "claims": claim_tables}
    for name, write in writers.items():
        files.append(File.generated(config, f"reference/{name}.md", content=write()))
    return files


def command_line() -> str:
    """All verbs, by typer's own generator; those for people first."""
    words = [sys.executable, "-m", "typer", "phasemill.cli", "utils", "docs", "--name", "phasemill"]
    made = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    made = made.replace("* `--help`: Show this message and exit.\n", "").replace("```console\n$ ", "```console\n")
    made = made.replace("][", "]\\[")  # or Markdown takes the two for a link
    sections = {part.split("`")[1]: part for part in made.split("\n## ")[1:]}
    page = ["# Command line", "", "`phasemill VERB --help` prints the same.", ""]
    for module in (tools, pipeline):
        page += [f"## {_first_sentence(module.__doc__)}", ""]
        for command in app.registered_commands:
            if command.callback is not None and command.callback.__module__ == module.__name__:
                name = command.name or command.callback.__name__.replace("_", "-")
                page += ["### " + sections[f"phasemill {name}"].replace("**Options**:\n\n\n", "").strip(), ""]
    return "\n".join(page)


def configuration() -> str:
    """All keys of the files in config/ with type, shipped value and description, a table per block."""
    page = [
        "# Configuration",
        "",
        "Every key of the files in `config/`, made from the model that checks it. A value stands either in a wing's",
        "common block or, where the scales differ, under `scales`; here such values read *smoke / laptop / paper*.",
        "Settings of your site belong into `config/site.yaml`. `config/schema.json` helps your editor. What is not as",
        "it must be stops a run at once, with the place and the nearest known key.",
        "",
        "## Top level",
        "",
        *_table(
            _rows(
                config.Config,
                lambda name: _shown(SHIPPED[name]) if name in SHIPPED else _default(config.Config, name),
                leave=("scales",),
            )
        ),
        "",
    ]
    for wing in config.WINGS:
        model = config.Scale.model_fields[wing].annotation
        page += [f"## {wing}", "", _first_sentence(model.__doc__), ""]
        page += _blocks(model, (wing,), f"{wing}")
    page += ["## slurm", "", _first_sentence(config.Slurm.__doc__), ""]
    page += [*_table(_rows(config.Slurm, lambda name: _default(config.Slurm, name))), ""]
    return "\n".join(page)


def python_names() -> str:
    """The curated names of `phasemill`, then what the tutorials use of its wings; mkdocstrings fills them in."""
    page = [
        "# Python",
        "",
        "These names are imported when they are first used, so that `import phasemill` costs nothing. Bad input raises",
        "`phasemill.InputError`, one sentence with what, where and the remedy.",
        "",
        "## phasemill",
        "",
    ]
    page += [f"::: phasemill.{PLACES[name]}.{name}\n" for name in phasemill.__all__ if name in PLACES]
    for title, names in FURTHER.items():
        page += [f"## {title}", "", *(f"::: phasemill.{name}\n" for name in names)]
    return "\n".join(page)


def claim_tables() -> str:
    """The claims of the papers, as they are judged."""
    book = claims.load()
    page = [
        "# Claims",
        "",
        f"{len(book.claims)} claims of {len(book.papers)} papers, from `claims.yaml` of each wing. Each is",
        "measured by a benchmark, and `results/SCALE/index.html` shows the verdicts of your own run: *reproduced*,",
        "*exceeded*, *consistent* (the number was used to set the benchmark up), *not reproduced*, *refuted*, or",
        "*not testable at this scale*.",
        "",
    ]
    for key, paper in book.papers.items():
        doi = f" [doi:{paper.doi}](https://doi.org/{paper.doi})" if paper.doi else ""
        page += [f"## {paper.label}", "", f"{paper.title}.{doi}", ""]
        groups = dict.fromkeys(_group(name) for name, claim in book.claims.items() if claim.paper == key)
        for group in groups:
            page += [
                f"### {group}",
                "",
                "| claim | where | the paper says | its value | judged |",
                "|---|---|---|---|---|",
            ]
            for name, claim in [row for row in book.claims.items() if _group(row[0]) == group]:
                said = claim.statement + (f"<br><small>{claim.note}</small>" if claim.note else "")
                cells = [f"`{name.rsplit('.', 1)[1]}`", claim.where, said, _value(claim), _judged(claim)]
                page.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
            page.append("")
    return "\n".join(page)


def _group(name: str) -> str:
    """Wing and benchmark of a claim."""
    return name.rsplit(".", 1)[0]


def _value(claim: claims.Claim) -> str:
    return "words" if claim.paper_value is None else f"{claim.paper_value:g}" + f" {claim.unit}" * (claim.unit != "1")


def _judged(claim: claims.Claim) -> str:
    """The check in words, and from which scale on."""
    check = claim.check
    match check:
        case claims.Better():
            words = f"{check.kind.split('_')[0]} is better, within {check.tolerance:g}"
        case claims.Equal():
            words = f"equal within {100 * check.rel:g} %" if check.rel else "equal"
        case claims.Interval():
            low, high = (f"{bound:g}" for bound in (check.low, check.high))
            words = f"at least {low}" if check.high >= claims.FAR else f"{low} to {high}"
            if check.low <= -claims.FAR:
                words = f"at most {high}"
        case claims.Band():
            words = "in the measured band"
    consistent = "; *consistent* at best" if claim.by_construction else ""
    return f"{words}{consistent}<br><small>{', '.join(claim.scales)}</small>"


def _blocks(model: Any, path: tuple[str, ...], title: str) -> Iterator[str]:
    """The tables of a block and of the blocks within it."""
    yield from _table(_rows(model, lambda name: _at_scales((*path, name))))
    yield ""
    for name, field in model.model_fields.items():
        if inner := _model(field.annotation):
            yield from [f"### {title}.{name}", "", _first_sentence(inner.__doc__), ""]
            if _is_block(field.annotation):
                yield from _blocks(inner, (*path, name), f"{title}.{name}")
            else:
                yield from _table(_rows(inner, lambda key, inner=inner: _default(inner, key)))
                yield ""


Row = tuple[str, str, str, str]


def _rows(model: Any, value: Any, leave: tuple[str, ...] = ()) -> list[Row]:
    """Key, type, value and description of each field."""
    found = []
    for name, field in model.model_fields.items():
        if name not in leave and not _is_block(field.annotation):
            found.append((f"`{name}`", _type(field.annotation, field.metadata), value(name), field.description or ""))
    return found


def _table(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    lines = ["| key | type | shipped | meaning |", "|---|---|---|---|"]
    return lines + ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]


def _at_scales(path: tuple[str, ...]) -> str:
    """The shipped value: one, or one per scale."""
    common = _lookup(SHIPPED, path)
    if common is not None:
        return _shown(common)
    values = [_shown(_lookup(SHIPPED["scales"][scale], path)) for scale in config.SCALES]
    return values[0] if len(set(values)) == 1 else " / ".join(values)


def _lookup(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree


def _shown(value: Any) -> str:
    """A value as it is written, long ones cut."""
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return f"{value['low']:g} to {value['high']:g}" if set(value) == {"low", "high"} else ", ".join(map(str, value))
    text = (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
    return text if len(text) < 60 else text[:56] + " ..."


def _default(model: Any, name: str) -> str:
    default = model.model_fields[name].get_default(call_default_factory=True)
    return "" if default is PydanticUndefined else "none" if default in (None, "") else _shown(default)


def _model(annotation: Any) -> Any:
    """The block inside of a type: itself, the items of a list, the values of a mapping."""
    if _is_block(annotation):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model(part))), None)


def _is_block(annotation: Any) -> bool:
    """Whether a key holds a table of its own; a range is a value."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation is not Range


def _type(annotation: Any, metadata: list[Any]) -> str:
    """A type in words, with its bounds."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0], [*metadata, *getattr(parts[1], "metadata", parts[1:])])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(_type(part, []) for part in parts if part is not type(None))
    if origin in (list, tuple, set):
        return f"list of {_type(parts[0], [])}"
    if origin is dict:
        return f"{_type(parts[0], [])} → {_type(parts[1], [])}"
    words = {float: "number", int: "whole number", str: "text", bool: "yes or no", Range: "range > 0"}
    named = words.get(annotation, getattr(annotation, "__name__", str(annotation)))
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    bounds = [
        f"{sign} {getattr(item, key):g}" for item in metadata for key, sign in signs.items() if hasattr(item, key)
    ]
    return " ".join([named, *bounds])


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def _first_sentence(text: str | None) -> str:
    return (text or "").strip().split("\n\n")[0].split("\n")[0].rstrip(".")
