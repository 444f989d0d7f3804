"""The invariants, each a function over the evidence. See ARCHITECTURE.md for their wording.

They judge what receivers acted on and what the logs say, never what a sender meant.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from folkmoot.bus.ports import Stored
from folkmoot.contracts.envelope import decode_message
from folkmoot.contracts.keys import partition_of
from folkmoot.core.kernel import InputRejected, Mark, Send
from folkmoot.testing.simulation.evidence import Checker, Evidence, ShardEvidence, Violation
from folkmoot.testing.simulation.index_checks import indexes_tell_what_the_logs_say
from folkmoot.testing.simulation.relay import Did, Kept, Passed, Put, Rang, RelayMachine, Taken
from folkmoot.testing.simulation.saga_checks import (
    effects_are_undone,
    limits_hold,
    notes_are_appended_once,
    plans_are_made_once,
    sagas_end_once,
)


def one_leader(evidence: Evidence) -> Iterator[Violation]:
    """I1: at each offset at most one member leads, and terms strictly increase."""
    for origin, shard in evidence.shards.items():
        term = -1
        for offset, ruling in enumerate(shard.rulings):
            if ruling.term not in (term, offset):
                yield Violation("I1", f"{origin}: term {ruling.term} began before its claim")
            term = ruling.term
        for sample in evidence.seen.samples[origin]:
            if sample.offset == 0:
                continue
            ruling = shard.rulings[sample.offset - 1]
            if (sample.holder, sample.term) != (ruling.holder, ruling.term):
                yield Violation(
                    "I1",
                    f"{origin}: at {sample.offset} {sample.member} takes {sample.holder} for the "
                    f"leader of term {sample.term}, but it is {ruling.holder} of {ruling.term}",
                )


def claims_lose_to_leaders(evidence: Evidence) -> Iterator[Violation]:
    """I2: a claim never beats a leader's record ordered before it."""
    for origin, shard in evidence.shards.items():
        for sample in evidence.seen.samples[origin]:
            if sample.offset and sample.last != shard.rulings[sample.offset - 1].last:
                yield Violation(
                    "I2",
                    f"{origin}: at {sample.offset} {sample.member} takes {sample.last} for the "
                    f"last leader's record, but it is {shard.rulings[sample.offset - 1].last}",
                )
        yield from _claims_over_leaders(origin, shard)


def _claims_over_leaders(origin: str, shard: ShardEvidence) -> Iterator[Violation]:
    """Yield what was written by members that took a claim which lost for one that had won."""
    won = {ruling.term for ruling in shard.rulings}
    for offset, control in enumerate(shard.controls):
        if control["kind"] != "claim" and control["term"] not in won:
            yield Violation(
                "I2",
                f"{origin}: the {control['kind']} at {offset} is of term {control['term']}, which "
                "no claim has won",
            )


def equal_states(evidence: Evidence) -> Iterator[Violation]:
    """I3: members have equal state at equal offsets."""
    for origin in evidence.shards:
        seen: dict[int, tuple[str, str]] = {}
        for sample in evidence.seen.samples[origin]:
            member, state = seen.setdefault(sample.offset, (sample.member, sample.state))
            if state != sample.state:
                yield Violation(
                    "I3", f"{origin}: at {sample.offset} {sample.member} and {member} differ"
                )


def replay_equals_live(evidence: Evidence) -> Iterator[Violation]:
    """I8: reading the log from zero gives the state that was there live."""
    for origin, shard in evidence.shards.items():
        for sample in evidence.seen.samples[origin]:
            if shard.states[sample.offset] != sample.state:
                yield Violation(
                    "I8", f"{origin}: at {sample.offset} {sample.member} is not what a replay gives"
                )


def decided_once(evidence: Evidence) -> Iterator[Violation]:
    """I4: every acknowledged input is decided exactly once, in the order of its inbox."""
    for origin, shard in evidence.shards.items():
        yield from _consumed_in_order(evidence, origin, shard)
        yield from _inputs_decided(evidence, origin, shard)


