"""The grains wing's part of the configuration, and its jobs."""

from __future__ import annotations

from typing import Any

from pydantic import create_model, model_validator

from phasemill.core.blocks import Block, Job, Wing
from phasemill.grains.config.cells import Cells, CellsJob, CellsNetworksJob
from phasemill.grains.config.data import Case, TruthJob
from phasemill.grains.config.gradnorm import Gradnorm, GradnormJob, GradnormNetworksJob
from phasemill.grains.config.learned import Learn, Marching, MarchJob, Recurrent, StepperJob, UnsupervisedJob
from phasemill.grains.config.polycrystal import (
    Crystals,
    PolycrystalJob,
    Polycrystals,
    PolycrystalStepperJob,
    PolycrystalTruthJob,
)
from phasemill.grains.config.transfer import JOBS as TRANSFER_JOBS
from phasemill.grains.config.transfer import ROUTES as ROUTES
from phasemill.grains.config.transfer import Stage, Transfer, check_chain
from phasemill.grains.config.unseen import Unseen, UnseenJob, UnseenTruthJob


class Grains(Block):
    """The grains wing: multi-phase-field grains and networks that learn from the equation alone."""

    shrink_64: Case
    shrink_64_narrow: Case
    shrink_128: Case
    growth_2: Case
    growth_35: Case
    growth_driven: Case
    marching: Marching
    recurrent: Recurrent
    shrink_64_learn: Learn
    shrink_64_narrow_learn: Learn
    shrink_128_learn: Learn
    growth_2_learn: Learn
    growth_35_learn: Learn
    growth_driven_learn: Learn
    polycrystal: Polycrystals
    crystals: Crystals
    unseen: Unseen
    cells: Cells
    gradnorm: Gradnorm
    transfer: Transfer
    transfer_narrow: Stage
    transfer_resume: Stage
    transfer_pair: Stage
    transfer_many: Stage
    transfer_finer: Stage

    @model_validator(mode="after")
    def _chain(self) -> Grains:
        check_chain(self.transfer_pair, self.transfer_many)
        return self

    @model_validator(mode="after")
    def _windows(self) -> Grains:
        window = self.recurrent.window
        for name in CASES:
            if window > (frames := getattr(self, name).frames):
                raise ValueError(f"recurrent.window {window} is longer than the {frames} frames of {name}")
        return self

    @model_validator(mode="after")
    def _published(self) -> Grains:
        case, wanted = self.shrink_64, self.gradnorm
        if case.cells % 8 or case.cells % wanted.attention:
            raise ValueError(
                f"shrink_64.cells {case.cells} must be a multiple of 8, by which the published encoder divides, and of "
                f"gradnorm.attention {wanted.attention}"
            )
        if wanted.points > case.cells**2 or wanted.intervals > case.frames:
            raise ValueError(
                f"gradnorm.points {wanted.points} and intervals {wanted.intervals} must be within the {case.cells**2} "
                f"cells and {case.frames} frames of shrink_64"
            )
        return self


CASES = {
    "shrink_64": "One grain shrinks",
    "shrink_64_narrow": "One grain shrinks, narrower interface",
    "shrink_128": "One grain shrinks, finer grid",
    "growth_2": "Two grains",
    "growth_35": "35 grains",
    "growth_driven": "Driven growth",
}
"""The benchmarks of one equation each: truth, march, recurrent network, page."""


def _jobs(case: str) -> dict[str, type[Job]]:
    """The jobs of a benchmark: what they have in common is inherited, their own blocks are named after it."""
    benchmark = f"grain_{case}"
    blocks: dict[str, Any] = {case: (Case, ...)}
    networks = blocks | {f"{case}_learn": (Learn, ...)}
    jobs: dict[str, type[Job]] = {
        f"{benchmark}_truth": create_model(f"{case}_truth", __base__=TruthJob, **blocks),
        f"{benchmark}_march": create_model(f"{case}_march", __base__=MarchJob, **networks),
        f"{benchmark}_stepper": create_model(f"{case}_stepper", __base__=StepperJob, **networks),
        benchmark: create_model(case, __base__=UnsupervisedJob, **networks),
    }
    for name in (f"{benchmark}_march", f"{benchmark}_stepper", benchmark):
        jobs[name].benchmark = benchmark
    jobs[benchmark].title = CASES[case]  # type: ignore[attr-defined]  # of LearningJob
    return jobs


JOBS: dict[str, type[Job]] = {name: job for case in CASES for name, job in _jobs(case).items()} | {
    "grain_polycrystal_truth": PolycrystalTruthJob,
    "grain_polycrystal_stepper": PolycrystalStepperJob,
    "grain_polycrystal": PolycrystalJob,
    "grains_gradnorm_networks": GradnormNetworksJob,
    "grains_gradnorm": GradnormJob,
    "grains_unseen_truth": UnseenTruthJob,
    "grains_unseen": UnseenJob,
    "grains_cells_networks": CellsNetworksJob,
    "grains_cells": CellsJob,
    **TRANSFER_JOBS,
}

WING = Wing(Grains, JOBS, place=2)
