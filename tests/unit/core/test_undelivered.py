"""Who is told that a call cannot be delivered, and what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from folkmoot.core.messages import Address, Call, CancelCall
from folkmoot.core.undelivered import answers

HOME, BREAKER = Address("home", 1), Address("breaker", 0)
CALL = Call("c", "s", "x", "step", "write", "writer", "press", 2, None, "s/x/do", 9, HOME)


@pytest.mark.parametrize(("reason", "retryable"), [("too-large", False), ("unknown-topic", True)])
def test_a_call_is_answered_as_refused_to_all_who_wait_for_it(reason: str, retryable: bool) -> None:
    told = answers(replace(CALL, observed_by=BREAKER), reason, "it is")
    assert [address for address, _ in told] == [HOME, BREAKER]
    for _, outcome in told:
        assert (outcome.call_id, outcome.saga_id, outcome.step_id) == ("c", "s", "x")
        assert (outcome.status, outcome.attempt) == ("refused", 2)
        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.failure.retryable) == (reason, retryable)


def test_nobody_waits_for_anything_else() -> None:
    assert [address for address, _ in answers(CALL, "too-large", "")] == [HOME]
    assert answers(CancelCall("c", "s", "writer"), "too-large", "") == ()
