"""Figures of the trained estimator."""

from __future__ import annotations

from pathlib import Path

from phasemill.core import figures
from phasemill.core.files import read_json
from phasemill.transport.figures.shared import errors, fields, parity


def trained(folder: Path, output: Path) -> list[figures.Entry]:
    """Parity, error per method, training history, and fields of one video in each direction."""
    metrics = read_json(folder / "metrics.json")["metrics"]
    tuned, plain, fresh = list(metrics["kappa"])[:3]
    pages = [
        parity(output, metrics, tuned, [plain, fresh]),
        errors(output, metrics),
        _history(output, metrics["history"]),
    ]
    return pages + fields(output, folder)


def _history(output: Path, history: dict[str, list[float]]) -> figures.Entry:
    figure, axes = figures.figure(1, 2, height=3.2, sharex=True)
    for ax, names in ((axes[0, 0], ("safe", "validation_safe")), (axes[0, 1], ("validation_mae",))):
        for name in names:
            ax.plot(history["step"], history[name], label=name.replace("_", " ").replace("safe", "SAFE loss"))
        ax.set(xlabel="step")
        if second := next((s for s, term in zip(history["step"], history["identity"], strict=True) if term), None):
            ax.axvline(second, color=figures.GUIDE, linestyle=":", linewidth=1.2)
    axes[0, 0].set_ylabel("normalised SAFE loss")
    axes[0, 0].legend()
    axes[0, 1].set_ylabel("mean |error| of kappa, validation")
    caption = (
        "The loss that is minimised (training; from the dotted line on, phase two, that of the latent video) and the "
        "one that selects the model (validation, of the raw video); 1 is the persistence forecast. Right: the error of "
        "kappa on the validation videos, which neither training nor selection sees."
    )
    return figures.entry(output, "training", figure, "Training without labels", caption)
