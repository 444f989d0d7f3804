"""Sends a request that is decided once, and waits for the decision, whatever is lost meanwhile.

The decision is announced, which may be missed; so it is also asked for, again and again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from folkmoot.bus.ports import Bus, Gossiped
from folkmoot.runtime.service import QueryError
from folkmoot.sdk.errors import NoAnswer
from folkmoot.sdk.queries import ask

A = TypeVar("A")

ASK_AGAIN_S = 1.0
"""How often whoever waits asks for an answer that may have been missed."""


@dataclass(frozen=True, slots=True)
class Question(Generic[A]):
    """Where the answer to one request is announced, and where it can be asked for."""

    request_id: str
    subject: str
    answer: TypeAdapter[A]
    service: str
    place: int | str
    query: Mapping[str, Any]


async def decided(
    bus: Bus, question: Question[A], send: Callable[[], Awaitable[None]], timeout_s: float
) -> A:
    """Send the request and return what was decided.

    Raises:
        NoAnswer: the answer did not come in time, so it may or may not have been decided.
    """
    answered: asyncio.Future[A] = asyncio.get_running_loop().create_future()

    async def hear(message: Gossiped) -> None:
        if not answered.done():
            answered.set_result(question.answer.validate_json(message.data))

    heard = await bus.gossip.subscribe(question.subject, hear)
    try:
        await send()
        async with asyncio.timeout(timeout_s):
            return await _answer(bus, question, answered)
    except TimeoutError:
        raise NoAnswer(
            f"no answer about {question.request_id} came within {timeout_s:g} s"
        ) from None
    finally:
        await heard.close()


async def _answer(bus: Bus, question: Question[A], answered: asyncio.Future[A]) -> A:
    while True:
        done, _ = await asyncio.wait([answered], timeout=ASK_AGAIN_S)
        if done:
            return answered.result()
        with contextlib.suppress(NoAnswer, QueryError):
            found = await ask(bus, question.service, question.place, question.query)
            if found is not None:
                known = {name: value for name, value in found.items() if name != "as_of"}
                return question.answer.validate_python(known)
