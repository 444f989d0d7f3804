"""`ctx.call`: what it runs, what it journals, and that a later run gets the same."""

from __future__ import annotations

import asyncio
import functools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from folkmoot.core.messages import Address, Call, Json
from folkmoot.sdk.context import StepContext
from folkmoot.sdk.errors import InvalidInput, NotAnswered


@dataclass
class Journal:
    """Keeps what a log would give back: JSON values."""

    kept: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str, int, str]] = field(default_factory=list)
    replies: list[Json] = field(default_factory=list)

    def get(self, key: str) -> tuple[bool, Json]:
        return key in self.kept, orjson.loads(self.kept.get(key, b"null"))

    async def put(self, key: str, value: Json) -> None:
        assert key not in self.kept
        self.kept[key] = orjson.dumps(value)

    async def ask(self, key: str, prompt: str, schema: Json, wait_ms: int, signal: str) -> Json:
        self.asked.append((key, prompt, wait_ms, signal))
        return self.replies.pop(0)


class Page(BaseModel):
    url: str
    read: date
    price: Decimal = Decimal(0)


@dataclass
class Note:
    pages: tuple[Page, ...]


reported: list[str] = []


async def report(text: str) -> None:
    reported.append(text)


def context(journal: Journal, recorded: Json = None) -> StepContext:
    call = Call(
        "c", "saga", "step", "step", "research", "x", "t", 3, None, "saga/step", 77,
        Address("in", 0), recorded=recorded,
    )  # fmt: skip
    return StepContext(call, 1, 5, journal, None, report)


async def first_and_later_run(function: Callable[..., Any], *args: Any) -> tuple[Any, Any]:
    """Return what the handler gets when the call is made, and when it comes from the journal."""
    journal = Journal()
    first = await context(journal).call("it", function, *args)

    async def not_again(*_: Any) -> Any:
        raise AssertionError("called again")

    functools.update_wrapper(not_again, function)
    return first, await context(journal).call("it", not_again, *args)


async def fetch(url: str) -> Page:
    return Page(url=url, read=date(2024, 2, 29), price=Decimal("1.50"))


def fetch_slowly(url: str) -> Page:
    assert threading.current_thread() is not threading.main_thread()
    return Page(url=url, read=date(2024, 2, 29))


async def note(url: str) -> Note:
    return Note((await fetch(url), await fetch(url)))


async def untyped(value):  # type: ignore[no-untyped-def]
    return value


async def unknown_type(value: Any) -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
    return value


async def odd_type(value: Any) -> dict.nothing:  # type: ignore[name-defined]
    return value


@pytest.mark.parametrize("function", [fetch, fetch_slowly, note])
async def test_a_result_has_its_declared_type_in_every_run(function: Callable[..., Any]) -> None:
    first, later = await first_and_later_run(function, "http://x")
    assert first == later
    assert type(first) is type(later) is (Note if function is note else Page)


@pytest.mark.parametrize("function", [untyped, unknown_type, odd_type])
@pytest.mark.parametrize(
    "value",
    [None, (1, 2), {1: {2}}, Page(url="u", read=date(2024, 1, 1)), math.nan, [math.inf], b"bytes"],
    ids=repr,
)
async def test_a_result_without_type_is_json_in_every_run(
    function: Callable[..., Any], value: Any
) -> None:
    first, later = await first_and_later_run(function, value)
    assert first == later
    assert orjson.loads(orjson.dumps(first)) == first


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_the_same_in_every_run(value: Json) -> None:
    first, later = asyncio.run(first_and_later_run(untyped, value))
    assert first == later


async def test_an_async_function_may_hide_in_a_partial_or_a_callable() -> None:
    class Fetcher:
        async def __call__(self, url: str) -> str:
            return url + "!"

    ctx = context(Journal())
    assert await ctx.call("a", functools.partial(fetch, "u")) == (await fetch("u")).model_dump(
        mode="json"
    )
    assert await ctx.call("b", Fetcher(), "u") == "u!"
    assert await ctx.call("c", lambda: asyncio.sleep(0, 7)) == 7


async def test_keyword_arguments_reach_the_function() -> None:
    assert (await context(Journal()).call("a", fetch, url="k")).url == "k"


# -- keys ---------------------------------------------------------------------------------------


async def test_each_call_of_a_name_has_a_key_of_its_own() -> None:
    journal, ctx = Journal(), context(Journal())
    ctx = context(journal)
    assert ctx.key("search") == "saga/step/search#1"
    await ctx.call("search", untyped, 1)
    assert ctx.key("search") == "saga/step/search#2"
    await ctx.call("fetch", untyped, 2)
    await ctx.call("search", untyped, 3)
    assert list(journal.kept) == ["search#1", "fetch#1", "search#2"]


