"""Which Java, Kafka and nats-server to use, and where downloads are kept.

Left alone, everything comes from the extra `local`. What the user names is used instead, never
what merely happens to be on the path: a stray Java 8 must not decide whether Kafka starts.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_cache() -> Path:
    """Return the folder for downloads that the XDG Base Directory Specification gives."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "folkmoot"


class LocalSettings(BaseSettings):
    """The settings of local brokers: `FOLKMOOT_JAVA` and so on."""

    model_config = SettingsConfigDict(
        env_prefix="FOLKMOOT_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    java: Path | None = None
    """The `java` program of a Java 17 or newer."""

    kafka_home: Path | None = None
    """An unpacked Apache Kafka 4.x, with its jars in `libs`."""

    nats_server: Path | None = None
    """The `nats-server` program."""

    cache: Path = Field(default_factory=default_cache)
    """Where downloaded jars are kept."""

    maven_repository: str | None = None
    """The URL that jars are downloaded from, such as a mirror's; None is Maven Central."""
