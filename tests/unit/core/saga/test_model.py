"""Random plans with random luck: whatever happens, a saga ends once and is undone in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from saga_driver import Driver, outcome, step

from folkmoot.core.messages import Call, CancelSaga, Failure, Outcome
from folkmoot.core.saga import SagaSettings

RETRY = {"attempts": 2, "initial_ms": 5, "factor": 2.0, "cap_ms": 20}


@st.composite
def plans(draw: Callable[..., Any]) -> list[dict[str, Any]]:
    """A DAG of up to eight steps: each needs some of those before it."""
    steps: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 8))):
        earlier = [f"s{other}" for other in range(number)]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        compensable = draw(st.booleans())
        steps.append(step(f"s{number}", *needs, compensable=compensable, retry=RETRY))
    return steps


LUCK = st.sampled_from(
    ["succeed", "succeed", "succeed", "flaky", "broken", "refused", "silence", "late", "double"]
)
FAILURES = {
    "flaky": ("failed", Failure("flaky", "try again")),
    "broken": ("failed", Failure("broken", "no use", retryable=False)),
    "refused": ("refused", Failure("breaker-open", "later", retry_after_ms=50)),
}


class World:
    """Answers a saga's calls as luck has it; after `patience` answers all goes well."""

    def __init__(self, luck: list[str], wave_max: int, *, eager: bool) -> None:
        self.driver = Driver(SagaSettings(wave_max=wave_max))
        self.luck = luck
        self.eager = eager
        self.silent: list[Call] = []
        self.begun: set[str] = set()

    def play(self, plan: list[dict[str, Any]], cancel_after: int) -> None:
        self.driver.submit()
        for turn in range(500):
            if turn == cancel_after:
                self.driver.give(CancelSaga("s1", "anna"))
            if self.driver.results:
                return
            self._answer(plan)
        raise AssertionError("the saga did not end")

    def _answer(self, plan: list[dict[str, Any]]) -> None:
        open_calls = [c for c in self.driver.calls if self._is_open(c)]
        due = self.driver.shard.due()
        overdue = due is not None and due <= self.driver.now
        if not open_calls or (overdue and self.eager):
            assert due is not None, "nothing is open and nothing is awaited"
            self.driver.pass_time(max(0, due - self.driver.now))
            return
        call = open_calls[0]
        luck = "succeed" if call.kind == "plan" or not self.luck else self.luck.pop()
        self._give(call, luck, plan)

    def _is_open(self, call: Call) -> bool:
        saga = self.driver.state.sagas.get("s1")
        found = saga.find(call.step_id) if saga else None
        current = found is not None and found.called and found.call_id == call.call_id
        return current and call not in self.silent

    def _give(self, call: Call, luck: str, plan: list[dict[str, Any]]) -> None:
        if luck != "refused":
            self.begun.add(call.step_id)
        if luck == "silence":
            self.silent.append(call)
            return
        answer = self._outcome(call, luck, plan)
        self.driver.give(answer)
        if luck == "double":
            self.driver.give(answer)
        if luck == "late" and self.silent:
            self.driver.give(outcome(self.silent.pop(0)))

    def _outcome(self, call: Call, luck: str, plan: list[dict[str, Any]]) -> Outcome:
        if luck in FAILURES:
            status, failure = FAILURES[luck]
            return outcome(call, status=status, failure=failure)
        result = plan if call.kind == "plan" else f"{call.step_id} done"
        return outcome(call, result=result)


@settings(max_examples=300, deadline=None)
@given(
    plans(),
    st.lists(LUCK, max_size=30),
    st.integers(0, 40),
    st.sampled_from([1, 2, 250]),
    st.booleans(),
)
def test_a_saga_ends_once_and_is_undone_in_reverse_order(
    plan: list[dict[str, Any]], luck: list[str], cancel_after: int, wave_max: int, eager: bool
) -> None:
    world = World(luck, wave_max, eager=eager)
    world.play(plan, cancel_after)
    driver = world.driver
    driver.pass_time(60_000)
    (result,) = driver.results
    events = [event for entry in driver.log for event in entry.events]

    def ids(name: str) -> list[str]:
        return [event.step_id for event in events if type(event).__name__ == name]

    scheduled = {i for i in ids("StepScheduled") if i not in ("plan", "aggregate")}
    undone = ids("StepCompensated")
    by_id = {each["id"]: each for each in plan}
    if result.state == "completed":
        assert undone == []
        assert scheduled == set(by_id)
    else:
        may_have_acted = scheduled & world.begun
        assert sorted(undone) == sorted(i for i in may_have_acted if by_id[i]["compensable"])
        assert_reverse(undone, by_id)
        assert_nothing_runs_after_it_is_undone(driver.calls)
    assert driver.replayed() == driver.state
    assert driver.shard.due() is None
    assert max(len(entry.events) for entry in driver.log) <= 2 * wave_max + 6


def assert_reverse(undone: list[str], by_id: dict[str, dict[str, Any]]) -> None:
    place = {step_id: number for number, step_id in enumerate(undone)}

    def needs(step_id: str) -> set[str]:
        direct = set(by_id[step_id]["needs"])
        return direct | {far for need in direct for far in needs(need)}

    for step_id in undone:
        for need in needs(step_id) & set(undone):
            assert place[step_id] < place[need], f"{need} was undone before {step_id}"


def assert_nothing_runs_after_it_is_undone(calls: list[Call]) -> None:
    undoing = False
    for call in calls:
        undoing |= call.kind == "compensate"
        assert not undoing or call.kind == "compensate", "a forward call came after an undo"
