"""Chooses adapters by address. Their clients are imported only when they are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from folkmoot.bus.addresses import Brokers, Embedded, parse
from folkmoot.bus.credentials import NOBODY, Credentials
from folkmoot.bus.limits import RECORD_LIMIT_BYTES
from folkmoot.bus.ports import Bus, Refusals


async def connect(
    address: str,
    *,
    record_limit_bytes: int = RECORD_LIMIT_BYTES,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    credentials: Credentials = NOBODY,
    kafka_options: Mapping[str, Any] | None = None,
    nats_options: Mapping[str, Any] | None = None,
) -> Bus:
    """Return the bus at `address`, connected.

    `embedded:PATH` is one file with gossip inside this process; all who connect to the same file
    in one event loop share both. `kafka://HOST:PORT[,HOST:PORT...]?nats=nats://HOST:PORT` is a pair
    of brokers.

    Args:
        address: in one of these forms.
        record_limit_bytes: of one record; a broker's topics must allow as much.
        synchronous: of the file; NORMAL is faster and survives kill -9, but not a power cut.
        credentials: who this is to the brokers; a file asks nobody.
        kafka_options: further arguments of every aiokafka client, such as `ssl_context`.
        nats_options: keyword arguments of `NatsGossip.connect`, such as `user_credentials`.

    Raises:
        BadAddress: it has neither form.
        BadCredentials: they cannot be used.
        BusUnavailable: nothing answers there, or the file cannot be opened.
        CorruptLog: the file is damaged, or of another program.
    """
    place = parse(address)
    if isinstance(place, Embedded):
        return await _embedded(place, address, record_limit_bytes, synchronous)
    return await _brokers(
        place,
        address,
        record_limit_bytes,
        credentials.kafka() | dict(kafka_options or {}),
        credentials.nats() | dict(nats_options or {}),
    )


async def _embedded(
    place: Embedded,
    address: str,
    record_limit_bytes: int,
    synchronous: Literal["FULL", "NORMAL"],
) -> Bus:
    from folkmoot.bus.inprocess import InProcessGossip, hub
    from folkmoot.bus.sqlite import SqliteLog

    log = await SqliteLog.open(
        place.path, synchronous=synchronous, record_limit_bytes=record_limit_bytes
    )
    return Bus(log, InProcessGossip(hub(str(place.path))), address)


async def _brokers(
    place: Brokers,
    address: str,
    record_limit_bytes: int,
    kafka_options: Mapping[str, Any],
    nats_options: Mapping[str, Any],
) -> Bus:
    from folkmoot.bus.kafka import KafkaLog
    from folkmoot.bus.nats import NatsGossip

    refusals = Refusals()
    gossip = await NatsGossip.connect(place.nats, refusals=refusals, **nats_options)
    try:
        log = await KafkaLog.connect(
            place.kafka,
            record_limit_bytes=record_limit_bytes,
            options=kafka_options,
            refusals=refusals,
        )
    except BaseException:
        await gossip.close()
        raise
    return Bus(log, gossip, address, refusals)