async def test_calls_side_by_side_keep_their_keys_whoever_ends_first() -> None:
    async def run(journal: Journal, order: list[int]) -> list[int]:
        gates = [asyncio.Event() for _ in range(3)]

        async def wait(n: int) -> int:
            await gates[n].wait()
            return n * 10

        ctx = context(journal)
        calls = [asyncio.ensure_future(ctx.call("w", wait, n)) for n in range(3)]
        for n in order:
            await asyncio.sleep(0)
            gates[n].set()
            await asyncio.sleep(0)
        return list(await asyncio.gather(*calls))

    journal = Journal()
    assert await run(journal, [2, 0, 1]) == [0, 10, 20]
    assert {key: int(value) for key, value in journal.kept.items()} == {
        "w#1": 0,
        "w#2": 10,
        "w#3": 20,
    }
    assert await run(journal, [0, 1, 2]) == [0, 10, 20]


async def test_a_call_that_raised_is_made_again_under_the_same_key() -> None:
    journal, keys = Journal(), []
    for fails in (True, False):
        ctx = context(journal)
        key = ctx.key("pay")

        async def pay(key: str = key, fails: bool = fails) -> str:
            keys.append(key)
            if fails:
                raise ConnectionError("gone")
            return "paid"

        try:
            assert await ctx.call("pay", pay) == "paid"
        except ConnectionError:
            assert not journal.kept
    assert keys == ["saga/step/pay#1"] * 2


async def test_the_result_is_durable_before_the_handler_sees_it() -> None:
    class Refusing(Journal):
        async def put(self, key: str, value: Json) -> None:
            raise ConnectionError("the log is gone")

    with pytest.raises(ConnectionError, match="the log is gone"):
        await context(Refusing()).call("a", untyped, 1)


async def test_what_no_json_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="Unable to serialize"):
        await context(Journal()).call("a", untyped, object())


# -- questions and signals ----------------------------------------------------------------------


def replied(value: Json) -> dict[str, Json]:
    return {"answered": True, "value": value}


async def test_an_answer_comes_in_its_type_and_one_that_does_not_fit_is_asked_for_again() -> None:
    journal = Journal(replies=[replied("yes, please"), replied({"url": "u", "read": "2024-01-01"})])
    page = await context(journal).ask_human("which page?", Page, deadline_s=60)
    assert page == Page(url="u", read=date(2024, 1, 1))
    (first, again) = journal.asked
    assert first == ("ask:ask/1", "which page?", 60_000, "")
    assert again[0] == "ask:ask/2"
    assert again[1].startswith("which page? (the answer before did not fit: ")


async def test_a_signal_is_waited_for_by_name() -> None:
    journal = Journal(replies=[replied(3), replied("x")])
    ctx = context(journal)
    assert await ctx.signal("paid", int, deadline_s=1) == 3
    assert journal.asked == [("signal:paid/1", "signal paid", 1_000, "paid")]
    with pytest.raises(InvalidInput, match="the value of signal 'paid' does not fit"):
        await ctx.signal("paid", int, deadline_s=1)


async def test_no_answer_in_time_is_an_error_of_its_own() -> None:
    journal = Journal(replies=[{"answered": False, "value": None}])
    with pytest.raises(NotAnswered, match="nobody answered within 5 s: well"):
        await context(journal).ask_human("well?", bool, deadline_s=5)


# -- spending -----------------------------------------------------------------------------------


async def test_what_was_spent_is_journaled_once_and_no_price_is_no_zero() -> None:
    journal = Journal()
    for _ in range(2):
        ctx = context(journal)
        await ctx.spend(1_200, usd=0.0125)
        await ctx.spend(7)
    assert {key: orjson.loads(value) for key, value in journal.kept.items()} == {
        "spent/1": {"tokens": 1_200, "micros": 12_500},
        "spent/2": {"tokens": 7, "micros": None},
    }
    for wrong in ({"tokens": -1}, {"usd": -0.5}, {"usd": math.nan}):
        with pytest.raises(ValueError, match="nothing can be given back"):
            await context(journal).spend(**wrong)


# -- what else a context knows ------------------------------------------------------------------


async def test_it_says_who_it_works_for() -> None:
    ctx = context(Journal(), recorded={"search": {"url": "u", "read": "2024-01-01"}})
    assert (ctx.saga_id, ctx.step_id, ctx.attempt) == ("saga", "step", 3)
    assert (ctx.idempotency_key, ctx.deadline_at, ctx.epoch) == ("saga/step", 77, 5)
    assert ctx.result("search", Page) == Page(url="u", read=date(2024, 1, 1))
    assert ctx.results["search"]["url"] == "u"
    assert context(Journal()).results == {}
    await ctx.progress("half way")
    assert reported == ["half way"]
