"""The blob store: one behaviour, on a directory and on a server that speaks S3."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from folkmoot.bus.blobs import (
    BadStore,
    BlobMissing,
    Blobs,
    BlobSpoilt,
    BlobsUnavailable,
    Bucket,
    Directory,
    open_blobs,
    parse,
)
from folkmoot.local.ports import LOOPBACK, free_port

Place = Directory | Bucket
DATA = b'"large"' * 10_000
NAME = sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server that speaks S3, with a bucket called `values`."""
    server = ThreadedMotoServer(LOOPBACK, 0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    made = urllib.request.Request(f"{endpoint}/values", method="PUT")
    urllib.request.urlopen(made).close()
    yield endpoint
    server.stop()


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "folkmoot")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, signed_in: None) -> Callable[[], Place]:
    """Say where the store is; the server is started only for those who ask for it."""
    if request.param == "directory":
        return lambda: Directory(tmp_path / "blobs")
    endpoint = request.getfixturevalue("endpoint")
    prefix = tmp_path.name
    return lambda: Bucket("values", prefix, endpoint, "us-east-1")


@pytest.fixture
def blobs(place: Callable[[], Place]) -> Blobs:
    return open_blobs(place())


async def test_what_was_put_is_there_for_everybody(
    blobs: Blobs, place: Callable[[], Place]
) -> None:
    await blobs.put(NAME, DATA)
    assert await blobs.get(NAME, len(DATA)) == DATA
    assert await open_blobs(place()).get(NAME, len(DATA)) == DATA


async def test_putting_it_again_changes_nothing(blobs: Blobs) -> None:
    for _ in range(2):
        await blobs.put(NAME, DATA)
    assert await blobs.get(NAME, len(DATA)) == DATA


async def test_what_was_never_put_is_missing(blobs: Blobs) -> None:
    with pytest.raises(BlobMissing, match=NAME):
        await blobs.get(NAME, len(DATA))


async def test_what_has_another_size_is_not_even_read(blobs: Blobs) -> None:
    await blobs.put(NAME, DATA)
    with pytest.raises(BlobSpoilt, match="70,000 bytes, and not 7:"):
        await blobs.get(NAME, 7)


async def test_a_directory_that_cannot_be_made_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    blobs = open_blobs(Directory(tmp_path / "file" / "blobs"))
    with pytest.raises(BlobsUnavailable, match="cannot be kept"):
        await blobs.put(NAME, DATA)


async def test_a_server_that_is_not_there_is_told_of(signed_in: None) -> None:
    endpoint = f"http://{LOOPBACK}:{free_port()}"
    blobs = open_blobs(Bucket("values", "", endpoint, "us-east-1"))
    with pytest.raises(BlobsUnavailable, match=f"s3://values does not keep blob {NAME}"):
        await blobs.put(NAME, DATA)
    with pytest.raises(BlobsUnavailable, match="does not give"):
        await blobs.get(NAME, len(DATA))


async def test_a_bucket_that_is_not_there_keeps_nothing(endpoint: str, signed_in: None) -> None:
    blobs = open_blobs(Bucket("no-such-bucket", "", endpoint, "us-east-1"))
    with pytest.raises(BlobsUnavailable, match="s3://no-such-bucket"):
        await blobs.put(NAME, DATA)
    with pytest.raises(BlobsUnavailable, match="s3://no-such-bucket"):
        await blobs.get(NAME, len(DATA))


async def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BlobsUnavailable, match="No space left"):
        await open_blobs(Directory(tmp_path)).put(NAME, DATA)
    assert [*(tmp_path / NAME[:2]).iterdir()] == []


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("", None),
        ("none", None),
        ("dir:/srv/blobs", Directory(Path("/srv/blobs"))),
        ("s3://values", Bucket("values")),
        ("s3://values/a/b/", Bucket("values", "a/b")),
        (
            "s3://values?endpoint=http://127.0.0.1:9000&region=eu-1",
            Bucket("values", "", "http://127.0.0.1:9000", "eu-1"),
        ),
    ],
)
def test_an_address_says_where_the_store_is(address: str, place: Place | None) -> None:
    assert parse(address, "kafka://127.0.0.1:9092?nats=nats://127.0.0.1:4222") == place


def test_an_embedded_bus_has_a_directory_beside_its_file(tmp_path: Path) -> None:
    bus = f"embedded:{tmp_path}/log.db"
    assert parse("", bus) == Directory(tmp_path / "log.db.blobs")
    assert parse("none", bus) is None
    assert parse("s3://values", bus) == Bucket("values")


@pytest.mark.parametrize(
    "address", ["dir:", "s3://", "s3://key:secret@values", "s3://values?key=secret", "/srv/blobs"]
)
def test_a_wrong_address_gets_a_sentence_without_secrets(address: str) -> None:
    with pytest.raises(BadStore, match="Write dir:PATH") as error:
        parse(address, "")
    assert "key:secret" not in str(error.value)
