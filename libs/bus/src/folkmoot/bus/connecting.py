"""Chooses adapters by address. Their clients are imported only when they are chosen."""

from __future__ import annotations

from folkmoot.bus.addresses import Brokers, Embedded, parse
from folkmoot.bus.ports import Bus


async def connect(address: str) -> Bus:
    """Return the bus at `address`, connected.

    `embedded:PATH` is one file with gossip inside this process; all who connect to the same file
    in one event loop share both. `kafka://HOST:PORT[,HOST:PORT...]?nats=nats://HOST:PORT` is a pair
    of brokers.

    Raises:
        BadAddress: it has neither form.
        BusUnavailable: nothing answers there, or the file cannot be opened.
        CorruptLog: the file is damaged, or of another program.
    """
    place = parse(address)
    if isinstance(place, Embedded):
        return await _embedded(place, address)
    return await _brokers(place, address)


async def _embedded(place: Embedded, address: str) -> Bus:
    from folkmoot.bus.inprocess import InProcessGossip, hub
    from folkmoot.bus.sqlite import SqliteLog

    log = await SqliteLog.open(place.path)
    return Bus(log, InProcessGossip(hub(str(place.path))), address)


async def _brokers(place: Brokers, address: str) -> Bus:
    from folkmoot.bus.kafka import KafkaLog
    from folkmoot.bus.nats import NatsGossip

    gossip = await NatsGossip.connect(place.nats)
    try:
        log = await KafkaLog.connect(place.kafka)
    except BaseException:
        await gossip.close()
        raise
    return Bus(log, gossip, address)
