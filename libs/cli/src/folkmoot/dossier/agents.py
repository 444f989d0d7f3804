"""The team that writes the dossier: four agents, and the plan that the elected leader makes.

`agents` is what a member hosts: `folkmoot worker folkmoot.dossier.agents:agents`.
"""

from __future__ import annotations

import asyncio
import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

from folkmoot.dossier.analysis import analyse as conclude
from folkmoot.dossier.corpus import distributions, shards
from folkmoot.dossier.facts import read
from folkmoot.dossier.models import (
    Analysis,
    Dossier,
    Draft,
    Model,
    Shard,
    ShardRead,
    Task,
    Verdict,
)
from folkmoot.dossier.verify import citations_that_do_not_hold
from folkmoot.dossier.writing import CannotWrite, remove
from folkmoot.dossier.writing import write as write_reports
from folkmoot.sdk.agent import Agent
from folkmoot.sdk.context import LeaderContext, StepContext
from folkmoot.sdk.errors import Permanent, Retryable
from folkmoot.sdk.steps import Retry, Step

TEAM = "dossier"
FACTS, PAGES, BYTES = "facts", "pages-read", "bytes-read"

GOSSIP_POLL_S = 0.02
GOSSIP_PATIENCE_S = 5.0
"""How long the analyst waits for facts that others found; digests repair gossip every second."""

FLAKY_SHARE = 0.6
FLAKY_RETRY = Retry(attempts=40, initial_s=0.05, factor=1.3, cap_s=1.0)
"""A flaky agent is tried often: its breaker, not the saga, is to give it a rest."""

researcher = Agent("researcher", team=TEAM, concurrency=2)
analyst = Agent("analyst", team=TEAM)
writer = Agent("writer", team=TEAM)
verifier = Agent("verifier", team=TEAM)
agents = [researcher, analyst, writer, verifier]


class Found(Model):
    """What one reading gave, as it is journaled."""

    facts: list[list[Any]]
    files: int
    bytes: int


class Write(Model):
    """What the writer is to do, and what it is to pretend."""

    out: str
    fail: str | None = None


@researcher.plan
async def plan(ctx: LeaderContext, task: Task) -> list[Step]:
    """Share out the reading, then conclude, write and verify."""
    names = list(distributions())
    reading = [
        Step(
            "research",
            Shard(names=shard, flaky=task.flaky, pace_ms=task.pace_ms),
            id=f"research-{number}",
        )
        for number, shard in enumerate(shards(names, task.shards), 1)
    ]
    return [
        *reading,
        Step("analyse", needs=[step.step_id for step in reading]),
        Step("write", Write(out=task.out, fail=task.fail), needs=["analyse"]),
        Step("verify", needs=["write"]),
    ]


@researcher.step("research", timeout_s=60, retry=FLAKY_RETRY)
async def research(ctx: StepContext, shard: Shard) -> ShardRead:
    """Read the metadata of a shard's distributions into the shared set of facts."""
    if shard.flaky and _unlucky(f"{ctx.step_id}/{ctx.attempt}"):
        raise Retryable("the index did not answer")
    pages, size, facts = 0, 0, []
    for name in shard.names:
        found = await ctx.call("read", _read, name)
        facts += found.facts
        pages, size = pages + found.files, size + found.bytes
        await asyncio.sleep(shard.pace_ms / 1000)
    await ctx.knowledge.set(FACTS).add(*facts)
    await ctx.knowledge.counter(PAGES).increment(pages)
    await ctx.knowledge.counter(BYTES).increment(size)
    distinct = {json.dumps(fact, sort_keys=True) for fact in facts}
    return ShardRead(packages=len(shard.names), facts=len(distinct), pages=pages, bytes=size)


def _unlucky(key: str) -> bool:
    """Whether a flaky agent fails this time: always the same for the same key."""
    draw = int.from_bytes(blake2b(key.encode(), digest_size=4).digest(), "big") / 2**32
    return draw < FLAKY_SHARE


def _read(name: str) -> Found:
    reading = read(name)
    return Found(
        facts=[list(fact) for fact in reading.facts], files=reading.files, bytes=reading.bytes
    )


@research.compensate
async def forget(ctx: StepContext, shard: Shard, done: ShardRead | None) -> None:
    """Take this saga's facts back."""
    await ctx.knowledge.set(FACTS).retract()


@analyst.step("analyse", timeout_s=60)
async def analyse(ctx: StepContext, nothing: None) -> Analysis:
    """Conclude from the facts of all researchers, once gossip has brought them all."""
    expected = sum(ctx.result(step_id, ShardRead).facts for step_id in ctx.results)
    facts = await _gathered(ctx, expected)
    return await asyncio.to_thread(conclude, facts)


async def _gathered(ctx: StepContext, expected: int) -> list[list[Any]]:
    known = ctx.knowledge.set(FACTS)
    for _ in range(round(GOSSIP_PATIENCE_S / GOSSIP_POLL_S)):
        facts: list[list[Any]] = known.mine()
        if len(facts) >= expected:
            return facts
        await asyncio.sleep(GOSSIP_POLL_S)
    raise Retryable(f"only {len(known.mine())} of {expected} facts have arrived here")


@writer.step("write", timeout_s=60)
async def write(ctx: StepContext, order: Write) -> Draft:
    """Write the report, each claim numbered to its source."""
    analysis = ctx.result("analyse", Analysis)
    facts = await _gathered(ctx, analysis.facts)
    try:
        draft = await asyncio.to_thread(
            write_reports, Path(order.out), analysis, facts, plant_a_lie=order.fail == "verify"
        )
    except CannotWrite as error:
        raise Permanent(str(error)) from error
    if order.fail == "write":
        raise Permanent("the writer was asked to fail, with the draft already on disk")
    return draft


@write.compensate
async def withdraw(ctx: StepContext, order: Write, done: Draft | None) -> None:
    """Take the draft away."""
    await asyncio.to_thread(remove, Path(order.out))


@verifier.step("verify", timeout_s=60)
async def verify(ctx: StepContext, nothing: None) -> Verdict:
    """Read every cited source again."""
    draft = ctx.result("write", Draft)
    wrong = await asyncio.to_thread(citations_that_do_not_hold, draft.citations)
    if wrong:
        first = wrong[0]
        raise Permanent(
            f"{len(wrong)} of {len(draft.citations)} citations do not hold, first [{first.number}]:"
            f" {first.source} does not say {first.predicate} {first.value!r}"
        )
    return Verdict(checked=len(draft.citations))


@researcher.aggregate
async def aggregate(ctx: LeaderContext, results: dict[str, Any]) -> Dossier:
    """Return where the report is, and what it says in short."""
    draft = Draft.model_validate(results["write"])
    read_shards = [
        ShardRead.model_validate(result)
        for step_id, result in results.items()
        if step_id.startswith("research-")
    ]
    return Dossier(
        markdown=draft.markdown,
        html=draft.html,
        findings=[finding.sentence for finding in draft.findings],
        packages=sum(shard.packages for shard in read_shards),
        facts=sum(shard.facts for shard in read_shards),
        verified=Verdict.model_validate(results["verify"]).checked,
    )
