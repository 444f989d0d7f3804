"""Tells the election whom a team wants as its leader, and waits for its answer."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import orjson

from folkmoot.bus.ports import Bus
from folkmoot.contracts.keys import partition_of
from folkmoot.core.messages import ConfigureTeam, inbox
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.postbox import Postbox
from folkmoot.runtime.service import QueryError
from folkmoot.sdk.election.confirming import Answered, Confirmations, Word
from folkmoot.sdk.errors import ElectionRefused, NoAnswer
from folkmoot.sdk.queries import ask, partition_count

ASK_EVERY_S = 0.02
TIMEOUT_S = 10.0


async def configure_team(
    bus: Bus, configure: ConfigureTeam, clock: Clock, timeout_s: float = TIMEOUT_S
) -> None:
    """Give a team rules for its leader, and return when they are in force.

    Raises:
        ElectionRefused: they cannot be, and why; nothing was changed.
        NoAnswer: the election did not answer in time; the rules may yet come into force.
        BusError: the bus cannot be used now.
    """
    topic, sender = inbox("election"), f"configure-{os.urandom(6).hex()}"
    shard = partition_of(configure.team, await partition_count(bus, topic))
    refusals: dict[int, Answered] = {}

    def hear(word: Word) -> None:
        if isinstance(word, Answered):
            refusals[word.offset] = word

    answers, postbox = Confirmations(bus, sender, hear), Postbox(bus, sender, clock)
    try:
        await answers.follow(shard)
        offset = await postbox.send(topic, shard, configure, configure.team)
        async with asyncio.timeout(timeout_s):
            while not await _is_in_force(bus, shard, configure):
                if (refusal := refusals.get(offset)) is not None:
                    raise ElectionRefused(refusal.kind, refusal.detail)
                await asyncio.sleep(ASK_EVERY_S)
    except TimeoutError:
        raise NoAnswer(
            f"the election did not answer within {timeout_s:g} s: is it ready?"
        ) from None
    finally:
        await answers.close()
        await postbox.close()


async def _is_in_force(bus: Bus, shard: int, wanted: ConfigureTeam) -> bool:
    """Whether the team's rules are those; not if it is unknown, or nobody answers now."""
    try:
        shown = await ask(bus, "election", shard, {"op": "show", "team": wanted.team})
    except (NoAnswer, QueryError):
        return False
    rules: dict[str, Any] = shown["rules"]
    asked = {name: getattr(wanted, name) for name in rules}
    return bool(orjson.loads(orjson.dumps(asked)) == rules)
