"""What every client of the brokers shares: where they are, how to get in, what errors mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from folkmoot.bus.cancelling import heed_cancellation
from folkmoot.bus.ports import BusError, BusUnavailable, Refusals, UnknownTopic

REQUEST_TIMEOUT_MS = 5_000  # of one request; a broker that takes longer counts as gone

LOST = (KafkaError, OSError, TimeoutError, RuntimeError)
"""What a client raises when it has lost a broker. RuntimeError is how uvloop says that what is
written to has closed meanwhile."""

REFUSED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)


@dataclass(frozen=True, slots=True)
class Brokers:
    """Addresses (HOST:PORT), and what else aiokafka's clients take, such as TLS and SASL."""

    servers: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)

    def note(self, error: BaseException) -> None:
        """Keep `error` for readiness and metrics, if it says that something is not allowed."""
        if isinstance(error, REFUSED):
            self.refusals.note("kafka", f"Kafka does not allow it: {error!r}")

    def client(self, **settings: Any) -> dict[str, Any]:
        """Return the keyword arguments of a client with these `settings`."""
        common = {"bootstrap_servers": list(self.servers), "request_timeout_ms": REQUEST_TIMEOUT_MS}
        return {**common, **settings, **self.options}

    def unavailable(self, error: object) -> BusUnavailable:
        """Return the error that says which brokers do not answer."""
        return BusUnavailable(
            f"No Kafka broker answers at {', '.join(self.servers)} ({error}). Start one, or "
            "correct the address."
        )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what aiokafka raises into the port's errors.

        Raises:
            CancelledError: this task was told to end, and aiokafka raised something else or, as
                when it closes a fetcher, nothing. Whoever waits for its end would wait for ever.
        """
        try:
            yield
            heed_cancellation()
        except LOST as error:
            heed_cancellation()
            self.note(error)
            if isinstance(error, BrokerResponseError) and not error.retriable:
                raise BusError(f"Kafka refuses: {error!r}. Ask who runs it for access.") from error
            raise self.unavailable(repr(error)) from error


def unknown(topic: str, partition: int) -> UnknownTopic:
    """Return the error for a partition that does not exist."""
    return UnknownTopic(
        f"There is no partition {partition} of topic {topic!r} on Kafka. Create the topic first, "
        "and check the partition number."
    )
