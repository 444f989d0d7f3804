"""Reads a shard's log to its end without taking part: for tools, and when nobody answers.

What a service would answer can always be had from its log, also when the service is down; it only
takes longer.
"""

from __future__ import annotations

from folkmoot.bus.ports import Bus
from folkmoot.contracts.codec import decode_record
from folkmoot.core.kernel import Shard
from folkmoot.core.kernel.machine import Machine, S
from folkmoot.runtime.seat import READ_RECORDS_MAX, ShardName
from folkmoot.runtime.snapshots import Archive
from folkmoot.runtime.timing import Timing

READ_TIMEOUT_MS = 2_000


async def observe(bus: Bus, machine: Machine[S], name: ShardName) -> Shard[S]:
    """Return the shard as of the present end of its log.

    Raises:
        UnknownTopic: the shard has no log.
        LogTruncated: the log is not the one that its snapshots are of.
        UnreadableRecord: the log holds what this version cannot read.
    """
    archive = Archive(bus.log, machine, name.log, name.partition, "observer", Timing())
    end = await bus.log.end_offset(name.log, name.partition)
    tail = await bus.log.tail(name.log, name.partition, 0)
    try:
        shard = await archive.restore(tail)
        while shard.next_offset < end:
            for stored in await tail.read(READ_RECORDS_MAX, READ_TIMEOUT_MS):
                record = decode_record(stored.value, stored.headers, machine.events)
                shard.observe(stored.offset, record)
    finally:
        await tail.close()
    return shard
