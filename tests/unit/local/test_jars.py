from __future__ import annotations

import hashlib
import http.server
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from folkmoot.local import jars
from folkmoot.local.errors import JarMismatch, JarUnavailable, MissingExtra, NotWritable
from folkmoot.local.jars import Jar
from folkmoot.local.ports import free_port
from folkmoot.local.settings import LocalSettings

CONTENT = {"one": b"the first jar", "two": b"the second jar"}
ONE, TWO = (
    Jar(
        coordinate=f"org.example:{name}:1.0",
        file=f"{name}-1.0.jar",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
    for name, content in CONTENT.items()
)


class Repository:
    """A Maven repository that serves the two jars, counts requests and can be made to lie."""

    def __init__(self) -> None:
        self.files = {
            f"/org/example/{name}/1.0/{name}-1.0.jar": content for name, content in CONTENT.items()
        }
        self.requested: list[str] = []
        repository = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository.requested.append(self.path)
                content = repository.files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def repository() -> Iterator[Repository]:
    made = Repository()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def settings(repository: Repository, tmp_path: Path) -> LocalSettings:
    return LocalSettings(cache=tmp_path, maven_repository=repository.url)


def kept(settings: LocalSettings) -> list[str]:
    return sorted(path.name for path in jars.folder(settings).iterdir())


async def test_jars_are_downloaded_once(settings: LocalSettings, repository: Repository) -> None:
    progress: list[tuple[int, int]] = []
    into = jars.folder(settings)
    for _ in range(2):
        path = await jars.ensure(settings, lambda *now: progress.append(now), [TWO, ONE])
        assert path == [into / "two-1.0.jar", into / "one-1.0.jar"]
    assert kept(settings) == ["one-1.0.jar", "two-1.0.jar"]
    assert len([each for each in repository.requested if each.endswith(".jar")]) == 2
    total = ONE.size + TWO.size
    assert (progress[0], progress[-1]) == ((0, total), (total, total))


async def test_a_tampered_jar_is_refused_by_name(settings: LocalSettings) -> None:
    await jars.ensure(settings, jars=[ONE, TWO])
    tampered = jars.folder(settings) / "two-1.0.jar"
    tampered.write_bytes(b"the second jaR")
    with pytest.raises(JarMismatch) as failure:
        await jars.ensure(settings, jars=[ONE, TWO])
    assert failure.value.path == tampered
    assert TWO.sha256 in str(failure.value)
    assert f"Delete {tampered}" in str(failure.value)


async def test_a_jar_that_is_served_wrong_is_not_kept(
    settings: LocalSettings, repository: Repository
) -> None:
    repository.files["/org/example/one/1.0/one-1.0.jar"] = b"something else"
    with pytest.raises(JarMismatch, match=rf"^one-1\.0\.jar is not.*{repository.url} served it"):
        await jars.ensure(settings, jars=[ONE])
    assert kept(settings) == []


async def test_a_jar_that_is_not_served_is_named(
    settings: LocalSettings, repository: Repository
) -> None:
    repository.files.clear()
    with pytest.raises(JarUnavailable, match=r"org\.example:one:1\.0 .*FOLKMOOT_KAFKA_HOME"):
        await jars.ensure(settings, jars=[ONE])
    assert kept(settings) == []


async def test_a_repository_that_does_not_answer_is_named(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    settings = LocalSettings(cache=tmp_path, maven_repository=url)
    with pytest.raises(JarUnavailable, match=rf"from {url}: .*FOLKMOOT_MAVEN_REPOSITORY"):
        await jars.ensure(settings, jars=[ONE])


async def test_jgo_is_wanted_only_when_something_is_missing(
    settings: LocalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await jars.ensure(settings, jars=[ONE])
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    await jars.ensure(settings, jars=[ONE])
    with pytest.raises(MissingExtra, match=re.escape("pip install 'folkmoot[local]'")):
        await jars.ensure(settings, jars=[ONE, TWO])


async def test_a_cache_that_cannot_be_written_to_is_named(settings: LocalSettings) -> None:
    settings.cache.joinpath(jars.folder(settings).name).touch()
    with pytest.raises(NotWritable, match=r"another folder in FOLKMOOT_CACHE"):
        await jars.ensure(settings, jars=[ONE])


def test_the_lock_names_one_whole_kafka() -> None:
    lock = jars.locked()
    assert len({jar.file for jar in lock}) == len(lock)
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) and jar.size > 0 for jar in lock)
    versions = {
        jar.coordinate.rpartition(":")[2]
        for jar in lock
        if jar.coordinate.startswith("org.apache.kafka:")
    }
    assert versions == {jars.KAFKA_VERSION}
    roots = {root.rstrip("!") for root in jars.ROOTS}
    assert roots <= {jar.coordinate for jar in lock}


def test_without_a_name_maven_central_is_meant(tmp_path: Path) -> None:
    central = jars.repository_url(LocalSettings(cache=tmp_path))
    mirror = jars.repository_url(LocalSettings(cache=tmp_path, maven_repository="https://mirror"))
    assert central.startswith("https://")
    assert mirror == "https://mirror"
