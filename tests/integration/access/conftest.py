"""Brokers with every door locked, set up once as an administrator does it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from folkmoot.bus.kafka import KafkaLog
from folkmoot.bus.kafka.access import set_access
from folkmoot.bus.kafka.brokers import Brokers
from folkmoot.bus.ports import Topic
from folkmoot.contracts.access import USERS, kafka_grants
from folkmoot.contracts.topics import agent_topics, service_topics, team_topics
from tests.conftest import run_aside, served
from tests.integration.access.locked import ADMIN, CAST, PASSWORDS, Doors, LockedKafka, LockedNats


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Both brokers, with users, lists and topics."""
    folder = tmp_path_factory.mktemp("doors")
    kafka, nats = LockedKafka(folder / "kafka"), LockedNats(folder / "nats")
    with served(kafka, folder / "of-kafka"), served(nats, folder / "of-nats"):
        run_aside(set_up(kafka))
        yield Doors(kafka, nats)


async def set_up(kafka: LockedKafka) -> None:
    specs = [*service_topics(1), *team_topics(CAST.teams[0])]
    for agent in CAST.agents:
        specs += agent_topics(agent, 1)
    log = await KafkaLog.connect([kafka.address], options=ADMIN.kafka())
    await log.create_topics([Topic(s.name, s.partitions, s.config) for s in specs])
    await log.close()
    brokers = Brokers((kafka.address,), ADMIN.kafka())
    grants = {user: kafka_grants(user, CAST) for user in USERS}
    added, taken = await set_access(brokers, PASSWORDS, grants)
    assert added > 100
    assert taken == 0
    assert await set_access(brokers, PASSWORDS, grants) == (0, 0)
