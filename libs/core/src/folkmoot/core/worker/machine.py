"""The worker's machine: accepts calls, says which run, remembers what their handlers did.

Invariants:

- A call that was accepted ends exactly once, and its outcome is sent exactly once.
- At most `concurrency` handlers run on a shard; the others wait in the order of their arrival.
- A run begins only after `CallStarted` is in the log, so every run that may have had an effect is
  counted there.
- Only the current run may journal or end a call; an earlier run's answer changes nothing.
- What a handler journaled is handed to each later run of the same call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from folkmoot.core.kernel import Effect, Led, Local, Position, Refused, Send, Tick
from folkmoot.core.messages import (
    Address,
    Answer,
    Call,
    CallProgress,
    CancelCall,
    Failure,
    Json,
    Outcome,
    OutcomeStatus,
    Question,
    Usage,
    inbox,
    shift_ms,
)
from folkmoot.core.names import by_wire_name
from folkmoot.core.worker.events import (
    EVENTS,
    CallAccepted,
    CallAnswered,
    CallAsked,
    CallEnded,
    CallJournaled,
    CallProgressed,
    CallStarted,
    CallStopRequested,
)
from folkmoot.core.worker.inputs import (
    AskQuestion,
    DeliverAnswer,
    HandlerFailed,
    HandlerSucceeded,
    JournalResult,
    ReportProgress,
    RunHandler,
    StopHandler,
)
from folkmoot.core.worker.state import OpenCall, WorkerState

INPUTS = by_wire_name(Call, CancelCall, Answer)
OUTPUTS = by_wire_name(Outcome, CallProgress, Question)

SPENT = "spent/"
"""Journal keys that begin so, and have no `#` as those of calls, say what was used up."""

HEARTBEATS_PER_LIMIT = 3
"""Signs of life that are passed on within the time after which silence counts as death."""

TOO_LATE_MAX = 200
"""Calls that end unstarted in one decision, so that it stays far below what a log record holds; a
`Tick` goes on with the rest."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How much a worker's shard takes on."""

    concurrency: int = 4
    """Handlers at a time on one shard. Agents mostly wait for models and tools."""

    journal_keys_max: int = 10_000
    """Journaled results of one call: what a handler can sensibly replay after a crash."""

    open_calls_max: int = 10_000
    """Calls accepted but not ended; the breaker queues long before this."""


