"""The answer to a request about a saga: what was decided, for whoever asked."""

from __future__ import annotations

from dataclasses import dataclass

from folkmoot.core.messages import Failure


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """Whether a request was accepted; `failure` says why not."""

    saga_id: str
    request_id: str
    failure: Failure | None = None

    @property
    def accepted(self) -> bool:
        """Whether it was done as asked."""
        return self.failure is None


def announcement_subject(request_id: str) -> str:
    """Return the subject on which the answer to a request is announced."""
    return f"folkmoot.announce.controls.{request_id}"
