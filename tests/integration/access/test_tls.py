"""Encrypted connections: only with a certificate that holds, of whom one trusts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy import certificates
from folkmoot.bus import connect
from folkmoot.bus.credentials import BadCredentials, Credentials
from folkmoot.bus.kafka import KafkaLog
from folkmoot.bus.nats import NatsGossip
from folkmoot.bus.ports import BusUnavailable, Record, Topic
from folkmoot.local import ports
from folkmoot.local.kafka import KafkaServer
from folkmoot.local.nats import NatsServer
from tests.conftest import served

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Papers:
    """Folders with certificates: those that hold, others of whom nobody knows, and expired ones."""

    good: Path
    strange: Path
    late: Path


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("papers")
    made = Papers(folder / "good", folder / "strange", folder / "late")
    certificates.make(made.good)
    certificates.make(made.strange)
    certificates.make(made.late, days=-1)
    return made


class EncryptedKafka(KafkaServer):
    """A node with a certificate that holds on one port, and an expired one on another."""

    def __init__(self, directory: Path, papers: Papers) -> None:
        super().__init__(directory)
        self._papers = papers
        self.late_port = ports.free_port()

    def properties(self) -> Mapping[str, str | int]:
        inside = f"{ports.LOOPBACK}:{ports.free_port()}"
        listeners = f"GOOD://{self.address},LATE://{ports.LOOPBACK}:{self.late_port}"
        keys = {"good": self._papers.good, "late": self._papers.late}
        return {
            **super().properties(),
            "listeners": f"{listeners},CONTROLLER://{inside}",
            "advertised.listeners": listeners,
            "controller.quorum.voters": f"1@{inside}",
            "listener.security.protocol.map": "GOOD:SSL,LATE:SSL,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "GOOD",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._papers.good / "ca.pem"),
            **{f"listener.name.{name}.ssl.keystore.type": "PEM" for name in keys},
            **{
                f"listener.name.{name}.ssl.keystore.location": str(folder / "broker.pem")
                for name, folder in keys.items()
            },
        }

    async def ready(self) -> bool:
        if not await ports.accepts(self.port):
            return False
        try:
            log = await KafkaLog.connect([self.address], options=trusting(self._papers.good))
        except BusUnavailable:
            return False
        await log.close()
        return True


class EncryptedNats(NatsServer):
    """A server that speaks TLS only."""

    def __init__(self, directory: Path, papers: Path) -> None:
        super().__init__(directory)
        self._papers = papers

    async def command(self) -> Sequence[str]:
        key = str(self._papers / "broker.pem")
        return [*await super().command(), "--tls", "--tlscert", key, "--tlskey", key]

    @property
    def url(self) -> str:
        return f"tls://{ports.LOOPBACK}:{self.port}"


def trusting(folder: Path) -> dict[str, object]:
    return Credentials(ca=folder / "ca.pem").kafka()


@pytest.fixture(scope="module")
def kafka(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EncryptedKafka]:
    folder = tmp_path_factory.mktemp("kafka")
    server = EncryptedKafka(folder / "kafka", papers)
    with served(server, folder):
        yield server


@pytest.fixture(scope="module")
def nats(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EncryptedNats]:
    folder = tmp_path_factory.mktemp("nats")
    server = EncryptedNats(folder / "nats", papers.good)
    with served(server, folder):
        yield server


@pytest.fixture
def late_nats(papers: Papers, tmp_path: Path) -> Iterator[EncryptedNats]:
    server = EncryptedNats(tmp_path / "nats", papers.late)
    with served(server, tmp_path):
        yield server


async def test_both_are_reached_by_who_trusts_the_authority(
    kafka: EncryptedKafka, nats: EncryptedNats, papers: Papers
) -> None:
    address = f"kafka://{kafka.address}?nats={nats.url}"
    bus = await connect(address, credentials=Credentials(ca=papers.good / "ca.pem"))
    try:
        await bus.log.create_topics([Topic("kept", 1, {})])
        appender = await bus.log.appender()
        assert await appender.append("kept", 0, [Record(b"value")]) == 0
        await bus.gossip.publish("some.subject", b"value")
    finally:
        await bus.close()


async def test_kafka_is_not_believed_with_a_certificate_of_somebody_else(
    kafka: EncryptedKafka, papers: Papers
) -> None:
    with pytest.raises(BusUnavailable):
        await KafkaLog.connect([kafka.address], options=trusting(papers.strange))


async def test_kafka_is_not_believed_with_an_expired_certificate(
    kafka: EncryptedKafka, papers: Papers
) -> None:
    late = f"{ports.LOOPBACK}:{kafka.late_port}"
    with pytest.raises(BusUnavailable):
        await KafkaLog.connect([late], options=trusting(papers.late))


async def test_nats_is_not_believed_with_a_certificate_of_somebody_else(
    nats: EncryptedNats, papers: Papers
) -> None:
    with pytest.raises(BusUnavailable, match=r"(?i)certificate"):
        await NatsGossip.connect([nats.url], **Credentials(ca=papers.strange / "ca.pem").nats())


async def test_nats_is_not_believed_with_an_expired_certificate(
    late_nats: EncryptedNats, papers: Papers
) -> None:
    with pytest.raises(BusUnavailable, match="expired"):
        await NatsGossip.connect([late_nats.url], **Credentials(ca=papers.late / "ca.pem").nats())


def test_an_authority_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCredentials, match=r"ca\.pem"):
        Credentials(ca=tmp_path / "ca.pem").kafka()