class WorkerMachine:
    """The machine of one partition of an agent's, or of a team's, calls."""

    inputs: Mapping[str, type] = INPUTS
    events: Mapping[str, type] = EVENTS
    outputs: Mapping[str, type] = OUTPUTS

    def __init__(self, name: str, member: str, partition: int, settings: WorkerSettings) -> None:
        self.name = name
        self._member = member
        self._partition = partition
        self._settings = settings
        self._deciders: dict[type, Callable[[WorkerState, object, int], Sequence[object]]] = {
            Call: self._decide_call,
            CancelCall: self._decide_cancel,
            HandlerSucceeded: self._decide_ended,
            HandlerFailed: self._decide_ended,
            JournalResult: self._decide_journal,
            ReportProgress: self._decide_progress,
            AskQuestion: self._decide_question,
            Answer: self._decide_answer,
            Led: self._decide_led,
            Tick: lambda state, _message, now: self._fill(state, self._free(state), now),
        }

    def initial(self) -> WorkerState:
        """Return a worker with nothing to do."""
        return WorkerState()

    def due(self, state: WorkerState) -> int | None:
        """Return the past while a call waits that could start, or end as too late.

        Time limits themselves are kept by the runner and by the orchestrator.
        """
        return 0 if state.waiting and self._free(state) > 0 else None

    def _free(self, state: WorkerState) -> int:
        return self._settings.concurrency - state.running + state.asking

    # -- decide -----------------------------------------------------------------------------

    def decide(self, state: WorkerState, message: object, now: int) -> Sequence[object]:
        """Return what `message` brings about; see `folkmoot.core.kernel.Machine`."""
        decider = self._deciders.get(type(message))
        if decider is None:
            raise Refused("unknown-message", f"a worker takes no {type(message).__name__}")
        return decider(state, message, now)

    def _decide_call(self, state: WorkerState, message: object, now: int) -> Sequence[object]:
        assert isinstance(message, Call)
        if message.call_id in state.calls:
            return ()
        accepted = CallAccepted(message.saga_id, message)
        if len(state.calls) >= self._settings.open_calls_max:
            return (accepted, self._overloaded(state, message))
        if state.waiting or self._free(state) <= 0:
            return (accepted,)
        arrived = OpenCall(message, shift_ms=shift_ms(message, now))
        return (accepted, self._start(arrived, now))

    def _start(self, open_call: OpenCall, now: int) -> CallStarted | CallEnded:
        call = open_call.call
        if now >= open_call.deadline_at(now):
            return self._too_late(open_call)
        if open_call.run == 0 and open_call.is_past_start(now):
            failure = Failure("queue-timed-out", "its turn did not come in time")
            return self._ended(call, 0, 0, failure=failure, status="refused")
        run = open_call.run + 1
        return CallStarted(call.saga_id, call.step_id, call.call_id, call.kind, run, self._member)

    def _too_late(self, open_call: OpenCall) -> CallEnded:
        while_what = "while its worker was down" if open_call.run else "before its turn came"
        failure = Failure("timed-out", f"its deadline passed {while_what}")
        return self._ended(open_call.call, open_call.run, 0, failure=failure)

    def _overloaded(self, state: WorkerState, call: Call) -> CallEnded:
        failure = Failure("overloaded", f"{len(state.calls):,} calls are open on this worker")
        return self._ended(call, 0, 0, failure=failure, status="refused")

    def _ended(
        self,
        call: Call,
        run: int,
        duration_ms: int,
        *,
        failure: Failure | None,
        result: object = None,
        status: OutcomeStatus | None = None,
    ) -> CallEnded:
        return CallEnded(
            call.saga_id,
            call.step_id,
            call.call_id,
            status or ("succeeded" if failure is None else "failed"),
            run,
            self._member,
            duration_ms,
            result,
            failure,
        )

    def _decide_cancel(self, state: WorkerState, message: object, now: int) -> Sequence[object]:
        assert isinstance(message, CancelCall)
        open_call = state.calls.get(message.call_id)
        if open_call is None or open_call.stop_requested:
            return ()
        if open_call.run > 0:
            return (CallStopRequested(message.saga_id, message.call_id),)
        failure = Failure("cancelled", "cancelled before it started", retryable=False)
        return (self._ended(open_call.call, 0, 0, failure=failure),)

    def _decide_journal(self, state: WorkerState, message: object, now: int) -> Sequence[object]:
        assert isinstance(message, JournalResult)
        open_call = self._current(state, message.call_id, message.run)
        if open_call is None or message.key in open_call.journal:
            return ()
        if (kept := len(open_call.journal)) >= self._settings.journal_keys_max:
            detail = f"{message.call_id} journaled {kept:,} results, which is the limit"
            raise Refused("journal-full", detail)
        call = open_call.call
        return (
            CallJournaled(
                call.saga_id, call.step_id, call.call_id, message.key, message.value, message.run
            ),
        )

    def _decide_progress(self, state: WorkerState, message: object, now: int) -> Sequence[object]:
        """Pass on a sign of life, no more often than whoever awaits the call needs it."""
        assert isinstance(message, ReportProgress)
        open_call = self._current(state, message.call_id, message.run)
        if open_call is None or not (heartbeat_ms := open_call.call.heartbeat_ms):
            return ()
        if now - open_call.progressed_at < heartbeat_ms // HEARTBEATS_PER_LIMIT:
            return ()
        return (CallProgressed(open_call.call.saga_id, message.call_id),)

    def _decide_question(self, state: WorkerState, message: object, now: int) -> Sequence[object]:
        assert isinstance(message, AskQuestion)
        open_call = self._current(state, message.call_id, message.run)
        known = open_call is not None and (
            message.key in open_call.asked or message.key in open_call.journal
        )
        if open_call is None or known:
            return ()
        if len(open_call.journal) + len(open_call.asked) >= self._settings.journal_keys_max:
            raise Refused("journal-full", f"{message.call_id} asked too many questions")
        call = open_call.call
        return (
            CallAsked(
                call.saga_id,
                call.step_id,
                call.call_id,
                message.key,
                message.prompt,
                message.schema,
                message.wait_ms,
                message.signal,
            ),
        )

    def _decide_answer(self, state: WorkerState, message: object, now: int) -> Sequence[object]:
        assert isinstance(message, Answer)
        open_call = state.calls.get(message.call_id)
        if open_call is None or message.key not in open_call.asked:
            return ()
        answered = CallAnswered(
            open_call.call.saga_id, message.call_id, message.key, message.value, message.answered
        )
        return (answered,)

    def _current(self, state: WorkerState, call_id: str, run: int) -> OpenCall | None:
        open_call = state.calls.get(call_id)
        return open_call if open_call is not None and open_call.run == run else None

    def _decide_ended(self, state: WorkerState, message: object, now: int) -> Sequence[object]:
        assert isinstance(message, HandlerSucceeded | HandlerFailed)
        open_call = self._current(state, message.call_id, message.run)
        if open_call is None:
            return ()
        failure = message.failure if isinstance(message, HandlerFailed) else None
        result = message.result if isinstance(message, HandlerSucceeded) else None
        ended = self._ended(
            open_call.call,
            open_call.run,
            now - open_call.started_at,
            failure=failure,
            result=result,
        )
        freed = 0 if open_call.asked else 1
        return (ended, *self._fill(state, self._free(state) + freed, now))

    def _fill(self, state: WorkerState, free: int, now: int) -> Sequence[object]:
        """Give `free` slots to those who wait, in order; who is too late ends instead."""
        events: list[object] = []
        too_late = 0
        for open_call in state.waiting_calls():
            if free <= 0 or too_late == TOO_LATE_MAX:
                break
            event = self._start(open_call, now)
            events.append(event)
            started = isinstance(event, CallStarted)
            free, too_late = free - started, too_late + (not started)
        return events

    def _decide_led(self, state: WorkerState, message: object, now: int) -> Sequence[object]:
        """Run again what the predecessor had running; its handlers died with it."""
        events: list[object] = []
        for open_call in state.calls.values():
            if open_call.run > 0:
                events.append(self._restart(open_call, now))
        started = [each.call_id for each in events if isinstance(each, CallStarted)]
        running = sum(not state.calls[call_id].asked for call_id in started)
        return (*events, *self._fill(state, self._settings.concurrency - running, now))

    def _restart(self, open_call: OpenCall, now: int) -> CallStarted | CallEnded:
        if open_call.stop_requested:
            failure = Failure("cancelled", "cancelled while its worker died", retryable=False)
            return self._ended(open_call.call, open_call.run, 0, failure=failure)
        return self._start(open_call, now)

    # -- apply ------------------------------------------------------------------------------

    def apply(self, state: WorkerState, event: object, position: Position) -> Sequence[Effect]:
        """Fold `event` into `state`; see `folkmoot.core.kernel.Machine`."""
        match event:
            case CallAccepted(call=call):
                arrived = OpenCall(call, shift_ms=shift_ms(call, position.at))
                state.calls[call.call_id] = arrived
                state.waiting.append(call.call_id)
            case CallStarted():
                return self._apply_started(state, event, position)
            case CallJournaled():
                state.calls[event.call_id].journal[event.key] = event.value
            case CallProgressed():
                open_call = state.calls[event.call_id]
                open_call.progressed_at = position.at
                return (_progress(open_call.call),)
            case CallAsked():
                return self._apply_asked(state, event, position)
            case CallAnswered():
                return self._apply_answered(state, event, position)
            case CallStopRequested():
                state.calls[event.call_id].stop_requested = True
                return (Local(StopHandler(event.call_id)),)
            case CallEnded():
                return self._apply_ended(state, event)
        return ()

    def _apply_started(
        self, state: WorkerState, event: CallStarted, position: Position
    ) -> Sequence[Effect]:
        open_call = state.calls[event.call_id]
        if open_call.run == 0:
            state.running += 1
        open_call.run, open_call.started_at = event.run, position.at
        open_call.progressed_at = position.at
        state.trim_waiting()
        deadline_at = open_call.deadline_at(position.at)
        call = replace(open_call.call, deadline_at=deadline_at, sent_at=position.at)
        begin = Local(RunHandler(call, event.run, dict(open_call.journal)))
        return (begin, _progress(call)) if call.start_by else (begin,)

    def _apply_asked(
        self, state: WorkerState, event: CallAsked, position: Position
    ) -> Sequence[Effect]:
        open_call = state.calls[event.call_id]
        call = open_call.call
        effects: list[Effect] = []
        if not open_call.asked:
            open_call.waiting_since = position.at
            state.asking += 1
            effects = self._let_go(call)
        open_call.asked[event.key] = None
        question = Question(
            f"{call.idempotency_key}/{event.key}",
            event.call_id,
            event.saga_id,
            event.step_id,
            event.key,
            event.prompt,
            event.schema,
            position.at + event.wait_ms,
            Address(inbox(self.name), self._partition),
            event.signal,
            position.at,
        )
        return (self._to(call.outcome_to, question), *effects)

    def _let_go(self, call: Call) -> list[Effect]:
        """Return what has the breaker count this call no more: a person's pace is no sickness."""
        if call.observed_by is None:
            return []
        failure = Failure("asking", "it waits for an answer", retryable=True)
        waits = self._ended(call, 0, 0, failure=failure, status="refused")
        return [self._to(call.observed_by, self._outcome(call, waits))]

    def _apply_answered(
        self, state: WorkerState, event: CallAnswered, position: Position
    ) -> Sequence[Effect]:
        open_call = state.calls[event.call_id]
        del open_call.asked[event.key]
        if not open_call.asked:
            open_call.waited_ms += position.at - open_call.waiting_since
            state.asking -= 1
        value = {"answered": event.answered, "value": event.value}
        open_call.journal[event.key] = value
        return (Local(DeliverAnswer(event.call_id, event.key, value)),)

    def _apply_ended(self, state: WorkerState, event: CallEnded) -> Sequence[Effect]:
        open_call = state.calls.pop(event.call_id)
        state.ended += 1
        if open_call.run > 0:
            state.running -= 1
            state.asking -= bool(open_call.asked)
        state.trim_waiting()
        return self._tell(open_call, event)

    def _tell(self, open_call: OpenCall, event: CallEnded) -> Sequence[Effect]:
        call = open_call.call
        outcome = replace(self._outcome(call, event), usage=usage_of(open_call.journal))
        told: list[Effect] = [self._to(call.outcome_to, outcome)]
        if call.observed_by is not None:
            told.append(self._to(call.observed_by, _without_result(outcome)))
        return told

    def _outcome(self, call: Call, event: CallEnded) -> Outcome:
        return Outcome(
            call.call_id,
            call.saga_id,
            call.step_id,
            call.kind,
            call.target,
            call.attempt,
            event.status,
            event.result,
            event.failure,
            event.member,
            self._partition,
            event.run,
            event.duration_ms,
        )

    def _to(self, address: Address, message: object) -> Send:
        return Send(address.topic, message, partition=address.partition)


