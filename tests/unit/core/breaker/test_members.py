"""Who failed at a step is not given it again, whichever of its partitions is free."""

from __future__ import annotations

from dataclasses import replace

from folkmoot.core.breaker import BreakerSettings, CallAdmitted
from tests.unit.core.breaker.proxy import SICK, Proxy, call, outcome


def place(proxy: Proxy, call_id: str) -> int:
    """Let an attempt of one step come; return the partition that it goes to."""
    (admitted,) = proxy.hear(call(call_id, step="paid"))
    assert isinstance(admitted, CallAdmitted)
    return admitted.partition


def attempt(proxy: Proxy, call_id: str, member: str) -> int:
    """Let an attempt of one step fail at a member; return the partition where."""
    partition = place(proxy, call_id)
    failed = replace(outcome(call_id, "failed", SICK), member=member, partition=partition)
    proxy.hear(failed)
    return partition


def test_no_attempt_goes_to_a_member_at_whom_one_has_failed_while_there_are_others() -> None:
    proxy = Proxy(BreakerSettings(consecutive_failures=99), partitions=4)
    for partition, member in enumerate(("ann", "ann", "bob", "bob")):
        call_id = f"warm-{partition}"
        proxy.hear(call(call_id))
        proxy.hear(replace(outcome(call_id), member=member, partition=partition))
    assert proxy.target.members == {"0": "ann", "1": "ann", "2": "bob", "3": "bob"}
    assert attempt(proxy, "1st", "ann") == 0
    assert attempt(proxy, "2nd", "bob") in (2, 3), "the other partition is ann's too"
    third = attempt(proxy, "3rd", "ann")
    assert third in (0, 1, 2, 3), "better there again than not at all"
    assert place(proxy, "4th") != third, "not where it was last"
    proxy.hear(outcome("4th"))
    assert proxy.target.failed == {}
