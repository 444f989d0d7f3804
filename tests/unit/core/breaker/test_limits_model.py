"""Random calls, ends, silences and other limits: what workers are sent never exceeds a limit.

The reference is what workers were sent, and when, and which of it has ended; it knows nothing of
queues. Besides, nobody waits in vain: what could begin has begun.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from folkmoot.core.breaker import BreakerMachine, BreakerSettings, CallExpired
from folkmoot.core.kernel import Led, Position, Send, Tick
from folkmoot.core.messages import Call, CancelCall, Outcome, RegisterAgent
from folkmoot.core.shares import Limit, Share
from tests.unit.core.breaker.proxy import START, call, outcome

RULES = BreakerSettings(
    queue_max=6, held_max=5, grace_ms=100, consecutive_failures=1_000, calls_min=1_000
)
PARTITIONS, CONCURRENCY = 2, 2
ROOM = PARTITIONS * RULES.partition_limit(CONCURRENCY)
STEPS = ("ask", "search", "plain")

limits = st.builds(
    Limit,
    st.just(""),
    st.just(()),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([200, 1_000]),
    st.booleans(),
)


class Limits(RuleBasedStateMachine):
    """One agent, two of whose three steps have a limit each."""

    @initialize(ask=limits, search=limits)
    def begin(self, ask: Limit, search: Limit) -> None:
        self.machine = BreakerMachine(RULES, 0)
        self.state = self.machine.initial()
        self.now, self.offset, self.count = START, 0, 0
        self.log: list[tuple[object, Position]] = []
        self.calls: dict[str, Call] = {}
        self.open: dict[str, str] = {}
        self.began: dict[str, list[int]] = {}
        self.answered: Counter[str] = Counter()
        self.received: list[str] = []
        self.give(Led("a", 0))
        self.declare(ask, search)

    def declare(self, ask: Limit, search: Limit) -> None:
        self.limits = (
            replace(ask, name="ask", steps=("ask",), starts=0, period_ms=0),
            replace(search, name="search", steps=("search",), in_flight=0),
        )
        self.began.clear()
        self.give(RegisterAgent("writer", "news", PARTITIONS, CONCURRENCY, STEPS, self.limits))

    def key(self, sent: Call) -> str:
        tenant = sent.share.tenant if sent.share else ""
        for limit in self.limits:
            if sent.name in limit.steps:
                return f"{limit.name}/{tenant}" if limit.by_tenant else limit.name
        return ""

    def give(self, message: object) -> None:
        events = self.machine.decide(self.state, message, self.now)
        self.offset += 1
        for event in events:
            position = Position(self.offset, self.now)
            self.log.append((event, position))
            if isinstance(event, CallExpired):
                self.open.pop(event.call_id)
            for effect in self.machine.apply(self.state, event, position):
                assert isinstance(effect, Send)
                self.receive(effect.message)

    def receive(self, message: Any) -> None:
        """Be a worker that is sent a call, or whoever waits for the answer."""
        if isinstance(message, Call):
            self.open[message.call_id] = self.key(message)
            self.received.append(message.call_id)
            self.began.setdefault(self.key(message), []).append(self.now)
        elif isinstance(message, Outcome):
            self.answered[message.call_id] += 1

    # -- what happens ---------------------------------------------------------------------------

    @rule(
        step=st.sampled_from(STEPS),
        tenant=st.sampled_from(["ann", "bob"]),
        time_ms=st.sampled_from([150, 3_000]),
        undo=st.booleans(),
    )
    def ask(self, step: str, tenant: str, time_ms: int, undo: bool) -> None:
        self.count += 1
        made = replace(
            call(f"c{self.count}", kind="compensate" if undo else "step"),
            name=step, share=Share(tenant), deadline_at=self.now + time_ms,
        )  # fmt: skip
        self.calls[made.call_id] = made
        self.give(made)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), well=st.booleans())
    def end(self, data: st.DataObject, well: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.open)))
        del self.open[call_id]
        answer = outcome(call_id) if well else outcome(call_id, "refused")
        self.give(answer)
        self.give(answer)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.calls)))
        self.give(CancelCall(call_id, "saga", "writer"))

    @rule(ms=st.sampled_from([1, 50, 200, 999, 1_000]), ticks=st.booleans())
    def pass_time(self, ms: int, ticks: bool) -> None:
        """Let time pass; a leader that is slow ticks late."""
        end = self.now + ms
        while ticks and (due := self.machine.due(self.state)) is not None and due <= end:
            self.now = max(self.now, due)
            before = len(self.log)
            self.give(Tick())
            assert len(self.log) > before, "a tick that was due decided nothing"
        self.now = end

    @rule(ask=limits, search=limits)
    def change(self, ask: Limit, search: Limit) -> None:
        """Declare other limits, once nothing of the former ones is under way."""
        if not self.open and not self.state.places:
            self.now += 1_000
            self.declare(ask, search)

    @rule()
    def follow(self) -> None:
        """Have another leader go on with what stands in the log."""
        state = BreakerMachine(RULES, 0).initial()
        for event, position in self.log:
            self.machine.apply(state, event, position)
        assert state == self.state
        self.state = state

    # -- what must hold -------------------------------------------------------------------------

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        if not hasattr(self, "machine"):
            return
        at_work = Counter(self.open.values())
        for key, began in self.began.items():
            for limit in self.limits:
                if key.partition("/")[0] != limit.name:
                    continue
                if limit.in_flight:
                    assert at_work[key] <= limit.in_flight, f"{at_work[key]} of {key} at work"
                if limit.starts:
                    for first, last in zip(began, began[limit.starts :], strict=False):
                        assert last - first >= limit.period_ms, f"too many of {key} in a period"

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """With room at the workers, who waits has no limit only if a tick is due."""
        if not hasattr(self, "machine"):
            return
        due = self.machine.due(self.state)
        target = self.state.targets["writer"]
        if sum(target.loads) == ROOM or (due is not None and due <= self.now):
            return
        at_work = Counter(self.open.values())
        for waiting in target.queue.values():
            key = self.key(waiting)
            assert key, "a call without a limit waits though there is room"
            limit = next(each for each in self.limits if each.name == key.partition("/")[0])
            began = self.began.get(key, [])
            full = limit.in_flight and at_work[key] >= limit.in_flight
            early = (
                limit.starts
                and len(began) >= limit.starts
                and began[-limit.starts] + limit.period_ms > self.now
            )
            assert full or early, f"{waiting.call_id} waits for nothing"

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        while self.open:
            call_id = min(self.open)
            del self.open[call_id]
            self.give(outcome(call_id))
        self.pass_time(10_000, ticks=True)
        assert not self.state.places
        assert self.answered + Counter(self.received) == Counter(self.calls.keys()), (
            "lost, or twice"
        )


TestLimits = Limits.TestCase
TestLimits.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
