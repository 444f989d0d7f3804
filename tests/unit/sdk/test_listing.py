"""Pages of several shards become one, and none of it is lost or shown twice."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from folkmoot.sdk.listing import Filter, Place, merged


def answer(keys: list[Place], next_: Place | None = None, log: str = "log/0") -> Any:
    sagas = [{"opened_at": at, "saga_id": saga_id} for at, saga_id in keys]
    return {"sagas": sagas, "next": next_}, {log: 7}


def keys(page: Any) -> list[Place]:
    return [(saga["opened_at"], saga["saga_id"]) for saga in page.sagas]


def test_the_newest_of_all_shards_come_first() -> None:
    page = merged([answer([(5, "a"), (2, "b")]), answer([(4, "c")], log="log/1")], 10)
    assert keys(page) == [(5, "a"), (4, "c"), (2, "b")]
    assert page.following is None
    assert page.as_of == {"log/0": 7, "log/1": 7}


def test_what_lies_beyond_what_a_shard_has_looked_at_waits_for_the_next_page() -> None:
    page = merged([answer([(9, "a")], next_=(6, "x")), answer([(8, "b"), (3, "c")])], 10)
    assert keys(page) == [(9, "a"), (8, "b")]
    assert page.following == (6, "x")


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
@pytest.mark.parametrize("seed", range(5))
def test_page_by_page_everything_is_shown_once(limit: int, seed: int) -> None:
    random = Random(seed)
    shards = [
        sorted({(random.randrange(40), f"s{shard}-{n}") for n in range(15)}, reverse=True)
        for shard in range(3)
    ]

    def ask(shard: list[Place], after: Place | None) -> Any:
        """Answer as a shard does that looks at three sagas at most."""
        left = [key for key in shard if after is None or key < after]
        looked = left[: min(limit, 3)]
        return answer(looked, looked[-1] if len(left) > len(looked) else None)

    shown: list[Place] = []
    after: Place | None = None
    for _ in range(200):
        page = merged([ask(shard, after) for shard in shards], limit)
        assert len(page.sagas) <= limit
        shown += keys(page)
        after = page.following
        if after is None:
            break
    assert shown == sorted((key for shard in shards for key in shard), reverse=True)


def test_a_filter_is_asked_for_as_it_is() -> None:
    request = Filter(state="stuck").request(5, (3, "a"))
    assert (request["op"], request["state"], request["limit"]) == ("list", "stuck", 5)
    assert request["after"] == (3, "a")