def usage_of(journal: Mapping[str, Json]) -> Usage | None:
    """Return what the journal says that a call used up, None if nothing.

    A value has `tokens`, and `micros`, which is None if there is no known price.
    """
    spent = [value for key, value in journal.items() if key.startswith(SPENT) and "#" not in key]
    if not spent:
        return None
    prices = [each["micros"] for each in spent if each["micros"] is not None]
    tokens = sum(each["tokens"] for each in spent)
    return Usage(tokens, sum(prices), len(spent) - len(prices))


def _progress(call: Call) -> Send:
    """Return the sign of life to whoever awaits a call."""
    message = CallProgress(call.call_id, call.saga_id, call.step_id)
    return Send(call.outcome_to.topic, message, partition=call.outcome_to.partition)


def _without_result(outcome: Outcome) -> Outcome:
    """Return the copy that the breaker judges by; results may be large and are not its business."""
    return Outcome(
        outcome.call_id,
        outcome.saga_id,
        outcome.step_id,
        outcome.kind,
        outcome.target,
        outcome.attempt,
        outcome.status,
        failure=outcome.failure,
        member=outcome.member,
        partition=outcome.partition,
        runs=outcome.runs,
        duration_ms=outcome.duration_ms,
    )


def describe(state: WorkerState) -> dict[str, object]:
    """Return the open calls as JSON values, for queries."""
    return {
        "running": state.running,
        "ended": state.ended,
        "calls": [
            {
                "call_id": open_call.call.call_id,
                "saga_id": open_call.call.saga_id,
                "step_id": open_call.call.step_id,
                "run": open_call.run,
                "journaled": len(open_call.journal),
                "asks": list(open_call.asked),
            }
            for open_call in state.calls.values()
        ],
    }
