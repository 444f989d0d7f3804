"""Random plans with random luck: whatever happens, a saga ends once and is undone in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from saga_driver import Driver, outcome, step

from folkmoot.core.messages import (
    Address,
    AnswerQuestion,
    Budget,
    Call,
    CancelSaga,
    Failure,
    ForceComplete,
    Outcome,
    PauseSaga,
    Question,
    ResumeSaga,
    RetryStep,
    SignalSaga,
    SkipStep,
    TerminateSaga,
    Usage,
)
from folkmoot.core.saga import SagaSettings

RETRY = {"attempts": 2, "initial_ms": 5, "factor": 2.0, "cap_ms": 20}


@st.composite
def plans(draw: Callable[..., Any]) -> list[dict[str, Any]]:
    """A DAG of up to eight steps: each needs some of those before it.

    There may be a pivot: then it needs all before it, and all after it need it or are retriable.
    """
    steps: list[dict[str, Any]] = []
    pivot = draw(st.one_of(st.none(), st.integers(0, 7)))
    for number in range(draw(st.integers(0, 8))):
        earlier = [f"s{other}" for other in range(number)]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        compensable, role = draw(st.booleans()), draw(st.sampled_from(["ordinary", "retriable"]))
        if number == pivot:
            needs, compensable, role = earlier, False, "pivot"
        elif pivot is not None and number > pivot and role == "ordinary":
            needs = [*{*needs, f"s{pivot}"}]
        fields = {"compensable": compensable, "role": role, "retry": RETRY}
        if needs and number != pivot:
            fields |= draw(st.sampled_from(branches(needs[0])))
        steps.append(step(f"s{number}", *needs, **fields))
    return steps


def branches(need: str) -> list[dict[str, Any]]:
    """Return what may depend on the result of a need: nothing, a condition, a fan-out, both."""
    when = {"when": {"step": need, "op": "ne", "value": [1]}}
    return [{}, {}, when, {"each": need}, when | {"each": need}]


def whole(step_id: str) -> str:
    """Return the planned step that a step is, or is a part of."""
    return step_id.partition("[")[0]


LUCK = st.sampled_from(
    [
        "succeed",
        "succeed",
        "succeed",
        "ask",
        "flaky",
        "broken",
        "refused",
        "silence",
        "late",
        "double",
    ]
)
FAILURES = {
    "flaky": ("failed", Failure("flaky", "try again")),
    "broken": ("failed", Failure("broken", "no use", retryable=False)),
    "refused": ("refused", Failure("breaker-open", "later", retry_after_ms=50)),
}


CONTROLS: dict[str, Callable[[str], object]] = {
    "cancel": lambda _: CancelSaga("s1", "anna"),
    "pause": lambda _: PauseSaga("s1", "anna"),
    "resume": lambda _: ResumeSaga("s1", "anna"),
    "terminate": lambda _: TerminateSaga("s1", "anna"),
    "retry": lambda step_id: RetryStep("s1", step_id, "anna"),
    "skip": lambda step_id: SkipStep("s1", step_id, "anna"),
    "answer": lambda step_id: AnswerQuestion("s1", f"s1/{step_id}/do/ask", "anna", True),
    "signal": lambda _: SignalSaga("s1", "go", "anna"),
    "force": lambda step_id: ForceComplete("s1", step_id, "anna", "", [1]),
}
PLAYS = st.dictionaries(
    st.integers(0, 40),
    st.tuples(
        st.sampled_from([*CONTROLS, "pause", "pause", "skip", "force", "retry", "answer"]),
        st.integers(0, 7).map("s{}".format),
    ),
    max_size=8,
)


class World:
    """Answers a saga's calls as luck has it, and has operators act in given turns.

    When luck is used up all goes well. `begun` are the steps of which an attempt was let in, or
    of which it is not known whether it was.
    """

    def __init__(self, luck: list[str], wave_max: int, *, eager: bool) -> None:
        self.driver = Driver(SagaSettings(wave_max=wave_max))
        self.luck = luck
        self.eager = eager
        self.silent: list[Call] = []
        self.begun: set[str] = set()

    def play(self, plan: dict[str, Any], acts: dict[int, tuple[str, str]], budget: Any) -> None:
        self.driver.submit(budget=budget)
        for turn in range(500):
            if self.driver.results:
                return
            if turn in acts:
                self._control(*acts[turn])
            elif not self._answer(plan):
                self.driver.give(ResumeSaga("s1", "anna"))
        raise AssertionError("the saga did not end")

    def _control(self, name: str, step_id: str) -> None:
        """Give a request; a step that is called when it is decided may have had an effect."""
        saga = self.driver.state.sagas["s1"]
        step = saga.find(step_id)
        called = step is not None and step.phase == "running"
        events = self.driver.give(CONTROLS[name](step_id))
        assert len(events) >= 1, "a request is either accepted or refused"
        forced = "StepSucceeded" in [type(event).__name__ for event in events]
        if type(events[0]).__name__ == "ControlAccepted" and (called or forced):
            self.begun |= {step_id} if name in ("skip", "force") else set()

    def _answer(self, plan: dict[str, Any]) -> bool:
        """Do what comes next; return whether there was anything: in a paused saga maybe not."""
        open_calls = [c for c in self.driver.calls if self._is_open(c)]
        due = self.driver.shard.due()
        overdue = due is not None and due <= self.driver.now
        if not open_calls or (overdue and self.eager):
            if due is None:
                assert self.driver.state.sagas["s1"].paused, "nothing is open, nothing is awaited"
                return False
            self.driver.pass_time(max(0, due - self.driver.now))
            return True
        call = open_calls[0]
        luck = "succeed" if call.kind == "plan" or not self.luck else self.luck.pop()
        self._give(call, luck, plan)
        return True

    def _is_open(self, call: Call) -> bool:
        saga = self.driver.state.sagas.get("s1")
        found = saga.find(call.step_id) if saga else None
        current = found is not None and found.called and found.call_id == call.call_id
        return current and call not in self.silent

    def _give(self, call: Call, luck: str, plan: dict[str, Any]) -> None:
        if luck != "refused":
            self.begun.add(call.step_id)
        if luck == "ask":
            self.driver.give(self._question(call))
            return
        if luck == "silence":
            self.silent.append(call)
            return
        answer = self._outcome(call, luck, plan)
        self.driver.give(answer)
        if luck == "double":
            self.driver.give(answer)
        if luck == "late" and self.silent:
            self.driver.give(outcome(self.silent.pop(0)))

    def _question(self, call: Call) -> Question:
        way, signal = ("undo", "") if call.kind == "compensate" else ("do", "go")
        signal = signal if len(self.luck) % 2 else ""
        question_id = f"s1/{call.step_id}/{way}/ask{signal}"
        ids = (question_id, call.call_id, "s1", call.step_id, "ask")
        return Question(*ids, "?", None, self.driver.now + 700, Address("w", 0), signal)

    def _outcome(self, call: Call, luck: str, plan: dict[str, Any]) -> Outcome:
        if luck in FAILURES:
            status, failure = FAILURES[luck]
            return replace(outcome(call, status=status, failure=failure), usage=Usage(1))
        items = [1] * (1 + len(self.luck) % 3)
        result = plan if call.kind == "plan" else items
        return replace(outcome(call, result=result), usage=Usage(1))


@settings(max_examples=500, deadline=None)
@given(
    plans(),
    st.lists(LUCK, max_size=30),
    PLAYS,
    st.sampled_from([1, 2, 250]),
    st.sampled_from([0, 1, 3]),
    st.sampled_from([None, None, Budget(tokens=5), Budget(hops=4), Budget(wall_ms=900)]),
    st.booleans(),
)
def test_a_saga_ends_once_and_is_undone_in_reverse_order(
    plan: list[dict[str, Any]],
    luck: list[str],
    acts: dict[int, tuple[str, str]],
    wave_max: int,
    max_parallel: int,
    budget: Budget | None,
    eager: bool,
) -> None:
    world = World(luck, wave_max, eager=eager)
    world.play({"steps": plan, "max_parallel": max_parallel}, acts, budget)
    driver = world.driver
    driver.pass_time(60_000)
    (result,) = driver.results
    events = [event for entry in driver.log for event in entry.events]

    def ids(name: str) -> list[str]:
        return [event.step_id for event in events if type(event).__name__ == name]

    scheduled = {i for i in ids("StepScheduled") if i not in ("plan", "aggregate")}
    undone, left_so = ids("StepCompensated"), ids("StepCompensationSkipped")
    by_id = {each["id"]: each for each in plan}
    pivots = {i for i in ids("StepSucceeded") if i in by_id and by_id[i]["role"] == "pivot"}
    assert not pivots or result.state in ("completed", "terminated"), "it turned back past a pivot"
    retriable = {i for i in by_id if by_id[i]["role"] == "retriable"}
    over = result.failure is not None and result.failure.kind == "over-budget"
    assert over or not retriable & {whole(i) for i in given_up_going_forward(events)}
    if result.state == "completed":
        assert undone == []
        ended = {whole(i) for i in scheduled} | {*ids("StepOmitted"), *ids("StepExpanded")}
        assert ended == set(by_id)
    elif result.state != "terminated":
        may_have_acted = scheduled & world.begun
        expected = sorted(i for i in may_have_acted if by_id[whole(i)]["compensable"])
        assert sorted(undone + left_so) == expected
        assert sorted(result.not_undone) == sorted(left_so)
        assert_reverse(ids_of_ends(events), by_id)
    assert_nothing_runs_after_it_is_undone(driver.calls)
    assert_nothing_begins_while_paused(driver.log)
    assert_no_more_run_than_may(events, max_parallel)
    assert_each_question_is_closed_once_at_most(events)
    assert driver.replayed() == driver.state
    assert driver.shard.due() is None
    assert max(len(entry.events) for entry in driver.log) <= 2 * wave_max + 6


def given_up_going_forward(events: list[Any]) -> list[str]:
    """Return the steps that failed for good before their saga turned back."""
    found = []
    for event in events:
        if type(event).__name__ == "CompensationStarted":
            break
        if type(event).__name__ == "StepFailed":
            found.append(event.step_id)
    return found


def ids_of_ends(events: list[Any]) -> list[str]:
    """Return the steps that were undone, or left as they are, in order."""
    ends = ("StepCompensated", "StepCompensationSkipped")
    return [event.step_id for event in events if type(event).__name__ in ends]


def assert_each_question_is_closed_once_at_most(events: list[Any]) -> None:
    asked: dict[str, str] = {}
    told: dict[str, Any] = {}
    for event in events:
        name = type(event).__name__
        if name == "QuestionAsked":
            asked[event.question_id] = event.call_id
        elif name in ("QuestionAnswered", "QuestionExpired"):
            assert asked.pop(event.question_id), "it was closed, and nobody asked"
            reply = getattr(event, "value", "expired")
            assert told.setdefault(event.question_id, reply) == reply, "it was told another answer"


def assert_nothing_begins_while_paused(log: list[Any]) -> None:
    paused = False
    for event in (event for entry in log for event in entry.events):
        name = type(event).__name__
        paused = name == "SagaPaused" or (paused and name != "SagaResumed")
        begins = name in ("StepScheduled", "StepCompensationScheduled")
        assert not (paused and begins), f"{event.step_id} began while the saga was paused"


def assert_reverse(undone: list[str], by_id: dict[str, dict[str, Any]]) -> None:
    def needs(step_id: str) -> set[str]:
        direct = set(by_id[step_id]["needs"])
        return direct | {far for need in direct for far in needs(need)}

    for place, step_id in enumerate(undone):
        too_early = [i for i in undone[:place] if whole(i) in needs(whole(step_id))]
        assert too_early == [], f"{too_early} were undone before {step_id}, which needs them"


def assert_no_more_run_than_may(events: list[Any], max_parallel: int) -> None:
    running: set[str] = set()
    for event in events:
        name = type(event).__name__
        if name == "StepScheduled" and event.kind == "step":
            running.add(event.step_id)
            assert not max_parallel or len(running) <= max_parallel, "too many run side by side"
        elif name in ("StepSucceeded", "StepFailed", "StepSkipped"):
            running.discard(event.step_id)


def assert_nothing_runs_after_it_is_undone(calls: list[Call]) -> None:
    undoing = False
    for call in calls:
        undoing |= call.kind == "compensate"
        assert not undoing or call.kind == "compensate", "a forward call came after an undo"
