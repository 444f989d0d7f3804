"""What a scrape tells of a service's replicas."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from folkmoot.bus.inprocess import Hub, InProcessGossip
from folkmoot.bus.ports import Bus
from folkmoot.core.kernel import Refused
from folkmoot.runtime.metrics import registry
from folkmoot.runtime.service import Service
from folkmoot.runtime.shelf import Manifest
from folkmoot.testing.eventually import eventually
from folkmoot.testing.faulty_log import FaultyLog
from folkmoot.testing.virtual_time import LoopClock

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import World

POISON = 1_000_000
PLACE = {"service": "election", "shard": "log/0"}


async def test_a_scrape_tells_who_leads_and_how_far_it_is(world: World) -> None:
    log = FaultyLog(world.storage)
    replica = world.replica("a", log)
    service = Service("election", Bus(log, InProcessGossip(Hub()), "x"), LoopClock(), [replica])
    scraped: CollectorRegistry = registry(service)

    def value(name: str, **labels: str) -> float | None:
        return scraped.get_sample_value(f"folkmoot_{name}", PLACE | labels)

    assert value("role", role="restoring") == 1
    running = asyncio.create_task(service.run())
    await eventually(lambda: value("role", role="leading") == 1)
    assert value("role", role="following") == 0
    assert value("holder_info", holder="a") == 1
    held = log.fail("out", "held")
    world.send(1, 2)
    await held.hit.wait()
    assert value("pending_effects") == 2
    stuck = log.fail("log", "held")
    world.send(3)
    await stuck.hit.wait()
    world.send(*range(4, 11))
    await eventually(lambda: value("inbox_lag", topic="in") == 7)
    stuck.gate.set()
    held.gate.set()
    await eventually(lambda: value("inbox_lag", topic="in") == 0)
    assert value("pending_effects") == 0
    assert value("log_offset") == len(world.records())
    assert value("term") == 0
    assert value("terms_led_total") == 1
    assert value("fenced_appends_total") == 0
    await eventually(lambda: (value("progress_age_seconds") or 0) > 0.05)
    world.claim_against(world.history().leadership)
    await eventually(lambda: value("fenced_appends_total") == 1)
    await eventually(lambda: value("terms_led_total") == 2)
    service.stop()
    await running
    assert value("role", role="stopped") == 1
    assert value("inbox_lag", topic="in") is None


async def test_a_scrape_tells_of_snapshots_and_of_restoring(world: World) -> None:
    log = FaultyLog(world.storage)
    replica = world.replica("a", log)
    service = Service("election", Bus(log, InProcessGossip(Hub()), "x"), LoopClock(), [replica])
    scraped = registry(service)

    def value(name: str) -> float | None:
        return scraped.get_sample_value(f"folkmoot_{name}", PLACE)

    assert value("snapshot_bytes") is None
    replica.archive.newest = Manifest("", "a", 1, "", "s", "", 1, 1_234, "m", at=995)
    replica.shard.at = 1_000
    replica.archive.written, replica.archive.unreadable, replica.restored_ms = 3, 2, 4_000
    assert value("snapshot_bytes") == 1_234
    assert value("snapshot_age_seconds") == 0.005
    assert value("snapshots_written_total") == 3
    assert value("snapshots_unreadable_total") == 2
    assert value("restore_seconds") == 4


async def test_a_scrape_tells_what_became_of_inputs_and_effects(world: World) -> None:
    log = FaultyLog(world.storage)
    replica = world.replica("a", log)
    service = Service("election", Bus(log, InProcessGossip(Hub()), "x"), LoopClock(), [replica])
    scraped = registry(service)

    def value(name: str, **labels: str) -> float | None:
        place = {"service": "election", "shard": "log/0"} | labels
        return scraped.get_sample_value(f"folkmoot_{name}", place)

    running = asyncio.create_task(service.run())
    await eventually(lambda: replica.leads)
    world.send(1, 2, 0, -1)  # two totals, nothing to do, and what cannot be accepted
    await eventually(lambda: value("effects_total") == 3)
    assert value("dead_letters_total") == len(world.letters()) == 1
    assert value("inputs_total", outcome="decided") == 3
    assert value("inputs_total", outcome="unchanged") == 2  # `Led` too changes nothing here
    assert value("inputs_total", outcome="refused") == 0
    add, _ = replica.shard.machine.inputs.values()
    with pytest.raises(Refused, match="negative"):
        await replica.submit(add(-1))
    assert value("inputs_total", outcome="refused") == 1
    assert value("append_seconds_count") == value("append_seconds_bucket", le="+Inf")
    assert value("appended_records_total") == len(world.records()) - 1  # all but the claim
    log.fail("log", "lost")
    world.send(3)
    await eventually(lambda: value("failures_total", reason="bus") == 1)
    world.send(POISON)
    await eventually(lambda: value("failures_total", reason="defect") == 1)
    await eventually(lambda: value("dead_letters_total") == 2)
    service.stop()
    await running
