"""Random sagas within sagas with random luck: all end, and whatever turns back is undone in order.

The reference is what the workers saw: which steps may have had an effect, and which were undone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from saga_driver import TEAM, Driver, outcome, step

from folkmoot.core.children import child_id_of
from folkmoot.core.messages import Call, CancelSaga, Failure, PauseSaga, ResumeSaga, Usage
from folkmoot.core.saga import SagaSettings

RETRY = {"attempts": 2, "initial_ms": 5, "factor": 2.0, "cap_ms": 20}
FAILURES = {
    "flaky": ("failed", Failure("flaky", "try again")),
    "broken": ("failed", Failure("broken", "no use", retryable=False)),
    "refused": ("refused", Failure("breaker-open", "later", retry_after_ms=50)),
}
LUCK = st.sampled_from(["succeed"] * 6 + ["flaky", "broken", "refused", "silence"])
ACTS = st.dictionaries(
    st.integers(0, 40),
    st.tuples(st.sampled_from([CancelSaga, PauseSaga, ResumeSaga]), st.integers(0, 9)),
    max_size=4,
)


@st.composite
def plans(draw: Callable[..., Any], depth: int) -> list[dict[str, Any]]:
    """A DAG of up to four steps, of which some are sagas as long as `depth` allows."""
    steps: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 4))):
        earlier = [f"s{other}" for other in range(number)]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        fields = {"compensable": draw(st.booleans()), "retry": RETRY}
        if depth and draw(st.booleans()):
            timeout_ms = draw(st.sampled_from([400, 60_000]))
            fields = {
                "child": True, "agent": TEAM, "timeout_ms": timeout_ms,
                "plan": draw(plans(depth - 1)),
            }  # fmt: skip
        steps.append(step(f"s{number}", *needs, **fields))
    return steps


class World:
    """Answers the calls of all sagas as luck has it; when it is used up all goes well."""

    def __init__(self, plan: list[dict[str, Any]], luck: list[str], wave_max: int) -> None:
        self.driver = Driver(SagaSettings(wave_max=wave_max))
        self.plans: dict[str, list[dict[str, Any]]] = {"s1": plan}
        self.luck = luck
        self.silent: set[str] = set()
        self.began: dict[tuple[str, str], None] = {}
        self.undone: list[tuple[str, str]] = []

    def play(self, acts: dict[int, tuple[Any, int]]) -> None:
        self.driver.submit()
        for turn in range(2_000):
            if not self.driver.state.sagas:
                return
            if turn in acts:
                act, which = acts[turn]
                sagas = list(self.driver.state.sagas)
                self.driver.give(act(sagas[which % len(sagas)], "anna"))
            elif turn % 50 == 49 or not self._answer():
                self._resume()
            self._check_pauses()
        raise AssertionError("a saga did not end")

    def _check_pauses(self) -> None:
        """A pause has reached whatever runs for a paused saga, at any depth."""
        sagas = self.driver.state.sagas
        for saga in sagas.values():
            above = sagas.get(saga.parent.saga_id) if saga.parent else None
            awaited = above is not None and any(
                step.called and step.child_id == saga.saga_id for step in above.steps.values()
            )
            if above is not None and above.paused and awaited and saga.phase != "held":
                assert saga.paused_with_parent, "a child goes on"
            gone = saga.parent is not None and (above is None or not above.paused)
            assert not (gone and saga.paused_with_parent), "a child stays behind"

    def _resume(self) -> None:
        for saga_id in list(self.driver.state.sagas):
            self.driver.give(ResumeSaga(saga_id, "anna"))

    def _answer(self) -> bool:
        calls = [call for call in self.driver.calls if self._is_open(call)]
        due = self.driver.shard.due()
        if not calls or (due is not None and due <= self.driver.now):
            if due is None:
                return False
            self.driver.pass_time(max(0, due - self.driver.now))
            return True
        self._give(calls[0])
        return True

    def _is_open(self, call: Call) -> bool:
        saga = self.driver.state.sagas.get(call.saga_id)
        found = saga.find(call.step_id) if saga else None
        current = found is not None and found.called and found.call_id == call.call_id
        return current and call.call_id not in self.silent

    def _give(self, call: Call) -> None:
        hook = call.kind in ("plan", "aggregate")
        luck = "succeed" if hook or not self.luck else self.luck.pop()
        place = (call.saga_id, call.step_id)
        if luck != "refused" and call.kind == "step":
            self.began[place] = None
        if luck == "silence":
            self.silent.add(call.call_id)
            return
        if luck in FAILURES:
            status, failure = FAILURES[luck]
            self.driver.give(outcome(call, status=status, failure=failure))
            return
        if call.kind == "compensate":
            self.undone.append(place)
        result = self._plan(call) if call.kind == "plan" else luck
        self.driver.give(replace(outcome(call, result=result), usage=Usage(1)))

    def _plan(self, call: Call) -> list[dict[str, Any]]:
        """Return a saga's plan, and note those of its children."""
        plan = self.plans[call.saga_id]
        for each in plan:
            if each.get("child"):
                child = child_id_of(f"{call.saga_id}/{each['id']}/do/1")
                self.plans[child] = each["plan"]
        return [{name: each[name] for name in each if name != "plan"} for each in plan]

    def children(self, saga_id: str) -> dict[str, str]:
        """Return the sagas that the steps of a saga run, by step."""
        found = [each["id"] for each in self.plans[saga_id] if each.get("child")]
        return {each: child_id_of(f"{saga_id}/{each}/do/1") for each in found}

    def below(self, saga_id: str, step_id: str) -> set[tuple[str, str]]:
        """Return a step, or all that its saga consists of."""
        child = self.children(saga_id).get(step_id)
        if child is None or child not in self.plans:
            return {(saga_id, step_id)}
        return {at for each in self.plans[child] for at in self.below(child, each["id"])}

    def compensable(self, place: tuple[str, str]) -> bool:
        plan = {each["id"]: each for each in self.plans[place[0]]}
        return bool(plan[place[1]]["compensable"])


