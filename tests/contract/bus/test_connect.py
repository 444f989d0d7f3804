"""Addresses, and what `connect` makes of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from folkmoot.bus import (
    BadAddress,
    Bus,
    BusError,
    BusUnavailable,
    CorruptLog,
    Record,
    RecordTooLarge,
    Topic,
    connect,
)
from folkmoot.bus.addresses import Brokers, Embedded, parse
from folkmoot.local.ports import free_port
from tests.contract.bus.gossip_behaviour import Inbox
from tests.contract.bus.log_behaviour import read_count, values


@pytest.mark.parametrize(
    ("address", "kafka", "nats"),
    [
        ("kafka://h:1?nats=nats://n:2", ("h:1",), ("nats://n:2",)),
        ("kafka://h:1,i:2?nats=nats://n:2", ("h:1", "i:2"), ("nats://n:2",)),
        ("kafka://h:1,kafka://i:2,nats://n:2", ("h:1", "i:2"), ("nats://n:2",)),
        ("kafka://h:1,nats://n:2,tls://m:3", ("h:1",), ("nats://n:2", "tls://m:3")),
        ("kafka://[::1]:9092?nats=nats://u:p@n:2", ("[::1]:9092",), ("nats://u:p@n:2",)),
        ("kafka://h:1?nats=nats://n:2,nats://m:3", ("h:1",), ("nats://n:2", "nats://m:3")),
    ],
)
def test_addresses_of_brokers(address: str, kafka: tuple[str, ...], nats: tuple[str, ...]) -> None:
    assert parse(address) == Brokers(kafka, nats)


def test_addresses_of_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert parse("embedded:/a/b.db") == Embedded(Path("/a/b.db"))
    assert parse("embedded:./a/../b.db") == Embedded(tmp_path.resolve() / "b.db")
    assert parse("embedded:~/b.db") == Embedded(Path("/home/someone/b.db"))


@pytest.mark.parametrize(
    "address",
    [
        "",
        "embedded:",
        "memory:",
        "/a/b.db",
        "kafka:h:1",
        "kafka://h:1",
        "kafka://h?nats=nats://n:2",
        "kafka://?nats=nats://n:2",
        "kafka://h:1?nats=n:2",
        "kafka://h:1?nats=http://n:2",
        "kafka://h:port,nats://n:2",
        "nats://n:2",
    ],
)
def test_an_address_of_no_form_is_answered_with_the_forms(address: str) -> None:
    with pytest.raises(BadAddress, match=r"embedded:PATH.*kafka://HOST:PORT") as raised:
        parse(address)
    assert repr(address) in str(raised.value)


def test_a_bad_address_does_not_tell_its_secrets() -> None:
    with pytest.raises(BadAddress) as raised:
        parse("kafka://h?nats=nats://user:secret@n:2")
    assert "secret" not in str(raised.value)


def test_importing_loads_no_client() -> None:
    check = "import sys, folkmoot.bus; print({'aiokafka', 'nats', 'sqlite3'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


async def shows_itself_to(one: Bus, other: Bus) -> None:
    """Assert that both ports of `other` receive what `one` sends."""
    topic = f"test.{id(one)}.{free_port()}"
    inbox = Inbox()
    await one.log.create_topics([Topic(topic, 1)])
    await other.gossip.subscribe(topic, inbox)
    tail = await other.log.tail(topic, 0, 0)
    await (await one.log.appender()).append(topic, 0, [Record(b"logged")])
    await one.gossip.publish(topic, b"said")
    assert values(await read_count(tail, 1)) == [b"logged"]
    assert await inbox.data(1) == [b"said"]


async def test_two_connections_to_one_file_share_log_and_gossip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = await connect(f"embedded:{tmp_path}/deep/log.db")
    other = await connect("embedded:deep/log.db")
    await shows_itself_to(one, other)
    await one.close()
    await other.close()


async def test_two_connections_to_brokers_share_log_and_gossip(
    kafka_address: str, nats_address: str
) -> None:
    one = await connect(f"kafka://{kafka_address}?nats={nats_address}")
    other = await connect(f"kafka://{kafka_address},{nats_address}")
    await shows_itself_to(one, other)
    await one.close()
    await other.close()


async def test_options_reach_the_adapters(
    tmp_path: Path, kafka_address: str, nats_address: str
) -> None:
    brokers = f"kafka://{kafka_address}?nats={nats_address}"
    for address in (f"embedded:{tmp_path}/log.db", brokers):
        bus = await connect(
            address,
            record_limit_bytes=200,
            synchronous="NORMAL",
            kafka_options={"client_id": "me"},
            nats_options={"inbox_prefix": "_INBOX.me"},
        )
        topic = f"test.{free_port()}"
        await bus.log.create_topics([Topic(topic, 1)])
        with pytest.raises(RecordTooLarge, match="200"):
            await (await bus.log.appender()).append(topic, 0, [Record(b"x" * 200)])
        await bus.close()


async def test_unreachable_brokers_are_named(nats_address: str) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(BusUnavailable, match=rf"Kafka.*{nobody}.*Start"):
        await connect(f"kafka://{nobody}?nats={nats_address}")
    with pytest.raises(BusUnavailable, match=rf"NATS.*{nobody}.*Start") as raised:
        await connect(f"kafka://127.0.0.1:1?nats=nats://user:secret@{nobody}")
    assert "secret" not in str(raised.value)


async def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database at all, " * 100)
    with pytest.raises(CorruptLog, match=r"notes\.txt"):
        await connect(f"embedded:{tmp_path}/notes.txt")
    assert issubclass(CorruptLog, BusError)
