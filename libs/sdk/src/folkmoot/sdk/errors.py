"""What a handler raises to say how its failure is to be taken, and what the SDK raises itself."""

from __future__ import annotations

from folkmoot.core.messages import Failure


class Retryable(Exception):
    """Trying again may help; not before `after_s` seconds if given, as with HTTP's Retry-After."""

    def __init__(self, detail: str, *, after_s: float | None = None) -> None:
        super().__init__(detail)
        self.after_s = after_s


class Permanent(Exception):
    """Trying again will not help: the step fails at once and the saga is compensated."""


class InvalidInput(Permanent):
    """What a handler was to be given does not fit the annotation of its parameter."""


class NotAnswered(Permanent):
    """Nobody answered in time what a handler asked. Catch it to go on without an answer."""


class DefinitionError(Exception):
    """An agent is defined wrongly. Raised where it is defined, before anything runs."""


class UnknownDefinition(DefinitionError):
    """A team has no saga of that name. Nothing was begun; submit again when its leader has it."""


class SagaFailed(Exception):
    """A saga ended without a result. `state` is its terminal state.

    One that is `refused` was not taken on; where its `failure` is retryable, submitting it again
    under the same key, not before `retry_after_ms`, may do better.
    """

    def __init__(
        self, saga_id: str, state: str, detail: str, failure: Failure | None = None
    ) -> None:
        super().__init__(f"saga {saga_id} is {state}: {detail}")
        self.saga_id, self.state, self.detail = saga_id, state, detail
        self.failure = failure


class ControlRefused(Exception):
    """What was asked of a saga does not fit; nothing was changed. `kind` is a stable word."""

    def __init__(self, saga_id: str, kind: str, detail: str) -> None:
        super().__init__(f"saga {saga_id}: {detail}")
        self.saga_id, self.kind, self.detail = saga_id, kind, detail


class CannotFork(Exception):
    """A saga cannot be forked there, or not so. Nothing was begun."""

    def __init__(self, saga_id: str, detail: str) -> None:
        super().__init__(f"saga {saga_id} cannot be forked: {detail}")
        self.saga_id, self.detail = saga_id, detail


class VersionConflict(Exception):
    """A stream has another version than an append expected. Nothing was appended."""

    def __init__(self, stream: str, expected: int, version: int) -> None:
        super().__init__(
            f"stream {stream!r} has version {version}, not {expected}: read what is new, and "
            "decide again"
        )
        self.stream, self.expected, self.version = stream, expected, version


class LeadershipLost(Exception):
    """A lease is over: another may lead now. Stop what only a leader may do.

    `epoch` is the one that is lost.
    """

    def __init__(self, team: str, epoch: int, reason: str) -> None:
        super().__init__(f"epoch {epoch} of team {team!r} is lost: {reason}")
        self.team, self.epoch, self.reason = team, epoch, reason


class ElectionRefused(Exception):
    """The election cannot do what was asked. `kind` is a stable word; nothing was changed."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail


class NoAnswer(Exception):
    """Nothing that could answer is running, or it did not answer in time."""
