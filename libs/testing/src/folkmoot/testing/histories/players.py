"""Who sends to each machine, and how they behave: well, badly, late and twice, by the seed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

from folkmoot.core.breaker import BreakerMachine, BreakerSettings
from folkmoot.core.election import ElectionMachine, ElectionSettings
from folkmoot.core.event_store import EventStoreMachine, EventStoreSettings
from folkmoot.core.forks import Fork
from folkmoot.core.kernel import Effect, Local, Machine, Send
from folkmoot.core.messages import (
    Address,
    Answer,
    AnswerQuestion,
    Append,
    BeatSession,
    Budget,
    Call,
    CallProgress,
    CancelCall,
    CancelSaga,
    ConfigureTeam,
    Failure,
    ForceComplete,
    Join,
    Leader,
    Leave,
    NewEvent,
    Outcome,
    PauseSaga,
    Policy,
    Question,
    RegisterAgent,
    ResignLeadership,
    ResumeSaga,
    RetryStep,
    SignalSaga,
    SkipStep,
    Task,
    TeamFormed,
    TerminateSaga,
    Usage,
)
from folkmoot.core.saga import SagaMachine, SagaSettings
from folkmoot.core.shares import Limit, Share
from folkmoot.core.worker import (
    AskQuestion,
    HandlerFailed,
    HandlerSucceeded,
    JournalResult,
    ReportProgress,
    RunHandler,
    WorkerMachine,
    WorkerSettings,
)
from folkmoot.testing.histories.history import Player

POLICIES: tuple[Policy, ...] = ("sticky", "priority", "preferred")

SICK = Failure("ConnectionError", "no route")
BROKEN = Failure("broken", "it broke", retryable=False)
LATER = Failure("breaker-open", "later", retry_after_ms=50)
LIMITS = (
    Limit("openai", ("ask",), in_flight=1, by_tenant=True),
    Limit("search", ("search",), starts=2, period_ms=300),
)
OPEN_CALLS_MAX = 40
"""Calls that a player keeps unanswered; he answers the others sooner."""

HOME = Address("folkmoot.saga-orchestrator.inbox", 0)


def outcome(call: Call, random: Random, result: Any, sick: float = 0.2) -> Outcome:
    """Return an answer to `call`: `result`, or that it was refused, or failed, as often as `sick`.

    Some compensations never succeed.
    """
    luck = random.random()
    status, failure = "succeeded", None
    if luck < sick or (call.kind == "compensate" and call.input == {"n": 4}):
        status, failure, result = "failed", random.choice((SICK, BROKEN)), None
    elif luck > 0.95:
        status, failure, result = "refused", LATER, None
    return Outcome(
        call.call_id, call.saga_id, call.step_id, call.kind, call.target, call.attempt,
        status, result, failure, "m1", 0, 1, random.randrange(100),  # type: ignore[arg-type]
    )  # fmt: skip


class Calls:
    """The calls that somebody has been sent."""

    def __init__(self) -> None:
        self.open: list[Call] = []
        self.last: Call | None = None

    def add(self, call: Call) -> None:
        """Take a call."""
        self.open.append(call)

    def take(self, random: Random) -> Call:
        """Return a call to answer; rarely one that was answered before."""
        if self.last is not None and random.random() < 0.05:
            return self.last
        self.last = self.open.pop(random.randrange(len(self.open)))
        return self.last

    def is_turn(self, random: Random) -> bool:
        """Whether to answer one now rather than to ask for something new."""
        return len(self.open) > OPEN_CALLS_MAX or bool(self.open and random.random() < 0.7)


CONTROLS: tuple[Callable[[str, str], object], ...] = (
    lambda saga_id, _: CancelSaga(saga_id, "anna"),
    lambda saga_id, _: PauseSaga(saga_id, "anna", "lunch"),
    lambda saga_id, _: ResumeSaga(saga_id, "anna", request_id=f"resume-{saga_id}"),
    lambda saga_id, _: ResumeSaga(saga_id, "bert"),
    lambda saga_id, _: TerminateSaga(saga_id, "anna", "enough"),
    lambda saga_id, step_id: RetryStep(saga_id, step_id, "anna"),
    lambda saga_id, step_id: SkipStep(saga_id, step_id, "anna"),
    lambda saga_id, step_id: ForceComplete(saga_id, step_id, "anna", "", [1, 2]),
    lambda saga_id, _: SignalSaga(saga_id, "go", "anna", 7),
)


class SagaPlayer:
    """Users and operators, and the team and workers whom the orchestrator calls."""

    def __init__(self) -> None:
        self._calls = Calls()
        self._sagas = 0
        self._questions: list[Question] = []
        self._own: deque[object] = deque()
        self._looked_at = ("s1", "p1")

    def machine(self) -> Machine[Any]:
        """See the port."""
        settings = SagaSettings(
            wave_max=5,
            stuck_after_attempts=2,
            sagas_at_once=12,
            team_sagas_at_once=10,
            queued_sagas_max=6,
        )
        return SagaMachine(settings, 0)

    def hear(self, effect: Effect) -> None:
        """See the port."""
        if not isinstance(effect, Local) and isinstance(effect.message, Call):
            self._calls.add(effect.message)
        elif isinstance(effect, Send) and effect.topic == HOME.topic:
            self._own.append(effect.message)

    def next(self, random: Random, now: int) -> object:
        """See the port."""
        luck = random.random()
        if self._own and random.random() < 0.7:
            return self._own.popleft()
        if not self._sagas or luck < 0.02:
            self._sagas = max(1, self._sagas)
            return TeamFormed(random.choice(("news", "sport")) if self._sagas > 1 else "news")
        if luck < 0.12:
            return self._control(random)
        if luck < 0.24 and self._calls.open:
            return self._sign_of_life(random, now)
        if self._calls.is_turn(random):
            call = self._calls.take(random)
            answer = outcome(call, random, self._result(call, random))
            unpriced = int(random.random() < 0.1)
            return replace(answer, usage=Usage(random.randrange(9), random.randrange(9), unpriced))
        if random.random() < 0.1:
            return Task("news", {"again": True}, f"s{random.randrange(self._sagas)}")
        self._sagas += 1
        if random.random() < 0.1:
            return self._fork(random)
        team = "news" if luck < 0.98 else "nobody"
        limits = (Budget(tokens=20), Budget(hops=4), Budget(wall_ms=400), Budget(micros=50))
        budget = random.choice((None, None, None, *limits))
        share = Share(random.choice("ab"), random.choice(("high", "normal", "low")))
        return Task(team, {"question": self._sagas}, f"s{self._sagas}", budget=budget, share=share)

    def _fork(self, random: Random) -> Task:
        steps = [self._step(number, random) for number in range(3)]
        done = {f"p{number}": [number, 7] for number in range(random.randrange(4))}
        fork = Fork("s0", 9, done)
        return Task("news", None, f"s{self._sagas}", plan=steps, fork=fork)

    def _control(self, random: Random) -> object:
        if self._questions and random.random() < 0.4:
            asked = random.choice(self._questions)
            return AnswerQuestion(asked.saga_id, asked.question_id, "anna", random.randrange(9))
        if self._calls.open and random.random() < 0.6:
            undoing = [call for call in self._calls.open if call.kind == "compensate"]
            call = random.choice(undoing or self._calls.open)
            self._looked_at = (call.saga_id, call.step_id)
        return random.choice(CONTROLS)(*self._looked_at)

    def _sign_of_life(self, random: Random, now: int) -> object:
        call = random.choice(self._calls.open)
        if random.random() < 0.5:
            return CallProgress(call.call_id, call.saga_id, call.step_id)
        signal = random.choice(("", "go"))
        asked = Question(
            f"{call.idempotency_key}/ask{signal}", call.call_id, call.saga_id, call.step_id,
            f"ask{signal}", "may I?", {"type": "integer"}, now + random.choice((50, 9_000)),
            Address("folkmoot.agent.writer.inbox", 1), signal,
        )  # fmt: skip
        self._questions.append(asked)
        return asked

    def _result(self, call: Call, random: Random) -> Any:
        if call.kind != "plan":
            words = random.randrange(1000)
            return [words] * random.randrange(3) if words % 3 else {"of": call.step_id}
        steps = [self._step(number, random) for number in range(random.randrange(6))]
        if steps and random.random() < 0.3:
            before = [step["id"] for step in steps[:-1]]
            alone = {"when": None, "each": "", "input": {"n": 9}}
            steps[-1] |= {"role": "pivot", "compensable": False, "needs": before} | alone
        return steps if random.random() < 0.5 else {"steps": steps, "max_parallel": 2}

    def _step(self, number: int, random: Random) -> dict[str, Any]:
        needs = [f"p{other}" for other in range(number) if random.random() < 0.4]
        retry = {"attempts": 2, "initial_ms": 10, "factor": 2.0, "cap_ms": 100}
        step = {
            "id": f"p{number}", "name": "write", "agent": "writer", "input": {"n": number},
            "needs": needs, "compensable": random.random() < 0.8,
            "timeout_ms": random.choice((200, 5_000)), "retry": retry,
            "role": random.choice(("ordinary", "ordinary", "retriable")),
            "heartbeat_ms": random.choice((0, 0, 100)),
        }  # fmt: skip
        if random.random() < 0.1:
            step |= {"child": True, "name": "trip", "agent": "news", "heartbeat_ms": 0}
        if needs and random.random() < 0.3:
            step |= {"each": needs[0], "input": None}
        if needs and random.random() < 0.3:
            step |= {"when": {"step": needs[0], "path": [0], "op": "gt", "value": 500}}
        return step


class BreakerPlayer:
    """The orchestrator, and workers of which some are sick."""

    def __init__(self) -> None:
        self._calls = Calls()
        self._asked = 0
        self._sick = 0.0

    def machine(self) -> Machine[Any]:
        """See the port."""
        settings = BreakerSettings(open_base_ms=200, window_buckets=5, worker_queue_percent=0)
        return BreakerMachine(settings, 0)

    def hear(self, effect: Effect) -> None:
        """See the port."""
        if not isinstance(effect, Local) and isinstance(effect.message, Call):
            self._calls.add(effect.message)

    def next(self, random: Random, now: int) -> object:
        """See the port."""
        agent = random.choice(("writer", "editor"))
        luck = random.random()
        if not self._asked or luck < 0.02:
            self._asked += 1
            limits = random.choice(((), LIMITS, LIMITS))
            steps = ("write", "read", "ask", "search")
            return RegisterAgent(agent, "news", random.randint(1, 2), 2, steps, limits)
        if random.random() < 0.02:
            self._sick = random.choice((0.0, 0.0, 0.0, 0.0, 0.7))
        if luck < 0.06:
            return CancelCall(f"c{self._asked - random.randrange(5)}", "saga", agent)
        if luck > 0.5 and self._calls.open:
            return outcome(self._calls.take(random), random, None, self._sick)
        self._asked += 1
        step, name = f"p{random.randrange(20)}", random.choice(("write", "write", "ask", "search"))
        return Call(
            f"c{self._asked}", "saga", step, "step", name, agent, "news", 1, {"n": 1}, step,
            now + random.choice((300, 5_000)), HOME, sent_at=random.choice((0, now - 50, now + 90)),
            share=Share(random.choice("ab")),
        )  # fmt: skip


class WorkerPlayer:
    """The breaker, and the handlers that the worker runs."""

    def __init__(self) -> None:
        self._runs: list[RunHandler] = []
        self._asked = 0
        self._questions: list[Question] = []

    def machine(self) -> Machine[Any]:
        """See the port."""
        return WorkerMachine("agent.writer", "ann", 0, WorkerSettings(concurrency=3))

    def hear(self, effect: Effect) -> None:
        """See the port."""
        if isinstance(effect, Local) and isinstance(effect.request, RunHandler):
            self._runs.append(effect.request)
        elif isinstance(effect, Send) and isinstance(effect.message, Question):
            self._questions.append(effect.message)

    def next(self, random: Random, now: int) -> object:
        """See the port."""
        luck = random.random()
        if luck < 0.05:
            return CancelCall(f"c{self._asked - random.randrange(5)}", "saga", "writer")
        if self._questions and luck < 0.1:
            asked = random.choice(self._questions)
            return Answer(asked.call_id, asked.saga_id, asked.key, 7, random.random() < 0.8)
        if self._runs and luck < 0.8:
            return self._word(random)
        self._asked += 1
        name = f"p{self._asked}"
        return Call(
            f"c{self._asked}", "saga", name, "step", "write", "writer", "news", 1, [1, 2], name,
            now + random.choice((300, 5_000)), HOME,
            start_by=random.choice((0, now + 200)), heartbeat_ms=random.choice((0, 60)),
            sent_at=random.choice((0, now - 50, now + 90)),
        )  # fmt: skip

    def _word(self, random: Random) -> object:
        run = random.choice(self._runs)
        call_id = run.call.call_id
        if random.random() < 0.5:
            key = random.choice("abc")
            return JournalResult(call_id, run.run, key, {"key": key, "n": random.randrange(9)})
        if random.random() < 0.2:
            return ReportProgress(call_id, run.run)
        if random.random() < 0.2:
            spent = {"tokens": random.randrange(9), "micros": random.choice((None, 3))}
            return JournalResult(call_id, run.run, f"spent/{random.randrange(9)}", spent)
        if random.random() < 0.2:
            return AskQuestion(call_id, run.run, random.choice("xy"), "well?", None, 900)
        self._runs.remove(run)
        if random.random() < 0.2:
            return HandlerFailed(call_id, run.run, SICK)
        return HandlerSucceeded(call_id, run.run, {"done": call_id})


class ElectionPlayer:
    """Members that join, beat, forget to, resign and leave; people who say whom a team wants."""

    def __init__(self) -> None:
        self._leaders: dict[str, Leader] = {}

    def machine(self) -> Machine[Any]:
        """See the port."""
        return ElectionMachine(ElectionSettings(orchestrator_partitions=2), 0)

    def hear(self, effect: Effect) -> None:
        """See the port."""
        if isinstance(effect, Send) and isinstance(effect.message, Leader):
            self._leaders[effect.message.team] = effect.message

    def next(self, random: Random, now: int) -> object:
        """See the port."""
        member, team = f"m{random.randrange(8)}", f"team-{random.randrange(5)}"
        kind = random.randrange(22)
        if kind < 8:
            agents = ("writer",) if kind % 2 else ()
            ttl_ms = 400 if random.random() < 0.9 else 300
            labels = {"zone": random.choice("ab")}
            return Join(team, member, f"node-{member}", ttl_ms, kind % 3, agents, labels)
        if kind < 16:
            return BeatSession(member)
        if kind < 18:
            return Leave(member, team if kind % 2 else "")
        if kind < 20:
            policy = random.choice(POLICIES)
            labels = {"zone": "a"} if random.random() < 0.2 else {}
            return ConfigureTeam(team, policy, ("node-m1",), labels, tenure_ms_min=0)
        return self._resignation(random, team, member)

    def _resignation(self, random: Random, team: str, member: str) -> ResignLeadership:
        """Return that of a leader, if one is known and luck will have it, or else of anybody."""
        leader = self._leaders.get(team)
        if leader is None or leader.leader is None or random.random() < 0.3:
            return ResignLeadership(team, member, random.randrange(200))
        to = f"m{random.randrange(8)}" if random.random() < 0.5 else None
        return ResignLeadership(team, leader.leader, leader.epoch, to)


class EventStorePlayer:
    """Users who append, sometimes twice, sometimes at a version that is past."""

    def __init__(self) -> None:
        self._asked = 0

    def machine(self) -> Machine[Any]:
        """See the port."""
        return EventStoreMachine(EventStoreSettings(), 0)

    def hear(self, effect: Effect) -> None:
        """See the port."""

    def next(self, random: Random, now: int) -> object:
        """See the port."""
        self._asked += random.random() < 0.9
        stream = f"order-{random.randrange(20)}"
        events = tuple(NewEvent("Placed", {"n": n}) for n in range(random.randrange(4)))
        expected = random.choice((-1, -1, -1, random.randrange(50)))
        return Append(stream, events, f"r{self._asked}", expected)


PLAYERS: Mapping[str, Callable[[], Player]] = {
    "breaker-proxy": BreakerPlayer,
    "election": ElectionPlayer,
    "event-store": EventStorePlayer,
    "saga-orchestrator": SagaPlayer,
    "worker": WorkerPlayer,
}
"""The players of every machine."""
