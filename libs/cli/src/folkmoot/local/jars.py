"""The jars of Apache Kafka, downloaded once and never trusted unseen.

A lock beside this module names each jar with its SHA-256. Every jar is compared with it before
Kafka is started, every time: hashing all of them takes 40 ms.

    python -m folkmoot.local.jars           download what is missing
    python -m folkmoot.local.jars --lock    resolve `ROOTS` anew and write the lock

Invariant: no file reaches the folder of jars under its own name before its hash is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from folkmoot.local.errors import (
    JarMismatch,
    JarUnavailable,
    LocalError,
    MissingExtra,
    NotWritable,
)
from folkmoot.local.settings import LocalSettings

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

KAFKA_VERSION = "4.3.1"
ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    # Kafka leaves the choice of a log to whoever packs it. The `!` keeps the versions that Log4j's
    # own build manages, an old kafka-clients among them, from overruling Kafka's.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!",
)
LOCK = Path(__file__).with_name("jars.lock.json")

DOWNLOADS_AT_ONCE = 4
NO_ANSWER_S = 30
"""How long a silent repository is waited for: generous, because a mirror may fetch first."""

Progress = Callable[[int, int], None]
"""Called with the bytes downloaded so far and the bytes to download in all."""


def quiet(_done: int, _total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock. `size` is in bytes."""

    coordinate: str
    file: str
    sha256: str
    size: int


def locked(lock: Path = LOCK) -> tuple[Jar, ...]:
    """Return the jars that the lock names, in the order of the class path."""
    return tuple(Jar(**line) for line in json.loads(lock.read_text())["jars"])


def folder(settings: LocalSettings) -> Path:
    """Return where the jars of this version of Kafka are kept."""
    return settings.cache / f"kafka-{KAFKA_VERSION}"


def missing(jars: Sequence[Jar], into: Path) -> list[Jar]:
    """Return the jars that have yet to be downloaded.

    Raises:
        JarMismatch: a jar that is there is not the locked one.
    """
    absent = []
    for jar in jars:
        path = into / jar.file
        if path.exists():
            check(jar, path, f"Something changed it. Delete {path} to have it downloaded again.")
        else:
            absent.append(jar)
    return absent


def check(jar: Jar, path: Path, advice: str) -> None:
    """Raise `JarMismatch`, with `advice`, unless the file is the locked jar."""
    found = _sha256(path)
    if found != jar.sha256:
        raise JarMismatch(path, advice, found, jar.sha256)


async def ensure(
    settings: LocalSettings,
    on_progress: Progress = quiet,
    jars: Sequence[Jar] | None = None,
) -> list[Path]:
    """Return the class path of Kafka, after downloading what is missing and checking all of it.

    Raises:
        JarMismatch: a jar is not the locked one.
        JarUnavailable: a jar cannot be downloaded.
        NotWritable: the cache cannot be written to.
        MissingExtra: something has to be downloaded and jgo is not installed.
    """
    jars = locked() if jars is None else jars
    into = folder(settings)
    absent = await asyncio.to_thread(missing, jars, into)
    if absent:
        await _download_all(absent, into, settings.maven_repository, on_progress)
    return [into / jar.file for jar in jars]


async def _download_all(
    jars: Sequence[Jar], into: Path, repository: str | None, on_progress: Progress
) -> None:
    try:
        await asyncio.to_thread(into.mkdir, parents=True, exist_ok=True)
    except OSError as error:
        raise NotWritable(into, error, "another folder in FOLKMOOT_CACHE") from error
    total, done = sum(jar.size for jar in jars), 0
    gate = asyncio.Semaphore(DOWNLOADS_AT_ONCE)

    async def fetch(jar: Jar) -> None:
        nonlocal done
        async with gate:
            await asyncio.to_thread(_download, jar, into, context)
        done += jar.size
        on_progress(done, total)

    # Cancelled downloads run on in their threads for a moment, and may still be writing.
    with tempfile.TemporaryDirectory(
        dir=into, prefix=".download-", ignore_cleanup_errors=True
    ) as staging:
        context = _maven(repository, Path(staging))
        on_progress(done, total)
        try:
            async with asyncio.TaskGroup() as group:
                for jar in jars:
                    group.create_task(fetch(jar))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None


def _download(jar: Jar, into: Path, context: MavenContext) -> None:
    group, name, version = jar.coordinate.split(":")
    [repository] = context.remote_repos.values()
    try:
        path = context.project(group, name).at_version(version).artifact().resolve()
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
        raise JarUnavailable(
            f"{jar.coordinate} cannot be downloaded from {repository}: {error}. Check the network, "
            "name a mirror in FOLKMOOT_MAVEN_REPOSITORY, or a Kafka that you have in "
            "FOLKMOOT_KAFKA_HOME."
        ) from error
    check(
        jar,
        path,
        f"{repository} served it; it was thrown away. The download may have been cut off: try "
        "again, or name another repository in FOLKMOOT_MAVEN_REPOSITORY.",
    )
    path.replace(into / jar.file)


def repository_url(settings: LocalSettings) -> str:
    """Return where jars are downloaded from: what the user named, or what jgo takes for Central.

    Raises:
        MissingExtra: nothing was named, and jgo is not installed.
    """
    return settings.maven_repository or next(
        iter(_maven(None, settings.cache).remote_repos.values())
    )


def _maven(repository: str | None, cache: Path) -> MavenContext:
    try:
        from jgo.maven import MavenContext
    except ModuleNotFoundError as error:
        raise MissingExtra("jgo") from error
    named = {"maven": repository.rstrip("/")} if repository else None
    return MavenContext(repo_cache=cache, remote_repos=named, timeout=NO_ANSWER_S)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolve(repository: str | None) -> list[Jar]:
    """Return all the jars that `ROOTS` need, as the repository serves them now."""
    with tempfile.TemporaryDirectory() as cache:
        context = _maven(repository, Path(cache))
        roots = [context.create_dependency(root) for root in ROOTS]
        named, implied = context.resolver.resolve(roots)
        needed = [*named, *(each for each in implied if each.scope in ("compile", "runtime"))]
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            return sorted(
                pool.map(_locked, (each.artifact for each in needed)),
                key=lambda jar: jar.coordinate,
            )


def _locked(artifact: Artifact) -> Jar:
    path = artifact.resolve()
    coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
    return Jar(coordinate, path.name, _sha256(path), path.stat().st_size)


def _write_lock(jars: Sequence[Jar]) -> None:
    content = {"roots": ROOTS, "jars": [asdict(jar) for jar in jars]}
    LOCK.write_text(json.dumps(content, indent=1) + "\n")


def _main() -> int:
    parser = argparse.ArgumentParser(prog="folkmoot.local.jars", description=__doc__)
    parser.add_argument("--lock", action="store_true", help="write the lock anew")
    settings = LocalSettings()
    try:
        if parser.parse_args().lock:
            _write_lock(resolve(settings.maven_repository))
        else:
            asyncio.run(ensure(settings))
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
