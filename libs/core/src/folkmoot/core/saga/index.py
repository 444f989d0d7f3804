"""Finds sagas of a shard by what they are and wait for, newest first, a page at a time.

The machine only notes which sagas an event was about (`touched`); what that means for the index is
worked out later, beside the shard's work, and at the latest when somebody asks. Like a heap it is
private to a state: it is never part of a snapshot, and thrown away with the state that it is of.

A page costs time in proportion to the sagas that match and to itself. Where what is asked for is
common, the sagas are walked through from the newest on, at most `SCANNED_MAX` of them; a page that
ends there is short, and says where to go on.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from folkmoot.core.saga.state import Saga, SagaState, Step

TOUCHED_MAX = 200_000
"""Sagas noted; beyond it, because nobody works it off, the index begins anew: some 20 MB."""

SCANNED_MAX = 5_000
"""Sagas looked at for one page: some milliseconds, for which a leader does nothing else."""

COMMON_SHARE = 8
"""What more than one saga in eight matches is found sooner by walking through all of them."""

HELD = ("retrying", "deferred", "compensation-retrying")
"""Phases of a step that waits for its next attempt."""

ANY = "*"
PERSON, RETRY, RESUME, SAGA, PLACE = "person", "retry", "resume", "saga", "place"


class Key(NamedTuple):
    """A saga's place in the order of all: when it was opened, and its id."""

    opened_at: int
    saga_id: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for. What is left out matters not; `retrying` may be `*`, for any step.

    `waiting_on` is an agent, a `saga`, `person`, `signal:NAME`, `retry`, `resume`, or a `place`.
    """

    state: str | None = None
    team: str | None = None
    retrying: str | None = None
    waiting_on: str | None = None
    opened_before: int | None = None
    text: str | None = None
    after: Key | None = None

    @property
    def terms(self) -> list[str]:
        """What a saga must have to match, as the index has it."""
        asked = {"state": self.state, "team": self.team, "retrying": self.retrying}
        asked["waiting"] = self.waiting_on
        return [f"{field}:{value}" for field, value in asked.items() if value is not None]

    @property
    def below(self) -> Key | None:
        """The key that everything wanted is below."""
        opened = None if self.opened_before is None else Key(self.opened_before, "")
        keys = [key for key in (opened, self.after) if key is not None]
        return min(keys, default=None)


class SagaIndex:
    """The index of one state. `touched` is written by the machine, everything else from here."""

    __slots__ = ("_having", "_keys", "_order", "_stale", "_terms", "_whole", "touched")

    def __init__(self) -> None:
        self.touched: dict[str, None] = {}
        self._forget()

    def _forget(self) -> None:
        self._whole = True
        self._keys: dict[str, Key] = {}
        self._terms: dict[str, frozenset[str]] = {}
        self._having: dict[str, set[str]] = {}
        self._order: list[Key] = []
        self._stale = 0

    def bound(self) -> None:
        """Begin anew if nobody works off what is noted."""
        if len(self.touched) > TOUCHED_MAX:
            self.touched.clear()
            self._forget()

    def refresh(self, state: SagaState, most: int | None = None) -> None:
        """Work off what is noted, at most that of `most` sagas."""
        if self._whole:
            self._whole = False
            self.touched = dict.fromkeys([*state.ended, *state.sagas])
        count = len(self.touched) if most is None else min(most, len(self.touched))
        for _ in range(count):
            saga_id = next(iter(self.touched))
            del self.touched[saga_id]
            self._put(saga_id, *_described(state, saga_id))

    def _put(self, saga_id: str, opened_at: int | None, terms: frozenset[str]) -> None:
        before = self._terms.pop(saga_id, frozenset())
        for term in before - terms:
            having = self._having[term]
            having.discard(saga_id)
            if not having:
                del self._having[term]
        if opened_at is None:
            self._drop(saga_id)
            return
        self._terms[saga_id] = terms
        for term in terms - before:
            self._having.setdefault(term, set()).add(saga_id)
        if saga_id not in self._keys:
            self._keys[saga_id] = Key(opened_at, saga_id)
            insort(self._order, self._keys[saga_id])

    def _drop(self, saga_id: str) -> None:
        self._stale += self._keys.pop(saga_id, None) is not None
        if self._stale > len(self._keys):
            self._order = sorted(self._keys.values())
            self._stale = 0

    # -- asking -----------------------------------------------------------------------------

    def scan(self, wanted: Wanted) -> Iterator[tuple[Key, bool]]:
        """Yield sagas from the newest on, and whether each matches, except for the text."""
        having = [self._having.get(term, set()) for term in wanted.terms]
        rarest = min(having, key=len, default=None)
        if rarest is None or len(rarest) * COMMON_SHARE > len(self._keys):
            yield from self._walk(wanted.below, having)
            return
        below = wanted.below
        found = (self._keys[i] for i in rarest if all(i in ids for ids in having))
        for key in sorted((k for k in found if below is None or k < below), reverse=True):
            yield key, True

    def _walk(self, below: Key | None, having: Sequence[set[str]]) -> Iterator[tuple[Key, bool]]:
        end = len(self._order) if below is None else bisect_left(self._order, below)
        for place in range(end - 1, -1, -1):
            saga_id = self._order[place].saga_id
            known = saga_id in self._keys
            yield self._order[place], known and all(saga_id in ids for ids in having)


def _described(state: SagaState, saga_id: str) -> tuple[int | None, frozenset[str]]:
    """Return when a saga was opened and what it can be found by; None if it is not known."""
    saga = state.sagas.get(saga_id)
    if saga is not None:
        return saga.opened_at, frozenset(_terms(saga))
    ended = state.ended.get(saga_id)
    if ended is None:
        return None, frozenset()
    result = ended.result
    return ended.opened_at, frozenset((f"state:{result.state}", f"team:{result.team}"))


def _terms(saga: Saga) -> Iterator[str]:
    yield f"state:{saga.shown_state}"
    yield f"team:{saga.team}"
    for step in (*saga.steps.values(), *saga.hooks.values()):
        if step.phase in HELD:
            yield f"retrying:{ANY}"
            yield f"retrying:{step.plan.id}"
            yield f"retrying:{step.plan.name}"
    for whom in waits_of(saga):
        yield f"waiting:{whom}"


def waits_of(saga: Saga) -> dict[str, None]:
    """Return whom or what an open saga waits for, each once."""
    waits: dict[str, None] = {RESUME: None} if saga.paused else {}
    if saga.queued:
        waits[PLACE] = None
    for step in (*saga.steps.values(), *saga.hooks.values()):
        if (whom := _whom(step)) is not None:
            waits[whom] = None
    return waits


def _whom(step: Step) -> str | None:
    for question in step.questions.values():
        return f"signal:{question.signal}" if question.signal else PERSON
    if step.called or step.phase == "deferred":
        return SAGA if step.plan.child else step.plan.agent
    return RETRY if step.phase in HELD else None


def text_of(state: SagaState, saga_id: str) -> str:
    """Return what a search for words looks at: ids, the task if it is open, and what failed."""
    saga = state.sagas.get(saga_id)
    if saga is None:
        ended = state.ended[saga_id]
        failure, failed_step = ended.result.failure, ended.result.failed_step
        words: list[object] = [saga_id, ended.result.team, failed_step]
    else:
        failure = saga.failure
        words = [saga_id, saga.team, saga.failed_step, saga.input, *saga.steps]
        failing = (s.failure for s in saga.steps.values() if s.phase in HELD)
        words += [each.detail for each in failing if each is not None]
    words += [] if failure is None else [failure.kind, failure.detail]
    return " ".join(str(word) for word in words if word is not None).lower()
