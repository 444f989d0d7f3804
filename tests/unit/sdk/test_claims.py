"""Claim checks: what is too large goes to the store, and comes back as it was, or not at all."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.bus.blobs import BlobMissing, BlobSpoilt, BlobTooLarge
from folkmoot.runtime.settings import BlobSettings
from folkmoot.sdk.claims import CLAIM, Claims, NoBlobStore

FROM = 1024


def claims_in(folder: Path, most: int = 1_000_000) -> Claims:
    where = f"dir:{folder}"
    return Claims(BlobSettings(blobs=where, blobs_from_bytes=FROM, blob_bytes_max=most))


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return claims_in(tmp_path)


def blobs_in(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


async def test_what_is_small_stays_and_costs_nothing(claims: Claims, tmp_path: Path) -> None:
    value = {"text": "x" * 900}
    assert await claims.packed(value) is value
    assert await claims.resolved(value) is value
    assert blobs_in(tmp_path) == []


async def test_what_is_large_becomes_a_claim_and_comes_back(claims: Claims, tmp_path: Path) -> None:
    packed = await claims.packed("x" * 2_000)
    (blob,) = blobs_in(tmp_path)
    assert packed == {CLAIM: {"sha256": blob.name, "bytes": 2_002}}
    assert orjson.loads(blob.read_bytes()) == "x" * 2_000
    assert await claims.resolved(packed) == "x" * 2_000


async def test_of_an_object_the_largest_members_go_and_the_others_can_be_looked_at(
    claims: Claims,
) -> None:
    packed = await claims.packed({"ok": True, "page": "x" * 5_000, "note": "y" * 500})
    assert (packed["ok"], packed["note"]) == (True, "y" * 500)
    assert packed["page"].keys() == {CLAIM}


async def test_a_list_of_large_items_stays_a_list(claims: Claims) -> None:
    pages = [f"{number}" * 2_000 for number in range(5)]
    packed = await claims.packed(pages)
    assert [set(item) for item in packed] == [{CLAIM}] * 5
    assert await claims.resolved(packed) == pages


async def test_many_small_members_go_as_a_whole(claims: Claims) -> None:
    packed = await claims.packed([*range(2_000)])
    assert packed.keys() == {CLAIM}


async def test_the_same_value_is_kept_once(claims: Claims, tmp_path: Path) -> None:
    packed = [await claims.packed("x" * 2_000) for _ in range(3)]
    assert packed[0] == packed[1] == packed[2]
    assert len(blobs_in(tmp_path)) == 1


async def test_the_inputs_of_a_plan_go_one_by_one(claims: Claims) -> None:
    plan = {"steps": [{"id": "a", "input": "x" * 2_000}, {"id": "b", "input": 1}]}
    packed = await claims.packed_plan(plan)
    assert packed["steps"][0]["input"].keys() == {CLAIM}
    assert packed["steps"][1] == {"id": "b", "input": 1}


async def test_a_blob_that_is_gone_or_changed_is_never_taken_for_the_value(
    claims: Claims, tmp_path: Path
) -> None:
    packed = await claims.packed("x" * 2_000)
    (blob,) = blobs_in(tmp_path)
    blob.write_bytes(blob.read_bytes().replace(b"x", b"y", 1))
    with pytest.raises(BlobSpoilt, match="its hash is another one"):
        await claims.resolved(packed)
    blob.write_bytes(b"")
    with pytest.raises(BlobSpoilt, match="0 bytes"):
        await claims.resolved(packed)
    blob.unlink()
    with pytest.raises(BlobMissing, match=blob.name):
        await claims.resolved([packed])


async def test_without_a_store_a_claim_says_what_is_missing() -> None:
    claim = {CLAIM: {"sha256": "0" * 64, "bytes": 7}}
    with pytest.raises(NoBlobStore, match="set FOLKMOOT_BLOBS"):
        await Claims().resolved({"deep": [claim]})
    value = "x" * 1_000_000
    assert await Claims().packed(value) is value


async def test_no_blob_is_larger_than_it_may_be(tmp_path: Path) -> None:
    claims = claims_in(tmp_path, most=4_096)
    with pytest.raises(BlobTooLarge, match="FOLKMOOT_BLOB_BYTES_MAX"):
        await claims.packed("x" * 5_000)
    with pytest.raises(BlobTooLarge, match="the limit is 4,096"):
        await claims.resolved({CLAIM: {"sha256": "0" * 64, "bytes": 5_000}})
    assert blobs_in(tmp_path) == []


@pytest.mark.parametrize(
    "value",
    [
        {CLAIM: {"sha256": "../../etc/passwd", "bytes": 7}},
        {CLAIM: {"sha256": "0" * 64, "bytes": "7"}},
        {CLAIM: {"sha256": "0" * 64, "bytes": True}},
        {CLAIM: {"sha256": "0" * 64}},
        {CLAIM: {"sha256": "0" * 64, "bytes": 7}, "more": 1},
        {CLAIM: None},
    ],
    ids=repr,
)
async def test_what_only_looks_like_a_claim_is_a_value(claims: Claims, value: Any) -> None:
    assert await claims.resolved([value]) == [value]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=2_000),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


@given(JSON)
def test_whatever_is_packed_comes_back_as_it_was(value: Any) -> None:
    async def there_and_back() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            claims = claims_in(Path(folder))
            packed = await claims.packed(value)
            assert len(orjson.dumps(packed)) <= max(FROM, 200) + 200 * 10
            return await claims.resolved(packed)

    assert asyncio.run(there_and_back()) == value
