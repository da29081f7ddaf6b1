"""Times of jobs: the schedule, what a run leaves, what is recorded, and how another machine reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasemill.core import limits, run_times
from phasemill.core.errors import InputError
from phasemill.core.run_times import RECORDED, SHORT, Task, Times, makespan

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"


def finished(folder: Path, name: str, wall: float, scale: str = "smoke", log: str = "") -> None:
    """What a job leaves that ran here."""
    path = folder / "logs" / scale / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}\n{wall}\t0:00:00\t200.0\t1\t1\t1\t0\t0\t90\t{wall / 2}\n")
    path.with_suffix(".log").write_text(log)


@pytest.mark.parametrize(
    ("tasks", "cores", "seconds"),
    [
        ({}, 2, 0),
        ({"a": Task(3), "b": Task(2, needs=["a"])}, 2, 5),
        ({"a": Task(3), "b": Task(2), "c": Task(4, needs=["a", "b"])}, 2, 7),
        ({"a": Task(3), "b": Task(2), "c": Task(1)}, 1, 6),
        ({"a": Task(3), "b": Task(2), "c": Task(1)}, 2, 3),
        ({"a": Task(2, threads=2), "b": Task(1), "c": Task(1)}, 2, 3),
        ({"a": Task(2, threads=8)}, 2, 2),  # scaled down to the cores, as Snakemake does
        ({"a": Task(1), "b": Task(1), "c": Task(4)}, 2, 5),
        ({"a": Task(1), "b": Task(1), "c": Task(4, priority=1)}, 2, 4),
        ({"b": Task(2, needs=["done before"])}, 1, 2),
    ],
)
def test_jobs_start_when_cores_are_free_and_their_needs_are_done(tasks, cores, seconds):
    assert makespan(tasks, cores) == pytest.approx(seconds)


def test_a_run_is_read_from_what_snakemake_leaves(tmp_path):
    finished(tmp_path, "wing/simulate", 8.0)
    finished(tmp_path, "wing/resumed", 1.0, log="net: goes on at step 40 of 80 from x")
    finished(tmp_path, "wing/idle", 1.0, log="net: already finished at step 80; delete x to train again")
    finished(tmp_path, "wing/half", 1.0)
    (tmp_path / "logs/smoke/wing/half.tsv").write_text(f"{HEADER}\n3.0\t0:0")
    finished(tmp_path, "wing/empty", 1.0)
    (tmp_path / "logs/smoke/wing/empty.tsv").write_text("")
    finished(tmp_path, "quick", 0.1)
    (tmp_path / "logs/smoke/quick.tsv").write_text(f"{HEADER}\n0.1\t0:00:00" + "\tNA" * 8 + "\n")
    assert run_times.measured("smoke", tmp_path) == {
        "wing/simulate": {"wall_s": 8.0, "cpu_s": 4.0, "memory_mb": 200.0},
        "quick": {"wall_s": 0.1, "cpu_s": 0.0, "memory_mb": 0.0},
    }
    assert run_times.measured("laptop", tmp_path) == {}


def test_a_machine_of_half_the_speed_takes_twice_as_long(tmp_path, monkeypatch):
    finished(tmp_path / "there", "wing/draw_a", 8.0)
    finished(tmp_path / "there", "wing/draw_b", 4.0)
    monkeypatch.setattr(run_times, "speed", lambda: 100.0)
    rules = {"wing/draw_a": "draw", "wing/draw_b": "draw", "wing/other": "other"}
    assert run_times.record("smoke", rules, ["gate"], {}, tmp_path / "there") == ["wing/other"]
    monkeypatch.setattr(run_times, "speed", lambda: 50.0)
    (tmp_path / "here" / RECORDED.parent).mkdir(parents=True)
    (tmp_path / "there" / RECORDED).rename(tmp_path / "here" / RECORDED)
    times = Times("smoke", tmp_path / "here")
    assert times.seconds == {"wing/draw_a": 16.0, "wing/draw_b": 8.0}
    assert times.memory == dict.fromkeys(("wing/draw_a", "wing/draw_b"), 200 * 2**20)
    assert [times.of_rule(rule) for rule in ("draw", "gate", "other")] == [12.0, SHORT, None]
    finished(tmp_path / "here", "wing/draw_b", 5.0)  # what ran here needs no scaling
    assert Times("smoke", tmp_path / "here").seconds == {"wing/draw_a": 16.0, "wing/draw_b": 5.0}
    assert Times("paper", tmp_path / "here").seconds == {}


def test_a_new_record_keeps_what_it_does_not_measure_at_the_new_speed(tmp_path, monkeypatch):
    monkeypatch.setattr(run_times, "speed", lambda: 100.0)
    for name in ("a", "b", "gone"):
        finished(tmp_path, name, 8.0)
    run_times.record("smoke", {"a": "a", "b": "b", "gone": "gone"}, [], {"commit": "1"}, tmp_path)
    for name in ("b", "gone"):
        (tmp_path / f"logs/smoke/{name}.tsv").unlink()
    finished(tmp_path, "a", 3.0)
    monkeypatch.setattr(run_times, "speed", lambda: 200.0)
    (tmp_path / "data/smoke").mkdir(parents=True)
    (tmp_path / "data/smoke/x").write_bytes(b"12345")
    assert run_times.record("smoke", {"a": "a", "b": "b"}, [], {"commit": "2"}, tmp_path) == []
    scale = run_times.recorded(tmp_path)["smoke"]
    assert {name: job["wall_s"] for name, job in scale["jobs"].items()} == {"a": 3.0, "b": 4.0}
    assert (scale["bytes"], scale["machine"]["commit"]) == ({"data": 5, "results": 0}, "2")


def test_nothing_to_record_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"logs/laptop has no times .* snakemake -c all --config scale=laptop"):
        run_times.record("laptop", {"a": "a"}, [], {}, tmp_path)


@pytest.fixture
def measure():
    """Measure the speed anew."""
    run_times.speed.cache_clear()
    yield run_times.speed.__wrapped__
    run_times.speed.cache_clear()


def test_the_speed_of_a_core_repeats(measure):
    assert measure() == pytest.approx(measure(), rel=0.5)
    assert measure() > 0


def test_doubled_work_takes_twice_as_long(measure, monkeypatch):
    least, own = run_times._least, measure()
    monkeypatch.setattr(run_times, "_least", lambda work: least(lambda: (work(), work())))
    assert measure() == pytest.approx(own / 2, rel=0.3)


def test_the_speed_is_measured_once(measure, monkeypatch):
    works = []
    monkeypatch.setattr(run_times, "_least", lambda work: works.append(work) or 1.0)
    assert run_times.speed() == run_times.speed() == pytest.approx(1.0)
    assert len(works) == 3


def test_a_control_group_rations_cores_and_memory(tmp_path, monkeypatch):
    (tmp_path / "job/step").mkdir(parents=True)
    (tmp_path / "membership").write_text("9:cpu:/elsewhere\n0::/job/step\n")
    monkeypatch.setattr(limits, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(limits, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(limits, "affinity", lambda: 8)
    (tmp_path / "job/step/cpu.max").write_text("max 100000\n")
    assert limits.cores() == 8
    (tmp_path / "job/cpu.max").write_text("250000 100000\n")  # set for the whole job, not for the step
    assert limits.cores() == 2
    (tmp_path / "job/memory.max").write_text("1000\n")
    (tmp_path / "job/memory.current").write_text("400\n")
    assert limits.memory() == 600
    (tmp_path / "job/memory.stat").write_text("anon 100\nfile 300\nactive_file 50\ninactive_file 250\n")
    assert limits.memory() == 850  # pages of files read once are given back on demand
    (tmp_path / "job/step/memory.current").write_text("10\n")  # other steps use what the job has, too
    assert limits.memory() == 850