def _consumed_in_order(
    evidence: Evidence, origin: str, shard: ShardEvidence
) -> Iterator[Violation]:
    consumed = dict.fromkeys(shard.name.inputs, 0)
    counted = (c for c, r in zip(shard.controls, shard.rulings, strict=True) if r.counts)
    for control in counted:
        for topic, offset in control.get("consumed", {}).items():
            if offset < consumed[topic]:
                yield Violation("I4", f"{origin}: {topic} goes back to {offset}")
            consumed[topic] = offset
    for topic, offset in consumed.items():
        end = len(evidence.topics[topic, shard.name.partition])
        if offset != end:
            yield Violation("I4", f"{origin}: {topic} is decided up to {offset} of {end}")


def _inputs_decided(evidence: Evidence, origin: str, shard: ShardEvidence) -> Iterator[Violation]:
    sent = evidence.seen.sent[origin]
    if not isinstance(shard.machine, RelayMachine):
        return
    decided = _decided(shard)
    counts = Counter(decided)
    for item, count in counts.items():
        if item not in sent:
            yield Violation("I4", f"{origin}: decided {item!r}, which nobody sent")
        if count > 1:
            yield Violation("I4", f"{origin}: decided {item!r} {count} times")
    for item, one in sent.items():
        if one.acknowledged and one.outcome != "ignore" and not counts[item]:
            yield Violation("I4", f"{origin}: never decided {item!r}, which was acknowledged")
    for topic in shard.name.inputs:
        order = _items(evidence.topics[topic, shard.name.partition], shard)
        if [item for item in decided if item in order] != [i for i in order if counts[i]]:
            yield Violation("I4", f"{origin}: inputs of {topic} were decided out of order")


def _decided(shard: ShardEvidence) -> list[str]:
    """Return the items that a relay decided, in order."""
    items = []
    for entry in shard.accepted:
        for event in entry.events:
            if isinstance(event, Kept):
                items.append(event.item)
            elif isinstance(event, InputRejected) and event.reason in ("unwanted", "defect"):
                items.append(event.detail.removeprefix("ValueError: "))
    return items


def _items(records: Sequence[Stored], shard: ShardEvidence) -> dict[str, None]:
    """Return the items that were put into an inbox, in the order of their first arrival."""
    messages = [decode_message(r.value, r.headers, shard.machine.inputs).message for r in records]
    return dict.fromkeys(message.item for message in messages if isinstance(message, Put))


def effects_act_once(evidence: Evidence) -> Iterator[Violation]:
    """I5: every effect of an accepted entry reaches its target and is acted on once; none other."""
    expected = _expected(evidence)
    arrived = _arrived(evidence)
    for (origin, topic, partition), effects in expected.items():
        marks = arrived.pop((origin, topic, partition), [])
        missing = [mark for mark in effects if mark not in set(marks)]
        if missing:
            yield Violation(
                "I5", f"{origin}: effect {_name(missing[0])} never reached {topic}/{partition}"
            )
        foreign = [mark for mark in marks if mark not in effects]
        if foreign:
            yield Violation(
                "I5",
                f"{origin}: {topic}/{partition} was sent {_name(foreign[0])}, no accepted entry's",
            )
        first_seen = list(dict.fromkeys(marks))
        if first_seen != sorted(first_seen):
            yield Violation("I5", f"{origin}: effects overtook each other to {topic}/{partition}")
    for origin, topic, partition in arrived:
        yield Violation("I5", f"{topic}/{partition} was sent effects of {origin}, which has none")
    yield from _taken_once(evidence)
    yield from _done_once(evidence)


def _name(mark: Mark) -> str:
    return f"{mark.offset}.{mark.ordinal}"


Route = tuple[str, str, int]


def _expected(evidence: Evidence) -> dict[Route, dict[Mark, Send]]:
    """Return the effects of accepted entries by origin and target, in order."""
    expected: dict[Route, dict[Mark, Send]] = defaultdict(dict)
    for origin, shard in evidence.shards.items():
        for entry in shard.accepted:
            for ordinal, send in enumerate(entry.effects):
                partition = send.partition
                if partition is None:
                    partition = partition_of(send.key or "", evidence.counts[send.topic])
                route = (origin, send.topic, partition)
                expected[route][Mark(entry.offset, ordinal)] = send
    return expected


def _arrived(evidence: Evidence) -> dict[Route, list[Mark]]:
    """Return the marks that landed, by origin and target, as often as they did."""
    arrived: dict[Route, list[Mark]] = defaultdict(list)
    for (topic, partition), records in evidence.topics.items():
        for stored in records:
            headers = dict(stored.headers)
            if "origin" in headers:
                offset, ordinal = headers["mark"].split(b".")
                origin = headers["origin"].decode()
                if origin in evidence.shards:
                    arrived[origin, topic, partition].append(Mark(int(offset), int(ordinal)))
    return arrived


