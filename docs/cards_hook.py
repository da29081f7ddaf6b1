"""Fills pages of the manual with what stands elsewhere, so that it cannot drift.

    <!-- include PATH -->      a file of the repository, as it is
    <!-- models -->            a card for each model file of the package, from what stands inside it
    <!-- recorded WING -->     the claims that recorded runs of a wing could test, with their verdicts
    <!-- speeds -->            what `make bench` has measured

Each stands on a line of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

from safetensors import safe_open

from phasemill.core.model_files import read_card
from phasemill.report import claims
from phasemill.report.performance import comparisons
from phasemill.spinodal.library import VARIANTS

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "results" / "recorded"
ROWS = (
    "What it is", "Input", "Output", "Equation", "Trained on", "Training", "Scores", "Limits", "Intended use", "Load",
    "Size", "Licence", "Made by",
)  # fmt: skip
"""What every card says, in this order."""

BOXES = "statistics of many boxes, teaching; to follow one specimen take the solver `rkl2`"
MARCHES = "the claims of PINN-Phase, transfer, teaching; on every problem that it knows the solver is faster"
SEEN = "phi of one grain in another, (batch, x, y), periodic, and the force that the obstacle leaves"
KINDS: dict[str, dict[str, str]] = {
    "recurrent": {
        "What it is": "convolutional GRU of two layers that adds the divergence of a flux: the mean is conserved",
        "Input": "phi on every {factor}nd cell, (batch, x, y, z); its own state, of the last {memory} steps at most",
        "Output": "phi a time of {interval:g} later",
        "Limits": "periodic 3-D boxes, constant mobility, eps / dx = {ratio:g}, mean phi {low:.2f} to {high:.2f}, "
        "smooth starts (not white noise); that the free energy falls is learned, not built in",
        "Intended use": BOXES,
    },
    "stride": {
        "What it is": "the solver on a coarse grid with wider interfaces, and dilated convolutions that correct it by "
        "the divergence of a flux: the mean is conserved",
        "Input": "phi on every {factor}nd cell, (batch, x, y, z), its time, and a stride of any length",
        "Output": "phi at the end of the stride",
        "Limits": "periodic 3-D boxes, constant mobility, eps / dx = {ratio:g}, mean phi {low:.2f} to {high:.2f}, "
        "and only once the mixture has demixed: times {first:g} to {last:g}",
        "Intended use": BOXES,
    },
    "stepper": {
        "What it is": "convolutional {cell} at full resolution, {channels} channels, and gamma, the share of the "
        "feed-forward march in their mixture (the march itself takes minutes to train and is not shipped)",
        "Input": SEEN,
        "Output": "g, with phi' = P(phi + 0.05 g) a time of {interval:g} later, P the projection on [0, 1]",
        "Limits": "this equation and this interval alone; other grains with errors that the page `grains_unseen` shows",
        "Intended use": MARCHES,
    },
    "polycrystal": {
        "What it is": "convolutional {cell} at full resolution, {channels} channels, one network for all grains",
        "Input": SEEN.replace("one grain in another, (batch, x, y)", "each grain, (batch, grain, x, y)"),
        "Output": "g of each grain, with phi' = P(phi + 0.05 g) a time of {interval:g} later, P the projection on the "
        "simplex sum phi = 1, phi >= 0",
        "Limits": "this equation and this interval alone; trained on one kind of Voronoi polycrystal",
        "Intended use": MARCHES,
    },
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with the text of each page."""
    fill: dict[str, Callable[[str], str]] = {
        "include": include, "models": models, "recorded": recorded, "speeds": speeds,
    }  # fmt: skip
    return re.sub(r"<!-- (include|models|recorded|speeds) ?(\S*) -->", lambda found: fill[found[1]](found[2]), markdown)


def include(path: str) -> str:
    """A file of the repository."""
    return (ROOT / path).read_text().rstrip()


def model_files() -> list[Path]:
    """All models of the package."""
    return sorted((ROOT / "src" / "phasemill").glob("*/weights/*.safetensors"))


def models(_: str = "") -> str:
    """A card for each."""
    lines = []
    for path in model_files():
        says = card_of(path)
        lines += [f"## {path.stem}", "", "| | |", "|---|---|", *(f"| {row} | {_cell(says[row])} |" for row in ROWS), ""]
    return "\n".join(lines)


def card_of(path: Path) -> dict[str, str]:
    """What the card of a model file says in each row."""
    card, wing = read_card(path), path.parts[-3]
    rows, numbers = (_demixing if wing == "spinodal" else _grains)(path.stem, card)
    made = card["provenance"]
    with safe_open(str(path), framework="np") as stream:
        size = sum(prod(stream.get_slice(name).get_shape()) for name in stream.keys())  # noqa: SIM118  # no mapping
    return {
        **{row: words.format(**numbers) for row, words in KINDS[card["kind"]].items()},
        **rows,
        "Size": f"{size:,} numbers, {path.stat().st_size / 1000:.0f} kB: `src/phasemill/{wing}/weights/{path.name}`",
        "Licence": "MIT, as phasemill",
        "Made by": f"commit `{made['git_commit'][:10]}`{' with changes' if made['git_dirty'] else ''}, "
        f"{made['started'][:10]}, PyTorch {made['versions']['torch']}, {made['device']}",
    }


