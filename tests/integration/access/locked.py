"""Kafka and NATS that let nobody do anything that is not granted, as processes of this test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.artefacts.access import CAST as CAST
from deploy.artefacts.access import files, nkey_variable
from deploy.secrets import new_seed, public_key
from folkmoot.bus import connect
from folkmoot.bus.credentials import Credentials
from folkmoot.bus.ports import Bus, Refusals
from folkmoot.contracts.access import USERS
from folkmoot.local import ports
from folkmoot.local.kafka import KafkaServer
from folkmoot.local.nats import NatsServer

ADMIN = Credentials("admin", "the admin's password", mechanism="PLAIN")
PASSWORDS = {user: f"{user}'s password" for user in USERS}
_MODULE = "org.apache.kafka.common.security"


class LockedKafka(KafkaServer):
    """A node with the authorizer of KRaft: users by SCRAM, the administrator by PLAIN."""

    def properties(self) -> Mapping[str, str | int]:
        here = f"LOCKED://{ports.LOOPBACK}:{self.port}"
        plain = f'username="admin" password="{ADMIN.password}" user_admin="{ADMIN.password}"'
        return {
            **super().properties(),
            "listeners": f"{here},CONTROLLER://{self._inside()}",
            "advertised.listeners": here,
            "controller.quorum.voters": f"1@{self._inside()}",
            "listener.security.protocol.map": "LOCKED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "LOCKED",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.locked.plain.sasl.jaas.config": (
                f"{_MODULE}.plain.PlainLoginModule required {plain};"
            ),
            "listener.name.locked.scram-sha-512.sasl.jaas.config": (
                f"{_MODULE}.scram.ScramLoginModule required;"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:admin;User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "false",
        }

    def _inside(self) -> str:
        if not hasattr(self, "_inside_port"):
            self._inside_port = ports.free_port()
        return f"{ports.LOOPBACK}:{self._inside_port}"

    async def ready(self) -> bool:
        if not await ports.accepts(self.port):
            return False
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address, **ADMIN.kafka())
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, TimeoutError):
            return False
        finally:
            await admin.close()


class LockedNats(NatsServer):
    """A server that knows each user by its nkey."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        super().__init__(directory, port)
        self._directory = directory
        self.seeds = {user: new_seed() for user in USERS}
        public = {nkey_variable(user): public_key(seed) for user, seed in self.seeds.items()}
        self.env = {**os.environ, **public, nkey_variable("admin"): public_key(new_seed())}

    async def command(self) -> Sequence[str]:
        program, *_ = await super().command()
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "nats.conf"
        listen = f'listen: "{ports.LOOPBACK}:{self.port}"\n'
        config.write_text(listen + files()["deploy/nats/permissions.conf"])
        return [program, "--config", str(config)]


async def eventually_refused(seen: Refusals, what: str) -> None:
    """Wait until a refusal is noted that names `what`, which nats-py writes small."""
    async with asyncio.timeout(10):
        while what.lower() not in (seen.latest or "").lower():
            await asyncio.sleep(0.02)


class Doors:
    """Both brokers, and how to go in as somebody."""

    def __init__(self, kafka: LockedKafka, nats: LockedNats) -> None:
        self.kafka, self.nats = kafka, nats

    @property
    def address(self) -> str:
        """The bus."""
        return f"kafka://{self.kafka.address}?nats={self.nats.address}"

    def credentials(self, user: str) -> Credentials:
        """Return what a user signs in with."""
        return Credentials(user, PASSWORDS[user], self.nats.seeds[user])

    @asynccontextmanager
    async def bus(self, user: str) -> AsyncIterator[Bus]:
        """Connect as a user."""
        bus = await connect(self.address, credentials=self.credentials(user))
        try:
            yield bus
        finally:
            await bus.close()