@settings(max_examples=150, deadline=None)
@given(plans(2), st.lists(LUCK, max_size=40), ACTS, st.sampled_from([1, 2, 250]))
def test_sagas_within_sagas_end_and_are_undone_in_order(
    plan: list[dict[str, Any]], luck: list[str], acts: dict[int, tuple[Any, int]], wave_max: int
) -> None:
    world = World(plan, luck, wave_max)
    world.play(acts)
    driver = world.driver
    states = {result.saga_id: result.state for result in driver.results}
    assert len(states) == len(driver.results), "a saga ended twice"
    assert set(states.values()) <= {"completed", "compensated", "failed"}
    undone = set(world.undone)
    assert len(undone) == len(world.undone), "a step was undone twice"
    expected = {
        place
        for place in world.began
        if states[place[0]] != "completed" and world.compensable(place)
    }
    assert undone == expected
    turns = {saga_id: turn for turn, saga_id in enumerate(states)}
    for saga_id, state in states.items():
        below = [each for each in world.children(saga_id).values() if each in states]
        if state == "compensated":
            assert all(states[each] != "completed" for each in below), "a child outlived its parent"
            assert all(turns[each] < turns[saga_id] for each in below), "it was not waited for"
        assert_in_order(world, saga_id)
    assert driver.replayed() == driver.state
    assert driver.shard.due() is None
    saved = driver.state.ended["s1"].shown
    assert saved is not None
    if states["s1"] == "completed":
        assert saved["spent"]["tokens"] >= len(world.began) - 2 * len(luck)


def assert_in_order(world: World, saga_id: str) -> None:
    """What needs a step is undone, whatever it consists of, before anything of that step."""
    at = {place: turn for turn, place in enumerate(world.undone)}
    for each in world.plans[saga_id]:
        later = [at[place] for place in world.below(saga_id, each["id"]) if place in at]
        for need in each["needs"]:
            sooner = [at[place] for place in world.below(saga_id, need) if place in at]
            assert not later or not sooner or max(later) < min(sooner)
