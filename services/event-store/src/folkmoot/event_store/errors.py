"""Why the index cannot answer. Each is a `QueryError`, so that its kind reaches who asked."""

from __future__ import annotations

from folkmoot.runtime.service import QueryError


class UnknownStream(QueryError):
    """There is no such stream as far as the logs were read."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            "unknown-stream",
            f"there is no stream {stream[:200]!r} as far as the logs were read: "
            "look for it with `streams`, or ask again when `as_of` has moved on",
        )


class VersionNotReached(QueryError):
    """The stream is shorter than the version that was asked for."""

    def __init__(self, stream: str, version: int, reached: int) -> None:
        super().__init__(
            "version-not-reached",
            f"stream {stream!r} is at version {reached}, not yet at {version}: "
            "ask for an earlier version, or again later",
        )


class IndexUnavailable(QueryError):
    """The index's file cannot be used now. Nothing is lost: it is made from the logs."""

    def __init__(self, detail: str, kind: str = "index-unavailable") -> None:
        super().__init__(kind, detail)


class IndexRebuilding(IndexUnavailable):
    """The index was thrown away and is being made again from the logs."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "index-rebuilding")
