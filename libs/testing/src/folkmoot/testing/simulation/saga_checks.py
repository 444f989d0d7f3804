"""The invariants that only a whole mesh can break: sagas, and the streams of the event store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from folkmoot.contracts.envelope import decode_message
from folkmoot.core.breaker import events as breaker
from folkmoot.core.event_store.events import EventsAppended
from folkmoot.core.messages import TASK_RESULTS, Call, TaskResult, log
from folkmoot.core.names import by_wire_name
from folkmoot.core.saga import events as saga
from folkmoot.core.saga.child_events import SagaHeld, SagaReleased
from folkmoot.core.saga.plan_events import PlanRecorded
from folkmoot.core.shares import Limit
from folkmoot.testing.simulation.evidence import Act, Evidence, ShardEvidence, Violation

ORCHESTRATOR = f"{log('saga-orchestrator')}/0"
BREAKER = f"{log('breaker-proxy')}/0"
EVENT_STORE = f"{log('event-store')}/0"
STATES: Mapping[type, str] = {
    saga.SagaCompleted: "completed",
    saga.SagaCompensated: "compensated",
    saga.SagaFailed: "failed",
    saga.TaskRefused: "refused",
}
Steps = list[dict[str, Any]]


def sagas_end_once(evidence: Evidence) -> Iterator[Violation]:
    """I6: a saga opens once and ends in exactly one state, which is what its user is told.

    A task that was refused has not become a saga: sent again, it may be taken.
    """
    shard = evidence.shards.get(ORCHESTRATOR)
    if shard is None:
        return
    opened, ends = _openings_and_ends(shard)
    told = _told(evidence)
    for saga_id in {**dict.fromkeys(evidence.seen.tasks), **opened}:
        if saga_id not in evidence.seen.tasks and not ends[saga_id]:
            yield Violation("I6", f"saga {saga_id} was opened and has not ended")
        elif len(ends[saga_id]) != 1 and set(ends[saga_id]) != {"refused"}:
            yield Violation("I6", f"saga {saga_id} ended {len(ends[saga_id])} times")
        elif opened[saga_id] != (ends[saga_id][0] != "refused"):
            yield Violation("I6", f"saga {saga_id} was opened {opened[saga_id]} times")
        elif not set(ends[saga_id]) <= told[saga_id] <= {*ends[saga_id], "refused"}:
            yield Violation("I6", f"saga {saga_id} is {ends[saga_id]}, told as {told[saga_id]}")


def _openings_and_ends(shard: ShardEvidence) -> tuple[Counter[str], dict[str, list[str]]]:
    """Return how often each saga was opened, and how it ended: refused, if never opened."""
    opened: Counter[str] = Counter()
    ends: dict[str, list[str]] = defaultdict(list)
    held: set[str] = set()
    for event in _events(shard):
        if isinstance(event, saga.SagaOpened):
            opened[event.saga_id] += 1
            if set(ends[event.saga_id]) == {"refused"}:
                ends[event.saga_id].clear()
        if (state := _state_after(event, held)) is not None:
            ends[event.saga_id].append(state)  # type: ignore[attr-defined]
    return opened, ends


def _state_after(event: object, held: set[str]) -> str | None:
    """Return how a saga ends by an event, None if it does not; `held` are the children done."""
    if isinstance(event, SagaHeld):
        held.add(event.saga_id)
    elif isinstance(event, saga.CompensationStarted):
        held.discard(event.saga_id)
    elif isinstance(event, SagaReleased) and event.saga_id in held:
        return "completed"
    return STATES.get(type(event))


def _events(shard: ShardEvidence) -> Iterator[object]:
    for entry in shard.accepted:
        yield from entry.events


def _told(evidence: Evidence) -> dict[str, set[str]]:
    """Return in which states a user was told that each saga ended."""
    told: dict[str, set[str]] = defaultdict(set)
    types = by_wire_name(TaskResult)
    for (topic, _), records in evidence.topics.items():
        if topic == TASK_RESULTS:
            for stored in records:
                message = decode_message(stored.value, stored.headers, types).message
                if isinstance(message, TaskResult):
                    told[message.saga_id].add(message.state)
    return told


def effects_are_undone(evidence: Evidence) -> Iterator[Violation]:
    """I6: what a saga did is there if it completed; if not, it was undone, dependants first."""
    shard = evidence.shards.get(ORCHESTRATOR)
    if shard is None:
        return
    ends = _openings_and_ends(shard)[1]
    acts: dict[str, list[Act]] = defaultdict(list)
    for act in evidence.seen.acts:
        acts[act.saga_id].append(act)
    children = {
        event.saga_id: event.input
        for event in _events(shard)
        if isinstance(event, saga.SagaOpened) and event.parent is not None
    }
    for saga_id, steps in (evidence.seen.tasks | children).items():
        yield from _one_saga(
            saga_id, ends[saga_id][-1] if ends[saga_id] else None, steps, acts[saga_id]
        )


def _one_saga(
    saga_id: str, state: str | None, steps: Steps, acts: list[Act]
) -> Iterator[Violation]:
    done = [act.step_id for act in acts if act.verb == "do"]
    undone = [act.step_id for act in acts if act.verb == "undo"]
    for step_id, count in Counter([act[:3] for act in acts]).items():
        if count > 1:
            yield Violation("I6", f"saga {saga_id}: {step_id} took effect {count} times")
    if state == "completed":
        missing = {step["id"] for step in steps if "sub" not in step} - set(done)
        if missing or undone:
            yield Violation(
                "I6", f"saga {saga_id} completed, without {missing or None}, undone: {undone}"
            )
    elif set(done) != set(undone):
        yield Violation("I6", f"saga {saga_id} is {state}; done: {done}, undone: {undone}")
    yield from _order(saga_id, steps, done, undone)


def _order(saga_id: str, steps: Steps, done: list[str], undone: list[str]) -> Iterator[Violation]:
    nested = {step["id"] for step in steps if "sub" in step}
    for step in steps:
        for need in step["needs"]:
            if need in nested:
                continue
            if step["id"] in done and need not in done[: done.index(step["id"])]:
                yield Violation("I6", f"saga {saga_id}: {step['id']} was done before {need}")
            if step["id"] in undone and need in undone[: undone.index(step["id"])]:
                yield Violation("I6", f"saga {saga_id}: {need} was undone before {step['id']}")


def plans_are_made_once(evidence: Evidence) -> Iterator[Violation]:
    """I6: a plan is recorded once; each step succeeds once and is compensated at most once."""
    shard = evidence.shards.get(ORCHESTRATOR)
    if shard is None:
        return
    counts: Counter[tuple[str, str, str]] = Counter()
    for event in _events(shard):
        if isinstance(event, PlanRecorded):
            counts["planned", event.saga_id, ""] += 1
        elif isinstance(event, saga.StepSucceeded):
            counts["succeeded", event.saga_id, event.step_id] += 1
        elif isinstance(event, saga.StepCompensated):
            counts["compensated", event.saga_id, event.step_id] += 1
    for (what, saga_id, step_id), count in counts.items():
        if count > 1:
            yield Violation("I6", f"saga {saga_id}: {step_id} was {what} {count} times")


def limits_hold(evidence: Evidence) -> Iterator[Violation]:
    """I9: no more calls of a limit are with workers, and no more begin in a period, than it allows.

    Counted by what is sent to the workers and by who has answered, and not by the breaker's state.
    """
    shard = evidence.shards.get(BREAKER)
    if shard is None:
        return
    limits: dict[str, Limit] = {}
    at_work: dict[str, str] = {}
    began: dict[str, list[int]] = defaultdict(list)
    for entry in shard.accepted:
        for event in entry.events:
            if isinstance(event, breaker.AgentRegistered):
                limits = {step: limit for limit in event.limits for step in limit.steps}
            elif isinstance(event, breaker.CallEnded | breaker.CallExpired):
                at_work.pop(event.call_id, None)
        for call in (effect.message for effect in entry.effects):
            if isinstance(call, Call) and (limit := limits.get(call.name)) is not None:
                at_work[call.call_id] = limit.name
                began[limit.name].append(entry.at)
                yield from _exceeded(limit, [*at_work.values()], began[limit.name])


def _exceeded(limit: Limit, at_work: list[str], began: list[int]) -> Iterator[Violation]:
    if limit.in_flight and (many := at_work.count(limit.name)) > limit.in_flight:
        yield Violation("I9", f"{many} calls of limit {limit.name} are with workers")
    if limit.starts and len(began) > limit.starts:
        took_ms = began[-1] - began[-1 - limit.starts]
        if took_ms < limit.period_ms:
            yield Violation(
                "I9", f"{limit.starts + 1} calls of limit {limit.name} began in {took_ms} ms"
            )


def notes_are_appended_once(evidence: Evidence) -> Iterator[Violation]:
    """I4 for the event store: an acknowledged append is in its stream once, versions in order."""
    shard = evidence.shards.get(EVENT_STORE)
    if shard is None:
        return
    appended: Counter[str] = Counter()
    version = 0
    for event in _events(shard):
        if isinstance(event, EventsAppended):
            appended[event.request_id] += 1
            if event.first_version != version + 1:
                yield Violation("I4", f"version {event.first_version} follows on {version}")
            version += len(event.events)
    for request in evidence.seen.notes:
        if appended[request] != 1:
            yield Violation("I4", f"{request} was appended {appended[request]} times")