def _demixing(name: str, card: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Rows of a network of the spinodal wing, and the numbers for the others."""
    medium, scores, (low, high) = card["medium"], card["scores"], card["mean_range"]
    first, last = card.get("time_range", (0, 0))
    cost = card.get("cost", {"trainings": 1, "seconds": card["training"]["seconds"]})
    mse, still, energy, at = scores["mse"], scores["mse_standing_still"], scores["energy_error_largest"], ""
    page = "spinodal_rollout"
    if isinstance(mse, list):  # of each stored time
        mse, still, energy, at = mse[-1], still[-1], max(energy), f" at t = {scores['time'][-1]:g}"
        page = "spinodal_speed"
    others = [f'`load_model("{one}")`: the same with {what}' for one, (stem, what) in VARIANTS.items() if stem == name]
    return {
        "Equation": f"phi_t = M lap(36/eps phi (1 - phi) (1 - 2 phi) - eps lap phi), phi a concentration; "
        f"eps = {medium['eps']:g}, M = {medium['mobility']:g}, dx = {medium['dx']:g}; non-dimensional",
        "Trained on": f"boxes of {card['box']}³ (data digest `{card['data_digest'][:10]}`)",
        "Training": f"{cost['seconds'] / 3600:.1f} h on one core in all, {cost['trainings']} training(s), the last of "
        f"{card['training']['steps']} steps; every setting in `results/recorded/spinodal/{name}.json`",
        "Scores": f"{scores['held_out']}: mean square error{at} {mse:.2g} (standing still {still:.2g}), free "
        f"energy off by at most {100 * energy:.2g} %. Source: the file; again by `{page}`",
        "Load": "; ".join([f'`phasemill.load_model("{name}")`', *others]),
    }, {**medium, **card["network"], "interval": card["interval"], "ratio": medium["eps"] / medium["dx"],
        "low": low, "high": high, "first": first, "last": last}  # fmt: skip


def _grains(name: str, card: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Rows of the networks of a benchmark of the grains wing, and the numbers for the others."""
    (case,) = (block for block in card["spec"].values() if isinstance(block, dict) and "eta" in block)
    record = RECORDED / "grains" / f"{name}_recorded.json"
    runs = [
        f"`{run}`: {its['steps']} steps, {its['cpu'] / 60:.0f} CPU min"
        + (f", gamma = {its['gamma'][-1]:.2f}" if "gamma" in its else "")
        for run, its in card["runs"].items()
    ]
    return {
        "Equation": f"obstacle phase field, mu = {case['mu']:g}, sigma = {case['sigma']:g}, eta = {case['eta']:g} dx, "
        f"dx = 1/{case['cells'] - 1}; non-dimensional",
        "Trained on": f"the equation and first frames of `{name}_truth` (data digest `{card['data_digest'][:10]}`)",
        "Training": "; ".join(runs),
        "Scores": f"{json.loads(record.read_text())['answer']} Source: `{record.relative_to(ROOT)}`",
        "Load": f'`load_tensors(WEIGHTS / "{name}.safetensors")`, as above',
    }, {**card["spec"]["recurrent"], "interval": case["until"] / case["frames"]}  # fmt: skip


def recorded(wing: str) -> str:
    """A row for each claim that a recorded run could test."""
    lines = ["| claim | the paper | recorded | verdict | run |", "|---|---|---|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(map(_cell, row)) + " |" for row in _judged(wing)])


def speeds(_: str = "") -> str:
    """Ratios to peers, the largest first, and fractions of the machine's limits."""
    path = RECORDED / "performance.json"
    content = json.loads(path.read_text())
    machine, lines = content["machine"], ["| ours | peer | times faster |", "|---|---|---|"]
    for key, entry in sorted(comparisons(path).items(), key=lambda item: -item[1]["ratio"]):
        lines.append("| {} | {} | {:.3g} |".format(*key.split(" against "), entry["ratio"]))
    lines += ["", "| ours | of what the core can do | limit |", "|---|---|---|"]
    lines += [f"| {key} | {100 * one['fraction']:.0f} % | {one['limit']} |" for key, one in content["limits"].items()]
    where = f"One core of {machine['processor']}, {machine['measured'][:10]}, commit `{machine['git_commit'][:10]}`."
    return "\n".join([where, "", *lines])


def _judged(wing: str) -> Iterator[tuple[str, ...]]:
    book = claims.load()
    for path in sorted((RECORDED / wing).glob("*.json")):
        run = json.loads(path.read_text())
        for name, value in run.get("claims", {}).items():
            verdict, paper = claims.judge(book.claim(name), value, run["scale"]), book.claim(name).paper_value
            if not verdict.startswith("not testable"):
                said = "words" if paper is None else f"{paper:g}"
                made_by = path.stem.removesuffix("_recorded").replace("_", " ")
                yield f"`{name.removeprefix(wing)}`", said, f"{value:.3g}", verdict, made_by


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
