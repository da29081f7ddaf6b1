"""kill -9 of Snakemake and its jobs in every stage, one after the other; then unlock, and a plain rerun.

Six kills in `make test`; `make faults` sets PHASEMILL_FAULTS to more, which reach every stage of other wings, too.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from phasemill.core import store
from tests.conftest import snakemake
from tests.faults.chain import Chain, Kill

KILLS = int(os.environ.get("PHASEMILL_FAULTS", "6"))
SEED = int(os.environ.get("PHASEMILL_FAULTS_SEED", "20260313"))
PER_CHAIN = 14
# Benchmark, and one of its data sets whose statistics are made as well.
TARGETS = [
    ("grain_shrink_64_narrow", "grains/grain_shrink_64_narrow_truth"),  # the only one with a gate
    ("poisson", "pinns/poisson_truth"),
    ("transport_trained", "transport/voronoi_heat"),
    ("spinodal_rollout", "spinodal/cahn_hilliard"),
]
CHAINS = [(min(PER_CHAIN, KILLS - first), number) for number, first in enumerate(range(0, KILLS, PER_CHAIN))]


@pytest.fixture(scope="module", params=CHAINS, ids=[f"{TARGETS[n % 4][0]}-{kills}-kills-{n}" for kills, n in CHAINS])
def killed(
    request: pytest.FixtureRequest, smoke_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Chain, list[Kill]]:
    """A chain after its kills, and what was killed; printed, so that a failure shows it."""
    count, number = request.param
    dice = random.Random(SEED + number)
    chain = Chain(smoke_run, tmp_path_factory.mktemp("killed") / "clone", *TARGETS[number % len(TARGETS)])
    jobs = [job for job in chain.jobs if job.rule != "summary"]  # of one benchmark it is over before it can be met
    rounds, rest = divmod(count, len(jobs))
    chosen = sorted([*range(len(jobs))] * rounds + dice.sample(range(len(jobs)), rest))
    kills: list[Kill] = []
    for job in (jobs[index] for index in chosen):
        kills.append(chain.kill(job, dice))
        print(f"killed {kills[-1]}", flush=True)
        for manifest in chain.folder.rglob("[!.]*.json"):  # a store with a manifest is whole, or known not to be
            path = manifest.with_suffix(".zarr")
            if path.is_dir() and not chain.marked(str(path.relative_to(chain.folder))):
                store.open_dataset(path)
    chain.finish()
    return chain, kills


def test_a_plain_rerun_ends_in_the_same_digests(killed):
    chain, kills = killed
    told = "\n".join(map(str, kills))
    undisturbed, found = chain.digests(chain.done), chain.digests(chain.folder)
    assert [output for output in undisturbed if undisturbed[output] != found[output]] == [], told
    assert (chain.folder / "results/smoke/index.html").is_file()
    assert "Nothing to be done" in snakemake(chain.folder, "-n", *chain.words).stdout, told


def test_no_half_written_file_is_left(killed):
    chain, kills = killed
    assert list(chain.folder.glob("*/smoke/**/.*.zarr.*.partial")) == [], "\n".join(map(str, kills))


def test_the_kills_hit_their_stages(killed):
    """A test of the tests above: nearly all kills came while the run, and most while their stage, still went on."""
    _, kills = killed
    told = "\n".join(map(str, kills))
    assert sum(kill.landed for kill in kills) >= 0.8 * len(kills), told
    assert sum(kill.unfinished for kill in kills) >= 0.5 * len(kills), told
    # A job outlives each of its events; with a delay, the last of its outputs may be whole and unmarked by then.
    assert [str(kill) for kill in kills if kill.landed and kill.delay == 0 and not kill.unfinished] == [], told


def test_a_second_snakemake_is_refused_and_harms_nothing(killed):
    chain, _ = killed
    statistics = chain.folder / chain.jobs_of("statistics")[0].outputs[0]
    statistics.unlink()
    first = chain.start()
    locks = chain.folder / ".snakemake/locks"  # of the inputs first; that of the outputs is the one that holds
    chain.wait_for(lambda: any(lock.stat().st_size for lock in locks.glob("*.output.lock")), first)
    os.killpg(first.pid, signal.SIGSTOP)  # it keeps the lock for as long as the second one looks
    second = snakemake(chain.folder, *chain.words, check=False)
    os.killpg(first.pid, signal.SIGCONT)
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stdout
    assert "removed with the --unlock argument" in second.stdout
    assert first.wait(120) == 0
    assert chain.digests(chain.folder) == chain.digests(chain.done)
