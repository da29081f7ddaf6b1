"""The frozen operator of other equations: recovery of the parameters of four systems.

Each video is fitted on its own, first without noise against the number K of sub-steps, where the only error is that
of the operator in time, then with white noise on the frames, by pairs of frames and with instruments.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasemill.core import metrics, store
from phasemill.core.errors import InputError
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.transport.config.physics import PhysicsJob
from phasemill.transport.datasets.physics import video
from phasemill.transport.evaluate.physics_tables import example_table, noise_headlines, noise_table, sweep_table
from phasemill.transport.evaluate.scoring import at_bound, headline, inherited
from phasemill.transport.modes import Modes, decay
from phasemill.transport.recover.direct import recover_direct
from phasemill.transport.recover.gauss_newton import Fit
from phasemill.transport.recover.physics import FrozenOperator, fit_instruments, fit_pairs
from phasemill.transport.spectra import FrameSpectra, SafeScheme
from phasemill.transport.systems import SYSTEMS, Scheme, System

Floats = NDArray[np.float64]

MARGIN = 0.8
"""Step of the noise study over the longest stable one; the error of Runge-Kutta is then far below sigma."""
ENOUGH = 1e-6
"""Relative tolerance of a fit to noisy frames, far below sigma."""

log = logging.getLogger("phasemill")


@dataclass(frozen=True)
class Video:
    """One simulation."""

    system: type[System]
    frames: Floats
    theta: Floats
    interval: float
    start: Floats
    """Where every fit of this system begins: the upper ends of the ranges, whatever the truth."""
    dx: float

    def operator(self, substeps: int, scheme: Scheme = "euler") -> FrozenOperator:
        """The frozen operator with K sub-steps."""
        return FrozenOperator(self.system, self.interval, substeps, self.dx, scheme)

    def stable_substeps(self, scheme: Scheme = "euler") -> int:
        """The least K that is stable for all parameters in the ranges."""
        return ceil(self.interval / self.system.stable_step(self.start, self.dx, scheme))

    def error(self, theta: Sequence[float] | Floats) -> list[float]:
        """Relative error of each parameter, with its sign."""
        return [float(e) for e in np.asarray(theta) / self.theta - 1]


def physics(job: PhysicsJob, data: Path, output: Path, *, threads: int = 1) -> dict[str, Any]:
    """Recover the parameters of every video of `other_physics`; see the module."""
    clock, settings = Clock(), job.physics
    source = store.open_dataset(data)
    videos = [_video(job, source, sim) for sim in range(source.sizes["sim"])]
    sweep, fourth, exact, noisy = [], [], [], []
    for number, (each, seed) in enumerate(zip(videos, branch(job.seed, "transport_physics", len(videos)), strict=True)):
        exact.append(_exactness(each))
        sweep.append({k: _clean(each.operator(k), each) for k in settings.substeps})
        least = each.operator(each.stable_substeps("runge_kutta"), "runge_kutta")
        fourth.append({"substeps": least.substeps, "error": each.error(_clean(least, each))})
        noisy.append({level: _noise(each, level, settings.stride, seed) for level in settings.noise})
        log.info("physics: video %d of %d (%s)", number + 1, len(videos), each.system.title)

    finest = max(settings.substeps)
    best = [found[finest] for found in sweep]
    _write_fields(job, source, videos, best, output / "fields.zarr", clock)
    worst = {
        system: _worst([each.error(found) for each, found in zip(videos, best, strict=True) if each.system is system])
        for system in SYSTEMS.values()
    }
    coupled = [each for each in videos if len(each.system.fields) > 1]
    channelwise = [_channelwise(each, field, finest) for each in coupled for field in (0, 1)]
    uncoupled = [
        abs(error) for error, _ in (_channelwise(_uncoupled(each), f, finest) for each in coupled for f in (0, 1))
    ]
    alone = [abs(error) for error, _ in channelwise]
    stopped = sum(bound for _, bound in channelwise)
    scores = {str(level): _scores(videos, [entry[level] for entry in noisy]) for level in settings.noise}
    stiffness = {name: _stiffness(videos, name) for name in ("allen_cahn", "cahn_hilliard")}
    orders = {system.name: _order(videos, sweep, system, settings.substeps) for system in SYSTEMS.values()}
    results = {
        "systems": [each.system.name for each in videos],
        "truth": [each.theta.tolist() for each in videos],
        "stable_substeps": [each.stable_substeps() for each in videos],
        "exactness": exact,
        "sweep": [
            {str(k): each.error(theta) if np.isfinite(theta).all() else None for k, theta in found.items()}
            for each, found in zip(videos, sweep, strict=True)
        ],
        "runge_kutta": fourth,
    }
    return {
        "title": "Other equations",
        "question": (
            "Does the frozen operator recover the parameters of other equations as well? Each of "
            f"{len(videos)} videos - Fisher-KPP, Allen-Cahn, Cahn-Hilliard and the two species of Gray-Scott, made by "
            "a solver that is converged in time - is fitted on its own by Gauss-Newton with the operator of its own "
            "equation, K explicit sub-steps per frame interval."
        ),
        "answer": (
            f"Without noise every parameter comes out within {100 * max(worst.values()):.2g} % with {finest} sub-steps "
            "per frame interval. Under noise the plain fit to pairs of frames is biased; longer pairs and instruments "
            "are compared below."
        ),
        "headline": [
            headline(
                f"largest relative error of a parameter, K = {finest}",
                max(worst.values()),
                "no noise, converged data",
                claim="transport.physics.any_equation",
            ),
            headline("same, data made by the operator itself", _worst(exact), "K as few as stable"),
            *noise_headlines(scores[str(max(settings.noise))], max(settings.noise), settings.stride),
        ],
        "tables": [
            sweep_table(results, orders, settings.substeps),
            noise_table(scores),
            example_table(results, scores, settings.substeps, max(settings.noise), settings.stride),
        ],
        "claims": {
            "transport.physics.any_equation": max(worst.values()),
            "transport.physics.many_parameters": max(
                worst[system] for system in SYSTEMS.values() if len(system.parameters) > 2
            ),
            "transport.physics.channelwise": max(uncoupled),
            "transport.physics.stiff": stiffness["cahn_hilliard"] / stiffness["allen_cahn"],
        },
        "claim_notes": {
            "transport.physics.channelwise": (
                "For the two species of Gray-Scott, which react with each other, the heat operator on each alone "
                f"misses its diffusivity by {np.median(alone):.2g} in the median and {min(alone):.2g} at least; "
                f"{stopped} of {len(alone)} fits end at a bound of their search: in a standing pattern the reaction "
                "undoes what diffusion does."
            ),
        },
        "metrics": {
            **results,
            "order": orders,
            "noise": scores,
            "channelwise": {"uncoupled": uncoupled, "coupled": alone},
        },
        "provenance": [
            store.provenance(source),
            clock.record("evaluate transport_physics", job.model_dump(), threads=threads),
        ],
    }


def _video(job: PhysicsJob, source: xr.Dataset, sim: int) -> Video:
    system, frames, theta, interval = video(source, sim)
    drawn = job.physics_data.of(system.name)
    start = np.array([getattr(drawn, name).high for name in system.parameters])
    return Video(system, frames, theta, interval, start, job.physics_data.dx)


def _exactness(each: Video) -> list[float]:
    """Errors on a video that the operator itself made, from the first frame: only round-off may be left."""
    least = each.stable_substeps()
    return each.error(fit_pairs(each.operator(least), _roll_out(each, each.theta, least), each.start).parameters)


def _clean(operator: FrozenOperator, each: Video) -> Floats:
    """The parameters found without noise; nan where the operator is too unstable to be fitted at all."""
    try:
        return fit_pairs(operator, each.frames, each.start).parameters
    except InputError:
        return np.full_like(each.theta, np.nan)


def _noise(each: Video, level: float, stride: int, seed: np.random.SeedSequence) -> dict[str, Fit]:
    """The fits of one noisy copy of a video by every method."""
    spread = each.frames.std(axis=(0, 2, 3), keepdims=True)
    noise = np.random.default_rng(seed).standard_normal(each.frames.shape)
    frames = each.frames + level * spread * noise
    whole = each.operator(ceil(each.stable_substeps("runge_kutta") / MARGIN), "runge_kutta")
    found, theta = {}, each.start
    for s, suffix in ((1, ""), (stride, f", every {stride}th frame")):
        operator, thinned = whole.strided(s), frames[::s]
        found[f"pairs{suffix}"] = pairs = fit_pairs(operator, thinned, theta, ENOUGH)
        found[f"instruments{suffix}"] = careful = fit_instruments(operator, thinned, pairs.parameters, ENOUGH)
        theta = careful.parameters
    return found


def _channelwise(each: Video, field: int, substeps: int) -> tuple[float, bool]:
    """Relative error of a diffusivity by the heat operator on one field of two, and whether it is a bound."""
    truth = float(each.theta[field])
    scheme = SafeScheme(interval=each.interval, substeps=substeps, dx=each.dx)
    spectra = FrameSpectra.from_frames(each.frames[:, field], scheme)
    bounds = truth / 100, truth * 100
    kappa = recover_direct(spectra, bounds).kappa
    return kappa / truth - 1, at_bound(kappa, bounds)


def _uncoupled(each: Video) -> Video:
    """Two heat channels that do not meet: first frames and diffusivities of `each`, u_k(t) = exp(-D lambda_k t)."""
    modes = Modes(each.frames.shape[2:], each.dx)
    times = np.arange(len(each.frames))[:, None]
    channels = [
        modes.join(modes.split(each.frames[:1, field]) * decay(d, modes.eigenvalues, each.interval, None)[0] ** times)
        for field, d in enumerate(each.theta[:2])
    ]
    return replace(each, frames=np.stack(channels, axis=1))


def _worst(errors: Sequence[Sequence[float]]) -> float:
    return float(np.abs(np.concatenate([np.asarray(error) for error in errors])).max())


def _stiffness(videos: Sequence[Video], name: str) -> float:
    """Explicit sub-steps per unit of time that stability asks for, mean over the videos of a system."""
    return float(
        np.mean([1 / each.system.stable_step(each.theta, each.dx) for each in videos if each.system.name == name])
    )


def _order(
    videos: Sequence[Video],
    sweep: Sequence[dict[int, Floats]],
    system: type[System],
    substeps: Sequence[int],
) -> float | None:
    """-d ln |error| / d ln K over the stable K, of the largest error of a video; None if fewer than two are stable."""
    points = [
        (np.log(k), np.log(np.abs(each.error(found[k])).max()))
        for each, found in zip(videos, sweep, strict=True)
        if each.system is system
        for k in substeps
        if k >= each.stable_substeps()
    ]
    if len({k for k, _ in points}) < 2:
        return None
    log_k, log_error = np.array(points, dtype=np.float64).T
    return -float(np.polyfit(log_k, log_error, 1)[0])


def _scores(videos: Sequence[Video], noisy: Sequence[dict[str, Fit]]) -> list[dict[str, Any]]:
    """Per system and method: errors of each parameter, and how well the reported sigma covers them."""
    lines = []
    for system in SYSTEMS.values():
        chosen = [(each, fits) for each, fits in zip(videos, noisy, strict=True) if each.system is system]
        for method in noisy[0]:
            error = np.array([each.error(fits[method].parameters) for each, fits in chosen])
            sigma = np.array([fits[method].sigma / each.theta for each, fits in chosen])
            lines.append(
                {
                    "system": system.title,
                    "method": method,
                    "parameters": list(system.parameters),
                    "error": error.tolist(),
                    "sigma": sigma.tolist(),
                    "median": float(np.median(np.abs(error).max(axis=1))),
                    "z_rms": float(np.sqrt(np.mean((error / sigma) ** 2))),
                }
            )
    return lines


def _write_fields(
    job: PhysicsJob, source: xr.Dataset, videos: Sequence[Video], best: Sequence[Floats], path: Path, clock: Clock
) -> None:
    """Truth and roll-out from the first frame with the parameters found without noise."""
    kept = np.linspace(0, source.sizes["time"] - 1, job.physics.field_frames).round().astype(int)
    frame = ("sim", "time", "x", "y")
    variables = {
        "u": store.Variable(frame, "1", "first field"),
        "v": store.Variable(frame, "1", "second field; zero where the system has one"),
        "u_prediction": store.Variable(frame, "1", "roll-out of u from the first frame"),
        "v_prediction": store.Variable(frame, "1", "roll-out of v from the first frame"),
        "rmse": store.Variable(("sim", "time"), "1", "root mean square error of all fields", "float64"),
    }
    attrs = inherited(source, "Observed and predicted fields of other equations")
    with store.create(path, source.isel(time=kept).coords.to_dataset(), variables, attrs) as writer:
        for sim, (each, theta) in enumerate(zip(videos, best, strict=True)):
            truth, rolled = each.frames[kept], _roll_out(each, theta, max(job.physics.substeps))[kept]
            fields = {
                f"{name}{suffix}": frames[:, place] if place < frames.shape[1] else np.zeros_like(frames[:, 0])
                for suffix, frames in (("", truth), ("_prediction", rolled))
                for place, name in enumerate("uv")
            }
            writer.write(sim, **fields, rmse=[metrics.rmse(a, b) for a, b in zip(truth, rolled, strict=True)])
        writer.provenance = clock.record("fields", job.model_dump())


def _roll_out(each: Video, theta: Floats, substeps: int) -> Floats:
    """All frames that the operator predicts from the first one."""
    operator, frames = each.operator(substeps), [each.frames[:1]]
    for _ in range(len(each.frames) - 1):
        frames.append(operator.predict(frames[-1], theta))
    return np.concatenate(frames)
