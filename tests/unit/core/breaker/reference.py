"""A breaker that keeps everything that happened and counts it anew each time it is asked.

It has no counters, no window, no queue, no load and no heap: only lists of what happened, from
which each figure is computed when it is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from folkmoot.core.breaker import (
    BreakerSettings,
)
from folkmoot.core.messages import (
    Address,
    Call,
    Outcome,
)

HOME = Address("folkmoot.saga-orchestrator.inbox", 0)
RULES = BreakerSettings(
    consecutive_failures=3,
    failure_rate_percent=50,
    calls_min=4,
    window_bucket_ms=100,
    window_buckets=4,
    slow_call_ms=50,
    slow_rate_percent=75,
    open_base_ms=200,
    open_cap_ms=700,
    open_jitter_percent=0,
    backoff_decay_ms=500,
    grace_ms=30,
    probe_wait_ms=40,
    worker_queue_percent=50,
    queue_max=2,
)


@dataclass
class Happened:
    """One line of a target's history."""

    what: str
    at: int
    call_id: str = ""
    partition: int = -1
    verdict: str = ""
    slow: bool = False
    retry_at: int = 0
    openings: int = 0


@dataclass
class Reference:
    """One target. `said` collects the answers, `routed` the calls sent to workers.

    `known` is how much of the history there was before the input that is being decided.
    """

    partitions: int
    concurrency: int
    history: list[Happened] = field(default_factory=list)
    calls: dict[str, Call] = field(default_factory=dict)
    known: int = 0
    said: list[tuple[str, str, int | None]] = field(default_factory=list)
    routed: list[tuple[str, int]] = field(default_factory=list)

    # -- what the history amounts to ------------------------------------------------------------

    def latest(self, *what: str, call_id: str | None = None) -> Happened | None:
        for line in reversed(self.history):
            if line.what in what and call_id in (None, line.call_id):
                return line
        return None

    @property
    def phase(self) -> str:
        line = self.latest("open", "half-open", "closed")
        return line.what if line else "closed"

    def generation(self, upto: int | None = None) -> int:
        return sum(line.what in ("open", "half-open", "closed") for line in self.history[:upto])

    def last_fate(self, call_id: str) -> Happened | None:
        return self.latest("admitted", "ended", "queued", "refused", call_id=call_id)

    def fate(self, call_id: str) -> str:
        line = self.last_fate(call_id)
        return line.what if line else "none"

    def with_fate(self, fate: str) -> list[str]:
        """Return calls in the order in which they met their fate."""
        lines = [line for line in self.history if line.what == fate]
        return [line.call_id for line in lines if self.last_fate(line.call_id) is line]

    def partition_of(self, call_id: str) -> int:
        line = self.latest("admitted", call_id=call_id)
        assert line is not None
        return line.partition

    def load(self, partition: int) -> int:
        flying = self.with_fate("admitted")
        return sum(self.partition_of(call_id) == partition for call_id in flying)

    def is_late(self, call_id: str) -> bool:
        line = self.latest("admitted", call_id=call_id)
        assert line is not None
        index = next(n for n, other in enumerate(self.history) if other is line)
        return self.generation(index) != self.generation()

    def is_cancelled(self, call_id: str) -> bool:
        line = self.latest("admitted", "cancelled", call_id=call_id)
        return line is not None and line.what == "cancelled"

    def counted(self) -> list[Happened]:
        """Return the ends that count since the breaker last closed."""
        since = 0
        for index, line in enumerate(self.history):
            if line.what == "closed":
                since = index
        ends = self.history[since:]
        return [line for line in ends if line.verdict in ("success", "failure")]

    def figures(self, now: int) -> tuple[int, int, int]:
        oldest = now // RULES.window_bucket_ms - RULES.window_buckets + 1
        recent = [e for e in self.counted() if e.at // RULES.window_bucket_ms >= oldest]
        failures = sum(e.verdict == "failure" for e in recent)
        return len(recent), failures, sum(e.slow for e in recent)

    def in_a_row(self) -> int:
        ends = [end.verdict for end in self.counted()]
        return len(ends) - max((n for n, end in enumerate(ends, 1) if end == "success"), default=0)

    def openings(self) -> int:
        line = self.latest("open")
        return line.openings if line else 0

    # -- what inputs do -------------------------------------------------------------------------

    def call(self, call: Call, now: int) -> None:
        if self.fate(call.call_id) in ("admitted", "queued"):
            return
        self.calls[call.call_id] = call
        opened = self.latest("open")
        if now >= call.deadline_at:
            self.refuse(call, "timed-out", now)
        elif self.phase == "half-open":
            self.refuse(call, "breaker-open", now, RULES.probe_wait_ms)
        elif self.phase == "open" and opened is not None and now < opened.retry_at:
            self.refuse(call, "breaker-open", now, opened.retry_at - now)
        elif self.phase == "open":
            self.probe(call, now)
        elif self.with_fate("queued") or not self.admit(call, now):
            self.queue(call, now)

    def probe(self, call: Call, now: int) -> None:
        if self.choice(call) is None:
            self.refuse(call, "overloaded", now)
            return
        self.history.append(Happened("half-open", now))
        self.admit(call, now)

    def queue(self, call: Call, now: int) -> None:
        if len(self.with_fate("queued")) < RULES.queue_max:
            self.history.append(Happened("queued", now, call.call_id))
        else:
            self.refuse(call, "overloaded", now)

    def admit(self, call: Call, now: int) -> bool:
        partition = self.choice(call)
        if partition is None:
            return False
        self.history.append(Happened("admitted", now, call.call_id, partition))
        self.routed.append((call.call_id, partition))
        return True

    def choice(self, call: Call) -> int | None:
        last = self.latest("admitted")
        turn = last.partition + 1 if last else 0
        limit = self.concurrency * 3 // 2
        options = [(turn + n) % self.partitions for n in range(self.partitions)]
        options = [p for p in options if self.load(p) < limit]
        options = [p for p in options if p != self.last_tried(call.idempotency_key)] or options
        return min(options, key=self.load) if options else None

    def last_tried(self, step: str) -> int | None:
        for line in reversed(self.history[: self.known]):
            known = self.calls.get(line.call_id)
            if known is None or known.idempotency_key != step:
                continue
            if line.what == "ended" and line.verdict == "success":
                return None
            if line.what == "admitted":
                return line.partition
        return None

    def refuse(self, call: Call, kind: str, now: int, retry_after_ms: int | None = None) -> None:
        self.history.append(Happened("refused", now, call.call_id))
        self.said.append((call.call_id, kind, retry_after_ms))

    def cancel(self, call_id: str, now: int) -> None:
        if self.fate(call_id) == "queued":
            self.refuse(self.calls[call_id], "cancelled", now)
        elif self.fate(call_id) == "admitted" and not self.is_cancelled(call_id):
            self.history.append(Happened("cancelled", now, call_id))
            self.routed.append((call_id, self.partition_of(call_id)))

    def outcome(self, outcome: Outcome, now: int) -> None:
        if self.fate(outcome.call_id) == "admitted":
            slow = outcome.duration_ms >= 50
            hint_ms = (outcome.failure and outcome.failure.retry_after_ms) or 0
            self.end([(outcome.call_id, self.verdict(outcome), slow)], now, hint_ms)

    def verdict(self, outcome: Outcome) -> str:
        if self.is_late(outcome.call_id):
            return "late"
        if outcome.status == "succeeded":
            return "success"
        failure = outcome.failure
        assert failure is not None
        if outcome.status == "refused" or self.is_cancelled(outcome.call_id):
            return "neutral"
        if failure.kind == "timed-out":
            return "failure"
        return "failure" if failure.retryable and failure.kind != "cancelled" else "neutral"

    def tick(self, now: int) -> None:
        flying = self.with_fate("admitted")
        waiting = self.with_fate("queued")
        late = [c for c in flying if now >= self.calls[c].deadline_at + RULES.grace_ms]
        late.sort(key=lambda c: (self.calls[c].deadline_at + RULES.grace_ms, c))
        overdue = [c for c in waiting if now >= self.calls[c].deadline_at]
        overdue.sort(key=lambda c: (self.calls[c].deadline_at, c))
        if late or overdue:
            self.end([(c, self.verdict_of_silence(c), False) for c in late], now, 0, overdue)

    def verdict_of_silence(self, call_id: str) -> str:
        if self.is_late(call_id):
            return "late"
        return "neutral" if self.is_cancelled(call_id) else "failure"

    def end(
        self,
        ends: Sequence[tuple[str, str, bool]],
        now: int,
        hint_ms: int,
        overdue: Iterable[str] = (),
    ) -> None:
        is_probe = self.phase == "half-open"
        was_closed = self.phase == "closed"
        for call_id, verdict, slow in ends:
            counted_slow = slow and verdict in ("success", "failure")
            self.history.append(Happened("ended", now, call_id, verdict=verdict, slow=counted_slow))
        current = [(verdict, slow) for _, verdict, slow in ends if verdict != "late"]
        if is_probe and current:
            ((verdict, slow),) = current
            self.judge_probe(verdict, slow, now, hint_ms)
        elif was_closed and any(v == "failure" or (s and v == "success") for v, s in current):
            self.judge(now, hint_ms)
        if self.phase == "open" and self.with_fate("queued"):
            self.dismiss(now)
            return
        for call_id in overdue:
            self.refuse(self.calls[call_id], "timed-out", now)
        self.drain(now)

    def judge_probe(self, verdict: str, slow: bool, now: int, hint_ms: int) -> None:
        if verdict == "success" and not slow:
            self.history.append(Happened("closed", now))
        elif verdict == "neutral":
            wait_ms = min(hint_ms, RULES.open_cap_ms)
            self.open(now, wait_ms, self.openings())
        else:
            self.open_for_longer(now, self.openings() + 1, hint_ms)

    def judge(self, now: int, hint_ms: int) -> None:
        calls, failures, slow = self.figures(now)
        enough = calls >= RULES.calls_min
        if (
            self.in_a_row() >= RULES.consecutive_failures
            or (enough and failures / calls >= 0.5)
            or (enough and slow / calls >= 0.75)
        ):
            closed = self.latest("closed")
            well_ms = now - closed.at if closed else 10**9
            remembered = max(0, self.openings() - well_ms // RULES.backoff_decay_ms)
            self.open_for_longer(now, remembered + 1, hint_ms)

    def open_for_longer(self, now: int, openings: int, hint_ms: int) -> None:
        doubled = RULES.open_base_ms * 2 ** (openings - 1)
        self.open(now, min(RULES.open_cap_ms, max(doubled, hint_ms)), openings)

    def open(self, now: int, wait_ms: int, openings: int) -> None:
        self.history.append(Happened("open", now, retry_at=now + wait_ms, openings=openings))

    def dismiss(self, now: int) -> None:
        opened = self.latest("open")
        assert opened is not None
        for call_id in self.with_fate("queued"):
            call = self.calls[call_id]
            if now >= call.deadline_at:
                self.refuse(call, "timed-out", now)
            else:
                self.refuse(call, "breaker-open", now, opened.retry_at - now)

    def drain(self, now: int) -> None:
        for call_id in self.with_fate("queued"):
            call = self.calls[call_id]
            if now < call.deadline_at and not self.admit(call, now):
                return
