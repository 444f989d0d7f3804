"""What is said to those who wait for a call that no topic takes.

A call that is too large, or for a topic that does not exist, never begins; whoever sends it answers
for its worker, so that nobody waits for its time limit.
"""

from __future__ import annotations

from collections.abc import Sequence

from folkmoot.core.children import StartChild
from folkmoot.core.messages import Address, Call, Failure, Outcome

TOO_LARGE = "too-large"
UNKNOWN_TOPIC = "unknown-topic"


def answers(message: object, reason: str, detail: str) -> Sequence[tuple[Address, Outcome]]:
    """Return the outcome of a call that cannot be delivered, for each who waits for it.

    What is too large today is too large tomorrow; a topic may yet be made.
    """
    failure = Failure(reason, detail, retryable=reason != TOO_LARGE)
    if isinstance(message, StartChild):
        ids = (message.call_id, message.saga_id, message.step_id)
        refused = Outcome(*ids, "step", message.team, message.attempt, "refused", failure=failure)
        return [(message.outcome_to, refused)]
    if not isinstance(message, Call):
        return ()
    outcome = Outcome(
        message.call_id,
        message.saga_id,
        message.step_id,
        message.kind,
        message.target,
        message.attempt,
        "refused",
        failure=failure,
    )
    told = (message.outcome_to, message.observed_by)
    return [(address, outcome) for address in told if address is not None]
