"""What an operator can set, from the environment: `FOLKMOOT_BUS`, `FOLKMOOT_TTL_MS` and so on.

A service's own settings extend `Settings`. Secrets may lie as files in `/run/secrets`, named as the
variables are, in small letters: `/run/secrets/folkmoot_bus_password`.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from folkmoot.bus.credentials import Credentials, Mechanism
from folkmoot.runtime.timing import Timing

SECRETS = Path("/run/secrets")


class BusSettings(BaseSettings):
    """How to sign in to the brokers: of services, commands and user programs alike."""

    model_config = SettingsConfigDict(
        env_prefix="FOLKMOOT_",
        secrets_dir=SECRETS if SECRETS.is_dir() else None,
        frozen=True,
        extra="ignore",
    )

    bus_user: str = ""
    """Who this is to Kafka and NATS, such as `election`; nobody in particular if empty."""

    bus_password: SecretStr = SecretStr("")
    """The user's password for Kafka."""

    bus_mechanism: Mechanism = "SCRAM-SHA-512"
    """How the password is proven. `PLAIN` shows it to the broker: for administrators, over TLS."""

    bus_nkey: SecretStr = SecretStr("")
    """The seed of the user's nkey for NATS."""

    bus_ca: Path | None = None
    """A PEM file with the authority that signed the brokers' certificates. With it, connections
    to Kafka are encrypted, and those to NATS too, whose address then begins with `tls://`."""

    def credentials(self) -> Credentials:
        """Return what to sign in with."""
        return Credentials(
            self.bus_user,
            self.bus_password.get_secret_value(),
            self.bus_nkey.get_secret_value(),
            self.bus_ca,
            self.bus_mechanism,
        )


class BlobSettings(BaseSettings):
    """Where values go that are too large for the log: of workers, commands and user programs."""

    model_config = BusSettings.model_config

    blobs: str = ""
    """The store, the same for all who work on a bus: `dir:PATH`,
    `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME]`, or `none`. Left out, an embedded bus has a
    directory beside its file, and brokers have no store."""

    blobs_from_bytes: int = Field(default=64 * 1024, ge=1024, le=256 * 1024)
    """Values above this go to the store, if there is one: several fit into one message."""

    blob_bytes_max: int = Field(default=64 * 1024 * 1024, ge=1024)
    """The largest blob. A worker holds it in memory, several times over while it reads it."""


class Settings(BusSettings):
    """The settings that every service has."""

    bus: str = "kafka://127.0.0.1:9092?nats=nats://127.0.0.1:4222"
    """Where the log and the gossip are: `kafka://HOST:PORT?nats=nats://HOST:PORT` or
    `embedded:FILE`."""

    partitions: int = Field(default=2, ge=1, le=1024)
    """Shards of each service. Fixed once the topics exist, because keys are placed by it."""

    ttl_ms: int = Field(default=1500, ge=100, le=60_000)
    """Silence after which a standby claims a shard; the same for all replicas of a service."""

    restores_max: int = Field(default=2, ge=1, le=64)
    """Shards that this process restores at once. Each costs a processor, and the memory of what is
    read at once; more would only make all of them later."""

    node: str = Field(default_factory=socket.gethostname)
    """The name of this machine or pod, for people to recognise a member by."""

    http_host: str = "127.0.0.1"
    """Where health and metrics are served. In a container: `0.0.0.0`."""

    http_port: int = Field(default=8700, ge=0, le=65535)
    """Port of health and metrics; 0 takes a free one."""

    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""

    log_format: Literal["auto", "plain", "json"] = "auto"
    """`json` is a line of JSON for each message, `plain` is for people; `auto` is plain on a
    terminal and JSON elsewhere."""

    otlp_endpoint: str = Field(default="", pattern=r"^(https?://.+)?$")
    """Where traces go, by OTLP over gRPC: `http://127.0.0.1:4317`. Nowhere if it is empty. Headers
    are taken from `OTEL_EXPORTER_OTLP_HEADERS`."""

    trace_ratio: float = Field(default=1.0, ge=0, le=1)
    """Share of sagas that are traced, the same for all services; those that fail always are."""

    snapshot_every_records: int = Field(default=25_000, ge=100)
    """Log records after which a shard gets a snapshot: they are what a restore reads again."""

    snapshot_every_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    """The same in bytes, where records are large."""

    def timing(self) -> Timing:
        """Return the timing of this process's replicas."""
        return Timing(
            ttl_ms=self.ttl_ms,
            snapshot_every_records=self.snapshot_every_records,
            snapshot_every_bytes=self.snapshot_every_bytes,
        )

    def member(self) -> str:
        """Return a name for this incarnation of the process: a restarted one is another member."""
        return f"{self.node}-{os.getpid()}-{os.urandom(3).hex()}"
