"""A short run of `make chaos` on one Kafka node. Its seed deals every kind of fault, to all."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from rich.console import Console

from tests.chaos.judge import judge
from tests.chaos.platform import Size
from tests.chaos.report import report
from tests.chaos.run import Options, Outcome, run
from tests.chaos.schedule import LASTS_S, SERVICES, schedule

SEED, SECONDS, EVERY_S = 3990, 16.0, 1.1
SMALL = Size(nodes=1, replicas=2, workers=3)

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(600),
    # aiokafka lets go of some connections of a broker that dies under it without closing them.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One run for all tests of this module."""
    folder = tmp_path_factory.mktemp("chaos")
    options = Options(folder, SEED, SECONDS, EVERY_S, size=SMALL, heal_within_s=240)
    with ThreadPoolExecutor(1) as thread:
        came = thread.submit(asyncio.run, run(options, print)).result()
    report(came, Console(width=100))
    return came


def test_the_seed_deals_every_kind_and_hits_every_service() -> None:
    faults = schedule(SEED, SECONDS, SMALL.nodes, EVERY_S)
    assert {fault.kind for fault in faults} == set(LASTS_S) - {"kill-node"}
    ended = ("kill", "restart", "pause")
    assert {fault.whom for fault in faults if fault.kind in ended} == set(SERVICES)


def test_the_faults_were_really_injected(outcome: Outcome) -> None:
    assert outcome.faults["kill leader"] >= 3
    assert outcome.faults["pause standby"] == 1
    assert outcome.faults["kill-all-nodes"] == outcome.faults["kill-nats"] == 1
    assert outcome.faults.total() > outcome.missed.total()


def test_nothing_is_lost_doubled_or_left_half_done(outcome: Outcome) -> None:
    assert (outcome.verdict.lost, outcome.verdict.doubled) == ([], [])
    assert outcome.verdict.wrong == []
    assert outcome.sagas > SECONDS
    assert outcome.states["completed"]
    assert outcome.states["compensated"]


def test_the_same_run_without_fencing_shows_doubles(outcome: Outcome) -> None:
    found = replace(outcome.evidence, effects=outcome.evidence.tries)
    assert judge(outcome.submitted, found).doubled
