"""Gossip on NATS, through nats-py. It reconnects for ever; what is lost meanwhile is lost.

nats-py tells of refused permissions only through a callback, long after the call that was refused
has returned. `last_error` and `errors` keep what it said, for readiness and metrics.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import (
    ConnectionClosedError,
    MaxPayloadError,
    NoRespondersError,
    OutboundBufferLimitError,
)
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout

from folkmoot.bus.ports import (
    BusUnavailable,
    Gossiped,
    Handler,
    NoResponder,
    RecordTooLarge,
    Responder,
)
from folkmoot.bus.subjects import check_pattern, check_subject

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 3
RECONNECT_WAIT_S = 1
RESPONDERS = "folkmoot"
"""The queue group of all who answer on a subject: one of them gets each request."""


class NatsGossip:
    """The `Gossip` port on NATS."""

    def __init__(self) -> None:
        self._client = Client()
        self.errors = 0
        self.last_error: str | None = None

    @classmethod
    async def connect(
        cls,
        servers: Sequence[str],
        *,
        inbox_prefix: str = "_INBOX",
        nkeys_seed_str: str | None = None,
        user_credentials: str | None = None,
    ) -> NatsGossip:
        """Return a connected gossip.

        Raises:
            BusUnavailable: no server answers.
        """
        gossip = cls()
        options: dict[str, Any] = {"nkeys_seed_str": nkeys_seed_str}
        if user_credentials is not None:
            options["user_credentials"] = user_credentials
        try:
            await _first_contact(servers)
            await gossip._client.connect(
                servers=list(servers),
                connect_timeout=CONNECT_TIMEOUT_S,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_WAIT_S,
                inbox_prefix=inbox_prefix.encode(),
                error_cb=gossip._on_error,
                **options,
            )
        except (NatsError, OSError) as error:
            raise BusUnavailable(
                f"No NATS server answers at {', '.join(servers)} ({error!r}). Start one, "
                "or correct the address."
            ) from error
        return gossip

    @property
    def connected(self) -> bool:
        """Whether a server can be reached now."""
        return self._client.is_connected

    async def _on_error(self, error: Exception) -> None:
        self.errors += 1
        self.last_error = str(error) or repr(error)
        log.info("NATS: %s", self.last_error)

    async def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """See the port."""
        check_subject(subject)
        try:
            await self._client.publish(subject, data, headers=dict(headers) if headers else None)
        except MaxPayloadError as error:
            raise RecordTooLarge(
                f"A message of {len(data):,} bytes is over the server's limit of "
                f"{self._client.max_payload:,}."
            ) from error
        except (ConnectionClosedError, OutboundBufferLimitError) as error:
            raise BusUnavailable(f"NATS cannot be reached now: {error}") from error

    async def subscribe(self, subject: str, handler: Handler) -> Subscribed:
        """See the port."""

        async def receive(message: Msg) -> None:
            await handler(_gossiped(message))

        return await self._subscribed(subject, receive, queue="")

    async def respond(self, subject: str, responder: Responder) -> Subscribed:
        """See the port."""

        async def receive(message: Msg) -> None:
            answer = await responder(_gossiped(message))
            if message.reply:
                await message.respond(answer)

        return await self._subscribed(subject, receive, queue=RESPONDERS)

    async def _subscribed(
        self, subject: str, receive: Callable[[Msg], Awaitable[None]], queue: str
    ) -> Subscribed:
        check_pattern(subject)

        async def guarded(message: Msg) -> None:
            try:
                await receive(message)
            except Exception:
                self.errors += 1
                log.exception("A handler of %s failed on %s", subject, message.subject)

        subscription = await self._client.subscribe(subject, queue=queue, cb=guarded)
        # A subscription counts only when the server has it; others may publish right away.
        await self._client.flush()
        return Subscribed(subscription)

    async def request(self, subject: str, data: bytes, timeout_ms: int) -> bytes:
        """See the port."""
        check_subject(subject)
        try:
            answer = await self._client.request(subject, data, timeout=timeout_ms / 1000)
        except NoRespondersError as error:
            raise NoResponder(f"Nobody listens on {subject!r}.") from error
        except NatsTimeout as error:
            raise NoResponder(f"Nobody answered on {subject!r} within {timeout_ms} ms.") from error
        except ConnectionClosedError as error:
            raise BusUnavailable(f"NATS cannot be reached now: {error}") from error
        return bytes(answer.data)

    async def close(self) -> None:
        """See the port."""
        if self._client.is_connected:
            try:
                await self._client.flush(timeout=1)
            except NatsError as error:
                log.info("NATS: the last messages may be lost: %s", error)
        await self._client.close()


async def _first_contact(servers: Sequence[str]) -> None:
    """Try once, since reconnecting for ever includes the first connection."""
    probe = await nats.connect(
        servers=list(servers),
        connect_timeout=CONNECT_TIMEOUT_S,
        allow_reconnect=False,
        max_reconnect_attempts=1,  # 0 would mean for ever
        reconnect_time_wait=0,
        error_cb=_ignore,
    )
    await probe.close()


async def _ignore(_error: Exception) -> None:
    """Say nothing: a failed probe is reported by its exception."""


class Subscribed:
    """The `Subscription` port on NATS."""

    def __init__(self, subscription: NatsSubscription) -> None:
        self._subscription = subscription

    async def close(self) -> None:
        """See the port."""
        try:
            await self._subscription.unsubscribe()
        except NatsError as error:
            log.debug("unsubscribing: %s", error)


def _gossiped(message: Msg) -> Gossiped:
    return Gossiped(message.subject, message.data, message.headers or {})
