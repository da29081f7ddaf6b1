"""Error against cost: the contestants compute what they say, and the verdicts follow from the rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from phasemill.core import machine, store
from phasemill.core.files import write_json
from phasemill.core.model_files import save_model
from phasemill.report import claims
from phasemill.spinodal import physics
from phasemill.spinodal.config.data import HeldOutJob
from phasemill.spinodal.config.speed import Solvers, SpeedJob
from phasemill.spinodal.datasets import mixtures as dataset
from phasemill.spinodal.evaluate import speed_rows as rows
from phasemill.spinodal.evaluate.speed import speed
from phasemill.spinodal.evaluate.speed_marches import DeviceMarch, NetworkMarch, Roll, Still, StrideMarch
from phasemill.spinodal.evaluate.speed_rows import Course, Method, Row
from phasemill.spinodal.evaluate.speed_tables import GUESS, STRIDE, Costs, Gains, bars, loosest, stride_gain
from phasemill.spinodal.figures.speed import speed as draw
from phasemill.spinodal.initial import perlin_mixture
from phasemill.spinodal.library import BUILDERS, load_model
from phasemill.spinodal.physics import Medium
from phasemill.spinodal.rollout import predict_at, refine
from phasemill.spinodal.solver import Rkl2
from phasemill.spinodal.stride_network import prepared, strided
from tests.mixtures import MEDIUM

pytestmark = pytest.mark.physics

CARD = {
    "medium": MEDIUM, "downscale": "nearest", "box": 16, "mean_range": [0.3, 0.7],
    "provenance": {"stage": "test", "seconds": 0.0},
}  # fmt: skip
PHI = perlin_mixture(np.random.default_rng(5), (16, 16, 16), lattice=16)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Untrained networks of each kind as files."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    cards: dict[str, dict[str, Any]] = {
        **{name: {"kind": "recurrent", "interval": 0.5, "network": {"inputs": name}} for name in ("raw", "features")},
        "stride": {
            "kind": "stride", "interval": 5.0,
            "network": {"channels": 8, "dilations": [1], "width": 2.0, "tolerance": 1e-2},
        },
    }  # fmt: skip
    for name, card in cards.items():
        network = BUILDERS[card["kind"]][0]({**CARD, **card})
        save_model(folder / f"{name}.safetensors", network, {**CARD, **card})
    return {name: str(folder / f"{name}.safetensors") for name in cards}


def test_rolls_are_euler_steps() -> None:
    march, expected, medium = Roll(PHI, Medium(), 1.25e-3, "float64"), PHI, Medium()
    march.advance(3 * 1.25e-3)
    for _ in range(3):
        expected = physics.euler_step(expected, 1.25e-3, medium)
    assert_allclose(march.phi, expected, rtol=0, atol=1e-14)
    single = Roll(PHI, medium, 1.25e-3, "float32")
    single.advance(1.25e-3)
    assert single.phi.dtype == np.float32


def test_network_marches_are_its_roll_out(models: dict[str, str]) -> None:
    model = load_model(models["features"])
    expected = predict_at(model.step, PHI[None, ::2, ::2, ::2].astype(np.float32), range(4))[0]
    march, on_device = NetworkMarch(PHI, model), DeviceMarch(PHI, load_model(models["features"]), "cpu")
    for duration, frame in ((0.5, expected[1]), (1.0, expected[3])):
        march.advance(duration)
        on_device.advance(duration)
        assert_array_equal(march.phi, frame)
        assert_allclose(on_device.phi, frame, rtol=0, atol=1e-7)


def test_strides_follow_the_solver(models: dict[str, str]) -> None:
    model, medium = load_model(models["stride"]), Medium()
    march = StrideMarch(PHI, 0.0, model, Rkl2(PHI, medium, tolerance=1e-3), begin=4.0)
    solver = Rkl2(PHI, medium, tolerance=1e-3)
    march.advance(4.0)
    solver.advance(4.0)
    coarse = solver.phi[::2, ::2, ::2].astype(np.float32)
    assert_array_equal(march.phi, coarse)
    march.advance(1.0)  # one stride
    step = strided(prepared(model.network), 1.0)
    expected = step(torch.from_numpy(coarse)[None], None)[0][0]
    assert_allclose(march.phi, expected.numpy(), rtol=0, atol=1e-6)
    alone = StrideMarch(coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2), 4.0, model, solver, 4.0, corrected=False)
    alone.advance(1.0)
    guess = prepared(model.network).guess(torch.from_numpy(coarse)[None], torch.ones(1))[0]
    assert_allclose(alone.phi, guess.numpy(), rtol=0, atol=1e-6)
    assert np.abs(alone.phi - march.phi).max() > 1e-3
    assert march.phi.mean(dtype=np.float64) == pytest.approx(coarse.mean(dtype=np.float64), abs=1e-7)


def test_race_scores_against_the_truth() -> None:
    medium = Medium()
    course = Course.of([PHI], [0.0], [0.5, 1.0], 1e-7, medium, 2, 0.5)
    still = Method("no motion", "", lambda phi, now: Still(phi))
    loose, tight = (rows.rkl2("RKL2", tolerance, medium) for tolerance in (1e-2, 1e-5))
    found = {row.method: row for row in rows.race([still, loose, tight], course, repeats=2)}
    moved = PHI[::2, ::2, ::2] - course.truth[0, :, ::2, ::2, ::2]
    assert found[still].rmse == pytest.approx(np.sqrt(np.mean(moved**2)))
    seen = [a[::2, ::2, ::2] for a in (PHI, *course.truth[0])]
    for fields, dx, error in (
        (seen, 2.0, found[still].coarse_energy_error),
        ([refine(a, 2) for a in seen], 1.0, found[still].energy_error),
    ):
        start, *truths = (physics.free_energy(a, 3.0, dx) for a in fields)
        assert error == pytest.approx(max(abs(start / e - 1) for e in truths), rel=1e-6)
    assert found[loose].drift < 1e-12
    errors = [found[method].rmse for method in (tight, loose, still)]
    assert errors == sorted(errors)
    assert errors[0] < 1e-4
    assert found[tight].frames.shape == (1, 2, 8, 8, 8)
    assert found[loose].seconds > 0
    broken = rows.score(still, 1.0, np.full((1, 2, 8, 8, 8), np.nan), course)
    assert (broken.rmse, broken.energy_error, broken.drift) == (None, None, None)


def test_race_scores_all_boxes_and_times_one() -> None:
    medium, other = Medium(), perlin_mixture(np.random.default_rng(6), (16, 16, 16), lattice=16)
    course = Course.of([PHI, other], [0.0, 0.0], [0.5], 1e-5, medium, 2, 0.5)
    alone = [Course.of([box], [0.0], [0.5], 1e-5, medium, 2, 0.5) for box in (PHI, other)]
    still = Method("no motion", "", lambda phi, now: Still(phi))
    both, first = rows.race([still, replace(still, everywhere=False)], course, repeats=1)
    each = [rows.race([still], its, repeats=1)[0] for its in alone]
    assert (len(both.frames), len(first.frames)) == (2, 1)
    assert both.rmse == pytest.approx(np.sqrt(np.mean([r.rmse**2 for r in each])))
    assert both.rmse_worst == max(r.rmse for r in each)
    assert both.energy_error == max(r.energy_error for r in each)
    assert both.energy_error_mean == pytest.approx(np.mean([r.energy_error for r in each]))
    assert (first.rmse, first.energy_error) == (each[0].rmse, each[0].energy_error)


def test_boxes_side_by_side_are_those_of_one_thread(models: dict[str, str]) -> None:
    """Frames do not depend on the threads, nor does which box belongs to which method."""
    boxes = [perlin_mixture(np.random.default_rng(seed), (16, 16, 16), lattice=16) for seed in range(4)]
    model, medium = load_model(models["features"]), Medium()
    solver = rows.rkl2("RKL2", 1e-2, medium)
    methods = [replace(solver, everywhere=False), rows.network("network", model, begin=0.0, solver=solver), solver]
    one, two = (
        rows.race(methods, Course.of(boxes, [0.0] * 4, [0.5, 1.0], 1e-5, medium, 2, 0.5, threads), 1, threads)
        for threads in (1, 2)
    )
    assert [len(row.frames) for row in two] == [1, 4, 4]
    for row, other in zip(one, two, strict=True):
        assert_array_equal(row.frames, other.frames)
        assert row.rmse == other.rmse
    for box, frames in zip(boxes, two[2].frames, strict=True):
        assert_array_equal(frames, rows.march(solver, box, 0.0, [0.5, 1.0])[0][:, ::2, ::2, ::2].astype(np.float32))


def test_racing_rkl2_takes_more_stages() -> None:
    """The usual cap is what holds the cost of a loose tolerance up."""
    limit = physics.stable_dt(3, Medium())
    for factor, stages in ((1, 81), (1, 401)):
        march = rows.rkl2("RKL2", 3.0, Medium(), "float32", factor, stages).start(PHI, 0.0)
        assert isinstance(march, Rkl2)
        assert march.longest == pytest.approx(limit * (stages**2 + stages - 2) / 4)
    settings = Solvers(tolerances=[3.0], coarse_tolerances=[3.0])
    racing = [m.start(PHI, 0.0) for m in rows.solvers(settings, Medium(), 2) if m.family.startswith("RKL2")]
    stages = [s.longest / s.limit for s in racing if isinstance(s, Rkl2)]
    assert stages == pytest.approx([(401**2 + 401 - 2) / 4] * 4)


def row(
    family: str, seconds: float, error: float | None, value: float | None = None, precision: str = "float32"
) -> Row:
    method = Method(family, "", lambda phi, now: Still(phi), precision, value=value)
    return Row(method, seconds, np.zeros(1), *[error] * 6)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(0.05, (1.5, True)), (0.005, (2.0, False)), (1e-9, None), (None, None)],
    ids=["loosest tried", "between", "none", "nan"],
)
def test_rival_is_the_loosest_of_no_larger_error(error: float | None, expected: tuple[float, bool] | None) -> None:
    field = [row("RKL2", 3.0, 1e-4, 1e-4), row("RKL2", 1.5, 1e-2, 0.1), row("RKL2", 2.0, 1e-3, 1e-2)]
    field += [row("RKL2", 0.1, 1e-9, 1.0, "float64"), row("other", 0.01, 1e-9, 1.0)]
    found = loosest(field, "RKL2", row("network", 1.0, error), "rmse", "float32")
    assert (found and (found.row.seconds, found.limited)) == expected


def test_a_setting_that_fails_does_not_limit_the_rival() -> None:
    field = [row("RKL2", 1.0, 0.1, 0.1), row("RKL2", 0.5, None, 1.0)]
    found = loosest(field, "RKL2", row("network", 1.0, 0.2), "rmse", "float32")
    assert found
    assert found.row is field[0]
    assert not found.limited


@pytest.mark.parametrize(("cost", "gain"), [(0.1, 20.0), (4.0, 0.5)])
def test_stride_is_held_against_the_loosest_equal_rkl2(cost: float, gain: float) -> None:
    long = [row("RKL2", 8.0, 1e-4, 1e-4), row("RKL2", 2.0, 1e-2, 1e-2), row("RKL2", 1.0, 0.051, 0.1)]
    long += [row("RKL2", 0.5, 1e-9, 3.0, "float64"), row(STRIDE, cost, 0.05)]
    found, words = stride_gain(long)
    assert found == pytest.approx(gain)
    assert "limited by the settings tried" not in words
    assert "limited by the settings tried" in stride_gain([*long[:2], long[-1]])[1]
    step = {"compiled": 1.0, "numpy": 9.0, "arithmetic": 0.4, "memory": 0.1}
    seconds = {"euler": 6.0, "rkl2": 1.0, "euler_late": 10.0, "rkl2_late": 1.0}
    costs = Costs([], long, [], {"float32": step}, Gains(1.0, 4.0, seconds), {2: {"modules": 3.0, "fused": 1.0}})
    found = bars(costs, 0.055)
    assert [bar.found for bar in found] == [9.0, 6.0, 10.0, pytest.approx(gain), 3.0]
    assert [bar.met for bar in found] == [True, True, False, gain >= 5, True]
    assert [bar.met for bar in bars(costs, 0.04)] == [True, True, False, False, True]


def test_stride_gain_is_unknown_where_the_network_fails() -> None:
    assert stride_gain([row("RKL2", 1.0, 1e-3), row(STRIDE, 0.1, None)])[0] is None
    assert stride_gain([row("RKL2", 1.0, 1e-3, precision="float64"), row(STRIDE, 0.1, 0.1)])[0] is None


def test_machine_limits_are_those_of_correct_kernels() -> None:
    x = np.full((machine.CHAINS, 4), 2.0)
    machine._multiply_add(x, 0.5, 1.0, 2)
    assert_allclose(x, 2.0)  # the fixed point
    a, b, c = np.zeros(5), np.arange(5.0), np.ones(5)
    machine._triads(a, b, c, 2.0, 1)
    assert_array_equal(a, b + 2)
    assert machine.multiply_adds(np.float32, repeats=1) > 0
    assert machine.bandwidth(10_000, repeats=1) > 0


def settings(models: dict[str, str], **changes: Any) -> dict[str, Any]:
    horizon = {"tolerances": [1e-3, 1e-1], "truth": 1e-5}
    return {
        "boxes": 2,
        "energy_error": 0.05,
        "networks": {"published": models["raw"], "features": models["features"], "stride": models["stride"]},
        "early": {**horizon, "euler": [1.25e-3], "spectral": [0.1], "coarse_euler": [0.02], "marks": [0.5, 1.0]},
        "long": {**horizon, "small_strides": True, "start": 1.0, "marks": [2.0]},
        "gain": {"until": 0.5, "tolerance": 1e-3, "late_until": 1.0, "late_tolerance": 1e-3},
        "timing": {"repeats": 1, "steps": 10, "batches": [1, 2], "rollout": 1},
    } | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"long": {"small_strides": True, "tolerances": [1e-3], "truth": 1e-5, "start": 0.7, "marks": [2.0]}},
            "none of early.marks",
        ),
        (
            {"long": {"small_strides": True, "tolerances": [1e-3], "truth": 1e-5, "start": 1.0, "marks": [1.0]}},
            "begin before",
        ),
        (
            {"long": {"small_strides": True, "tolerances": [1e-3], "truth": 1e-5, "start": 1.0, "marks": [3.0, 2.0]}},
            "not ascending",
        ),
    ],
)
def test_horizons_that_do_not_fit_are_refused(models: dict[str, str], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SpeedJob.model_validate({"seed": 1, "medium": MEDIUM, "speed": settings(models, **changes)})


def test_whole_evaluation(models: dict[str, str], tmp_path: Path) -> None:
    held_out = {
        "size": 16, "simulations": 2, "frames": 2, "tolerance": 1e-3, "late": 0.0, "late_times": {"low": 1, "high": 2}
    }  # fmt: skip
    mixtures = {
        "mean": 0.5, "mean_deviation": 0.05, "mean_range": {"low": 0.4, "high": 0.6}, "lattice": [12], "octaves": 1,
        "deviation": {"low": 0.1, "high": 0.2},
    }  # fmt: skip
    job = {"seed": 1, "medium": MEDIUM, "mixtures": mixtures, "held_out": held_out}
    dataset.simulate(HeldOutJob.model_validate(job), tmp_path / "held_out.zarr")
    chosen = SpeedJob.model_validate({"seed": 1, "medium": MEDIUM, "speed": settings(models)})
    found = speed(chosen, tmp_path / "held_out.zarr", tmp_path / "out", models=[Path(models["features"])], device="cpu")
    write_json(tmp_path / "out" / "metrics.json", {"metrics": found["metrics"]})
    drawn = draw(tmp_path / "out", tmp_path / "figures")
    assert [entry["file"] for entry in drawn][:2] == ["pareto_long.svg", "pareto_early.svg"]
    wanted = {name for name in claims.load().claims if name.startswith("spinodal.speed.")}
    assert set(found["claims"]) == wanted
    assert [name for name, value in found["claims"].items() if value is None] == ["spinodal.speed.gpu"]
    fields = store.open_dataset(tmp_path / "out" / "fields.zarr")
    assert fields.sizes["run"] == len(found["metrics"]["early"]) + len(found["metrics"]["long"])
    families = {entry["family"] for entry in found["metrics"]["early"]}
    assert {"numpy roll", "RKL2", "spectral SBDF2", "network, large stride", "network, trained here", GUESS} <= families
    boxes = {(entry["family"], entry["precision"]): entry["boxes"] for entry in found["metrics"]["early"]}
    assert boxes["RKL2", "float32"] == boxes["network, published", "bfloat16"] == 2
    assert boxes["RKL2", "float64"] == boxes["explicit Euler", "float32"] == 1
    final = {entry["family"]: entry for entry in found["metrics"]["early"]}
    assert final["numpy roll"]["rmse"] == final["explicit Euler"]["rmse"]
