"""The index finds what a walk through the whole state finds, whenever it looked last."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from saga_driver import Driver, outcome, step

from folkmoot.core.messages import Failure, PauseSaga, Question
from folkmoot.core.saga import Key, SagaState, Wanted, page
from folkmoot.core.saga import index as indexing
from folkmoot.core.saga.describing import line
from folkmoot.core.saga.index import SagaIndex

BROKEN = Failure("broken", "the printer is on fire")


def every(state: SagaState, wanted: Wanted, limit: int = 3) -> list[str]:
    """Return all that is found, page by page."""
    found: list[str] = []
    after: Key | None = wanted.after
    while True:
        asked = Wanted(wanted.state, wanted.team, wanted.retrying, wanted.waiting_on,
                       wanted.opened_before, wanted.text, after)  # fmt: skip
        got = page(state, asked, limit)
        assert len(got["sagas"]) <= limit
        found += [saga["saga_id"] for saga in got["sagas"]]
        if got["next"] is None:
            return found
        assert after is None or got["next"] < after, "a page that gets no further"
        after = got["next"]


def walked(state: SagaState, wanted: Wanted) -> list[str]:
    """Return the same without an index."""
    fresh = SagaIndex()
    lines = [line(state, saga_id) for saga_id in (*state.sagas, *state.ended)]
    keys = sorted((Key(each["opened_at"], each["saga_id"]) for each in lines), reverse=True)
    found = []
    for key in keys:
        opened, terms = indexing._described(state, key.saga_id)
        assert opened == key.opened_at
        text = wanted.text
        if (
            set(wanted.terms) <= terms
            and (wanted.below is None or key < wanted.below)
            and (text is None or text.lower() in indexing.text_of(state, key.saga_id))
        ):
            found.append(key.saga_id)
    assert fresh.touched == {}
    return found


def busy(sagas: int, seed: int) -> Driver:
    """Return a shard in which sagas are in all sorts of states, and were looked at now and then."""
    driver, random = Driver(teams=("newsroom", "shop")), Random(seed)
    patient: dict[str, Any] = {"retry": {"attempts": 9, "initial_ms": 9_000, "cap_ms": 9_000}}
    for number in range(sagas):
        saga_id = f"s{number}"
        driver.submit(saga_id, random.choice(("newsroom", "shop")))
        fate = random.random()
        if fate > 0.1:
            steps = [step("print", **patient), step("bind", "print", agent="binder")]
            driver.succeed("plan", steps, saga_id=saga_id)
        if 0.2 < fate < 0.5:
            call = driver.call("print", saga_id=saga_id)
            driver.give(outcome(call, status="failed", failure=BROKEN))
        elif fate >= 0.5:
            driver.succeed("print", saga_id=saga_id)
        if fate >= 0.7:
            driver.succeed("bind", saga_id=saga_id)
        if fate >= 0.8 and saga_id in driver.state.sagas:
            driver.succeed("aggregate", saga_id=saga_id)
        if random.random() < 0.1:
            driver.give(PauseSaga(saga_id, "ann"))
        if random.random() < 0.2:
            driver.state.index.refresh(driver.state, random.randrange(4))
        driver.pass_time(random.randrange(20))
    return driver


def run(driver: Driver, saga_id: str) -> None:
    """Run a saga to its end."""
    driver.open_with(step("a"), saga_id=saga_id)
    driver.succeed("a", saga_id=saga_id)
    driver.succeed("aggregate", saga_id=saga_id)


WANTED = {
    "all": Wanted(),
    "in a state": Wanted(state="running"),
    "ended": Wanted(state="completed"),
    "paused": Wanted(state="paused"),
    "of a team": Wanted(team="shop"),
    "retrying": Wanted(retrying="*"),
    "retrying that": Wanted(retrying="print"),
    "waiting on an agent": Wanted(waiting_on="binder"),
    "waiting on nobody": Wanted(waiting_on="nobody"),
    "old": Wanted(opened_before=1_300),
    "words": Wanted(text="Printer"),
    "several": Wanted(team="shop", state="running", retrying="*", opened_before=1_500),
}


@pytest.mark.parametrize("wanted", WANTED.values(), ids=WANTED)
@pytest.mark.parametrize("seed", range(4))
def test_it_finds_what_a_walk_finds(wanted: Wanted, seed: int) -> None:
    state = busy(90, seed).state
    assert every(state, wanted) == walked(state, wanted)


def test_some_of_all_is_found() -> None:
    state = busy(90, 0).state
    empty = [name for name, wanted in WANTED.items() if not every(state, wanted)]
    assert empty == ["waiting on nobody"]


def test_what_a_question_waits_for_is_found() -> None:
    driver = Driver()
    driver.open_with(step("ask"))
    call = driver.call("ask")
    asked = Question("q1", call.call_id, "s1", "ask", "k", "Buy?", {}, 9_000, call.outcome_to)
    driver.give(asked)
    (found,) = page(driver.state, Wanted(waiting_on="person"), 10)["sagas"]
    assert found["waiting_on"] == ["person"]


def test_what_nobody_remembers_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("folkmoot.core.saga.state.ENDED_REMEMBERED_MAX", 5)
    driver = Driver()
    for number in range(40):
        run(driver, f"s{number}")
        if number % 7 == 0:
            assert len(every(driver.state, Wanted())) <= 6
    driver.state.index.refresh(driver.state)
    assert len(driver.state.index._order) <= 2 * len(driver.state.index._keys) + 1
    assert sorted(every(driver.state, Wanted())) == sorted(
        [*driver.state.sagas, *driver.state.ended]
    )


def test_nobody_who_works_it_off_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "TOUCHED_MAX", 20)
    driver = Driver()
    for number in range(60):
        run(driver, f"s{number}")
    assert len(driver.state.index.touched) <= 22
    assert len(every(driver.state, Wanted())) == 60


def test_looking_ends_after_a_while_and_goes_on_with_the_next_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("folkmoot.core.saga.listing.SCANNED_MAX", 10)
    state = busy(90, 1).state
    first = page(state, Wanted(text="no such word"), 50)
    assert first["sagas"] == []
    assert first["next"] is not None
    assert every(state, Wanted(text="printer"), 50) == walked(state, Wanted(text="printer"))


def test_a_replayed_state_gives_the_same_pages() -> None:
    driver = busy(50, 2)
    replayed = driver.replayed()
    assert replayed == driver.state
    for wanted in WANTED.values():
        assert every(replayed, wanted) == every(driver.state, wanted)
