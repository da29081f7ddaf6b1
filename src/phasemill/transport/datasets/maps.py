"""The data set `varying_heat`: the heat equation with a coefficient that varies in space, from Voronoi tessellations.

Each video is listed in the configuration with its kind of map, its walls and its number of grains: few large grains
leave regions without gradient, where no video can show the coefficient.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.special import ndtr

from phasemill.core import store
from phasemill.core.provenance import Clock
from phasemill.core.seeds import branch
from phasemill.transport.config.maps import MapVideo, VaryingHeat, VaryingHeatJob
from phasemill.transport.initial import gaussian_random_field, voronoi
from phasemill.transport.modes import Boundary
from phasemill.transport.physics import stability_number
from phasemill.transport.spectra import SafeScheme
from phasemill.transport.varying import dissipation, evolve

BOUNDARIES = ("periodic", "neumann")
MAPS = ("smooth", "two_phase")

log = logging.getLogger("phasemill")


@dataclass(frozen=True)
class Video:
    """One video of the data set."""

    name: str
    kappa: np.ndarray
    """(x, y)"""
    frames: np.ndarray
    """(time, x, y), float32."""
    boundary: Boundary
    scheme: SafeScheme
    """The frozen operator: one sub-step for each Euler step of the solver between two frames."""


def simulate(job: VaryingHeatJob, output: Path, *, threads: int = 1) -> None:
    """Integrate all videos in flux form and store them with their maps; deterministic in `job`."""
    clock, data = Clock(), job.varying
    seeds = branch(job.seed, "varying_heat", len(data.videos))
    variables = {
        "phi": store.Variable(("sim", "time", "x", "y"), "1", "order parameter"),
        "kappa_map": store.Variable(("sim", "x", "y"), "1", "coefficient kappa of each cell", "float64"),
        "mean": store.Variable(("sim", "time"), "1", "spatial mean of phi", "float64"),
        "energy": store.Variable(("sim", "time"), "1", "dissipation 1/2 sum kappa |grad phi|^2 dx^2", "float64"),
        "subdivisions": store.Variable(("sim",), "1", "Euler steps per dt, for stability", "int64"),
    }
    with store.create(output, _coords(data), variables, _attrs(job)) as writer:
        for sim, (seed, video) in enumerate(zip(seeds, data.videos, strict=True)):
            of_map, of_grains = (np.random.default_rng(child) for child in seed.spawn(2))
            kappa = draw_map(of_map, video, data)
            phi = voronoi(
                of_grains,
                size=data.size,
                dx=data.dx,
                grains=(video.grains, video.grains),
                interface_width=data.interface_width,
                roughness=data.roughness,
                correlation_length=data.correlation_length,
            )
            scheme = _scheme(data.dt, data.save_every, data.dx, float(kappa.max()))
            frames = evolve(phi, kappa, scheme, video.boundary, data.steps // data.save_every)
            energy = [dissipation(frame, kappa, video.boundary) for frame in frames]
            subdivisions = scheme.substeps // data.save_every
            writer.write(
                sim, phi=frames, kappa_map=kappa, mean=frames.mean((1, 2)), energy=energy, subdivisions=subdivisions
            )
            log.info("varying_heat: video %d of %d, %s map", sim + 1, len(data.videos), video.map)
        writer.provenance = clock.record("simulate varying_heat", job.model_dump(), threads=threads)


def draw_map(rng: np.random.Generator, video: MapVideo, data: VaryingHeat) -> np.ndarray:
    """kappa(x) from a Gaussian random field: smooth and uniform in its range, or its two ends with a sharp edge."""
    low, high = data.kappa.low, data.kappa.high
    field = gaussian_random_field(rng, data.size, data.dx, data.map_length)
    field = (field - field.mean()) / field.std()  # of this draw, so that each map uses the whole range
    return np.where(field > 0, high, low) if video.map == "two_phase" else low + (high - low) * ndtr(field)


def videos(dataset: xr.Dataset) -> Iterator[Video]:
    """All videos, each read when it is due."""
    attrs = dataset.attrs
    words = zip(store.meanings(dataset.kind), store.meanings(dataset.boundary), dataset.grains.values, strict=True)
    for sim, (kind, boundary, grains) in enumerate(words):
        one = dataset.isel(sim=sim).load()
        kappa = one.kappa_map.values
        yield Video(
            name=f"{kind.replace('_', '-')} map, {boundary}, {grains} grains",
            kappa=kappa,
            frames=one.phi.values,
            boundary="neumann" if boundary == "neumann" else "periodic",
            scheme=_scheme(float(attrs["dt"]), int(attrs["save_every"]), float(attrs["dx"]), float(kappa.max())),
        )


def _scheme(dt: float, save_every: int, dx: float, kappa_max: float) -> SafeScheme:
    """The Euler steps between two frames: dt is divided where max(kappa) dt lambda_max > 2."""
    subdivisions = max(1, ceil(stability_number(kappa_max, dt, dx) / 2 * (1 - 1e-12)))
    return SafeScheme(interval=dt * save_every, substeps=save_every * subdivisions, dx=dx)


def _coords(data: VaryingHeat) -> xr.Dataset:
    def axis(name: str, values: np.ndarray, long_name: str) -> xr.DataArray:
        return xr.DataArray(values, dims=name, attrs={"units": "1", "long_name": long_name})

    cells = data.dx * np.arange(data.size)
    grains = [video.grains for video in data.videos]
    return xr.Dataset(
        coords={
            "sim": axis("sim", np.arange(len(data.videos)), "video"),
            "time": axis("time", data.dt * data.save_every * np.arange(data.steps // data.save_every + 1), "time"),
            "x": axis("x", cells, "x"),
            "y": axis("y", cells, "y"),
            "kind": store.flags([video.map for video in data.videos], MAPS, "sim", "kind of map"),
            "boundary": store.flags([video.boundary for video in data.videos], BOUNDARIES, "sim", "sides"),
            "grains": xr.DataArray(grains, dims="sim", attrs={"units": "1", "long_name": "number of grains"}),
        }
    )


def _attrs(job: VaryingHeatJob) -> dict[str, str | float | int]:
    data = job.varying
    return {
        "title": "Heat equation with a varying coefficient from rough Voronoi tessellations",
        "equation": "d phi/dt = div(kappa grad phi)",
        "scheme": "explicit Euler",
        "stencil": "5-point flux form, faces with the arithmetic mean of kappa",
        "dx": data.dx,
        "dt": data.dt,
        "save_every": data.save_every,
        "interface_width_over_dx": data.interface_width / data.dx,
        "kappa_low": data.kappa.low,
        "kappa_high": data.kappa.high,
        "map_length": data.map_length,
        "seed": job.seed,
        "seed_rule": "numpy SeedSequence([seed, crc32('varying_heat')]).spawn(videos)",
        "units": "non-dimensional",
        "references": "initial state: SAFE-PIT-CM, arXiv 2603.13280v1, appendix A",
    }