def _taken_once(evidence: Evidence) -> Iterator[Violation]:
    """Yield what a relay acted on twice, or never, of what the other passed on."""
    taken = Counter(
        (event.origin, event.offset, event.copy)
        for shard in evidence.shards.values()
        for entry in shard.accepted
        for event in entry.events
        if isinstance(event, Taken)
    )
    passed = Counter(
        (send.message.origin, send.message.offset, send.message.copy)
        for shard in evidence.shards.values()
        for entry in shard.accepted
        for send in entry.effects
        if isinstance(send.message, Passed) and send.topic in _inboxes(evidence)
    )
    for key, count in (taken - passed).items():
        yield Violation("I5", f"{key[0]}: {key[1]}.{key[2]} was acted on {count} times too often")
    for key in passed - taken:
        yield Violation("I5", f"{key[0]}: {key[1]}.{key[2]} was never acted on")


def _inboxes(evidence: Evidence) -> set[str]:
    return {topic for shard in evidence.shards.values() for topic in shard.name.inputs}


def _done_once(evidence: Evidence) -> Iterator[Violation]:
    """Yield local requests that a member acted on although no accepted entry made them."""
    for origin, done in evidence.seen.done.items():
        kept = {
            (event.item, entry.offset)
            for entry in evidence.shards[origin].accepted
            for event in entry.events
            if isinstance(event, Kept)
        }
        requests = [each.request for each in done]
        counts = Counter((r.item, r.offset) for r in requests if isinstance(r, Did))
        for (item, offset), count in counts.items():
            if (item, offset) not in kept:
                yield Violation("I5", f"{origin}: acted on {item!r} at {offset}, which is not so")
            elif count > 1:
                yield Violation("I5", f"{origin}: acted {count} times on {item!r} at {offset}")


def alarms_ring(evidence: Evidence) -> Iterator[Violation]:
    """I4 for timers: an alarm rings once, not before its time."""
    for origin, shard in evidence.shards.items():
        due: dict[str, int] = {}
        for entry in shard.accepted:
            for event in entry.events:
                if isinstance(event, Kept) and event.alarm_at is not None:
                    due[event.item] = event.alarm_at
                elif isinstance(event, Rang):
                    yield from _rang(origin, due, event, entry.at)


def _rang(origin: str, due: dict[str, int], event: Rang, at: int) -> Iterator[Violation]:
    for item in event.items:
        wanted_at = due.pop(item, None)
        if wanted_at is None:
            yield Violation("I4", f"{origin}: the alarm of {item!r} rang though none was set")
        elif at < wanted_at:
            yield Violation("I4", f"{origin}: {item!r} rang {wanted_at - at} ms early")


def log_time_never_runs_back(evidence: Evidence) -> Iterator[Violation]:
    """The `at` of records that count never decreases."""
    for origin, shard in evidence.shards.items():
        at = 0
        for control, ruling in zip(shard.controls, shard.rulings, strict=True):
            if not ruling.counts or control["kind"] == "claim":
                continue
            if control["at"] < at:
                yield Violation("time", f"{origin}: log time goes back by {at - control['at']} ms")
            at = max(at, control["at"])


def nothing_went_wrong(evidence: Evidence) -> Iterator[Violation]:
    """I7 and others, seen while the world ran: see `World`."""
    for trouble in evidence.seen.troubles:
        invariant, _, detail = trouble.partition(": ")
        yield Violation(invariant, detail)


CHECKERS: dict[str, Checker] = {
    check.__name__: lambda evidence, check=check: list(check(evidence))  # type: ignore[misc]
    for check in (
        one_leader,
        claims_lose_to_leaders,
        equal_states,
        replay_equals_live,
        decided_once,
        alarms_ring,
        effects_act_once,
        log_time_never_runs_back,
        sagas_end_once,
        effects_are_undone,
        plans_are_made_once,
        limits_hold,
        notes_are_appended_once,
        indexes_tell_what_the_logs_say,
        nothing_went_wrong,
    )
}
"""Every checker by name."""


def judge(evidence: Evidence) -> list[Violation]:
    """Return what does not hold."""
    return [violation for check in CHECKERS.values() for violation in check(evidence)]
